"""Prediction -> window -> alert: the records of this stretch of the line."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Window:
    """Predictions of one deployment between two moments; `start_ms` belongs to it, `end_ms` to the next.

    `measures` are plain numbers (brier, roc_auc, error_rate, ...), `evidence` the e-values gathered so far.
    """

    deployment: str
    start_ms: int
    end_ms: int
    reference: int
    version: int
    rows: int
    labelled: int
    measures: dict[str, float | None]
    evidence: dict[str, float]
    at_ms: int


@dataclass(frozen=True, slots=True)
class Alert:
    """A detector crossed its bound: in which window, by which feature, with what evidence, and what became of it.

    A `page` asks for action, a `ticket` for a look. It is open from its first window on and updated with each later one
    that is in alarm: `last_ms` is the start of the newest, `windows` how many there were, `peak` the largest e-value,
    `features` those that e-BH names now. `follows` is the alert in whose cool-down it was raised, empty for none.
    Closed, it says for which `reason`, at `closed_at_ms`; `closed_event_ms` is how far windows had come by then.
    """

    id: str
    deployment: str
    version: int
    window_start_ms: int
    detector: str
    severity: Literal["page", "ticket"]
    feature: str
    evidence: dict[str, float]
    status: Literal["open", "handled", "dismissed", "superseded"]
    at_ms: int
    reference: int = 0
    last_ms: int = 0
    windows: int = 1
    peak: float = 0.0
    features: tuple[str, ...] = ()
    follows: str = ""
    closed_event_ms: int = 0
    closed_at_ms: int = 0
    reason: str = ""

    @property
    def point(self) -> str:
        """Its name in the lineage."""
        return f"alert:{self.id}"

    @property
    def budget(self) -> str:
        """What its detector watches: `labels` or `features`."""
        return self.detector.rpartition(":")[2]
