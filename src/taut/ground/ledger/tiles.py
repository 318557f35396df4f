"""The tree of the ledger in the store: tiles of 256 hashes, written as the entries that fill them are appended.

The layout is that of C2SP tlog-tiles: a tile of level 0 holds the hashes of 256 entries, one of level 1 the roots of
256 tiles below it, and so on. A tile of level 0 is written when it is full; those above grow by a hash each time a tile
below them is full. The hashes past the last full tile stand in the rows of the entries themselves.
"""

from typing import cast

from taut.errors import Corrupt
from taut.ground.ledger.merkle import (
    HASH_BYTES,
    consistency_spans,
    fold,
    inclusion_spans,
    spans,
    whole_root,
)
from taut.ground.meta import Tx

TILE = 256
TILE_HEIGHT = 8  # 2^8 hashes: eight levels of the tree lie in one tile.

SELECT_SIZE = "SELECT COALESCE(MAX(seq), 0) FROM ledger"
SELECT_LEAVES = "SELECT leaf FROM ledger WHERE seq > :after AND seq <= :until ORDER BY seq"
SELECT_TILE = "SELECT hashes FROM ledger_tile WHERE level = :level AND place = :place"
INSERT_TILE = "INSERT INTO ledger_tile (level, place, hashes) VALUES (:level, :place, :hashes)"
GROW_TILE = "UPDATE ledger_tile SET hashes = :hashes WHERE level = :level AND place = :place"


def size_of(tx: Tx) -> int:
    """How many entries the ledger has: the number of the last."""
    row = tx.row(SELECT_SIZE)
    assert row is not None
    return int(str(row[0]))


def write_tiles(tx: Tx, before: int, after: int) -> None:
    """Write the tiles that the entries past number `before`, up to `after`, have filled."""
    for place in range(before // TILE, after // TILE):
        leaves = _leaves(tx, place * TILE, (place + 1) * TILE)
        tx.execute(INSERT_TILE, {"level": 0, "place": place, "hashes": leaves})
        _grow(tx, 1, place, whole_root(leaves))


def _grow(tx: Tx, level: int, index: int, root: bytes) -> None:
    """Add the root of tile `index` of the level below; a tile that is full by that goes into the level above."""
    place = index // TILE
    named = {"level": level, "place": place}
    row = tx.row(SELECT_TILE, named)
    hashes = root if row is None else cast("bytes", row[0]) + root
    tx.execute(INSERT_TILE if row is None else GROW_TILE, {**named, "hashes": hashes})
    if index % TILE == TILE - 1:
        _grow(tx, level + 1, place, whole_root(hashes))


class Tree:
    """The ledger's tree at one moment; each tile is read and each node hashed once, however much is asked of it.

    Raises Corrupt where hashes are missing, as they are past the ledger's end.
    """

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._nodes: dict[tuple[int, int], bytes] = {}

    def root(self, size: int) -> bytes:
        """The root over the first `size` entries."""
        return self._over(0, size)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The path from leaf `index`, which is entry `index + 1`, to the root over `size` entries."""
        return [self._over(start, end) for start, end in inclusion_spans(index, size)]

    def consistency(self, first: int, second: int) -> list[bytes]:
        """The path that shows that the first `second` entries begin with the first `first`."""
        return [self._over(start, end) for start, end in consistency_spans(first, second)]

    def _over(self, start: int, end: int) -> bytes:
        return fold([self._node(height, index) for height, index in spans(start, end)])

    def _node(self, height: int, index: int) -> bytes:
        known = self._nodes.get((height, index))
        if known is None:
            known = self._nodes[height, index] = self._hashed(height, index)
        return known

    def _hashed(self, height: int, index: int) -> bytes:
        level, inside = divmod(height, TILE_HEIGHT)
        first = index << inside
        place, at = divmod(first, TILE)
        hashes = self._tile(level, place)[at * HASH_BYTES : (at + (1 << inside)) * HASH_BYTES]
        if len(hashes) != HASH_BYTES << inside:
            said = f"tile {place} of level {level} of the ledger has not the hashes that it must have"
            raise Corrupt(said, hint="taut ledger verify")
        return whole_root(hashes)

    def _tile(self, level: int, place: int) -> bytes:
        known = self._tiles.get((level, place))
        if known is not None:
            return known
        row = self._tx.row(SELECT_TILE, {"level": level, "place": place})
        found = cast("bytes", row[0]) if row is not None else b""
        if row is None and level == 0:
            found = _leaves(self._tx, place * TILE, (place + 1) * TILE)
        self._tiles[level, place] = found
        return found


def _leaves(tx: Tx, after: int, until: int) -> bytes:
    return b"".join(cast("bytes", leaf) for (leaf,) in tx.rows(SELECT_LEAVES, {"after": after, "until": until}))
