"""Yes/no questions about each feature, with the law of each answer's probability given the reference.

A reference sample becomes a few hundred questions ("is tenure <= 12?", "is carrier missing?"); a window of predictions
is then only a count of the answers. For each question stands here what the reference knows about its probability, as
a Beta law.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from taut.watch.columns import Column, categorical_counts, numeric_array
from taut.watch.order import Coverage
from taut.watch.rows import Duplicates

EventKind = Literal["below", "outside", "missing", "present", "level", "rest", "unseen", "error", "target", "agree"]
FeatureKind = Literal["numeric", "categorical", "score", "label", "joint"]

FLOAT_MAX = sys.float_info.max
SCORE, ERROR, TARGET, PAIRS = "score", "label:error", "label:target", "columns:pairs"
CUTS = 8
"""Order statistics asked about per numeric feature: the 1/9 to 8/9 quantiles, as in the study behind the method."""
TOP_LEVELS = 12
"""Levels of a categorical feature that get a question of their own."""
KNOWN_LEVELS_MAX = 1_000
"""A column with more levels is an identifier: a new one is no news, and keeping them would burst the profile."""
SCORE_BINS = 5
FINER = 3
"""Bins of the finer histogram between two neighbouring cuts; its ranks fall on those of the cuts, too."""
TAILS = (0.001, 0.01)
"""Shares at either end that the finer histogram cuts off besides: what is rare lies far apart."""
KEPT_LEVELS = 31
"""Levels of a categorical feature whose counts are kept for pictures and measures."""


@dataclass(frozen=True, slots=True)
class Event:
    """One yes/no question about a row. Its probability, given the reference, follows Beta(`a`, `b`).

    `hits` of `trials` reference rows said yes. `at` is the cut of "below", `level` the level of "level", and of
    "target" the number of the score bin, `of` the two columns of "agree". `one_sided`: only more hits than expected
    count as evidence. `deff` >= 1 divides the counts, because rows that move together weigh less than independent ones.
    """

    kind: EventKind
    name: str
    a: float
    b: float
    hits: int
    trials: int
    at: float | None = None
    level: str | None = None
    one_sided: bool = False
    deff: float = 1.0
    of: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """One watched column and its events. `low` and `high` bound the numbers seen, `known` the levels seen (or None).

    `bins` are the reference's own counts over a finer histogram, for pictures, measures and quality; no event. Of a
    numeric feature: below `edges[0]`, `edges[0]` to `edges[1]`, above `edges[1]` to `edges[2]`, ..., above the last
    edge, shape (edges + 1,). Of a categorical one: each of `levels`, the most frequent first, then all other known
    levels, then levels never seen, shape (levels + 2,). `finer` are the inner edges that are no cut of an event,
    `sd` the standard deviation, `distinct` how many values differ. Profiles of before have none of these.
    """

    name: str
    kind: FeatureKind
    events: tuple[Event, ...]
    low: float | None = None
    high: float | None = None
    known: tuple[str, ...] | None = None
    finer: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    bins: tuple[int, ...] = ()
    sd: float | None = None
    distinct: int = 0

    @property
    def edges(self) -> tuple[float, ...]:
        """The edges of the finer histogram, ascending from the reference's smallest value to its largest.

        The first two are equal where so many values are the smallest one that they fill a bin, or all of them.
        """
        if self.kind == "categorical" or not self.bins:
            return ()
        low, high = finite(self.low, -FLOAT_MAX), finite(self.high, FLOAT_MAX)
        cuts = {event.at for event in self.events if event.at is not None and isfinite(event.at)}
        return (low, *sorted(cuts | set(self.finer)), high)


@dataclass(frozen=True, slots=True)
class Reference:
    """What a model's inputs, scores and errors looked like when all was well; the raw rows are not needed again.

    `threshold` turns a score into the predicted class. `score_cuts` are the inner edges of the score bins. `clocks` are
    columns that only count the time, so that nothing is asked of them. `duplicates` counts the rows whose inputs are
    there twice; profiles of before do not know.
    """

    rows: int
    features: tuple[Feature, ...]
    score_cuts: tuple[float, ...] = ()
    threshold: float = 0.5
    clocks: tuple[str, ...] = ()
    coverage: Coverage | None = None
    duplicates: Duplicates | None = None


def numeric_feature(name: str, column: Column) -> Feature:
    """Events of a numeric column: below each of its order-statistic cuts, outside its range, missing.

    For a continuous column, F(X_(k)) of n values follows Beta(k, n+1-k) whatever F is (David & Nagaraja, Order
    Statistics, 2003, sec. 2.1), so the law of "x <= X_(k)" is exact. Ties break that; there the Jeffreys law
    Beta(m+1/2, n-m+1/2) of the m values at or below the cut stands in. Outside the range is Beta(2, n-1), one-sided,
    since tied extremes make it rarer. Infinite values are numbers; NaN and None are missing.
    """
    values = numeric_array(column)
    present = np.sort(values[~np.isnan(values)])
    n = len(present)
    events: list[Event] = []
    cuts = order_cuts(present, CUTS)
    for cut in cuts:
        at_or_below = int(np.searchsorted(present, cut, side="right"))
        tied = at_or_below > 1 and present[at_or_below - 2] == cut
        a, b = jeffreys(at_or_below, n) if tied else (float(at_or_below), float(n + 1 - at_or_below))
        events.append(Event("below", f"{name} <= {cut:g}", a, b, at_or_below, n, at=float(cut)))
    if n > 1:
        outside = f"{name} outside {present[0]:g} to {present[-1]:g}"
        events.append(Event("outside", outside, 2.0, float(n - 1), 0, n, one_sided=True))
    events.append(_missing_event(name, len(values) - n, len(values)))
    bounds = (float(present[0]), float(present[-1])) if n else (None, None)
    made = Feature(name, "numeric", tuple(events), low=bounds[0], high=bounds[1])
    return with_histogram(made, present, cuts) if n else made


def with_histogram(feature: Feature, present: NDArray[np.float64], cuts: tuple[float, ...]) -> Feature:
    """The numeric feature with its finer histogram, from the reference's sorted present values, at least one.

    Inner edges are the cuts, `FINER` - 1 order statistics between two of them, and `TAILS` at either end. Those of
    values that stand alone are rounded as far as their bins allow, since a profile holds hundreds of them.
    """
    n = len(present)
    shares = [place / (FINER * (CUTS + 1)) for place in range(1, FINER * (CUTS + 1))]
    shares += [share for tail in TAILS for share in (tail, 1.0 - tail)]
    ranks = np.clip(np.round(np.array(shares) * n).astype(int), 1, n)
    chosen = np.unique(present[ranks - 1])
    inner = sorted({float(one) for one in chosen if np.isfinite(one) and one < present[-1]} | set(cuts))
    finer = []
    for place, edge in enumerate(inner):
        if edge not in cuts:
            around = [*inner[max(0, place - 1) : place], *inner[place + 1 : place + 2]]
            alone = np.searchsorted(present, edge, side="right") - np.searchsorted(present, edge) == 1
            room = min(abs(edge - other) for other in around) / 64 if around and alone else 0.0
            finer.append(_rounded(edge, room))
    scale = float(np.abs(present[[0, -1]]).max()) or 1.0  # Squares of numbers as they are may be too large.
    spread = scale * float((present / scale).std()) if np.isfinite(scale) else float("inf")
    made = replace(
        feature, finer=tuple(finer), bins=(0,),
        sd=_rounded(spread, spread / 1e6) if isfinite(spread) else None,
        distinct=1 + int(np.count_nonzero(present[1:] != present[:-1])),
    )  # fmt: skip
    return replace(made, bins=histogram(present, made.edges))


def histogram(ordered: NDArray[np.float64], edges: tuple[float, ...]) -> tuple[int, ...]:
    """How many of the sorted values lie below the first edge, between each two, and above the last; no NaN among them.

    >>> histogram(np.array([0.0, 1.0, 1.0, 2.0, 5.0]), (1.0, 1.0, 3.0))
    (1, 2, 1, 1)
    """
    below = int(ordered.searchsorted(edges[0]))
    up_to = ordered.searchsorted(edges[1:], side="right").tolist()
    return tuple(high - low for low, high in pairwise((0, below, *up_to, len(ordered))))


def finite(bound: float | None, otherwise: float) -> float:
    """A bound of the values seen; infinity, which JSON does not know, is read as None."""
    return bound if bound is not None and isfinite(bound) else otherwise


def categorical_feature(name: str, column: Column) -> Feature:
    """Events of a categorical column: each top level, all the rest, a level never seen, missing.

    Choosing the most frequent of many levels and estimating them from the same rows flatters them; so where there are
    more than `TOP_LEVELS`, every other row chooses and the rows between estimate. An unseen level has probability
    Beta(N1+1, n), where N1 levels were seen once (Good, The population frequencies of species, 1953). It is one-sided:
    from a closed set no new level ever comes, and that is no drift. Others follow Jeffreys' law.
    """
    counts, missing = categorical_counts(column)
    n = sum(counts.values())
    top, estimate = _top_levels(column, counts)
    of = sum(estimate.values())
    named = [(level, estimate.get(level, 0)) for level in top]
    events = [
        Event("level", f"{name} = {level}", *jeffreys(k, of), k, of, level=level, one_sided=not k)
        for level, k in named
        if k < of
    ]
    if len(top) < len(counts):
        rest = of - sum(k for _, k in named)
        events.append(Event("rest", f"{name} is another level", *jeffreys(rest, of), rest, of, one_sided=not rest))
    known = tuple(sorted(counts)) if 0 < len(counts) <= KNOWN_LEVELS_MAX else None
    if known is not None:
        once = sum(1 for k in counts.values() if k == 1)
        events.append(Event("unseen", f"{name} is a new level", once + 1.0, float(n), 0, n, one_sided=True))
    events.append(_missing_event(name, missing, n + missing))
    kept = tuple(sorted(counts, key=lambda level: (-counts[level], level))[:KEPT_LEVELS])
    bins = [counts[level] for level in kept]
    return Feature(
        name, "categorical", tuple(events), known=known, levels=kept, bins=(*bins, n - sum(bins), 0),
        distinct=len(counts),
    )  # fmt: skip


def label_features(
    scores: NDArray[np.float64], targets: NDArray[np.float64], cuts: tuple[float, ...], threshold: float
) -> list[Feature]:
    """Events of the labels: the predicted class is wrong; the target is 1, asked within each bin of the score.

    The second is calibration given the score: a pure change of concept shows here and nowhere in the inputs. Errors are
    one-sided: fewer than in the reference do no harm.
    Rows without a score or without a target do not take part.
    """
    known = ~(np.isnan(scores) | np.isnan(targets))
    score, target = scores[known], targets[known] >= 0.5
    n = len(score)
    if not n:
        return []
    wrong = int(np.count_nonzero((score >= threshold) != target))
    error = Event("error", "the predicted class is wrong", *jeffreys(wrong, n), wrong, n, one_sided=True)
    bins = np.searchsorted(np.asarray(cuts), score, side="left")
    events = []
    for number in range(len(cuts) + 1):
        inside = target[bins == number]
        hits, trials = int(np.count_nonzero(inside)), len(inside)
        name = f"target is 1 at a score {_bin_name(cuts, number)}"
        events.append(Event("target", name, *jeffreys(hits, trials), hits, trials, level=str(number)))
    return [Feature(ERROR, "label", (error,)), Feature(TARGET, "label", tuple(events))]


def order_cuts(values: NDArray[np.float64], cuts: int) -> tuple[float, ...]:
    """Distinct order statistics that split the present values in `cuts` + 1 nearly equal parts, without the maximum."""
    present = np.sort(values[~np.isnan(values)])
    n = len(present)
    if n < 2:
        return ()
    ranks = np.clip(np.round(np.arange(1, cuts + 1) * n / (cuts + 1)).astype(int), 1, n)
    chosen = np.unique(present[ranks - 1])
    return tuple(float(c) for c in chosen if c < present[-1])


def _top_levels(column: Column, counts: Mapping[str, int]) -> tuple[list[str], Mapping[str, int]]:
    """The levels to ask about, most frequent first, and the counts to estimate them from."""
    if len(counts) <= TOP_LEVELS:
        return sorted(counts, key=lambda level: (-counts[level], level)), counts
    choose, _ = categorical_counts(column[0::2])
    estimate, _ = categorical_counts(column[1::2])
    return sorted(choose, key=lambda level: (-choose[level], level))[:TOP_LEVELS], estimate


def _missing_event(name: str, missing: int, rows: int) -> Event:
    """ "Is missing", or "is present" where the reference has nothing but holes; one-sided where it never happened."""
    if missing == rows:
        return Event("present", f"{name} is present", *jeffreys(0, rows), 0, rows, one_sided=True)
    return Event("missing", f"{name} is missing", *jeffreys(missing, rows), missing, rows, one_sided=not missing)


def _rounded(value: float, room: float) -> float:
    """The shortest decimal that is no further from the value than `room`."""
    short = (float(f"{value:.{digits}g}") for digits in range(2, 17))
    return next((one for one in short if abs(one - value) <= room), value)


def jeffreys(hits: int, trials: int) -> tuple[float, float]:
    """Jeffreys' posterior of a share: Beta(hits + 1/2, misses + 1/2)."""
    return hits + 0.5, trials - hits + 0.5


def _bin_name(cuts: tuple[float, ...], number: int) -> str:
    """The bin in words: scores above the cut before, up to the cut after."""
    if number == 0:
        return f"up to {cuts[0]:.3g}" if cuts else "of any size"
    if number == len(cuts):
        return f"above {cuts[-1]:.3g}"
    return f"in {cuts[number - 1]:.3g} to {cuts[number]:.3g}"
