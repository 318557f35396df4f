"""What Prometheus is told of a watched deployment: windows, evidence, alarms, measures, alerts, and how fresh they are.

Noted by whoever closes windows, once a round, so that a scrape computes nothing. Moments are Unix time in seconds, as
Prometheus has them: `time() - taut_watch_round_timestamp_seconds` grows while nobody looks.
"""

from collections.abc import Iterator
from math import exp, log

from taut.deploy import note_figures, noted_ms
from taut.ground import wire
from taut.ground.clock import duration_ms
from taut.ground.exposed import Family, Kind, Sample
from taut.ground.meta import Tx
from taut.home import Home
from taut.project import MonitorSpec
from taut.serve import PredictionReader, open_log
from taut.watch.due import window_after
from taut.watch.evidence import EVIDENCE_MAX, features_of
from taut.watch.references import MonitorReference, newest_reference
from taut.watch.stored import SELECT_NEWEST, states_of, window_in

EVERY_MS = 15_000
FEATURES_MAX = 20
"""Features that are told by name, of each budget; the strongest of the others is told without one."""
VERSIONS_MAX = 10

SELECT_TOTALS = """
SELECT reference.model, reference.version, count(*), sum(w.row_count), sum(w.labelled), max(w.end_ms)
FROM monitor_window AS w JOIN monitor_reference AS reference
ON reference.deployment = w.deployment AND reference.number = w.reference
WHERE w.deployment = :deployment GROUP BY reference.model, reference.version ORDER BY max(w.end_ms) DESC
LIMIT :versions_max
"""
SELECT_OPEN = (
    "SELECT severity, count(*) FROM alert WHERE deployment = :deployment AND status = 'open' GROUP BY severity"
)
SEVERITIES = ("page", "ticket")


def note_watching(home: Home, deployment: str, spec: MonitorSpec, *, is_news: bool) -> None:
    """Note the figures of a deployment that is watched; where there is no news, only once in a while."""
    now_ms = home.clock.now_ms()
    with home.meta.read() as tx:
        if newest_reference(tx, deployment) is None or (
            not is_news and 0 <= now_ms - noted_ms(tx, deployment) < EVERY_MS
        ):
            return
    with open_log(home, deployment) as log:
        families = list(figures_of(log, spec, now_ms=now_ms))
    with home.meta.transaction() as tx:
        note_figures(tx, deployment, families, at_ms=now_ms)


def figures_of(log: PredictionReader, spec: MonitorSpec, *, now_ms: int) -> Iterator[Family]:
    """The figures of a deployment at a moment; none where it is not watched."""
    following = window_after(log.tx, log.deployment, spec)
    if following is None:
        return
    held = following.reference
    labels = _labels(held.deployment, held.model, held.version)
    due_ms = following.end_ms + duration_ms(spec.lateness)
    yield _moment("round", "When somebody last looked whether a window is to be closed.", labels, now_ms)
    yield _moment("window_due", "The event time that closes the next window, with its lateness.", labels, due_ms)
    if seen := log.versions():
        newest_ms, answered_ms = (
            max(found) for found in zip(*((v.last_event_ms, v.last_at_ms) for v in seen), strict=True)
        )
        yield _moment("newest_event", "Time of the newest event that was predicted.", labels, newest_ms)
        yield _moment("answered", "When the newest prediction was made.", labels, answered_ms)
    yield from _totals(log.tx, held.deployment)
    yield from _newest(log.tx, labels, held)
    yield from _evidence(states_of(log.tx, held), spec, labels)
    found = {
        str(severity): int(str(count)) for severity, count in log.tx.rows(SELECT_OPEN, {"deployment": log.deployment})
    }
    counts = {**dict.fromkeys(SEVERITIES, 0), **found}
    of_deployment = {"deployment": held.deployment}
    yield _family("open_alerts", "gauge", "Alerts that nobody has answered, by severity.",
                  *(({**of_deployment, "severity": name}, n) for name, n in sorted(counts.items())))  # fmt: skip


def _totals(tx: Tx, deployment: str) -> Iterator[Family]:
    """What the versions that served last have come to; a version that is older is not told any more."""
    rows = tx.rows(SELECT_TOTALS, {"deployment": deployment, "versions_max": VERSIONS_MAX})
    found = [
        (_labels(deployment, str(model), int(str(version))), [int(str(one)) for one in sums])
        for model, version, *sums in rows
    ]  # fmt: skip
    told = (
        ("windows_closed_total", "Windows that were closed."),
        ("rows_total", "Rows in closed windows."),
        ("labelled_rows_total", "Rows in closed windows whose label was known by then."),
    )
    for place, (name, text) in enumerate(told):
        yield _family(name, "counter", text, *((labels, sums[place]) for labels, sums in found))


def _newest(tx: Tx, labels: dict[str, str], held: MonitorReference) -> Iterator[Family]:
    row = tx.row(SELECT_NEWEST, {"deployment": held.deployment})
    if row is None:
        return
    window = window_in(row)
    yield _moment("window_end", "End of the newest closed window.", labels, window.end_ms)
    yield _moment("closed", "When the newest closed window was closed.", labels, window.at_ms)
    yield _gauge("window_rows", "Rows in the newest closed window.", labels, window.rows)
    yield _gauge("window_labelled_rows", "Rows in it whose label was known by then.", labels, window.labelled)
    yield _family("measure", "gauge", "Measures of the newest closed window, of its labelled rows.", *(
        ({**labels, "measure": name}, value) for name, value in sorted(window.measures.items()) if value is not None
    ))  # fmt: skip


def _evidence(states: str, spec: MonitorSpec, labels: dict[str, str]) -> Iterator[Family]:
    from taut.watch.detectors.ewin import EwinState, e_value

    known = wire.decode(states, dict[str, EwinState], what="the detectors' state") if states else {}
    budgets = [({**labels, "budget": budget}, state) for budget, state in sorted(known.items())]
    yield _family("evidence", "gauge", "The e-value of each budget: 1 says nothing, the bound is an alarm.",
                  *((of, e_value(state)) for of, state in budgets))  # fmt: skip
    yield _family("evidence_bound", "gauge", "The e-value that is an alarm: 1 / alpha.",
                  *((of, 1.0 / spec.alpha) for of, _ in budgets))  # fmt: skip
    yield _family("evidence_peak", "gauge", "The largest e-value since the reference was renewed.",
                  *((of, exp(min(state.peak, EVIDENCE_MAX))) for of, state in budgets))  # fmt: skip
    yield _family("alarm", "gauge", "1 once the evidence has reached its bound, until the reference is renewed.",
                  *((of, float(state.peak >= log(1.0 / spec.alpha))) for of, state in budgets))  # fmt: skip
    named, others = [], []
    for of, _ in budgets:
        found = [one for one in features_of(states) if one.budget == of["budget"]]
        named += [({**of, "feature": one.name}, one.e_value) for one in found[:FEATURES_MAX]]
        others += [(of, one.e_value) for one in found[FEATURES_MAX : FEATURES_MAX + 1]]
    text = f"The e-value of the {FEATURES_MAX} features with the most evidence."
    yield _family("feature_evidence", "gauge", text, *named)
    yield _family("other_features_evidence", "gauge", "The largest e-value of a feature beyond these.", *others)


def _labels(deployment: str, model: str, version: int) -> dict[str, str]:
    return {"deployment": deployment, "model": model, "version": str(version)}


def _moment(name: str, text: str, labels: dict[str, str], at_ms: int) -> Family:
    return _gauge(f"{name}_timestamp_seconds", text, labels, at_ms / 1000)


def _gauge(name: str, text: str, labels: dict[str, str], value: float) -> Family:
    return _family(name, "gauge", text, (labels, value))


def _family(name: str, kind: Kind, text: str, *samples: tuple[dict[str, str], float]) -> Family:
    return Family(f"taut_watch_{name}", kind, text, tuple(Sample(labels, float(value)) for labels, value in samples))
