"""Both digests of a file that somebody reads: SHA-256, by which runs remember it, and DVC's, by which versions do."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from taut.data.workspace.add import index_folder, workspace_at
from taut.data.workspace.digests import DIR, copied_file
from taut.data.workspace.index import open_index
from taut.data.workspace.listing import read_listing
from taut.data.workspace.pointers import pointer_over, read_pointer
from taut.data.workspace.snapshot import take_snapshot
from taut.data.workspace.whole import explained
from taut.errors import NotFound
from taut.home import Home

PIECE_BYTES = 1 << 20


class Digests(NamedTuple):
    """The two names of a file's content: taut's and DVC's."""

    oid: str
    md5: str


def digest_file(path: Path) -> Digests:
    """Read one file once for both. Raises Denied or Unavailable."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb", buffering=0) as stream:
            while piece := stream.read(PIECE_BYTES):
                sha256.update(piece)
                md5.update(piece)
    except OSError as problem:
        raise explained(problem, path, "read") from None
    return Digests(sha256.hexdigest(), md5.hexdigest())


def md5_in_dataset(home: Home, path: Path) -> str:
    """DVC's digest of a file of the workspace, which is not read where the index knows it. Raises Denied, NotFound."""
    with open_index(index_folder(home)) as index:
        return take_snapshot(index, str(path), workspace_at(home, path).rules(str(path))).md5s[0]


def md5_by_pointer(home: Home, path: Path, project: Path, near: Path) -> str:
    """DVC's digest of a file, by the pointer over it in a copy of the project; empty where none of them tells.

    A folder's list is taken from the cache of the workspace around `near`. Raises Corrupt for a list or pointer that is
    none.
    """
    file = pointer_over(path, project)
    if file is None:
        return ""
    pointer = read_pointer(file)
    if not pointer.md5.endswith(DIR):
        return pointer.md5 if pointer.target == path else ""
    try:
        listed = dict(read_listing(workspace_at(home, near).cache, pointer.md5))
    except NotFound:
        return ""
    return listed.get(path.relative_to(pointer.target).as_posix(), "") if path.is_relative_to(pointer.target) else ""


def copy_content(home: Home, md5: str, near: Path, target: Path) -> bool:
    """Copy content into a new file out of the cache of the workspace around a place; whether it is there, and whole."""
    source = workspace_at(home, near).cache.path_of(md5)
    try:
        if copied_file(source, str(target), mode=0o666).md5 == md5:
            return True
    except FileNotFoundError:
        return False
    except OSError as problem:
        raise explained(problem, target, "written") from None
    target.unlink()
    return False
