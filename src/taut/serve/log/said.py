"""What is written down: the requests of one micro-batch and what a version answered, as one record of MessagePack."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from taut.errors import Invalid

Columns = dict[str, list[str | float | int | bool | None]]
Role = Literal["live", "canary", "shadow", "batch"]
EVERY_ROLE: tuple[Role, ...] = get_args(Role)

# Ids travel in URLs, headers and `ID.ROW`; what they may not hold would make those ambiguous or unprintable.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
EXACT = 2**53  # Whole numbers up to here are the same number as a float.
DIGEST_BYTES = 16


class Said(msgspec.Struct, array_like=True, frozen=True):
    """Answered requests, their columns one below the other: request `i` has the next `counts[i]` rows of each.

    `given` says whose id the caller chose, `digests` what those asked, empty for the others and until it is written.
    A column is a list or a numpy array; a cell of a tensor is a nested list.
    """

    ids: list[str]
    given: list[bool]
    counts: list[int]
    event_ms: list[int]
    at_ms: int
    latency_us: list[int]
    revision: int
    model: str
    number: int
    role: Role
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    digests: list[bytes] = []

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """Each request's place, its first row and the row after its last."""
        start = 0
        for place, count in enumerate(self.counts):
            yield place, start, start + count
            start += count


def pack(said: Said) -> bytes:
    """One record. Raises Invalid for what MessagePack cannot hold: a whole number past 64 bits, half a character."""
    try:
        return _encoder.encode(said)
    except (OverflowError, UnicodeEncodeError) as problem:
        raise Invalid(f"a value does not fit the prediction log: {problem}") from None


def unpack(record: bytes | memoryview) -> Said:
    """The record again, with lists for columns. Raises Invalid for bytes that are none."""
    try:
        return _decoder.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Invalid(f"a record of the prediction log cannot be read: {problem}") from None


def check_lengths(said: Said) -> None:
    """Raise Invalid where lists or columns do not fit each other."""
    requests, rows = len(said.ids), sum(said.counts)
    if requests and min(said.counts) < 1:
        raise Invalid("a request has no rows; there is nothing to write down")
    lists = (said.given, said.counts, said.event_ms, said.latency_us)
    if not requests or not said.inputs or not said.outputs or any(len(one) != requests for one in lists):
        raise Invalid(f"{requests} requests need as many times, counts and latencies, and columns of both kinds")
    for columns in (said.inputs, said.outputs):
        for name, values in columns.items():
            if len(values) != rows:
                raise Invalid(f"column {name!r} has {len(values)} values for {rows} rows")


def picked(said: Said, places: Sequence[int], *, but: frozenset[str] = frozenset()) -> Said:
    """The same with some of the requests, and without some columns of the input."""
    inputs = {name: values for name, values in said.inputs.items() if name not in but}
    if len(places) == len(said.ids):
        return msgspec.structs.replace(said, inputs=inputs)
    chosen = set(places)
    rows = [row for place, start, end in said.spans() if place in chosen for row in range(start, end)]
    return msgspec.structs.replace(
        said,
        ids=[said.ids[place] for place in places],
        given=[said.given[place] for place in places],
        counts=[said.counts[place] for place in places],
        event_ms=[said.event_ms[place] for place in places],
        latency_us=[said.latency_us[place] for place in places],
        inputs={name: _rows(values, rows) for name, values in inputs.items()},
        outputs={name: _rows(values, rows) for name, values in said.outputs.items()},
        digests=[said.digests[place] for place in places] if said.digests else [],
    )


def _rows(values: Any, rows: Sequence[int]) -> list[Any]:
    plain = plain_list(values)
    return [plain[row] for row in rows]


def columns_between(columns: Mapping[str, Any], start: int, end: int) -> Columns:
    """Some rows of columns, as plain lists, with None for NaN: a missing value is one whatever a model was given."""
    return {name: plain_cells(plain_list(values[start:end])) for name, values in columns.items()}


def plain_cells(values: list[Any]) -> list[Any]:
    """The same cells with None for NaN."""
    return [None if value != value else value for value in values]  # noqa: PLR0124  # Only NaN differs from itself.


def plain_list(values: Any) -> list[Any]:
    """A column as a list of Python's own values."""
    return list(values) if isinstance(values, list | tuple) else list(values.tolist())


def digests_of(columns: Mapping[str, Any], counts: Sequence[int], *, key: bytes = b"") -> list[bytes]:
    """What each request asks, in 16 bytes: the same for columns in another order, for 1 and 1.0, for None and NaN.

    >>> digests_of({"a": [1], "b": [None]}, [1]) == digests_of({"b": [float("nan")], "a": [1.0]}, [1])
    True
    """
    names = sorted(columns)
    rows = list(zip(*(_alike(plain_list(columns[name])) for name in names), strict=True))
    begun = hashlib.blake2b(_encoder.encode(names), digest_size=DIGEST_BYTES, key=key)
    found, start = [], 0
    for count in counts:
        hashed = begun.copy()
        hashed.update(_encoder.encode(rows[start] if count == 1 else rows[start : start + count]))
        found.append(hashed.digest())
        start += count
    return found


def _alike(values: list[Any]) -> list[Any]:
    """Cells as they are compared: whole numbers that a float holds as floats, what is no number as None."""
    kinds = set(map(type, values))
    if kinds <= {str, bool, type(None)}:
        return values
    if kinds == {float}:
        return [value if value == value else None for value in values]  # noqa: PLR0124  # Only NaN differs from itself.
    return [_one_alike(value) for value in values]


def _one_alike(value: Any) -> Any:
    if isinstance(value, float):
        return None if value != value else value  # noqa: PLR0124  # Only NaN differs from itself.
    if isinstance(value, int) and not isinstance(value, bool) and -EXACT <= value <= EXACT:
        return float(value)
    return _alike(value) if isinstance(value, list) else value


_encoder = msgspec.msgpack.Encoder(enc_hook=plain_list)
_decoder = msgspec.msgpack.Decoder(Said)
