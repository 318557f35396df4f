"""What an audit answers: findings, a score for each principle, the headline and the next steps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from taut.audit.check import PRINCIPLES, Answer, Check, Outcome, Principle

Severity = Literal["critical", "high", "medium", "low"]
Verdict = Literal["violated", "present", "partly shown", "not shown", "not applicable"]

SEVERITIES: dict[int, Severity] = {8: "critical", 5: "high", 3: "medium", 1: "low"}
"""What a weight is called."""

NEXT_STEPS = 3
"""So many steps are proposed: what a person can keep in mind."""

SCHEMA_VERSION = 1
"""The version of the report's fields; it grows when one changes its meaning."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one check, with what it saw, what that risks and how to mend it.

    `evidence` holds `path:line` for a folder and the quoted step for a description.
    """

    id: str
    key: str
    principle: Principle
    weight: int
    severity: Severity
    answer: Answer
    promise: str
    what: str
    risk: str
    remedy: str
    command: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PrincipleScore:
    """How one principle fares: the weight passed over the weight that applies, from 0 to 1.

    `score` is None where no check of it could be answered with pass or fail.
    """

    principle: Principle
    title: str
    score: float | None
    verdict: Verdict
    weight_passed: int
    weight_applicable: int
    passed: int
    failed: int
    not_applicable: int
    unknown: int


@dataclass(frozen=True, slots=True)
class NextStep:
    """One thing to do: how, the first command, the findings that it mends and their weight together."""

    remedy: str
    command: str
    mends: tuple[str, ...]
    weight: int


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The whole answer: `findings` by answer (fail first) and weight; `unread` names files that could not be read."""

    subject: str
    kind: Literal["folder", "description"]
    headline: str
    lowest: Principle | None
    principles: tuple[PrincipleScore, ...]
    findings: tuple[Finding, ...]
    next_steps: tuple[NextStep, ...]
    unread: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION


def finding_of(check: Check, outcome: Outcome) -> Finding:
    """Put a check and what it saw together."""
    return Finding(
        check.id, check.key, check.principle, check.weight, SEVERITIES[check.weight], outcome.answer,
        check.promise, outcome.what, check.risk, check.remedy, check.command, outcome.evidence,
    )  # fmt: skip


def score_of(principle: Principle, findings: Iterable[Finding], verdict: Verdict | None = None) -> PrincipleScore:
    """Score one principle: weight passed over weight applicable, so the unknown and the inapplicable do not count."""
    own = [finding for finding in findings if finding.principle == principle]
    weight_passed = sum(one.weight for one in own if one.answer == "pass")
    weight_applicable = weight_passed + sum(one.weight for one in own if one.answer == "fail")
    counts = {answer: sum(one.answer == answer for one in own) for answer in ("pass", "fail", "na", "unknown")}
    return PrincipleScore(
        principle,
        PRINCIPLES[principle],
        weight_passed / weight_applicable if weight_applicable else None,
        verdict or _verdict(counts),
        weight_passed,
        weight_applicable,
        counts["pass"],
        counts["fail"],
        counts["na"],
        counts["unknown"],
    )


def _verdict(counts: dict[str, int]) -> Verdict:
    if counts["fail"]:
        return "violated"
    if counts["pass"]:
        return "present"
    return "not shown" if counts["unknown"] else "not applicable"


def lowest_of(scores: Iterable[PrincipleScore]) -> PrincipleScore | None:
    """The principle with the lowest score, the more weight at stake the lower among equals; None where none has one.

    The headline is the lowest and never an average, because a strong part does not make up for a missing one.
    Source of the rule: Breck et al., The ML Test Score, 2017.
    """
    scored = [one for one in scores if one.score is not None]
    return min(scored, key=lambda one: (one.score, -one.weight_applicable), default=None)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Failures first, then unknowns, passes and what does not apply; the heavier before the lighter, then by id."""
    ranks = {"fail": 0, "unknown": 1, "pass": 2, "na": 3}
    places = list(PRINCIPLES)
    return tuple(
        sorted(findings, key=lambda one: (ranks[one.answer], -one.weight, places.index(one.principle), one.id))
    )


def next_steps_of(findings: Sequence[Finding]) -> tuple[NextStep, ...]:
    """The steps that mend most: failures that share a command are mended together, and the heaviest sum comes first."""
    together: dict[str, list[Finding]] = {}
    for finding in in_order(findings):
        if finding.answer == "fail":
            together.setdefault(finding.command, []).append(finding)
    steps = [
        NextStep(mended[0].remedy, command, tuple(one.id for one in mended), sum(one.weight for one in mended))
        for command, mended in together.items()
    ]
    return tuple(sorted(steps, key=lambda step: -step.weight)[:NEXT_STEPS])


def report_of(subject: str, findings: Sequence[Finding], unread: Iterable[str] = ()) -> AuditReport:
    """The report of a folder from its findings; their order does not matter."""
    scores = tuple(score_of(principle, findings) for principle in PRINCIPLES)
    lowest = lowest_of(scores)
    return AuditReport(
        subject,
        "folder",
        _headline(lowest),
        lowest.principle if lowest else None,
        scores,
        in_order(findings),
        next_steps_of(findings),
        tuple(unread),
    )


def _headline(lowest: PrincipleScore | None) -> str:
    if lowest is None or lowest.score is None:
        return "Nothing here could be judged: no check applies."
    if not lowest.failed:
        return "Every check that applies passes."
    noun = "check fails" if lowest.failed == 1 else "checks fail"
    return f"{lowest.title} is the weakest principle: {lowest.score:.0%}, {lowest.failed} {noun}."
