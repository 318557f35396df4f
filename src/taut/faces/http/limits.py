"""What all requests together may hold in memory, and how large one file may be: `TAUT_MEMORY_MIB`, `TAUT_ARTIFACT_MIB`.

Each request has a limit of its own, but a hundred that are each just below it would be gigabytes. So what is received
counts against one budget until its request is answered, and beyond it a request is told to come again. So does a large
answer until it was read. All that one caller has under way holds no more than half: something is left for others.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taut.errors import Invalid, TooLarge, Unavailable
from taut.ground.objects.disk import kept_free

MEMORY_MIB = 512
FREE_BYTES = 64 << 10  # Of each request: small ones are answered whatever the large ones hold.
SHARE = "taut.share"
"""Where routes find the `Share` of their request in its scope."""


class Busy(Unavailable):
    """The requests under way hold all the memory that they may. Travels as Unavailable."""

    retry_after_s = 1

    @property
    def kind(self) -> str:
        """The name of the kind that callers know."""
        return Unavailable.__name__


@dataclass(slots=True)
class Limits:
    """Of one server, for all its requests: used on its event loop alone, so that no lock is needed."""

    memory_bytes: int = MEMORY_MIB << 20
    artifact_bytes: int | None = None
    held: int = 0
    """What the requests under way have taken."""
    held_by: dict[str, int] = field(default_factory=dict)
    """The same by caller, of those that hold anything."""

    def check_artifact(self, size_bytes: int) -> None:
        """Raise TooLarge for a file past the limit of this server, where it has one."""
        if self.artifact_bytes is not None and size_bytes > self.artifact_bytes:
            raise TooLarge(f"a file may have {self.artifact_bytes >> 20} MiB here", hint="set TAUT_ARTIFACT_MIB")


class Share:
    """What one request holds, given back when it is answered. `caller` is said before anything is taken."""

    __slots__ = ("_held", "caller", "limits")

    def __init__(self, limits: Limits, caller: str = "") -> None:
        self.limits = limits
        self.caller = caller
        self._held = 0

    def take(self, size_bytes: int) -> None:
        """Hold so much more; the first bytes are free. Raises Busy where all of it is taken, or the caller's half.

        A caller's only request that holds anything may hold all there is: else none larger than half could be made.
        """
        limits, counted = self.limits, max(0, self._held - FREE_BYTES)
        more = max(0, self._held + size_bytes - FREE_BYTES) - counted
        if more:
            theirs = limits.held_by.get(self.caller, 0)
            if limits.held + more > limits.memory_bytes:
                raise Busy("this server holds as much of other requests as it may", hint="try again in a second")
            if theirs > counted and theirs + more > limits.memory_bytes // 2:
                raise Busy("your other requests hold half of what this server may", hint="try again in a second")
            limits.held += more
            limits.held_by[self.caller] = theirs + more
        self._held += size_bytes

    def give_back(self) -> None:
        """Hold nothing any more."""
        counted, self._held = max(0, self._held - FREE_BYTES), 0
        if counted:
            limits = self.limits
            limits.held -= counted
            limits.held_by[self.caller] -= counted
            if not limits.held_by[self.caller]:
                del limits.held_by[self.caller]


def share_of(scope: Mapping[str, Any]) -> Share:
    """That of the request with this scope."""
    share: Share = scope[SHARE]
    return share


def limits_of_environment() -> Limits:
    """The limits that whoever starts the server has set. Raises Invalid for what is no number of MiB."""
    kept_free(0)  # The store asks for it with each file; a server should not start before it can be read.
    memory, artifact = _mib("TAUT_MEMORY_MIB"), _mib("TAUT_ARTIFACT_MIB")
    return Limits((MEMORY_MIB << 20) if memory is None else memory, artifact)


def _mib(name: str) -> int | None:
    """The bytes that a setting says, None where it is not set."""
    said = os.environ.get(name, "").strip()
    if not said:
        return None
    if not (said.isascii() and said.isdigit() and 0 < len(said) < 10 and int(said)):
        raise Invalid(f"{name} is a number of MiB, as 512, and not {said[:40]!r}")
    return int(said) << 20
