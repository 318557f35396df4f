"""What a check is: one function and one row; and the four answers that it may give."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from taut.audit.workflow import Workflow

Answer = Literal["pass", "fail", "na", "unknown"]
Principle = Literal["reproducibility", "automation", "scalability", "monitoring", "security", "collaboration"]

PRINCIPLES: dict[Principle, str] = {
    "reproducibility": "Reproducibility",
    "automation": "Automation & CI/CD",
    "scalability": "Scalability & performance",
    "monitoring": "Monitoring & drift detection",
    "security": "Security & governance",
    "collaboration": "Collaboration",
}
"""The principles in the order in which they are shown, with the words that a reader sees."""

EVIDENCE_MAX = 5
"""So many places are named for one answer: enough to start mending, few enough to read."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check saw: the answer, one sentence that says why, and the places (`path:line`) that show it."""

    answer: Answer
    what: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the rubric.

    `id` and `key` name it for ever; `weight` is 8 (critical), 5 (high), 3 (medium) or 1 (low); `promise` says what
    a workflow that passes does; `risk` what its absence costs; `remedy` how to mend it, and `command` the first
    thing to type.
    """

    id: str
    key: str
    principle: Principle
    weight: int
    promise: str
    risk: str
    remedy: str
    command: str
    decide: Callable[[Workflow], Outcome]


def passed(what: str, evidence: Iterable[str] = ()) -> Outcome:
    """The workflow does what the check asks for."""
    return Outcome("pass", what, some(evidence))


def failed(what: str, evidence: Iterable[str] = ()) -> Outcome:
    """The workflow misses it, and the evidence shows where."""
    return Outcome("fail", what, some(evidence))


def not_applicable(what: str) -> Outcome:
    """There is nothing here that the check speaks of; it counts neither for nor against the workflow."""
    return Outcome("na", what)


def unknown(what: str, evidence: Iterable[str] = ()) -> Outcome:
    """What was read does not tell; it counts neither for nor against the workflow."""
    return Outcome("unknown", what, some(evidence))


def missing(workflow: Workflow, what: str, evidence: Iterable[str] = ()) -> Outcome:
    """Fail because something was found nowhere, or admit that part of the code could not be searched.

    An absence is only proved when all the code was read.
    """
    unread = [unread for unread in workflow.unread if unread.path.endswith((".py", ".ipynb"))]
    if not unread:
        return failed(what, evidence)
    return unknown(
        f"{what} But {len(unread)} source {'file' if len(unread) == 1 else 'files'} could not be read.",
        [f"{one.path}:1" for one in unread],
    )


def some(evidence: Iterable[str]) -> tuple[str, ...]:
    """The first places in reading order, each once.

    >>> some(["b.py:3", "a.py:10", "a.py:9", "b.py:3"])
    ('a.py:9', 'a.py:10', 'b.py:3')
    """
    return tuple(sorted(set(evidence), key=_place)[:EVIDENCE_MAX])


def _place(evidence: str) -> tuple[str, int]:
    path, _, line = evidence.rpartition(":")
    return (path, int(line)) if line.isdigit() else (evidence, 0)
