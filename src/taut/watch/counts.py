"""A window of predictions as integer counts over the reference's events: exact, and merged by addition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from taut.errors import Invalid
from taut.watch.columns import Column, categorical_counts, numeric_array
from taut.watch.events import ERROR, SCORE, TARGET, Event, Feature, Reference, histogram
from taut.watch.pairs import count_pairs


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """For each feature, in the order of its events: how many rows said yes, and how many were asked.

    Counts of the same reference add up: `a + b` is the window of both, bit for bit, in any order. A feature that was
    not looked at is absent, which is the same as asked zero times. `bins` are the counts over the finer histogram of
    each feature that has one, in the order of `Feature.bins`.
    """

    rows: int
    hits: dict[str, tuple[int, ...]]
    trials: dict[str, tuple[int, ...]]
    bins: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __add__(self, other: WindowCounts) -> WindowCounts:
        """The counts of both windows."""
        return WindowCounts(
            self.rows + other.rows, _added(self.hits, other.hits), _added(self.trials, other.trials),
            _added(self.bins, other.bins),
        )  # fmt: skip


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
    hits, trials, bins = {}, {}, {}
    for feature in reference.features:
        if feature.kind == "label" or (feature.kind == "score" and scores is None):
            continue
        if feature.kind == "joint":
            hits[feature.name], trials[feature.name] = count_pairs(feature, reference.features, given)
            continue
        found = count_feature(feature, given.get(feature.name, [None] * rows))
        hits[feature.name], trials[feature.name] = found.hits, found.trials
        if found.bins:
            bins[feature.name] = found.bins
    return WindowCounts(rows, hits, trials, bins)


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


@dataclass(frozen=True, slots=True)
class FeatureCounts:
    """The counts of one feature: hits and trials of each event, and over the bins of the finer histogram."""

    hits: tuple[int, ...]
    trials: tuple[int, ...]
    bins: tuple[int, ...]


def count_feature(feature: Feature, column: Column) -> FeatureCounts:
    """Hits and trials of each event of one input column or of the score, and the counts of its bins."""
    if feature.kind == "categorical":
        return _count_levels(feature, column)
    values = numeric_array(column)
    # One sort answers all questions, for less than a pass a question costs; NaN stands at its end.
    ordered = np.sort(values)
    present = int(ordered.searchsorted(np.nan))
    ordered = ordered[:present]
    edges = feature.edges
    bins = histogram(ordered, edges) if edges else ()
    up_to = dict(zip(edges, accumulate(bins[:-1]), strict=False))  # The last of two equal edges counts.
    hits = tuple(
        up_to[event.at] if event.kind == "below" and event.at in up_to
        else _numeric_hits(event, feature, ordered, len(values))
        for event in feature.events
    )  # fmt: skip
    return FeatureCounts(hits, _trials(feature, present, len(values)), bins)


def _numeric_hits(event: Event, feature: Feature, ordered: NDArray[np.float64], rows: int) -> int:
    """Rows that say yes, by their sorted present values. A bound or cut that was infinite is None in a profile read."""
    if event.kind == "below":
        return int(ordered.searchsorted(-np.inf if event.at is None else event.at, side="right"))
    if event.kind == "outside":
        low = -np.inf if feature.low is None else feature.low
        high = np.inf if feature.high is None else feature.high
        return int(ordered.searchsorted(low)) + len(ordered) - int(ordered.searchsorted(high, side="right"))
    return len(ordered) if event.kind == "present" else rows - len(ordered)


def _count_levels(feature: Feature, column: Column) -> FeatureCounts:
    """The counts of a categorical column, from one pass over its distinct levels."""
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
    unseen = of_kind["unseen"] if feature.known is not None else 0
    kept = [counts.get(level, 0) for level in feature.levels]
    bins = (*kept, present - unseen - sum(kept), unseen) if feature.bins else ()
    return FeatureCounts(hits, _trials(feature, present, present + missing), bins)


def _trials(feature: Feature, present: int, rows: int) -> tuple[int, ...]:
    """Whether a value is there is asked of every row, all else of those that have one."""
    return tuple(rows if event.kind in {"missing", "present"} else present for event in feature.events)


def _added(one: Mapping[str, tuple[int, ...]], other: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Sum of counts per feature. Raises Invalid where they come from different references."""
    total = dict(one)
    for name, counts in other.items():
        mine = total.get(name, (0,) * len(counts))
        if len(mine) != len(counts):
            raise Invalid(f"feature {name!r} has {len(mine)} counts here and {len(counts)} there: not one reference")
        total[name] = tuple(a + b for a, b in zip(mine, counts, strict=True))
    return total
