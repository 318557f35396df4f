"""What quality needs of a window beside its counts: kinds, sizes of numbers, new levels by name, equal rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from taut.watch.columns import Column, Words, categorical_counts, is_numeric, numeric_array
from taut.watch.events import Feature, Reference
from taut.watch.rows import Hashes, row_hashes

K = TypeVar("K")
Kind = Literal["numbers", "words", "nothing", "other"]
"""What a column holds: numbers, words or truth values, only holes, or what is not watched, as lists."""

NEW_LEVELS_MAX = 100
"""So many names of new levels are kept, the most frequent."""
NO_HASHES: Hashes = np.zeros(0, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of some rows; those of two parts add up.

    `kinds` by column, those that the reference does not know too. `sizes`: of each numeric feature how many values
    fall in each eighth of an octave, see `size_of`. `spans`: its smallest and largest value. `unread`: values of a
    numeric feature that are there and are no numbers. `fresh`: levels of a categorical feature that the reference
    does not know. `hashes`: one a row, see `row_hashes`.
    """

    rows: int = 0
    kinds: dict[str, Kind] = field(default_factory=dict)
    sizes: dict[str, dict[int, int]] = field(default_factory=dict)
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)
    fresh: dict[str, dict[str, int]] = field(default_factory=dict)
    hashes: Hashes = field(default_factory=lambda: NO_HASHES)

    def __add__(self, other: Facts) -> Facts:
        """The facts of both parts."""
        return total_of([self, other])


def total_of(parts: Sequence[Facts]) -> Facts:
    """The facts of all parts, in their order."""
    kinds: dict[str, Kind] = {}
    sizes_of: dict[str, dict[int, int]] = {}
    fresh: dict[str, dict[str, int]] = {}
    spans: dict[str, tuple[float, float]] = {}
    unread: dict[str, int] = {}
    for part in parts:
        kinds |= {name: kind for name, kind in part.kinds.items() if kinds.get(name, "nothing") == "nothing"}
        _add_counts(sizes_of, part.sizes)
        _add_counts(fresh, part.fresh)
        for name, (low, high) in part.spans.items():
            mine = spans.get(name, (low, high))
            spans[name] = min(low, mine[0]), max(high, mine[1])
        for name, count in part.unread.items():
            unread[name] = unread.get(name, 0) + count
    named = {name: _most(levels) for name, levels in fresh.items()}
    hashes = np.concatenate([NO_HASHES, *(part.hashes for part in parts)])
    return Facts(sum(part.rows for part in parts), kinds, sizes_of, spans, unread, named, hashes)


def facts_of(reference: Reference, columns: Mapping[str, Column], *, rows: int, others: Iterable[str] = ()) -> Facts:
    """The facts of the rows of `columns` (by name, `rows` each); `others` are columns of kinds that are not watched."""
    inputs = inputs_of(reference)
    facts = Facts(
        rows,
        {**{name: _kind(column) for name, column in columns.items()}, **dict.fromkeys(others, "other")},
        hashes=row_hashes(columns, [feature.name for feature in inputs], rows),
    )
    for feature in inputs:
        if feature.name in columns:
            add = _add_levels if feature.kind == "categorical" else _add_numbers
            add(facts, feature, columns[feature.name])
    return facts


def inputs_of(reference: Reference) -> list[Feature]:
    """The features that are columns: all but the score and the labels."""
    return [feature for feature in reference.features if feature.kind in {"numeric", "categorical"}]


def size_of(place: int) -> tuple[float, float]:
    """The numbers whose size has a place: from the first on, below the second in size; an eighth of an octave.

    A place is the sign, the exponent and the first three bits behind the point of a float64 (IEEE 754).

    >>> [size_of(place) for place in sizes(np.array([1.0, 1.2, -3.0]))]
    [(1.0, 1.125), (1.125, 1.25), (-3.0, -3.25)]
    """
    ends = np.array([place, place + 1], dtype=np.uint64) << np.uint64(49)
    low, high = ends.view(np.float64).tolist()
    return low, high


def sizes(values: NDArray[np.float64]) -> dict[int, int]:
    """How many values have each size, by place; what is missing has none."""
    places = values.view(np.uint64) >> np.uint64(49)
    if len(values) < 4_096:
        found, counts = np.unique(places[~np.isnan(values)], return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))
    counts = np.bincount(places.astype(np.int64), minlength=1 << 15)
    counts[_NAN] = 0
    found = np.flatnonzero(counts)
    return dict(zip(found.tolist(), counts[found].tolist(), strict=True))


_NAN = np.r_[(0x7FF << 3) + 1 : 1 << 14, (0xFFF << 3) + 1 : 1 << 15]
"""Places of NaN: the highest exponent, with a bit behind the point; without one it is infinity."""


def _add_numbers(facts: Facts, feature: Feature, column: Column) -> None:
    name, values = feature.name, np.ascontiguousarray(numeric_array(column))
    facts.sizes[name] = sizes(values)
    if facts.sizes[name]:
        facts.spans[name] = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
    if facts.kinds[name] == "words":
        facts.unread[name] = _there(column) - sum(facts.sizes[name].values())


def _add_levels(facts: Facts, feature: Feature, column: Column) -> None:
    if feature.known is None:
        return
    counts, _ = categorical_counts(column)
    known = set(feature.known)
    facts.fresh[feature.name] = _most({level: k for level, k in counts.items() if level not in known})


def _kind(column: Column) -> Kind:
    if isinstance(column, np.ndarray) and column.dtype.kind == "f":
        return "nothing" if np.isnan(column).all() else "numbers"
    if not _there(column):
        return "nothing"
    return "numbers" if is_numeric(column) else "words"


def _there(column: Column) -> int:
    """Values that are not missing."""
    if isinstance(column, np.ndarray) and column.dtype != object:
        return len(column) - int(np.count_nonzero(column != column))  # noqa: PLR0124  (only NaN differs from itself)
    if isinstance(column, Words):
        return int(np.count_nonzero(column.codes()[1] >= 0))
    return sum(categorical_counts(column)[0].values())


def _most(levels: Mapping[str, int]) -> dict[str, int]:
    """The most frequent levels, those of equal frequency by name."""
    return dict(nlargest(NEW_LEVELS_MAX, sorted(levels.items()), key=lambda pair: pair[1]))


def _add_counts(total: dict[str, dict[K, int]], more: Mapping[str, Mapping[K, int]]) -> None:
    for name, counts in more.items():
        mine = total.setdefault(name, {})
        for key, count in counts.items():
            mine[key] = mine.get(key, 0) + count
