"""Deployment -> prediction: the records of this stretch of the line."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answered request of `rows` rows, kept by columns. Row `i` of it is the prediction `ID.i`.

    `event_ms` is when what it speaks of happened (the caller may say; else when it was asked), `at_ms` when it was
    answered, `latency_us` how long that took (0: not known). The answer of a `shadow` was never sent; a row of a
    `batch` is a request of its own, called `JOB.PART.ROW`.
    """

    deployment: str
    id: str
    revision: int
    model: str
    number: int
    at_ms: int
    event_ms: int
    rows: int
    inputs: dict[str, list[str | float | int | bool | None]]
    outputs: dict[str, list[str | float | int | bool | None]]
    role: Literal["live", "canary", "shadow", "batch"] = "live"
    latency_us: int = 0


BatchStatus = Literal["RUNNING", "FINISHED", "FAILED"]


@dataclass(frozen=True, slots=True)
class BatchJob:
    """Rows of files scored by a model version: `rows` were planned, `scored`, `nulled` and `skipped` it came to.

    `data` are the dataset versions that hold files it read. `plan` and `manifest` are digests of the plan and of the
    list of the parts that were written; `ended_ms` is 0 while nothing has been said of an end.
    """

    id: str
    model: str
    number: int
    deployment: str
    source: str
    output: str
    plan: str
    files: int
    rows: int
    data: tuple[str, ...]
    status: BatchStatus
    parts: int
    scored: int
    nulled: int
    skipped: int
    manifest: str
    started_ms: int
    ended_ms: int
    actor: str

    @property
    def point(self) -> str:
        """Its name in the lineage."""
        return f"batch:{self.id}"
