"""Journals become segments: gathered, sorted, stored with how far they were read, and only then removed.

One process a machine does it, in its own time; whoever is killed at any step leaves nothing that is lost or there
twice, for the segment and the places up to which journals lie in it are recorded together.
"""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path

from taut.errors import Conflict, Denied
from taut.home import Home
from taut.serve.log.journal import Body, Reading, Record, is_written, journals_in, sweep_parts
from taut.serve.log.reading import need_arrow
from taut.serve.log.sealing_key import read_data_key
from taut.serve.log.segments import Sealing, forget_journals, record_segment, sealing_progress
from taut.serve.log.taking import made_of, take_records
from taut.serve.log.writing import log_place

SEGMENT_BYTES = 32 << 20  # Of journals, as much as one has: some 150,000 rows of 20 columns, which take some 150 MB.
SENT_BYTES = 8 << 20  # Of journals in one call of a server, as text a third more.
TRIES = 5
DAMAGED = ".damaged"
LOCK = "seal.lock"


@dataclass
class Sealed:
    """What a round did: segments that it made, the rows in them, and the places of journals that were damaged."""

    segments: int = 0
    rows: int = 0
    damaged: int = 0


@dataclass
class _Batch:
    """Parts of journals for one segment."""

    parts: list[Sealing] = field(default_factory=list)
    found: list[tuple[Reading, list[Record]]] = field(default_factory=list)
    size_bytes: int = 0
    damaged: int = 0

    def records(self, flags: int = 0) -> Iterator[Body]:
        """What is in the records with one of these flags, in all for 0."""
        for reading, records in self.found:
            for one in records:
                if not flags or one.flags & flags:
                    yield reading.opened(one)

    def close(self) -> None:
        """Let go of the journals."""
        for reading, _ in self.found:
            reading.close()


def seal(home: Home, deployment: str, *, also_written: bool = False, encrypt: bool | None = None) -> Sealed:
    """Seal what lies in the journals of this machine, and remove those that nobody writes any more.

    `also_written` takes what is in journals that are still written too; their rest stays for the next round. Does
    nothing where another process of this machine is at it. Raises UsageError without pyarrow, what the home's
    stores do, and Conflict where machines seal so often that none gets a turn.
    """
    folder = log_place(home).folder / deployment
    done = Sealed()
    if not any(also_written or not is_written(path) for path in journals_in(folder)):
        return done
    if home.remote is None:
        need_arrow()
    with _alone(folder) as is_ours:
        tries = TRIES if is_ours else 0
        # What is appended from here on is for the next round: writers may be faster than this is.
        sizes = {path.name: path.stat().st_size for path in journals_in(folder) if also_written or not is_written(path)}
        while tries:
            try:
                if not _seal_some(home, deployment, folder, sizes, done, encrypt=encrypt):
                    break
                tries = TRIES
            except Conflict:
                tries -= 1
                if not tries:
                    raise
    return done


def _seal_some(
    home: Home, deployment: str, folder: Path, sizes: dict[str, int], done: Sealed, *, encrypt: bool | None
) -> bool:
    """Seal as much as fits into one segment; whether anything was left to do."""
    # Whether somebody writes is asked before a file is read: then what is read is all there ever will be.
    paths = [path for path in journals_in(folder) if path.name in sizes]
    complete = [path for path in paths if not is_written(path)]
    progress = sealing_progress(home, deployment, [path.name for path in paths])
    batch = _gathered(home, paths, progress.sealed, sizes)
    try:
        if batch.parts:
            _record(home, deployment, batch, progress.newest, done, encrypt=encrypt)
            return True
    finally:
        batch.close()
    _remove(home, deployment, complete, progress.sealed)
    sweep_parts(folder)
    return False


def _gathered(home: Home, paths: Sequence[Path], sealed: dict[str, int], sizes: dict[str, int]) -> _Batch:
    """The parts of journals that are sealed next: from where each was sealed, up to the size that it had."""
    key = read_data_key(paths[0].parent, log_place(home).keys) if paths else None
    batch, most_bytes = _Batch(), SEGMENT_BYTES if home.remote is None else SENT_BYTES
    for path in paths:
        start = sealed.get(path.name, 0)
        most = min(sizes[path.name] - start, most_bytes - batch.size_bytes)
        if most <= 0:
            continue
        reading = Reading(path, key)
        records = reading.found(start, most)
        batch.found.append((reading, records))
        if reading.damaged:
            _keep_aside(path)
        if records:
            batch.parts.append(Sealing(path.name, start, reading.end))
            batch.size_bytes += reading.end - start
            batch.damaged += reading.damaged
    return batch


def _record(home: Home, deployment: str, batch: _Batch, newest: int, done: Sealed, *, encrypt: bool | None) -> None:
    """Make a segment of a batch here, or have the home's server make it."""
    if home.remote is not None:
        records = [bytes(one) for one in batch.records()]
        number, rows = astuple(take_records(home, deployment, records, batch.parts, batch.damaged, encrypt))
    else:
        data, facts = made_of(home, deployment, batch.records, damaged=batch.damaged)
        number = record_segment(home, deployment, data, facts, batch.parts, newest, encrypt)
        rows = 0 if facts is None else facts.rows
    if number:
        done.segments += 1
        done.rows += rows
        done.damaged += batch.damaged


def _keep_aside(path: Path) -> None:
    """Keep a damaged journal under another name: what is in none of its records may mean something to somebody."""
    aside = path.with_suffix(DAMAGED)
    with suppress(FileExistsError):
        try:
            os.link(path, aside)
        except PermissionError:  # Not every file system has links.
            shutil.copy(path, aside)


def _remove(home: Home, deployment: str, complete: Sequence[Path], sealed: dict[str, int]) -> None:
    """Remove journals that nobody writes and that lie in segments whole."""
    removed = []
    for path in complete:
        reading = Reading(path, None)
        end = reading.reach(sealed.get(path.name, 0), sys.maxsize)
        reading.close()
        if end == sealed.get(path.name, 0):
            path.unlink(missing_ok=True)
            removed.append(path.name)
    if names := [name for name in removed if name in sealed]:
        forget_journals(home, deployment, names)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether this process may seal, and no other of the machine does while the block runs."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise Denied(f"{folder} cannot be written: {problem.strerror}", hint=f"ls -ld {folder}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
