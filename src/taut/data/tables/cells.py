"""The cells of a column held against what a contract says of them, a batch at a time and no loop over values."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taut.data.tables.columns import MISSING_WORDS, PATTERNS
from taut.data.tables.moments import moment_ms
from taut.data.tables.rules import ColumnContract
from taut.errors import Invalid

Mask = NDArray[np.bool_]

SHOWN = 200  # Letters of a value that a breach tells.
BOOL_WORDS = pa.array(["true", "false", "True", "False", "TRUE", "FALSE"])
KINDS_OF: dict[str, tuple[str, ...]] = {
    "int": ("int",),
    "float": ("int", "float"),
    "bool": ("bool",),
    "date": ("date",),
    "timestamp": ("date", "timestamp"),
}


def compiled(pattern: str) -> str:
    """A pattern as RE2 matches a whole cell by it, in time that grows with the cell alone. Raises Invalid."""
    whole = rf"\A(?:{pattern})\z"
    try:
        pc.match_substring_regex(pa.array([""]), whole)
    except pa.ArrowInvalid as problem:
        reason = str(problem).partition(": ")[2] or str(problem)
        raise Invalid(f"the pattern {pattern[:80]!r} is none of RE2's syntax: {reason[:120]}") from None
    return whole


def present_cells(cells: pa.Array) -> pa.Array:
    """Cells with null for each that is missing, as the profile counts it: its words, and numbers that are none."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    if _is_text(cells.type):
        return pc.if_else(pc.is_in(cells, value_set=MISSING_WORDS.cast(cells.type)), None, cells)
    if pa.types.is_floating(cells.type):
        return pc.if_else(pc.fill_null(pc.is_nan(cells), True), None, cells)
    return cells


class Cells:
    """One column so far: how often each rule was broken, and the first breaches as (row, value)."""

    def __init__(self, contract: ColumnContract, examples: int) -> None:
        self.broken: dict[str, int] = {}
        self.shown: dict[str, list[tuple[int, str | None]]] = {}
        self._contract = contract
        self._examples = examples
        self._pattern = None if contract.pattern is None else compiled(contract.pattern)

    def add(self, cells: pa.Array, row: int) -> None:
        """Hold a batch against the contract; its first row is that number."""
        contract, cells = self._contract, present_cells(cells)
        there = cells.is_valid().to_numpy(zero_copy_only=False)
        if not contract.nullable:
            self._note("not null", ~there, cells, row)
        if not there.any():
            return
        wrong, numbers = _typed(contract.dtype, cells, there)
        if wrong is not None:
            self._note(f"dtype {contract.dtype}", wrong, cells, row)
            there &= ~wrong
        for bound, sign in ((contract.min, -1), (contract.max, 1)):
            if bound is not None:
                past = _past(contract.dtype, cells, numbers, bound, sign)
                self._note(f"{'min' if sign < 0 else 'max'} {bound}", past & there, cells, row)
        if contract.accepted_values is not None:
            known = pc.is_in(_words(cells), value_set=pa.array(contract.accepted_values, pa.string()))
            self._note("accepted_values", ~_mask(known) & there, cells, row)
        if self._pattern is not None:
            match = pc.match_substring_regex(_words(cells), self._pattern)
            self._note(f"pattern {contract.pattern}", ~_mask(match) & there, cells, row)

    def _note(self, rule: str, broken: Mask, cells: pa.Array, row: int) -> None:
        times = int(np.count_nonzero(broken))
        if not times:
            return
        self.broken[rule] = self.broken.get(rule, 0) + times
        shown = self.shown.setdefault(rule, [])
        if len(shown) < self._examples:
            places = np.flatnonzero(broken)[: self._examples - len(shown)]
            values = cells.take(pa.array(places)).to_pylist()
            pairs = zip(places.tolist(), values, strict=True)
            shown.extend((row + place, None if value is None else str(value)[:SHOWN]) for place, value in pairs)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _mask(found: Any) -> Mask:
    """True where Arrow says so, false where there is nothing."""
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), dtype=bool)


def _typed(dtype: str, cells: pa.Array, there: Mask) -> tuple[Mask | None, pa.Array | None]:
    """Which cells are of another type, None where none can be; and the cells as numbers, of dates milliseconds."""
    if dtype not in KINDS_OF:
        return None, None
    if not _is_text(cells.type):
        kind = _kind_of(cells.type)
        wrong = np.zeros(len(cells), bool) if kind in KINDS_OF[dtype] else there.copy()
        return wrong, _moments(cells) if kind in ("date", "timestamp") else None
    if dtype == "bool":
        return ~_mask(pc.is_in(cells, value_set=BOOL_WORDS.cast(cells.type))) & there, None
    if dtype in ("date", "timestamp"):
        return _typed_moments(dtype, cells, there)
    if (numbers := _numbers(cells, pa.int64() if dtype == "int" else pa.float64())) is not None:
        return None, numbers
    match = _mask(pc.match_substring_regex(cells, PATTERNS["int"]))
    if dtype == "float":
        match |= _mask(pc.match_substring_regex(cells, PATTERNS["float"]))
    kept = pc.if_else(pa.array(match), pc.utf8_trim_whitespace(cells), None)
    return ~match & there, pc.cast(kept, pa.float64())


def _numbers(cells: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """Words as numbers, where every one is: then no pattern need be asked, which costs ten times as much."""
    try:
        numbers = pc.cast(cells, kind)
    except pa.ArrowInvalid:
        return None
    if pa.types.is_integer(kind):  # Arrow takes 0x10 for a number.
        return None if pc.any(pc.match_substring(cells, "x")).as_py() else numbers
    return numbers if pc.all(pc.is_finite(numbers)).as_py() else None


def _typed_moments(dtype: str, cells: pa.Array, there: Mask) -> tuple[Mask | None, pa.Array]:
    for kind in (pa.date32(), *((pa.timestamp("us"), pa.timestamp("us", "UTC")) if dtype == "timestamp" else ())):
        try:
            return None, _moments(pc.cast(cells, kind))
        except pa.ArrowInvalid:
            continue
    encoded = cells.dictionary_encode()
    patterns = [PATTERNS[kind] for kind in KINDS_OF[dtype]]
    looks = np.zeros(len(encoded.dictionary), bool)
    for pattern in patterns:
        looks |= _mask(pc.match_substring_regex(encoded.dictionary, pattern))
    words = zip(looks.tolist(), encoded.dictionary.to_pylist(), strict=True)
    moments = pa.array([moment_ms(word) if is_one else None for is_one, word in words], pa.float64())
    found = moments.take(encoded.indices)
    return found.is_null().to_numpy(zero_copy_only=False) & there, found


def _kind_of(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return "int" if kind.scale <= 0 else "float"
    for name, is_it in (
        ("bool", pa.types.is_boolean), ("int", pa.types.is_integer), ("float", pa.types.is_floating),
        ("date", pa.types.is_date), ("timestamp", pa.types.is_timestamp),
    ):  # fmt: skip
        if is_it(kind):
            return name
    return "text"


def _moments(cells: pa.Array) -> pa.Array:
    """Dates and moments as milliseconds since 1970."""
    if pa.types.is_date(cells.type):
        return pc.multiply(cells.cast(pa.date32()).cast(pa.int32()).cast(pa.float64()), 86_400_000.0)
    per_ms = {"s": 1e-3, "ms": 1.0, "us": 1e3, "ns": 1e6}[cells.type.unit]
    return pc.divide(cells.cast(pa.int64()).cast(pa.float64()), per_ms)


def _past(dtype: str, cells: pa.Array, numbers: pa.Array | None, bound: float | str, sign: int) -> Mask:
    """Which cells lie past a bound, and which cannot be held against it."""
    beyond = pc.greater if sign > 0 else pc.less
    if dtype in ("date", "timestamp"):
        edge = moment_ms(str(bound))
        if numbers is None or edge is None:
            return np.ones(len(cells), bool)
        return _mask(beyond(numbers, edge))
    if isinstance(bound, str):
        return _mask(beyond(_words(cells), bound))
    if numbers is None:
        kind = cells.type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            numbers = cells
        elif pa.types.is_decimal(kind) or pa.types.is_boolean(kind):
            numbers = cells.cast(pa.float64())
        else:
            wrong, numbers = _typed("float", _words(cells), np.ones(len(cells), bool))
            return _mask(beyond(numbers, bound)) | (np.zeros(len(cells), bool) if wrong is None else wrong)
    return _mask(beyond(numbers, pa.scalar(float(bound)) if pa.types.is_floating(numbers.type) else bound))


def _words(cells: pa.Array) -> pa.Array:
    """Cells as people write them in a contract."""
    kind = cells.type
    if pa.types.is_string(kind):
        return cells
    if _is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_date32(kind):
        return cells.cast(pa.string())
    if pa.types.is_nested(kind) or pa.types.is_null(kind):
        return pa.array([None if cell is None else str(cell) for cell in cells.to_pylist()], pa.string())
    encoded = cells.dictionary_encode()
    words = [None if value is None else str(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(words, pa.string()).take(encoded.indices)
