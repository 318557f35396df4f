"""Columns that arrive as lists: their types are looked at together, value by value only where one is wrong."""

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from math import isnan
from typing import Any

from taut.models.arrays import floats, moments, whole_numbers
from taut.models.signature import Kind, SignatureColumn
from taut.models.values import NONE, Misfit, dtype_of, is_missing, objects, refuse

TAKEN: dict[Kind, frozenset[type]] = {
    "double": frozenset({float, int, NONE}),
    "float": frozenset({float, int, NONE}),
    "long": frozenset({int, float, NONE}),
    "integer": frozenset({int, float, NONE}),
    "boolean": frozenset({bool, NONE}),
    "string": frozenset({str, float, NONE}),
    "binary": frozenset({bytes, bytearray, str, float, NONE}),
    "datetime": frozenset({str, datetime, float, NONE}),
}
TIME = re.compile(
    r"(?P<naive>(?:16[89]|1[789]\d|2[01]\d|22[0-5])\d-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?)"
    r"(?:Z|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d))?"
)


def array_of_list(column: SignatureColumn, values: Sequence[Any]) -> Any:
    """A list of plain values as the array that the model is given. Raises Misfit for the first that is none."""
    import numpy as np

    types = set(map(type, values))
    if any(hasattr(kind, "dtype") for kind in types):  # Numpy's own numbers among objects.
        values = [value.item() if hasattr(value, "dtype") and not value.ndim else value for value in values]
        types = set(map(type, values))
    if strange := types - TAKEN[column.kind]:
        refuse(values, lambda value: type(value) in strange)
    if column.dtype == "str" and types != {str}:  # Numpy would write what is missing as a text.
        refuse(values, lambda value: type(value) is not str)
    if column.kind in ("double", "float"):
        try:
            return floats(column, np.array(values, dtype="float64"))
        except OverflowError:
            refuse(values, lambda value: isinstance(value, int) and not _is_float(value))
    if column.kind in ("long", "integer"):
        return _whole_numbers(column, values, types)
    if column.kind == "boolean" and types == {bool}:
        return np.array(values, dtype=bool)
    if float in types and not all(isnan(value) for value in values if type(value) is float):
        refuse(values, lambda value: type(value) is float and not isnan(value))
    if column.kind == "datetime":
        return _moments(values)
    made = objects(values if column.kind != "binary" else [_bytes(place, value) for place, value in enumerate(values)])
    if NONE in types:  # Nothing is NaN, which is what pandas reads where a file has nothing.
        made[[value is None for value in values]] = np.nan
    return made


def _whole_numbers(column: SignatureColumn, values: Sequence[Any], types: set[type]) -> Any:
    import numpy as np

    dtype = dtype_of(column)
    try:
        if types == {int}:
            return np.array(values, dtype=dtype)
        if int not in types:
            return whole_numbers(column, np.array(values, dtype="float64"))
        # Through floats a whole number past 2**53 would become another.
        gone = np.array([is_missing(value) for value in values])
        whole_numbers(column, np.array([value if type(value) is not int else 0 for value in values], dtype="float64"))
        if gone.any():
            return np.array(values, dtype="float64")
        return np.array([int(value) for value in values], dtype=dtype)
    except OverflowError:
        limits = np.iinfo(dtype)
        refuse(values, lambda value: type(value) is int and not limits.min <= value <= limits.max)


def _moments(values: Sequence[Any]) -> Any:
    """Times from ISO 8601; those with an offset are in UTC then, as all others are taken to be."""
    import numpy as np

    read = [_moment(place, value) for place, value in enumerate(values)]
    try:
        return moments(np.array(read, dtype="datetime64[ns]"))
    except ValueError:
        for place, value in enumerate(read):
            try:
                np.datetime64(value, "ns")
            except ValueError:
                raise Misfit(place) from None
        raise


def _moment(place: int, value: Any) -> Any:
    """A text that numpy reads as a time, or a time of numpy's own; None for nothing."""
    import numpy as np

    if is_missing(value):
        return None
    written = value.isoformat() if isinstance(value, datetime) else value
    found = TIME.fullmatch(written)
    if found is None:
        raise Misfit(place)
    if found["sign"] is None:
        return found["naive"]
    offset = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"]))
    try:
        at = np.datetime64(found["naive"], "ns")
    except ValueError:
        raise Misfit(place) from None
    return at - np.timedelta64(offset if found["sign"] == "+" else -offset)


def _bytes(place: int, value: Any) -> Any:
    """Bytes as they are, a text as base64, which is how JSON carries bytes."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        raise Misfit(place) from None


def _is_float(value: int) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True
