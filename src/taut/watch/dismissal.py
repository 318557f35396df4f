"""A person's word that an alert needs no answer: the evidence begins anew against the same reference."""

from taut.ground.meta import Tx
from taut.home import Home, verb
from taut.records import Alert
from taut.watch.alerts import find_alert, must_be_open, set_status
from taut.watch.references import insert_reference, newest_reference

SELECT_END = "SELECT max(end_ms) FROM monitor_window WHERE deployment = :deployment AND reference = :reference"


@verb("watch.dismiss", needs="policy:write")
def dismiss_alert(home: Home, alert_id: str, because: str = "") -> Alert:
    """Say that an open alert needs no answer. Its windows stay what they were; those to come start from no evidence.

    Raises NotFound where there is no such alert, Conflict where it was answered already.
    """
    with home.meta.transaction() as tx:
        alert = find_alert(tx, alert_id)
        must_be_open(alert)
        dismissed = set_status(home, tx, alert_id, "dismissed", because)
        _begin_anew(home, tx, alert)
    return dismissed


def _begin_anew(home: Home, tx: Tx, alert: Alert) -> None:
    reference = newest_reference(tx, alert.deployment)
    if reference is None:
        return
    end = tx.row(SELECT_END, {"deployment": alert.deployment, "reference": reference.number})
    from_ms = reference.from_ms if end is None or end[0] is None else int(end[0])
    insert_reference(
        home, tx, alert.deployment, reference.model, reference.version, from_ms, reference.oid, alert.point
    )
