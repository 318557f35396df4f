"""`taut data add`: bytes become a dataset version, and a pointer that git can keep."""

import io
import os
from pathlib import Path

from taut.data.tables.parts import SUFFIXES
from taut.data.tables.profiles import keep_profile, profiled
from taut.data.versions import list_datasets, record_dataset
from taut.data.workspace.cache import Cache
from taut.data.workspace.index import Index, open_index
from taut.data.workspace.opened import Workspace, workspace_of
from taut.data.workspace.pointers import ignore_in_git, pointer_file, read_pointer, write_pointer
from taut.data.workspace.sharing import is_shared, share
from taut.data.workspace.snapshot import Snapshot, settled, store_snapshot
from taut.data.workspace.tree import tree_bytes
from taut.data.workspace.walk import ONE_FILE
from taut.errors import Conflict, Invalid, NotFound
from taut.home import Home
from taut.records import Column, DatasetVersion, TableProfile


def add_dataset(home: Home, path: Path, *, name: str = "") -> DatasetVersion:
    """Snapshot a file or folder: store its bytes, record a version, write `PATH.dvc` and the `.gitignore` beside it.

    The bytes go into the workspace cache, and to the home where others share it. The name is that of the pointer that
    is there already, else the file's without its endings. Content equal to the newest version is that version. Killed
    at any moment it has recorded a whole version or none, and typed again it finishes. Raises NotFound, Denied,
    Invalid, and Conflict where the data changes meanwhile, the name is taken or DVC works there.
    """
    place = Path(os.path.abspath(path))
    workspace = workspace_at(home, place)
    rules = workspace.rules(str(place))
    if rules is not None and rules.ignores(str(place), is_dir=place.is_dir()):
        raise Invalid(f"{place} is left out by .dvcignore", hint=f"cat {workspace.root}/.dvcignore")
    with workspace.locked(place), open_index(index_folder(home)) as index:
        chosen = name or _name_of(home, place)
        snapshot = store_snapshot(index, str(place), workspace.cache, rules)
        rows, columns, profile = _profile(snapshot)
        settled(index, snapshot, workspace.cache, rules)
        tree = _put_tree(home, snapshot, index, workspace.cache)
        version = record_dataset(
            home, chosen, path=path_in_project(home, place), tree=tree, rows=rows, columns=list(columns)
        )
        keep_profile(home, version, profile)
        _point(workspace, snapshot, version)
    return version


def workspace_at(home: Home, place: Path) -> Workspace:
    """The workspace around a place."""
    return workspace_of(str(place), str(home.project), index_folder(home))


def index_folder(home: Home) -> str:
    """The `.taut` folder, which holds the index; empty where only a server's URL is known."""
    return "" if home.folder is None else str(home.folder)


def path_in_project(home: Home, place: Path) -> str:
    """How a place is written down: relative to the project where it is inside, so that a clone finds it."""
    return place.relative_to(home.project).as_posix() if place.is_relative_to(home.project) else str(place)


def place_in_project(home: Home, path: str) -> Path:
    """The place that was written down so."""
    return home.project / path


def _name_of(home: Home, place: Path) -> str:
    """The name that nobody said: never one that already stands for data somewhere else."""
    if (file := pointer_file(place)).exists() and (known := read_pointer(file).name):
        return known
    name = place.name.partition(".")[0] or place.name.strip(".") or "data"
    path = path_in_project(home, place)
    try:
        newest = list_datasets(home, name)[0]
    except NotFound:
        return name
    if newest.path != path:
        raise Conflict(
            f"dataset {name!r} is {newest.path} already, not {path}", hint=f"taut data add {path} --name NAME"
        )
    return name


def _put_tree(home: Home, snapshot: Snapshot, index: Index, cache: Cache) -> str:
    """Store the list of files; on a home that is shared the files themselves before it."""
    files = share(home, snapshot.files, index, cache) if is_shared(home) else snapshot.files
    return home.objects.put(io.BytesIO(tree_bytes(files)))


def _profile(snapshot: Snapshot) -> tuple[int | None, tuple[Column, ...], TableProfile | None]:
    names = [snapshot.place.name] if snapshot.is_one_file else snapshot.paths
    if not all(name.lower().endswith(SUFFIXES) for name in names):  # What reads tables takes long to load.
        return None, (), None
    places = (snapshot.place if path == ONE_FILE else snapshot.place / path for path, _ in snapshot.listed)
    return profiled(list(places))


def _point(workspace: Workspace, snapshot: Snapshot, version: DatasetVersion) -> None:
    """Write the pointer and what git shall ignore, and stage both where the repository asks for that."""
    changed = [write_pointer(snapshot, version), ignore_in_git(snapshot.place)]
    if workspace.repository is not None and workspace.repository.is_on("core", "autostage"):
        workspace.repository.stage([file for file in changed if file is not None])
