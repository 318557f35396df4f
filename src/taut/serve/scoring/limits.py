"""What bounds a server: bodies, times, and how much may be under way at once; and the count of what is."""

from collections import Counter
from dataclasses import dataclass

from taut.deploy.quantities import bytes_of
from taut.errors import Throttled, Unavailable
from taut.ground.clock import duration_ms
from taut.project import LimitsSpec

HELD_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a request, and all requests together.

    `waiting` requests may be accepted and unanswered, `share` of them for one known caller (0: no bound of its own);
    `held_bytes` bounds the bodies of all of them.
    """

    body_bytes: int = 16 << 20
    body_s: float = 30.0
    answer_s: float = 10.0
    waiting: int = 2048
    share: int = 0
    held_bytes: int = HELD_BYTES


def limits_of(spec: LimitsSpec) -> Limits:
    """What a section of taut.yaml asks for. Raises Invalid for what is no size."""
    body_bytes = bytes_of(spec.body)
    return Limits(
        body_bytes=body_bytes, answer_s=duration_ms(spec.answer) / 1000, waiting=spec.waiting, share=spec.share,
        held_bytes=max(HELD_BYTES, 2 * body_bytes),
    )  # fmt: skip


class UnderWay:
    """How many requests one process holds, whose they are, and how many bytes their bodies have.

    By RFC 6585 a 429 says that this caller asks too much: it is for a caller's own share. Where the server as a whole
    is full, whoever asks gets a 503 (RFC 9110). Both say when to come back.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.waiting = 0
        self.bytes = 0
        self._callers: Counter[str] = Counter()

    @property
    def is_full(self) -> bool:
        """Whether the next request would be sent away."""
        return self.waiting >= self._limits.waiting

    def enter(self, caller: str = "") -> None:
        """One more request waits. Raises Unavailable where too many do, Throttled where too many of this caller's."""
        if self.waiting >= self._limits.waiting:
            raise Unavailable(f"{self.waiting} requests wait already; try again in a second")
        if caller and self._limits.share:
            if self._callers[caller] >= self._limits.share:
                raise Throttled(f"{self._callers[caller]} requests of {caller!r} wait already; try again in a second")
            self._callers[caller] += 1
        self.waiting += 1

    def leave(self, caller: str = "") -> None:
        """A request that entered was answered, or given up."""
        self.waiting -= 1
        if caller and self._limits.share:
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]

    def hold(self, size_bytes: int) -> None:
        """Keep so many bytes more. Raises Unavailable where all bodies together would be too large."""
        if self.bytes + size_bytes > self._limits.held_bytes:
            raise Unavailable(f"the requests under way hold {self.bytes} bytes already; try again in a second")
        self.bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        """Let go of bytes that were held."""
        self.bytes -= size_bytes
