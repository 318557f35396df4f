"""The ledger: every change and refusal, appended in the transaction of the change, each a leaf of a Merkle tree.

Appending reads where the ledger ends and writes the entries, no more: the row of an entry holds its hash, every 256th
closes a tile, and whoever asks for the root or a proof reads it from those.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from taut.ground import wire
from taut.ground.ledger.entries import commitment_of, leaf_of, new_salt
from taut.ground.ledger.tiles import SELECT_SIZE, write_tiles
from taut.ground.meta import Cell, Insert, Row, Tx, Value

# SQLite has one writer anyway. PostgreSQL lets whoever appends wait for all others who have and are not committed yet:
# a lock that lasts as long as the transaction, taken and the end read in one trip, in this order.
TAKE_END = {"sqlite": SELECT_SIZE, "postgresql": "SELECT ledger_end()"}
INSERT_EVENTS = Insert(
    "ledger",
    (
        ("seq", "BIGINT"), ("at_ms", "BIGINT"), ("actor", "TEXT"), ("kind", "TEXT"), ("subject", "TEXT"),
        ("body", "TEXT"), ("salt", "BYTEA"), ("leaf", "BYTEA"),
    ),
)  # fmt: skip
# Nearly every entry of a busy home is of this kind; the index by kind leaves it out and is not written for it.
UNINDEXED = "run.logged"
COLUMNS = "seq, at_ms, actor, kind, subject, body, leaf"
SELECT_EVENTS = f"SELECT {COLUMNS} FROM ledger WHERE seq > :after{{chosen}} ORDER BY seq LIMIT :limit"  # noqa: S608
OF_KIND = f" AND kind = :kind AND kind <> '{UNINDEXED}'"  # Said in full, for else the index by kind is not used.
OF_UNINDEXED = f" AND kind = '{UNINDEXED}'"
OF_SUBJECT = " AND subject = :subject"
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """One entry: at `at_ms` the actor did `kind` (`run.finished`) to `subject` (`run:ab12…`); `body` is JSON.

    `digest` is its hash in the tree. The body of one that was `erased` reads `null`.
    """

    seq: int
    at_ms: int
    actor: str
    kind: str
    subject: str
    body: str
    digest: str
    erased: bool = False


@dataclass(frozen=True, slots=True)
class Happening:
    """What an entry of the ledger says, before it has a number: who did `kind` to `subject`; `body` is JSON-able."""

    kind: str
    subject: str
    actor: str
    at_ms: int
    body: object = None


def append_event(tx: Tx, kind: str, *, subject: str, actor: str, at_ms: int, body: object = None) -> None:
    """Append inside the caller's transaction, so that the change and its entry are stored together or not at all.

    `body` is any JSON-able value; keep it small. What could be personal belongs in there and nowhere else: the rest of
    an entry can never be erased.
    """
    append_events(tx, [Happening(kind, subject, actor, at_ms, body)])


def append_events(tx: Tx, happened: Sequence[Happening]) -> None:
    """Append several entries, in their order, by two statements however many they are, and some for each full tile."""
    if not happened:
        return
    end = seq = take_turn(tx)
    rows: list[tuple[Cell, ...]] = []
    for one in happened:
        seq += 1
        body, salt = wire.text(one.body), new_salt()
        leaf = leaf_of(seq, one.at_ms, one.actor, one.kind, one.subject, commitment_of(salt, body))
        rows.append((seq, one.at_ms, one.actor, one.kind, one.subject, body, salt, leaf))
    tx.insert(INSERT_EVENTS, rows)
    write_tiles(tx, end, seq)


def take_turn(tx: Tx) -> int:
    """Make others who append, or take their turn, wait until this transaction ends; returns the last entry's number."""
    row = tx.row(TAKE_END[tx.dialect])
    assert row is not None
    return int(str(row[0]))


def events(tx: Tx, *, after: int = 0, kind: str = "", subject: str = "", limit: int = PAGE) -> list[Event]:
    """Up to `limit` entries past number `after`, oldest first, of one kind or subject where named."""
    of_kind = "" if not kind else OF_UNINDEXED if kind == UNINDEXED else OF_KIND
    chosen: dict[str, Value] = {"after": after, "kind": kind, "subject": subject, "limit": limit}
    query = SELECT_EVENTS.format(chosen=of_kind + (OF_SUBJECT if subject else ""))
    return [_event(row) for row in tx.rows(query, chosen)]


def next_events(tx: Tx, kinds: Iterable[str], *, after: int, limit: int = PAGE) -> list[Event]:
    """The next `limit` entries of some kinds past number `after`, oldest first; cheap however long the ledger is."""
    # One kind a statement: so the index by kind leads straight to what is new, however much else was done meanwhile.
    found = [event for kind in kinds for event in events(tx, after=after, kind=kind, limit=limit)]
    return sorted(found, key=lambda event: event.seq)[:limit]


def _event(row: Row) -> Event:
    seq, at_ms, actor, kind, subject, body, leaf = row
    words = (str(actor), str(kind), str(subject), "null" if body is None else str(body))
    return Event(int(str(seq)), int(str(at_ms)), *words, cast("bytes", leaf).hex(), erased=body is None)
