"""What a folder's pointers and locks name, without a home: their states, and what they hold."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taut.data.workspace.cache import Cache
from taut.data.workspace.config import FOLDER
from taut.data.workspace.digests import DIR
from taut.data.workspace.index import open_index
from taut.data.workspace.listing import read_listing
from taut.data.workspace.opened import workspace_of
from taut.data.workspace.pointers import LOCKED, Out, find_files, read_pointer
from taut.data.workspace.repository import repository_of
from taut.data.workspace.stages import read_lock
from taut.data.workspace.states import FileState, states_below
from taut.errors import Corrupt, NotFound

TAUT = ".taut"
OWN = "taut"  # In `.dvc/tmp`: where the index is kept in a DVC repository that is no taut project.


@dataclass(frozen=True, slots=True)
class ListedOut:
    """Data that a pointer or lock names, or a file in it; the names of the first fields are DVC's."""

    path: str
    isout: bool
    isdir: bool
    isexec: bool
    size: int
    md5: str
    files: int
    dataset: str = ""


def workspace_states(folder: Path, only: Sequence[Path] = (), *, updates: bool = False) -> list[FileState]:
    """How all data of the project around a folder stands, addressed from there; of some pointers, data, folders or
    stages only.

    With `updates` repositories that data was imported from are asked for newer commits. Raises NotFound outside of any
    project, Denied, Invalid for a broken file, Corrupt, Unavailable.
    """
    project, taut = project_of(str(folder))
    wanted = [word for path in only for word in (os.path.abspath(path), str(path))]
    with open_index(index_place(project, taut)) as index:
        return list(states_below(index, project, project, taut, str(folder), wanted, updates=updates))


def listed_outs(folder: Path, below: Path, *, recursive: bool) -> list[ListedOut]:
    """What is named below a folder, paths relative to `folder`; with `recursive` every file of folders too.

    Of a folder whose list the cache does not have only the folder itself is told. Raises NotFound, Invalid.
    """
    project, taut = project_of(str(folder))
    place = os.path.abspath(folder / below)
    found: list[ListedOut] = []
    for file in find_files(project):
        dataset = ""
        if os.path.basename(file) == LOCKED:
            outs = [out for stage in read_lock(Path(file)) for out in stage.outs]
        else:
            pointer = read_pointer(Path(file))
            outs, dataset = list(pointer.outs), f"{pointer.name}@{pointer.number}" if pointer.name else ""
        for out in outs:
            if out.target == place or out.target.startswith(f"{place}/"):
                found += _listed(out, str(folder), dataset, workspace_of(file, project, taut).cache, recursive)
    return found


def project_of(folder: str) -> tuple[str, str]:
    """The project around a folder and its `.taut`, which is empty in a DVC repository that has none, and where the home
    is a server's: then the folder is the project. Raises NotFound.
    """
    chosen = os.environ.get("TAUT_HOME", "")
    if chosen and "://" not in chosen:
        folder = os.path.abspath(chosen).removesuffix(f"/{TAUT}")
    place = folder
    while not os.path.isdir(f"{place}/{TAUT}"):
        if (above := os.path.dirname(place)) == place:
            if (repository := repository_of(folder)) is not None:
                return repository.root, ""
            if "://" in chosen:
                return folder, ""
            raise NotFound(f"no taut project in {folder} or above it", hint="taut init")
        place = above
    return place, f"{place}/{TAUT}"


def index_place(project: str, taut: str) -> str:
    """Where the index of a project is kept: its `.taut`, else DVC's folder for what is temporary; empty for nowhere."""
    if taut or not os.path.isdir(os.path.join(project, FOLDER)):
        return taut
    own = os.path.join(project, FOLDER, "tmp", OWN)
    os.makedirs(own, exist_ok=True)
    return own


def _listed(out: Out, folder: str, dataset: str, cache: Cache, recursive: bool) -> list[ListedOut]:
    path = os.path.relpath(out.target, folder)
    is_dir = out.md5.endswith(DIR)
    inside: list[tuple[str, str]] = []
    if is_dir and recursive:
        try:
            inside = read_listing(cache, out.md5)
        except (NotFound, Corrupt):
            inside = []
    whole = ListedOut(path, True, is_dir, out.is_exec, out.size_bytes, out.md5, out.files, dataset)
    return [whole, *(ListedOut(f"{path}/{name}", False, False, False, 0, md5, 1, dataset) for name, md5 in inside)]
