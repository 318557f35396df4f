"""What a micro-batch said, as the prediction log is told of it, and what a log can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from taut.records import Prediction

Role = Literal["live", "canary", "shadow"]


@dataclass(slots=True)
class Said:
    """The answers of one micro-batch: an entry a request, the rows of all requests behind one another in the columns.

    `given` says whose id the caller chose, `counts` how many rows each request has. `latency_us` is the time from the
    whole request to the moment before this is written.
    """

    ids: list[str]
    given: list[bool]
    counts: list[int]
    event_ms: list[int]
    at_ms: int
    latency_us: list[int]
    revision: int
    model: str
    number: int
    role: Role
    inputs: Mapping[str, Sequence[Any]]
    outputs: Mapping[str, Sequence[Any]]


class Log(Protocol):
    """Where answers are written down before they leave.

    `blocks` says whether a call waits for a disk or a network; then it is made in a thread, else in the event loop.
    """

    blocks: bool

    def answered(self, ids: Sequence[str]) -> Mapping[str, Prediction]:
        """What was answered to these ids before; those that are new are missing."""
        ...

    def append(self, said: Said) -> None:
        """Keep what was said; it is safe once this returns. Raises a kind of TautError, or OSError."""
        ...

    def close(self) -> None:
        """Let go of what the log holds open."""
        ...
