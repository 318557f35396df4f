"""Which of the versions behind an endpoint answers a request: by a key that stays where it was, else by their shares.

A key stands at one point of [0, 1), for all processes and for ever; the canary answers for what stands below its share.
So a larger share takes more keys along and gives none back. Without a key the points follow one another by the golden
ratio from a start drawn by chance: each has every point with the same chance, and of n requests in a row the canary
gets its share to within a few, where coin tosses would be off by the root of n.
Source: Niederreiter, Random Number Generation and Quasi-Monte Carlo Methods, 1992, chapter 3 (the sequence n * phi).
"""

from collections.abc import Mapping, Sequence
from math import isnan
from secrets import randbits
from typing import Any, Generic, Literal, Protocol, TypeVar
from zlib import crc32

from taut.errors import Invalid

KEY_HEADER = "x-routing-key"
HEADER = "header:"
STEP = 0x9E3779B97F4A7C15  # The golden ratio's part behind the point, times 2^64.
MIX = 0xD6E8FEB86659FD93  # Odd, with as many ones as zeros; tests hold the spread of keys against the uniform law.
FULL = 1 << 64
BITS = FULL - 1


class Weighted(Protocol):
    """What a router chooses among: a version, its share of the requests, and its part."""

    @property
    def number(self) -> int:
        """The number of its version."""
        ...

    @property
    def weight(self) -> float:
        """Its share of the requests, 0 to 1; a shadow has none."""
        ...

    @property
    def role(self) -> Literal["live", "canary", "shadow"]:
        """Its part."""
        ...


B = TypeVar("B", bound=Weighted)


class Router(Generic[B]):
    """Chooses among the backends of one revision of an endpoint; one of them is live. Costs some 0.2 us a request.

    `shadows` are those that get a copy of every request and answer nobody.
    """

    __slots__ = ("_answering", "_canary", "_live", "_point", "_seed", "_until", "shadows")

    def __init__(self, endpoint: str, backends: Sequence[B], *, start: int | None = None) -> None:
        """Raises Invalid where not exactly one is live, or more than one a canary; `start` is for tests."""
        live = [one for one in backends if one.role == "live"]
        canaries = [one for one in backends if one.role == "canary"]
        if len(live) != 1 or len(canaries) > 1:
            raise Invalid(f"{endpoint!r} has {len(live)} live versions and {len(canaries)} canaries, not one and one")
        self._live, self._answering = live[0], (*live, *canaries)
        self._canary = canaries[0] if canaries else live[0]
        self._until = threshold(canaries[0].weight) if canaries else 0
        self._seed = crc32(endpoint.encode())
        self._point = randbits(64) if start is None else start
        self.shadows: tuple[B, ...] = tuple(one for one in backends if one.role == "shadow")

    def choose(self, key: str | None = None) -> B:
        """Who answers: always the same for the same key, as long as no share changes; by the shares for None."""
        if key is None:
            self._point = point = (self._point + STEP) & BITS
            return self._canary if point < self._until else self._live
        if not self._until:
            return self._live
        mixed = crc32(key.encode("utf-8", "surrogatepass"), self._seed)
        mixed = (mixed ^ mixed >> 16) * STEP & BITS
        return self._canary if (mixed ^ mixed >> 32) * MIX & BITS < self._until else self._live

    def named(self, number: int) -> B | None:
        """The version that a request asks for by its number; None where it is not behind the endpoint, or a shadow."""
        return next((one for one in self._answering if one.number == number), None)


def threshold(weight: float) -> int:
    """The point of 2^64 below which the canary answers. Raises Invalid where it is no share."""
    if not 0.0 <= weight <= 1.0:
        raise Invalid(f"a share is 0 to 1, not {weight}")
    return int(weight * FULL)


def point_of(endpoint: str, key: str) -> float:
    """Where a key stands in [0, 1), for whoever wants to know what it will get; see `Router.choose`."""
    mixed = crc32(key.encode("utf-8", "surrogatepass"), crc32(endpoint.encode()))
    mixed = (mixed ^ mixed >> 16) * STEP & BITS
    return ((mixed ^ mixed >> 32) * MIX & BITS) / FULL


def key_of(by_key: str, headers: Mapping[str, str], columns: Mapping[str, Sequence[Any]]) -> str | None:
    """The key that a request is routed by; None where it has none.

    `by_key` is `header:NAME` or the name of an input column, whose first row speaks for the request: a request is
    answered by one version. Empty means the header `x-routing-key`, where a caller sends it. Names of `headers` are
    in small letters. Numbers are keys too: 7 and 7.0 are the same one, for JSON does not tell them apart. Raises
    Invalid for a cell that is neither text nor number.
    """
    if not by_key or by_key.startswith(HEADER):
        return headers.get(by_key.removeprefix(HEADER).lower() or KEY_HEADER)
    column = columns.get(by_key)
    if column is None or not len(column):
        return None
    cell = column[0]
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int):
        return str(int(cell))  # True is 1, as a column of numbers has it.
    try:
        number = float("nan") if cell is None else float(cell)
    except (TypeError, ValueError):
        raise Invalid(f"requests are routed by {by_key!r}, a text or a number, not {type(cell).__name__}") from None
    if isnan(number):
        return None
    return str(int(number)) if number.is_integer() else repr(number)
