"""Whole numbers of 64 bits: what every store can keep, told before a driver meets one that it cannot."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass

import msgspec

from taut.errors import Invalid

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
DIGITS_SHOWN = 40
# Only JSON with so many digits in a row can hold a number past 64 bits; nearly none has.
LONG = re.compile(rb"[0-9]{19}")


def read_whole(written: str, *, what: str) -> int:
    """The whole number that decimal digits write. Raises Invalid past 64 bits, and where they are none.

    >>> read_whole("3", what="version")
    3
    """
    if not written.isdecimal():
        raise Invalid(f"{what} {written[:DIGITS_SHOWN]!r} is no whole number")
    digits = written.lstrip("0") or "0"
    if len(digits) > len(str(INT64_MAX)) or int(digits) > INT64_MAX:
        raise _past(what, written)
    return int(digits)


def is_past(value: object) -> bool:
    """Whether a value is a whole number that takes more than 64 bits.

    >>> is_past(2**63), is_past(2**63 - 1), is_past(1e30)
    (True, False, False)
    """
    return type(value) is int and not INT64_MIN <= value <= INT64_MAX


def check_whole(name: str, value: object) -> None:
    """Raise Invalid where a value is a whole number past 64 bits; `name` is what its sender calls it."""
    if isinstance(value, int) and is_past(value):
        raise _past(name, str(value) if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits")


def check_deep(name: str, value: object, *, body: bytes) -> None:
    """The same for every record in a value that came as the JSON `body`, as `metrics[3].step`.

    Numbers in plain lists and mappings are left alone: those are data, which is kept as JSON and not as rows.
    """
    if LONG.search(body):
        for place, found in _wholes(name, value):
            check_whole(place, found)


def _wholes(place: str, value: object) -> Iterator[tuple[str, object]]:
    """The fields of a record, or of the records in it, with their places."""
    if isinstance(value, msgspec.Struct):
        names = list(value.__struct_fields__)
    else:
        is_record = is_dataclass(value) and not isinstance(value, type)
        names = [each.name for each in fields(value)] if is_record else []  # type: ignore[arg-type]  # Asked just now.
    for name in names:
        inner = getattr(value, name)
        yield f"{place}.{name}", inner
        yield from _wholes(f"{place}.{name}", inner)
    for step, inner in _parts(value):
        yield from _wholes(f"{place}[{step}]", inner)


def _parts(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()


def _past(what: str, written: str) -> Invalid:
    shown = written if len(written) <= DIGITS_SHOWN else f"{written[:DIGITS_SHOWN]}…"
    return Invalid(f"{what} is {shown}, but whole numbers have at most 64 bits here")
