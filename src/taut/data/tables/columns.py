"""What is counted of a column while its batches pass: kinds, holes, ranges, moments, ranks, frequencies."""

import math
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taut.data.tables.distinct import PRECISION
from taut.data.tables.frequencies import Frequencies
from taut.data.tables.moments import EPOCH, moment_ms
from taut.data.tables.profile import DISTINCT_MAX, MISSING
from taut.data.tables.quantiles import Quantiles
from taut.ground.whole import is_past
from taut.records import ColumnProfile

Scalar = int | float | str | None

POINTS, TOP = 65, 20
# Points, values and the sketch's precision, as fine as the size of a profile allows.
FINENESS = ((POINTS, TOP, PRECISION), (33, 10, 10), (17, 5, 8), (9, 3, 0))
CATEGORIES_MAX = 256
TEXT_SHOWN = 64
DAY_MS = 86_400_000
MISSING_WORDS = pa.array(sorted(MISSING))
# Only what begins so can be anything but text: one look at most cells, and not five.
MAYBE = r"^\s*[+-]?(\d|\.\d|[iI]nf|[tT]rue$|[fF]alse$|TRUE$|FALSE$)"
PATTERNS = {
    "int": r"^\s*[+-]?\d+\s*$",
    "float": r"^\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|[iI]nf(inity)?)\s*$",
    "bool": r"^(true|false|True|False|TRUE|FALSE)$",
    "date": r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$",
    "timestamp": r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?"
    r"(Z|[+-]\d{2}:?\d{2})?$",
}
NUMBERS = ("int", "float")


def typed_as(kinds: Sequence[str]) -> str:
    """The type that holds every kind of cell that was met, in whichever order: `text` where nothing else does.

    >>> typed_as(["int", "float"]), typed_as(["date", "timestamp"]), typed_as(["int", "date"]), typed_as([])
    ('float', 'timestamp', 'text', 'empty')
    """
    met = set(kinds)
    if len(met) <= 1:
        return next(iter(met), "empty")
    for widest, others in (("float", {"int", "float"}), ("timestamp", {"date", "timestamp"})):
        if met == others:
            return widest
    return "text"


class Tally:
    """A column so far. Batches of it are added; the profile is what they were."""

    def __init__(self, name: str, stored: pa.DataType, size: int, counters: int = DISTINCT_MAX) -> None:
        self.name = name
        self.rows = self.missing = 0
        self.kinds: dict[str, int] = {}
        self._stored = stored
        self._type = stored.value_type if pa.types.is_dictionary(stored) else stored
        self._is_text = pa.types.is_string(self._type) or pa.types.is_large_string(self._type)
        self._quantiles = Quantiles(size)
        self._low: Any = None
        self._high: Any = None
        self._text_low: str | None = None
        self._text_high: str | None = None
        self._sums: list[tuple[int, float, float]] = []
        self._frequencies = Frequencies(counters)
        self._length = 0

    def add(self, cells: pa.Array) -> None:
        """Count a batch."""
        self.rows += len(cells)
        if not self._is_flat():
            self.missing += cells.null_count
            self._count_kind(str(self._type), len(cells) - cells.null_count)
            return
        present = cells.cast(self._type) if pa.types.is_dictionary(cells.type) else cells
        if pa.types.is_floating(self._type):
            present = pc.filter(present, pc.invert(pc.fill_null(pc.is_nan(present), True)))
        else:
            present = present.drop_null()
        if self._frequencies.given_up:
            if self._is_text:
                present = present.filter(pc.invert(pc.is_in(present, value_set=MISSING_WORDS.cast(self._type))))
            values, counts = present, None
        else:
            counted = pc.value_counts(present)
            values, counts = counted.field(0), counted.field(1)
            if self._is_text:
                known = pc.invert(pc.is_in(values, value_set=MISSING_WORDS.cast(self._type)))
                values, counts = values.filter(known), counts.filter(known)
        total = len(values) if counts is None else pc.sum(counts).as_py() or 0
        self.missing += len(cells) - total
        if not total:
            return
        if counts is None:
            self._frequencies.add_each(values)
        else:
            self._frequencies.add(values, counts)
        if self._is_text:
            self._add_texts(values, np.ones(total, np.int64) if counts is None else counts.to_numpy())
        else:
            kind, numbers = _numbers(present)
            self._count_kind(kind, total)
            if numbers is not None:
                self._add_numbers(numbers)

    def profile(self, *, points: int = POINTS, top: int = TOP, precision: int = PRECISION) -> ColumnProfile:
        """What was seen, in at most so many points and values and a sketch of 2^precision registers; 0 is none."""
        present, short = self.rows - self.missing, self._frequencies.short
        dtype, (distinct, distinct_error) = typed_as(list(self.kinds)), self._frequencies.distinct()
        is_small = not short and distinct <= CATEGORIES_MAX and 2 * distinct <= present
        if dtype == "text" and is_small and self.kinds.keys() == {"text"}:
            dtype = "categorical"
        low, high = self._range(dtype)
        mean, std = self._moments() if dtype in NUMBERS and present == self._quantiles.count else (None, None)
        return ColumnProfile(
            self.name, dtype, str(self._stored), self.rows, self.missing, distinct, dict(sorted(self.kinds.items())),
            low, high, mean, std, self._quantiles.points(points), self._quantiles.rank_error,
            self._top(top), short, self._length if self.kinds.get("text") else None, distinct_error,
            self._frequencies.sketch().folded(precision).text() if precision and distinct else "",
        )  # fmt: skip

    def _is_flat(self) -> bool:
        kind = self._type
        return not (pa.types.is_nested(kind) or pa.types.is_null(kind) or pa.types.is_binary(kind)
                    or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
                    or pa.types.is_duration(kind) or pa.types.is_time(kind) or pa.types.is_interval(kind))  # fmt: skip

    def _count_kind(self, kind: str, cells: int) -> None:
        if cells:
            self.kinds[kind] = self.kinds.get(kind, 0) + cells

    def _top(self, most: int) -> tuple[tuple[str, int], ...]:
        counted = self._frequencies.counted()
        if counted is None or not counted.num_rows:
            return ()
        # Ties go by their words, but all of them need not be written out for it.
        least = int(
            np.partition(counted["count"].to_numpy(), -min(most, counted.num_rows))[-min(most, counted.num_rows)]
        )
        counted = counted.filter(pc.greater_equal(counted["count"], least))
        worded = counted.set_column(0, "value", _words(counted["value"]))
        best = worded.take(pc.select_k_unstable(worded, most, [("count", "descending"), ("value", "ascending")]))
        return tuple((_shown(row["value"]), row["count"]) for row in best.to_pylist())

    def _add_texts(self, values: pa.Array, counts: np.ndarray) -> None:
        """Cells of text: what kind each is, and the numbers among them."""
        if not self.kinds.keys() - set(NUMBERS):
            try:
                numbers = pc.cast(values, pa.int64()) if "float" not in self.kinds else None
            except pa.ArrowInvalid:
                numbers = None
            if numbers is not None and not pc.any(pc.match_substring(values, "x")).as_py():
                self._count_kind("int", int(counts.sum()))
                self._add_numbers(numbers.to_numpy(), counts)
                return
        left = np.ones(len(values), dtype=bool)
        maybe = pc.match_substring_regex(values, MAYBE).to_numpy(zero_copy_only=False)
        candidates = values.filter(pa.array(maybe))
        places = np.flatnonzero(maybe)
        for kind, pattern in PATTERNS.items():
            if not len(candidates):
                break
            match = pc.match_substring_regex(candidates, pattern).to_numpy(zero_copy_only=False)
            if not match.any():
                continue
            is_known = self._add_kind(kind, candidates.filter(pa.array(match)), counts[places[match]])
            match[match] = is_known
            left[places[match]] = False
            candidates, places = candidates.filter(pa.array(~match)), places[~match]
        if left.any():
            self._count_kind("text", int(counts[left].sum()))
            words = values.filter(pa.array(left))
            self._length = max(self._length, pc.max(pc.utf8_length(words)).as_py())
            low, high = pc.min_max(words).values()
            self._text_low = min(filter(None, (self._text_low, low.as_py())), default=None)
            self._text_high = max(filter(None, (self._text_high, high.as_py())), default=None)

    def _add_kind(self, kind: str, values: pa.Array, counts: np.ndarray) -> np.ndarray:
        """Cells that look like a kind; which of them are: there is no 30th of February."""
        is_known = np.ones(len(values), dtype=bool)
        if kind in NUMBERS:
            numbers = pc.cast(pc.utf8_trim_whitespace(values), pa.float64()).to_numpy(zero_copy_only=False)
            self._add_numbers(numbers, counts)
        elif kind in ("date", "timestamp"):
            moments = [moment_ms(word) for word in values.to_pylist()]
            is_known = np.array([moment is not None for moment in moments])
            numbers = np.array([moment for moment in moments if moment is not None], dtype=np.float64)
            self._add_numbers(numbers, counts[is_known])
        self._count_kind(kind, int(counts[is_known].sum()))
        return is_known

    def _add_numbers(self, numbers: np.ndarray, counts: np.ndarray | None = None) -> None:
        if not len(numbers):
            return
        least, most = numbers.min().item(), numbers.max().item()
        self._low = least if self._low is None else min(self._low, least)
        self._high = most if self._high is None else max(self._high, most)
        floats = numbers.astype(np.float64)
        every = floats if counts is None else np.repeat(floats, counts)
        with np.errstate(all="ignore"):
            mean = float(every.mean())
            self._sums.append((len(every), mean, float(((every - mean) ** 2).sum())))
        self._quantiles.add(every)

    def _moments(self) -> tuple[float | None, float | None]:
        """Mean and standard deviation from those of the batches. Source: Chan, Golub, LeVeque, 1979."""
        count, mean, squares = 0, 0.0, 0.0
        for n, its_mean, its_squares in self._sums:
            delta = its_mean - mean
            squares += its_squares + delta * delta * count * n / (count + n)
            count += n
            mean += delta * n / count
        return finite(mean), finite(math.sqrt(squares / count)) if count and squares >= 0 else None

    def _range(self, dtype: str) -> tuple[Scalar, Scalar]:
        if dtype in ("text", "categorical"):
            return _shown(self._text_low), _shown(self._text_high)
        if dtype in ("date", "timestamp"):
            return _iso(self._low, dtype), _iso(self._high, dtype)
        return (_whole(self._low, dtype), _whole(self._high, dtype)) if dtype in NUMBERS else (None, None)


def _numbers(values: pa.Array) -> tuple[str, np.ndarray | None]:
    """What kind typed values are, and the numbers in them."""
    kind = values.type
    if pa.types.is_boolean(kind):
        return "bool", None
    if pa.types.is_date(kind):
        days = values.cast(pa.date32()).cast(pa.int32()).to_numpy()
        return "date", days.astype(np.float64) * DAY_MS
    if pa.types.is_timestamp(kind):
        per_ms = {"s": 1e-3, "ms": 1.0, "us": 1e3, "ns": 1e6}[kind.unit]
        return "timestamp", values.cast(pa.int64()).to_numpy() / per_ms
    if pa.types.is_integer(kind):
        return "int", values.to_numpy()
    if pa.types.is_decimal(kind):
        return ("int" if kind.scale <= 0 else "float"), values.cast(pa.float64()).to_numpy()
    return "float", values.cast(pa.float64()).to_numpy()


def _words(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as text, as CSV would write them."""
    if pa.types.is_string(values.type):
        return values
    if pa.types.is_boolean(values.type):
        return values.cast(pa.string())
    return pa.chunked_array([pa.array([str(value) for value in values.to_pylist()], pa.string())])


def _iso(at_ms: float | None, dtype: str) -> str | None:
    if at_ms is None:
        return None
    try:
        moment = EPOCH + timedelta(milliseconds=at_ms)
    except OverflowError:
        return None
    return date.isoformat(moment.date()) if dtype == "date" else moment.isoformat().replace("+00:00", "Z")


def _whole(value: float | None, dtype: str) -> int | float | None:
    if value is None or not math.isfinite(value):
        return None  # JSON has no infinities.
    number = int(value) if dtype == "int" else float(value)
    return float(value) if is_past(number) else number


def finite(value: float) -> float | None:
    """A number as JSON can carry it, which has no infinities."""
    return value if math.isfinite(value) else None


@overload
def _shown(word: str) -> str: ...
@overload
def _shown(word: None) -> None: ...
@overload
def _shown(word: str | None) -> str | None: ...
def _shown(word: str | None) -> str | None:
    return word if word is None or len(word) <= TEXT_SHOWN else word[:TEXT_SHOWN] + "…"
