"""How far a column's distribution moved, from two profiles alone: PSI, Kolmogorov-Smirnov and Wasserstein."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, log

from taut.records import ColumnProfile

BINS = 10
FLOOR = 1e-4


@dataclass(frozen=True, slots=True)
class Distance:
    """Effect sizes, None where they mean nothing. `error` bounds what the profiles' own ranks may be off, as a share.

    `psi` over the tenths of the rows before (numbers) or the levels, missing values a bin of their own; `ks` is the
    largest difference of the distribution functions; `wasserstein` is in the column's unit, of dates in milliseconds.
    """

    psi: float | None = None
    ks: float | None = None
    wasserstein: float | None = None
    error: float = 0.0


def distance(old: ColumnProfile, new: ColumnProfile) -> Distance:
    """How far `new` lies from `old`. Equal profiles are 0 apart."""
    if old.rows == 0 or new.rows == 0:
        return Distance()
    if old.points and new.points and old.dtype not in ("text", "categorical"):
        return _of_numbers(old, new)
    levels = sorted({level for level, _ in (*old.top, *new.top)})
    if not levels:
        return Distance()
    return Distance(psi=_psi(_level_shares(old, levels), _level_shares(new, levels)))


def share_below(column: ColumnProfile, at: float) -> float:
    """The share of the numbers at or below a value, on a line between the ranks that are known."""
    values = [value for value, _ in column.points]
    place = bisect_right(values, at)
    total = column.points[-1][1]
    if place == 0:
        return 0.0
    (low, rank) = column.points[place - 1]
    if place == len(values) or not (isfinite(low) and isfinite(values[place])):
        return rank / total
    high, above = column.points[place]
    return (rank + (at - low) / (high - low) * (above - rank)) / total


def bin_shares(column: ColumnProfile, edges: Sequence[float]) -> list[float]:
    """The share of the rows in each bin between inner edges, then of those missing."""
    below = [0.0, *(share_below(column, edge) for edge in edges), 1.0]
    missing = column.missing / column.rows if column.rows else 0.0
    return [*((b - a) * (1 - missing) for a, b in pairwise(below)), missing]


def _of_numbers(old: ColumnProfile, new: ColumnProfile) -> Distance:
    step = max(len(old.points) // BINS, 1)
    edges = sorted({value for value, _ in old.points[step:-1:step]})
    psi = _psi(bin_shares(old, edges), bin_shares(new, edges))
    every = sorted({value for value, _ in (*old.points, *new.points) if isfinite(value)})
    gaps = [abs(share_below(old, at) - share_below(new, at)) for at in every]
    work = sum((b - a) * (one + other) / 2 for a, b, one, other in zip(every, every[1:], gaps, gaps[1:], strict=False))
    error = old.rank_error / old.points[-1][1] + new.rank_error / new.points[-1][1]
    return Distance(psi, max(gaps, default=0.0), work if isfinite(work) else None, error)


def _level_shares(column: ColumnProfile, levels: Sequence[str]) -> list[float]:
    counts = dict(column.top)
    named = [counts.get(level, 0) / column.rows for level in levels]
    missing = column.missing / column.rows
    return [*named, max(1.0 - sum(named) - missing, 0.0), missing]


def _psi(old: Sequence[float], new: Sequence[float]) -> float:
    """Population stability index. Source: Siddiqi, Credit Risk Scorecards, 2006."""
    pairs = [(max(a, FLOOR), max(b, FLOOR)) for a, b in zip(old, new, strict=True)]
    return sum((b - a) * log(b / a) for a, b in pairs)
