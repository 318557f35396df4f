"""How two files differ: leaf by leaf, each difference with what it is evidence of, and whether it is of the content."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from struct import iter_unpack
from typing import Literal

from taut.runs.comparing.arrays import FORMATS, largest_difference
from taut.runs.comparing.leaves import Aside, Leaf, Leaves, Numbers, Rows
from taut.runs.comparing.reading import take_apart
from taut.runs.comparing.tables import row_difference, same_rows

AROUND = 24  # Characters before and behind a word that say what it is.
SHOWN = 80  # Characters of a value in a sentence.
DIFFERENCES_MAX = 200  # Kept of one file; the rest would say the same.
ROUNDED_MS = 1_000  # Durations are written in whole seconds by some.
SLACK_MS = 5_000  # A clock may be read a little before the run is said to begin.
ZONE_MS, DAY_MS = 900_000, 86_400_000  # Local times are quarter hours off,
ZONES_MAX = 56  # and by no more than fourteen hours.
ADDRESS_MIN, ADDRESS_MAX = 1 << 32, 1 << 47  # Where a process of 64 bits has its objects.
UNITS = {1: 1000.0, 1000: 1.0, 1_000_000: 1e-3, 1_000_000_000: 1e-6}  # How many a second -> milliseconds of one.

ADDRESS_NAMES = frozenset({"_stop_words_id"})
"""Attributes in which a library keeps the address of an object (scikit-learn's text vectorizers). Others hold ids."""
DURATION_NAME = re.compile(
    r"((^|_)(fit|refit|score|scoring|train|training|predict|prediction|wall|cpu|run|eval|evaluation|build|epoch|step)_?time"
    r"|(^|_)(elapsed|duration|runtime))(_?(?P<unit>s|ms|us|sec|secs|seconds))?_?$",
    re.IGNORECASE,
)
"""What programs call the time that something took; a survival time or an update rate is none of these."""
BEFORE_DURATION = re.compile(r"\b(took|elapsed|duration|time)\W{0,3}$", re.IGNORECASE)
AFTER_DURATION = re.compile(r"^ ?(s|ms|us|secs?|seconds?|it/s|s/it)\b")
MILLISECONDS = {"ms": 1.0, "us": 1e-3}  # Of a unit; a second without one.
# Of a version and variant (RFC 9562): 32 digits are rather a digest of something. (Versions 4 and 7 where undashed.)
UUID = (
    r"(?<![0-9a-f])(?:[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|[0-9a-f]{12}[47][0-9a-f]{3}[89ab][0-9a-f]{15})(?![0-9a-f])"
)
STAMP = r"\d{4}([-:])\d\d\1\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
COMPACT = r"(?<!\d)20\d{6}[T_-]?\d{6}Z?(?!\d)"
CTIME = r"[A-Z][a-z]{2},? +(?:[A-Z][a-z]{2} +\d{1,2}|\d{1,2} [A-Z][a-z]{2}) [\d: ]{4,16}(?: ?GMT)?"
CLOCK = r"\d{1,2}:\d\d:\d\d(?:[.,]\d+)?"
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
TOKEN = re.compile(
    rf"{UUID}|{STAMP}|{COMPACT}|{CTIME}|{CLOCK}|0x[0-9a-f]+|{NUMBER}|[^\W\d_]+|.", re.DOTALL | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Side:
    """What is known of one of two runs: when it ran, and which texts of it read otherwise in the files of the other.

    `names` are texts (its id, its folder) with what they stand for; `end_ms` 0 means that nobody knows when it ran.
    """

    start_ms: int = 0
    end_ms: int = 0
    names: tuple[tuple[str, str], ...] = ()

    def covers(self, at_ms: float) -> bool:
        """Whether the run was going on then."""
        return self.start_ms - SLACK_MS <= at_ms <= self.end_ms + SLACK_MS and self.end_ms > 0

    def plain(self, text: str) -> str:
        """A text with this run's own names taken out; what stands for them no text can hold."""
        for own, shared in self.names:
            text = text.replace(own, f"\0{shared}\0")
        return text

    def lasted(self, duration_ms: float) -> bool:
        """Whether something within the run can have taken that long."""
        return 0 <= duration_ms <= self.end_ms - self.start_ms + ROUNDED_MS and self.end_ms > 0


@dataclass(frozen=True, slots=True)
class Difference:
    """One place in a file where two runs differ; `is_content` is False for what only the moment or packing wrote."""

    path: str
    kind: str
    before: str
    after: str
    is_content: bool
    gap: float | None = None
    """The largest absolute difference of its numbers, where these are all that differ."""


@dataclass(frozen=True, slots=True)
class FileComparison:
    """Two files of one name: the same bytes, the same content, the same rows in another order, or different."""

    path: str
    verdict: Literal["bytes", "content", "rows", "different", "missing"]
    differences: tuple[Difference, ...] = field(default=())

    @property
    def is_same(self) -> bool:
        """Whether nothing of the content differs."""
        return self.verdict in ("bytes", "content")

    @property
    def first(self) -> Difference | None:
        """The first difference of content, else the first one."""
        content = (one for one in self.differences if one.is_content)
        return next(content, next(iter(self.differences), None))


def compare_files(path: str, before: bytes, after: bytes, one: Side, other: Side) -> FileComparison:
    """Hold two versions of a file against each other by what they hold.

    >>> compare_files("a.json", b'{"a": 1, "b": 2}', b'{"b": 2, "a": 1}', Side(), Side()).verdict
    'content'
    """
    if before == after:
        return FileComparison(path, "bytes")
    first, second = take_apart(path, before), take_apart(path, after)
    found: list[Difference] = []
    for difference in _differences(first, second, one, other):
        found.append(difference)
        if len(found) >= DIFFERENCES_MAX and any(difference.is_content for difference in found):
            break
    content = [difference for difference in found if difference.is_content]
    if not found:
        found = [Difference("", "how it was packed", f"{len(before)} bytes", f"{len(after)} bytes", False)]
    if not content:
        return FileComparison(path, "content", tuple(found[:DIFFERENCES_MAX]))
    rows = all(difference.kind.startswith("row order") for difference in content)
    return FileComparison(path, "rows" if rows else "different", tuple(found[:DIFFERENCES_MAX]))


def _differences(first: Leaves, second: Leaves, one: Side, other: Side) -> Iterator[Difference]:
    for path in (*first, *(path for path in second if path not in first)):
        if path not in first or path not in second:
            leaf = first.get(path, second.get(path))
            there = ("-", _shown(leaf)) if path not in first else (_shown(leaf), "-")
            yield Difference(path, "value", *there, is_content=not isinstance(leaf, Aside))
            continue
        before, after = first[path], second[path]
        if before != after or type(before) is not type(after):
            yield from _one(path, before, after, one, other)


def _one(path: str, before: Leaf, after: Leaf, one: Side, other: Side) -> Iterator[Difference]:
    kind, is_content, gap = "value", True, None
    if isinstance(before, Aside) and isinstance(after, Aside):
        kind, is_content = before.kind, False
    elif isinstance(before, Numbers) and isinstance(after, Numbers):
        gap = largest_difference(before, after)
        if gap == 0.0:
            return  # Two zeros or two NaN that are written differently.
        is_content = not (_are_durations(path, before, one) and _are_durations(path, after, other))
        kind = "time" if not is_content else "value" if gap is None else "numbers"
    elif isinstance(before, Rows) and isinstance(after, Rows):
        yield from _tables(path, before, after, one, other)
        return
    elif isinstance(before, str) and isinstance(after, str):
        kind, is_content, gap = _texts(path, one.plain(before), other.plain(after), one, other)
        if not kind:
            kind, is_content = "name of the run or its folder", False
    elif isinstance(before, int | float) and isinstance(after, int | float):
        kind, is_content, gap = _scalars(path, before, after, one, other)
    elif isinstance(before, bytes) and isinstance(after, bytes):
        kind, is_content = _opaque(before, after, one, other)
    yield Difference(path, kind, _shown(before), _shown(after), is_content, gap)


def _tables(path: str, before: Rows, after: Rows, one: Side, other: Side) -> Iterator[Difference]:
    gap = same_rows(before, after)
    if gap is not None:
        exact = sorted(before.rows) == sorted(after.rows)
        kind = "row order" if exact else "row order, sums in the last digits"
        at = next(at for at, pair in enumerate(zip(before.rows, after.rows, strict=True)) if pair[0] != pair[1])
        moved = row_difference(before.rows[at], after.rows[at]) is None
        kind = kind if moved or exact else "numbers"
        yield Difference(f"{path}:{at + 1}", kind, _shown(before.rows[at]), _shown(after.rows[at]), True, gap)
        return
    if before.columns != after.columns or len(before.rows) != len(after.rows):
        told = [f"{len(rows.rows)} rows of {', '.join(rows.columns)}" for rows in (before, after)]
        yield Difference(path, "value", _shown(told[0]), _shown(told[1]), True)
        return
    for at, (first, second) in enumerate(zip(before.rows, after.rows, strict=True), 1):
        for column, cell, changed in zip(before.columns, first, second, strict=True):
            if cell != changed:
                kind, is_content, apart = _texts(column, one.plain(cell), other.plain(changed), one, other)
                if kind:
                    yield Difference(f"{path}:{at}.{column}", kind, _shown(cell), _shown(changed), is_content, apart)


def _texts(path: str, before: str, after: str, one: Side, other: Side) -> tuple[str, bool, float | None]:
    """What differs between two texts, word by word: its kind ('' for nothing), whether it is content, how far apart."""
    if before == after:
        return "", False, None
    first, second = _tokens(before), _tokens(after)
    if len(first) != len(second):
        return "value", True, None
    ends = list(accumulate(map(len, first)))
    found: list[tuple[str, bool, float | None]] = []
    for word, changed, end in zip(first, second, ends, strict=True):
        if word != changed:
            around = before[max(0, end - len(word) - AROUND) : end - len(word)], before[end : end + AROUND]
            found.append(_words(path, word, changed, one, other, around))
    # The worst of them speaks for the text.
    return max(found, key=lambda said: (said[1], said[0] == "value"))


def _tokens(text: str) -> list[str]:
    return [found[0] for found in TOKEN.finditer(text)]


def _words(
    path: str, word: str, changed: str, one: Side, other: Side, around: tuple[str, str]
) -> tuple[str, bool, float | None]:
    """What differs between two words; `around` are the texts before and behind the first of them."""
    if re.fullmatch(UUID, word, re.IGNORECASE) and re.fullmatch(UUID, changed, re.IGNORECASE):
        return "uuid", True, None
    if word.startswith("0x") and changed.startswith("0x"):
        is_address = _is_address(int(word, 16)) and _is_address(int(changed, 16))
        # Python's own `<Thing object at 0x7f…>` says that it is one; any other number may mean something.
        is_told = around[0].endswith(" at ") and around[1].startswith(">")
        return ("memory address" if is_address else "value", not (is_address and is_told), None)
    if _are_moments(word, changed, one, other):
        return "time", False, None
    before, after = _number(word), _number(changed)
    if before is None or after is None:
        return "value", True, None
    if (unit := _unit_of_duration(around)) and one.lasted(before * unit) and other.lasted(after * unit):
        return "time", False, abs(before - after)
    return _scalars(path, before, after, one, other)


def _unit_of_duration(around: tuple[str, str]) -> float:
    """Milliseconds of a unit where the words around a number say that it is how long something took, else 0."""
    behind = AFTER_DURATION.search(around[1])
    if behind is None and BEFORE_DURATION.search(around[0]) is None:
        return 0.0
    return MILLISECONDS.get(behind[1] if behind else "", 1000.0)


def is_duration(name: str, value: float, side: Side) -> bool:
    """Whether a number is how long something took, by its name, and the run was long enough for it."""
    named = DURATION_NAME.search(name)
    return named is not None and side.lasted(value * MILLISECONDS.get((named["unit"] or "").lower(), 1000.0))


def _are_durations(path: str, numbers: Numbers, side: Side) -> bool:
    form = FORMATS.get(numbers.dtype.lstrip("<=|"))
    if form not in ("d", "f") or DURATION_NAME.search(_last(path)) is None:
        return False
    return all(is_duration(_last(path), value, side) for (value,) in iter_unpack(f"<{form}", numbers.data))


def _scalars(path: str, before: float, after: float, one: Side, other: Side) -> tuple[str, bool, float | None]:
    name = _last(path)
    if _is_moment(before, one) and _is_moment(after, other):
        return "time", False, None
    if isinstance(before, int) and isinstance(after, int) and _is_address(before) and _is_address(after):
        return "memory address", name not in ADDRESS_NAMES, None
    gap = abs(float(before) - float(after)) if abs(before) < 1e300 and abs(after) < 1e300 else math.inf
    if is_duration(name, before, one) and is_duration(name, after, other):
        return "time", False, gap
    if math.isnan(before) and math.isnan(after):
        return "how it was written", False, 0.0
    return "numbers", before != after or type(before) is not type(after), None if math.isnan(gap) else gap


def _opaque(before: bytes, after: bytes, one: Side, other: Side) -> tuple[str, bool]:
    """Bytes that no reader knows: still the same where only the names of their runs differ."""
    for side, shared in one.names:
        before = before.replace(side.encode(), f"\0{shared}\0".encode())
    for side, shared in other.names:
        after = after.replace(side.encode(), f"\0{shared}\0".encode())
    return ("name of the run or its folder", False) if before == after else ("value", True)


def _is_address(value: int) -> bool:
    return ADDRESS_MIN <= value < ADDRESS_MAX and value % 8 == 0


def _is_moment(value: float, side: Side) -> bool:
    """Whether a number is a time in seconds, milli-, micro- or nanoseconds at which the run was going on."""
    return any(side.covers(value * factor) for factor in UNITS.values())


def _are_moments(word: str, changed: str, one: Side, other: Side) -> bool:
    """Whether both words write a moment of their own run, in one and the same time zone."""
    here, there = _zones(word, one), _zones(changed, other)
    return bool(here and there) and max(here.start, there.start) < min(here.stop, there.stop)


def _zones(word: str, side: Side) -> range:
    """The time zones, in quarter hours east of Greenwich, in which a word writes a moment of the run."""
    if side.end_ms <= 0:
        return range(0)
    if re.fullmatch(CLOCK, word):
        at_ms = _clock_ms(word) + side.start_ms // DAY_MS * DAY_MS
        near = (_quarters(at_ms + day * DAY_MS, side) for day in (-1, 0, 1))
        return next((found for found in near if found), range(0))
    moment = _moment(word)
    if moment is None:
        return range(0)
    if moment.tzinfo is not None:
        return range(1) if side.covers(moment.timestamp() * 1000) else range(0)
    return _quarters(moment.replace(tzinfo=UTC).timestamp() * 1000, side)


def _quarters(at_ms: float, side: Side) -> range:
    low = math.ceil((at_ms - side.end_ms - SLACK_MS) / ZONE_MS)
    high = math.floor((at_ms - side.start_ms + SLACK_MS) / ZONE_MS)
    return range(max(low, -ZONES_MAX), min(high, ZONES_MAX) + 1)


def _clock_ms(word: str) -> float:
    hours, minutes, seconds = word.replace(",", ".").split(":")
    return (int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000


def _moment(word: str) -> datetime | None:
    """The moment that a word writes, without a zone where it names none; None where it writes no moment."""
    try:
        if re.fullmatch(STAMP, word):
            return datetime.fromisoformat(f"{word[:10].replace(':', '-')}T{word[11:]}".replace(",", "."))
        if re.fullmatch(COMPACT, word):
            return _written(re.sub(r"[T_-]", "", word.removesuffix("Z")), "%Y%m%d%H%M%S")
        if re.fullmatch(CTIME, word, re.IGNORECASE):
            text = word.removesuffix("GMT").strip()
            return _written(text, "%a, %d %b %Y %H:%M:%S" if "," in text else "%a %b %d %H:%M:%S %Y")
    except ValueError:
        return None
    return None


def _written(text: str, form: str) -> datetime:
    return datetime.strptime(text, form)  # noqa: DTZ007  # Its zone is what is asked for.


def _last(path: str) -> str:
    """The last name of a path: `.model.fitted_at` -> `fitted_at`; skops wraps every value in `content`."""
    names = [name for name in re.split(r"[.\[\]!:\"]", path) if name and name != "content"]
    return names[-1] if names else ""


def _number(word: str) -> int | float | None:
    try:
        return int(word) if word.lstrip("+-").isdecimal() else float(word)
    except ValueError:
        return None


def _shown(leaf: object) -> str:
    if isinstance(leaf, Aside):
        return _shown(leaf.value)
    if isinstance(leaf, Numbers):
        return f"{leaf.dtype}{list(leaf.shape)} {leaf.data[:8].hex()}…"
    if isinstance(leaf, Rows):
        return f"{len(leaf.rows)} rows"
    text = leaf if isinstance(leaf, str) else repr(leaf)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
