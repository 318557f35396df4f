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
    """A detector crossed its bound: in which window, by which feature, with what evidence.

    A `page` asks for action, a `ticket` for a look.
    """

    id: str
    deployment: str
    version: int
    window_start_ms: int
    detector: str
    severity: Literal["page", "ticket"]
    feature: str
    evidence: dict[str, float]
    status: Literal["open", "handled", "dismissed"]
    at_ms: int

    @property
    def point(self) -> str:
        """Its name in the lineage."""
        return f"alert:{self.id}"
