"""Columns of plain values as the numbers that a graph takes, all columns at once where nothing is odd about them.

A row alone costs as much as its Python calls, so types are looked at for all columns of a kind together. Whatever is
not as it is nearly always (an array, a value of another type, an infinity) is left to the careful way, column by
column, which knows what may be allowed and what to say of it. Both give the same numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from operator import itemgetter
from typing import Any

from taut.models.compiled.graph import MISSING, UNKNOWN
from taut.models.inputs import Cell, checked_column, completed, must_be_even
from taut.models.signature import Kind, Signature, SignatureColumn, check_names
from taut.models.values import NONE

QUICK: dict[Kind, frozenset[type]] = {
    "double": frozenset({float, int, NONE}), "float": frozenset({float, int, NONE}), "long": frozenset({int}),
    "integer": frozenset({int}), "boolean": frozenset({bool}), "string": frozenset({str, NONE}),
}  # fmt: skip
# Below these a value is surely in the range of its kind, also after it was rounded to float64; the careful way knows
# exactly. A double may be anything but infinite.
BELOW: dict[Kind, float] = {"float": 3.4e38, "long": 2.0**62, "integer": 2.0**31 - 1}


class Matrix:
    """How the columns of one signature become rows of numbers; texts by their codes."""

    def __init__(self, signature: Signature, vocabularies: Mapping[str, Mapping[str, float]]) -> None:
        self._signature = signature
        self._codes = {
            column.name: _codes(vocabularies.get(column.name, {}))
            for column in signature.inputs
            if column.kind == "string"
        }
        self._names = {column.name for column in signature.inputs}
        self._kinds = [_OfKind(signature, kind) for kind in dict.fromkeys(one.kind for one in signature.inputs)]
        places = [place for kind in self._kinds for place in kind.places]
        self._in_order = _getter([places.index(place) for place in range(len(places))]) if places else None
        self._is_quick = bool(places) and all(kind.kind in QUICK for kind in self._kinds)

    def rows(self, columns: Mapping[str, Any]) -> Any:
        """Rows as the graph takes them [rows, columns]. Raises Invalid that names the column and what was found."""
        rows = self._quick(columns) if self._is_quick else None
        return self._careful(columns) if rows is None else rows

    def _quick(self, columns: Mapping[str, Any]) -> Any:
        """The same where all is as it nearly always is; None where it is not."""
        import numpy as np

        if columns.keys() != self._names:
            return None
        cells: list[Any] = []
        for kind in self._kinds:
            chosen = kind.columns(columns)
            if {*map(type, chosen)} != {list} or not {*map(type, chain.from_iterable(chosen))} <= kind.types:
                return None
            if kind.kind == "string":
                chosen = [
                    [*map(self._codes[name], values, UNKNOWNS)] for name, values in zip(kind.names, chosen, strict=True)
                ]
            cells.extend(chosen)
        assert self._in_order is not None
        try:
            by_column = np.array(self._in_order(cells), dtype=np.float64)
        except (ValueError, OverflowError):  # Columns of different lengths; an integer that is no float.
            return None
        if by_column.ndim != 2 or not by_column.shape[1] or np.isinf(by_column).any():
            return None
        rows = np.ascontiguousarray(by_column.T)
        for kind in self._kinds:
            if kind.below and not kind.fits(rows):
                return None
        return rows

    def _careful(self, columns: Mapping[str, Any]) -> Any:
        import numpy as np

        columns = completed(self._signature, columns)
        check_names(self._signature, columns)
        must_be_even(self._signature, columns)
        rows = np.empty((len(columns[self._signature.inputs[0].name]), len(self._signature.inputs)))
        for place, column in enumerate(self._signature.inputs):
            rows[:, place] = self._coded(column, columns[column.name])
        return rows

    def _coded(self, column: SignatureColumn, given: Any) -> Any:
        import numpy as np

        if isinstance(given, np.ndarray):
            if (column.kind, given.ndim) == ("double", 1) and given.dtype.kind in "fiu" and not np.isinf(given).any():
                return given
            given = given.tolist()
        values: Sequence[Cell] = given
        checked = checked_column(column, values)
        if column.kind == "boolean":
            return checked.astype("float64")
        if column.kind != "string":
            return checked
        code = self._codes[column.name]
        return [code(value, UNKNOWN) if isinstance(value, str) else MISSING for value in values]


class _OfKind:
    """The columns of one kind: where they stand, and what is nearly always in them."""

    def __init__(self, signature: Signature, kind: Kind) -> None:
        self.kind = kind
        self.places = [place for place, column in enumerate(signature.inputs) if column.kind == kind]
        self.names = [signature.inputs[place].name for place in self.places]
        self.types = QUICK.get(kind, frozenset())
        self.columns = _getter(self.names)
        self.below = BELOW.get(kind, 0.0)

    def fits(self, rows: Any) -> bool:
        """Whether all values are well within the range of the kind; rounds those of float32 to what they are there."""
        import numpy as np

        values = rows[:, self.places]
        if not (np.abs(values[~np.isnan(values)]) < self.below).all():
            return False
        if self.kind == "float":
            rows[:, self.places] = values.astype("float32")
        return True


UNKNOWNS = repeat(UNKNOWN)


def _codes(known: Mapping[str, float]) -> Callable[..., float]:
    """From a text, or None, and what is said of an unknown text, to its code."""
    codes = dict[str | None, float](known.items())
    codes[None] = MISSING
    return codes.get


def _getter(keys: Sequence[Any]) -> Callable[[Any], Sequence[Any]]:
    """The values of these keys, in their order."""
    if len(keys) == 1:
        return lambda values: [values[keys[0]]]
    return itemgetter(*keys)
