"""What labelled rows say of a model: the field's measures, each with bounds that hold however often one looks.

Which kind of measures is told by the target and the score: a probability held against 0 or 1 (`binary`), whole numbers
that name classes (`classes`), anything else (`regression`). Bounds are `proven` or `approximate`:

- means of bounded losses (accuracy, Brier, log loss, positive rate) are proven, see `sequences`;
- precision is the mean over the rows that were said to be 1, recall that over those that are 1, and F1 = 2J/(1+J) where
  J is the share of hits among the rows where either is so: means of fewer rows, so proven as well;
- ROC AUC: rows in their order are cut into blocks as soon as one has four rows of each class, from the labels alone;
  given these, the AUC within a block has the true AUC as its mean and lies between 0 and 1, so its mean is bet on.
  Proven where labels come in the order of the rows; one that comes late moves the blocks after it, and then it is
  approximate. The value itself is of all pairs;
- calibration error: the mean of score minus target in each tenth of the scores has bounds with a tenth of alpha, and
  the sum of what is left of their sizes is proven, but wide: of ten sums of noise the value itself is on average too
  large;
- errors of a regression have no bounds, so theirs are asymptotic, and those of R2 rest on the delta method besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from taut.errors import Invalid
from taut.models.measures import MEASURES, MeasureName
from taut.watch.performance.sequences import Floats, Range, asymptotic_bounds, mean_bounds

Kind = Literal["binary", "classes", "regression"]
Sureness = Literal["proven", "approximate", "none"]

CLASSES_MAX = 20
IN_BLOCK = 4  # Rows of each class in a block of the AUC: what pairs across blocks would add is little from here on.
CALIBRATION_BINS = 10
EPSILON = float(np.finfo(np.float64).eps)
WORST_LOG_LOSS = -float(np.log(EPSILON))


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure of `rows` rows, None where it has no value, and the bounds that the true one lies in at all times."""

    value: float | None
    low: float | None
    high: float | None
    rows: int
    bounds: Sureness


NO_FIGURE = Figure(None, None, None, 0, "none")


def kind_of(target: Floats, score: Floats) -> Kind:
    """Which kind of measures fits targets and scores; NaN where unknown. Without any target the scores decide.

    >>> kind_of(np.array([0.0, 1.0]), np.array([0.2, 0.9])), kind_of(np.array([2.0, 0.0]), np.array([2.0, 1.0]))
    ('binary', 'classes')
    """
    y, s = target[~np.isnan(target)], score[~np.isnan(score)]
    if bool(np.all((s >= 0.0) & (s <= 1.0)) and np.all((y == 0.0) | (y == 1.0))):
        return "binary"
    whole = bool(np.all(y == np.round(y)) and np.all(s == np.round(s)))
    return "classes" if len(y) and whole and len(np.unique(y)) <= CLASSES_MAX else "regression"


def figures_of(kind: Kind, target: Floats, score: Floats, alpha: float, *, threshold: float = 0.5) -> dict[str, Figure]:
    """The measures of a kind by name; rows without a target or a score (NaN) do not take part.

    The rows stand in the order of their events. Each figure's bounds miss the truth with a chance of at most `alpha`.
    Raises Invalid where `binary` is asked for and a target is neither 0 nor 1 or a score lies outside.
    """
    known = ~(np.isnan(target) | np.isnan(score))
    y, s = target[known], score[known]
    if kind == "binary":
        if not bool(np.all((y == 0.0) | (y == 1.0)) and np.all((s >= 0.0) & (s <= 1.0))):
            raise Invalid(
                "a binary target is 0 or 1 and its score a probability", hint="--kind classes, or --kind regression"
            )
        return _binary(y, s, alpha, threshold)
    return _classes(y, s, alpha) if kind == "classes" else _regression(y, s, alpha)


def _binary(y: Floats, s: Floats, alpha: float, threshold: float) -> dict[str, Figure]:
    said, is_one = s >= threshold, y == 1.0
    right = (said == is_one).astype(np.float64)
    both = _mean((said & is_one)[said | is_one].astype(np.float64), alpha)
    clipped = np.clip(s, EPSILON, 1.0 - EPSILON)
    lost = -np.log(np.where(is_one, clipped, 1.0 - clipped))
    return {
        "accuracy": _mean(right, alpha),
        "error_rate": _mean(1.0 - right, alpha),
        "precision": _mean(is_one[said].astype(np.float64), alpha),
        "recall": _mean(said[is_one].astype(np.float64), alpha),
        "f1": _f1(both),
        "roc_auc": _roc_auc(y, s, alpha),
        "brier": _mean((s - y) ** 2, alpha),
        "log_loss": _mean(np.minimum(lost, WORST_LOG_LOSS), alpha, Range(0.0, WORST_LOG_LOSS)),
        "calibration_error": _calibration_error(y, s, alpha),
        "positive_rate": _mean(y, alpha),
    }


def _classes(y: Floats, s: Floats, alpha: float) -> dict[str, Figure]:
    right = (y == s).astype(np.float64)
    return {"accuracy": _mean(right, alpha), "error_rate": _mean(1.0 - right, alpha)}


def _regression(y: Floats, s: Floats, alpha: float) -> dict[str, Figure]:
    error = s - y
    off = error[y != 0.0] / y[y != 0.0]
    squared = _asymptotic(error**2, alpha)
    return {
        "mae": _asymptotic(np.abs(error), alpha, least=0.0),
        "rmse": Figure(_root(squared.value), _root(squared.low), _root(squared.high), squared.rows, squared.bounds),
        "mape": _asymptotic(np.abs(off), alpha, least=0.0),
        "bias": _asymptotic(error, alpha),
        "r2": _r2(y, error, alpha),
    }


def _mean(values: Floats, alpha: float, within: Range | None = None) -> Figure:
    if not len(values):
        return NO_FIGURE
    low, high = mean_bounds(values, alpha, within or Range())
    return Figure(float(np.mean(values)), low, high, len(values), "proven")


def _asymptotic(values: Floats, alpha: float, least: float = -np.inf) -> Figure:
    if not len(values):
        return NO_FIGURE
    found = asymptotic_bounds(values, alpha)
    if found is None:
        return Figure(float(np.mean(values)), None, None, len(values), "none")
    return Figure(float(np.mean(values)), max(found[0], least), found[1], len(values), "approximate")


def _f1(shared: Figure) -> Figure:
    """F1 from the share of hits among rows that are 1 or were said to be: it rises with that."""
    if shared.value is None or shared.low is None or shared.high is None:
        return shared
    value, low, high = (2.0 * one / (1.0 + one) for one in (shared.value, shared.low, shared.high))
    return Figure(value, low, high, shared.rows, shared.bounds)


def _roc_auc(y: Floats, s: Floats, alpha: float) -> Figure:
    value = _measured("roc_auc", y, s)
    if value is None:
        return NO_FIGURE
    low, high = mean_bounds(_block_areas(y, s), alpha)
    return Figure(value, min(low, value), max(high, value), len(y), "proven")


def _block_areas(y: Floats, s: Floats) -> Floats:
    """The AUC within each whole block of rows, shape (blocks,)."""
    ends = _block_ends(y)
    if not len(ends):
        return np.empty(0)
    rows = int(ends[-1])
    block = np.searchsorted(ends, np.arange(rows), side="right")
    order = np.lexsort((s[:rows], block))
    block, score, one = block[order], s[:rows][order], y[:rows][order]
    firsts = np.flatnonzero(np.concatenate([[True], (np.diff(score) > 0) | (np.diff(block) > 0)]))
    ones, all_rows = np.add.reduceat(one, firsts), np.diff(np.append(firsts, rows))
    zeros, block = all_rows - ones, block[firsts]
    begins = np.flatnonzero(np.concatenate([[True], np.diff(block) > 0]))
    before = np.cumsum(zeros) - zeros
    below = before - np.repeat(before[begins], np.diff(np.append(begins, len(block)))) + zeros / 2.0
    pairs = np.add.reduceat(ones, begins) * np.add.reduceat(zeros, begins)
    areas: Floats = np.clip(np.add.reduceat(ones * below, begins) / pairs, 0.0, 1.0)
    return areas


def _block_ends(y: Floats) -> NDArray[np.int64]:
    """Where each block ends: as soon as it has `IN_BLOCK` rows of each class."""
    is_one = y == 1.0
    ones, zeros = np.flatnonzero(is_one).tolist(), np.flatnonzero(~is_one).tolist()
    seen = np.concatenate([[0], np.cumsum(is_one)]).tolist()
    ends: list[int] = []
    begin = 0
    while True:
        one = seen[begin] + IN_BLOCK - 1
        zero = begin - seen[begin] + IN_BLOCK - 1
        if one >= len(ones) or zero >= len(zeros):
            return np.array(ends, dtype=np.int64)
        begin = max(ones[one], zeros[zero]) + 1
        ends.append(begin)


def _calibration_error(y: Floats, s: Floats, alpha: float) -> Figure:
    value = _measured("calibration_error", y, s)
    if value is None:
        return NO_FIGURE
    inside = np.minimum((s * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    low = high = 0.0
    for number in range(CALIBRATION_BINS):
        gaps = (s - y)[inside == number]
        others = len(y) - len(gaps)
        below, above = mean_bounds(gaps, alpha / CALIBRATION_BINS, Range(-1.0, 1.0), zeros=others)
        low += max(below, -above, 0.0)
        high += max(-below, above)
    return Figure(value, min(low, value), min(max(high, value), 1.0), len(y), "proven")


def _r2(y: Floats, error: Floats, alpha: float) -> Figure:
    """1 - MSE / variance of the target, by the mean of its influence function."""
    spread = float(np.var(y)) if len(y) else 0.0
    if spread <= 0.0:
        return NO_FIGURE
    ratio = float(np.mean(error**2)) / spread
    found = asymptotic_bounds(1.0 - (error**2 - ratio * ((y - y.mean()) ** 2 - spread)) / spread, alpha)
    if found is None:
        return Figure(1.0 - ratio, None, None, len(y), "none")
    return Figure(1.0 - ratio, found[0], min(found[1], 1.0), len(y), "approximate")


def _measured(name: MeasureName, y: Floats, s: Floats) -> float | None:
    """A measure of rows; None for none, and where it has no value on them."""
    value = float(MEASURES[name](y, s)) if len(y) else float("nan")
    return None if isnan(value) else value


def _root(value: float | None) -> float | None:
    return None if value is None else sqrt(max(value, 0.0))
