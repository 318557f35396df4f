"""Threads for calls that may never return: they end with the process, as those of the standard library do not."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Workers(Generic[T]):
    """So many threads that take work in the order it comes."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._queue: SimpleQueue[tuple[Future[T], Callable[[], T]] | None] = SimpleQueue()
        for place in range(count):
            threading.Thread(target=self._work, name=f"{name}-{place}", daemon=True).start()

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Do it when a thread is free; cancelling the future before that undoes the wish."""
        future: Future[T] = Future()
        self._queue.put((future, work))
        return future

    def close(self) -> None:
        """Let the threads end after what is queued; nobody waits for them."""
        for _ in range(self._count):
            self._queue.put(None)

    def _work(self) -> None:
        while (taken := self._queue.get()) is not None:
            future, work = taken
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as problem:  # noqa: BLE001  # Whoever waits gets it; the thread goes on.
                future.set_exception(problem)
            else:
                future.set_result(result)
