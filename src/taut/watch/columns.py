"""A column as it arrives from JSON or NumPy: is it numeric, its numbers as an array, its levels as counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = Sequence[float | str | None] | NDArray[Any]
"""Values in row order. Numbers or strings, where NaN and None are missing; any NumPy array of them."""


def is_numeric(column: Column) -> bool:
    """True where every value is a number or missing. Booleans and strings are levels, a column of holes is numeric.

    >>> is_numeric([1, 2.5, None]), is_numeric(["1", None]), is_numeric([True, False])
    (True, False, False)
    """
    if isinstance(column, np.ndarray) and column.dtype != object:
        return column.dtype.kind in "iuf"
    kinds = set(map(type, column)) - {type(None)}
    return all(issubclass(kind, (int, float, np.integer, np.floating)) and kind is not bool for kind in kinds)


def numeric_array(column: Column) -> NDArray[np.float64]:
    """The column as floats, shape (rows,), NaN where missing or where the value is no number at all.

    >>> numeric_array([1, None, "n/a"])
    array([ 1., nan, nan])
    """
    if isinstance(column, np.ndarray) and column.dtype.kind in "iufb":
        return column.astype(np.float64, copy=False)
    try:
        return np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        return np.asarray([_number(value) for value in column], dtype=np.float64)


def categorical_counts(column: Column) -> tuple[dict[str, int], int]:
    """How often each level occurs, and how many values are missing. A number as a level is its text.

    >>> categorical_counts(["a", "b", "a", None, 3])
    ({'a': 2, 'b': 1, '3': 1}, 1)
    """
    levels: dict[str, int] = {}
    missing = 0
    for value, count in Counter(column.tolist() if isinstance(column, np.ndarray) else column).items():
        if value is None or value != value:  # noqa: PLR0124  (only NaN differs from itself)
            missing += count
        else:
            levels[str(value)] = levels.get(str(value), 0) + count
    return levels, missing


def _number(value: object) -> float:
    """The value if it is a number, else NaN: a string in a numeric column is a hole in it."""
    return float(value) if isinstance(value, (int, float, np.integer, np.floating)) else float("nan")
