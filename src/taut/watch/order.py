"""What the order of a reference's rows tells: which columns only count the time, and which swings it can know of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from taut.watch.columns import Column, Words, is_numeric, numeric_array

CHANCE = 1e-9
"""Rows in no order are sorted by a column with a smaller chance than this: then they are in that order."""
DAY_MS = 86_400_000
CYCLES = (("daily", DAY_MS), ("weekly", 7 * DAY_MS), ("yearly", 365 * DAY_MS))
SEEN_TIMES = 2
"""A cycle is known that the reference has been through so often."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which swings a reference can know of: `run_rows` bounds the runs that were compared, `days` is the time covered.

    None for `run_rows` where rows count as independent, because they are few or sorted by the column `sorted_by`; None
    for `days` where the rows have no times.
    """

    run_rows: tuple[int, int] | None = None
    days: float | None = None
    sorted_by: str = ""

    def told(self) -> str:
        """The same in words.

        >>> Coverage((50, 800)).told()
        'swings over 50 to 800 rows are known and no drift; slower ones, as a season, would be'
        >>> Coverage((100, 800), 31.0).told()
        'the reference covers 31 days: daily and weekly cycles are known and no drift; yearly ones would be'
        """
        runs = f"swings over {self.run_rows[0]:,} to {self.run_rows[1]:,} rows" if self.run_rows is not None else ""
        if self.days is not None:
            known = [name for name, ms in CYCLES if self.days * DAY_MS >= SEEN_TIMES * ms]
            unknown = [name for name, ms in CYCLES if name not in known]
            swings = f"{_and(known)} cycles" if known else runs
            said = f"{swings} are known and no drift" if swings else "it knows no cycle"
            return f"the reference covers {_span(self.days)}: {said}" + (
                f"; {_and(unknown)} ones would be" if unknown else ""
            )
        if runs:
            return f"{runs} are known and no drift; slower ones, as a season, would be"
        why = f"the reference is sorted by {self.sorted_by}" if self.sorted_by else "the reference is small"
        return f"{why}: its rows count as independent, and it knows no cycle"


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _span(days: float) -> str:
    """A time in the largest unit that it has two of.

    >>> _span(31.0), _span(0.5), _span(0.01)
    ('31 days', '12 hours', '14.4 minutes')
    """
    for unit, each in (("days", 1.0), ("hours", 24.0), ("minutes", 1440.0)):
        if days * each >= SEEN_TIMES:
            return f"{days * each:.3g} {unit}"
    return f"{days * 86_400:.3g} seconds"


def clocks_of(columns: Mapping[str, Column]) -> tuple[str, ...]:
    """Columns of whole numbers (times, counters, ids) that only rise or only fall: they tell when, and always drift.

    >>> clocks_of({"id": list(range(100)), "age": [30, 20] * 50})
    ('id',)
    """
    return tuple(name for name, column in columns.items() if _is_whole(column) and is_sorted(numeric_array(column)))


def sorted_by(columns: Mapping[str, Column], clocks: tuple[str, ...], targets: Column | None) -> str:
    """A column other than the clocks, or the target, by which the rows are sorted; then they are in no order of time.

    Empty where there is none.
    """
    named = [(name, column) for name, column in columns.items() if name not in clocks and is_numeric(column)]
    if targets is not None:
        named.append(("target", targets))
    return next((name for name, column in named if is_sorted(numeric_array(column))), "")


def is_sorted(values: NDArray[np.float64]) -> bool:
    """Whether values rise or fall all along, and would do so in no order with a chance below 1e-9.

    That chance is 2 prod(c_i!) / n! for n values of which c_i are equal.
    """
    present = values[~np.isnan(values)]
    steps = np.diff(present)
    if not steps.size or (steps.min() < 0 < steps.max()):
        return False
    bounds = np.flatnonzero(np.concatenate([[True], steps != 0, [True]]))
    log_chance = np.log(2.0) + gammaln(np.diff(bounds) + 1.0).sum() - gammaln(len(present) + 1.0)
    return bool(log_chance < np.log(CHANCE))


def _is_whole(column: Column) -> bool:
    if isinstance(column, Words) or not is_numeric(column):
        return False
    values = numeric_array(column)
    present = values[~np.isnan(values)]
    return bool(present.size) and bool(np.all(present == np.floor(present)))
