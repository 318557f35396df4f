"""What the observer of a run saw, replayed from its record: which files the command read, wrote, moved and ran.

The observer is the C program in `observer/`; its format is described there. Where it could not work, the same is made
of what the command's Python processes noted, and `reason` says why that is only a part.
"""

import os
import platform
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taut.runs.capture.reads import NATIVE, UNSEEN, Notes

OBSERVER = Path(__file__).with_name("observer") / "observe"
FORMAT = "2"
CUT_SHORT = "the observer did not see the end of the command"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the file system says of a file without reading it."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    mode: int

    def holds_what(self, other: "Stamp") -> bool:
        """Whether the same file, unchanged since; a new link or other permissions change only `ctime_ns`."""
        one = (self.device, self.inode, self.size_bytes, self.mtime_ns)
        return one == (other.device, other.inode, other.size_bytes, other.mtime_ns)


@dataclass(slots=True)
class Observed:
    """What a command did to files, by their real absolute paths.

    `reads` holds those that it read before it wrote them, as they were then; `written` those that it wrote, as they
    were before; None where that is not known or nothing was there. `partly` are those of them in which something of
    that stayed. `typed` maps paths that lead to a file through a link to it, `kept` inputs to the stamp and name of the
    copy made right before the run changed them (no name: too large). `folders` were moved into place whole, each with
    the name that it had before the run; `renamed` are files that the run gave another name but not what they hold, with
    their first name, and `moved` says where what was read under a first name stands now. `unseen` says what cannot have
    been seen.
    """

    reads: dict[str, Stamp | None] = field(default_factory=dict)
    written: dict[str, Stamp | None] = field(default_factory=dict)
    typed: dict[str, str] = field(default_factory=dict)
    partly: dict[str, Stamp] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    executed: set[str] = field(default_factory=set)
    kept: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    connections: dict[str, None] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)
    reason: str = ""


def stamp_of(path: str) -> Stamp | None:
    """The stamp of what stands there, links not followed; None where nothing does."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode)


def observer_problem() -> str:
    """Why this installation of taut has no observer; an empty text where it has one."""
    if os.access(OBSERVER, os.X_OK):
        return ""
    if sys.platform != "linux":
        return f"{platform.system()} has no way to observe what a command opens"
    return "taut was installed where there was no C compiler; with cc there, install it again"


def observed_by_kernel(record: Path) -> Observed:
    """Replay the record. Without its end mark something is missing at its end, and `reason` says so.

    Of a run within another one the record of that one tells, which is named in its own.
    """
    seen = Observed(reason=CUT_SHORT)
    started = False
    for kind, run, stamp, one, two in _events(record):
        if run:
            continue  # Told for a run within this one, and for this one too.
        if kind == "o":
            started = one == FORMAT and not two
            if not started:
                return Observed(reason=f"the kernel refused: {two}" if two else "the observer is of another version")
        elif kind == "e":
            seen.reason = ""
        elif kind == "n":
            _replay_of(seen, Path(two), int(one))
        elif (replay := REPLAYS.get(kind)) is not None:
            replay(seen, stamp, one, two)
    if started and seen.reason:
        seen.unseen.append("what it opened at the end: the observer was gone before the command, or could not write")
    return seen if started else Observed(reason="the observer did not start")


def _replay_of(seen: Observed, outer: Path, number: int) -> None:
    """Replay what the observer of the run around this one saw of it; its copies lie there too."""
    for kind, run, stamp, one, two in _events(outer):
        if run == number and (replay := REPLAYS.get(kind)) is not None:
            replay(seen, stamp, one, str(outer.with_name("kept") / two) if kind == "k" and two else two)


def observed_by_python(notes: Notes, reason: str) -> Observed:
    """The same from the notes of Python processes, which know no stamps."""
    seen = Observed(reason=reason, unseen=[NATIVE if notes.interpreter else UNSEEN])
    for path, is_read in notes.opened.items():
        (seen.reads if is_read else seen.written)[os.path.realpath(path)] = None
        if os.path.realpath(path) != str(path):
            seen.typed[str(path)] = os.path.realpath(path)
    return seen


def _events(record: Path) -> Iterator[tuple[str, int, Stamp, str, str]]:
    """The triplets of a record, each with the number of the run that it is told for; half of one at its end is none."""
    fields = record.read_bytes().split(b"\0")[:-1] if record.exists() else []
    for at in range(0, len(fields) - 2, 3):
        head, one, two = fields[at : at + 3]
        kind, _, *numbers = head.decode("ascii").split()
        if kind == "o" and len(numbers) != 7:  # The number of the format tells which it is.
            numbers = ["0"] * 7
        *stamp, run = map(int, numbers)
        yield kind, run, Stamp(*stamp), os.fsdecode(one), os.fsdecode(two)


def _read(seen: Observed, stamp: Stamp, path: str, typed: str) -> None:
    if path in seen.renamed or path not in seen.written or path in seen.partly:
        first = _first_name(seen, path)
        if first not in seen.reads:
            seen.reads[first] = seen.partly.get(path, stamp)
            if first != path:
                seen.moved[first] = path
    if typed:
        seen.typed.setdefault(os.path.normpath(typed), path)


def _first_name(seen: Observed, path: str) -> str:
    """The name that a file had before the run moved it, or a folder that it lies in."""
    if path in seen.renamed:
        return seen.renamed[path]
    folder = os.path.dirname(path) if seen.folders else ""
    while len(folder) > 1:
        if folder in seen.folders:
            return seen.folders[folder] + path[len(folder) :]
        folder = os.path.dirname(folder)
    return path


def _write(seen: Observed, stamp: Stamp, path: str, typed: str) -> None:
    seen.written.setdefault(path, stamp if stamp.mode else None)
    if typed:
        seen.typed.setdefault(os.path.normpath(typed), path)


def _change(seen: Observed, stamp: Stamp, path: str, typed: str) -> None:
    """Written, but what it held before is still in it and may be read."""
    if path not in seen.written or path in seen.renamed:
        seen.partly[path] = stamp
    _write(seen, stamp, path, typed)


def _read_and_write(seen: Observed, stamp: Stamp, path: str, typed: str) -> None:
    _read(seen, stamp, path, typed)
    _change(seen, stamp, path, typed)


def _execute(seen: Observed, stamp: Stamp, path: str, typed: str) -> None:
    _read(seen, stamp, path, typed)
    seen.executed.add(path)


def _move(seen: Observed, stamp: Stamp, old: str, new: str) -> None:
    """What was written under the old name was written under the new one; a folder takes along all that is in it."""
    if stat.S_ISDIR(stamp.mode):
        for table in (seen.written, seen.links, seen.partly, seen.renamed, seen.folders):
            _rename_below(table, old, new)
        for first in [first for first in seen.reads if _is_below(seen.moved.get(first, first), old)]:
            seen.moved[first] = new + seen.moved.get(first, first)[len(old) :]
        seen.folders.setdefault(new, old)
        return
    first = seen.renamed.pop(old, "" if old in seen.written or old in seen.links else old)
    seen.written.pop(old, None)
    seen.partly.pop(old, None)
    seen.renamed.pop(new, None)
    if (target := seen.links.pop(old, None)) is not None:
        seen.links[new] = target
        return
    seen.links.pop(new, None)
    seen.written[new] = None
    if first:
        seen.renamed[new] = first
    if first in seen.reads:
        seen.moved[first] = new


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _rename_below(table: dict[str, Any], old: str, new: str) -> None:
    for path in [path for path in table if _is_below(path, old)]:
        table[new + path[len(old) :]] = table.pop(path)


def _exchange(seen: Observed, stamp: Stamp, one: str, two: str) -> None:
    """Three renames in one; the record has the mode of the first only, and both are of one kind nearly always."""
    aside = f"{one}\0"
    for old, new in ((one, aside), (two, one), (aside, two)):
        _move(seen, stamp, old, new)
    for table in (seen.folders, seen.renamed):
        for path, first in table.items():
            if _is_below(first, aside):
                table[path] = one + first[len(aside) :]


def _link(seen: Observed, _: Stamp, old: str, new: str) -> None:
    first = seen.renamed.get(old, "" if old in seen.written else old)
    seen.written.setdefault(new, None)
    if first:
        seen.renamed[new] = first


def _symlink(seen: Observed, _: Stamp, link: str, target: str) -> None:
    seen.links[link] = target


def _keep(seen: Observed, stamp: Stamp, path: str, name: str) -> None:
    seen.kept.setdefault(_first_name(seen, path), (stamp, name))


def _connect(seen: Observed, _: Stamp, address: str, __: str) -> None:
    seen.connections[address] = None


def _unseen(seen: Observed, _: Stamp, what: str, __: str) -> None:
    seen.unseen.append(what)


REPLAYS: dict[str, Callable[[Observed, Stamp, str, str], None]] = {
    "r": _read, "w": _write, "a": _change, "b": _read_and_write, "x": _execute, "m": _move, "M": _exchange, "l": _link,
    "s": _symlink, "k": _keep, "c": _connect, "u": _unseen,
}  # fmt: skip
