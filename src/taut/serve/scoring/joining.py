"""Many requests as one table and back: the rows of each stand behind those of the one before."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any

from taut.errors import Invalid

Columns = Mapping[str, Any]
"""Columns of one length by name: each a list of plain values, or a numpy array [rows, ...]."""


def count_rows(columns: Columns) -> int:
    """How many rows a request has. Raises Invalid where its columns differ in length, or there are none."""
    lengths = set(map(len, columns.values()))
    if len(lengths) == 1:
        return lengths.pop()
    if not lengths:
        raise Invalid("the request has no columns")
    first, length = next((name, len(values)) for name, values in columns.items())
    odd = next(name for name, values in columns.items() if len(values) != length)
    raise Invalid(f"column {odd!r} has {len(columns[odd])} rows, column {first!r} has {length}")


def join(requests: Sequence[Columns], counts: Sequence[int]) -> Columns:
    """The rows of all requests in one table. Raises Invalid where they have not all the same columns."""
    first = requests[0]
    if len(requests) == 1:
        return first
    names = first.keys()
    for columns in requests:
        if columns.keys() != names:
            raise Invalid("the requests have different columns")
    if max(counts) == min(counts) == 1:
        return {name: [columns[name][0] for columns in requests] for name in names}
    return {name: _joined([columns[name] for columns in requests]) for name in names}


def slices(columns: Columns, counts: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of a table that belong to each request; the inverse of `join`."""
    if len(counts) == 1:
        return [dict(columns)]
    bounds = list(pairwise(accumulate(counts, initial=0)))
    assert bounds[-1][1] == count_rows(columns), (counts, count_rows(columns))
    return [{name: values[start:end] for name, values in columns.items()} for start, end in bounds]


def plain_lists(columns: Columns) -> dict[str, list[Any]]:
    """The same columns, each a list of plain values, whatever they came as."""
    return {name: _plain(values) for name, values in columns.items()}


def _joined(parts: list[Any]) -> Any:
    if all(isinstance(part, list) for part in parts):
        return list(chain.from_iterable(parts))
    import numpy as np

    if all(isinstance(part, np.ndarray) for part in parts) and len({(one.dtype, one.shape[1:]) for one in parts}) == 1:
        return np.concatenate(parts)
    return list(chain.from_iterable(_plain(part) for part in parts))


def _plain(values: Any) -> list[Any]:
    if isinstance(values, list):
        return values
    return [*(values.tolist() if hasattr(values, "tolist") else values)]
