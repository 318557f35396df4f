"""The ledger: every change and refusal, appended in the transaction of the change, each linked to the one before."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from taut.ground import wire
from taut.ground.meta import Row, Tx, Value

LOCK_HEAD = "UPDATE ledger_head SET seq = seq + 1 WHERE one = 1"
SELECT_HEAD = "SELECT seq, digest FROM ledger_head WHERE one = 1"
MOVE_HEAD = "UPDATE ledger_head SET digest = :digest WHERE one = 1"
INSERT_EVENT = """
INSERT INTO ledger (seq, at_ms, actor, kind, subject, body, previous, digest)
VALUES (:seq, :at_ms, :actor, :kind, :subject, :body, :previous, :digest)
"""
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


def append_event(tx: Tx, kind: str, *, subject: str, actor: str, at_ms: int, body: object = None) -> None:
    """Append inside the caller's transaction, so that the change and its entry are stored together or not at all.

    `body` is any JSON-able value; keep it small and free of personal data.
    """
    tx.execute(LOCK_HEAD)
    head = tx.row(SELECT_HEAD)
    assert head is not None, "the migration writes the head"
    event = Event(
        seq=int(str(head[0])), at_ms=at_ms, actor=actor, kind=kind, subject=subject,
        body=wire.text(body), previous=str(head[1]), digest="",
    )  # fmt: skip
    digest = digest_of_event(event)
    tx.execute(INSERT_EVENT, {**wire.plain(event), "digest": digest})
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
