"""What two profiles of a column make together: exactly where it says so, else within the errors that they carry."""

import math

import numpy as np

from taut.data.tables.columns import CATEGORIES_MAX, POINTS, TOP, finite, typed_as
from taut.data.tables.distinct import sketch_of
from taut.data.tables.quantiles import ranked
from taut.records import ColumnProfile

NUMBERS = ("int", "uint", "float", "double", "halffloat")  # As Arrow calls what is stored; their hashes are alike.


def merged(one: ColumnProfile, other: ColumnProfile, *, points: int = POINTS, top: int = TOP) -> ColumnProfile:
    """The profile of both columns' rows together: counts, ranges and moments exactly, ranks within `rank_error`.

    `distinct` is exact where all levels of both are known; else the estimate of a sketch that had seen all rows, never
    outside of what exact sides allow; without comparable sketches the larger of the two: at least so many there are.
    """
    first, second = _counts(one), _counts(other)
    kinds = {kind: one.kinds.get(kind, 0) + other.kinds.get(kind, 0) for kind in sorted({*one.kinds, *other.kinds})}
    levels = {level: first.get(level, 0) + second.get(level, 0) for level in {*first, *second}}
    is_whole = len(first) == one.distinct and len(second) == other.distinct and not (one.top_error + other.top_error)
    best = tuple(sorted(levels.items(), key=lambda item: (-item[1], item[0]))[:top])
    rows, missing = one.rows + other.rows, one.missing + other.missing
    dtype = typed_as(list(kinds))
    distinct, distinct_error, sketch = _merged_distinct(one, other, len(levels) if is_whole else None)
    if dtype == "text" and kinds.keys() == {"text"} and distinct_error is not None:
        dtype = "categorical" if distinct <= CATEGORIES_MAX and 2 * distinct <= rows - missing else dtype
    between, error = _merged_points(one, other, points)
    mean, std = _merged_moments(one, other)
    keyed = [side for side in (one, other) if side.low is not None]
    is_text = dtype in ("text", "categorical")
    lows = [side.low for side in keyed if isinstance(side.low, str) == (is_text or dtype in ("date", "timestamp"))]
    highs = [side.high for side in keyed if isinstance(side.high, str) == (is_text or dtype in ("date", "timestamp"))]
    return ColumnProfile(
        one.name, dtype, _stored(one, other), rows, missing, distinct, kinds,
        min(lows, default=None), max(highs, default=None), mean, std, between, error,  # type: ignore[type-var]  # Of one type: just chosen so.
        best, 0 if is_whole else max(_unseen(one), _unseen(other)) + one.top_error + other.top_error,
        max((side.length_max for side in (one, other) if side.length_max is not None), default=None),
        distinct_error, sketch,
    )  # fmt: skip


def _counts(column: ColumnProfile) -> dict[str, int]:
    """The levels that are known; texts that are shown alike are one here, which no exact answer rests on."""
    counts: dict[str, int] = {}
    for level, count in column.top:
        counts[level] = counts.get(level, 0) + count
    return counts


def _stored(one: ColumnProfile, other: ColumnProfile) -> str:
    if one.stored == other.stored or not other.distinct:
        return one.stored
    if not one.distinct:
        return other.stored
    return "double" if one.stored.startswith(NUMBERS) and other.stored.startswith(NUMBERS) else "mixed"


def _merged_distinct(one: ColumnProfile, other: ColumnProfile, known: int | None) -> tuple[int, float | None, str]:
    """How many values are distinct in both, the error of that, and the sketch of both where there can be one."""
    for side, empty in ((one, other), (other, one)):
        if not empty.distinct:
            return side.distinct, side.distinct_error, side.sketch
    is_comparable = bool(one.sketch and other.sketch) and _stored(one, other) != "mixed"
    sketch = sketch_of(one.sketch).merged(sketch_of(other.sketch)) if is_comparable else None
    text = "" if sketch is None else sketch.text()
    if known is not None:
        return known, 0.0, text
    if sketch is None:
        return max(one.distinct, other.distinct), None, ""
    exact = [side.distinct for side in (one, other) if side.distinct_error == 0]
    found = max([sketch.estimate(), *exact])
    return (min(found, sum(exact)) if len(exact) == 2 else found), sketch.error, text


def _unseen(column: ColumnProfile) -> int:
    """How often a level may have been there that is not among the top ones."""
    return column.top[-1][1] if len(column.top) < column.distinct and column.top else 0


def _merged_points(one: ColumnProfile, other: ColumnProfile, most: int) -> tuple[tuple[tuple[float, int], ...], int]:
    sides = [side for side in (one, other) if side.points]
    if len(sides) < 2:
        return (sides[0].points, sides[0].rank_error) if sides else ((), 0)
    parts = []
    gaps = 0
    for side in sides:
        ranks = np.array([rank for _, rank in side.points], dtype=np.int64)
        steps = np.diff(ranks, prepend=0)
        parts.append((np.array([value for value, _ in side.points]), steps))
        gaps += int(steps.max()) + side.rank_error
    values, ranks = ranked(parts)
    wanted = np.unique(np.ceil(np.linspace(1, int(ranks[-1]), most)).astype(np.int64))
    places = np.unique(np.concatenate([[0], np.searchsorted(ranks, wanted, side="left")]))
    return tuple((float(values[place]), int(ranks[place])) for place in places), gaps


def _merged_moments(one: ColumnProfile, other: ColumnProfile) -> tuple[float | None, float | None]:
    if one.mean is None or other.mean is None or one.std is None or other.std is None:
        only = one if other.rows == other.missing else other if one.rows == one.missing else None
        return (only.mean, only.std) if only is not None else (None, None)
    n, m = one.rows - one.missing, other.rows - other.missing
    delta = other.mean - one.mean
    squares = n * one.std**2 + m * other.std**2 + delta * delta * n * m / (n + m)
    return finite(one.mean + delta * m / (n + m)), finite(math.sqrt(squares / (n + m)))
