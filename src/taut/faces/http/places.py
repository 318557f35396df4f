"""How many connections a server has at once: fewer than it has files, for who holds them all shuts out everybody.

Each takes a file, and so may what it asks for, as a download. Past the limit a new connection takes the place of the
one that has waited longest for its next request, or for the end of its first head. Where every one is being answered,
the new one is told to come again.
"""

import os
import resource
from typing import Protocol

from taut.errors import Invalid

CONNECTIONS = "TAUT_CONNECTIONS"
MOST = 10_000
RESERVED = 256  # Files of the database, of the store and of what is sent elsewhere.
TOLD = 64  # Connections beyond the limit that are kept until they have heard so.
BACKLOG = 2048  # Accepted in one turn of the loop, before anybody is asked whether there is a place.


class Held(Protocol):
    """A connection that has a place."""

    def leave(self) -> None:
        """Close it now: it asks for nothing just then."""
        ...


class Places:
    """The connections of one server: used on its event loop alone, so that no lock is needed."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: set[Held] = set()
        self._idle: dict[Held, None] = {}  # Who has waited longest first.
        self._told: set[Held] = set()

    def __len__(self) -> int:
        return len(self._held)

    def enter(self, one: Held) -> bool:
        """Whether a new connection gets a place, if need be that of one that asks for nothing."""
        while len(self._held) >= self.most and self._idle:
            longest = next(iter(self._idle))
            self.give_back(longest)
            longest.leave()
        if len(self._held) >= self.most:
            return False
        self._held.add(one)
        self._idle[one] = None
        return True

    def tell(self, one: Held) -> bool:
        """Whether one without a place may stay until it has asked for something, to be told why nothing comes of it."""
        if len(self._told) >= TOLD:
            return False
        self._told.add(one)
        return True

    def ask(self, one: Held) -> None:
        """It asks for something: its place is its own until it was answered."""
        self._idle.pop(one, None)

    def rest(self, one: Held) -> None:
        """It was answered, and waits among the others."""
        if one in self._held:
            self._idle[one] = None

    def give_back(self, one: Held) -> None:
        """It is gone, or never had a place."""
        self._held.discard(one)
        self._told.discard(one)
        self._idle.pop(one, None)


def backlog_of(files: int) -> int:
    """How many connections may wait to be accepted by a server with so many files.

    >>> backlog_of(1024), backlog_of(1 << 20)
    (128, 2048)
    """
    return min(BACKLOG, files // 8)


def most_of(files: int) -> int:
    """How many connections leave a server with so many files enough of them for its work.

    >>> most_of(1024), most_of(1 << 20)
    (320, 10000)
    """
    return min(MOST, max(8, (files - min(RESERVED, files // 4) - backlog_of(files)) // 2))


def most_of_environment(files: int) -> int:
    """The limit that whoever starts the server has set, at most what its files allow. Raises Invalid for no number."""
    most = most_of(files)
    said = os.environ.get(CONNECTIONS, "").strip()
    if not said:
        return most
    if not (said.isascii() and said.isdigit() and len(said) < 8 and int(said)):
        raise Invalid(f"{CONNECTIONS} is a number of connections, as 1000, and not {said[:40]!r}")
    return min(int(said), most)


def files_of_process() -> int:
    """How many files this process may have open, after it has asked for as many as `MOST` connections take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST + RESERVED + BACKLOG
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
    return more
