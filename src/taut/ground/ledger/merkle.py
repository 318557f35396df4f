"""The hashes of a Merkle log, RFC 9162 section 2.1, and the proofs that are held against them; nothing is read here.

Leaves and inner nodes are hashed with a different first byte, so that no entry can be taken for a node. A tree of any
size is the hash of two smaller ones: the left one is the largest power of two that is smaller than the whole.
"""

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry: section 2.1.1.

    >>> leaf_hash(b"").hex()[:16]
    '6e340b9cffb37a98'
    """
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over the hashes of its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def whole_root(hashes: bytes) -> bytes:
    """The root over a power of two of hashes, one behind the other."""
    sha256, pair = hashlib.sha256, 2 * HASH_BYTES
    while len(hashes) > HASH_BYTES:
        nodes = [sha256(b"\x01" + hashes[at : at + pair]).digest() for at in range(0, len(hashes), pair)]
        hashes = b"".join(nodes)
    return hashes


class Frontier:
    """The root of a log that is read from its beginning: it remembers one hash for each bit of the size."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []

    def add(self, hashes: Sequence[bytes], *, height: int = 0) -> None:
        """Go on by the hashes of whole trees of 2^height leaves each; the size so far is a multiple of that."""
        assert self.size % (1 << height) == 0, (self.size, height)
        for one in hashes:
            hashed, at = one, height
            while self._peaks and self._peaks[-1][0] == at:
                hashed = node_hash(self._peaks.pop()[1], hashed)
                at += 1
            self._peaks.append((at, hashed))
        self.size += len(hashes) << height

    def with_more(self, leaves: Sequence[bytes]) -> "Frontier":
        """That of a log with some leaves more; this one stays as it is."""
        other = Frontier()
        other.size, other._peaks = self.size, list(self._peaks)
        other.add(leaves)
        return other

    def root(self) -> bytes:
        """The root over all that came so far."""
        return fold([hashed for _, hashed in self._peaks])


def fold(peaks: Sequence[bytes]) -> bytes:
    """The root over whole trees that stand side by side, the largest first.

    >>> fold([]) == EMPTY_ROOT
    True
    """
    if not peaks:
        return EMPTY_ROOT
    hashed = peaks[-1]
    for peak in reversed(peaks[:-1]):
        hashed = node_hash(peak, hashed)
    return hashed


def spans(start: int, end: int) -> list[tuple[int, int]]:
    """The whole trees over the leaves from `start` to before `end`, as (height, index), the largest first.

    `start` is where such a tree may begin: a multiple of the largest power of two that is not above the length.

    >>> spans(0, 7), spans(8, 11)
    ([(2, 0), (1, 2), (0, 6)], [(1, 4), (0, 10)])
    """
    found: list[tuple[int, int]] = []
    while start < end:
        height = (end - start).bit_length() - 1
        assert start % (1 << height) == 0, (start, end)
        found.append((height, start >> height))
        start += 1 << height
    return found


def inclusion_spans(index: int, size: int) -> list[tuple[int, int]]:
    """What the proof that leaf `index` is in a tree of `size` is made of, deepest first: runs of leaves (start, end).

    Section 2.1.3.1.
    """
    assert 0 <= index < size, (index, size)
    found: list[tuple[int, int]] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency_spans(first: int, second: int) -> list[tuple[int, int]]:
    """What the proof that a tree of `second` only adds to one of `first` is made of: section 2.1.4.1."""
    assert 0 < first <= second, (first, second)
    if first == second:
        return []
    found: list[tuple[int, int]] = []
    start, end, whole = 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start, whole = middle, False
    return [*([] if whole else [(start, end)]), *found[::-1]]


def is_included(leaf: bytes, index: int, size: int, path: Iterable[bytes], root: bytes) -> bool:
    """Whether the path leads from the leaf to the root of a tree of `size`: section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    at, last, hashed = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            hashed = node_hash(step, hashed)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            hashed = node_hash(hashed, step)
        at, last = at >> 1, last >> 1
    return last == 0 and hashed == root


def is_consistent(first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the path shows that the second tree is the first with leaves added at its end: section 2.1.4.2.

    Every log continues an empty one.
    """
    if first == 0:
        return first_root == EMPTY_ROOT and not path
    if first >= second:
        return first == second and first_root == second_root and not path
    steps = list(path) if first & (first - 1) else [first_root, *path]
    if not steps:
        return False
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, step)
        at, last = at >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _split(count: int) -> int:
    """The largest power of two smaller than `count`."""
    return 1 << ((count - 1).bit_length() - 1)
