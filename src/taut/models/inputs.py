"""Columns as the arrays that a model is given, down to the dtypes; what does not fit is told exactly."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from taut.errors import Invalid
from taut.models.arrays import array_of, listed_or_array
from taut.models.lists import TAKEN, array_of_list
from taut.models.nested import nested_column
from taut.models.signature import TENSOR, Signature, SignatureColumn, check_names, is_nested
from taut.models.tensors import tensor_of
from taut.models.values import DTYPES, Misfit, dtype_of, found_at, named

Cell = str | float | int | bool | None

FLOATS = ("double", "float")


class Table(dict[str, Any]):
    """Checked columns by name, for a model that needs no data frame of them."""


class Intake:
    """The check of what a model takes: made once for its signature, then used for every request.

    Columns of one kind are checked and converted together, so that a single row costs little.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._names = frozenset(signature.names)
        self._alone: list[SignatureColumn] = []
        grouped: dict[tuple[str, str], list[SignatureColumn]] = {}
        for column in signature.inputs:
            if column.kind in DTYPES and not column.shape:
                grouped.setdefault((column.kind, dtype_of(column)), []).append(column)
            else:
                self._alone.append(column)
        self._groups = list(grouped.values())

    def arrays(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """An array for each input, in their order. Optional columns that are not there are missing values.

        Raises Invalid for a column that is missing or unknown, for ragged or no rows, and for the first value that a
        column does not take.
        """
        if columns.keys() != self._names:
            columns = completed(self.signature, columns)
            check_names(self.signature, columns)
        must_be_even(self.signature, columns)
        found = {column.name: checked_column(column, columns[column.name]) for column in self._alone}
        for group in self._groups:
            block = _block(group, columns)
            if block is None:
                found.update((column.name, checked_column(column, columns[column.name])) for column in group)
            else:
                found.update(zip([column.name for column in group], block, strict=True))
        return {name: found[name] for name in self.signature.names}


def frame_of(signature: Signature, arrays: dict[str, Any], *, frames: bool = True) -> Any:
    """Checked arrays as what the model takes: a data frame, an array, or tensors; without `frames` still columns."""
    import numpy as np

    if signature.form == "tensors":
        return {name: _as_text(array, signature, place) for place, (name, array) in enumerate(arrays.items())}
    if signature.form == "tensor":
        return _as_text(arrays[signature.inputs[0].name], signature, 0)
    if signature.form == "array":
        return np.column_stack([_as_text(array, signature, 0) for array in arrays.values()])
    return _frame(signature, arrays) if frames else Table(arrays)


def _as_text(array: Any, signature: Signature, place: int) -> Any:
    """Texts in numpy's own type where the signature says so."""
    return array.astype(str) if signature.inputs[place].dtype == "str" else array


def _frame(signature: Signature, arrays: dict[str, Any]) -> Any:
    import numpy as np
    import pandas as pd

    names = list(range(len(arrays))) if signature.is_array else list(arrays)
    if len({array.dtype for array in arrays.values()}) == 1 and signature.inputs[0].kind in DTYPES:
        # One block for all columns: some ten times cheaper for a few rows than a block a column.
        # Column after column in memory, as pandas keeps it: another order changes the last digit of a sum.
        return pd.DataFrame(np.vstack(list(arrays.values())).T, columns=names, copy=False)
    return pd.DataFrame(dict(zip(names, arrays.values(), strict=True)), copy=False)


def completed(signature: Signature, columns: Mapping[str, Any]) -> Mapping[str, Any]:
    """The columns with what may be left out: optional ones are missing values; one tensor stands for its columns."""
    if signature.form == "array" and TENSOR in columns and len(columns) == 1:
        first = signature.inputs[0]
        wide = SignatureColumn(TENSOR, first.kind, dtype=first.dtype, shape=(len(signature.inputs),))
        tensor = tensor_of(wide, listed_or_array(columns[TENSOR]))
        return dict(zip(signature.names, tensor.T, strict=True))
    absent = [column.name for column in signature.inputs if not column.required and column.name not in columns]
    if not absent or not columns:
        return columns
    check_names(signature, [*columns, *absent])
    must_be_even(signature, columns)
    rows = len(next(iter(columns.values())))
    return {**columns, **{name: [None] * rows for name in absent}}


def must_be_even(signature: Signature, columns: Mapping[str, Any]) -> None:
    """Raise Invalid for columns of different lengths or of none, or of another length than each call must have."""
    try:
        sizes = set(map(len, columns.values()))
    except TypeError:
        raise Invalid("each column must be a list of values, a value a row") from None
    if len(sizes) == 1 and (rows := sizes.pop()):
        if signature.rows not in (-1, rows):
            raise Invalid(f"the model takes {signature.rows} rows at a time; there are {rows}")
        return
    names = [name for name in signature.names or columns if name in columns]
    for name in names:
        if len(columns[name]) != len(columns[names[0]]):
            raise Invalid(
                f"column {name!r} has {len(columns[name])} rows, column {names[0]!r} has {len(columns[names[0]])}"
            )
    raise Invalid("there are no rows to predict")


def checked_column(column: SignatureColumn, values: Any) -> Any:
    """One column as an array, from a list or an array of numpy, pandas or Arrow. Raises Invalid."""
    values = listed_or_array(values)
    if is_nested(column):
        return nested_column(column, values)
    if column.shape:
        return tensor_of(column, values)
    try:
        if not hasattr(values, "dtype"):
            return array_of_list(column, values)
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise Invalid(f"column {column.name!r} takes one {named(column)} a row; row 0 has {list(values.shape[1:])}")
        return array_of(column, values)
    except Misfit as problem:
        raise Invalid(
            f"column {column.name!r} takes {named(column)}; row {problem.place} is {found_at(values, problem.place)}"
        ) from None


def _block(group: Sequence[SignatureColumn], columns: Mapping[str, Any]) -> Any:
    """Columns of numbers of one kind, all at once [columns, rows]; None where each has to be looked at by itself."""
    import numpy as np

    kind = group[0].kind
    values = [columns[column.name] for column in group]
    if set(map(type, values)) != {list}:
        return None
    types = set(map(type, chain.from_iterable(values)))
    if not types <= TAKEN[kind] or (kind not in FLOATS and types != {int}):
        return None
    try:
        block = np.array(values, dtype=dtype_of(group[0]) if kind != "float" else "float64")
        if kind == "float":
            with np.errstate(over="ignore"):
                block = block.astype(dtype_of(group[0]))
    except (OverflowError, ValueError):
        return None
    if kind in FLOATS and not np.isfinite(block).all() and np.isinf(block).any():
        return None
    return block
