"""One alert with all that is known of it: its story, its onset in time, what changed upstream, and who was told."""

from dataclasses import dataclass

from taut.errors import NotFound
from taut.ground.access import ANY
from taut.ground.meta import Tx
from taut.home import Home, sight, verb
from taut.records import Alert
from taut.serve import open_log
from taut.watch.alerts import begun_in, find_alert, story_in
from taut.watch.changes import Upstream, upstream_since
from taut.watch.story import Begun, Story
from taut.watch.telling.outbox import Notice, notices_in

SELECT_REFERENCE = "SELECT model, version FROM monitor_reference WHERE deployment = :deployment AND number = :number"
SELECT_END = "SELECT end_ms FROM monitor_window WHERE deployment = :deployment AND start_ms = :start_ms"


@dataclass(frozen=True, slots=True)
class AlertDetail:
    """An alert and its circumstances. Story, onset and upstream are None for one that an older taut raised."""

    alert: Alert
    story: Story | None
    begun: Begun | None
    upstream: Upstream | None
    notices: tuple[Notice, ...]


@verb("watch.alert", needs="deployment:read", on=ANY)
def show_alert(home: Home, alert_id: str) -> AlertDetail:
    """An alert with its evidence in words, when its change began, what changed upstream since, and who was told.

    Raises NotFound, for an alert of a deployment that the actor may not see too.
    """
    with home.meta.read() as tx:
        alert = seen_alert(home, tx, alert_id)
        story = story_in(tx, alert_id)
        begun = begun_in(tx, alert, story)
        notices = tuple(notices_in(tx, alert_id))
        held = tx.row(SELECT_REFERENCE, {"deployment": alert.deployment, "number": alert.reference})
        end = tx.row(SELECT_END, {"deployment": alert.deployment, "start_ms": alert.last_ms})
    if begun is None or held is None or end is None:
        return AlertDetail(alert, story, begun, None, notices)
    with open_log(home, alert.deployment) as log:
        upstream = upstream_since(log, begun.first_ms, int(str(end[0])), f"{held[0]}@{held[1]}")
    return AlertDetail(alert, story, begun, upstream, notices)


def seen_alert(home: Home, tx: Tx, alert_id: str) -> Alert:
    """One alert of a deployment that the actor may see. Raises NotFound."""
    alert = find_alert(tx, alert_id)
    if not sight(home, "deployment", "deployment:read").sees(alert.deployment):
        raise NotFound(f"no alert {alert_id!r}", hint="taut watch alerts")
    return alert
