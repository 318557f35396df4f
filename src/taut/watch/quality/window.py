"""The quality of what a deployment was asked in its newest closed window."""

from dataclasses import dataclass

from taut.deploy.rights import of_deployment
from taut.errors import NotFound
from taut.ground import wire
from taut.ground.objects import read_object
from taut.home import Home, verb
from taut.serve import open_log, predicted_rows
from taut.watch.quality.finding import Finding, by_severity, is_broken, staleness_of, volume_of

USUAL = 12
SELECT_LAST = f"""
SELECT start_ms, end_ms, row_count, oid, model, monitor_window.version FROM monitor_window JOIN monitor_reference
ON monitor_reference.deployment = monitor_window.deployment AND number = reference
WHERE monitor_window.deployment = :deployment ORDER BY start_ms DESC LIMIT {USUAL + 1}
"""  # noqa: S608  # USUAL is the constant above: windows that say how many rows are usual.


@dataclass(frozen=True, slots=True)
class WindowQuality:
    """What was found in one window of a deployment; `is_broken` where no model should learn from it."""

    deployment: str
    start_ms: int
    end_ms: int
    rows: int
    is_broken: bool
    findings: tuple[Finding, ...]


@verb("watch.quality", needs="prediction:read", on=of_deployment)
def window_quality(home: Home, deployment: str) -> WindowQuality:
    """Hold the rows of the newest closed window against the reference that it was counted against.

    Values of rows are told, as new levels. Columns that the reference does not have are not looked at: a monitor may
    watch some alone. Raises NotFound where no window is closed yet.
    """
    from taut.watch.events import Reference
    from taut.watch.quality.checks import quality_of_rows

    with open_log(home, deployment) as log:
        windows = log.tx.rows(SELECT_LAST, {"deployment": deployment})
        newest_ms = max((one.last_event_ms for one in log.versions()), default=0)
    if not windows:
        raise NotFound(f"deployment {deployment!r} has no closed window yet", hint="taut up --once")
    start_ms, end_ms = int(str(windows[0][0])), int(str(windows[0][1]))
    oid, model, version = str(windows[0][3]), str(windows[0][4]), int(str(windows[0][5]))
    rows = predicted_rows(home, deployment, start_ms, end_ms, number=version, model=model)
    reference = wire.decode(read_object(home.objects, oid), Reference, what="the reference profile")
    known = {feature.name for feature in reference.features}
    found = quality_of_rows(reference, {name: column for name, column in rows.inputs.items() if name in known})
    count = len(rows.ids)
    told = by_severity([
        *(found if count else ()),
        *volume_of(count, [int(str(one[2])) for one in windows[1:]]),
        *staleness_of(newest_ms, home.clock.now_ms(), end_ms - start_ms),
    ])  # fmt: skip
    return WindowQuality(deployment, start_ms, end_ms, count, is_broken(told), told)
