"""One model process as its pool sees it, and the call that it has."""

from dataclasses import dataclass, field
from typing import Literal

from taut.serve.processes.asks import Ask, Outcome
from taut.serve.processes.failures import failure_of
from taut.serve.processes.joining import cut
from taut.serve.processes.link import Link
from taut.serve.processes.wire import Answered, BadFrame, Call, Reply, pack


@dataclass(slots=True)
class Calling:
    """A call that is out: its requests, since when, and how long it may take before something seems wrong.

    A divided one is out still, but its requests are asked elsewhere too.
    """

    asks: list[Ask]
    began_s: float
    patience_s: float
    is_suspect: bool
    compare: int
    is_divided: bool = False

    @property
    def rows(self) -> int:
        """The rows of all its requests."""
        return sum(ask.rows for ask in self.asks)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it."""
        return all(ask.is_over for ask in self.asks)

    @property
    def is_moot(self) -> bool:
        """Whether those of its requests that somebody waits for hang elsewhere too, each alone."""
        return self.is_divided and all(ask.is_over or ask.hangs for ask in self.asks)

    def is_late(self, now_s: float) -> bool:
        """Whether it is out for longer than a call like it is."""
        return now_s - self.began_s > self.patience_s

    def outcomes(self, reply: Reply) -> list[Outcome]:
        """One outcome a request. Raises BadFrame where an answer does not fit its requests: it may be anybody's."""
        found: list[Outcome] = []
        for part in reply.parts:
            if not isinstance(part, Answered):
                found.append(failure_of(part))
                continue
            counts = [ask.rows for ask in self.asks[len(found) : len(found) + part.requests]]
            if len(counts) != part.requests or any(
                not hasattr(values, "__len__") or len(values) != sum(counts) for values in part.columns.values()
            ):
                raise BadFrame(f"an answer to {part.requests} requests that does not fit them")
            found += cut(part.columns, counts)
        if len(found) != len(self.asks):
            raise BadFrame(f"{len(found)} answers to {len(self.asks)} requests")
        return found


@dataclass(slots=True, eq=False)
class Member:
    """A model process. It rises until it is up; `since_s` is when it began to be what it is."""

    number: int
    since_s: float
    link: Link = field(init=False)
    state: Literal["rising", "free", "busy"] = "rising"
    calling: Calling | None = None

    def call(self, calling: Calling, call: Call) -> None:
        """Send a call. Raises Invalid for what is too large, TypeError for what cannot be sent; then it stays free."""
        self.link.send(pack(call))
        self.state, self.calling, self.since_s = "busy", calling, calling.began_s

    def free(self, now_s: float) -> Calling | None:
        """The call that it had; from now on it has none."""
        had, self.calling = self.calling, None
        self.state, self.since_s = "free", now_s
        return had

    def is_late(self, now_s: float) -> bool:
        """Whether its call is late."""
        return self.calling is not None and self.calling.is_late(now_s)
