"""Trees of files: found by one walk, listed in one canonical form, named by DVC's digest and by taut's."""

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from taut.data.whole import explained
from taut.errors import Invalid, NotFound
from taut.ground import wire
from taut.ground.objects import oid_of
from taut.records import TreeFile

ONE_FILE = "."  # The path of the only file of a dataset that is no folder.
NEVER_INSIDE = frozenset({".git", ".hg", ".dvc", ".taut"})  # As DVC has it, and our own.


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells without reading that a file is as it was."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Found:
    """A file that the walk met: its path inside the tree, where it lies, and its stamp at that moment."""

    path: str
    place: Path
    stamp: Stamp


def walk_tree(place: Path) -> list[Found]:
    """Every file of a folder, sorted by path, or the one file that `place` is.

    A link to a file counts as the file; links to folders are not followed and empty folders not seen, as in DVC.
    Raises NotFound, Denied, and Invalid for what is no file or has a name that is no text.
    """
    try:
        if place.is_dir():
            return sorted(_walk(place, ""), key=lambda found: found.path)
        return [_found(ONE_FILE, place, place.stat())]
    except FileNotFoundError as problem:
        missing = Path(problem.filename)
        raise NotFound(f"no file or folder {missing}", hint=f"ls {missing.parent}") from None
    except OSError as problem:
        raise explained(problem, Path(problem.filename or place), "read") from None


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file, links followed. Raises OSError where there is none."""
    return _stamp(path.stat())


def tree_bytes(files: Iterable[TreeFile]) -> bytes:
    """The canonical list of a tree's files; its SHA-256 is the name of the tree.

    >>> tree_bytes([TreeFile(".", "ab", "cd", 3)])
    b'[{"path":".","oid":"ab","md5":"cd","size_bytes":3}]'
    """
    return wire.encode(sorted(files, key=lambda file: file.path))


def tree_oid(files: Iterable[TreeFile]) -> str:
    """The name of a tree: equal for equal content, wherever it lies."""
    return oid_of(tree_bytes(files))


def dvc_bytes(files: Iterable[TreeFile]) -> bytes:
    """A folder's list of files exactly as DVC writes its `.dir` objects (Python's json with its default separators)."""
    entries = [{"md5": file.md5, "relpath": file.path} for file in sorted(files, key=lambda file: file.path)]
    return json.dumps(entries, sort_keys=True).encode()


def dvc_digest(files: tuple[TreeFile, ...]) -> str:
    """What DVC's pointer says under `md5`: the file's own digest, or that of the list with `.dir` behind it.

    >>> dvc_digest((TreeFile("a", "", "0cc175b9c0f1b6a831c399e269772661", 1),))
    '580614454446a0c6c4af2f3dae1f8d2b.dir'
    """
    if is_one_file(files):
        return files[0].md5
    return hashlib.md5(dvc_bytes(files), usedforsecurity=False).hexdigest() + ".dir"


def is_one_file(files: tuple[TreeFile, ...]) -> bool:
    """Whether the tree is a single file and no folder."""
    return len(files) == 1 and files[0].path == ONE_FILE


def _walk(folder: Path, inside: str) -> Iterator[Found]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = f"{inside}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in NEVER_INSIDE:
                    yield from _walk(folder / entry.name, f"{path}/")
            elif not (entry.is_symlink() and entry.is_dir()):
                yield _found(path, folder / entry.name, entry.stat())


def _found(path: str, place: Path, status: os.stat_result) -> Found:
    if not stat.S_ISREG(status.st_mode):
        raise Invalid(f"{place} is no file that can be snapshot: a pipe, socket or device", hint=f"ls -l {place}")
    try:
        str(place).encode()
    except UnicodeEncodeError:
        raise Invalid(f"the name of {os.fsencode(place)!r} is not UTF-8", hint="rename it") from None
    return Found(path, place, _stamp(status))


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
