"""Alerts: opened once by a detector with its evidence, updated while they go on, closed once with a reason.

An alert belongs to a deployment, a reference and a budget, and its id is made of these: whoever counts the same window
opens the same alert. What a window changes of it stands in that window's transaction, and so does who is to be told.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from taut.deploy.rights import of_deployment
from taut.errors import Conflict, NotFound
from taut.ground import wire
from taut.ground.clock import duration_ms
from taut.ground.ledger import draw_arrow, take_turn
from taut.ground.meta import Row, Tx, Value
from taut.home import Home, sight, verb
from taut.project import MonitorSpec
from taut.records import Alert
from taut.watch.kept import starts_of_checks
from taut.watch.story import Begun, Story
from taut.watch.telling.outbox import News, queue_notices, told_of

SEVERITIES = ("ticket", "page")  # The worse, the later.

FIELDS = (
    "id, deployment, version, window_start_ms, detector, severity, feature, evidence, status, at_ms, reference, "
    "last_ms, windows, peak, features, follows, closed_event_ms, closed_at_ms, reason"
)
SELECT_ALERTS = f"""
SELECT {FIELDS} FROM alert
WHERE (:deployment = '' OR deployment = :deployment) AND (:status = '' OR status = :status)
ORDER BY window_start_ms, at_ms, id
"""  # noqa: S608  # FIELDS is the constant above.
SELECT_ALERT = f"SELECT {FIELDS} FROM alert WHERE id = :id"  # noqa: S608  # As above.
SELECT_STORY = "SELECT story FROM alert WHERE id = :id"
SELECT_LAST = f"""
SELECT {FIELDS} FROM alert
WHERE deployment = :deployment AND detector = :detector AND version = :version AND status <> 'open' AND id <> :id
ORDER BY closed_event_ms DESC, id LIMIT 1
"""  # noqa: S608
INSERT_ALERT = f"""
INSERT INTO alert ({FIELDS}, story)
VALUES (:id, :deployment, :version, :window_start_ms, :detector, :severity, :feature, :evidence, :status, :at_ms,
    :reference, :last_ms, :windows, :peak, :features, :follows, :closed_event_ms, :closed_at_ms, :reason, :story)
ON CONFLICT (id) DO NOTHING
"""  # noqa: S608
UPDATE_ALERT = """
UPDATE alert SET last_ms = :last_ms, windows = windows + 1, features = :features, story = :story,
    peak = CASE WHEN peak < :peak THEN :peak ELSE peak END
WHERE id = :id AND status = 'open' AND last_ms < :last_ms
"""
CLOSE_ALERT = """
UPDATE alert SET status = :status, reason = :reason, closed_at_ms = :now, closed_event_ms = COALESCE(
    (SELECT max(end_ms) FROM monitor_window WHERE monitor_window.deployment = alert.deployment), last_ms
) WHERE id = :id
"""
SELECT_REVISION = "SELECT max(revision) FROM deployment WHERE name = :name AND number = :version"


@verb("watch.alerts", needs="deployment:read", on=of_deployment)
def list_alerts(home: Home, deployment: str = "", status: str = "") -> list[Alert]:
    """Alerts of one deployment or of all, by window; `status` is open, handled, dismissed, or empty for all."""
    seen = sight(home, "deployment", "deployment:read")
    with home.meta.read() as tx:
        found = [_alert(row) for row in tx.rows(SELECT_ALERTS, {"deployment": deployment, "status": status})]
    return [alert for alert in found if seen.sees(alert.deployment)]


@verb("watch.handled", needs="policy:write")
def handle_alert(home: Home, alert_id: str, verdict: str = "") -> Alert:
    """Say that an alert was answered, and how. Raises NotFound."""
    with home.meta.transaction() as tx:
        return set_status(home, tx, alert_id, "handled", verdict)


def set_status(
    home: Home, tx: Tx, alert_id: str, status: Literal["handled", "dismissed", "superseded"], verdict: str
) -> Alert:
    """What became of an alert, with its event, inside the caller's transaction. Raises NotFound.

    Those who were told of it are told that it is closed, whoever closes it.
    """
    take_turn(tx)  # Before the row, as whoever closes a window has it.
    was = find_alert(tx, alert_id)
    now = home.clock.now_ms()
    tx.execute(CLOSE_ALERT, {"id": alert_id, "status": status, "reason": verdict, "now": now})
    alert = find_alert(tx, alert_id)
    home.append(tx, f"alert.{status}", subject=alert.point, body={"verdict": verdict})
    if was.status == "open":
        _tell(tx, "closed", alert, told_of(tx, alert_id), at_ms=now)
    return alert


def must_be_open(alert: Alert) -> None:
    """Raise Conflict where somebody has closed it."""
    if alert.status != "open":
        raise Conflict(f"alert {alert.id} is {alert.status} already", hint="taut watch alerts")


def supersede_alerts(home: Home, tx: Tx, deployment: str, cause: str, reference: int) -> list[Alert]:
    """Close the open alerts that a renewed reference leaves nothing of; returns them.

    Where another version began to answer that is every one, for they are about the version before. Where an alert was
    answered, others as severe as that or less are about the same rows; itself is closed by whoever answers it.
    """
    found = [_alert(row) for row in tx.rows(SELECT_ALERTS, {"deployment": deployment, "status": "open"})]
    answered = [SEVERITIES.index(one.severity) for one in found if one.point == cause]
    worst = len(SEVERITIES) if cause.startswith("deployment:") else max(answered, default=-1)
    moot = [one for one in found if one.point != cause and SEVERITIES.index(one.severity) <= worst]
    because = f"reference {reference} took the place of what it was held against ({cause})"
    return [set_status(home, tx, one.id, "superseded", because) for one in moot]


def find_alert(tx: Tx, alert_id: str) -> Alert:
    """One alert. Raises NotFound."""
    found = tx.row(SELECT_ALERT, {"id": alert_id})
    if found is None:
        raise NotFound(f"no alert {alert_id!r}", hint="taut watch alerts")
    return _alert(found)


def story_in(tx: Tx, alert_id: str) -> Story | None:
    """What the detector had to tell at the newest window in alarm; None for an alert of an older taut."""
    found = tx.row(SELECT_STORY, {"id": alert_id})
    return wire.decode(str(found[0]), Story, what="a stored story") if found is not None and found[0] else None


def begun_in(tx: Tx, alert: Alert, story: Story | None) -> Begun | None:
    """The onset in windows instead of checks; None where nothing was kept of the windows."""
    starts = starts_of_checks(tx, alert.deployment, alert.reference, alert.budget) if story is not None else []
    if story is None or len(starts) <= story.onset.last:
        return None
    onset = story.onset
    return Begun(starts[onset.at], starts[onset.first], starts[onset.last], onset.held)


def raise_alert(
    home: Home, tx: Tx, alert: Alert, story: Story | None = None, *, spec: MonitorSpec | None = None, end_ms: int = 0
) -> bool:
    """Open an alert inside the transaction of the window that raised it, or update it; False where it was known.

    `end_ms` is the end of that window. Within the cool-down of the last one of its budget that was closed, nobody is
    told; whoever still is in alarm after it is told then. A closed alert is not touched.
    """
    before = _resting(tx, alert, spec, end_ms)
    opened = replace(alert, last_ms=alert.window_start_ms, follows="" if before is None else before.id)
    row = alert_row(opened, story)
    is_new = bool(tx.execute(INSERT_ALERT, row))
    if is_new:
        _note_opened(home, tx, opened)
    elif not tx.execute(UPDATE_ALERT, row):
        return False
    else:
        body = {"window_start_ms": alert.window_start_ms, "evidence": alert.evidence, "features": list(alert.features)}
        home.append(tx, "alert.updated", subject=alert.point, body=body)
    if spec is not None and spec.notify is not None and before is None:
        now = find_alert(tx, alert.id)
        receivers = spec.notify.of(now.severity)
        _tell(tx, "opened", now, receivers, at_ms=alert.at_ms)
        if not is_new:
            _tell(tx, "updated", now, [one for one in receivers if one in spec.notify.updates], at_ms=alert.at_ms)
    return is_new


def alert_row(alert: Alert, story: Story | None = None) -> dict[str, Value]:
    """An alert as it is stored."""
    text = {"evidence": wire.text(alert.evidence), "features": wire.text(alert.features)}
    return {**wire.plain(alert), **text, "story": "" if story is None else wire.text(story)}


def _resting(tx: Tx, alert: Alert, spec: MonitorSpec | None, end_ms: int) -> Alert | None:
    """The closed alert whose cool-down still runs at the end of this window; None where none does."""
    if spec is None:
        return None
    of: dict[str, Value] = {
        "deployment": alert.deployment, "detector": alert.detector, "version": alert.version, "id": alert.id,
    }  # fmt: skip
    found = tx.row(SELECT_LAST, of)
    last = None if found is None else _alert(found)
    return last if last is not None and end_ms - last.closed_event_ms <= duration_ms(spec.cooldown) else None


def _note_opened(home: Home, tx: Tx, alert: Alert) -> None:
    revision = tx.row(SELECT_REVISION, {"name": alert.deployment, "version": alert.version})
    if revision is not None and revision[0] is not None:
        source = f"deployment:{alert.deployment}@{revision[0]}"
        draw_arrow(tx, source, "watched-by", alert.point, at_ms=alert.at_ms)
    if alert.follows:
        draw_arrow(tx, f"alert:{alert.follows}", "followed-by", alert.point, at_ms=alert.at_ms)
    body = {
        "detector": alert.detector, "severity": alert.severity, "feature": alert.feature, "evidence": alert.evidence,
        **({"follows": alert.follows} if alert.follows else {}),
    }  # fmt: skip
    home.append(tx, "alert.raised", subject=alert.point, body=body)


def _tell(
    tx: Tx, change: Literal["opened", "updated", "closed"], alert: Alert, receivers: Iterable[str], *, at_ms: int
) -> None:
    told = list(receivers)
    if told:
        story = story_in(tx, alert.id)
        queue_notices(tx, News(change, alert, story, begun_in(tx, alert, story)), told, at_ms=at_ms)


def _alert(row: Row) -> Alert:
    fields = dict(zip(Alert.__slots__, row, strict=True))
    decoded = {
        "evidence": wire.decode(str(fields["evidence"]), dict[str, float]),
        "features": wire.decode(str(fields["features"]), tuple[str, ...]),
    }
    return wire.convert({**fields, **decoded}, Alert, what="a stored alert")
