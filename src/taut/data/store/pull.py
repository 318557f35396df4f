"""Contents come out of a store: into files that are whole and synced before they have their names, or as a range."""

import fcntl
import io
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from taut.data.store.catalog import Catalog, Entry
from taut.data.store.codec import Bytes
from taut.data.store.pieces import Pieces
from taut.data.workspace.whole import explained
from taut.errors import Corrupt, Denied, NotFound
from taut.ground.objects.disk import WRITE_BYTES, begin_writing, reserve, sync_file_system, write_in_parts
from taut.ground.progress import Progress

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STAGE = ".taut-pull-"
BATCH_BYTES = 1 << 30  # So much is synced and named at once: a pull that is killed goes on from there.
TOLD_MAX = 3

Opened = Callable[[Catalog, Iterable[bytes]], Pieces]
Unread: TypeAlias = Corrupt | Denied | NotFound
"""Why a content did not come: the others do."""


def pull(
    catalog: Catalog, wanted: Mapping[str, Path], opened: Opened, bar: Progress, failed: dict[str, Unread]
) -> None:
    """Write the contents that the catalog has; why others could not be read is put into `failed`."""
    entries = sorted((catalog.contents[digest] for digest in wanted), key=lambda entry: _place_of(entry, catalog))
    pieces = opened(catalog, (piece for entry in entries for piece in entry.pieces))
    try:
        for folder, group in _by_stage(entries, wanted).items():
            with _stage(folder) as stage:
                batch = _Batch(stage)
                for entry in group:
                    try:
                        batch.write(entry, wanted[entry.digest], pieces, bar)
                    except (Corrupt, Denied, NotFound) as problem:
                        failed[entry.digest] = problem
                batch.end()
    finally:
        pieces.end()


class _Batch:
    """Files beside their places, until they are synced together and moved there."""

    def __init__(self, stage: Path) -> None:
        self._stage = stage
        self._written: list[tuple[Path, Path]] = []
        self._folders: set[Path] = set()
        self._bytes = 0

    def write(self, entry: Entry, target: Path, pieces: Pieces, bar: Progress) -> None:
        """Write one content. Raises what reading its pieces does, and then leaves nothing."""
        part = self._stage / str(len(self._written))
        try:
            self._fill(part, entry, pieces, bar)
            self._make(target.parent)
        except OSError as problem:
            raise explained(problem, target, "written") from None
        self._written.append((part, target))
        self._bytes += entry.size
        if self._bytes >= BATCH_BYTES:
            self.end()

    def end(self) -> None:
        """Sync what is written and give it its names, durably."""
        if not self._written:
            return
        try:
            sync_file_system(self._stage)
            for part, target in self._written:
                part.replace(target)
            sync_file_system(self._stage)
        except OSError as problem:
            raise explained(problem, self._stage.parent, "written") from None
        self._written, self._bytes = [], 0

    def _fill(self, part: Path, entry: Entry, pieces: Pieces, bar: Progress) -> None:
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            size = 0
            if entry.size > WRITE_BYTES:
                reserve(file, 0, entry.size)
            for one in entry.pieces:
                data = pieces.piece(one)
                write_in_parts(file, data)
                if entry.size > WRITE_BYTES:
                    begin_writing(file, size, len(data))
                size += len(data)
                bar.advance(len(data))
            if size != entry.size:
                raise Corrupt(f"{entry.digest} should have {entry.size} bytes, and its pieces have {size}")
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)

    def _make(self, folder: Path) -> None:
        if folder not in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)


def told(failed: Mapping[str, Unread]) -> Unread:
    """One error for all that could not be read, with their digests."""
    worst = [one for one in failed.items() if isinstance(one[1], Corrupt)] or list(failed.items())
    names = ", ".join(digest for digest, _ in worst[:TOLD_MAX])
    more = f" and {len(failed) - TOLD_MAX} more" if len(failed) > TOLD_MAX else ""
    first = worst[0][1]
    return type(first)(f"not fetched: {names}{more}: {first.message}", hint=first.hint)


class RangeReader(io.RawIOBase):
    """A range of a content; only the pieces that it touches are fetched, each when it is reached."""

    def __init__(self, entry: Entry, catalog: Catalog, opened: Opened, start: int, length: int | None) -> None:
        self._at = min(max(0, start), entry.size)
        self._end = entry.size if length is None else min(entry.size, self._at + max(0, length))
        self._left: list[tuple[int, bytes]] = []
        begin = 0
        for one in entry.pieces:
            size = catalog.pieces[one].size
            if begin + size > self._at and begin < self._end:
                self._left.append((begin, one))
            begin += size
        self._pieces = opened(catalog, [one for _, one in self._left])
        self._data: memoryview = memoryview(b"")

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill a buffer as far as the piece goes. Raises Corrupt or NotFound."""
        out = memoryview(buffer).cast("B")
        if not self._data and self._left:
            self._next()
        count = min(len(out), len(self._data))
        out[:count] = self._data[:count]
        self._data = self._data[count:]
        self._at += count
        return count

    def close(self) -> None:
        """Let go of what was fetched."""
        if not self.closed:
            self._pieces.end()
        super().close()

    def _next(self) -> None:
        begin, one = self._left.pop(0)
        data: Bytes = self._pieces.piece(one)
        self._data = memoryview(data)[self._at - begin : self._end - begin]


def _place_of(entry: Entry, catalog: Catalog) -> tuple[str, int]:
    """Where a content begins, so that packs are read one after another."""
    piece = catalog.pieces.get(entry.pieces[0]) if entry.pieces else None
    return (piece.pack, piece.at) if piece is not None else ("", 0)


def _by_stage(entries: list[Entry], wanted: Mapping[str, Path]) -> dict[Path, list[Entry]]:
    """The contents by the folder beside which they are written: the one that all lie in, or else each its own."""
    parents = {wanted[entry.digest].parent for entry in entries}
    if not parents:
        return {}
    common = Path(os.path.commonpath([os.path.abspath(parent) for parent in parents]))
    try:
        for parent in parents:
            parent.mkdir(parents=True, exist_ok=True)
        devices = {os.stat(folder).st_dev for folder in (common, *parents)}
    except OSError as problem:
        raise explained(problem, common, "written") from None
    if len(devices) == 1 and os.access(common, os.W_OK | os.X_OK):
        return {common: entries}
    grouped: dict[Path, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(wanted[entry.digest].parent, []).append(entry)
    return grouped


@contextmanager
def _stage(folder: Path) -> Iterator[Path]:
    """A folder for files in the making, locked while we live; those of the dead are removed."""
    stage = folder / (STAGE + secrets.token_hex(8))
    try:
        for other in folder.glob(STAGE + "*"):
            _sweep(other)
        stage.mkdir()
        lock = os.open(stage, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as problem:
        raise explained(problem, folder, "written") from None
    try:
        with suppress(OSError):  # Where nobody can lock, nobody sweeps either.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        os.close(lock)


def _sweep(stage: Path) -> None:
    with suppress(OSError):  # Locked by the living, or gone by now.
        lock = os.open(stage, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(stage)
        finally:
            os.close(lock)
