"""A window of predictions as integer counts over the reference's events: exact, and merged by addition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taut.errors import Invalid
from taut.watch.columns import Column, categorical_counts, numeric_array
from taut.watch.events import ERROR, SCORE, TARGET, Event, Feature, Reference
from taut.watch.pairs import count_pairs


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """For each feature, in the order of its events: how many rows said yes, and how many were asked.

    Counts of the same reference add up: `a + b` is the window of both, bit for bit, in any order. A feature that was
    not looked at is absent, which is the same as asked zero times.
    """

    rows: int
    hits: dict[str, tuple[int, ...]]
    trials: dict[str, tuple[int, ...]]

    def __add__(self, other: WindowCounts) -> WindowCounts:
        """The counts of both windows."""
        return WindowCounts(self.rows + other.rows, _added(self.hits, other.hits), _added(self.trials, other.trials))


NO_COUNTS = WindowCounts(0, {}, {})
"""The empty window: the zero of the addition."""


def count_window(reference: Reference, columns: Mapping[str, Column], *, scores: Column | None = None) -> WindowCounts:
    """Count the rows of `columns` (by name, one length) and their `scores` over the reference's events.

    A column of the reference that is absent here counts as missing in every row; a column that the reference does not
    know is left out. A string in a numeric column is missing. Raises Invalid where the lengths differ.

    >>> from taut.watch.profile import make_reference
    >>> reference = make_reference({"plan": ["a", "b", "a", "a"]})
    >>> [event.name for event in reference.features[0].events]
    ['plan = a', 'plan = b', 'plan is a new level', 'plan is missing']
    >>> count_window(reference, {"plan": ["a", "c", None]}).hits
    {'plan': (1, 0, 1, 1)}
    """
    given = dict(columns) if scores is None else {**columns, SCORE: scores}
    lengths = {name: len(column) for name, column in given.items()}
    if len(set(lengths.values())) > 1:
        raise Invalid(f"a window needs columns of one length; found {lengths}")
    rows = next(iter(lengths.values()), 0)
    hits, trials = {}, {}
    for feature in reference.features:
        if feature.kind == "label" or (feature.kind == "score" and scores is None):
            continue
        if feature.kind == "joint":
            hits[feature.name], trials[feature.name] = count_pairs(feature, reference.features, given)
            continue
        column = given.get(feature.name, [None] * rows)
        hits[feature.name], trials[feature.name] = count_feature(feature, column)
    return WindowCounts(rows, hits, trials)


def count_labels(reference: Reference, scores: Column, targets: Column) -> WindowCounts:
    """Count late labels: `targets` (0 or 1, None where not known) of predictions with these `scores`.

    `rows` counts the rows that have both. Empty where the reference was made without labels.
    """
    if len(scores) != len(targets):
        raise Invalid(f"labels need one score for each target; found {len(scores)} scores, {len(targets)} targets")
    score, target = numeric_array(scores), numeric_array(targets)
    known = ~(np.isnan(score) | np.isnan(target))
    score, is_one = score[known], target[known] >= 0.5
    wrong = int(np.count_nonzero((score >= reference.threshold) != is_one))
    bins = np.searchsorted(np.asarray(reference.score_cuts), score, side="left")
    size = len(reference.score_cuts) + 1
    asked = tuple(int(n) for n in np.bincount(bins, minlength=size))
    ones = tuple(int(n) for n in np.bincount(bins[is_one], minlength=size))
    names = {feature.name for feature in reference.features}
    hits = {name: k for name, k in ((ERROR, (wrong,)), (TARGET, ones)) if name in names}
    trials = {name: n for name, n in ((ERROR, (len(score),)), (TARGET, asked)) if name in names}
    return WindowCounts(len(score), hits, trials)


def count_feature(feature: Feature, column: Column) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Hits and trials of each event of one input column or of the score."""
    if feature.kind == "categorical":
        return _count_levels(feature, column)
    values = numeric_array(column)
    present = len(values) - int(np.count_nonzero(np.isnan(values)))
    hits = tuple(_numeric_hits(event, feature, values, present) for event in feature.events)
    whole = {"missing", "present"}
    return hits, tuple(len(values) if event.kind in whole else present for event in feature.events)


def _numeric_hits(event: Event, feature: Feature, values: NDArray[np.float64], present: int) -> int:
    """Rows that say yes. A comparison with NaN is false, so holes fall out by themselves."""
    if event.kind == "below":
        assert event.at is not None, event
        return int(np.count_nonzero(values <= event.at))
    if event.kind == "outside":
        assert feature.low is not None, feature
        assert feature.high is not None, feature
        return int(np.count_nonzero(values < feature.low)) + int(np.count_nonzero(values > feature.high))
    return present if event.kind == "present" else len(values) - present


def _count_levels(feature: Feature, column: Column) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Hits and trials of a categorical column, from one pass over its distinct levels."""
    counts, missing = categorical_counts(column)
    present = sum(counts.values())
    top = {event.level for event in feature.events if event.kind == "level"}
    known = set(feature.known or ())
    of_kind = {
        "rest": sum(k for level, k in counts.items() if level not in top),
        "unseen": sum(k for level, k in counts.items() if level not in known),
        "missing": missing,
        "present": present,
    }
    hits = tuple(counts.get(e.level or "", 0) if e.kind == "level" else of_kind[e.kind] for e in feature.events)
    whole = {"missing", "present"}
    return hits, tuple(present + missing if e.kind in whole else present for e in feature.events)


def _added(one: Mapping[str, tuple[int, ...]], other: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Sum of counts per feature. Raises Invalid where they come from different references."""
    total = dict(one)
    for name, counts in other.items():
        mine = total.get(name, (0,) * len(counts))
        if len(mine) != len(counts):
            raise Invalid(f"feature {name!r} has {len(mine)} counts here and {len(counts)} there: not one reference")
        total[name] = tuple(a + b for a, b in zip(mine, counts, strict=True))
    return total
