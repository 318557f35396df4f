"""Alerts: raised once by a detector with its evidence, handled once by the loop or by a person."""

from typing import Literal

from taut.deploy.rights import of_deployment
from taut.errors import NotFound
from taut.ground import wire
from taut.ground.ledger import draw_arrow
from taut.ground.meta import Row, Tx
from taut.home import Home, sight, verb
from taut.records import Alert

FIELDS = "id, deployment, version, window_start_ms, detector, severity, feature, evidence, status, at_ms"
SELECT_ALERTS = f"""
SELECT {FIELDS} FROM alert
WHERE (:deployment = '' OR deployment = :deployment) AND (:status = '' OR status = :status)
ORDER BY window_start_ms, at_ms, id
"""  # noqa: S608  # FIELDS is the constant above.
SELECT_ALERT = f"SELECT {FIELDS} FROM alert WHERE id = :id"  # noqa: S608  # As above.
INSERT_ALERT = """
INSERT INTO alert (id, deployment, version, window_start_ms, detector, severity, feature, evidence, status, at_ms)
VALUES (:id, :deployment, :version, :window_start_ms, :detector, :severity, :feature, :evidence, :status, :at_ms)
ON CONFLICT (id) DO NOTHING
"""
UPDATE_STATUS = "UPDATE alert SET status = :status WHERE id = :id"
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


def set_status(home: Home, tx: Tx, alert_id: str, status: Literal["handled", "dismissed"], verdict: str) -> Alert:
    """What became of an alert, with its event, inside the caller's transaction. Raises NotFound."""
    tx.execute(UPDATE_STATUS, {"id": alert_id, "status": status})
    alert = find_alert(tx, alert_id)
    home.append(tx, f"alert.{status}", subject=alert.point, body={"verdict": verdict})
    return alert


def find_alert(tx: Tx, alert_id: str) -> Alert:
    """One alert. Raises NotFound."""
    found = tx.row(SELECT_ALERT, {"id": alert_id})
    if found is None:
        raise NotFound(f"no alert {alert_id!r}", hint="taut watch alerts")
    return _alert(found)


def raise_alert(home: Home, tx: Tx, alert: Alert) -> bool:
    """Store an alert inside the transaction of the window that raised it; False where it was raised before."""
    if not tx.execute(INSERT_ALERT, {**wire.plain(alert), "evidence": wire.text(alert.evidence)}):
        return False
    revision = tx.row(SELECT_REVISION, {"name": alert.deployment, "version": alert.version})
    if revision is not None and revision[0] is not None:
        source = f"deployment:{alert.deployment}@{revision[0]}"
        draw_arrow(tx, source, "watched-by", alert.point, at_ms=alert.at_ms)
    body = {
        "detector": alert.detector,
        "severity": alert.severity,
        "feature": alert.feature,
        "evidence": alert.evidence,
    }
    home.append(tx, "alert.raised", subject=alert.point, body=body)
    return True


def _alert(row: Row) -> Alert:
    fields = dict(zip(Alert.__slots__, row, strict=True))
    return wire.convert(
        {**fields, "evidence": wire.decode(str(row[7]), dict[str, float])}, Alert, what="a stored alert"
    )
