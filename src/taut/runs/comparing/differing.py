"""How two files differ: leaf by leaf, each difference with what it is evidence of, and whether it is of the content."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from taut.runs.comparing.arrays import largest_difference
from taut.runs.comparing.leaves import Aside, Leaf, Leaves, Numbers, Rows
from taut.runs.comparing.reading import take_apart
from taut.runs.comparing.tables import row_difference, same_rows

SHOWN = 80  # Characters of a value in a sentence.
DIFFERENCES_MAX = 200  # Kept of one file; the rest would say the same.
SLACK_MS = 5_000  # A clock may be read a little before the run is said to begin.
ZONE_MS, DAY_MS = 900_000, 86_400_000  # Local times are quarter hours off, by less than a day.
ADDRESS_MIN, ADDRESS_MAX = 1 << 32, 1 << 47  # Where a process of 64 bits has its objects.
UNITS = {1: 1000.0, 1000: 1.0, 1_000_000: 1e-3, 1_000_000_000: 1e-6}  # How many a second -> milliseconds of one.

ADDRESS_NAME = re.compile(r"(^|_)(id|ids|addr|address|ptr|pointer)_?$")
DURATION_NAME = re.compile(
    r"((^|_)(fit|refit|score|scoring|train|training|predict|prediction|wall|cpu|run|eval|evaluation|build|epoch|step)_?time"
    r"|(^|_)(elapsed|duration|runtime))(_?(s|ms|us|sec|secs|seconds))?_?$",
    re.IGNORECASE,
)
"""What programs call the time that something took; a survival time or an update rate is none of these."""
BEFORE_DURATION = re.compile(r"\b(took|elapsed|duration|time)\W{0,3}$", re.IGNORECASE)
AFTER_DURATION = re.compile(r"^ ?(s|ms|us|secs?|seconds?|it/s|s/it)\b")
UUID = r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
STAMP = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
CTIME = r"[A-Z][a-z]{2},? +(?:[A-Z][a-z]{2} +\d{1,2}|\d{1,2} [A-Z][a-z]{2}) [\d: ]{4,16}(?: ?GMT)?"
CLOCK = r"\d{1,2}:\d\d:\d\d(?:[.,]\d+)?"
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
TOKEN = re.compile(rf"{UUID}|{STAMP}|{CTIME}|{CLOCK}|0x[0-9a-f]+|{NUMBER}|\w+|.", re.DOTALL | re.IGNORECASE)


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
        """A text with this run's own names taken out."""
        for own, shared in self.names:
            text = text.replace(own, shared)
        return text


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
        is_content = DURATION_NAME.search(_last(path)) is None
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
    first, second = TOKEN.findall(before), TOKEN.findall(after)
    if len(first) != len(second):
        return "value", True, None
    found: list[tuple[str, bool, float | None]] = []
    for at, (word, changed) in enumerate(zip(first, second, strict=True)):
        if word != changed:
            kind, is_content, gap = _words(path, word, changed, one, other)
            if gap is not None and _is_duration("".join(first[max(0, at - 4) : at]), "".join(first[at + 1 : at + 5])):
                kind, is_content = "time", False
            found.append((kind, is_content, gap))
    # The worst of them speaks for the text.
    return max(found, key=lambda said: (said[1], said[0] == "value"))


def _is_duration(before: str, after: str) -> bool:
    """Whether the words around a number say that it is how long something took."""
    return BEFORE_DURATION.search(before) is not None or AFTER_DURATION.search(after) is not None


def _words(path: str, word: str, changed: str, one: Side, other: Side) -> tuple[str, bool, float | None]:
    if re.fullmatch(UUID, word, re.IGNORECASE) and re.fullmatch(UUID, changed, re.IGNORECASE):
        return "uuid", True, None
    if word.startswith("0x") and changed.startswith("0x"):
        is_address = ADDRESS_MIN <= int(word, 16) < ADDRESS_MAX and ADDRESS_MIN <= int(changed, 16) < ADDRESS_MAX
        return ("memory address", False, None) if is_address else ("value", True, None)
    if _in_its_run(word, one) and _in_its_run(changed, other):
        return "time", False, None
    before, after = _number(word), _number(changed)
    return ("value", True, None) if before is None or after is None else _scalars(path, before, after, one, other)


def _scalars(path: str, before: float, after: float, one: Side, other: Side) -> tuple[str, bool, float | None]:
    name = _last(path)
    if _is_moment(before, one) and _is_moment(after, other):
        return "time", False, None
    if isinstance(before, int) and isinstance(after, int) and _is_address(before) and _is_address(after):
        return "memory address", ADDRESS_NAME.search(name) is None, None
    gap = abs(float(before) - float(after)) if abs(before) < 1e300 and abs(after) < 1e300 else math.inf
    if float in (type(before), type(after)) and DURATION_NAME.search(name):
        return "time", False, gap
    if math.isnan(before) and math.isnan(after):
        return "how it was written", False, 0.0
    return "numbers", before != after or type(before) is not type(after), None if math.isnan(gap) else gap


def _opaque(before: bytes, after: bytes, one: Side, other: Side) -> tuple[str, bool]:
    """Bytes that no reader knows: still the same where only the names of their runs differ."""
    for side, shared in one.names:
        before = before.replace(side.encode(), shared.encode())
    for side, shared in other.names:
        after = after.replace(side.encode(), shared.encode())
    return ("name of the run or its folder", False) if before == after else ("value", True)


def _is_address(value: int) -> bool:
    return ADDRESS_MIN <= value < ADDRESS_MAX and value % 8 == 0


def _is_moment(value: float, side: Side) -> bool:
    """Whether a number is a time in seconds, milli-, micro- or nanoseconds at which the run was going on."""
    return any(side.covers(value * factor) for factor in UNITS.values())


def _in_its_run(word: str, side: Side) -> bool:
    """Whether a word writes a moment of the run, in whatever time zone."""
    if side.end_ms <= 0:
        return False
    if re.fullmatch(CTIME, word):
        return True  # A date in words is not parsed in all its forms; nothing else is written so.
    if re.fullmatch(CLOCK, word):
        day = datetime.fromtimestamp(side.start_ms / 1000, UTC).date().isoformat()
        return _near(f"{day}T{word.zfill(8) if '.' not in word else word}", side)
    return re.fullmatch(STAMP, word) is not None and _near(word, side)


def _near(stamp: str, side: Side) -> bool:
    try:
        moment = datetime.fromisoformat(stamp.replace(" ", "T", 1).replace(",", "."))
    except ValueError:
        return False
    at_ms = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000
    if side.covers(at_ms):
        return True
    middle, half = (side.start_ms + side.end_ms) / 2, (side.end_ms - side.start_ms) / 2 + SLACK_MS
    off = abs(at_ms - middle)
    return off < DAY_MS and min(off % ZONE_MS, ZONE_MS - off % ZONE_MS) <= half


def _last(path: str) -> str:
    """The last name of a path: `.model.fitted_at` -> `fitted_at`; skops wraps every value in `content`."""
    names = [name for name in re.split(r"[.\[\]!:]", path) if name and name != "content"]
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
