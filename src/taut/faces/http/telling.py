"""Telling webhooks while a server runs: a thread beside the requests, which none of them waits for."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from taut.errors import TautError
from taut.govern import tell_webhooks
from taut.home import Home

EVERY_S = 1.0  # How late a webhook may hear of something; looking costs a few reads of indexes.
AFTER_TROUBLE_S = 15.0
GRACE_S = 12.0  # One delivery under way ends within its time-out; a claim that stays behind runs out.


@contextmanager
def webhooks_told(home: Home, *, every_s: float = EVERY_S) -> Iterator[None]:
    """Tell webhooks of what is new in the ledger while the block runs; what is not sent by then is sent later."""
    stopped = threading.Event()
    thread = threading.Thread(target=_tell, args=(home, stopped, every_s), name="webhooks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(GRACE_S)


def _tell(home: Home, stopped: threading.Event, every_s: float) -> None:
    wait_s = every_s
    while not stopped.wait(wait_s):
        try:
            tell_webhooks(home, until=stopped.is_set)
            wait_s = every_s
        except TautError as problem:  # The database is away or busy; nothing is lost, for the ledger is read again.
            sys.stderr.write(f"taut: webhooks wait: {problem}\n")
            wait_s = AFTER_TROUBLE_S
