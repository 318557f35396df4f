"""The ledger: every change and refusal, appended in the transaction of the change, each linked to the one before."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from taut.ground import wire
from taut.ground.meta import Insert, Row, Tx, Value

# Taking the head's row first makes whoever else appends wait, so that numbers and digests follow one another.
LOCK_HEAD = "UPDATE ledger_head SET seq = seq + :count WHERE one = 1 RETURNING seq, digest"
SELECT_HEAD = "SELECT seq, digest FROM ledger_head WHERE one = 1"
MOVE_HEAD = "UPDATE ledger_head SET digest = :digest WHERE one = 1"
INSERT_EVENTS = Insert(
    "ledger",
    (
        ("seq", "BIGINT"), ("at_ms", "BIGINT"), ("actor", "TEXT"), ("kind", "TEXT"), ("subject", "TEXT"),
        ("body", "TEXT"), ("previous", "TEXT"), ("digest", "TEXT"),
    ),
)  # fmt: skip
SELECT_EVENTS = """
SELECT seq, at_ms, actor, kind, subject, body, previous, digest FROM ledger
WHERE seq > :after AND (:kind = '' OR kind = :kind) AND (:subject = '' OR subject = :subject)
ORDER BY seq LIMIT :limit
"""
# One kind a statement: so the index by kind leads straight to what is new, however much else was done meanwhile.
SELECT_NEXT = """
SELECT seq, at_ms, actor, kind, subject, body, previous, digest FROM ledger
WHERE kind = :kind AND seq > :after ORDER BY seq LIMIT :limit
"""
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """One entry: at `at_ms` the actor did `kind` (`run.finished`) to `subject` (`run:ab12…`); `body` is JSON."""

    seq: int
    at_ms: int
    actor: str
    kind: str
    subject: str
    body: str
    previous: str
    digest: str


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

    `body` is any JSON-able value; keep it small and free of personal data.
    """
    append_events(tx, [Happening(kind, subject, actor, at_ms, body)])


def append_events(tx: Tx, happened: Sequence[Happening]) -> None:
    """Append several entries, in their order, by three statements however many they are."""
    if not happened:
        return
    head = tx.row(LOCK_HEAD, {"count": len(happened)})
    assert head is not None, "the migration writes the head"
    seq, digest = int(str(head[0])) - len(happened), str(head[1])
    rows: list[Row] = []
    for one in happened:
        seq += 1
        body = wire.text(one.body)
        previous, digest = digest, wire.digest([seq, one.at_ms, one.actor, one.kind, one.subject, body, digest])
        rows.append((seq, one.at_ms, one.actor, one.kind, one.subject, body, previous, digest))
    tx.insert(INSERT_EVENTS, rows)
    tx.execute(MOVE_HEAD, {"digest": digest})


def digest_of_event(event: Event) -> str:
    """SHA-256 over the entry without its own digest, and so over every entry before it."""
    return wire.digest([event.seq, event.at_ms, event.actor, event.kind, event.subject, event.body, event.previous])


def events(tx: Tx, *, after: int = 0, kind: str = "", subject: str = "", limit: int = PAGE) -> list[Event]:
    """Up to `limit` entries past number `after`, oldest first, of one kind or subject where named."""
    chosen: dict[str, Value] = {"after": after, "kind": kind, "subject": subject, "limit": limit}
    return [_event(row) for row in tx.rows(SELECT_EVENTS, chosen)]


def next_events(tx: Tx, kinds: Iterable[str], *, after: int, limit: int = PAGE) -> list[Event]:
    """The next `limit` entries of some kinds past number `after`, oldest first; cheap however long the ledger is."""
    asked: list[dict[str, Value]] = [{"kind": kind, "after": after, "limit": limit} for kind in kinds]
    found = [_event(row) for one in asked for row in tx.rows(SELECT_NEXT, one)]
    return sorted(found, key=lambda event: event.seq)[:limit]


def verify_ledger(tx: Tx) -> Iterator[str]:
    """Walk the whole chain; yields a sentence for each entry that was changed, taken out or added behind our back."""
    previous, seq = "", 0
    while page := events(tx, after=seq):
        for event in page:
            seq += 1
            if event.seq != seq:
                yield f"ledger entry {seq} is missing; the next is {event.seq}"
                seq = event.seq
            elif event.previous != previous:
                yield f"ledger entry {event.seq} does not follow the one before it"
            if digest_of_event(event) != event.digest:
                yield f"ledger entry {event.seq} ({event.kind}) was changed after it was written"
            previous = event.digest
    head = tx.row(SELECT_HEAD)
    if head != (seq, previous):
        yield f"the ledger ends at entry {seq}, its head says {head[0] if head else 'nothing'}"


def _event(row: Row) -> Event:
    seq, at_ms, *words = row
    return Event(int(str(seq)), int(str(at_ms)), *map(str, words))
