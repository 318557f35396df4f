"""Columns two by two: in how many rows both lie on the same side of their medians.

A change of how columns hang together (a sign that turned, a join that went wrong, a copied column) may leave each of
them as it was. The count of the rows in which two of them agree is again the count of a yes/no question, so it merges
by addition, needs no row of the reference, and the same bets hold it against the reference. Agreement hardly moves when
one column alone does: with the other at its median it stays one half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from taut.watch.columns import Column, numeric_array
from taut.watch.events import PAIRS, Event, Feature, jeffreys

PAIRS_MAX = 300
"""All pairs of up to 24 columns; of more, those that hang together most."""
MIDDLE = (0.35, 0.65)
"""A column takes part whose median cut has a share of the reference's rows between these."""
PART_ROWS = 1 << 16  # A part's bits stay in the cache; sums of as many ones are exact in single precision.

Counts = NDArray[np.int64]


def pairs_feature(features: Sequence[Feature], columns: Mapping[str, Column]) -> Feature | None:
    """The question of each pair of the numeric features, answered by the reference's own rows; None without a pair.

    Where there are more than `PAIRS_MAX`, every other row chooses those with the largest association and the rows
    between estimate, so that the choice does not flatter them. Jeffreys' law, as for levels.
    """
    cuts = medians(features)
    names = list(cuts)
    if len(names) < 2:
        return None
    chosen = [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]
    estimate: Mapping[str, Column] = columns
    if len(chosen) > PAIRS_MAX:
        arrays = {name: numeric_array(columns[name]) for name in names}
        agree, both = agreements(cuts, {name: values[0::2] for name, values in arrays.items()})
        apart = np.abs(agree / np.maximum(both, 1) - 0.5)
        places = {name: place for place, name in enumerate(names)}
        chosen.sort(key=lambda pair: (-apart[places[pair[0]], places[pair[1]]], pair))
        chosen = chosen[:PAIRS_MAX]
        estimate = {name: values[1::2] for name, values in arrays.items()}
    agree, both = agreements(cuts, estimate)
    places = {name: place for place, name in enumerate(names)}
    events = []
    for one, other in chosen:
        hits, trials = int(agree[places[one], places[other]]), int(both[places[one], places[other]])
        if trials:
            name = f"{one} and {other} on the same side of their medians"
            events.append(Event("agree", name, *jeffreys(hits, trials), hits, trials, of=(one, other)))
    return Feature(PAIRS, "joint", tuple(events)) if events else None


def count_pairs(
    feature: Feature, features: Sequence[Feature], columns: Mapping[str, Column]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Hits and trials of each pair in a window; a pair of which a column is absent was asked nothing."""
    cuts = {name: cut for name, cut in medians(features).items() if name in columns}
    agree, both = agreements(cuts, columns)
    places = {name: place for place, name in enumerate(cuts)}
    hits, trials = [], []
    for event in feature.events:
        of = event.of or ("", "")
        known = of[0] in places and of[1] in places
        hits.append(int(agree[places[of[0]], places[of[1]]]) if known else 0)
        trials.append(int(both[places[of[0]], places[of[1]]]) if known else 0)
    return tuple(hits), tuple(trials)


def medians(features: Sequence[Feature]) -> dict[str, float]:
    """The middle cut of each numeric feature and of the score, where it splits the reference in about halves."""
    found: dict[str, float] = {}
    for feature in features:
        below = [event for event in feature.events if event.kind == "below" and event.trials]
        if feature.kind not in {"numeric", "score"} or not below:
            continue
        middle = min(below, key=lambda event: abs(event.hits / event.trials - 0.5))
        if middle.at is not None and MIDDLE[0] <= middle.hits / middle.trials <= MIDDLE[1]:
            found[feature.name] = middle.at
    return found


def agreements(cuts: Mapping[str, float], columns: Mapping[str, Column]) -> tuple[Counts, Counts]:
    """For each two of the columns of `cuts`: rows in which both are there and on one side, and rows with both.

    Both of shape (columns, columns). Missing values take no part.

    >>> agree, both = agreements({"a": 0.0, "b": 0.0}, {"a": [1.0, -1.0, 2.0], "b": [3.0, 1.0, None]})
    >>> int(agree[0, 1]), int(both[0, 1])
    (1, 2)
    """
    size = len(cuts)
    agree, both = np.zeros((size, size), np.int64), np.zeros((size, size), np.int64)
    arrays = [numeric_array(columns[name]) for name in cuts]
    rows = len(arrays[0]) if arrays else 0
    at = list(cuts.values())
    for start in range(0, rows, PART_ROWS):
        parts = [values[start : start + PART_ROWS] for values in arrays]
        high, low = (np.empty((size, len(parts[0])), np.float32) for _ in range(2))
        for place, part in enumerate(parts):
            np.greater(part, at[place], out=high[place], casting="unsafe")
            np.less_equal(part, at[place], out=low[place], casting="unsafe")
        present = high + low
        agree += (high @ high.T + low @ low.T).astype(np.int64)
        both += (present @ present.T).astype(np.int64)
    return agree, both
