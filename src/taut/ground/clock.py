"""Time and chance, so that a test can own both: a clock that is asked, never read from the side, and new ids."""

import re
import secrets
import time
from datetime import UTC, datetime
from typing import Protocol

from taut.errors import Invalid
from taut.ground.whole import check_whole, read_whole


class Clock(Protocol):
    """Where `now` comes from."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000


class SetClock:
    """A clock that stands still until it is set; for tests and simulations."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The time it was set to."""
        return self._now_ms

    def pass_ms(self, milliseconds: int) -> None:
        """Move on by so many milliseconds."""
        self._now_ms += milliseconds


def new_id() -> str:
    """A fresh random id: 32 hexadecimal digits, 128 bits."""
    return secrets.token_hex(16)


def iso(at_ms: int) -> str:
    """A UTC time as people and standards write it.

    >>> iso(0)
    '1970-01-01T00:00:00.000Z'
    """
    moment = datetime.fromtimestamp(at_ms / 1000, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"


def age(of_ms: int, now_ms: int) -> str:
    """How long ago, in the largest whole unit.

    >>> age(0, 7_300_000), age(0, 12_000)
    ('2 h', '12 s')
    """
    seconds = max(0, now_ms - of_ms) // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


UNITS_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def duration_ms(written: str) -> int:
    """A duration as people write it, in milliseconds: a whole number and ms, s, min, h, d or w. Raises Invalid.

    >>> duration_ms("14d"), duration_ms("90 s")
    (1209600000, 90000)
    """
    found = re.fullmatch(r"\s*(\d+)\s*(ms|s|min|h|d|w)\s*", written)
    if found is None:
        raise Invalid(f"{written!r} is no duration; write a whole number and one of {', '.join(UNITS_MS)}, as 14d")
    length_ms = read_whole(found[1], what="a duration") * UNITS_MS[found[2]]
    check_whole("a duration in milliseconds", length_ms)
    return length_ms


def moment_ms(written: str) -> int:
    """An ISO 8601 date or time (UTC where it names no zone), in milliseconds since 1970. Raises Invalid.

    >>> moment_ms("1970-01-02"), moment_ms("1970-01-01T00:00:01Z")
    (86400000, 1000)
    """
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise Invalid(f"{written!r} is no ISO 8601 date or time, as 2013-04-01 or 2013-04-01T05:00Z") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
