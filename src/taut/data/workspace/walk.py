"""The files of a folder, found by one walk with one stat each: their paths, and the stamps that tell them unchanged."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from taut.data.workspace.ignore import IGNORE_FILE, NEVER_INSIDE, Rules
from taut.data.workspace.whole import explained
from taut.errors import Invalid, NotFound

ONE_FILE = "."  # The path of the only file of a dataset that is no folder.
FIELDS = 4  # Of a stamp.


class Walk(NamedTuple):
    """What was met: paths inside the folder, and for each four numbers: size, mtime and ctime in ns, inode.

    The ctime of a file with several names is 0: it changes whenever one of the names comes or goes.
    `ignored` are what the rules leave out, files and whole folders. `is_exec` is of the one file that is no folder.
    """

    paths: list[str]
    stamps: list[int]
    ignored: list[str]
    is_exec: bool = False

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(self.stamps[::FIELDS])


def walk(place: str, rules: Rules | None = None) -> Walk:
    """Every file of a folder in no particular order, or the one file that `place` is.

    A link to a file counts as the file; links to folders are not followed, empty folders and repositories inside not
    seen, as in DVC. Raises NotFound, Denied, and Invalid for what is no file, has a name that is no text, or for rules
    inside the data.
    """
    found = Walk([], [], [])
    try:
        if os.path.isdir(place):
            _walk(place, rules, found)
            return found
        status = os.stat(place)
    except FileNotFoundError as problem:
        missing = Path(problem.filename)
        raise NotFound(f"no file or folder {missing}", hint=f"ls {missing.parent}") from None
    except OSError as problem:
        raise explained(problem, Path(problem.filename or place), "read") from None
    if not stat.S_ISREG(status.st_mode):
        raise _no_file(place)
    found.paths.append(ONE_FILE)
    found.stamps.extend(stamp_of(status))
    _check_names(place, found.paths)
    return found._replace(is_exec=bool(status.st_mode & stat.S_IEXEC))


def stamp_of(status: os.stat_result) -> tuple[int, int, int, int]:
    """The four numbers of a file's status."""
    ctime_ns = 0 if status.st_nlink > 1 else status.st_ctime_ns
    return status.st_size, status.st_mtime_ns, ctime_ns, status.st_ino


def _walk(place: str, rules: Rules | None, found: Walk) -> None:
    waiting = [(place, "")]
    is_regular, paths, stamps = stat.S_ISREG, found.paths, found.stamps
    while waiting:
        folder, inside = waiting.pop()
        known, folders = len(paths), []
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                    continue
                status = entry.stat()
                if not is_regular(status.st_mode):
                    if stat.S_ISDIR(status.st_mode) or _is_left_out(rules, entry.path):
                        continue
                    raise _no_file(entry.path)
                paths.append(inside + name)
                stamps += (
                    status.st_size,
                    status.st_mtime_ns,
                    0 if status.st_nlink > 1 else status.st_ctime_ns,
                    status.st_ino,
                )
        if ".dvc" in folders and inside:  # A repository of its own, as a folder below another's.
            del paths[known:], stamps[known * FIELDS :]
            continue
        if rules is not None or inside + IGNORE_FILE in paths[known:] or inside + ".git" in paths[known:]:
            folders = _sift(folder, inside, rules, found, known, folders)
        waiting += [(f"{folder}/{name}", f"{inside}{name}/") for name in folders if name not in NEVER_INSIDE]
    _check_names(place, paths)


def _sift(folder: str, inside: str, rules: Rules | None, found: Walk, known: int, folders: list[str]) -> list[str]:
    """Take out what the rules leave out of one folder; returns the folders that stay."""
    fresh = found.paths[known:]
    if inside + IGNORE_FILE in fresh:
        raise Invalid(f"{folder}/{IGNORE_FILE} would be part of the data", hint="move it above the data, as DVC asks")
    names = [path[len(inside) :] for path in fresh]
    kept = [name != ".git" and not _is_left_out(rules, f"{folder}/{name}") for name in names]
    if not all(kept):
        stamps = found.stamps[known * FIELDS :]
        del found.paths[known:], found.stamps[known * FIELDS :]
        for number, keep in enumerate(kept):
            if keep:
                found.paths.append(fresh[number])
                found.stamps.extend(stamps[number * FIELDS : (number + 1) * FIELDS])
            else:
                found.ignored.append(fresh[number])
    left_out = {name for name in folders if rules is not None and rules.ignores(f"{folder}/{name}", is_dir=True)}
    found.ignored.extend(inside + name for name in sorted(left_out))
    return [name for name in folders if name not in left_out]


def _is_left_out(rules: Rules | None, path: str) -> bool:
    return rules is not None and rules.ignores(path, is_dir=False)


def _check_names(place: str, paths: list[str]) -> None:
    try:
        "\0".join([place, *paths]).encode()
    except UnicodeEncodeError:
        bad = next(path for path in [place, *paths] if not _is_text(path))
        raise Invalid(f"the name of {os.fsencode(bad)!r} is not UTF-8", hint="rename it") from None


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_file(path: str) -> Invalid:
    return Invalid(f"{path} is no file that can be snapshot: a pipe, socket or device", hint=f"ls -l {path}")
