"""A compact filter of ids (Bloom, 1970): what it does not know was never put in; of all else 1 in 100 was not."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

BITS_PER_ID = 10
PROBES = 7  # The best number for ten bits: ln 2 times that.
DIGITS = 32
OURS = re.compile(f"[0-9a-f]{{{DIGITS}}}")
FEW = 64  # Up to here a loop is faster than loading numpy.


def filter_of(ids: "pa.ChunkedArray") -> bytes:
    """The filter that knows these ids, a column of words."""
    import numpy as np

    bits = max(64, -(-len(ids) * BITS_PER_ID // 8) * 8)
    marked = np.zeros(bits, dtype=np.uint8)
    first, step = _hashes_of(ids)
    for probe in range(PROBES):
        marked[(first + np.uint64(probe) * step) % np.uint64(bits)] = 1
    return np.packbits(marked, bitorder="little").tobytes()


class Asked:
    """Ids that several filters are asked for, in their order; each is hashed once."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = list(ids)
        self._hashes = _hashes(self.ids) if len(self.ids) > FEW else None

    def held_by(self, known: bytes) -> list[str]:
        """Those that may have been put into a filter."""
        if self._hashes is None:
            return [one for one in self.ids if _may_hold_one(known, one)]
        import numpy as np

        bits = len(known) * 8
        data = np.frombuffer(known, dtype=np.uint8)
        first, step = self._hashes
        held = np.ones(len(self.ids), dtype=bool)
        for probe in range(PROBES):
            place = (first + np.uint64(probe) * step) % np.uint64(bits)
            held &= (data[place >> np.uint64(3)] >> (place & np.uint64(7)).astype(np.uint8) & 1).astype(bool)
        return [self.ids[place] for place in np.flatnonzero(held)]


def may_hold(known: bytes, ids: Iterable[str]) -> list[str]:
    """Those of the ids that may have been put in, in their order."""
    return Asked(ids).held_by(known)


def _may_hold_one(known: bytes, one: str) -> bool:
    hashed, bits = _hashed(one), len(known) * 8
    first, step = int.from_bytes(hashed[:8], "little"), int.from_bytes(hashed[8:], "little")
    places = (((first + probe * step) % 2**64) % bits for probe in range(PROBES))
    return all(known[place >> 3] >> (place & 7) & 1 for place in places)


def _hashed(one: str) -> bytes:
    """16 bytes that look random: an id of ours is 128 random bits, which need no hashing."""
    return bytes.fromhex(one) if OURS.fullmatch(one) else hashlib.blake2b(one.encode(), digest_size=16).digest()


def _hashes(ids: Sequence[str]):  # type: ignore[no-untyped-def]  # Two arrays of numpy, which is loaded by the caller.
    import numpy as np

    pairs = np.frombuffer(b"".join(map(_hashed, ids)), dtype="<u8").reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _hashes_of(ids: "pa.ChunkedArray"):  # type: ignore[no-untyped-def]
    """The same of a column; where all ids are ours their digits are read together."""
    import numpy as np
    import pyarrow as pa

    words = ids.combine_chunks().cast(pa.binary())
    words = pa.concat_arrays(words.chunks) if isinstance(words, pa.ChunkedArray) else words
    ends = np.frombuffer(words.buffers()[1], np.int32)[words.offset : words.offset + len(words) + 1]
    if len(words) and (np.diff(ends) == DIGITS).all():
        digits = np.frombuffer(words.buffers()[2], np.uint8)[ends[0] : ends[-1]]
        values = np.full(256, 255, np.uint8)
        values[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
        halves = values[digits]
        if halves.max() < 16:
            pairs = (halves[::2] << 4 | halves[1::2]).view("<u8").reshape(-1, 2)
            return pairs[:, 0], pairs[:, 1]
    return _hashes(ids.to_pylist())
