"""Columns that arrive as arrays of numpy, Arrow or pandas: checked by what they hold, whole, never value by value.

How a column arrives does not change what it may hold: the rules are those of lists (`lists.py`).
"""

from typing import Any

from taut.models.signature import Kind, SignatureColumn
from taut.models.values import dtype_of, objects, refuse_where

ALLOWED: dict[Kind, str] = {  # Letters of numpy's kinds of dtypes; texts and bytes are lists.
    "double": "fiu", "float": "fiu", "long": "iuf", "integer": "iuf", "boolean": "b", "datetime": "M",
}  # fmt: skip
LIMITS = {"int64": (-(2.0**63), 2.0**63), "uint64": (0.0, 2.0**64)}  # As floats: the upper ones are past the last.


def listed_or_array(values: Any) -> Any:
    """An array of numbers, truth values or times, or a list of plain values.

    Arrow's and pandas' columns become the one or the other: nulls are None, or NaN among floats.
    """
    module = type(values).__module__.partition(".")[0]
    if module == "pyarrow":
        values = _of_arrow(values)
    elif module == "pandas":
        values = of_pandas(values)
    elif module != "numpy" or hasattr(values, "mask"):  # What is masked becomes None.
        return values if isinstance(values, list) else values.tolist() if module == "numpy" else list(values)
    if values.dtype.kind == "O":
        return list(values)
    return values.tolist() if values.dtype.kind in "UTS" else values


def of_pandas(values: Any) -> Any:
    """A series as numpy has it; where pandas has a type of its own, plain objects, and None for what is missing."""
    import numpy as np

    if isinstance(values.dtype, np.dtype):
        return values.to_numpy()
    made = values.to_numpy(dtype=object)
    missing = np.asarray(values.isna())
    return np.where(missing, None, made) if missing.any() else made


def array_of(column: SignatureColumn, array: Any) -> Any:
    """The values of an array in the dtype that the model is given. Raises Misfit."""
    import numpy as np

    if array.dtype.kind not in ALLOWED.get(column.kind, ""):
        refuse_where(np.ones(max(1, array.size), bool))
    if column.kind in ("double", "float"):
        return floats(column, array)
    if column.kind in ("long", "integer"):
        return whole_numbers(column, array)
    return moments(array) if column.kind == "datetime" else array


def floats(column: SignatureColumn, array: Any) -> Any:
    """Numbers as floats of the column's width; NaN is a missing value, an infinity is refused."""
    import numpy as np

    with np.errstate(over="ignore"):
        made = array.astype(dtype_of(column), copy=False)
    if not np.isfinite(made).all() and (wrong := np.isinf(made)).any():
        refuse_where(wrong)
    return made


def whole_numbers(column: SignatureColumn, array: Any) -> Any:
    """Whole numbers of the column's width; missing ones only where training saw some, and then as NaN among floats."""
    import numpy as np

    dtype = np.dtype(dtype_of(column))
    if array.dtype == dtype:
        return array
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if array.dtype.kind in "iu":
        if not np.can_cast(array.dtype, dtype) and (wrong := (array < low) | (array > high)).any():
            refuse_where(wrong)
        return array.astype(dtype)
    missing = np.isnan(array)
    below, above = LIMITS.get(dtype.name, (float(low), float(high) + 1.0))
    with np.errstate(invalid="ignore"):
        wrong = (array % 1 != 0) | (array < below) | (array >= above)
    wrong = np.where(missing, column.required or bool(column.dtype), wrong)
    if wrong.any():
        refuse_where(wrong)
    return array.astype("float64") if missing.any() else array.astype(dtype)


def moments(array: Any) -> Any:
    """Times in nanoseconds; refuses those that do not fit, which are before 1678 and after 2261."""
    import numpy as np

    made = array.astype("datetime64[ns]")
    wrong = ~np.isnat(array) & (made.astype(array.dtype) != array)
    if wrong.any():
        refuse_where(wrong)
    return made


def _of_arrow(values: Any) -> Any:
    """An Arrow column, whole or in chunks, as numpy has it."""
    import pyarrow as pa

    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_decimal(kind):
        array = array.cast(pa.float64())
    elif pa.types.is_date(kind):
        array = array.cast(pa.timestamp("ns"))
    if pa.types.is_fixed_size_list(kind) and not array.null_count and not array.flatten().null_count:
        inner = _of_arrow(array.flatten())
        return inner.reshape(len(array), kind.list_size, *inner.shape[1:])
    if pa.types.is_nested(kind) or (array.null_count and pa.types.is_integer(kind)):
        return objects(array.to_pylist())  # As floats the largest whole numbers would be others.
    return array.to_numpy(zero_copy_only=False)
