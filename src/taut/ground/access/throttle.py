"""Failed logins, counted by user and by address, so that passwords cannot be tried out one after another."""

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass

from taut.errors import Throttled

KEYS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many failures at once; each is forgiven after `refill_s`."""

    burst: int
    refill_s: float


BY_USER = Allowance(10, 6.0)
BY_ADDRESS = Allowance(30, 2.0)  # Several people, and every pod of a cluster, may stand behind one address.


class Throttle:
    """A bounded number of leaking buckets: what was longest unused is dropped for what is new."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._levels: OrderedDict[tuple[str, bytes], tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, allowances: dict[tuple[str, bytes], Allowance], *, now_s: float) -> None:
        """Count an attempt as a failure before it is looked at, so that many at once are no way round.

        Raises Throttled where one of these has failed too often, whatever is shown this time.
        """
        with self._lock:
            waits = [self._wait(key, allowance, now_s) for key, allowance in allowances.items()]
            if (wait := max(waits, default=0.0)) > 0:
                raise _refused(math.ceil(wait))
            for key, allowance in allowances.items():
                self._levels[key] = (self._level(key, allowance, now_s) + 1, now_s)
                self._levels.move_to_end(key)
            while len(self._levels) > KEYS_MAX:
                self._levels.popitem(last=False)

    def give_back(self, allowances: dict[tuple[str, bytes], Allowance], *, now_s: float) -> None:
        """The attempt was none of those that count: it was the right password."""
        with self._lock:
            for key, allowance in allowances.items():
                self._levels[key] = (max(0.0, self._level(key, allowance, now_s) - 1), now_s)

    def _wait(self, key: tuple[str, bytes], allowance: Allowance, now_s: float) -> float:
        return (self._level(key, allowance, now_s) - allowance.burst + 1) * allowance.refill_s

    def _level(self, key: tuple[str, bytes], allowance: Allowance, now_s: float) -> float:
        level, at_s = self._levels.get(key, (0.0, now_s))
        return max(0.0, level - (now_s - at_s) / allowance.refill_s)


def _refused(seconds: int) -> Throttled:
    refused = Throttled(f"too many failed logins; try again in {seconds} s")
    refused.retry_after_s = seconds
    return refused
