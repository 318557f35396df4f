"""A thread for calls that may never return: it ends with the process, as those of the standard library do not."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Worker(Generic[T]):
    """A thread that takes work in the order it comes."""

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[tuple[Future[T], Callable[[], T]] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Do it when the thread is free; cancelling the future before that undoes the wish."""
        future: Future[T] = Future()
        self._queue.put((future, work))
        return future

    def close(self) -> None:
        """Let the thread end after what is queued; nobody waits for it."""
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
