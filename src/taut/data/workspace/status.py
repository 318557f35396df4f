"""`taut data status`: what the pointers say, held against what lies in the folder, with versions and single files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from taut.data.versions import list_datasets, read_tree
from taut.data.workspace.add import index_folder, path_in_project
from taut.data.workspace.digests import DIR
from taut.data.workspace.index import open_index
from taut.data.workspace.listing import read_listing
from taut.data.workspace.opened import workspace_of
from taut.data.workspace.pointers import Pointer
from taut.data.workspace.states import OutState, State, states_below
from taut.errors import Corrupt, NotFound
from taut.home import Home
from taut.records import TreeFile


@dataclass(frozen=True, slots=True)
class DatasetState:
    """How data in the workspace stands to its pointer.

    `newest` is the newest version of that name (0: this home has none); the lists are paths inside the dataset.
    `unknown` is a pointer of a kind that says nothing of the bytes, as of a version kept in a bucket.
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
    place = str(folder.absolute())
    with open_index(index_folder(home)) as index:
        found = [
            (one.pointer, out)
            for one in states_below(index, place, str(home.project), index_folder(home), place)
            if one.pointer is not None
            for out in one.outs
        ]
    newest: dict[str, int] = {}
    for version in list_datasets(home) if found else ():
        newest[version.name] = max(version.number, newest.get(version.name, 0))
    return [_state(home, pointer, out, newest.get(pointer.name, 0)) for pointer, out in found]


def compared_files(
    old: Iterable[TreeFile], new: Iterable[TreeFile]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Paths that came, that went, and whose content changed, each sorted."""
    before, after = ({file.path: file.md5 for file in files} for files in (old, new))
    changed = sorted(path for path in before.keys() & after.keys() if before[path] != after[path])
    return tuple(sorted(after.keys() - before.keys())), tuple(sorted(before.keys() - after.keys())), tuple(changed)


def _state(home: Home, pointer: Pointer, found: OutState, newest: int) -> DatasetState:
    path = path_in_project(home, Path(found.out.target))
    lists: tuple[tuple[str, ...], ...] = ((), (), ())
    is_folder = found.out.md5.endswith(DIR)
    if (found.state == "modified" and found.snapshot is not None) or (found.state == "deleted" and is_folder):
        recorded = _recorded(home, pointer, found)
        if recorded is not None:
            lists = compared_files(recorded, found.snapshot.files if found.snapshot is not None else ())
    return DatasetState(path, pointer.name, pointer.number, found.state, newest, *lists)


def _recorded(home: Home, pointer: Pointer, found: OutState) -> tuple[TreeFile, ...] | None:
    """The files the pointer means; None where this home has never seen that version and the cache has no list of it."""
    try:
        if pointer.tree and pointer.outs[0] == found.out:
            return read_tree(home, pointer.tree)
        workspace = workspace_of(str(pointer.file), str(home.project), index_folder(home))
        return tuple(TreeFile(path, md5=md5) for path, md5 in read_listing(workspace.cache, found.out.md5))
    except (NotFound, Corrupt):
        return None
