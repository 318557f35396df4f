"""Columns of Arrow as a model takes them: arrays by their kinds, and no Python object for a cell that need not be one.

The checks are those of `taut.models.inputs`. One is stricter: whether a whole number is too large for its kind never
hangs on whether another row of the same batch lacks one.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taut.errors import Invalid
from taut.models.inputs import frame_of
from taut.models.signature import Kind, Signature, SignatureColumn

Mask = NDArray[np.bool_]
Read = tuple[Any, Mask | None]

LIMITS: dict[str, tuple[int, int]] = {"long": (-(2**63), 2**63 - 1), "integer": (-(2**31), 2**31 - 1)}
Test = Callable[[pa.DataType], bool]
NUMBERS: tuple[Test, ...] = (pa.types.is_integer, pa.types.is_floating)
TEXTS: tuple[Test, ...] = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
MOMENTS: tuple[Test, ...] = (pa.types.is_timestamp, pa.types.is_date)
TAKEN: dict[Kind, tuple[Test, ...]] = {
    "double": NUMBERS, "float": NUMBERS, "long": NUMBERS, "integer": NUMBERS, "boolean": (pa.types.is_boolean,),
    "string": TEXTS, "datetime": (*MOMENTS, *TEXTS),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WrongCells:
    """Cells that a column does not take: which rows they are in, and the column as it came."""

    column: SignatureColumn
    rows: Mask
    cells: pa.Array

    def said(self, row: int) -> str:
        """What is wrong in a row, in the words of `Predictor.predict`; the row itself is for the caller to name."""
        value = self.cells[row].as_py()
        shown = "null" if value is None else f"{type(value).__name__} {value!r:.80}"
        return f"column {self.column.name!r} takes {self.column.kind}; it is {shown}"


def must_take(signature: Signature, schema: pa.Schema) -> None:
    """Raise Invalid for an input that a table lacks, or whose type there holds no value of its kind."""
    for column in signature.inputs:
        if schema.names.count(column.name) > 1:
            raise Invalid(f"column {column.name!r} is there twice")
        if column.name not in schema.names:
            near = difflib.get_close_matches(column.name, schema.names, n=1)
            listed = ", ".join(schema.names[:20])
            meant = f"; did it mean {near[0]!r}?" if near else f"; there are {listed}"
            raise Invalid(f"column {column.name!r} is missing{meant}")
        kind = schema.field(column.name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not pa.types.is_null(kind) and not any(is_it(kind) for is_it in TAKEN[column.kind]):
            raise Invalid(f"column {column.name!r} takes {column.kind}; it is of type {kind}")


def read_cells(column: SignatureColumn, cells: pa.Array) -> Read:
    """The values of a column as `checked_column` gives them, and which rows hold what it does not take, None for none.

    A wrong cell has some value of the column's kind. The type must have passed `must_take`.
    """
    if pa.types.is_null(cells.type):
        cells = cells.cast(EMPTY[column.kind])
    if pa.types.is_dictionary(cells.type) and column.kind != "string":
        cells = cells.dictionary_decode()
    cells = plain_text(cells)
    if column.kind in LIMITS:
        is_whole = pa.types.is_integer(cells.type)
        return _whole(column, cells) if is_whole else _whole_floats(column, floats(cells))
    if column.kind in ("double", "float"):
        return _numbers(column, cells)
    return {"boolean": _truths, "string": _texts, "datetime": _moments}[column.kind](cells)


def plain_text(cells: pa.Array) -> pa.Array:
    """Views of texts as texts, which more of Arrow's functions take; all else as it is."""
    return cells.cast(pa.large_string()) if pa.types.is_string_view(cells.type) else cells


def floats(cells: pa.Array) -> Any:
    """Numbers or truth values as float64; a missing one is NaN."""
    if pa.types.is_boolean(cells.type):
        cells = cells.cast(pa.uint8())
    if not pa.types.is_float64(cells.type):
        cells = cells.cast(pa.float64(), safe=False)
    if cells.null_count:
        cells = pc.fill_null(cells, float("nan"))
    return cells.to_numpy(zero_copy_only=False)


def table_of_batch(signature: Signature, batch: pa.RecordBatch) -> tuple[Any, list[WrongCells]]:
    """A batch as the frame or array that a model takes, and what of it is wrong: then no frame, but None."""
    arrays, wrong = {}, []
    for column in signature.inputs:
        cells = batch.column(column.name)
        arrays[column.name], rows = read_cells(column, cells)
        if rows is not None:
            wrong.append(WrongCells(column, rows, cells))
    return (None if wrong else frame_of(signature, arrays)), wrong


def merged(masks: Sequence[Mask]) -> Mask:
    """Rows that are in any of the masks, of which there is one at least."""
    rows: Mask = np.logical_or.reduce(masks)
    return rows


EMPTY: dict[Kind, pa.DataType] = {
    "double": pa.float64(), "float": pa.float64(), "long": pa.int64(), "integer": pa.int64(), "boolean": pa.bool_(),
    "string": pa.string(), "datetime": pa.timestamp("ns"),
}  # fmt: skip


def _numbers(column: SignatureColumn, cells: pa.Array) -> Read:
    values = floats(cells)
    if column.kind == "float":
        with np.errstate(over="ignore"):  # What overflows is infinite, and told as such.
            values = values.astype("float32")
    return values, _any(np.isinf(values))


def _whole(column: SignatureColumn, cells: pa.Array) -> Read:
    low, high = LIMITS[column.kind]
    missing = _missing(cells) if cells.null_count else None
    if pa.types.is_uint64(cells.type):
        wrong = pc.fill_null(pc.greater(cells, pa.scalar(high, pa.uint64())), False).to_numpy(zero_copy_only=False)
        values = pc.fill_null(cells, 0).to_numpy(zero_copy_only=False).astype("int64")
    else:
        values = (pc.fill_null(cells, 0) if cells.null_count else cells).to_numpy(zero_copy_only=False).astype("int64")
        wrong = (values < low) | (values > high) if column.kind == "integer" else np.zeros(0, bool)
    return _whole_of(column, values, _any(wrong), missing)


def _whole_floats(column: SignatureColumn, values: Any) -> Read:
    low, high = LIMITS[column.kind]
    missing = np.isnan(values)
    # 2.0**63 is the first double past the whole numbers of 64 bits, and 2**63 - 1 is none.
    wrong = ~missing & ~((values >= low) & (values < float(high) + (high < 2**53)) & (np.trunc(values) == values))
    plain = np.where(missing | wrong, 0.0, values).astype("int64")
    return _whole_of(column, plain, _any(wrong), missing if missing.any() else None)


def _whole_of(column: SignatureColumn, values: Any, wrong: Mask | None, missing: Mask | None) -> Read:
    """Whole numbers, or floats with NaN where some are missing that may be."""
    if missing is None:
        return (values.astype("int32") if column.kind == "integer" else values), wrong
    if column.required:
        return values, missing if wrong is None else missing | wrong
    return np.where(missing, np.nan, values.astype("float64")), wrong


def _truths(cells: pa.Array) -> Read:
    if not cells.null_count:
        return cells.to_numpy(zero_copy_only=False), None
    values = floats(cells)
    return np.where(np.isnan(values), np.nan, (values > 0).astype(object)), None


def _texts(cells: pa.Array) -> Read:
    if pa.types.is_dictionary(cells.type):
        words = cells.dictionary.to_numpy(zero_copy_only=False)
        if not cells.null_count and not cells.dictionary.null_count:
            return words[cells.indices.to_numpy(zero_copy_only=False)], None
        cells = cells.dictionary_decode()
    values = cells.to_numpy(zero_copy_only=False).astype(object)
    if cells.null_count:
        values[_missing(cells)] = np.nan
    return values, None


def _moments(cells: pa.Array) -> Read:
    if any(is_text(cells.type) for is_text in TEXTS):
        return _written_moments(cells)
    try:
        zone = cells.type.tz if pa.types.is_timestamp(cells.type) else None
        return cells.cast(pa.timestamp("ns", zone)).to_numpy(zero_copy_only=False), None
    except pa.ArrowInvalid:  # Some lie outside the years 1678 to 2261.
        words = cells.cast(pa.string())
        return _written_moments(words)


def _written_moments(cells: pa.Array) -> Read:
    wrong = np.zeros(len(cells), bool)
    values = np.full(len(cells), np.datetime64("NaT"), "datetime64[ns]")
    for place, word in enumerate(cells.to_pylist()):
        if word is not None:
            try:
                values[place] = np.datetime64(word, "ns")
                wrong[place] = np.datetime64(word, "D") != values[place].astype("datetime64[D]")
            except ValueError:
                wrong[place] = True
    return values, _any(wrong)


def _missing(cells: pa.Array) -> Mask:
    mask: Mask = cells.is_null().to_numpy(zero_copy_only=False)
    return mask


def _any(wrong: Mask) -> Mask | None:
    return wrong if wrong.any() else None
