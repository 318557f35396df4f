"""A memory that does not grow: what was put in first goes when it is full."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Bounded(Generic[T]):
    """A dictionary that drops what was put in first when it is full; safe to read and write from several threads.

    It is full past `most` entries, or past `most` in all of what `weigh` says of each.
    """

    def __init__(self, most: int, *, weigh: Callable[[T], int] = lambda _: 1) -> None:
        self._most = most
        self._weigh = weigh
        self._weight = 0
        self._held: OrderedDict[str | bytes, tuple[T, int]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: str | bytes) -> T | None:
        """What is there."""
        found = self._held.get(key)
        return None if found is None else found[0]

    def put(self, key: str | bytes, value: T) -> None:
        """Keep it, and drop the oldest past the bound."""
        weight = self._weigh(value)
        with self._lock:
            if key in self._held:
                self._weight -= self._held[key][1]
            self._held[key] = value, weight
            self._held.move_to_end(key)
            self._weight += weight
            while self._weight > self._most and len(self._held) > 1:
                self._weight -= self._held.popitem(last=False)[1][1]

    def drop(self, key: str | bytes) -> None:
        """Keep it no longer."""
        with self._lock:
            self._weight -= self._held.pop(key, (None, 0))[1]

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._held.clear()
            self._weight = 0
