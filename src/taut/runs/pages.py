"""Pages of a long answer: a token names the last row that was given, so that rows written meanwhile shift nothing."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from taut.errors import Invalid
from taut.ground.whole import is_past

PAGE_MAX = 50_000
T = TypeVar("T")
Place = list[str | int | float | None]


def token_of(place: Place) -> str:
    """A page token from what orders the last row of a page.

    >>> read_token(token_of([3, "a", None]), length=3)
    [3, 'a', None]
    """
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def read_token(token: str, *, length: int) -> Place | None:
    """What a page token says; None for the first page. Raises Invalid for one that this question never gave."""
    if not token:
        return None
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(token.encode()), type=Place)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise Invalid(f"{token[:40]!r} is no page token of this server") from None
    if any(is_past(value) for value in place):
        raise Invalid(f"{token[:40]!r} is no page token of this server")
    if len(place) != length:
        raise Invalid(f"the page token {token[:40]!r} belongs to another question")
    return place


def page_of(
    rows: Sequence[T], token: str, max_results: int, *, key: Callable[[T], str], at_most: int = PAGE_MAX
) -> tuple[list[T], str]:
    """A page of rows that are in memory and in order, and the token of the next, empty on the last.

    It starts after the row whose `key` the token names; where that row is gone, at the place it had.
    """
    check_page_size(max_results, at_most=at_most)
    place = read_token(token, length=2)
    start = 0
    if place is not None:
        keys = [key(row) for row in rows]
        start = keys.index(str(place[0])) + 1 if place[0] in keys else _index(place[1], token)
    page = list(rows[start : start + max_results])
    more = start + max_results < len(rows)
    return page, token_of([key(page[-1]), start + max_results - 1]) if more else ""


def _index(written: str | int | float | None, token: str) -> int:
    if not isinstance(written, int) or written < 0:
        raise Invalid(f"{token[:40]!r} is no page token of this server")
    return written


def check_page_size(max_results: int, *, at_most: int = PAGE_MAX) -> None:
    """Raises Invalid for a page of no or too many rows."""
    if not 1 <= max_results <= at_most:
        raise Invalid(
            f"Invalid value {max_results} for parameter 'max_results' supplied: it is between 1 and {at_most}"
        )
