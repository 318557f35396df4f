"""What a request asks and what goes back, whatever protocol it came in: columns, an id, an event time; bytes, headers.

Whether the columns are those of the model is for the model to say, which looks at them once for all requests that it
answers together. Here only lists, shapes and names are looked at, and the datatypes that a caller declares.
"""

import re
from typing import Any

import msgspec

from taut.errors import Invalid, TooLarge, Unsupported
from taut.ground.clock import moment_ms
from taut.models.inputs import Cell

Columns = dict[str, list[Cell]]
"""Lists of one length. A cell of a tensor of more dimensions is a nested list, which the types leave out."""

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
Headers = tuple[tuple[bytes, bytes], ...]

# Ids travel in URLs, headers and `ID.ROW`; what they may not hold would make those ambiguous or unprintable.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
CELLS_MAX = 2_000_000  # Read one by one: they take a second, in which a front answers nobody else, and some 200 MB.
MOMENT_DIGITS_MAX = 15  # Milliseconds up to the year 30,000; longer is no time, and Python refuses to read thousands.


class Request(msgspec.Struct, frozen=True):
    """Rows to predict. `id` is empty where the caller gave none; `outputs` names those wanted, empty for all.

    `params` are for the model itself. The answer goes back as JSON, or as an Arrow stream, or with raw tensors:
    `binary` says it of all outputs, `otherwise` names those of which the contrary was asked.
    """

    columns: Columns
    id: str = ""
    event_ms: int | None = None
    outputs: tuple[str, ...] = ()
    params: dict[str, Any] = {}
    arrow: bool = False
    binary: bool = False
    otherwise: frozenset[str] = frozenset()


class Body(msgspec.Struct, frozen=True):
    """What goes back: bytes, their type, and headers beside it."""

    data: bytes
    content_type: bytes = JSON.encode()
    headers: Headers = ()


def must_be_few(cells: int) -> None:
    """Raise TooLarge for more values than one request may have."""
    if cells > CELLS_MAX:
        raise TooLarge(f"the request has some {cells} values; it may have {CELLS_MAX}, more is for `taut batch`")


def must_have_few(body: bytes, marks: tuple[bytes, ...] = (b",",)) -> None:
    """Raise TooLarge for text with more values than one request may have, told by what stands between them.

    It costs a millisecond for 16 MiB, and nothing for bodies that cannot have so many.
    """
    if len(body) > CELLS_MAX:
        must_be_few(sum(map(body.count, marks)))


def decoded(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    """JSON by a decoder made once. Raises Invalid with the place of what is wrong."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Invalid(f"the request cannot be read: {problem!s:.300}") from None


def must_be_plain(content_encoding: str) -> None:
    """Raise Unsupported for a compressed body, by its header Content-Encoding: a small one may unpack to any size."""
    if content_encoding.strip().lower() not in ("", "identity"):
        raise Unsupported(f"the body is written in {content_encoding!r:.40}; send it as it is")


def checked_id(written: str) -> str:
    """A request id that the caller chose, empty for none. Raises Invalid."""
    if written and REQUEST_ID.fullmatch(written) is None:
        raise Invalid(f"{written[:200]!r} cannot be a request id; take up to 128 letters, digits and ._:/+=@-")
    return written


def event_time(written: object) -> int | None:
    """When what a request speaks of happened: ISO 8601 or milliseconds since 1970; None where nothing is said."""
    if written is None or written == "":
        return None
    if isinstance(written, bool) or not isinstance(written, int | str):
        raise Invalid(f"event_time is {written!r:.80}; write ISO 8601, as 2013-04-01T05:00Z, or whole milliseconds")
    return written if isinstance(written, int) else moment_ms(written)


def event_time_of_header(written: str) -> int | None:
    """The same from a header, where digits alone are milliseconds."""
    is_number = written.isdecimal() and len(written) <= MOMENT_DIGITS_MAX
    return event_time(int(written) if is_number else written)
