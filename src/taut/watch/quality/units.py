"""A change of unit: do the numbers look as if somebody had multiplied those of the reference?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import isfinite, log

import numpy as np
from numpy.typing import NDArray

from taut.watch.events import Feature
from taut.watch.quality.facts import size_of

LARGE = {10.0: "10", 60.0: "60", 100.0: "100", 1_000.0: "1,000", 3_600.0: "3,600", 86_400.0: "86,400", 1e6: "1,000,000"}
"""Factors that no quantity drifts by unnoticed: decimal prefixes, per cent, seconds, minutes and days."""
SMALL = {1.609: "1.609 (miles, km)", 2.205: "2.205 (kg, lb)", 2.54: "2.54 (inches, cm)", 3.281: "3.281 (m, feet)"}
"""Factors between units of people; a quantity may drift by as much, so they are named, and no more."""
NEAR_LARGE, NEAR_SMALL, ALIKE = log(1.2), log(1.025), log(1.25)
"""How near to a factor the estimate must be, and how near to each other the ratios of all quantiles."""
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
ROWS_MIN, SMALL_ROWS_MIN, DISTINCT_MIN = 30, 200, 10
"""Fewer values, for a small factor fewer than 200, or a reference of fewer different ones, say nothing of a factor."""
GRID = np.arange(0.0005, 1.0, 0.001)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Multiplied:
    """Numbers that look multiplied by `factor`, in `name`'s words: all of them, or `hits` outside the range alone."""

    factor: float
    name: str
    hits: int
    is_all: bool
    is_large: bool


def multiplied(feature: Feature, sizes: Mapping[int, int]) -> Multiplied | None:
    """The factor that the numbers of a window were multiplied by, from how many have which size; None where none fits.

    First all of them: the ratios of five quantiles to those of the reference agree within 25 % with each other, and
    their median with a known factor, within 20 % for those of ten and more, 2.5 % for people's units. Then
    those alone that lie outside the reference's range: multiplied by a factor of ten or more, what the reference has
    would lie outside as well and have the same quartiles; and what is inside looks as ever. Anything else is no unit.
    """
    edges = feature.edges
    if feature.distinct < DISTINCT_MIN or not edges or abs(edges[0]) > 1e300 or abs(edges[-1]) > 1e300:
        return None
    known = _quantiles(edges, feature.bins[1:-1], GRID)
    spans = sorted((min(ends), max(ends), count) for place, count in sizes.items() for ends in [size_of(place)])
    spans = [(low, high, count) for low, high, count in spans if isfinite(low) and isfinite(high)]
    total = sum(count for *_, count in spans)
    if total < ROWS_MIN:
        return None
    found = _all_by(known, _quantiles_of(spans, QUANTILES))
    if found is not None and (found[2] or total >= SMALL_ROWS_MIN):
        factor, name, is_large = found
        return Multiplied(factor, name, total, is_all=True, is_large=is_large)
    outside = sorted(
        (min(abs(low), abs(high)), max(abs(low), abs(high)), count)
        for low, high, count in spans
        if high <= edges[0] or low >= edges[-1]
    )
    hits = sum(count for *_, count in outside)
    if hits < ROWS_MIN or not _is_alike(known, [span for span in spans if span[1] > edges[0] and span[0] < edges[-1]]):
        return None
    some = _some_by(known, edges, _quantiles_of(outside, (0.25, 0.5, 0.75)))
    return None if some is None else Multiplied(*some, hits, is_all=False, is_large=True)


def _all_by(known: Floats, now: Floats) -> tuple[float, str, bool] | None:
    before = np.quantile(known, QUANTILES)
    usable = np.abs(before) > 0.05 * np.abs(before).max()
    ratios = now[usable] / before[usable]
    if np.count_nonzero(usable) < 3 or (ratios <= 0).any():
        return None
    logs = np.log(ratios)
    middle = float(np.median(logs))
    # What is near zero has no ratio, and must be as near to it as the factor says.
    away = np.abs(now[~usable] - np.exp(middle) * before[~usable]) / (np.exp(middle) * np.abs(before).max())
    if np.abs(logs - middle).max() > ALIKE or (away > 0.1).any():
        return None
    for factors, near in ((LARGE, NEAR_LARGE), (SMALL, NEAR_SMALL)):
        exact = _factors(factors)
        best = min(exact, key=lambda factor: abs(middle - log(factor)))
        if abs(middle - log(best)) <= near:
            return best, exact[best], factors is LARGE
    return None


def _some_by(known: Floats, edges: Sequence[float], now: Floats) -> tuple[float, str] | None:
    """The factor that takes at least half of the reference outside its range, and there to these quartiles of size."""
    fits = []
    for factor, name in _factors(LARGE).items():
        moved = known * factor
        beyond = np.abs(moved[(moved < edges[0]) | (moved > edges[-1])])
        if len(beyond) * 2 >= len(known):
            ratios = now / np.quantile(beyond, (0.25, 0.5, 0.75))
            fits.append((float(np.abs(np.log(ratios)).max()), factor, name))
    best = min(fits, default=None)
    return None if best is None or best[0] > 2 * ALIKE else best[1:]


def _is_alike(known: Floats, spans: Sequence[tuple[float, float, int]]) -> bool:
    """Whether the values in some spans are spread as those of the reference: what is inside its range is as it was.

    Kolmogorov and Smirnov's distance is at most a tenth, or what chance gives so few once in twenty times.
    """
    total = sum(count for *_, count in spans)
    if not total:
        return False
    below = np.interp(_quantiles_of(spans, GRID), known, GRID, left=0.0, right=1.0)
    return bool(np.abs(below - GRID).max() <= max(0.1, 1.36 / total**0.5))


def _factors(names: Mapping[float, str]) -> dict[float, str]:
    """The factors and their inverses, with what to call them."""
    return {**names, **{1.0 / factor: f"1/{name}" for factor, name in names.items()}}


def _quantiles(edges: Sequence[float], bins: Sequence[int], shares: Floats) -> Floats:
    """Quantiles of a histogram whose values lie evenly within their bin."""
    below = np.array([0, *accumulate(bins)], dtype=np.float64)
    found: Floats = np.interp(shares * below[-1], below, np.asarray(edges))
    return found


def _quantiles_of(spans: Sequence[tuple[float, float, int]], shares: Sequence[float] | Floats) -> Floats:
    """Quantiles of values of which is known how many lie in each of some spans, in ascending order, at least one."""
    ends = np.array([end for low, high, _ in spans for end in (low, high)])
    below = [0.0, *accumulate(float(count) for *_, count in spans)]
    steps = np.array([end for pair in pairwise(below) for end in pair])
    found: Floats = np.interp(np.asarray(shares) * below[-1], steps, ends)
    return found
