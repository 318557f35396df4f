"""The table of classic measures: one row each, with its bands where the field has any, over a window's counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from taut.watch.counts import WindowCounts
from taut.watch.events import FLOAT_MAX, Feature, Reference
from taut.watch.measures.binned import (
    chi_squared,
    chi_squared_p,
    cramers_v,
    jensen_shannon,
    kolmogorov_smirnov,
    kolmogorov_smirnov_p,
    pooled,
    wasserstein,
)
from taut.watch.measures.psi import psi_of_feature

MeasureName = Literal["psi", "ks", "wasserstein", "wasserstein_sd", "jensen_shannon", "cramers_v"]
Band = Literal["none", "small", "medium", "large"]
PARTS = 9


@dataclass(frozen=True, slots=True)
class Binned:
    """A feature's present values in the reference and in a window, over the same bins, and how many are missing."""

    feature: Feature
    counts: WindowCounts
    before: tuple[int, ...]
    now: tuple[int, ...]
    missing_before: int
    missing_now: int


@dataclass(frozen=True, slots=True)
class Value:
    """A measure's value; `p` where it comes with a test: the chance of as much where nothing changed."""

    value: float
    p: float | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """A row of the table: how to measure, and from which value on it is called small, medium, large.

    Bands are conventions of the field and know nothing of the number of rows.
    """

    name: MeasureName
    of: Callable[[Binned], Value | None]
    bands: tuple[tuple[float, Band], ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one measure says of one feature; `band` is None where the field has no convention."""

    feature: str
    measure: MeasureName
    value: float
    band: Band | None
    p: float | None


def measured(reference: Reference, counts: WindowCounts) -> tuple[Measured, ...]:
    """Every measure of every input and of the score that has a value: for the eye, and never an alarm.

    A feature without a value on either side has none, nor one of a profile without a histogram.
    """
    found = []
    for feature in reference.features:
        binned = binned_of(feature, counts)
        if binned is None:
            continue
        for one in MEASURES:
            value = one.of(binned)
            if value is not None:
                p = None if value.p is None else _short(value.p)
                found.append(Measured(feature.name, one.name, _short(value.value), band_of(one, value.value), p))
    return tuple(found)


def band_of(measure: Measure, value: float) -> Band | None:
    """What the field calls a value of this size; None where it calls it nothing."""
    if not measure.bands:
        return None
    return next((band for least, band in reversed(measure.bands) if value >= least), "none")


def binned_of(feature: Feature, counts: WindowCounts) -> Binned | None:
    """The two sides of a feature; None where one has no values or the profile no histogram."""
    now = counts.bins.get(feature.name, ())
    if feature.kind == "label" or not sum(feature.bins) or not sum(now):
        return None
    place = next(place for place, event in enumerate(feature.events) if event.kind in {"missing", "present"})
    rows = counts.trials[feature.name][place]
    return Binned(feature, counts, feature.bins, now, feature.events[place].trials - sum(feature.bins), rows - sum(now))


def _psi(one: Binned) -> Value | None:
    found = psi_of_feature(one.feature, one.counts)
    return None if found is None else Value(found)


def _ks(one: Binned) -> Value | None:
    if one.feature.kind == "categorical":
        return None
    distance = kolmogorov_smirnov(one.before, one.now)
    return Value(distance, kolmogorov_smirnov_p(distance, sum(one.before), sum(one.now)))


def _wasserstein(one: Binned) -> Value | None:
    edges = one.feature.edges
    if one.feature.kind == "categorical" or FLOAT_MAX in {abs(edges[0]), abs(edges[-1])}:
        return None  # Nothing can be moved to infinity.
    return Value(wasserstein(edges, one.before, one.now))


def _wasserstein_sd(one: Binned) -> Value | None:
    found = _wasserstein(one) if one.feature.sd else None
    return None if found is None or not one.feature.sd else Value(found.value / one.feature.sd)


def _jensen_shannon(one: Binned) -> Value:
    return Value(jensen_shannon(*_coarse(one)))


def _cramers_v(one: Binned) -> Value:
    before, now = pooled(*_coarse(one))
    statistic, freedom = chi_squared(before, now)
    return Value(cramers_v(statistic, sum(before) + sum(now)), chi_squared_p(statistic, freedom))


def _coarse(one: Binned) -> tuple[list[int], list[int]]:
    """Some ten bins for the measures that know no order: over more, chance alone looks like a shift in small windows.

    Neighbouring bins of numbers until each has a ninth of the reference, and what is below and above all of it; the
    nine most frequent levels, the others, new ones. What is missing is a bin of its own.
    """
    if one.feature.kind == "categorical":
        cuts = [*range(1, min(PARTS, len(one.before) - 2) + 1), len(one.before) - 1]
    else:
        held, least, cuts = 0, sum(one.before) / (PARTS + 0.5), [1]
        for place, count in enumerate(one.before[1:-1], start=2):
            held += count
            if held >= least:
                cuts.append(place)
                held = 0
        cuts = [*(cuts[:-1] if len(cuts) > PARTS else cuts), len(one.before) - 1]
    ends = [0, *cuts, len(one.before)]
    before, now = ([sum(side[low:high]) for low, high in pairwise(ends)] for side in (one.before, one.now))
    return [*before, one.missing_before], [*now, one.missing_now]


def _short(value: float) -> float:
    """Six digits, for people and for JSON."""
    return float(f"{value:.6g}")


MEASURES: tuple[Measure, ...] = (
    # Siddiqi, Credit Risk Scorecards, 2006: below 0.1 nothing, from 0.25 on a shift.
    Measure("psi", _psi, ((0.1, "medium"), (0.25, "large"))),
    Measure("ks", _ks, ()),
    Measure("wasserstein", _wasserstein, ()),
    # Cohen's d, 1988, sec. 2.2: what a mere shift moves every value by, in standard deviations.
    Measure("wasserstein_sd", _wasserstein_sd, ((0.2, "small"), (0.5, "medium"), (0.8, "large"))),
    # The one threshold of the tools in use: Evidently 0.7 and NannyML 0.13.
    Measure("jensen_shannon", _jensen_shannon, ((0.1, "large"),)),
    # Cohen, 1988, sec. 7.2.
    Measure("cramers_v", _cramers_v, ((0.1, "small"), (0.3, "medium"), (0.5, "large"))),
)
"""The measures, in the order of the table."""
