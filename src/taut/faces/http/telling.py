"""Telling webhooks while a server runs: a thread beside the requests, which none of them waits for."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from taut.errors import TautError
from taut.govern import tell_webhooks
from taut.home import Home

EVERY_S = 1.0  # How late a webhook may hear of something; looking costs a few reads of indexes.
ALL_EVERY = 60  # Rounds after which the projects that are not open are looked at too; that opens each of them.
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
    wait_s, round_of_all = every_s, 0
    while not stopped.wait(wait_s):
        try:
            tell_webhooks(home, until=stopped.is_set)
            for project_id in home.projects.opened():
                opened = home.projects.take_open(project_id)
                if opened is not None:
                    try:
                        tell_webhooks(opened, until=stopped.is_set)
                    finally:
                        home.projects.give_back(project_id)
            round_of_all = (round_of_all + 1) % ALL_EVERY
            if not round_of_all:  # Those that nobody uses just now: what waits for another try is sent all the same.
                for each in home.everywhere():
                    if not stopped.is_set():
                        tell_webhooks(each, until=stopped.is_set)
            wait_s = every_s
        except TautError as problem:  # The database is away or busy; nothing is lost, for the ledger is read again.
            sys.stderr.write(f"taut: webhooks wait: {problem}\n")
            wait_s = AFTER_TROUBLE_S
