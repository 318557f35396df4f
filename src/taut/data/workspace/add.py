"""`taut data add`: bytes become a dataset version, and a pointer that git can keep."""

import io
import os
import re
from pathlib import Path

from taut.data.tables.parts import SUFFIXES
from taut.data.tables.profiles import profiled
from taut.data.versions import NAME_MAX, list_datasets, record_dataset
from taut.data.workspace.cache import Cache
from taut.data.workspace.index import Index, open_index
from taut.data.workspace.opened import Workspace, workspace_of
from taut.data.workspace.owners import Owner, owner_of
from taut.data.workspace.pointers import ignore_in_git, write_pointer
from taut.data.workspace.sharing import is_shared, share
from taut.data.workspace.snapshot import Snapshot, settled, store_snapshot
from taut.data.workspace.tree import tree_bytes
from taut.data.workspace.walk import ONE_FILE
from taut.errors import Conflict, Invalid, NotFound
from taut.home import Home
from taut.records import Column, DatasetVersion, TableProfile

NAMES_MAX = 100  # Tried for data whose own name cannot be one, before its user is asked for another.


def add_dataset(home: Home, path: Path, *, name: str = "") -> DatasetVersion:
    """Snapshot a file or folder: store its bytes, record a version, write `PATH.dvc` and the `.gitignore` beside it.

    The bytes go into the workspace cache, and to the home where others share it. The name is that of the pointer that
    is there already, wherever it stands, else the file's without its endings, behind those of its folders where other
    data has it. Content equal to the newest version is that version. Killed at any moment it has recorded a whole
    version or none, and typed again it finishes. Raises NotFound, Denied, Invalid, and Conflict where the data changes
    meanwhile, no name is free, a stage makes it, it was imported, it lies in other tracked data or DVC works there.
    """
    place = Path(os.path.abspath(path))
    workspace = workspace_at(home, place)
    rules = workspace.rules(str(place))
    if rules is not None and rules.ignores(str(place), is_dir=place.is_dir()):
        raise Invalid(f"{place} is left out by .dvcignore", hint=f"cat {workspace.root}/.dvcignore")
    with workspace.locked(place), open_index(index_folder(home)) as index:
        owner = _owner(workspace, place)
        chosen = name or _name_of(home, place, owner)
        snapshot = store_snapshot(index, str(place), workspace.cache, rules)
        rows, columns, profile = _profile(snapshot)
        settled(index, snapshot, workspace.cache, rules)
        tree = _put_tree(home, snapshot, index, workspace.cache)
        version = record_dataset(
            home, chosen, path=path_in_project(home, place), tree=tree, rows=rows, columns=list(columns),
            profile=profile,
        )  # fmt: skip
        _point(workspace, snapshot, version, owner)
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


def _owner(workspace: Workspace, place: Path) -> Owner | None:
    """The pointer that names a place. Raises Conflict for what a stage makes or was imported, which nobody adds."""
    owner = owner_of(workspace, place)
    if owner is None:
        return None
    if owner.stage is not None:
        raise Conflict(
            f"{place} is made by the stage {owner.stage.address!r}", hint=f"dvc commit {owner.stage.address}"
        )
    if owner.pointer is not None and owner.pointer.deps:
        raise Conflict(f"{place} was imported: {owner.file} says from where", hint=f"taut data update {owner.file}")
    return owner


def _name_of(home: Home, place: Path, owner: Owner | None) -> str:
    """The name that nobody said: the file's, with as many folders before it as tell it from data somewhere else."""
    if owner is not None and owner.pointer is not None and owner.number == 0 and (known := owner.pointer.name):
        return known
    path = path_in_project(home, place)
    own = place.name.partition(".")[0] or place.name
    *above, name = [_word(part) for part in (*Path(path).parts[:-1], own)]
    names = [name]
    while above and len(f"{above[-1]}-{names[-1]}") <= NAME_MAX:
        names.append(f"{above.pop()}-{names[-1]}")
    if name != own:  # Others may be called the same once what no name may have is gone.
        names += [f"{name}-{number}" for number in range(2, NAMES_MAX)]
    for one in names:
        try:
            newest = list_datasets(home, one)[0]
        except NotFound:
            return one
        if newest.path == path:
            return one
    raise Conflict(f"dataset {name!r} is {newest.path} already, not {path}", hint=f"taut data add {path} --name NAME")


def _word(part: str) -> str:
    """A part of a path as a name that can be typed: what no name may have becomes a hyphen."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-._")[:NAME_MAX] or "data"


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


def _point(workspace: Workspace, snapshot: Snapshot, version: DatasetVersion, owner: Owner | None) -> None:
    """Write the pointer and what git shall ignore, and stage both where the repository asks for that."""
    file, number = (owner.file, owner.number) if owner is not None else (None, 0)
    is_kept_by_git = owner is not None and owner.pointer is not None and not owner.pointer.outs[number].is_cached
    changed = [
        write_pointer(snapshot, version, file, number), None if is_kept_by_git else ignore_in_git(snapshot.place),
    ]  # fmt: skip
    if workspace.repository is not None and workspace.repository.is_on("core", "autostage"):
        workspace.repository.stage([file for file in changed if file is not None])
