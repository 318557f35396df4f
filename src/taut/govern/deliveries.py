"""Deliveries: the ledger is read to where it ends, each event becomes a row for each webhook, each row is sent.

A row is claimed before it is sent and ended after it was answered. Whoever dies in between leaves a claim that runs
out, and the row is sent again under the same id: a webhook hears of everything once at least, and knows what it heard.
It hears things in their order: what comes later waits until the first was answered or given up.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from taut.errors import Denied, Invalid, TautError, Unavailable
from taut.govern.told import EXAMPLES, KINDS, payload_of, told_of
from taut.govern.webhooks import Webhook, check_event, secret_in, webhook_in, webhooks_in
from taut.ground.ledger import Event, next_events
from taut.ground.meta import Tx, Value
from taut.ground.outbound import Answer, allowed_hosts, post, signature_of
from taut.ground.queues import LEASE_MS, queue_in, wait_ms
from taut.home import Home, verb

BATCH = 200  # Entries of the ledger that become deliveries in one transaction.
ATTEMPTS_MAX = 10
AGE_MAX_MS = 86_400_000  # Who answers nothing for a day is not told yesterday's news first.
KEPT_MS = 7 * 86_400_000
ANSWER_MAX = 500
NAMESPACE = uuid.UUID("5f0c1d1e-7a0b-5a57-9c0e-7461757477eb")

SELECT_CURSOR = "SELECT seq FROM webhook_cursor WHERE one = 1"
MOVE_CURSOR = "UPDATE webhook_cursor SET seq = :to WHERE one = 1 AND seq = :seq"
HAS_WEBHOOKS = "SELECT 1 FROM webhook LIMIT 1"
SELECT_FROM = "SELECT id, from_seq FROM webhook"
INSERT = """
INSERT INTO webhook_delivery
    (id, webhook_id, seq, event, payload, status, attempts, due_ms, claimed_until_ms, at_ms, ended_ms, answer)
VALUES (:id, :webhook_id, :seq, :event, :payload, 'due', 0, :at_ms, 0, :at_ms, NULL, '')
ON CONFLICT (id) DO NOTHING
"""
FORGET = "DELETE FROM webhook_delivery WHERE status <> 'due' AND ended_ms < :before"
SELECT_DUE = """
SELECT first.id, first.webhook_id, first.event, first.payload, first.attempts, first.at_ms
FROM webhook JOIN webhook_delivery AS first ON first.webhook_id = webhook.id AND first.status = 'due'
    AND first.seq = (
        SELECT MIN(seq) FROM webhook_delivery AS waiting
        WHERE waiting.webhook_id = webhook.id AND waiting.status = 'due'
    )
WHERE first.due_ms <= :now AND first.claimed_until_ms <= :now
ORDER BY first.due_ms, first.seq LIMIT 1
"""
QUEUE = queue_in("webhook_delivery")


@dataclass(frozen=True, slots=True)
class Tried:
    """How a test went: the status that came back and the beginning of its body, or why none came."""

    success: bool
    status: int | None = None
    text: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook, claimed; `attempts` counts this one too."""

    id: str
    webhook_id: str
    event: str
    payload: str
    attempts: int
    at_ms: int


@verb("webhook.test", needs="webhook:admin")
def try_webhook(home: Home, webhook_id: str, *, event: str = "") -> Tried:
    """Send an example of an event, the webhook's first where none is said, and say what came back."""
    if event:
        check_event(event)
    with home.meta.read() as tx:
        webhook, secret = webhook_in(tx, webhook_id), secret_in(home, tx, webhook_id)
    chosen, now_ms = event or webhook.events[0], home.clock.now_ms()
    payload = payload_of(chosen, EXAMPLES[chosen], at_ms=now_ms)
    try:
        answer = send(webhook, secret, str(uuid.uuid4()), payload, now_ms=now_ms)
    except (Denied, Invalid, Unavailable) as problem:
        return Tried(False, problem=problem.message)
    return Tried(_is_good(answer), answer.status, answer.text)


def tell_webhooks(home: Home, *, until: Callable[[], bool] = lambda: False) -> int:
    """Turn what is new in the ledger into deliveries and send what is due; returns how many were tried.

    Any number of processes may do so at once. `until` is asked between two deliveries; true ends the work.
    """
    while queue_events(home) and not until():
        pass
    tried = 0
    while not until() and (delivery := claim(home)) is not None:
        deliver(home, delivery)
        tried += 1
    return tried


def queue_events(home: Home) -> int:
    """Make deliveries of the next entries of the ledger; returns how many entries there were."""
    with home.meta.read() as tx:
        if tx.row(HAS_WEBHOOKS) is None:
            return 0
        after = _cursor(tx)
        entries = next_events(tx, KINDS, after=after, limit=BATCH)
    if not entries:
        return 0
    told = [(entry, found) for entry in entries if (found := told_of(home, entry)) is not None]
    with home.meta.transaction() as tx:
        # Only one of those who read the same entries gets to move the cursor; the others find it moved.
        if not tx.execute(MOVE_CURSOR, {"seq": after, "to": entries[-1].seq}):
            return len(entries)
        since = {str(webhook_id): int(str(seq)) for webhook_id, seq in tx.rows(SELECT_FROM)}
        active = [webhook for webhook in webhooks_in(tx) if webhook.status == "ACTIVE"]
        for entry, (event, payload) in told:
            for webhook in active:
                if event in webhook.events and entry.seq > since[webhook.id]:
                    _insert(home, tx, webhook, entry, event, payload)
        tx.execute(FORGET, {"before": home.clock.now_ms() - KEPT_MS})
    return len(entries)


def claim(home: Home) -> Delivery | None:
    """Take the next delivery that is due, for this process alone until its lease ends; None where there is none."""
    while True:
        now = home.clock.now_ms()
        with home.meta.read() as tx:
            row = tx.row(SELECT_DUE, {"now": now})
        if row is None:
            return None
        delivery_id, webhook_id, event, payload, attempts, at_ms = row
        found: dict[str, Value] = {"id": delivery_id, "attempts": attempts, "now": now, "until": now + LEASE_MS}
        with home.meta.transaction() as tx:
            claimed = tx.execute(QUEUE.claim, found)
        if claimed:
            tries = int(str(attempts)) + 1
            return Delivery(str(delivery_id), str(webhook_id), str(event), str(payload), tries, int(str(at_ms)))


def deliver(home: Home, delivery: Delivery) -> None:
    """Send a claimed delivery and write down how it went; one that has waited too long is given up unsent."""
    is_old = home.clock.now_ms() - delivery.at_ms > AGE_MAX_MS
    good, said = (False, "it waited too long") if is_old else _sent(home, delivery)
    now = home.clock.now_ms()
    ended: dict[str, Value] = {
        "id": delivery.id, "attempts": delivery.attempts, "now": now, "next": now + wait_ms(delivery.attempts),
        "answer": said[:ANSWER_MAX].replace("\0", ""), "status": "done" if good else "failed",
    }  # fmt: skip
    with home.meta.transaction() as tx:
        if not good and not is_old and delivery.attempts < ATTEMPTS_MAX:
            tx.execute(QUEUE.try_later, ended)
        elif tx.execute(QUEUE.end, ended) and not good:
            body = {"event": delivery.event, "delivery": delivery.id, "attempts": delivery.attempts}
            home.append(tx, "webhook.gave_up", subject=f"webhook:{delivery.webhook_id}", body=body)


def send(webhook: Webhook, secret: str, delivery_id: str, payload: str, *, now_ms: int) -> Answer:
    """One request as MLflow's server makes it, with its three headers; raises what `outbound.post` raises."""
    seconds = str(now_ms // 1000)
    headers = {
        "Content-Type": "application/json", "User-Agent": "taut-webhooks", "X-MLflow-Delivery-Id": delivery_id,
        "X-MLflow-Timestamp": seconds,
    }  # fmt: skip
    if secret:
        headers["X-MLflow-Signature"] = signature_of(secret, delivery_id, seconds, payload)
    return post(webhook.url, payload.encode(), headers, allowed=allowed_hosts())


def _sent(home: Home, delivery: Delivery) -> tuple[bool, str]:
    """Whether the webhook said yes, and its words or ours."""
    try:
        with home.meta.read() as tx:
            webhook, secret = webhook_in(tx, delivery.webhook_id), secret_in(home, tx, delivery.webhook_id)
        answer = send(webhook, secret, delivery.id, delivery.payload, now_ms=home.clock.now_ms())
    except TautError as problem:  # Not allowed, not there, or taken away in the meantime: then nothing is left to end.
        return False, problem.message
    return _is_good(answer), f"{answer.status} {answer.text}"


def _cursor(tx: Tx) -> int:
    row = tx.row(SELECT_CURSOR)
    assert row is not None, "the migration writes the cursor"
    return int(str(row[0]))


def _insert(home: Home, tx: Tx, webhook: Webhook, entry: Event, event: str, payload: str) -> None:
    delivery_id = str(uuid.uuid5(NAMESPACE, f"{webhook.id}/{entry.digest}/{event}"))
    tx.execute(INSERT, {
        "id": delivery_id, "webhook_id": webhook.id, "seq": entry.seq, "event": event, "payload": payload,
        "at_ms": home.clock.now_ms(),
    })  # fmt: skip


def _is_good(answer: Answer) -> bool:
    return 200 <= answer.status < 300  # The statuses of HTTP that say yes.
