"""What of an earlier version a new one is stored against: all of it, or of long files the stretch that it grew from."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from taut.data.store.catalog import Catalog, Entry
from taut.data.store.chunks import Cutter
from taut.data.store.codec import SAMPLE_BYTES, Bytes, delta, digest_of, joined, shrunk
from taut.data.store.pieces import Pieces
from taut.data.store.roots import Root
from taut.errors import Corrupt, Denied, NotFound

SIZE_MIN = 1 << 10  # What is smaller costs more in the index than a delta of it saves.
# Up to here the whole earlier version is the base, wherever in it the bytes stood: with the new one and zstd's tables
# about three times as much memory. Longer files go in stretches, each against the stretch it grew from.
WHOLE_MAX = 256 << 20
STRETCH_BYTES, BASE_BYTES_MAX = 64 << 20, 192 << 20
MARGIN_BYTES = 4 << 20
DEPTH_MAX = 10  # Deltas on each other; then a whole copy, or reading the newest would take ever longer.
SAVING = 0.7  # A delta is worth it below this share of what the bytes alone would take.


@dataclass(frozen=True, slots=True)
class Delta:
    """A stretch of a file, stored against pieces."""

    id: bytes
    data: bytes
    base: tuple[bytes, ...]
    depth: int


class Ancestor:
    """An earlier version: its pieces from a local file where they are there and right, else from the store."""

    def __init__(self, entry: Entry, path: Path | None, catalog: Catalog, pieces: Pieces, root: Root) -> None:
        self.entry = entry
        self._catalog, self._pieces, self._root = catalog, pieces, root
        self._path = path
        sizes = [catalog.pieces[one].size for one in entry.pieces]
        self.ends = np.cumsum(np.array(sizes, np.int64))

    @property
    def depth(self) -> int:
        """How many deltas lie on each other in it."""
        return max((self._catalog.pieces[one].depth for one in self.entry.pieces), default=0)

    def piece(self, at: int) -> bytes:
        """The piece of that number. Raises NotFound or Corrupt."""
        id_ = self.entry.pieces[at]
        size = self._catalog.pieces[id_].size
        if self._path is not None:
            try:
                with self._path.open("rb") as stream:
                    stream.seek(int(self.ends[at]) - size)
                    data = stream.read(size)
            except OSError:
                self._path = None  # Gone from the cache, or never in it: the store has it.
            else:
                if digest_of(data, self._root.name_key) == id_:
                    return data
        return self._pieces.base(id_)

    def marks(self, cutter: Cutter) -> "tuple[np.ndarray, np.ndarray]":
        """The marks of all of it, sorted by their hashes, each hash once."""
        hashes, places = [], []
        for at in range(len(self.entry.pieces)):
            data = self.piece(at)
            found, where = cutter.marks(data)
            hashes.append(found)
            places.append(where + int(self.ends[at]) - len(data))
        once, first = np.unique(np.concatenate(hashes), return_index=True)
        return once, np.concatenate(places)[first]

    def stretch(self, start: int, end: int) -> list[int]:
        """The numbers of the pieces that hold a stretch, from its middle on as many as a base may have."""
        first, last = (int(np.searchsorted(self.ends, place, "right")) for place in (max(0, start), max(0, end - 1)))
        chosen = list(range(first, min(last, len(self.ends) - 1) + 1))
        while len(chosen) > 1 and self._length(chosen) > BASE_BYTES_MAX:
            chosen = chosen[1:] if len(chosen) % 2 else chosen[:-1]
        return chosen if self._length(chosen) <= BASE_BYTES_MAX else []

    def _length(self, chosen: list[int]) -> int:
        return sum(self._catalog.pieces[self.entry.pieces[at]].size for at in chosen)


def stretches(stream: BinaryIO, size: int, ancestor: Ancestor, cutter: Cutter) -> Iterator[tuple[bytes, list[int]]]:
    """The parts of a file, each with the numbers of the pieces of its ancestor that it may be stored against."""
    if max(size, ancestor.entry.size) <= WHOLE_MAX:
        yield stream.read(), list(range(len(ancestor.entry.pieces)))
        return
    known, places = ancestor.marks(cutter)
    while data := stream.read(STRETCH_BYTES):
        found, _ = cutter.marks(data)
        at = np.searchsorted(known, found)
        at[at == len(known)] = 0
        from_ = places[at[known[at] == found]] if len(known) else places
        if not len(from_):
            yield data, []
            continue
        # A few marks stand for bytes that are everywhere in the file: the outermost tenths do not count.
        low, high = (int(one) for one in np.percentile(from_, (10, 90)))
        spare = (high - low) // 8 + MARGIN_BYTES
        yield data, ancestor.stretch(low - spare, high + spare)


def against(data: Bytes, ancestor: Ancestor, base: list[int], root: Root, pool: ThreadPoolExecutor) -> Delta | None:
    """A part of a file as a delta; None where that saves too little, or the earlier version cannot be read."""
    if not base or len(data) < SIZE_MIN or ancestor.depth >= DEPTH_MAX:
        return None
    try:
        earlier = joined(ancestor.piece(at) for at in base)
    except (Corrupt, Denied, NotFound):
        return None  # The new version does not depend on what is damaged.
    if len(earlier) < SIZE_MIN:
        return None
    named = pool.submit(digest_of, data, root.name_key)
    found = delta(data, earlier)
    if len(found) >= SAVING * _alone(data):
        return None
    ids = tuple(ancestor.entry.pieces[at] for at in base)
    return Delta(named.result(), found, ids, ancestor.depth + 1)


def _alone(data: Bytes) -> float:
    """About how many bytes the data would take without an earlier version, by some samples."""
    if len(data) <= 8 * SAMPLE_BYTES:
        return len(shrunk(data) or data)
    view = memoryview(data)
    parts = [view[at : at + SAMPLE_BYTES] for at in range(0, len(data) - SAMPLE_BYTES, len(data) // 8)]
    return len(data) * sum(len(shrunk(part) or part) for part in parts) / sum(map(len, parts))
