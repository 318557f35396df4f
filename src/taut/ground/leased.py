"""Things that are open only while they are used, and a bounded number of them a little longer."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Leased(Generic[T]):
    """Open things by key: opened when first asked for, kept for the next who asks, the longest unused closed first.

    More than `most` stay open only while more than that are in use at the same time.
    """

    def __init__(self, most: int, close: Callable[[T], None]) -> None:
        self._most = most
        self._close = close
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Held[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def opened(self) -> list[str]:
        """What is open now."""
        with self._lock:
            return [key for key, held in self._held.items() if held.value is not None]

    def take_open(self, key: str) -> T | None:
        """What is open already, for the caller to give back; None, without waiting, where it is not."""
        with self._lock:
            held = self._held.get(key)
            if held is None or held.value is None:
                return None
            held.users += 1
            self._held.move_to_end(key)
            return held.value

    def take(self, key: str, opened: Callable[[], T]) -> T:
        """What is under the key, opened where it is not, for the caller to give back. Raises what `opened` does."""
        with self._lock:
            held = self._held.setdefault(key, _Held())
            held.users += 1
            self._held.move_to_end(key)
        try:
            with held.opening:
                if held.value is None:
                    held.value = opened()
                return held.value
        except BaseException:
            self.give_back(key)
            raise

    def give_back(self, key: str) -> None:
        """Use it no more; what is over the bound and unused is closed."""
        with self._lock:
            held = self._held[key]
            held.users -= 1
            if held.value is None and not held.users:
                del self._held[key]  # It could not be opened.
            closing = self._over()
        for value in closing:
            self._close(value)

    def drop(self, key: str) -> None:
        """Close what is under the key, unless somebody uses it now."""
        with self._lock:
            held = self._held.get(key)
            if held is None or held.users or held.value is None:
                return
            del self._held[key]
        self._close(held.value)

    def close(self) -> None:
        """Close all of it, used or not."""
        with self._lock:
            values = [held.value for held in self._held.values() if held.value is not None]
            self._held.clear()
        for value in values:
            self._close(value)

    def _over(self) -> list[T]:
        found: list[T] = []
        for key, held in list(self._held.items()):
            if len(self._held) <= self._most:
                break
            if not held.users and held.value is not None:
                found.append(held.value)
                del self._held[key]
        return found


class _Held(Generic[T]):
    """One key: what is open, who uses it, and a lock for who opens it."""

    def __init__(self) -> None:
        self.value: T | None = None
        self.users = 0
        self.opening = threading.Lock()
