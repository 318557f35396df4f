"""The truth about the ledger's own rows: entries hash to their leaves, leaves to the tiles, and none is missing."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from taut.errors import Invalid
from taut.ground import wire
from taut.ground.ledger.entries import SALT_BYTES, commitment_of, leaf_of
from taut.ground.ledger.merkle import Frontier, whole_root
from taut.ground.ledger.tiles import SELECT_TILE, TILE, TILE_HEIGHT
from taut.ground.meta import Tx

PAGE = 16 * TILE  # Rows that are read at once: a megabyte.
SELECT_ROWS = """
SELECT seq, at_ms, actor, kind, subject, body, salt, commitment, token, request, client, leaf FROM ledger
WHERE seq > :after ORDER BY seq LIMIT :limit
"""
ERASED, ERASED_SUBJECT = "ledger.erased", "entry:"
SELECT_ERASED = f"SELECT subject FROM ledger WHERE kind = '{ERASED}' AND kind <> 'run.logged'"  # noqa: S608  # A constant.
SELECT_TILES = "SELECT level, place FROM ledger_tile ORDER BY level, place"


class Walk:
    """One reading of the whole ledger, from its first entry: what is wrong, and the roots at the sizes asked for.

    `roots` has those that were reached, `root` is that of all; past a hole in the ledger there is no tree to speak of.
    """

    def __init__(self, tx: Tx, sizes: Iterable[int] = ()) -> None:
        self._tx = tx
        self._after = -(2**63)  # An entry before the first is none of ours.
        self._wanted = sorted({size for size in sizes if size > 0}, reverse=True)
        self._frontier = Frontier()
        self._tile_roots: list[bytes] = []
        self._chained: bytes | None = b""
        self._erased: list[int] = []
        self.is_whole = True
        self.size, self.root = 0, b""
        self.roots: dict[int, bytes] = {0: self._frontier.root()}

    def problems(self) -> Iterator[str]:
        """Read everything; yields a sentence for each entry or tile that is not what was written."""
        rest: list[bytes] = []
        while page := self._page():
            for row in page:
                found = self._leaf(row)
                if not found or found != row[-1] or row[0] != self.size + 1:
                    yield from self._said(row, found)
                self.size = self._after = row[0]
                rest.append(found)
            if not self.is_whole:
                rest = []
            while len(rest) >= TILE:
                yield from self._tile(rest[:TILE])
                rest = rest[TILE:]
        yield from self._unsaid()
        if self.is_whole:
            self._note(rest, self.size)
            self.root = self._frontier.with_more(rest).root()
            yield from self._upper()

    def _page(self) -> Sequence[Sequence[Any]]:
        return self._tx.rows(SELECT_ROWS, {"after": self._after, "limit": PAGE})

    def _leaf(self, row: Sequence[Any]) -> bytes:
        """What an entry hashes to; nothing where it is not even an entry."""
        seq, at_ms, actor, kind, subject, body, salt, commitment, token, request, client, _ = row
        if "" in (token, request, client):  # What is not there is NULL.
            return b""
        try:
            if body is not None:
                if commitment is not None:
                    return b""
                if len(salt) != SALT_BYTES and not self._follows(row):
                    return b""
                commitment = commitment_of(salt, body, client)
            elif salt is not None or client is not None:
                return b""
            else:
                self._chained = None
                self._erased.append(seq)
            return leaf_of(seq, at_ms, actor, kind, subject, commitment, token or "", request or "")
        except (AttributeError, Invalid, TypeError):  # A column holds what no column of its kind does.
            return b""

    def _follows(self, row: Sequence[Any]) -> bool:
        """Whether an entry of the hash chain of earlier versions follows the one before it; see `entries`."""
        seq, at_ms, actor, kind, subject, body, salt, *_ = row
        before, self._chained = self._chained, salt[SALT_BYTES:]
        if before is None:  # The body of that one was erased, and with it what it was hashed to.
            return True
        return wire.digest([seq, at_ms, actor, kind, subject, body, before.hex()]) == self._chained.hex()

    def _said(self, row: Sequence[Any], found: bytes) -> Iterator[str]:
        seq, kind = row[0], row[3]
        if seq != self.size + 1:
            yield f"ledger entry {self.size + 1} is missing; the next is {seq}"
            self.is_whole = False
        if not found or found != row[-1]:
            yield f"ledger entry {seq} ({kind}) was changed after it was written"

    def _unsaid(self) -> Iterator[str]:
        """Bodies that are gone without an entry of the erasure."""
        said = {subject for (subject,) in self._tx.rows(SELECT_ERASED)} if self._erased else set()
        for seq in self._erased:
            if f"{ERASED_SUBJECT}{seq}" not in said:
                yield f"the body of ledger entry {seq} is gone, and no entry says that it was erased"

    def _tile(self, leaves: list[bytes]) -> Iterator[str]:
        place = len(self._tile_roots)
        self._note(leaves, (place + 1) * TILE)
        self._tile_roots.append(whole_root(b"".join(leaves)))
        self._frontier.add(self._tile_roots[-1:], height=TILE_HEIGHT)
        yield from self._held(0, place, leaves)

    def _upper(self) -> Iterator[str]:
        """The tiles above the entries, and whether there are others than there must be."""
        level, below = 1, self._tile_roots
        known = [(0, place) for place in range(len(below))]
        while below:
            tiles = [below[at : at + TILE] for at in range(0, len(below), TILE)]
            for place, hashes in enumerate(tiles):
                known.append((level, place))
                yield from self._held(level, place, hashes)
            level, below = level + 1, [whole_root(b"".join(one)) for one in tiles if len(one) == TILE]
        for strange in sorted(set(self._tx.rows(SELECT_TILES)).difference(known), key=str):
            yield f"tile {strange[1]} of level {strange[0]} of the ledger is not one of its {self.size} entries"

    def _held(self, level: int, place: int, hashes: list[bytes]) -> Iterator[str]:
        row = self._tx.row(SELECT_TILE, {"level": level, "place": place})
        if row is None or cast("bytes", row[0]) != b"".join(hashes):
            yield f"tile {place} of level {level} of the ledger does not hold the hashes of its entries"

    def _note(self, leaves: list[bytes], until: int) -> None:
        """Keep the roots that were asked for among the sizes past the last tile."""
        while self._wanted and self._wanted[-1] <= until:
            size = self._wanted.pop()
            self.roots[size] = self._frontier.with_more(leaves[: size - self._frontier.size]).root()


def verify_ledger(tx: Tx) -> Iterator[str]:
    """Hold every entry against the tree; yields a sentence for each that was changed, taken out or added.

    Whoever changes an entry and all hashes above it, or takes away the last entries with their tiles, is found only
    against a checkpoint from before: see `Walk.roots`.
    """
    return Walk(tx).problems()
