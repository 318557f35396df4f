"""Both digests of a file that somebody reads: SHA-256, by which runs remember it, and DVC's, by which versions do."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from taut.data.workspace.add import index_folder, workspace_at
from taut.data.workspace.digests import copied_file
from taut.data.workspace.index import open_index
from taut.data.workspace.snapshot import take_snapshot
from taut.data.workspace.whole import explained
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
