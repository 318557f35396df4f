"""What a process remembers of its callers, so that a request that was let in a moment ago asks no database.

Nothing here is a secret: what a caller showed is remembered as a MAC under a key that this process alone has. All of it
is bounded, in number and in time, and all of it is forgotten when access changes: at once in the process that changes
it, within `FRESH_S` in every other one, for none uses what it remembers longer without asking for the version.
"""

import hmac
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from taut.ground.access.actors import Actor
from taut.ground.access.repeats import Repeats
from taut.ground.access.state import AccessState
from taut.ground.access.throttle import BY_ADDRESS, BY_USER, Allowance, Throttle
from taut.ground.access.tokens import Identity
from taut.ground.bounded import Bounded
from taut.ground.oidc.issuers import Issuers

FRESH_S = 0.5  # How long a revocation may go unseen by another process; half of what is promised.
CALLERS_MAX = 10_000
PROOF_S = 600.0  # How long a password that was checked needs no second check while its hash stays the same.
OWNERS_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who an Authorization header stands for in this home, until `ends_ms` where there is an end."""

    actor: Actor
    ends_ms: int | None
    identity: Identity | None = None
    """Who that is on the whole server; None for whoever needs no login."""


@dataclass(frozen=True, slots=True)
class Proof:
    """This password fitted this stored hash, and counts until `ends_s` on the steady clock."""

    hash: str
    ends_s: float


class Access:
    """The memory of one process for one home. `steady` gives seconds that no change of the wall clock moves.

    A project's is `beside` that of the server's own home: what this process changes in either, both forget.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic, *, beside: "Access | None" = None) -> None:
        self.steady: Callable[[], float] = steady if beside is None else beside.steady
        self.throttle: Throttle = Throttle() if beside is None else beside.throttle
        self._key: bytes = os.urandom(32) if beside is None else beside._key
        self.repeats: Repeats = Repeats() if beside is None else beside.repeats
        self.issuers: Issuers = Issuers(self.steady) if beside is None else beside.issuers
        self._lock = threading.Lock()
        self._state: AccessState | None = None
        self._fresh_until = 0.0
        # Shared: how often this process changed something.
        self._epoch: list[int] = [0] if beside is None else beside._epoch
        self._seen = 0
        self._callers: Bounded[Caller] = Bounded(CALLERS_MAX)
        self._proofs: Bounded[Proof] = Bounded(CALLERS_MAX) if beside is None else beside._proofs
        self._places: Bounded[bool] = Bounded(CALLERS_MAX) if beside is None else beside._places
        self.owners: Bounded[str] = Bounded(OWNERS_MAX)
        """Which experiment a run belongs to: asked for often, and it never changes."""

    def sealed(self, *shown: str) -> bytes:
        """What a caller showed, as only this process can know it again."""
        return hmac.digest(self._key, "\0".join(shown).encode("utf-8", "surrogatepass"), "sha256")

    @property
    def is_fresh(self) -> bool:
        """Whether what is remembered may be used without asking for the version."""
        return self._seen == self._epoch[0] and self.steady() < self._fresh_until

    @property
    def fresh_until_s(self) -> float:
        """Until when, on the steady clock, what is remembered may be used; in the past where it may not be."""
        return self._fresh_until if self._seen == self._epoch[0] else 0.0

    @property
    def asks(self) -> bool:
        """Whether callers must say who they are; only meaningful while fresh."""
        return self._state is None or self._state.asks

    @property
    def state(self) -> AccessState | None:
        """How things stood when they were last looked at."""
        return self._state

    def confirm(self, state: AccessState, *, began_s: float, changes: int) -> None:
        """Take note of a version that was read by a look that began then; another one than before ends everything.

        `changes` is what it was before the look: where this process has changed something since, it must look again.
        """
        with self._lock:
            if state != self._state:
                self._state = state
                self._callers.clear()
            self._seen = changes
            self._fresh_until = began_s + FRESH_S

    def forget(self) -> None:
        """Use nothing any more without looking anew: this process has just changed who may do what."""
        with self._lock:
            self._epoch[0] += 1
            self._fresh_until = 0.0
            self._callers.clear()

    @property
    def changes(self) -> int:
        """How often this process changed something: what was read before a change is not kept after it."""
        return self._epoch[0]

    def caller(self, seal: bytes, now_ms: int) -> Caller | None:
        """Who showed this before."""
        found = self._callers.get(seal)
        return found if found is not None and (found.ends_ms is None or found.ends_ms > now_ms) else None

    def remember(self, seal: bytes, caller: Caller, *, state: AccessState, changes: int) -> None:
        """Keep who it was, unless access changed while that was found out."""
        with self._lock:
            if state == self._state and changes == self._epoch[0]:
                self._callers.put(seal, caller)

    def has_proof(self, seal: bytes, hash: str) -> bool:
        """Whether this very password was checked against this very hash not long ago."""
        found = self._proofs.get(seal)
        return found is not None and found.hash == hash and found.ends_s > self.steady()

    def prove(self, seal: bytes, hash: str) -> None:
        """Remember that a password fitted a hash."""
        self._proofs.put(seal, Proof(hash, self.steady() + PROOF_S))

    def counted(self, name: str, address: str) -> dict[tuple[str, bytes], Allowance]:
        """What a wrong password of that user, said at that address, counts against.

        Where they have logged in before it is not what strangers elsewhere have used up: else anybody who knows a name
        keeps its owner out.
        """
        if not address:
            return {("user", self.sealed(name)): BY_USER}
        place = self.sealed("place", name, address)
        by_user = ("place", place) if self._places.get(place) else ("user", self.sealed(name))
        return {by_user: BY_USER, ("address", self.sealed(address)): BY_ADDRESS}

    def note_place(self, name: str, address: str) -> None:
        """Remember that the user has shown their password there."""
        if address:
            self._places.put(self.sealed("place", name, address), True)
