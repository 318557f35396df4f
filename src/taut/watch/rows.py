"""Rows as numbers of 64 bits, equal for equal rows: which of a table's rows are there twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taut.watch.columns import Column, Words, is_numeric, numeric_array

Hashes = NDArray[np.uint64]
HOLE = np.uint64(0x9E3779B97F4A7C15)  # The hash of what is missing: 2^64 over the golden ratio, as good as any.
MIX, SPREAD = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
"""Odd multipliers of SplitMix64: Steele, Lea & Flood, Fast splittable pseudorandom number generators, 2014."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Of a table's rows: how many equal an earlier one, and how many pairs of equal rows there are."""

    rows: int
    again: int
    pairs: int


def row_hashes(columns: Mapping[str, Column], names: Iterable[str], rows: int) -> Hashes:
    """A hash of each row over the named columns, shape (rows,); a column that is not there is a hole in every row.

    Equal in this process alone: Python draws the hashes of words anew for each. Two of a million different rows are
    equal by chance once in 37 million tables.
    """
    mixed = np.zeros(rows, dtype=np.uint64)
    for name in names:
        mixed *= SPREAD
        mixed += _hashes(columns[name]) if name in columns else HOLE
        mixed ^= mixed >> np.uint64(29)
    return mixed


def duplicates_of(hashes: Hashes) -> Duplicates:
    """How many rows are there twice.

    >>> duplicates_of(np.array([1, 2, 1, 1], dtype=np.uint64))
    Duplicates(rows=4, again=2, pairs=3)
    """
    ordered = np.sort(hashes)
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    # Places in a row are of rows that are all equal: three alike are two places, and three pairs.
    begins = np.flatnonzero(np.diff(same, prepend=-2) > 1)
    lengths = np.diff(begins, append=len(same))
    return Duplicates(len(hashes), len(same), int((lengths * (lengths + 1) // 2).sum()))


def _hashes(column: Column) -> Hashes:
    if is_numeric(column):
        values = numeric_array(column) + 0.0  # So that -0.0 is 0.0.
        bits = values.view(np.uint64)
        found: Hashes = (bits ^ (bits >> np.uint64(32))) * MIX
        found[np.isnan(values)] = HOLE
        return found
    if isinstance(column, Words):
        words, codes = column.codes()
        return _of_words(words)[codes]
    listed = column.tolist() if isinstance(column, np.ndarray) else column
    distinct = list(dict.fromkeys(listed))
    places = {value: place for place, value in enumerate(distinct)}
    drawn = _of_words([str(value) for value in distinct])
    drawn[[place for place, value in enumerate(distinct) if value is None or value != value]] = HOLE  # noqa: PLR0124
    return drawn[np.fromiter(map(places.__getitem__, listed), dtype=np.int64, count=len(listed))]


def _of_words(words: list[str]) -> Hashes:
    """The hash of each word, and after the last that of a hole."""
    drawn = np.array([hash(word) for word in words], dtype=np.int64).view(np.uint64) * MIX
    return np.append(drawn, HOLE)
