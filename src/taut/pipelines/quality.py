"""Rows to learn from, held against the reference: are they still data, or has what writes them broken?

Drift is what a retraining answers; these findings are of another kind, such as no season brings: a column that is gone,
numbers in another unit, holes and levels that were never there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from taut.watch.columns import Column, numeric_array
from taut.watch.counts import WindowCounts, count_window
from taut.watch.events import Feature, Reference

LARGER = 10.0  # Times the largest of the reference: a unit changed, or a point was lost; no season does that.
FAR_SHARE = 0.01  # Fewer rows than that are strays, which a gate and a trainer can live with.
MORE: dict[Literal["missing", "unseen"], str] = {"missing": "missing", "unseen": "levels never seen"}
SHARE = 0.2  # A fifth of the rows, beyond what the reference leads one to expect.


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a column, in a sentence; in `hits` of `trials` values."""

    check: Literal["schema", "missing", "unseen", "range"]
    feature: str
    text: str
    hits: int
    trials: int


def quality_of_rows(reference: Reference, columns: Mapping[str, Column]) -> tuple[Finding, ...]:
    """What is broken in rows, `columns` by name, all of one length; empty where nothing is. Raises Invalid as counting.

    >>> from taut.watch.profile import make_reference
    >>> reference = make_reference({"delay": [1.0, 2.0, 3.0, 4.0]})
    >>> [finding.text for finding in quality_of_rows(reference, {"delay": [1.0, 2000.0]})]
    ['1 of 2 values are beyond 10 times the largest of the reference, 4']
    """
    counts = count_window(reference, columns)
    if not counts.rows:
        return ()
    looked_at = [feature for feature in reference.features if feature.kind in ("numeric", "categorical")]
    return tuple(found for feature in looked_at for found in _of_feature(feature, counts, columns))


def is_broken(findings: Sequence[Finding]) -> bool:
    """Whether nothing should be learned from rows with these findings."""
    return bool(findings)


def _of_feature(feature: Feature, counts: WindowCounts, columns: Mapping[str, Column]) -> Iterator[Finding]:
    name = feature.name
    if name not in columns:
        yield Finding("schema", name, "the column is not there", counts.rows, counts.rows)
        return
    for kind, what in MORE.items():
        place = next((place for place, event in enumerate(feature.events) if event.kind == kind), None)
        if place is None:
            continue
        event, hits, trials = feature.events[place], counts.hits[name][place], counts.trials[name][place]
        share, before = hits / max(trials, 1), event.hits / max(event.trials, 1)
        if share - before >= SHARE:
            text = f"{100 * share:.1f} % {what}, {100 * before:.1f} % in the reference"
            yield Finding(kind, name, text, hits, trials)
    yield from _far(feature, columns[name])


def _far(feature: Feature, column: Column) -> Iterator[Finding]:
    """Numbers that are far beyond all of the reference's."""
    if feature.low is None or feature.high is None:
        return
    largest = max(abs(feature.low), abs(feature.high))
    values = numeric_array(column)
    trials = len(values) - int(np.count_nonzero(np.isnan(values)))
    hits = int(np.count_nonzero(np.abs(values) > LARGER * largest)) if largest else 0
    if hits and hits >= FAR_SHARE * trials:
        text = f"{hits:,} of {trials:,} values are beyond {LARGER:g} times the largest of the reference, {largest:g}"
        yield Finding("range", feature.name, text, hits, trials)
