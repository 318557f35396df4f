"""A person's word that a change is the new normal: the newest rows become the reference, and the budget begins anew."""

import io

from taut.errors import Refused
from taut.ground.clock import duration_ms
from taut.home import Home, verb
from taut.project import MonitorSpec
from taut.serve import predicted_rows
from taut.watch.alerts import begun_in, find_alert, must_be_open, set_status, story_in, supersede_alerts
from taut.watch.references import MonitorReference, insert_reference, newest_reference

ROWS_MIN = 200  # Below, what the reference knows of a share is so little that nothing would be found for long.
SELECT_END = "SELECT max(end_ms) FROM monitor_window WHERE deployment = :deployment"


@verb("watch.accept", needs="policy:write")
def accept_alert(home: Home, alert_id: str, spec: MonitorSpec, because: str = "") -> MonitorReference:
    """Hold a deployment from here on against what it was asked and answered since the change that an alert found.

    The new reference is made of the rows of the closed windows since the onset, of the newest `spec.reference` at most,
    as the version that the reference is about answered them; it has its own alpha. The alert is handled, others as
    severe or less are superseded, with the reference or neither. Raises NotFound, Conflict where the alert was answered
    already, Refused where there are fewer than 200 such rows.
    """
    from taut.watch.detecting import profile_rows

    with home.meta.read() as tx:
        alert = find_alert(tx, alert_id)
        must_be_open(alert)
        held, begun = newest_reference(tx, alert.deployment), begun_in(tx, alert, story_in(tx, alert_id))
        end = tx.row(SELECT_END, {"deployment": alert.deployment})
    assert held is not None, "an alert has a reference"
    assert end is not None, "an alert has a window"
    until_ms = int(str(end[0]))
    onset_ms = alert.window_start_ms if begun is None else begun.start_ms
    from_ms = max(onset_ms, until_ms - duration_ms(spec.reference))
    rows = predicted_rows(home, alert.deployment, from_ms, until_ms, number=held.version, model=held.model)
    if len(rows.ids) < ROWS_MIN:
        raise Refused(
            f"only {len(rows.ids)} rows were answered since the change; a reference needs {ROWS_MIN}",
            hint=f"wait for more windows: taut watch status {alert.deployment}",
        )
    oid = home.objects.put(io.BytesIO(profile_rows(rows, spec)))
    with home.meta.transaction() as tx:
        must_be_open(find_alert(tx, alert_id))
        made = insert_reference(
            home, tx, alert.deployment, held.model, held.version, until_ms, oid, alert.point
        )  # fmt: skip
        supersede_alerts(home, tx, alert.deployment, alert.point, made.number)
        said = f"accepted: {because}" if because else "accepted"
        set_status(home, tx, alert_id, "handled", said)
    return made
