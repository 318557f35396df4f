"""Requests put together into one call and taken apart again, only where a row is the same to the model either way."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from math import isnan
from typing import Any

from taut.models import Signature

Columns = Mapping[str, Any]
"""Columns by name, all of one length: a list of cells or an array each."""


def count_rows(columns: Columns) -> int:
    """Rows of the first column; 0 without columns, and for what has no length."""
    for values in columns.values():
        return len(values) if hasattr(values, "__len__") else 0
    return 0


def likeness_of(signature: Signature | None) -> Callable[[Columns], Hashable]:
    """A function whose answers are equal for requests that may be joined, and None for one that goes alone."""
    kinds = {column.name: column.kind for column in signature.inputs} if signature is not None else {}
    readers = {name: READERS.get(kind, _all_types) for name, kind in kinds.items()}

    def likeness(columns: Columns) -> Hashable:
        rows = count_rows(columns)
        found: list[Hashable] = []
        for name, values in columns.items():
            if type(values) is list:
                if len(values) != rows:
                    return None
                found.append((name, readers.get(name, _all_types)(values)))
            elif hasattr(values, "dtype") and values.ndim and len(values) == rows and values.dtype != object:
                found.append((name, values.dtype.str, values.shape[1:]))
            else:
                return None
        return tuple(found) if rows else None

    return likeness


def join(requests: Sequence[Columns]) -> dict[str, Any]:
    """The rows of requests of one likeness, one request after the other."""
    first = requests[0]
    if len(requests) == 1:
        return dict(first)
    joined: dict[str, Any] = {}
    for name, values in first.items():
        if type(values) is list:
            joined[name] = [cell for columns in requests for cell in columns[name]]
        else:
            import numpy as np

            joined[name] = np.concatenate([columns[name] for columns in requests])
    return joined


def cut(columns: Columns, counts: Sequence[int]) -> list[dict[str, Any]]:
    """The same columns as so many rows each, in order."""
    if len(counts) == 1:
        return [dict(columns)]
    found, start = [], 0
    for count in counts:
        found.append({name: values[start : start + count] for name, values in columns.items()})
        start += count
    return found


def _nothing(_: list[Any]) -> Hashable:
    """Of cells that are read each by itself."""
    return None


def _has_missing(values: list[Any]) -> Hashable:
    """Of whole numbers and truth values: beside a missing one they become floats or objects."""
    return any(value is None or (type(value) is float and isnan(value)) for value in values)


def _has_text(values: list[Any]) -> Hashable:
    """Of texts: a column of missing ones alone is of another type to pandas than one with a text in it."""
    return str in map(type, values)


def _all_types(values: list[Any]) -> Hashable:
    """Of cells of which nothing is known: the types of all of them decide how they are read."""
    return frozenset(map(_type, values))


def _type(cell: Any) -> Hashable:
    """The type of a cell, with the types and the shape of what is in it; large integers have a type of their own."""
    if type(cell) is list:
        return len(cell), frozenset(map(_type, cell))
    if type(cell) is int and not -(1 << 63) <= cell < 1 << 63:
        return "large"
    return str(type(cell))


# What of the other cells of a column decides how one is read, by the kind that the signature says.
READERS: dict[str, Callable[[list[Any]], Hashable]] = {
    "double": _nothing, "float": _nothing, "datetime": _nothing, "string": _has_text, "long": _has_missing,
    "integer": _has_missing, "boolean": _has_missing,
}  # fmt: skip
