"""Cutting a file where its content says so, so that the same bytes elsewhere are cut alike and stored once.

FastCDC's idea (Xia and others, 2016) in two vectorised steps: a product over 4 bytes at each position thins them to one
in 256, and a hash over the 32 bytes before each of those decides. The first MIN_BYTES of a piece are not looked at.
2.4 GB/s on one core; the multipliers follow from the store's secret.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from taut.data.store.codec import Bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Positions: TypeAlias = NDArray[np.int64]
    Hashes: TypeAlias = NDArray[np.uint64]

MIN_BYTES, MAX_BYTES = 1 << 20, 4 << 20
WINDOW_BYTES = 32
BLOCK_BYTES = 1 << 18  # What is looked at at once stays in the second cache.
THIN = np.uint32(1 << 24)  # Below this are 1 in 256 products.
# Of the thinned, in 2**64ths: 1 MiB on average after the minimum, and 1 in 16 KiB for the marks of long files.
CUT = np.uint64((1 << 64) // 4096)
MARK = np.uint64((1 << 64) // 64)


class Cutter:
    """Finds the cuts of one store."""

    def __init__(self, key: bytes) -> None:
        numbers = np.frombuffer(key, "<u8").copy() | np.uint64(1)
        self._thin = np.uint32(int(numbers[0]) & 0xFFFFFFFF | 1)
        self._multipliers = numbers
        self._products = np.empty(BLOCK_BYTES // 4, np.uint32)
        self._below = np.empty(BLOCK_BYTES // 4, bool)

    def cuts(self, data: Bytes, *, is_end: bool) -> Iterator[int]:
        """Where the pieces of `data` end, one after another.

        What stands after the last is the beginning of a piece that needs more bytes; with `is_end` it is a piece.
        """
        if not len(data):
            return
        bytes_ = np.frombuffer(data, np.uint8)
        start, size = 0, len(bytes_)
        while size - start > (MIN_BYTES if is_end else MAX_BYTES - 1):
            cut = self._first(bytes_, start + MIN_BYTES, min(start + MAX_BYTES, size))
            if cut == size and is_end:
                break
            yield cut
            start = cut
        if is_end and start < size:
            yield size

    def marks(self, data: Bytes) -> "tuple[Hashes, Positions]":
        """Hashes of places in the data, and where those are: one in about 16 KiB, the same for the same bytes."""
        bytes_ = np.frombuffer(data or b"\0", np.uint8)
        found = [self._hashed(bytes_, at) for at in self._thinned(bytes_, WINDOW_BYTES, len(bytes_))]
        chosen = [(hashes[hashes < MARK], places[hashes < MARK]) for hashes, places in found]
        if not chosen:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        return np.concatenate([one for one, _ in chosen]), np.concatenate([one for _, one in chosen])

    def _first(self, data: "NDArray[np.uint8]", start: int, end: int) -> int:
        """The first cut from `start` on; `end` where there is none."""
        for places in self._thinned(data, start, end):
            hashes, at = self._hashed(data, places)
            cuts = at[hashes < CUT]
            if len(cuts):
                return int(cuts[0])
        return end

    def _thinned(self, data: "NDArray[np.uint8]", start: int, end: int) -> "Iterator[Positions]":
        """The places, block by block and in order, whose next 4 bytes give a small product; each block in order too."""
        end = min(end, len(data) - 4)
        for at in range(start, end, BLOCK_BYTES):
            found = []
            for offset in range(4):
                words = max(0, min(BLOCK_BYTES, end - at) - offset + 3) // 4
                if words:
                    first = at + offset
                    products, below = self._products[:words], self._below[:words]
                    np.multiply(data[first : first + 4 * words].view(np.uint32), self._thin, out=products)
                    np.less(products, THIN, out=below)
                    found.append(np.flatnonzero(below) * 4 + first)
            places = np.concatenate(found)
            places.sort()
            yield places

    def _hashed(self, data: "NDArray[np.uint8]", places: "Positions") -> "tuple[Hashes, Positions]":
        """A hash over the 32 bytes before each place."""
        words: Hashes = np.ndarray(len(data) - 7, np.dtype("<u8"), data, strides=(1,))  # One at each byte.
        mixed = np.zeros(len(places), np.uint64)
        for step, multiplier in enumerate(self._multipliers):
            mixed = (mixed ^ words[places - WINDOW_BYTES + 8 * step]) * multiplier
            mixed ^= mixed >> np.uint64(29)
        return mixed * self._multipliers[0], places
