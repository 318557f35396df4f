"""Windows: predictions and their late labels, counted against the reference once their time is up.

Counting and betting happen outside the transaction, on rows that can no longer change; the window, the detectors' state
and an alert are stored together. Two that close the same window at once compute the same, and one of them stores it.
"""

from dataclasses import dataclass, replace

from taut.deploy.rights import of_deployment
from taut.errors import NotFound
from taut.ground import wire
from taut.ground.meta import Tx, Value
from taut.ground.objects import read_object
from taut.home import Home, verb
from taut.project import MonitorSpec
from taut.records import Alert, Window
from taut.serve import Span, open_log
from taut.watch.alerts import raise_alert
from taut.watch.due import Due, successor_in, window_due
from taut.watch.figures import note_watching
from taut.watch.kept import Counted, keep_counts
from taut.watch.stored import FIELDS, SELECT_NEWEST, states_of, window_in
from taut.watch.story import Story

SELECT_WINDOWS = f"SELECT {FIELDS} FROM monitor_window WHERE deployment = :deployment ORDER BY start_ms"  # noqa: S608
SELECT_OF_REFERENCE = f"""
SELECT {FIELDS} FROM monitor_window WHERE deployment = :deployment AND reference = :reference ORDER BY start_ms
"""  # noqa: S608  # FIELDS is the constant above.
INSERT_WINDOW = """
INSERT INTO monitor_window
    (deployment, start_ms, end_ms, reference, version, row_count, labelled, measures, evidence, at_ms)
VALUES (:deployment, :start_ms, :end_ms, :reference, :version, :rows, :labelled, :measures, :evidence, :at_ms)
ON CONFLICT (deployment, start_ms) DO NOTHING
"""
UPSERT_STATE = """
INSERT INTO monitor_state (deployment, reference, state, at_ms) VALUES (:deployment, :reference, :state, :at_ms)
ON CONFLICT (deployment) DO UPDATE SET reference = excluded.reference, state = excluded.state, at_ms = excluded.at_ms
"""
SEVERITIES = {"labels": "page", "features": "ticket"}  # Harm asks for action, a shift of the inputs for a look.


@dataclass(frozen=True, slots=True)
class Watched:
    """What was counted in one window, before it is stored."""

    window: Window
    states: str
    counted: Counted
    alerts: tuple[tuple[Alert, Story], ...]


@verb("watch.windows", needs="deployment:read", on=of_deployment)
def list_windows(home: Home, deployment: str) -> list[Window]:
    """Every closed window of a deployment, in order."""
    with home.meta.read() as tx:
        return [window_in(row) for row in tx.rows(SELECT_WINDOWS, {"deployment": deployment})]


@verb("watch.newest", needs="deployment:read", on=of_deployment)
def newest_window(home: Home, deployment: str) -> Window:
    """The window that was closed last. Raises NotFound where none was."""
    with home.meta.read() as tx:
        found = tx.row(SELECT_NEWEST, {"deployment": deployment})
    if found is None:
        raise NotFound(f"deployment {deployment!r} has no closed window yet", hint="taut up --once")
    return window_in(found)


@verb("watch.close", needs="policy:write")
def close_windows(home: Home, deployment: str, spec: MonitorSpec) -> list[Window]:
    """Close every window whose time and lateness have passed, by the events seen so far; returns the new ones.

    Stops after a window that raised a page, so that whoever answers pages is asked before more is counted, and before
    one in which another version began to answer, see `find_successor`; called again it goes on. Empty where the
    deployment is not watched yet. Costs one pass over the rows for each window. What Prometheus is told is noted, where
    a window was closed or it was noted 15 s ago.
    """
    closed = []
    while (watched := _close_next(home, deployment, spec)) is not None:
        closed.append(watched.window)
        if any(alert.severity == "page" for alert, _ in watched.alerts):
            break
    note_watching(home, deployment, spec, is_news=bool(closed))
    return closed


def windows_of_reference(tx: Tx, deployment: str, reference: int) -> list[Window]:
    """The closed windows that were held against one reference, in order."""
    return [window_in(row) for row in tx.rows(SELECT_OF_REFERENCE, {"deployment": deployment, "reference": reference})]


def _close_next(home: Home, deployment: str, spec: MonitorSpec) -> Watched | None:
    with open_log(home, deployment) as log:
        due = window_due(log, spec)
        if due is None or successor_in(log, due) is not None:
            return None
        states = states_of(log.tx, due.reference)
    watched = _watch(home, due, spec, states)
    with home.meta.transaction() as tx:
        return _store(home, tx, watched, spec)


def _store(home: Home, tx: Tx, watched: Watched, spec: MonitorSpec) -> Watched | None:
    """Store the window, its counts, the state after it and its alerts; None, and nothing stored, where another was
    faster. Those that come back with it are new.

    An alarm stays an alarm, so each window after it finds it again: that updates the alert.
    """
    window = watched.window
    columns = {**wire.plain(window), "measures": wire.text(window.measures), "evidence": wire.text(window.evidence)}
    if not tx.execute(INSERT_WINDOW, columns):
        return None
    state: dict[str, Value] = {
        "deployment": window.deployment, "reference": window.reference, "state": watched.states, "at_ms": window.at_ms,
    }  # fmt: skip
    tx.execute(UPSERT_STATE, state)
    body = {"rows": window.rows, "labelled": window.labelled, "evidence": window.evidence}
    home.append(tx, "window.closed", subject=f"window:{window.deployment}@{window.start_ms}", body=body)
    keep_counts(tx, window.deployment, window.start_ms, window.reference, watched.counted)
    new = [
        (alert, story)
        for alert, story in watched.alerts
        if raise_alert(home, tx, alert, story, spec=spec, end_ms=window.end_ms)
    ]
    return replace(watched, alerts=tuple(new))


def _watch(home: Home, due: Due, spec: MonitorSpec, states: str) -> Watched:
    """Count the window's rows and let both detectors bet on them."""
    from taut.watch.counting import count_log
    from taut.watch.detecting import reference_in, watch_rows

    reference, span = due.reference, (due.start_ms, due.end_ms)
    profile = reference_in(read_object(home.objects, reference.oid))
    with open_log(home, reference.deployment) as log:
        rows = count_log(log, Span(reference.deployment, *span, reference.version, reference.model), profile, spec)
    found = watch_rows(profile, rows, spec, states)
    window = Window(
        reference.deployment, *span, reference.number, reference.version, found.rows, found.labelled,
        found.measures, found.evidence, home.clock.now_ms(),
    )  # fmt: skip
    alerts = tuple((_alert_of(window, spec, budget, story), story) for budget, story in found.alarms.items())
    return Watched(window, found.states, found.counted, alerts)


def _alert_of(window: Window, spec: MonitorSpec, budget: str, story: Story) -> Alert:
    """The alert of a reference's budget: the same id in every window that is in alarm."""
    return Alert(
        id=wire.digest([window.deployment, window.reference, budget])[:12],
        deployment=window.deployment,
        version=window.version,
        window_start_ms=window.start_ms,
        detector=f"ewin:{budget}",
        severity="page" if SEVERITIES[budget] == "page" else "ticket",
        feature=story.suspects[0].name,
        evidence={**window.evidence, "bound": 1.0 / spec.alpha},
        status="open",
        at_ms=window.at_ms,
        reference=window.reference,
        last_ms=window.start_ms,
        peak=window.evidence[budget],
        features=tuple(one.name for one in story.suspects if one.is_named),
    )
