"""The files of a folder, found by one walk with one stat each: their paths, and the stamps that tell them unchanged."""

import os
import stat
from array import array
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from taut.data.workspace.bulk import scan
from taut.data.workspace.ignore import IGNORE_FILE, NEVER_INSIDE, Rules
from taut.data.workspace.packed import packed_names, unpacked_names
from taut.data.workspace.whole import explained
from taut.errors import Invalid, NotFound

ONE_FILE = "."  # The path of the only file of a dataset that is no folder.
FIELDS = 4  # Of a stamp.


@dataclass(frozen=True)
class Walk:
    """What was met, packed: names inside the folder, and for each four numbers: size, mtime and ctime in ns, inode.

    The ctime of a file with several names is 0: it changes whenever one of the names comes or goes.
    `ignored` are what the rules leave out, files and whole folders. `is_exec` is of the one file that is no folder.
    """

    names: bytes = b""
    stamps: "array[int]" = field(default_factory=lambda: array("q"))
    ignored: list[str] = field(default_factory=list)
    is_exec: bool = False

    def __len__(self) -> int:
        return len(self.stamps) // FIELDS

    @cached_property
    def paths(self) -> list[str]:
        """The names one by one."""
        return unpacked_names(self.names)

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(self.column(0))

    def column(self, number: int) -> "array[int]":
        """One of the four numbers, of all files."""
        return self.stamps[number::FIELDS]

    def has_same(self, other: "Walk") -> bool:
        """Whether the same names have the same bytes, as far as size, mtime and inode tell."""
        return self.names == other.names and all(self.column(number) == other.column(number) for number in (0, 1, 3))


def walk(place: str, rules: Rules | None = None) -> Walk:
    """Every file of a folder in no particular order, or the one file that `place` is.

    A link to a file counts as the file; links to folders are not followed, empty folders and repositories inside not
    seen, as in DVC. Raises NotFound, Denied, and Invalid for what is no file, has a name that is no text, or for rules
    inside the data.
    """
    try:
        if os.path.isdir(place):
            return _walk(place, rules)
        status = os.stat(place)
    except FileNotFoundError as problem:
        missing = Path(problem.filename)
        raise NotFound(f"no file or folder {missing}", hint=f"ls {missing.parent}") from None
    except OSError as problem:
        raise explained(problem, Path(problem.filename or place), "read") from None
    if not stat.S_ISREG(status.st_mode):
        raise _no_file(place)
    _check_names(place, b"")
    is_exec = bool(status.st_mode & stat.S_IEXEC)
    return Walk(packed_names([ONE_FILE]), array("q", stamp_of(status)), is_exec=is_exec)


def stamp_of(status: os.stat_result) -> tuple[int, int, int, int]:
    """The four numbers of a file's status."""
    ctime_ns = 0 if status.st_nlink > 1 else status.st_ctime_ns
    return status.st_size, status.st_mtime_ns, ctime_ns, status.st_ino


def _walk(place: str, rules: Rules | None) -> Walk:
    waiting, stamps = [(place, "")], array("q")
    parts: list[bytes] = []
    ignored: list[str] = []
    while waiting:
        folder, inside = waiting.pop()
        names, numbers, below, others = scan(folder, inside)
        for name in unpacked_names(others):
            if not _is_left_out(rules, f"{folder}/{name}"):
                raise _no_file(f"{folder}/{name}")
        folders = unpacked_names(below)
        if ".dvc" in folders and inside:  # A repository of its own, as a folder below another's.
            continue
        if rules is not None or _has(names, inside + IGNORE_FILE) or _has(names, inside + ".git"):
            names, numbers, folders = _sift(folder, inside, rules, names, numbers, folders, ignored)
        parts.append(names)
        stamps.frombytes(numbers)
        waiting += [(f"{folder}/{name}", f"{inside}{name}/") for name in folders if name not in NEVER_INSIDE]
    found = Walk(b"".join(parts), stamps, ignored)
    _check_names(place, found.names)
    return found


def _has(names: bytes, name: str) -> bool:
    wanted = packed_names([name])
    return names.startswith(wanted) or b"\0" + wanted in names


def _sift(
    folder: str, inside: str, rules: Rules | None, names: bytes, stamps: bytes, folders: list[str], ignored: list[str]
) -> tuple[bytes, bytes, list[str]]:
    """Take out what the rules leave out of one folder; returns what stays."""
    fresh = unpacked_names(names)
    if inside + IGNORE_FILE in fresh:
        raise Invalid(f"{folder}/{IGNORE_FILE} would be part of the data", hint="move it above the data, as DVC asks")
    is_kept = [
        (name := path[len(inside) :]) != ".git" and not _is_left_out(rules, f"{folder}/{name}") for path in fresh
    ]
    if not all(is_kept):
        width = len(stamps) // len(fresh)
        stamps = b"".join(stamps[number * width : (number + 1) * width] for number, keep in enumerate(is_kept) if keep)
        names = packed_names([path for path, keep in zip(fresh, is_kept, strict=True) if keep])
        ignored += [path for path, keep in zip(fresh, is_kept, strict=True) if not keep]
    left_out = {name for name in folders if rules is not None and rules.ignores(f"{folder}/{name}", is_dir=True)}
    ignored += [inside + name for name in sorted(left_out)]
    return names, stamps, [name for name in folders if name not in left_out]


def _is_left_out(rules: Rules | None, path: str) -> bool:
    return rules is not None and rules.ignores(path, is_dir=False)


def _check_names(place: str, names: bytes) -> None:
    try:
        place.encode()
        names.decode()
    except UnicodeError:
        bad = next(path for path in [place, *unpacked_names(names)] if not _is_text(path))
        raise Invalid(f"the name of {os.fsencode(bad)!r} is not UTF-8", hint="rename it") from None


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_file(path: str) -> Invalid:
    return Invalid(f"{path} is no file that can be snapshot: a pipe, socket or device", hint=f"ls -l {path}")
