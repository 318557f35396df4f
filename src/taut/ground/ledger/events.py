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
# a lock that lasts as long as the transaction, taken and the rest read in one trip, in this order.
TAKE_TURN = {
    "sqlite": f"SELECT ({SELECT_SIZE}), (SELECT version FROM access_state WHERE one = 1)",  # noqa: S608  # A constant.
    "postgresql": "SELECT last, version FROM ledger_turn()",
}
INSERT_EVENTS = Insert(
    "ledger",
    (
        ("seq", "BIGINT"), ("at_ms", "BIGINT"), ("actor", "TEXT"), ("kind", "TEXT"), ("subject", "TEXT"),
        ("body", "TEXT"), ("salt", "BYTEA"), ("leaf", "BYTEA"),
        ("token", "TEXT"), ("request", "TEXT"), ("client", "TEXT"),
    ),
)  # fmt: skip
# Nearly every entry of a busy home is of this kind; the index by kind leaves it out and is not written for it.
UNINDEXED = "run.logged"
COLUMNS = "seq, at_ms, actor, kind, subject, body, leaf, token, request, client"
SELECT_EVENTS = f"SELECT {COLUMNS} FROM ledger WHERE seq > :after{{chosen}} ORDER BY seq LIMIT :limit"  # noqa: S608
OF_KIND = f" AND kind = :kind AND kind <> '{UNINDEXED}'"  # Said in full, for else the index by kind is not used.
OF_UNINDEXED = f" AND kind = '{UNINDEXED}'"
OF_SUBJECT = " AND subject = :subject"
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """One entry: at `at_ms` the actor did `kind` (`run.finished`) to `subject` (`run:ab12…`); `body` is JSON.

    `digest` is its hash in the tree. The body of one that was `erased` reads `null`. Where a request made it, `request`
    is its id, `token` that of the token that was shown, `client` its address and what kind of program sent it.
    """

    seq: int
    at_ms: int
    actor: str
    kind: str
    subject: str
    body: str
    digest: str
    erased: bool = False
    token: str = ""
    request: str = ""
    client: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that an entry comes from: the token's id, never the token; the request's own; address and program."""

    token: str = ""
    request: str = ""
    client: str = ""


UNASKED = Asked()


@dataclass(frozen=True, slots=True)
class Turn:
    """Whoever has it writes to the ledger next: the number of its last entry, and how often access changed here."""

    end: int
    access: int


@dataclass(frozen=True, slots=True)
class Happening:
    """What an entry of the ledger says, before it has a number: who did `kind` to `subject`; `body` is JSON-able."""

    kind: str
    subject: str
    actor: str
    at_ms: int
    body: object = None
    asked: Asked = UNASKED


def append_event(
    tx: Tx, kind: str, *, subject: str, actor: str, at_ms: int, body: object = None, asked: Asked = UNASKED
) -> Turn:
    """Append inside the caller's transaction, so that the change and its entry are stored together or not at all.

    `body` is any JSON-able value; keep it small. What could be personal belongs in there and nowhere else: the rest of
    an entry can never be erased.
    """
    return append_events(tx, [Happening(kind, subject, actor, at_ms, body, asked)])


def append_events(tx: Tx, happened: Sequence[Happening]) -> Turn:
    """Append several entries, in their order, by two statements however many they are, and some for each full tile.

    Returns the turn, as it was before.
    """
    assert happened, "who has nothing to say takes no turn"
    turn = take_turn(tx)
    seq = turn.end
    rows: list[tuple[Cell, ...]] = []
    for one in happened:
        seq += 1
        body, salt, asked = wire.text(one.body), new_salt(), one.asked
        commitment = commitment_of(salt, body, asked.client or None)
        leaf = leaf_of(seq, one.at_ms, one.actor, one.kind, one.subject, commitment, asked.token, asked.request)
        of_request = (asked.token or None, asked.request or None, asked.client or None)
        rows.append((seq, one.at_ms, one.actor, one.kind, one.subject, body, salt, leaf, *of_request))
    tx.insert(INSERT_EVENTS, rows)
    write_tiles(tx, turn.end, seq)
    return turn


def take_turn(tx: Tx) -> Turn:
    """Make others who append, or take their turn, wait until this transaction ends.

    What it says of access is what every transaction has left that had its turn before, and no other.
    """
    row = tx.row(TAKE_TURN[tx.dialect])
    assert row is not None
    return Turn(int(str(row[0])), int(str(row[1])))


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
    seq, at_ms, actor, kind, subject, body, leaf, *asked = row
    words = (str(actor), str(kind), str(subject), "null" if body is None else str(body))
    return Event(
        int(str(seq)),
        int(str(at_ms)),
        *words,
        cast("bytes", leaf).hex(),
        body is None,
        *(str(one or "") for one in asked),
    )
