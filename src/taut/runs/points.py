"""Points of a metric: one as a record, thousands packed into a chunk of bytes with a summary that a chart can read."""

import math
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from operator import sub

import msgspec

from taut.errors import Corrupt

BLOCK = 256  # Points that one summary entry stands for: a chart of a million points reads some 8,000 of these.
INT64_MAX = 2**63 - 1
TYPES = {"b": 2**7 - 1, "h": 2**15 - 1, "i": 2**31 - 1, "q": INT64_MAX}  # Signed integers of 1, 2, 4 and 8 bytes.

Place = tuple[int, int]
Triple = tuple[int, int, float | None]
"""Step, time in milliseconds, value: what a series is made of; None is not-a-number."""


class MetricPoint(msgspec.Struct, frozen=True):
    """One measured value of a metric; `model_id` and the dataset name what it was measured on, if anything.

    Not-a-number becomes None and an infinity the largest number, as MLflow has them: JSON and SQLite know neither.

    >>> MetricPoint("loss", float("nan")).value, MetricPoint("loss", float("-inf")).value
    (None, -1.7976931348623157e+308)
    """

    key: str
    value: float | None
    step: int = 0
    at_ms: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            largest = math.copysign(sys.float_info.max, self.value)
            msgspec.structs.force_setattr(self, "value", None if math.isnan(self.value) else largest)

    def measured_on(self, model_id: str) -> "MetricPoint":
        """The same point of another logged model, or of none."""
        return msgspec.structs.replace(self, model_id=model_id)


def rank(point: Triple) -> tuple[int, int, bool, float]:
    """What orders points: step, then time, then value; not-a-number is below every number."""
    step, at_ms, value = point
    return step, at_ms, value is not None, value or 0.0


def in_order(points: Sequence[Triple]) -> list[Triple]:
    """Points by rank, each once."""
    if len(points) == 1:
        return list(points)
    return [point for point, before in _pairs(sorted(points, key=rank)) if point != before]


def pack(points: Sequence[Triple]) -> bytes:
    """Points in order as bytes: columns, whole numbers as differences in the fewest bytes that hold them all.

    A point of a loop that counts its steps costs about 10 bytes: 8 of its value, one or two of its time.

    >>> unpack(pack([(0, 5, 0.5), (1, 9, None)]))
    [(0, 5, 0.5), (1, 9, None)]
    """
    steps, times, values = zip(*points, strict=True)
    body = array("d", [math.nan if value is None else value for value in values])
    return b"".join((len(points).to_bytes(4, "little"), _packed(steps), _packed(times), _little(body)))


def unpack(data: bytes) -> list[Triple]:
    """The points of a chunk. Raises Corrupt for bytes that are none."""
    try:
        count = int.from_bytes(data[:4], "little")
        steps, at = _unpacked(data, 4, count)
        times, at = _unpacked(data, at, count)
        body = array("d")
        body.frombytes(data[at:])
    except (ValueError, IndexError):
        raise Corrupt("a chunk of a metric cannot be read", hint="taut fsck") from None
    if len(body) != count:
        raise Corrupt(f"a chunk of a metric holds {len(body)} values where it says {count}", hint="taut fsck")
    _little(body, back=True)
    values: list[float | None] = body.tolist()  # type: ignore[assignment]  # Not-a-number is replaced below.
    if any(value != value for value in values):  # noqa: PLR0124  # Only not-a-number differs from itself.
        values = [None if value != value else value for value in values]  # noqa: PLR0124
    return list(zip(steps, times, values, strict=True))


def summarize(points: Sequence[Triple]) -> bytes:
    """The lowest and the highest point of each block, packed; a block of not-a-numbers gives its first point."""
    extremes: list[Triple] = []
    for start in range(0, len(points), BLOCK):
        extremes += extremes_of(points[start : start + BLOCK])
    return pack(extremes)


def extremes_of(points: Sequence[Triple]) -> list[Triple]:
    """The lowest and the highest of some points, in their order; one where they are the same.

    >>> extremes_of([(0, 0, 2.0), (1, 0, 9.0), (2, 0, None), (3, 0, 1.0)])
    [(1, 0, 9.0), (3, 0, 1.0)]
    """
    values = [point[2] for point in points]
    numbers = values if None not in values else [value for value in values if value is not None]
    if not numbers:
        return list(points[:1])
    low, high = values.index(min(numbers)), values.index(max(numbers))  # type: ignore[type-var]  # No None is left.
    return [points[index] for index in sorted({low, high})]


def sampled(points: Sequence[Triple], at_most: int) -> list[Triple]:
    """Points to draw a line of: of each of equal groups the lowest and highest, and the first and last of all.

    >>> sampled([(step, 0, float(step % 10)) for step in range(100)], 6)
    [(0, 0, 0.0), (9, 0, 9.0), (50, 0, 0.0), (59, 0, 9.0), (99, 0, 9.0)]
    """
    if len(points) <= at_most or not points:
        return list(points)
    groups = max(1, (at_most - 2) // 2)
    bounds = [len(points) * number // groups for number in range(groups + 1)]
    chosen = [points[0]]
    for start, end in pairwise(bounds):
        chosen += extremes_of(points[start:end])
    chosen.append(points[-1])
    return [point for point, before in _pairs(chosen) if point != before][:at_most]


def _pairs(points: Sequence[Triple]) -> Iterator[tuple[Triple, Triple | None]]:
    yield from zip(points, [None, *points], strict=False)


def _packed(numbers: Sequence[int]) -> bytes:
    """The first number, the kind of the differences, and the differences."""
    steps = list(map(sub, numbers[1:], numbers))
    low, high = (min(steps), max(steps)) if steps else (0, 0)
    if low < -INT64_MAX or high > INT64_MAX:  # From the lowest to the highest there is: as they are.
        return b"=" + _little(array("q", numbers))
    kind = next(kind for kind, largest in TYPES.items() if -largest <= low and high <= largest)
    return kind.encode() + numbers[0].to_bytes(8, "little", signed=True) + _little(array(kind, steps))


def _unpacked(data: bytes, at: int, count: int) -> tuple[Iterable[int], int]:
    kind = data[at : at + 1].decode("ascii")
    if kind == "=":
        end = at + 1 + 8 * count
        whole = array("q", data[at + 1 : end])
        _little(whole, back=True)
        return whole, end
    first = int.from_bytes(data[at + 1 : at + 9], "little", signed=True)
    steps = array(kind if kind in TYPES else "?")
    end = at + 9 + steps.itemsize * (count - 1)
    steps.frombytes(data[at + 9 : end])
    _little(steps, back=True)
    return accumulate(steps, initial=first), end


def _little(numbers: "array[int] | array[float]", *, back: bool = False) -> bytes:
    """The bytes with the lowest first, on every machine; `back` only turns round what was read."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return b"" if back else numbers.tobytes()
