"""A column as it arrives from JSON or NumPy: is it numeric, its numbers as an array, its levels as counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Words(Protocol):
    """A column of levels that counts itself, as one of Arrow's does; a slice of it is one too."""

    def __len__(self) -> int:
        """Its rows."""
        ...

    def __getitem__(self, chosen: slice, /) -> Words:
        """Some of its rows."""
        ...

    def cells(self) -> Sequence[str | bool | None]:
        """The values, row by row."""
        ...

    def level_counts(self) -> tuple[dict[str, int], int]:
        """How often each level occurs, and how many values are missing."""
        ...

    def codes(self) -> tuple[list[str], NDArray[np.int64]]:
        """The distinct words, and the place of each row's word among them, -1 where it is missing."""
        ...

    def numbers(self) -> NDArray[np.float64]:
        """The words that are numbers as floats, NaN for all else."""
        ...


Column = Sequence[float | str | None] | NDArray[Any] | Words
"""Values in row order. Numbers or strings, where NaN and None are missing; any NumPy array of them."""


def is_numeric(column: Column) -> bool:
    """True where every value is a number or missing. Booleans and strings are levels, a column of holes is numeric.

    >>> is_numeric([1, 2.5, None]), is_numeric(["1", None]), is_numeric([True, False])
    (True, False, False)
    """
    if isinstance(column, np.ndarray):
        if column.dtype != object:
            return column.dtype.kind in "iuf"
    elif isinstance(column, Words):
        return False
    kinds = set(map(type, column)) - {type(None)}
    return all(issubclass(kind, (int, float, np.integer, np.floating)) and kind is not bool for kind in kinds)


def numeric_array(column: Column) -> NDArray[np.float64]:
    """The column as floats, shape (rows,), NaN where missing or where the value is no number at all.

    >>> numeric_array([1, None, "n/a"])
    array([ 1., nan, nan])
    """
    if isinstance(column, np.ndarray) and column.dtype.kind in "iufb":
        return column.astype(np.float64, copy=False)
    if isinstance(column, Words):
        return column.numbers()
    try:
        return np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        return np.asarray([_number(value) for value in column], dtype=np.float64)


def categorical_counts(column: Column) -> tuple[dict[str, int], int]:
    """How often each level occurs, and how many values are missing. A number as a level is its text.

    >>> categorical_counts(["a", "b", "a", None, 3])
    ({'a': 2, 'b': 1, '3': 1}, 1)
    """
    if isinstance(column, np.ndarray) and column.dtype.kind in "iuf":
        return _number_counts(column)
    if isinstance(column, Words):
        return column.level_counts()
    levels: dict[str, int] = {}
    missing = 0
    for value, count in Counter(column.tolist() if isinstance(column, np.ndarray) else column).items():
        if value is None or value != value:  # noqa: PLR0124  (only NaN differs from itself)
            missing += count
        else:
            level = _told(value)
            levels[level] = levels.get(level, 0) + count
    return levels, missing


def _number_counts(column: NDArray[Any]) -> tuple[dict[str, int], int]:
    """The same of numbers, counted without a value of Python for each row; whole ones are told as whole numbers are."""
    present = column[~np.isnan(column)] if column.dtype.kind == "f" else column
    values, counts = np.unique(present, return_counts=True)
    levels = {_told(value): int(count) for value, count in zip(values.tolist(), counts, strict=True)}
    return levels, len(column) - len(present)


def _told(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(value: object) -> float:
    """The value if it is a number, or a word that reads as one, else NaN: any other is a hole in a numeric column."""
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(value)
    try:
        return float(value) if isinstance(value, str) else float("nan")
    except ValueError:
        return float("nan")
