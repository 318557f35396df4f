"""Tensors of the Open Inference Protocol as columns: datatypes, shapes, data flat or nested."""

from itertools import chain
from math import prod
from types import GenericAlias
from typing import Annotated, Any, NoReturn

import msgspec

from taut.errors import Invalid
from taut.models.inputs import Cell
from taut.models.signature import Kind

DATATYPES: dict[Kind, str] = {
    "double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32", "boolean": "BOOL", "string": "BYTES",
    "datetime": "BYTES",
}  # fmt: skip
DIMENSIONS_MAX, SIZE_MAX = 32, 2**62


def _whole(bits: int, *, signed: bool) -> Any:
    """Integers of so many bits. The parser knows no bound past 64 bits with a sign; a model's own column does."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    bound = msgspec.Meta(ge=low, le=high) if high < 2**63 else msgspec.Meta(ge=low)
    return Annotated[int, bound]


CELLS: dict[str, Any] = {
    "BOOL": bool,
    "BYTES": str,
    **{f"FP{bits}": float for bits in (16, 32, 64)},
    **{f"INT{bits}": _whole(bits, signed=True) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": _whole(bits, signed=False) for bits in (8, 16, 32, 64)},
}
"""What JSON holds for each datatype: numbers without a fraction are floats for one, and no integer has one."""

NO_VALUE = (msgspec.ValidationError, OverflowError, SystemError)  # The last of msgspec before 0.22, for 10**400.
LISTS: dict[str, Any] = {datatype: GenericAlias(list, (cell | None,)) for datatype, cell in CELLS.items()}


class Tensor(msgspec.Struct):
    """One tensor as it came; `data` is not looked at yet, and missing where it follows the JSON as raw bytes."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = msgspec.UNSET
    parameters: dict[str, Any] | None = None


def column_of(tensor: Tensor) -> list[Cell]:
    """The values of a tensor whose data is JSON, one cell a row. Raises Invalid with name, row, expected and found."""
    if tensor.data is msgspec.UNSET:
        raise Invalid(f"input {tensor.name!r:.80} has no `data`")
    if not isinstance(tensor.data, list):
        raise Invalid(f"input {tensor.name!r:.80}: `data` is a {type(tensor.data).__name__}, not a list")
    count = checked_count(tensor)
    flat = _flat(tensor)
    if len(flat) != count:
        raise Invalid(f"input {tensor.name!r:.80} has {len(flat)} values for shape {tensor.shape}")
    return shaped(tensor, _typed(tensor, flat))


def checked_count(tensor: Tensor) -> int:
    """How many values the shape declares. Raises Invalid for no shape of rows, and for a datatype nobody knows."""
    if tensor.datatype not in CELLS:
        raise Invalid(f"input {tensor.name!r:.80} has the datatype {tensor.datatype!r:.80}, which is not known here")
    shape = tensor.shape
    if not 0 < len(shape) <= DIMENSIONS_MAX or min(shape) < 1 or max(shape) > SIZE_MAX:
        raise Invalid(f"input {tensor.name!r:.80} has shape {shape!s:.80}; it starts with the number of rows")
    return prod(shape)


def shaped(tensor: Tensor, flat: list[Cell]) -> list[Cell]:
    """Values in the order of rows as one cell a row: themselves, or nested lists where a row has several dimensions."""
    cells: list[Any] = flat
    if len(flat) == tensor.shape[0]:
        return cells
    for size in reversed(tensor.shape[1:]):
        cells = [cells[start : start + size] for start in range(0, len(cells), size)]
    return cells


def tensor_of(values: list[Any]) -> tuple[str, list[int], list[Any]]:
    """The datatype, the shape and the values in the order of rows of an output, whose cells may be nested lists."""
    shape, flat = [len(values)], values
    while flat and type(flat[0]) is list and set(map(type, flat)) == {list} and len(set(map(len, flat))) == 1:
        shape.append(len(flat[0]))
        flat = list(chain.from_iterable(flat))
    return datatype_of(flat), shape, flat


def datatype_of(values: list[Cell]) -> str:
    """The narrowest datatype that holds an output; missing values fit each."""
    kinds = set(map(type, values))
    if kinds == {float}:
        return "FP64"
    kinds.discard(type(None))
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"


def _flat(tensor: Tensor) -> list[Any]:
    """The values in the order of rows. Lists may be nested as the shape says, or each value in a list of its own."""
    level: list[Any] = tensor.data
    lists_a_row = 1
    for size in tensor.shape[1:] or [1]:
        kinds = set(map(type, level))
        if list not in kinds:
            return list(level)
        if kinds != {list} and size == 1:
            level = [value if isinstance(value, list) else [value] for value in level]
        elif kinds != {list}:
            _raise_uneven(tensor, lists_a_row, size, level)
        if set(map(len, level)) != {size}:
            _raise_uneven(tensor, lists_a_row, size, level)
        level = list(chain.from_iterable(level))
        lists_a_row *= size
    return level


def _raise_uneven(tensor: Tensor, lists_a_row: int, size: int, level: list[Any]) -> NoReturn:
    """Raise Invalid for the first of so many lists a row that is none, or of another length; there is one."""
    place, value = next(
        (place, value) for place, value in enumerate(level) if not isinstance(value, list) or len(value) != size
    )
    wanted = "one value" if size == 1 else f"{size} values"
    found = f"{len(value)}" if isinstance(value, list) else f"{value!r:.80}"
    raise Invalid(f"input {tensor.name!r:.80}, row {place // lists_a_row}: expected {wanted}, found {found}")


def _typed(tensor: Tensor, flat: list[Any]) -> list[Cell]:
    try:
        typed: list[Cell] = msgspec.convert(flat, LISTS[tensor.datatype])
    except NO_VALUE:
        for place, value in enumerate(flat):
            _check(tensor, place * tensor.shape[0] // len(flat), value)
        raise
    if len(flat) != tensor.shape[0] and None in flat:
        row = flat.index(None) * tensor.shape[0] // len(flat)
        raise Invalid(f"input {tensor.name!r:.80}, row {row}: expected {tensor.datatype}, found null")
    return typed


def _check(tensor: Tensor, row: int, value: object) -> None:
    try:
        msgspec.convert(value, CELLS[tensor.datatype] | None)
    except NO_VALUE:
        raise Invalid(
            f"input {tensor.name!r:.80}, row {row}: expected {tensor.datatype}, found {value!r:.80}"
        ) from None
