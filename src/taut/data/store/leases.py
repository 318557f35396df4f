"""Who is at work in a store, and what somebody was told to be there: so that collecting takes nothing from under them.

A writer puts a lease, and only then reads what is condemned and what is there. A collector puts its mark, and only then
reads leases and promises. Whichever comes second sees the other. All times are those of the place's own clock.
"""

import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from taut.data.store.places import Found, Place
from taut.data.store.roots import Root
from taut.data.store.seal import seal, unseal
from taut.errors import Conflict, Corrupt, Denied, NotFound, TautError, Unavailable

LEASES, MARKS, PROMISES = "leases/", "marks/", "promises/"
BEAT_S = 60.0
STALE_MS = 15 * 60_000  # Of a lease that nobody renewed: its holder died, or stood still for fifteen beats.


Copies = set[tuple[bytes, str]]
"""Pieces as they lie in certain packs: whoever stores one of them anew has another copy, which nobody condemned."""


@contextmanager
def held(place: Place, root: Root, prefix: str, data: bytes = b"") -> Iterator["Lease"]:
    """Hold a lease or a mark while the block runs, renewed in the background."""
    lease = Lease(place, root, prefix + secrets.token_hex(8))
    lease.put(data)
    worker = threading.Thread(target=lease.beat, name="taut-lease", daemon=True)
    worker.start()
    try:
        yield lease
    finally:
        lease.ended.set()
        worker.join()
        with suppress(Unavailable, Denied):  # It is stale soon; what the block raised matters more.
            place.delete([lease.key])


class Lease:
    """An object that is renewed as long as its holder lives."""

    def __init__(self, place: Place, root: Root, key: str) -> None:
        self.key = key
        self.ended = threading.Event()
        self._place, self._root, self._data = place, root, b""
        self._lock = threading.Lock()

    def put(self, data: bytes) -> None:
        """Give it this content, and make it young."""
        with self._lock:
            self._data = data
            self._place.put(self.key, seal(self._root, self.key, data))

    def beat(self) -> None:
        """Make it young again and again, until it has ended; one beat that fails is followed by the next."""
        while not self.ended.wait(BEAT_S):
            with suppress(TautError):
                self.check()
                self.put(self._data)

    def now_ms(self) -> int:
        """When it was last renewed. Raises Conflict where somebody took it for dead."""
        return self.check().at_ms

    def check(self) -> Found:
        """The object itself. Raises Conflict where somebody took it for dead and removed it."""
        prefix = self.key.partition("/")[0] + "/"
        for found in self._place.found(prefix):
            if found.key == self.key:
                return found
        raise Conflict("this process stood still for so long that its lease was taken away", hint="run it again")


def living(place: Place, prefix: str, now_ms: int) -> list[Found]:
    """The leases or marks that are renewed; those that are not any more are removed."""
    found = list(place.found(prefix))
    stale = [one.key for one in found if one.at_ms < now_ms - STALE_MS]
    place.delete(stale)
    return [one for one in found if one.key not in stale]


def condemned(place: Place, root: Root) -> Copies:
    """The pieces that collectors are about to remove: for a writer they are not there.

    Of a mark that cannot be read nobody knows what it condemns: raises Corrupt.
    """
    gone: Copies = set()
    for one in list(place.found(MARKS)):
        with suppress(NotFound):
            data = bytes(unseal(root, one.key, place.read(one.key)))
            if data:
                gone |= _decoded(one.key, data)
    return gone


def mark(copies: Copies) -> bytes:
    """The content of a mark that condemns pieces where they lie."""
    return msgspec.msgpack.encode(copies)


def promise(place: Place, root: Root, digests: Iterable[str]) -> None:
    """Write down that somebody was told that these contents are there."""
    key = PROMISES + secrets.token_hex(8)
    place.put(key, seal(root, key, msgspec.msgpack.encode(sorted(digests))))


def promised(place: Place, root: Root, since_ms: int) -> set[str]:
    """The contents that somebody was told of since then; older promises are removed. Raises Corrupt."""
    told: set[str] = set()
    old = []
    for one in list(place.found(PROMISES)):
        if one.at_ms < since_ms:
            old.append(one.key)
            continue
        with suppress(NotFound):
            data = bytes(unseal(root, one.key, place.read(one.key)))
            try:
                told |= set(msgspec.msgpack.decode(data, type=list[str]))
            except msgspec.MsgspecError as problem:
                raise Corrupt(f"{one.key} is damaged: {problem}") from None
    place.delete(old)
    return told


def _decoded(key: str, data: bytes) -> Copies:
    try:
        return msgspec.msgpack.decode(data, type=Copies)
    except msgspec.MsgspecError as problem:
        raise Corrupt(f"{key} is damaged: {problem}") from None
