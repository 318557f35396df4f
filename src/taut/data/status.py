"""`taut data status`: what the pointers say, held against what lies in the folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from taut.data.add import path_in_project
from taut.data.pointers import Pointer, find_pointers, read_pointer
from taut.data.snapshot import Snapshot, take_snapshot
from taut.data.tree import dvc_digest
from taut.data.versions import list_datasets, read_tree
from taut.errors import Invalid, NotFound
from taut.home import Home
from taut.records import TreeFile

State = Literal["unchanged", "modified", "missing", "unknown"]


@dataclass(frozen=True, slots=True)
class DatasetState:
    """How data in the workspace stands to its pointer.

    `newest` is the newest version of that name (0: this home has none); the lists are paths inside the dataset.
    `unknown` is a pointer of a kind that says nothing of the bytes: of DVC 2, or of a version kept in a bucket.
    """

    path: str
    name: str
    number: int
    state: State
    newest: int
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    modified: tuple[str, ...] = ()

    @property
    def dataset(self) -> str:
        """The version that the pointer means; empty where taut did not write it."""
        return f"{self.name}@{self.number}" if self.name else ""


def dataset_status(home: Home, folder: Path) -> list[DatasetState]:
    """The state of every dataset that has a pointer in `folder` or below, in the order of their paths.

    A file with the stamp of its last reading is not read again. Raises Denied, Invalid for a broken pointer, Corrupt.
    """
    pointers = [read_pointer(file) for file in find_pointers(folder.absolute())]
    newest: dict[str, int] = {}
    for version in list_datasets(home) if pointers else ():
        newest[version.name] = max(version.number, newest.get(version.name, 0))
    return [_state(home, pointer, newest.get(pointer.name, 0)) for pointer in pointers]


def compared_files(
    old: tuple[TreeFile, ...], new: tuple[TreeFile, ...]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Paths that came, that went, and whose content changed, each sorted."""
    before, after = ({file.path: file.oid for file in files} for files in (old, new))
    changed = sorted(path for path in before.keys() & after.keys() if before[path] != after[path])
    return tuple(sorted(after.keys() - before.keys())), tuple(sorted(before.keys() - after.keys())), tuple(changed)


def _state(home: Home, pointer: Pointer, newest: int) -> DatasetState:
    path = path_in_project(home, pointer.target)
    if not pointer.md5:
        return DatasetState(path, pointer.name, pointer.number, "unknown", newest)
    snapshot = _snapshot(home, pointer.target)
    if snapshot is None:
        return DatasetState(path, pointer.name, pointer.number, "missing", newest)
    if dvc_digest(snapshot.files) == pointer.md5:
        return DatasetState(path, pointer.name, pointer.number, "unchanged", newest)
    lists = compared_files(_recorded(home, pointer), snapshot.files) if newest else ((), (), ())
    return DatasetState(path, pointer.name, pointer.number, "modified", newest, *lists)


def _snapshot(home: Home, target: Path) -> Snapshot | None:
    if not target.exists():
        return None
    try:
        return take_snapshot(home, target, store=False)
    except Invalid:
        if target.is_dir() and not any(target.iterdir()):
            return None  # Git does not keep empty folders, so one that is left over holds no data either.
        raise


def _recorded(home: Home, pointer: Pointer) -> tuple[TreeFile, ...]:
    """The files the pointer means; none where this home has never seen that version."""
    try:
        return read_tree(home, pointer.tree) if pointer.tree else ()
    except NotFound:
        return ()
