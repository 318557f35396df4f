"""`taut data add`: bytes become a dataset version, and a pointer that git can keep."""

import io
import os
from pathlib import Path

from taut.data.dvc_cache import fill_dvc_cache
from taut.data.pointers import pointer_file, read_pointer, write_pointer
from taut.data.profiles import keep_profile, profiled
from taut.data.snapshot import Snapshot, require_unchanged, take_snapshot
from taut.data.tree import ONE_FILE, tree_bytes
from taut.data.versions import list_datasets, record_dataset
from taut.errors import Conflict, NotFound
from taut.home import Home
from taut.records import Column, DatasetVersion, TableProfile


def add_dataset(home: Home, path: Path, *, name: str = "") -> DatasetVersion:
    """Snapshot a file or folder: store its bytes, record a version, write `PATH.dvc` and the `.gitignore` beside it.

    The name is that of the pointer that is there already, else the file's without its endings. Content equal to the
    newest version is that version. Killed at any moment it has recorded a whole version or none, and typed again it
    finishes. Raises NotFound, Denied, Invalid, and Conflict where the data changes meanwhile or the name is taken.
    """
    place = Path(os.path.abspath(path))
    chosen = name or _name_of(home, place)
    snapshot = take_snapshot(home, place, store=True)
    tree = _put_tree(home, snapshot)
    rows, columns, profile = _profile(snapshot)
    require_unchanged(snapshot)
    fill_dvc_cache(snapshot)
    version = record_dataset(
        home, chosen, path=path_in_project(home, place), tree=tree, rows=rows, columns=list(columns)
    )
    keep_profile(home, version, profile)
    write_pointer(place, snapshot.files, version)
    return version


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


def _put_tree(home: Home, snapshot: Snapshot) -> str:
    return home.objects.put(io.BytesIO(tree_bytes(snapshot.files)))


def _profile(snapshot: Snapshot) -> tuple[int | None, tuple[Column, ...], TableProfile | None]:
    return profiled(
        [snapshot.place if file.path == ONE_FILE else snapshot.place / file.path for file in snapshot.files]
    )
