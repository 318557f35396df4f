"""One window through both detectors: labels, whose harm pages, and features, whose shift is worth a look."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, isnan

from taut.ground import wire
from taut.ground.clock import duration_ms
from taut.models.measures import MEASURES, MeasureName
from taut.project import MonitorSpec
from taut.serve import PredictedRows
from taut.watch.counts import WindowCounts, count_labels, count_window
from taut.watch.detectors.ewin import Budget, Ewin, EwinState, detectors_of, e_value, is_alarm, start, suspects, update
from taut.watch.events import Feature, Reference
from taut.watch.profile import make_reference

MEASURED: tuple[MeasureName, ...] = ("brier", "roc_auc", "log_loss", "accuracy", "calibration_error")
YEAR_MS = 365 * 86_400_000
DAY_MS = 86_400_000  # Rows of one day share their weather, their holidays and their outages.


@dataclass(frozen=True, slots=True)
class Found:
    """What one window showed: `states` is the detectors' memory after it, `alarms` a budget's first suspect."""

    rows: int
    labelled: int
    measures: dict[str, float | None]
    evidence: dict[str, float]
    alarms: dict[str, str]
    states: str


def profile_rows(rows: PredictedRows, spec: MonitorSpec) -> bytes:
    """The reference profile of rows with scores and labels, as the bytes of an object; days are its blocks."""
    columns = _features(rows, spec)
    blocks = [at_ms // DAY_MS for at_ms in rows.event_ms]
    reference = make_reference(columns, scores=rows.scores(spec.score), targets=rows.labels, blocks=blocks)
    return wire.encode(reference)


def watch_rows(profile: bytes, rows: PredictedRows, spec: MonitorSpec, states: str) -> Found:
    """Count the rows over the profile's events and update both detectors; `states` is empty after a new reference."""
    reference = wire.decode(profile, Reference, what="the reference profile")
    before = wire.decode(states, dict[str, EwinState], what="the detectors' state") if states else {}
    counts = _counts(reference, rows, spec)
    after: dict[str, EwinState] = {}
    evidence: dict[str, float] = {}
    alarms: dict[str, str] = {}
    for budget, detector in _detectors(reference, spec).items():
        after[budget] = update(detector, before.get(budget) or start(detector), counts)
        evidence[budget] = round(e_value(after[budget]), 6)
        if is_alarm(detector, after[budget]):
            alarms[budget] = _suspect(detector, after[budget])
    labelled = sum(label is not None for label in rows.labels)
    return Found(len(rows.ids), labelled, _measured(rows, spec), evidence, alarms, wire.text(after))


def _detectors(reference: Reference, spec: MonitorSpec) -> Mapping[Budget, Ewin]:
    per = ceil(YEAR_MS / duration_ms(spec.window)) if spec.alpha_per == "year" else 0
    return detectors_of(reference, alpha=spec.alpha, tolerance=spec.tolerance, per=per)


def _counts(reference: Reference, rows: PredictedRows, spec: MonitorSpec) -> WindowCounts:
    if not rows.ids:
        return WindowCounts(0, {}, {})
    scores = rows.scores(spec.score)
    watched = replace(reference, features=tuple(one for one in reference.features if _is_watched(one, spec)))
    counted = count_window(watched, _features(rows, spec), scores=scores)
    labels = count_labels(reference, scores, rows.labels)
    return replace(counted + labels, rows=counted.rows)


def _is_watched(feature: Feature, spec: MonitorSpec) -> bool:
    """A column that the monitor no longer looks at is asked nothing; it is not missing."""
    return feature.kind in {"label", "score", "joint"} or not spec.features or feature.name in spec.features


def _features(rows: PredictedRows, spec: MonitorSpec) -> dict[str, list[str | float | int | bool | None]]:
    return {name: column for name, column in rows.inputs.items() if not spec.features or name in spec.features}


def _measured(rows: PredictedRows, spec: MonitorSpec) -> dict[str, float | None]:
    """The field's measures of the labelled rows; None where a measure has no value, as AUC of one class."""
    scores = rows.scores(spec.score)
    known = [
        (label, score)
        for label, score in zip(rows.labels, scores, strict=True)
        if label is not None and isinstance(score, int | float)
    ]
    if not known:
        return {"positive_rate": None, **dict.fromkeys(MEASURED)}
    target, score = zip(*known, strict=True)
    values = {name: float(MEASURES[name](target, score)) for name in MEASURED}
    measured: dict[str, float | None] = {name: None if isnan(value) else value for name, value in values.items()}
    return {"positive_rate": sum(target) / len(target), **measured}


def _suspect(detector: Ewin, state: EwinState) -> str:
    """The strongest suspect; where none is discovered on its own, the feature with the most evidence."""
    named = suspects(detector, state)
    return named[0] if named else max(state.log_e, key=lambda name: state.log_e[name])
