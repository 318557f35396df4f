"""What may be expected of rows whose labels are not there yet, from their scores alone: advice, never an alarm.

A score is translated into the share of ones that such scores had: by isotonic regression on the labelled rows of
earlier windows where there are enough, else by the shares that the reference has in each bin of its scores. Each row
is then right with the chance that this says. It holds as long as what a score means has not changed; a change of
concept is exactly that, and cannot be seen here. Source of the idea: confidence-based performance estimation, as
NannyML calls it; isotonic regression: Barlow et al., Statistical inference under order restrictions, 1972.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

import numpy as np

from taut.models.measures import roc_auc
from taut.watch.events import TARGET, Reference
from taut.watch.performance.sequences import Floats

ASSUMPTION = "assumes that what the score means has not changed"
ENOUGH = 500
"""Labelled rows from which on they say what a score means: a share in a fifth of them is then known to some 5 %."""
GRID = 1_000  # Scores are told apart by thousandths.


@dataclass(frozen=True, slots=True)
class Estimates:
    """Measures that `rows` rows may be expected to have, by what `source` says a score means; see `assumption`."""

    rows: int
    accuracy: float | None
    roc_auc: float | None
    brier: float | None
    positive_rate: float | None
    source: str
    assumption: str = ASSUMPTION


@dataclass(frozen=True, slots=True)
class Calibration:
    """The share of ones at a score: `rates[i]` from `cuts[i - 1]` (not included) up to `cuts[i]`."""

    cuts: Floats
    rates: Floats
    source: str

    def rate(self, scores: Floats) -> Floats:
        """The share at each score."""
        rates: Floats = self.rates[np.searchsorted(self.cuts, scores, side="left")]
        return rates


class Learned:
    """Labelled rows so far, as counts by score."""

    def __init__(self) -> None:
        self._ones = np.zeros(GRID + 1)
        self._all = np.zeros(GRID + 1)

    def add(self, target: Floats, score: Floats) -> None:
        """Add rows with a label of 0 or 1 and a score from 0 to 1."""
        places = np.round(score * GRID).astype(np.int64)
        self._ones += np.bincount(places, weights=target, minlength=GRID + 1)
        self._all += np.bincount(places, minlength=GRID + 1)

    def calibration(self) -> Calibration | None:
        """What scores meant so far; None while the rows are too few."""
        from scipy.optimize import isotonic_regression

        rows = int(self._all.sum())
        if rows < ENOUGH:
            return None
        seen = np.flatnonzero(self._all)
        fitted = isotonic_regression(self._ones[seen] / self._all[seen], weights=self._all[seen]).x
        at = seen / GRID
        return Calibration((at[1:] + at[:-1]) / 2.0, np.asarray(fitted), f"{rows} labelled rows of earlier windows")


def calibration_of(reference: Reference) -> Calibration | None:
    """What scores meant in a reference: the share of ones in each bin of its scores; None where it has no labels."""
    feature = next((one for one in reference.features if one.name == TARGET), None)
    if feature is None:
        return None
    rates = np.array([event.a / (event.a + event.b) for event in feature.events])
    rows = sum(event.trials for event in feature.events)
    return Calibration(np.asarray(reference.score_cuts), rates, f"{rows} labelled rows of the reference")


def estimates_of(scores: Floats, calibration: Calibration, *, threshold: float = 0.5) -> Estimates | None:
    """What rows with these scores (NaN: none) may be expected to have; None where none has one.

    >>> known = Calibration(np.array([0.5]), np.array([0.2, 0.9]), "ten rows")
    >>> found = estimates_of(np.array([0.4, 0.6]), known)
    >>> round(found.accuracy, 3), round(found.positive_rate, 3)
    (0.85, 0.55)
    """
    score = scores[~np.isnan(scores)]
    if not len(score):
        return None
    rate = calibration.rate(score)
    area = float(roc_auc(rate, score))
    return Estimates(
        len(score), float(np.mean(np.where(score >= threshold, rate, 1.0 - rate))), None if isnan(area) else area,
        float(np.mean(rate * (1.0 - score) ** 2 + (1.0 - rate) * score**2)), float(np.mean(rate)), calibration.source,
    )  # fmt: skip
