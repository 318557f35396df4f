"""Journals become segments: gathered, sorted, stored with how far they were read, and only then removed.

One process a machine does it, in its own time; whoever is killed at any step leaves nothing that is lost or there
twice, for the segment and the places up to which journals lie in it are recorded together.
"""

import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

from taut.errors import Conflict, Denied
from taut.home import Home
from taut.serve.log.journal import Reading, Record, is_written, journals_in, sweep_parts
from taut.serve.log.reading import need_arrow
from taut.serve.log.said import unpack
from taut.serve.log.sealing_key import read_data_key
from taut.serve.log.segments import Sealing, forget_journals, record_segment, sealing_progress
from taut.serve.log.taking import made_of, take_records
from taut.serve.log.writing import log_place

SEGMENT_BYTES = 64 << 20  # Of journals: some 200,000 rows of 20 columns, whose sorting takes some 300 MB.
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

    parts: list[tuple[Reading, Sealing]] = field(default_factory=list)
    size_bytes: int = 0
    damaged: int = 0


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
        for reading, _ in batch.parts:
            reading.close()
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
        end = reading.reach(start, most)
        if end > start:
            batch.parts.append((reading, Sealing(path.name, start, end)))
            batch.size_bytes += end - start
            batch.damaged += reading.damaged
        else:
            reading.close()
    return batch


def _record(home: Home, deployment: str, batch: _Batch, newest: int, done: Sealed, *, encrypt: bool | None) -> None:
    """Make a segment of a batch here, or have the home's server make it."""
    journals = [sealing for _, sealing in batch.parts]
    if home.remote is not None:
        records = [record.body for record in _records(batch)]
        number, rows = astuple(take_records(home, deployment, records, journals, batch.damaged, encrypt))
    else:
        number, rows = _record_here(home, deployment, batch, journals, newest, encrypt=encrypt)
    if number:
        done.segments += 1
        done.rows += rows
        done.damaged += batch.damaged


def _record_here(
    home: Home, deployment: str, batch: _Batch, journals: list[Sealing], newest: int, *, encrypt: bool | None
) -> tuple[int, int]:
    from taut.serve.log.building import facts_of
    from taut.serve.log.parquet import written

    table = made_of(home, deployment, lambda flags: (unpack(one.body) for one in _records(batch, only=flags)))
    if table is None:
        return record_segment(home, deployment, b"", None, journals, newest), 0
    facts = replace(facts_of(table), damaged=batch.damaged)
    return record_segment(home, deployment, written(table), facts, journals, newest, encrypt), facts.rows


def _records(batch: _Batch, *, only: int = 0) -> Iterator[Record]:
    for reading, part in batch.parts:
        yield from reading.records(part.start, until=part.end, only=only)


def _remove(home: Home, deployment: str, complete: Sequence[Path], sealed: dict[str, int]) -> None:
    """Remove journals that nobody writes and that lie in segments whole; damaged ones are put aside."""
    removed = []
    for path in complete:
        reading = Reading(path, None)
        end = reading.reach(sealed.get(path.name, 0), sys.maxsize)
        reading.reach(0, sys.maxsize)
        reading.close()
        if end == sealed.get(path.name, 0):
            if reading.damaged:
                path.rename(path.with_suffix(DAMAGED))
            else:
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
