"""One window through both detectors: labels, whose harm pages, and features, whose shift is worth a look."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, isnan

import numpy as np

from taut.ground import wire
from taut.ground.clock import duration_ms
from taut.models.measures import MEASURES, MeasureName
from taut.project import MonitorSpec
from taut.serve import PredictedRows
from taut.watch.counting import CountedRows
from taut.watch.counts import WindowCounts
from taut.watch.detectors.evidence import story_of
from taut.watch.detectors.ewin import EwinState, detectors_of, e_value, is_alarm, start, update
from taut.watch.events import Reference
from taut.watch.kept import Counted, Settings, digest_of, pack
from taut.watch.profile import make_reference
from taut.watch.story import Story

MEASURED: tuple[MeasureName, ...] = ("brier", "roc_auc", "log_loss", "accuracy", "calibration_error")
YEAR_MS = 365 * 86_400_000
DAY_MS = 86_400_000  # Rows of one day share their weather, their holidays and their outages.


@dataclass(frozen=True, slots=True)
class Found:
    """What one window showed: `states` is the detectors' memory after it, `alarms` the story of each in alarm."""

    rows: int
    labelled: int
    measures: dict[str, float | None]
    evidence: dict[str, float]
    alarms: dict[str, Story]
    states: str
    counted: Counted


@dataclass(frozen=True, slots=True)
class Bet:
    """What the detectors of a reference make of one more window: their memory, e-values, and stories in alarm."""

    after: dict[str, EwinState]
    evidence: dict[str, float]
    alarms: dict[str, Story]


def profile_rows(rows: PredictedRows, spec: MonitorSpec) -> bytes:
    """The reference profile of rows with scores and labels, as the bytes of an object; days are its blocks."""
    columns = _features(rows, spec)
    blocks = [at_ms // DAY_MS for at_ms in rows.event_ms]
    reference = make_reference(columns, scores=rows.scores(spec.score), targets=rows.labels, blocks=blocks)
    return wire.encode(reference)


def reference_in(profile: bytes) -> Reference:
    """The reference that an object of `profile_rows` is."""
    return wire.decode(profile, Reference, what="the reference profile")


def watch_rows(reference: Reference, rows: CountedRows, spec: MonitorSpec, states: str) -> Found:
    """Update both detectors with the counts of a window; `states` is empty after a new reference."""
    before = wire.decode(states, dict[str, EwinState], what="the detectors' state") if states else {}
    settings = _settings(spec)
    found = bet(reference, settings, before, rows.counts)
    kept = wire.text(found.after)
    checks = {budget: state.checks for budget, state in found.after.items()}
    counted = Counted(pack(rows.counts), settings, checks, digest_of(kept))
    return Found(rows.rows, rows.labelled, _measured(rows), found.evidence, found.alarms, kept, counted)


def bet(reference: Reference, settings: Settings, before: Mapping[str, EwinState], counts: WindowCounts) -> Bet:
    """Let the detectors look at one more window; without a state before they begin."""
    after: dict[str, EwinState] = {}
    evidence: dict[str, float] = {}
    alarms: dict[str, Story] = {}
    chosen = detectors_of(reference, alpha=settings.alpha, tolerance=settings.tolerance, per=settings.per)
    for budget, detector in chosen.items():
        after[budget] = update(detector, before.get(budget) or start(detector), counts)
        evidence[budget] = round(e_value(after[budget]), 6)
        if is_alarm(detector, after[budget]):
            alarms[budget] = story_of(detector, after[budget])
    return Bet(after, evidence, alarms)


def _settings(spec: MonitorSpec) -> Settings:
    per = ceil(YEAR_MS / duration_ms(spec.window)) if spec.alpha_per == "year" else 0
    return Settings(spec.alpha, spec.tolerance, per)


def _features(rows: PredictedRows, spec: MonitorSpec) -> dict[str, list[str | float | int | bool | None]]:
    return {name: column for name, column in rows.inputs.items() if not spec.features or name in spec.features}


def _measured(rows: CountedRows) -> dict[str, float | None]:
    """The field's measures of the labelled rows; None where a measure has no value, as AUC of one class."""
    known = ~np.isnan(rows.scores)
    target, score = rows.targets[known], rows.scores[known]
    if not len(target):
        return {"positive_rate": None, **dict.fromkeys(MEASURED)}
    order = np.lexsort((target, score))  # The same to the last bit, in whatever order parts were read.
    values = {name: float(MEASURES[name](target[order], score[order])) for name in MEASURED}
    measured: dict[str, float | None] = {name: None if isnan(value) else value for name, value in values.items()}
    return {"positive_rate": float(target[order].mean()), **measured}
