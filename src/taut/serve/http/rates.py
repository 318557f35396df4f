"""How often each caller may ask, exactly, over all processes of an endpoint: GCRA in memory that they share.

The generic cell rate algorithm (ITU-T I.371) keeps one number a caller: when the next request would come if all came
evenly. A request that is ahead of it by no more than the burst conforms. Of a caller whose time has passed nothing need
be known, so its slot is free for another. The processes take turns at the table, see `turns`.
"""

import mmap
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from taut.errors import Invalid, Throttled
from taut.serve.http.turns import Turns

RATE = re.compile(r"(\d+(?:\.\d+)?) */ *(s|m|h)(?: +burst +(\d+))?")
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
BUCKETS = 2048
WAYS = 8  # Callers whose hashes meet in one bucket; past that the one whose time comes first is forgotten.
CELL = 16  # Who, and when: eight bytes each.
BUCKET = WAYS * 2


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_s` requests a second, and `burst` at once after a pause."""

    per_s: float
    burst: int


def read_rate(written: str) -> Rate | None:
    """A rate as taut.yaml has it, None for an empty one; without a burst what a second brings. Raises Invalid.

    >>> read_rate("100/s"), read_rate("30/m burst 5"), read_rate("")
    (Rate(per_s=100.0, burst=100), Rate(per_s=0.5, burst=5), None)
    """
    if not written:
        return None
    found = RATE.fullmatch(written.strip())
    per_s = float(found[1]) / SECONDS[found[2]] if found is not None else 0.0
    if found is None or not per_s or found[3] == "0":
        raise Invalid(f"{written[:40]!r} is no rate; write it as 100/s, or as 100/s burst 20")
    return Rate(per_s, int(found[3]) if found[3] else max(1, int(per_s)))


class TooOften(Throttled):
    """A caller asked past their rate; `retry_after_s` says when the next request conforms."""

    def __init__(self, caller: str, rate: Rate, wait_s: float) -> None:
        super().__init__(f"{caller} may ask {rate.per_s:g} times a second, {rate.burst} at once; wait {wait_s:.3g} s")
        self.retry_after_s = max(1, int(-(-wait_s // 1)))

    @property
    def kind(self) -> str:
        """The name of the kind that callers know."""
        return Throttled.__name__


class Rates:
    """The table of one endpoint. Made before its processes are forked; used in each on one thread alone."""

    def __init__(self, buckets: int = BUCKETS) -> None:
        self._file = os.memfd_create("taut-rates", os.MFD_CLOEXEC)
        size = CELL + buckets * WAYS * CELL  # Before the table it stands whose turn it is.
        os.ftruncate(self._file, size)
        memory = mmap.mmap(self._file, size)
        self._turns = Turns(memory, self._file)
        self._who = memoryview(memory)[CELL:].cast("Q")
        self._when = memoryview(memory)[CELL:].cast("d")
        self._buckets = buckets
        self._key = os.urandom(16)  # The forks have it too: nobody outside can make hashes meet.
        self._hashes: dict[str, int] = {}

    def take(self, caller: str, rate: Rate, now_s: Callable[[], float] = time.monotonic) -> None:
        """Count a request of a caller. Raises TooOften where it does not conform, which then does not count."""
        hashed = self._hashes.get(caller) or self._hash(caller)
        self._turns.take()
        try:
            wait_s = self._take(hashed, hashed % self._buckets * BUCKET, rate, now_s())
        finally:
            self._turns.give()
        if wait_s > 0:
            raise TooOften(caller, rate, wait_s)

    def _take(self, hashed: int, start: int, rate: Rate, now_s: float) -> float:
        who, when = self._who, self._when
        place = start
        if who[start] != hashed:
            cells = range(start, start + BUCKET, 2)
            place = next((cell for cell in cells if who[cell] == hashed), -1)
            if place < 0:
                place = min(cells, key=lambda cell: when[cell + 1])
                who[place], when[place + 1] = hashed, 0.0
        due_s = when[place + 1]
        due_s = max(due_s, now_s)
        wait_s = due_s - now_s - (rate.burst - 1) / rate.per_s
        if wait_s > 1e-9:  # What is less is rounding.
            return wait_s
        when[place + 1] = due_s + 1 / rate.per_s
        return 0.0

    def _hash(self, caller: str) -> int:
        hashed = int.from_bytes(blake2b(caller.encode("utf-8", "surrogatepass"), key=self._key, digest_size=8).digest())
        if len(self._hashes) >= self._buckets * WAYS:
            self._hashes.clear()
        self._hashes[caller] = hashed or 1
        return hashed or 1
