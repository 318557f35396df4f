"""What is counted of a column while its batches pass, and what two counts of it make together."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taut.data.tables.profile import DISTINCT_MAX, MISSING
from taut.data.tables.quantiles import Quantiles, ranked
from taut.ground.whole import is_past
from taut.records import ColumnProfile

Scalar = int | float | str | None

POINTS, POINTS_MIN, TOP, TOP_MIN = 65, 9, 20, 3
CATEGORIES_MAX = 256
GIVE_UP = 3  # So often in a row no value was more frequent than the rest: it is an identifier or a measurement.
TEXT_SHOWN = 64
DAY_MS = 86_400_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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

    def __init__(self, name: str, stored: pa.DataType, size: int) -> None:
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
        self._counted: pa.Table | None = None
        self._short = 0
        self._length = 0
        self._emptied, self._given_up = 0, False

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
        if self._given_up:
            self._short += len(present)
            counted = pa.StructArray.from_arrays([present, np.ones(len(present), np.int64)], ["values", "counts"])
        else:
            counted = pc.value_counts(present)
        values, counts = counted.field(0), counted.field(1)
        if self._is_text:
            known = pc.invert(pc.is_in(values, value_set=MISSING_WORDS.cast(self._type)))
            values, counts = values.filter(known), counts.filter(known)
        total = pc.sum(counts).as_py() or 0
        self.missing += len(cells) - total
        if not total:
            return
        if not self._given_up:
            self._remember(values, counts)
        if self._is_text:
            self._add_texts(values, counts.to_numpy())
        else:
            self._add_typed(values, counts.to_numpy(), total)

    def profile(self, *, points: int = POINTS, top: int = TOP) -> ColumnProfile:
        """What was seen, in at most so many points and values."""
        present = self.rows - self.missing
        dtype, distinct = typed_as(list(self.kinds)), self._distinct()
        is_small = not self._short and distinct <= CATEGORIES_MAX and 2 * distinct <= present
        if dtype == "text" and is_small and self.kinds.keys() == {"text"}:
            dtype = "categorical"
        low, high = self._range(dtype)
        mean, std = self._moments() if dtype in NUMBERS and present == self._quantiles.count else (None, None)
        return ColumnProfile(
            self.name, dtype, str(self._stored), self.rows, self.missing, distinct, dict(sorted(self.kinds.items())),
            low, high, mean, std, self._quantiles.points(points), self._quantiles.rank_error,
            self._top(top), self._short, self._length if self.kinds.get("text") else None,
        )  # fmt: skip

    def _is_flat(self) -> bool:
        kind = self._type
        return not (pa.types.is_nested(kind) or pa.types.is_null(kind) or pa.types.is_binary(kind)
                    or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
                    or pa.types.is_duration(kind) or pa.types.is_time(kind) or pa.types.is_interval(kind))  # fmt: skip

    def _count_kind(self, kind: str, cells: int) -> None:
        if cells:
            self.kinds[kind] = self.kinds.get(kind, 0) + cells

    def _remember(self, values: pa.Array, counts: pa.Array) -> None:
        """Keep how often each value was there; past 100,000 of them the rarest go, by as much each.

        Source: Misra, Gries, Finding repeated elements, 1982; no count is short by more than what was taken.
        """
        if self._is_text:
            values = pc.utf8_slice_codeunits(values.cast(pa.string()), 0, TEXT_SHOWN * 4)
        new = pa.table({"value": values, "count": counts})
        both = new if self._counted is None else pa.concat_tables([self._counted, new])
        grouped = both.group_by("value").aggregate([("count", "sum")]).rename_columns(["value", "count"])
        if grouped.num_rows > DISTINCT_MAX:
            order = np.partition(grouped["count"].to_numpy(), -DISTINCT_MAX - 1)
            taken = int(order[-DISTINCT_MAX - 1])
            less = pc.subtract(grouped["count"], taken)
            grouped = grouped.set_column(1, "count", less).filter(pc.greater(less, 0))
            self._short += taken
            self._emptied = 0 if grouped.num_rows else self._emptied + 1
            self._given_up = self._emptied == GIVE_UP
        self._counted = grouped.combine_chunks()

    def _distinct(self) -> int:
        return DISTINCT_MAX if self._short else self._counted.num_rows if self._counted is not None else 0

    def _top(self, most: int) -> tuple[tuple[str, int], ...]:
        if self._counted is None or not self._counted.num_rows:
            return ()
        worded = self._counted.set_column(0, "value", _words(self._counted["value"]))
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

    def _add_typed(self, values: pa.Array, counts: np.ndarray, total: int) -> None:
        kind, numbers = _numbers(values)
        self._count_kind(kind, total)
        if numbers is not None:
            self._add_numbers(numbers, counts)

    def _add_numbers(self, numbers: np.ndarray, counts: np.ndarray) -> None:
        if not len(numbers):
            return
        least, most = numbers.min().item(), numbers.max().item()
        self._low = least if self._low is None else min(self._low, least)
        self._high = most if self._high is None else max(self._high, most)
        floats = numbers.astype(np.float64)
        every = np.repeat(floats, counts)
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
        return _finite(mean), _finite(math.sqrt(squares / count)) if count and squares >= 0 else None

    def _range(self, dtype: str) -> tuple[Scalar, Scalar]:
        if dtype in ("text", "categorical"):
            return _shown(self._text_low), _shown(self._text_high)
        if dtype in ("date", "timestamp"):
            return _iso(self._low, dtype), _iso(self._high, dtype)
        return (_whole(self._low, dtype), _whole(self._high, dtype)) if dtype in NUMBERS else (None, None)


def merged(one: ColumnProfile, other: ColumnProfile, *, points: int = POINTS, top: int = TOP) -> ColumnProfile:
    """The profile of both columns' rows together: counts, ranges and moments exactly, ranks within `rank_error`.

    `distinct` is exact where all levels of both are known, else the larger of the two: at least so many there are.
    """
    first, second = _counts(one), _counts(other)
    kinds = {kind: one.kinds.get(kind, 0) + other.kinds.get(kind, 0) for kind in sorted({*one.kinds, *other.kinds})}
    levels = {level: first.get(level, 0) + second.get(level, 0) for level in {*first, *second}}
    is_whole = len(first) == one.distinct and len(second) == other.distinct and not (one.top_error + other.top_error)
    best = tuple(sorted(levels.items(), key=lambda item: (-item[1], item[0]))[:top])
    rows, missing = one.rows + other.rows, one.missing + other.missing
    dtype = typed_as(list(kinds))
    if dtype == "text" and kinds.keys() == {"text"} and is_whole and 2 * len(levels) <= rows - missing:
        dtype = "categorical"
    between, error = _merged_points(one, other, points)
    mean, std = _merged_moments(one, other)
    keyed = [side for side in (one, other) if side.low is not None]
    is_text = dtype in ("text", "categorical")
    lows = [side.low for side in keyed if isinstance(side.low, str) == (is_text or dtype in ("date", "timestamp"))]
    highs = [side.high for side in keyed if isinstance(side.high, str) == (is_text or dtype in ("date", "timestamp"))]
    return ColumnProfile(
        one.name, dtype, one.stored if one.stored == other.stored else "mixed", rows, missing,
        len(levels) if is_whole else max(one.distinct, other.distinct), kinds,
        min(lows, default=None), max(highs, default=None), mean, std, between, error,  # type: ignore[type-var]  # Of one type: just chosen so.
        best, 0 if is_whole else max(_unseen(one), _unseen(other)) + one.top_error + other.top_error,
        max((side.length_max for side in (one, other) if side.length_max is not None), default=None),
    )  # fmt: skip


def _counts(column: ColumnProfile) -> dict[str, int]:
    return dict(column.top)


def _unseen(column: ColumnProfile) -> int:
    """How often a level may have been there that is not among the top ones."""
    return column.top[-1][1] if len(column.top) < column.distinct and column.top else 0


def _merged_points(one: ColumnProfile, other: ColumnProfile, most: int) -> tuple[tuple[tuple[float, int], ...], int]:
    sides = [side for side in (one, other) if side.points]
    if len(sides) < 2:
        return (sides[0].points, sides[0].rank_error) if sides else ((), 0)
    parts = []
    gaps = 0
    for side in sides:
        ranks = np.array([rank for _, rank in side.points], dtype=np.int64)
        steps = np.diff(ranks, prepend=0)
        parts.append((np.array([value for value, _ in side.points]), steps))
        gaps += int(steps.max()) + side.rank_error
    values, ranks = ranked(parts)
    wanted = np.unique(np.ceil(np.linspace(1, int(ranks[-1]), most)).astype(np.int64))
    places = np.unique(np.concatenate([[0], np.searchsorted(ranks, wanted, side="left")]))
    return tuple((float(values[place]), int(ranks[place])) for place in places), gaps


def _merged_moments(one: ColumnProfile, other: ColumnProfile) -> tuple[float | None, float | None]:
    if one.mean is None or other.mean is None or one.std is None or other.std is None:
        only = one if other.rows == other.missing else other if one.rows == one.missing else None
        return (only.mean, only.std) if only is not None else (None, None)
    n, m = one.rows - one.missing, other.rows - other.missing
    delta = other.mean - one.mean
    squares = n * one.std**2 + m * other.std**2 + delta * delta * n * m / (n + m)
    return _finite(one.mean + delta * m / (n + m)), _finite(math.sqrt(squares / (n + m)))


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


def moment_ms(word: str) -> float | None:
    """Milliseconds since 1970 of a date or a moment, of UTC where no zone is written; None where it is none."""
    try:
        moment = datetime.fromisoformat(word)
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) / timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None


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


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@overload
def _shown(word: str) -> str: ...
@overload
def _shown(word: None) -> None: ...
@overload
def _shown(word: str | None) -> str | None: ...
def _shown(word: str | None) -> str | None:
    return word if word is None or len(word) <= TEXT_SHOWN else word[:TEXT_SHOWN] + "…"
