"""Measures of a binary classifier's scores, and the paired bootstrap that tells two models apart.

Every measure takes `target` (0 or 1) and `score` (probability of 1), both of shape (rows,), and optional `weights`:
shape (rows,) for one value, or (resamples, rows) for one value each, which is what makes the bootstrap quick.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from taut.errors import Invalid

Floats = NDArray[np.float64]
MeasureName = Literal["roc_auc", "brier", "log_loss", "accuracy", "calibration_error"]

CHUNK_CELLS = 4_000_000
"""Weights held in memory at once by the bootstrap: 32 MB of floats."""


class Measure(Protocol):
    """A function of targets, scores and weights; the result has one value for each row of the weights."""

    def __call__(self, target: ArrayLike, score: ArrayLike, *, weights: ArrayLike | None = None) -> Floats:
        """The measure of these scores."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference, and the interval that holds the true one with probability `confidence`."""

    difference: float
    low: float
    high: float
    confidence: float
    rows: int
    resamples: int


def roc_auc(target: ArrayLike, score: ArrayLike, *, weights: ArrayLike | None = None) -> Floats:
    """Area under the ROC curve: the chance that a random 1 scores above a random 0, where a tie counts one half.

    NaN where the rows that weigh anything are all of one class. Source: Hanley & McNeil, Radiology 143, 1982 (the
    area is the Mann-Whitney statistic over the number of pairs).

    >>> float(roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    y, s, w = _parsed(target, score, weights)
    order = np.argsort(s, kind="stable")
    ones, zeros = w[:, order] * y[order], w[:, order] * (1.0 - y[order])
    firsts = np.flatnonzero(np.concatenate([[True], np.diff(s[order]) > 0]))
    if len(firsts) < len(s):
        ones, zeros = np.add.reduceat(ones, firsts, axis=1), np.add.reduceat(zeros, firsts, axis=1)
    below = np.cumsum(zeros, axis=1) - zeros / 2.0
    pairs = ones.sum(axis=1) * zeros.sum(axis=1)
    area = np.einsum("ij,ij->i", ones, below)
    return _shaped(np.divide(area, pairs, out=np.full_like(area, np.nan), where=pairs > 0), weights)


def brier(target: ArrayLike, score: ArrayLike, *, weights: ArrayLike | None = None) -> Floats:
    """Mean squared distance of the score from the target: 0 is best, 0.25 is what always saying 0.5 gets.

    Source: Brier, Monthly Weather Review 78, 1950 (the half of his sum that one class needs).

    >>> round(float(brier([0, 1], [0.2, 0.6])), 3)
    0.1
    """
    y, s, w = _parsed(target, score, weights)
    return _shaped(_weighted_mean((s - y) ** 2, w), weights)


def log_loss(target: ArrayLike, score: ArrayLike, *, weights: ArrayLike | None = None) -> Floats:
    """Mean negative log likelihood in nats. Scores are kept one float epsilon away from 0 and 1, so it is finite.

    Source: Good, Rational decisions, JRSS-B 14, 1952.

    >>> round(float(log_loss([0, 1], [0.5, 0.5])), 4)
    0.6931
    """
    y, s, w = _parsed(target, score, weights)
    eps = float(np.finfo(np.float64).eps)
    s = np.clip(s, eps, 1.0 - eps)
    return _shaped(_weighted_mean(-(y * np.log(s) + (1.0 - y) * np.log1p(-s)), w), weights)


def accuracy(
    target: ArrayLike, score: ArrayLike, *, weights: ArrayLike | None = None, threshold: float = 0.5
) -> Floats:
    """Share of rows whose predicted class is right; a score of `threshold` or more predicts 1.

    >>> float(accuracy([0, 1, 1, 0], [0.2, 0.7, 0.4, 0.1]))
    0.75
    """
    y, s, w = _parsed(target, score, weights)
    return _shaped(_weighted_mean(((s >= threshold) == (y >= 0.5)).astype(np.float64), w), weights)


def calibration_error(
    target: ArrayLike, score: ArrayLike, *, weights: ArrayLike | None = None, bins: int = 10
) -> Floats:
    """Expected calibration error: |mean score - share of ones| within `bins` equally wide bins, averaged over the rows.

    A score on an edge belongs to the bin above it, 1.0 to the last.
    Source: Naeini, Cooper & Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015.

    >>> round(float(calibration_error([0, 1, 1, 1], [0.9, 0.9, 0.9, 0.9])), 3)
    0.15
    """
    y, s, w = _parsed(target, score, weights)
    inside = np.minimum((s * bins).astype(int), bins - 1)[:, None] == np.arange(bins)
    gaps = np.abs(w @ (inside * (s - y)[:, None])).sum(axis=1)
    return _shaped(gaps / w.sum(axis=1), weights)


MEASURES: dict[MeasureName, Measure] = {
    "roc_auc": roc_auc,
    "brier": brier,
    "log_loss": log_loss,
    "accuracy": accuracy,
    "calibration_error": calibration_error,
}
HIGHER_IS_BETTER: frozenset[MeasureName] = frozenset({"roc_auc", "accuracy"})


def paired_bootstrap(
    target: ArrayLike,
    score_a: ArrayLike,
    score_b: ArrayLike,
    measure: MeasureName,
    *,
    resamples: int = 500,
    seed: int = 0,
    confidence: float = 0.95,
    blocks: Sequence[object] | None = None,
) -> Interval:
    """How much more `measure` is for `score_b` than for `score_a` on the same rows, with a percentile interval.

    Both models are measured on the same resampled rows, so what makes the rows hard cancels out. With `blocks` (each
    row's day, say) whole blocks are drawn instead of rows: rows of one block share their weather, and pretending that
    they are independent makes the interval too narrow. Resamples in which the measure has no value are left out.
    The same seed gives the same interval. Raises Invalid where the measure has no value on the rows themselves.
    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13; blocks: Davison & Hinkley, Bootstrap
    Methods and their Application, 1997, sec. 3.8.

    >>> paired_bootstrap([0, 1] * 50, [0.5] * 100, [0.1, 0.9] * 50, "brier").difference
    -0.24
    """
    function = MEASURES[measure]
    y = np.asarray(target, dtype=np.float64)
    difference = float(function(y, score_b) - function(y, score_a))
    if np.isnan(difference):
        raise Invalid(f"{measure} has no value on these {len(y)} rows: all targets are of one class")
    parts = [
        function(y, score_b, weights=w) - function(y, score_a, weights=w)
        for w in _resampled_weights(len(y), blocks, resamples, seed)
    ]
    differences = np.concatenate(parts)
    tail = (1.0 - confidence) / 2.0
    low, high = np.nanquantile(differences, [tail, 1.0 - tail])
    return Interval(round(difference, 12), float(low), float(high), confidence, len(y), resamples)


def _resampled_weights(rows: int, blocks: Sequence[object] | None, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each row is drawn, in parts of shape (some resamples, rows) that fit in memory."""
    chance = np.random.default_rng(seed)
    block_of = np.arange(rows) if blocks is None else np.unique(np.asarray(blocks), return_inverse=True)[1]
    if len(block_of) != rows:
        raise Invalid(f"the bootstrap needs one block for each row; found {len(block_of)} blocks for {rows} rows")
    units = int(block_of.max()) + 1
    step = max(1, CHUNK_CELLS // rows)
    for done in range(0, resamples, step):
        size = min(step, resamples - done)
        drawn = chance.integers(0, units, (size, units)) + np.arange(size)[:, None] * units
        counts = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)
        yield counts[:, block_of].astype(np.float64)


def _parsed(target: ArrayLike, score: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """Targets, scores and weights as floats; the weights of shape (values, rows)."""
    y, s = np.asarray(target, dtype=np.float64), np.asarray(score, dtype=np.float64)
    w = np.ones((1, len(y))) if weights is None else np.atleast_2d(np.asarray(weights, dtype=np.float64))
    if y.shape != s.shape or y.ndim != 1 or not len(y) or w.shape[1] != len(y):
        raise Invalid(f"targets, scores and weights must be of one length; found {y.shape}, {s.shape}, {w.shape}")
    if np.isnan(y).any() or np.isnan(s).any():
        raise Invalid("targets and scores must be numbers; leave rows without a label or a score out")
    return y, s, w


def _weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Mean of the values under each row of the weights."""
    result: Floats = weights @ values / weights.sum(axis=1)
    return result


def _shaped(values: Floats, weights: ArrayLike | None) -> Floats:
    """One value for one set of weights, as an array without dimensions."""
    return values if np.ndim(weights) > 1 else values.reshape(())  # type: ignore[arg-type]  # ndim takes None too
