"""A thread that should not wait: a store raises WouldWait there instead of waiting for a lock or a slow disk.

To hand a request to another thread and back costs more than a small write to a local file. So an event loop first does
it on its own, and hands it on only where it would be held up.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class WouldWait(Exception):  # No error of anybody.
    """Nothing was done, for it would have had to wait; a thread that may wait does it."""


class _Thread(threading.local):
    may_wait = True


_THREAD = _Thread()


def may_wait() -> bool:
    """Whether this thread may be held up just now."""
    return _THREAD.may_wait


def must_go_on() -> None:
    """Say that something of the block is stored: what is left of it must be done too, even if it takes time."""
    _THREAD.may_wait = True


@contextmanager
def without_waiting() -> Iterator[None]:
    """Let stores raise WouldWait in this thread while the block runs and has stored nothing yet."""
    _THREAD.may_wait = False
    try:
        yield
    finally:
        _THREAD.may_wait = True
