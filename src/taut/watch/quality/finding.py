"""What a check of quality found, how grave it is, and what is found of a window by its time and size alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from taut.ground.clock import age

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
VOLUME_TIMES, USUAL_MIN = 4, 4
"""Rows beyond so many times the largest of the usual windows, or below the smallest over it; from four windows on."""
STALE_WINDOWS = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: of `feature` (empty: of the whole window), in a sentence; in `hits` of `trials` values."""

    check: str
    feature: str
    severity: Severity
    text: str
    hits: int
    trials: int


def is_broken(findings: Iterable[Finding]) -> bool:
    """Whether a model should not learn from these rows: some finding is an error."""
    return any(one.severity == "error" for one in findings)


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gravest first, then by feature and check."""
    return tuple(sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), one.feature, one.check)))


def volume_of(rows: int, usual: Sequence[int]) -> tuple[Finding, ...]:
    """Whether a window has far more or fewer rows than those before it; `usual` are theirs, from four on.

    Far is a quarter of the smallest, or four times the largest. No row at all where the others had some is an error.
    """
    if len(usual) < USUAL_MIN or not median(usual):
        return ()
    low, high = min(usual), max(usual)
    if low <= rows * VOLUME_TIMES and rows <= high * VOLUME_TIMES:
        return ()
    text = f"{rows:,} rows, where the {len(usual)} windows before had {low:,} to {high:,}"
    return (Finding("volume", "", "warning" if rows else "error", text, rows, round(median(usual))),)


def staleness_of(newest_ms: int, now_ms: int, window_ms: int) -> tuple[Finding, ...]:
    """Whether nothing was heard for longer than three windows; a warning, as past times may be what is replayed."""
    late_ms = now_ms - newest_ms
    if late_ms <= STALE_WINDOWS * window_ms:
        return ()
    text = f"the newest event is {age(newest_ms, now_ms)} old, more than {STALE_WINDOWS} windows"
    return (Finding("staleness", "", "warning", text, late_ms, window_ms),)
