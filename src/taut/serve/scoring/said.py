"""What a micro-batch said, as the prediction log is told of it, and what a log can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

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
    inputs: dict[str, Any]
    outputs: dict[str, Any]


class Stored(Protocol):
    """What a log knows of a request that was answered before."""

    @property
    def revision(self) -> int:
        """The revision that answered."""
        ...

    @property
    def model(self) -> str:
        """The model that answered."""
        ...

    @property
    def number(self) -> int:
        """Its version."""
        ...

    @property
    def at_ms(self) -> int:
        """When it was answered."""
        ...

    @property
    def event_ms(self) -> int:
        """When what it speaks of happened."""
        ...

    @property
    def rows(self) -> int:
        """How many rows it had."""
        ...

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What was answered."""
        ...


class Log(Protocol):
    """Where answers are written down before they leave.

    `blocks` says whether a call waits for a disk or a network; then it is made in a thread, else in the event loop.
    """

    @property
    def blocks(self) -> bool:
        """Whether `answered`, `same` and `append` may take long."""
        ...

    def answered(self, ids: Sequence[str]) -> Mapping[str, Any]:
        """What was answered to these ids before, a `Stored` each; those that are new are missing."""
        ...

    def same(self, request_id: str, stored: Any, inputs: Mapping[str, Any]) -> Any:
        """What was stored, where it was asked the same; else Conflict."""
        ...

    def append(self, said: Said) -> Mapping[str, Any]:
        """Keep what was said; it is safe once this returns. Raises a kind of TautError, or OSError.

        Returns what is to be answered instead to callers' ids that another process answered meanwhile, a `Stored` each.
        """
        ...

    def close(self) -> None:
        """Let go of what the log holds open."""
        ...
