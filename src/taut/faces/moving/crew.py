"""Several pairs of hands for work that mostly waits: a bounded queue, and an end that leaves nothing half done."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from taut.ground.progress import Progress

T = TypeVar("T")
AHEAD = 2  # Work handed out for each pair of hands: the next is there when one is done, and no more is read in vain.


class Stopped(Exception):  # Not an error: the answer to being asked to stop.
    """Raised inside work that was asked to stop at a place where it could."""


class Crew:
    """Runs work in threads. Where one piece fails, or Ctrl-C comes, what is under way is ended first."""

    def __init__(self, hands: int) -> None:
        self._hands = hands
        self._stop = threading.Event()

    def pause(self) -> None:
        """Called by work where it may stop without leaving anything behind."""
        if self._stop.is_set():
            raise Stopped

    def each(self, things: Iterable[T], work: Callable[[T], None], bar: Progress) -> None:
        """Do the work for each of the things; the first failure is raised."""
        with ThreadPoolExecutor(self._hands, thread_name_prefix="moving") as pool:
            waiting: set[Future[None]] = set()
            try:
                for thing in things:
                    waiting.add(pool.submit(work, thing))
                    if len(waiting) >= AHEAD * self._hands:
                        waiting = _one_less(waiting, bar)
                while waiting:
                    waiting = _one_less(waiting, bar)
            except BaseException:
                self._stop.set()
                for future in waiting:
                    future.cancel()
                raise


def _one_less(waiting: set[Future[None]], bar: Progress) -> set[Future[None]]:
    done, rest = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
        bar.advance()
    return rest
