"""Columns of plain values as the frame or array that a model was trained on, down to the dtypes."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, isnan
from typing import Any, NoReturn

from taut.errors import Invalid
from taut.models.signature import Kind, Signature, SignatureColumn, check_names

Cell = str | float | int | bool | None

NONE = type(None)
TAKEN: dict[Kind, frozenset[type]] = {
    "double": frozenset({float, int, NONE}),
    "float": frozenset({float, int, NONE}),
    "long": frozenset({int, float, NONE}),
    "integer": frozenset({int, float, NONE}),
    "boolean": frozenset({bool, NONE}),
    "string": frozenset({str, float, NONE}),
    "datetime": frozenset({str, NONE}),
}
DTYPES: dict[Kind, str] = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32"}


def table_of(signature: Signature, columns: Mapping[str, Sequence[Cell]]) -> Any:
    """The rows as the model takes them: a DataFrame, or an array where it was trained on one.

    Missing values (None, NaN) are NaN, as pandas reads them from a file. Raises Invalid for a column that is missing
    or unknown, for ragged or no rows, and for the first value that a column does not take.
    """
    check_names(signature, columns)
    must_be_even(signature, columns)
    return frame_of(
        signature, {column.name: checked_column(column, columns[column.name]) for column in signature.inputs}
    )


def frame_of(signature: Signature, arrays: dict[str, Any]) -> Any:
    """Checked columns in the order of the signature as the model takes them: a DataFrame, or an array."""
    import numpy as np

    if signature.is_array:
        return np.column_stack(list(arrays.values()))
    import pandas as pd

    if len({array.dtype for array in arrays.values()}) == 1 and signature.inputs[0].kind in DTYPES:
        # One block for all columns: some ten times cheaper for a few rows than a block a column.
        # Column after column in memory, as pandas keeps it: another order changes the last digit of a sum.
        return pd.DataFrame(np.vstack(list(arrays.values())).T, columns=list(arrays), copy=False)
    return pd.DataFrame(arrays, copy=False)


def must_be_even(signature: Signature, columns: Mapping[str, Sequence[Cell]]) -> None:
    """Raise Invalid for columns of different lengths, or of none."""
    rows = len(columns[signature.inputs[0].name]) if signature.inputs else 0
    for name in signature.names:
        if len(columns[name]) != rows:
            raise Invalid(
                f"column {name!r} has {len(columns[name])} rows, column {signature.inputs[0].name!r} has {rows}"
            )
    if not rows:
        raise Invalid("there are no rows to predict")


def checked_column(column: SignatureColumn, values: Sequence[Cell]) -> Any:
    """One column; types are looked at once for the column, and cell by cell only where something is wrong."""
    import numpy as np

    types = set(map(type, values))
    if strange := types - TAKEN[column.kind]:
        _raise_at(column, values, lambda value: type(value) in strange)
    try:
        if column.kind in ("double", "float"):
            array = np.array(values, dtype=DTYPES[column.kind])
            if np.isinf(array).any():
                _raise_at(column, values, lambda value: bool(np.isinf(np.array(value, dtype=array.dtype))))
            return array
        if column.kind in ("long", "integer"):
            return _whole_numbers(column, values, types)
        if column.kind == "datetime":
            return np.array(values, dtype="datetime64[ns]")
    except (OverflowError, ValueError) as problem:
        raise Invalid(f"column {column.name!r} takes {column.kind}: {problem}") from None
    return _words(column, values, types)


def _whole_numbers(column: SignatureColumn, values: Sequence[Cell], types: set[type]) -> Any:
    """Integers; a missing value only where the training data had some, and then as NaN among floats."""
    import numpy as np

    if types == {int}:
        return np.array(values, dtype=DTYPES[column.kind])
    floats = np.array(values, dtype="float64")
    if np.isinf(floats).any():
        _raise_at(column, values, lambda value: isinstance(value, float) and not isfinite(value) and not isnan(value))
    missing = np.isnan(floats)
    if missing.any() and column.required:
        _raise_at(column, values, _is_missing)
    if (floats[~missing] % 1 != 0).any():
        _raise_at(column, values, lambda value: not _is_missing(value) and float(value or 0) % 1 != 0)
    return floats if missing.any() else np.array([int(value or 0) for value in values], dtype=DTYPES[column.kind])


def _words(column: SignatureColumn, values: Sequence[Cell], types: set[type]) -> Any:
    """Texts or truth values; None becomes NaN, which is what pandas reads where a file has nothing."""
    import numpy as np

    if column.kind == "boolean" and NONE not in types:
        return np.array(values, dtype=bool)
    array = np.array(values, dtype=object)
    if column.kind == "string" and float in types:
        numbers = [value for value in values if isinstance(value, float) and not isnan(value)]
        if numbers:
            _raise_at(column, values, lambda value: isinstance(value, float) and not isnan(value))
    if NONE in types:
        array[[value is None for value in values]] = np.nan
    return array


def _is_missing(value: Cell) -> bool:
    return value is None or (isinstance(value, float) and isnan(value))


def _raise_at(column: SignatureColumn, values: Sequence[Cell], is_wrong: Callable[[Cell], bool]) -> NoReturn:
    """Raise Invalid for the first value that is wrong."""
    row = next(place for place, value in enumerate(values) if is_wrong(value))
    shown = "null" if values[row] is None else f"{type(values[row]).__name__} {values[row]!r:.80}"
    raise Invalid(f"column {column.name!r} takes {column.kind}; row {row} is {shown}")
