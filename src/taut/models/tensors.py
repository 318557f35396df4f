"""Tensors: nested lists or arrays of several dimensions, checked for shape and type without a step a number."""

from collections.abc import Callable
from itertools import chain
from typing import Any

from taut.errors import Invalid
from taut.models.arrays import array_of
from taut.models.lists import array_of_list
from taut.models.signature import SignatureColumn
from taut.models.values import Misfit, found_at, named


def tensor_of(column: SignatureColumn, values: Any) -> Any:
    """An array [rows, …] of the column's shape and dtype, from an array or from nested lists of one shape.

    Raises Invalid naming the row, what was expected and what was found.
    """
    made: Callable[[SignatureColumn, Any], Any]
    if hasattr(values, "dtype"):
        _must_fit(column, values.shape[1:])
        shape = values.shape
        flat, made = values.reshape(-1), array_of
    else:
        shape, flat = _flattened(column, values)
        made = array_of_list
    try:
        return made(column, flat).reshape(shape)
    except Misfit as problem:
        row = problem.place // max(1, len(flat) // max(1, shape[0]))
        raise Invalid(
            f"column {column.name!r} takes {named(column)} of shape {written(column)}; row {row} has"
            f" {found_at(flat, problem.place)}"
        ) from None


def written(column: SignatureColumn) -> str:
    """The shape of one row in words."""
    return f"[{', '.join('any' if size < 0 else str(size) for size in column.shape)}]"


def _must_fit(column: SignatureColumn, shape: tuple[int, ...], row: int = 0) -> None:
    wanted = column.shape
    if len(shape) != len(wanted) or any(want not in (-1, size) for want, size in zip(wanted, shape, strict=True)):
        raise Invalid(f"column {column.name!r} takes the shape {written(column)}; row {row} has {list(shape)}")


def _flattened(column: SignatureColumn, rows: Any) -> tuple[tuple[int, ...], list[Any]]:
    """The shape of nested lists and their values in order; each level is looked at as a whole."""
    shape: list[int] = [len(rows)]
    rows = level = _without_arrays(rows)
    if set(column.shape) == {1} and not set(map(type, level)) & {list, tuple}:
        return (len(level), *column.shape), level  # A value a row is what the protocols make of [ROWS, 1].
    for wanted in column.shape:
        level = _without_arrays(level)
        if not set(map(type, level)) <= {list, tuple}:
            _refuse_shape(column, rows)
        sizes = set(map(len, level))
        if len(sizes) > 1 or (wanted != -1 and sizes != {wanted}):
            _refuse_shape(column, rows)
        shape.append(sizes.pop() if sizes else 0)
        level = list(chain.from_iterable(level))
    if set(map(type, level)) & {list, tuple}:
        _refuse_shape(column, rows)
    return tuple(shape), level


def _without_arrays(level: Any) -> list[Any]:
    """The same with lists in the place of arrays."""
    if not any(hasattr(kind, "tolist") for kind in set(map(type, level))):
        return list(level)
    return [value.tolist() if hasattr(value, "tolist") else value for value in level]


def _refuse_shape(column: SignatureColumn, rows: list[Any]) -> None:
    """Raise Invalid for the first row that has another shape than it should, or than the first row has."""
    first: tuple[int, ...] | None = None
    for place, row in enumerate(rows):
        shape = _shape(row)
        if shape is None:
            raise Invalid(f"column {column.name!r} takes the shape {written(column)}; row {place} is ragged")
        _must_fit(column, shape, place)
        first = shape if first is None else first
        if shape != first:
            raise Invalid(f"column {column.name!r}: row {place} has the shape {list(shape)}, row 0 has {list(first)}")
    raise AssertionError((column, len(rows)))


def _shape(value: Any) -> tuple[int, ...] | None:
    """The shape of nested lists; None where they are ragged."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, list | tuple):
        return ()
    if not value:
        return (0,)
    inner = {_shape(held) for held in value}
    only = inner.pop()
    return None if inner or only is None else (len(value), *only)
