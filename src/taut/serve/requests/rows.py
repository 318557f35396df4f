"""Rows as columns: rows with names and without, turned without a Python call for each value."""

from collections.abc import Iterable, Sequence
from typing import Any

from taut.errors import Invalid
from taut.serve.requests.asked import Columns


def columns_of_rows(rows: Sequence[dict[str, Any]]) -> Columns:
    """Rows with names as columns. Raises Invalid for the first row that lacks a column or has one too many."""
    if not rows:
        raise Invalid("the request has no rows")
    if len(rows) == 1:
        return {name: [value] for name, value in rows[0].items()}
    names = rows[0].keys()
    for place, row in enumerate(rows):
        if row.keys() != names:
            odd = min(row.keys() ^ names)
            raise Invalid(f"row {place} and row 0 have different columns: only one of them has {odd!r:.80}")
    return {name: [row[name] for row in rows] for name in names}


def columns_of_lists(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Columns:
    """Rows without names as columns. Raises Invalid for the first row of another length, and for a name given twice."""
    if len(rows) == 1 and len(rows[0]) == len(names):
        columns: Columns = {name: [value] for name, value in zip(names, rows[0], strict=False)}
    else:
        _must_differ(names)
        for place, row in enumerate(rows):
            if len(row) != len(names):
                raise Invalid(f"row {place} has {len(row)} values, there are {len(names)} columns")
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {n: [] for n in names}
    if len(columns) != len(names):
        _must_differ(names)
    return columns


def first_twice(names: Iterable[str]) -> str | None:
    """The first name that was there before, None where each is there once."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _must_differ(names: Sequence[str]) -> None:
    twice = first_twice(names) if len(set(names)) != len(names) else None
    if twice is not None:
        raise Invalid(f"column {twice!r:.80} is given twice")
