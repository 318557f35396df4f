"""A memory that does not grow: what was put in first goes when it is full."""

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Bounded(Generic[T]):
    """A dictionary that drops what was put in first when it is full; safe to read and write from several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[str | bytes, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: str | bytes) -> T | None:
        """What is there."""
        return self._held.get(key)

    def put(self, key: str | bytes, value: T) -> None:
        """Keep it, and drop the oldest past the bound."""
        self._held[key] = value
        while len(self._held) > self._most:
            try:
                self._held.popitem(last=False)
            except KeyError:  # Another thread emptied it.
                break

    def clear(self) -> None:
        """Drop everything."""
        self._held.clear()
