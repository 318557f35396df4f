"""The counting e-process `ewin`: looks at every window, and yet alarms falsely at most with probability alpha, ever.

For each event the null says: the stream's rows say yes with the same unknown probability as the reference's rows did.
Given the reference that probability has a Beta law, so the counts are Beta-binomial whatever the data look like: the
reference's own error is part of the null. Against it stand Beta-binomial alternatives of several strengths, which
start at every window seen so far. The ratio of the two likelihoods is an e-process: non-negative, at the start 1, on
average never above 1. Averages of such are such again, and by Ville's inequality one exceeds 1/alpha with probability
at most alpha over its whole life.

What is exact, what approximate: docs/rooms/watch.md. Sources: Ramdas, Grunwald, Vovk & Shafer, Game-theoretic
statistics and safe anytime-valid inference, Statistical Science 2023 (e-processes, Ville); Shin, Ramdas & Rinaldo,
E-detectors, NEJSDS 2024 (alternatives that start at every time).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, logsumexp, zeta

from taut.errors import Invalid
from taut.watch.counts import WindowCounts
from taut.watch.detectors.ebh import discoveries
from taut.watch.detectors.tilts import Tilts
from taut.watch.events import PAIRS, Event, Feature, Reference

Floats = NDArray[np.float64]
Budget = Literal["features", "labels"]
BUDGETS: tuple[Budget, ...] = ("labels", "features")
"""By weight: errors page, a shift of the inputs asks for a look."""

STRENGTHS = (3.0, 30.0, 300.0, 3000.0)
"""Rows that a two-sided alternative's prior is worth around the reference's share: from large shifts to small ones."""
LIFTS = (3.0, 30.0, 300.0)
"""By how much a one-sided alternative raises a rare event's share."""
RISES = (1.1, 1.25, 1.5, 2.0, 4.0)
"""By how much the odds of an error rise."""
DECAY = 1.3
"""The start at check t has the weight (t + 1)^-DECAY / zeta(DECAY): all of them together are 1."""
STARTS_PER_OCTAVE = 4
"""Starts kept per doubling of age: every one of the last eight windows, then fewer and fewer."""


@dataclass(frozen=True, slots=True)
class Ewin:
    """One detector: the features of a reference that it watches, its lifetime `alpha`, and what it tolerates.

    Shifts of an event's probability by up to `tolerance` (0.01: one per cent of the rows) count as no drift. `per` is 0
    where alpha bounds the chance of a false alarm over the whole life; else alpha is the budget of so many checks, as
    those of a year: no more than that of any false alarm in the first `per` checks, and `per` / alpha checks on average
    until one, so that a change after ten years is found as soon as one after ten days.
    """

    features: tuple[Feature, ...]
    alpha: float = 0.01
    tolerance: float = 0.0
    per: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """A possible onset: before check number `at`, when the stream had these totals per event."""

    at: int
    hits: tuple[int, ...]
    trials: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EwinState:
    """Everything the detector remembers: integer totals, the starts it still bets on, and the evidence so far.

    `log_e` is each feature's evidence now, `peak` the largest mean evidence ever and `peak_at` its check: an alarm
    stays an alarm. Natural logarithms. The same counts in the same windows give the same state, bit for bit.
    """

    checks: int
    hits: tuple[int, ...]
    trials: tuple[int, ...]
    starts: tuple[Start, ...]
    log_e: dict[str, float]
    peak: float = 0.0
    peak_at: int = 0


def detectors_of(
    reference: Reference, *, alpha: float = 0.01, tolerance: float = 0.0, per: int = 0
) -> dict[Budget, Ewin]:
    """A detector for each budget that the reference has something for, labels first. Raises Invalid as `ewin_of`."""
    kinds = {feature.kind == "label" for feature in reference.features}
    chosen = [budget for budget in BUDGETS if (budget == "labels") in kinds]
    if not chosen:
        raise Invalid("the reference has no column to watch")
    return {budget: ewin_of(reference, budget, alpha=alpha, tolerance=tolerance, per=per) for budget in chosen}


def ewin_of(reference: Reference, budget: Budget, *, alpha: float = 0.01, tolerance: float = 0.0, per: int = 0) -> Ewin:
    """The detector of one budget: "labels" watches errors and calibration, "features" the inputs and the score.

    Each budget has its own lifetime `alpha`, so that a page on the labels is never spent by the next weather.
    Raises Invalid where the reference has nothing to watch, or alpha or tolerance are no probability.
    """
    if not 0.0 < alpha < 1.0 or not 0.0 <= tolerance < 1.0:
        raise Invalid(f"ewin needs 0 < alpha < 1 and 0 <= tolerance < 1, got alpha {alpha} and tolerance {tolerance}")
    if per < 0:
        raise Invalid(f"a budget is for 1 check or more, or 0 for the whole life; got {per}")
    chosen = tuple(f for f in reference.features if (f.kind == "label") == (budget == "labels"))
    if not chosen:
        raise Invalid(
            f"the reference holds no {budget} to watch",
            hint="make the reference with scores and targets" if budget == "labels" else "",
        )
    return Ewin(chosen, alpha, tolerance, per)


def start(detector: Ewin) -> EwinState:
    """The state before the first window; also how a detector begins again after its reference was renewed."""
    nothing = (0,) * sum(len(feature.events) for feature in detector.features)
    return EwinState(0, nothing, nothing, (), {feature.name: 0.0 for feature in detector.features})


def update(detector: Ewin, state: EwinState, counts: WindowCounts) -> EwinState:
    """The state after one more window. A window that asked nothing changes nothing.

    Features absent from `counts` were asked nothing. Raises Invalid where the counts are of another reference.
    """
    hits, trials = _flat(detector, counts.hits), _flat(detector, counts.trials)
    if not any(trials):
        return state
    starts = (*state.starts, Start(state.checks, state.hits, state.trials))
    kept = tuple(begun for begun in starts if _is_kept(begun.at, state.checks))
    total_hits, total_trials = _sum(state.hits, hits), _sum(state.trials, trials)
    log_e = _evidence(detector, kept, total_hits, total_trials)
    mean = _log_mean(list(log_e.values()))
    peak, peak_at = max((mean, state.checks + 1), (state.peak, state.peak_at), key=lambda pair: pair[0])
    return EwinState(state.checks + 1, total_hits, total_trials, kept, log_e, peak, peak_at)


def e_value(state: EwinState) -> float:
    """The evidence against "nothing has changed" now: 1 says nothing, 100 would be a lucky bet at 100 to 1."""
    return float(np.exp(min(_log_mean(list(state.log_e.values())), 700.0)))


def is_alarm(detector: Ewin, state: EwinState) -> bool:
    """Whether the evidence has ever reached 1/alpha. Ville: P(ever | nothing changed) <= alpha."""
    return state.peak >= log(1.0 / detector.alpha)


def suspects(detector: Ewin, state: EwinState) -> list[str]:
    """The features that drifted, strongest first, by e-BH at false discovery rate alpha; often empty without alarm.

    That columns hang together otherwise is told where no column explains it: one that moved takes its pairs along.
    """
    found = discoveries(state.log_e, fdr=detector.alpha)
    return [name for name in found if name != PAIRS] or found


def _evidence(
    detector: Ewin, starts: tuple[Start, ...], hits: tuple[int, ...], trials: tuple[int, ...]
) -> dict[str, float]:
    """Log e-value of each feature: the mean of its bets, summed over the starts with weights that sum to 1.

    Half of a numeric feature's stake goes on its shape, half on its single events; the others bet on events alone.
    """
    events = [event for feature in detector.features for event in feature.events]
    before = (
        np.array([s.hits for s in starts], dtype=np.float64),
        np.array([s.trials for s in starts], dtype=np.float64),
    )
    after = np.array(hits) - before[0], np.array(trials) - before[1]
    ratios = _log_ratios(events, before, after, detector.tolerance)
    sizes = np.array([len(feature.events) for feature in detector.features])
    firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    means = np.logaddexp.reduceat(ratios, firsts, axis=1) - np.log(sizes)
    tilts = Tilts(detector.features)
    if len(tilts.features) and not detector.tolerance:
        a = np.array([event.a for event in events]) + before[0]
        b = np.array([event.b for event in events]) + before[1] - before[0]
        shapes = tilts.log_ratios(a, b, after[0], after[1] - after[0])
        means[:, tilts.features] = np.logaddexp(means[:, tilts.features], shapes) - log(2.0)
    weights, waiting = log_weights([s.at for s in starts], detector.per)
    total = np.logaddexp(logsumexp(means + weights[:, None], axis=0), waiting)
    return {feature.name: float(e) for feature, e in zip(detector.features, total, strict=True)}


def log_weights(at: Sequence[int], per: int = 0) -> tuple[Floats, float]:
    """Logs of the stakes on starts before these checks, and of the stake on those yet to come: a bet not yet placed.

    Over a whole life they sum to 1. With `per` each has 1/`per`, and after so many checks nothing is left to come.

    >>> weights, waiting = log_weights([0, 1])
    >>> round(float(np.exp(weights).sum() + np.exp(waiting)), 9)
    1.0
    """
    begun = np.asarray(at, dtype=np.float64)
    if per:
        left = 1.0 - (begun[-1] + 1.0) / per
        return np.full(len(begun), -log(per)), log(left) if left > 0 else -np.inf
    whole = float(zeta(DECAY, 1.0))
    return -DECAY * np.log(begun + 1.0) - log(whole), log(zeta(DECAY, begun[-1] + 2.0) / whole)


def _log_ratios(
    events: list[Event], before: tuple[Floats, Floats], after: tuple[Floats, Floats], tolerance: float
) -> Floats:
    """log(alternatives / null) of the counts since each start, shape (starts, events).

    Rows before the start have joined the reference. All counts are divided by the event's over-dispersion.
    """
    deff = np.array([event.deff for event in events])
    a = (np.array([event.a for event in events]) + before[0]) / deff
    b = (np.array([event.b for event in events]) + before[1] - before[0]) / deff
    k, misses = after[0] / deff, (after[1] - after[0]) / deff
    one_sided = np.array([event.one_sided for event in events])
    null = _null(a, b, k, misses, np.where(one_sided, 0.0, -tolerance), tolerance)
    ratios = np.empty_like(null)
    risk = np.array([event.kind == "error" for event in events])
    for chosen, alternative, sizes in (
        (risk & one_sided, _risen, RISES), (one_sided & ~risk, _lifted, LIFTS), (~one_sided, _around, STRENGTHS),
    ):  # fmt: skip
        if chosen.any():
            ratios[:, chosen] = _mixture(alternative, sizes, *(x[:, chosen] for x in (a, b, k, misses)))
    return ratios - null


def _null(a: Floats, b: Floats, k: Floats, misses: Floats, lowest: Floats, highest: float) -> Floats:
    """The null's log likelihood at the tolerated shift that explains the counts best."""
    if not highest:
        return _log_beta_binomial(a, b, k, misses)
    strength = a + b
    mean, rows = a / strength, k + misses
    seen = np.divide(k, rows, out=mean.copy(), where=rows > 0)
    shifted = np.clip(mean + np.clip(seen - mean, lowest, highest), 1e-12, 1.0 - 1e-12)
    return _log_beta_binomial(shifted * strength, (1.0 - shifted) * strength, k, misses)


def _mixture(
    alternative: Callable[[Floats, Floats, float], tuple[Floats, Floats]],
    sizes: tuple[float, ...],
    a: Floats,
    b: Floats,
    k: Floats,
    misses: Floats,
) -> Floats:
    """Log likelihood of the counts under equal parts of the alternatives of all sizes."""
    parts = [_log_beta_binomial(*alternative(a, b, size), k, misses) for size in sizes]
    mixed: Floats = np.logaddexp.reduce(parts, axis=0) - log(len(sizes))
    return mixed


def _around(a: Floats, b: Floats, strength: float) -> tuple[Floats, Floats]:
    """A two-sided alternative: the reference's mean, believed only as much as `strength` rows would be."""
    return strength * a / (a + b), strength * b / (a + b)


def _lifted(a: Floats, b: Floats, lift: float) -> tuple[Floats, Floats]:
    """A one-sided alternative: Beta(a, b / lift). It exceeds the null in likelihood ratio order, so the ratio only
    falls when the event is rarer than the null says."""
    return a, np.maximum(b / lift, np.minimum(b, 1.0))


def _risen(a: Floats, b: Floats, rise: float) -> tuple[Floats, Floats]:
    """A one-sided alternative for what is not rare: the odds are higher, known as well as the reference's are."""
    share = rise * a / (rise * a + b)
    return (a + b) * share, (a + b) * (1.0 - share)


def _log_beta_binomial(a: Floats, b: Floats, k: Floats, misses: Floats) -> Floats:
    """Log probability of one sequence with k hits and so many misses, when its share is Beta(a, b)."""
    result: Floats = betaln(a + k, b + misses) - betaln(a, b)
    return result


def _is_kept(begun: int, checks: int) -> bool:
    """Whether a start is still worth its memory: the older, the fewer of them, the first always.

    Which are kept depends on the clock alone and never on the data, so dropping one (its bet counts as lost) is safe.
    """
    octave = (checks - begun) // STARTS_PER_OCTAVE
    return begun % (1 << max(octave.bit_length() - 1, 0)) == 0


def _flat(detector: Ewin, counts: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The counts of the watched features in one row, zeros for those that were not asked."""
    flat: list[int] = []
    for feature in detector.features:
        of_feature = counts.get(feature.name, (0,) * len(feature.events))
        if len(of_feature) != len(feature.events):
            raise Invalid(
                f"feature {feature.name!r} has {len(feature.events)} events in the reference, {len(of_feature)} counted"
            )
        flat += of_feature
    return tuple(flat)


def _sum(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """The counts of both."""
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _log_mean(logs: list[float]) -> float:
    """Logarithm of the mean of what the logarithms stand for."""
    return float(logsumexp(logs) - log(len(logs)))
