"""One process at a time: a semaphore that forks share, a tenth of a microsecond where nobody waits.

The kernel does not give it back for a process that is killed while it holds it, so whoever holds it is written down,
and who has waited for long looks whether that process lives.
"""

import fcntl
import mmap
import multiprocessing
import os
from contextlib import suppress

from taut.ground.compute import handle_of, is_alive

PATIENCE_S = 0.02  # A turn takes a microsecond; whoever the kernel put aside in it is back by then, or it is asked.
ROUNDS_MAX = 100  # After that somebody was killed between taking the turn and signing for it.
NOBODY = 0
SIZE = 8


class Turns:
    """Made before the forks; `memory` is shared by them, of this `file`, and says in its first bytes whose turn it is.

    Where a living holder was put aside for seconds two may be at it at once; the next turn is one process's again, for
    what is given back too often is thrown away.
    """

    def __init__(self, memory: mmap.mmap, file: int) -> None:
        lock = multiprocessing.get_context("fork").Lock()
        self._acquire, self._release = lock.acquire, lock.release
        self._holder = memoryview(memory)[:SIZE].cast("Q")
        self._file = file

    def take(self) -> None:
        """Wait for the turn."""
        rounds = 0
        if self._acquire(False):  # The short way.
            self._holder[0] = os.getpid()
            return
        while not self._acquire(True, PATIENCE_S):
            rounds += 1
            self._free_of_the_dead(rounds)
        self._holder[0] = os.getpid()

    def give(self) -> None:
        """Let the next one have it."""
        self._holder[0] = NOBODY
        with suppress(ValueError):  # Somebody took us for dead and gave it back already.
            self._release()

    def _free_of_the_dead(self, rounds: int) -> None:
        """Give back a turn whose holder is gone; one at a time looks, for each would give it back once."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            holder = self._holder[0]
            if (holder != NOBODY and not is_alive(handle_of(holder))) or (holder == NOBODY and rounds >= ROUNDS_MAX):
                self.give()
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
