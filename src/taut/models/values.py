"""What the values of a column may be, by kind, and how one that may not is told."""

from collections.abc import Callable, Iterable, Sequence
from math import isnan
from typing import Any, NoReturn

from taut.models.signature import Kind, SignatureColumn

NONE = type(None)
DTYPES: dict[Kind, str] = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32"}
NARROW = ("uint64", "uint32", "uint16", "int16", "uint8", "int8", "float16")  # Of tensors alone: no kind says so much.


class Misfit(Exception):
    """A value that its column does not take: where it stands among the values, in the order of reading."""

    def __init__(self, place: int) -> None:
        super().__init__(f"value {place}")
        self.place = place


def dtype_of(column: SignatureColumn) -> str:
    """Numpy's name for the numbers of a column."""
    return column.dtype or DTYPES[column.kind]


def named(column: SignatureColumn) -> str:
    """The kind of a column in words: numpy's name where MLflow has none that says as much."""
    return column.dtype if column.dtype in NARROW else column.kind


def shown(value: object) -> str:
    """A value in an error: its type, and the start of it."""
    return "null" if value is None else f"{type(value).__name__} {value!r:.80}"


def is_missing(value: object) -> bool:
    """Whether a value stands for nothing: None or NaN."""
    return value is None or (isinstance(value, float) and isnan(value))


def refuse(values: Iterable[Any], is_wrong: Callable[[Any], bool]) -> NoReturn:
    """Raise Misfit for the first value that is wrong; there is one."""
    raise Misfit(next(place for place, value in enumerate(values) if is_wrong(value)))


def refuse_where(wrong: Any) -> NoReturn:
    """Raise Misfit for the first place that is marked in an array of truth values; there is one."""
    raise Misfit(int(wrong.argmax()))


def found_at(values: Any, place: int) -> str:
    """The value at a place of a list or an array, as an error shows it."""
    if not hasattr(values, "dtype"):
        return shown(values[place])
    value = values.reshape(-1)[place]
    return str(value) if values.dtype.kind in "Mm" else shown(value.item())


def objects(values: Sequence[Any]) -> Any:
    """An array of Python's own objects, a value a place: what is a list stays one."""
    import numpy as np

    return np.fromiter(values, dtype=object, count=len(values))
