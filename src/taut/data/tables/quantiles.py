"""Quantiles of a stream in bounded memory: exact while the numbers fit, then with a known error.

Sorted buffers of equal size at levels; two of a level become one of the next, which keeps every other number and lets
it stand for two. The same numbers in the same order give the same answer: no chance is in it.
Source: Manku, Rajagopalan, Lindsay, Approximate medians and other quantiles in one pass and with limited memory, 1998.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

SIZE_MAX, SIZE_MIN = 1 << 16, 1 << 8
MEMORY = 128 << 20  # Of all columns of a table together.
LEVELS = 16  # At 65,536 numbers a buffer: 4 * 10^9 numbers.


def buffer_size(columns: int) -> int:
    """Numbers in a buffer, so that a table of so many columns stays below some 128 MB.

    >>> buffer_size(10), buffer_size(1_000), buffer_size(100_000)
    (65536, 1024, 256)
    """
    fitting = MEMORY // (8 * LEVELS * max(columns, 1))
    return max(SIZE_MIN, min(SIZE_MAX, 1 << max(fitting.bit_length() - 1, 0)))


class Quantiles:
    """What is kept of the numbers so far; `rank_error` bounds by how many rows a rank may be off (0: exact)."""

    def __init__(self, size: int = SIZE_MAX) -> None:
        assert size % 2 == 0, size
        self.count = self.rank_error = 0
        self._size = size
        self._fresh: list[Numbers] = []
        self._held = 0
        self._levels: list[Numbers | None] = []
        self._odd: list[bool] = []

    def add(self, numbers: Numbers) -> None:
        """Take some more numbers, none of them NaN."""
        self.count += len(numbers)
        while len(numbers) + self._held >= self._size:
            taken, numbers = np.split(numbers, [self._size - self._held])
            self._carry(np.sort(np.concatenate([*self._fresh, taken])))
            self._fresh, self._held = [], 0
        if len(numbers):
            self._fresh.append(numbers.copy())
            self._held += len(numbers)

    def points(self, most: int) -> tuple[tuple[float, int], ...]:
        """At most `most` of the numbers, at equal steps of rank, each with the rank of its last row.

        The share of rows at or below a number is its rank / count, off by at most `rank_error` rows.
        """
        if not self.count:
            return ()
        values, ranks = self._ranked()
        wanted = np.unique(np.ceil(np.linspace(1, self.count, most)).astype(np.int64))
        places = np.unique(np.searchsorted(ranks, wanted, side="left"))
        return tuple((float(values[place]), int(ranks[place])) for place in places)

    def _carry(self, full: Numbers) -> None:
        """Put a full buffer on the lowest level; as in addition, two of a level become one of the next."""
        level = 0
        while level < len(self._levels) and (other := self._levels[level]) is not None:
            both = np.sort(np.concatenate([other, full]), kind="stable")
            # Odd and even places in turn: one takes ranks too low by a weight, the next too high.
            full = both[int(self._odd[level]) :: 2]
            self._odd[level] = not self._odd[level]
            self._levels[level] = None
            self.rank_error += 1 << level
            level += 1
        if level == len(self._levels):
            self._levels.append(None)
            self._odd.append(True)
        self._levels[level] = full

    def _ranked(self) -> tuple[Numbers, NDArray[np.int64]]:
        """Every number that is kept, once, with how many rows lie at or below it."""
        kept = [(np.concatenate(self._fresh), 1)] if self._fresh else []
        kept += [(full, 1 << level) for level, full in enumerate(self._levels) if full is not None]
        return ranked([(part, np.full(len(part), weight, np.int64)) for part, weight in kept])


def ranked(parts: Sequence[tuple[Numbers, NDArray[np.int64]]]) -> tuple[Numbers, NDArray[np.int64]]:
    """Numbers with weights, in order, equal ones once: each with the weight at or below it."""
    values = np.concatenate([part for part, _ in parts])
    weights = np.concatenate([weight for _, weight in parts])
    order = np.argsort(values, kind="stable")
    values, ranks = values[order], np.cumsum(weights[order])
    last = np.append(values[1:] != values[:-1], True)
    return values[last], ranks[last]
