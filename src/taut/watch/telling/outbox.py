"""The outbox: what is to be told stands in the transaction that made it news, and is claimed, sent and ended after it.

A notice is claimed before it is sent and ended after it was answered. Whoever dies in between leaves a claim that runs
out, and the notice is sent again under the same id. What one receiver hears of one alert it hears in its order.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from taut.ground import wire
from taut.ground.access import ANY
from taut.ground.ledger import take_turn
from taut.ground.meta import Row, Tx, Value
from taut.ground.queues import LEASE_MS, queue_in, wait_ms
from taut.home import Home, sight, verb
from taut.records import Alert
from taut.watch.story import Begun, Story

Change = Literal["opened", "updated", "closed"]
Status = Literal["due", "done", "failed"]

ATTEMPTS_MAX = 20  # Half a day: longer than a night in which a mail server is away.
ANSWER_MAX = 500
LAST = 1_000_000_000  # The place of what closes an alert: behind every window.

FIELDS = "id, alert_id, change, receiver, body, status, attempts, due_ms, at_ms, ended_ms, answer"
INSERT = """
INSERT INTO notice
    (id, alert_id, change, place, receiver, body, status, attempts, due_ms, claimed_until_ms, at_ms, ended_ms, answer)
VALUES (:id, :alert_id, :change, :place, :receiver, :body, 'due', 0, :at_ms, 0, :at_ms, 0, '')
ON CONFLICT (id) DO NOTHING
"""
SELECT_TOLD = "SELECT DISTINCT receiver FROM notice WHERE alert_id = :alert_id ORDER BY receiver"
SELECT_ALL = f"SELECT {FIELDS} FROM notice ORDER BY at_ms, place, receiver"  # noqa: S608  # FIELDS is the constant above.
SELECT_OF_ALERT = f"""
SELECT {FIELDS} FROM notice WHERE alert_id = :alert_id ORDER BY place, receiver
"""  # noqa: S608
SELECT_DUE = f"""
SELECT {FIELDS} FROM notice AS first
WHERE first.status = 'due' AND first.due_ms <= :now AND first.claimed_until_ms <= :now AND NOT EXISTS (
    SELECT 1 FROM notice AS before WHERE before.alert_id = first.alert_id AND before.receiver = first.receiver
        AND before.status = 'due' AND before.place < first.place
)
ORDER BY first.due_ms, first.at_ms, first.id LIMIT 1
"""  # noqa: S608
QUEUE = queue_in("notice")


@dataclass(frozen=True, slots=True)
class News:
    """What a notice tells: the alert as it was in that moment, with what its detector had to tell."""

    change: Change
    alert: Alert
    story: Story | None
    begun: Begun | None


@dataclass(frozen=True, slots=True)
class Notice:
    """One change of one alert on its way to one receiver: `due` until it said yes (`done`) or was given up (`failed`).

    `attempts` counts how often it was sent, `answer` is what came back last; `ended_ms` is 0 while it is due.
    """

    id: str
    alert_id: str
    change: Change
    receiver: str
    news: News
    status: Status
    attempts: int
    due_ms: int
    at_ms: int
    ended_ms: int
    answer: str


def queue_notices(tx: Tx, news: News, receivers: Iterable[str], *, at_ms: int) -> None:
    """Write down who is to be told, inside the transaction that makes it news; twice is once."""
    alert = news.alert
    place = {"opened": 0, "updated": alert.windows, "closed": LAST}[news.change]
    for receiver in dict.fromkeys(receivers):
        tx.execute(INSERT, {
            "id": wire.digest([alert.id, place, receiver])[:32], "alert_id": alert.id, "change": news.change,
            "place": place, "receiver": receiver, "body": wire.text(news), "at_ms": at_ms,
        })  # fmt: skip


def told_of(tx: Tx, alert_id: str) -> list[str]:
    """The receivers that an alert was told to, or is to be."""
    return [str(receiver) for (receiver,) in tx.rows(SELECT_TOLD, {"alert_id": alert_id})]


def notices_in(tx: Tx, alert_id: str) -> list[Notice]:
    """Who was told of an alert, when, and what failed, in order."""
    return [_notice(row) for row in tx.rows(SELECT_OF_ALERT, {"alert_id": alert_id})]


@verb("watch.notices", needs="deployment:read", on=ANY)
def list_notices(home: Home) -> list[Notice]:
    """Everything that was told of alerts or is to be, the oldest first, of the deployments that the actor may see."""
    seen = sight(home, "deployment", "deployment:read")
    with home.meta.read() as tx:
        found = [_notice(row) for row in tx.rows(SELECT_ALL)]
    return [notice for notice in found if seen.sees(notice.news.alert.deployment)]


@verb("watch.claim", needs="policy:write")
def claim_notice(home: Home) -> Notice | None:
    """Take the next notice that is due, for the caller alone until its lease ends; None where there is none."""
    while True:
        now = home.clock.now_ms()
        with home.meta.read() as tx:
            row = tx.row(SELECT_DUE, {"now": now})
        if row is None:
            return None
        found = _notice(row)
        claimed: dict[str, Value] = {"id": found.id, "attempts": found.attempts, "now": now, "until": now + LEASE_MS}
        with home.meta.transaction() as tx:
            if tx.execute(QUEUE.claim, claimed):
                return wire.convert({**wire.plain(found), "attempts": found.attempts + 1}, Notice)


@verb("watch.told", needs="policy:write")
def end_notice(home: Home, notice_id: str, attempts: int, *, success: bool, answer: str) -> Status:
    """Say how a claimed notice went: done, due again after a while, or failed for good; the ledger is told of an end.

    Nothing is changed where somebody else has claimed it since.
    """
    now, is_last = home.clock.now_ms(), attempts >= ATTEMPTS_MAX
    status: Status = "done" if success else "failed" if is_last else "due"
    ended: dict[str, Value] = {
        "id": notice_id, "attempts": attempts, "now": now, "status": status,
        "next": now + wait_ms(attempts),
        "answer": answer[:ANSWER_MAX].replace("\0", ""),
    }  # fmt: skip
    with home.meta.transaction() as tx:
        if status == "due":
            tx.execute(QUEUE.try_later, ended)
            return status
        take_turn(tx)  # Whoever closes a window has the ledger's turn when it comes to these rows, so we come so too.
        if tx.execute(QUEUE.end, ended):
            row = tx.row("SELECT alert_id, change, receiver FROM notice WHERE id = :id", {"id": notice_id})
            assert row is not None, notice_id
            body = {"change": row[1], "receiver": row[2], "success": success, "attempts": attempts}
            home.append(tx, "alert.told", subject=f"alert:{row[0]}", body=body)
    return status


def _notice(row: Row) -> Notice:
    notice_id, alert_id, change, receiver, body, status, attempts, due_ms, at_ms, ended_ms, answer = row
    return Notice(
        str(notice_id), str(alert_id), cast("Change", change), str(receiver),
        wire.decode(str(body), News, what="a stored notice"), cast("Status", status), int(str(attempts)),
        int(str(due_ms)), int(str(at_ms)), int(str(ended_ms)), str(answer),
    )  # fmt: skip
