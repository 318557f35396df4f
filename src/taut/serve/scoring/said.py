"""What a log can do for whoever answers; what it is told of a micro-batch is `taut.serve.log.Said`."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from taut.serve.log import Said


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
