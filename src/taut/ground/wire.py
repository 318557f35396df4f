"""How values leave the process: JSON of plain data classes, one canonical form, strict on the way in."""

import hashlib
from typing import Any, TypeVar

import msgspec

from taut.errors import Invalid

T = TypeVar("T")

_encoder = msgspec.json.Encoder(order="deterministic")


def encode(value: object) -> bytes:
    """JSON bytes of data classes, lists, dicts and scalars; keys sorted, so equal values give equal bytes.

    >>> encode({"b": 1, "a": [None, 0.5]})
    b'{"a":[null,0.5],"b":1}'

    Raises Invalid for text that is none, as an argument of the command line with bytes that are not UTF-8.
    """
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError as problem:
        raise Invalid(f"{problem.object[:80]!r} holds bytes that are not UTF-8, so it cannot be kept as text") from None


def text(value: object) -> str:
    """The same as a string, for a column of a row."""
    return encode(value).decode()


def decode(data: bytes | str, into: type[T], *, what: str = "value") -> T:
    """Parse JSON into a type and check it; Invalid names `what` and the place in it."""
    try:
        return msgspec.json.decode(data, type=into)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Invalid(f"{what} cannot be read: {problem}") from None


def plain(value: object) -> Any:
    """Data classes as dicts and lists, ready for any serialiser."""
    return msgspec.to_builtins(value)


def convert(value: object, into: type[T], *, what: str = "value") -> T:
    """Check and convert plain dicts and lists into a type; Invalid names `what` and the place in it."""
    try:
        return msgspec.convert(value, type=into)
    except msgspec.ValidationError as problem:
        raise Invalid(f"{what} is not valid: {problem}") from None


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(encode(value)).hexdigest()
