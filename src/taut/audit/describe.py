"""The audit of a workflow told in words: steps, clauses, and what each says of the practices in `concepts`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from taut.audit.check import PRINCIPLES, Answer, Principle
from taut.audit.concepts import CONCEPTS, PRESENT_WHEN, Concept
from taut.audit.report import (
    NEXT_STEPS,
    SEVERITIES,
    AuditReport,
    Finding,
    NextStep,
    PrincipleScore,
    Verdict,
    in_order,
    lowest_of,
    score_of,
)
from taut.audit.rubric import CHECKS
from taut.errors import Invalid

TEXT_CHARACTERS_MAX = 20_000
"""A description longer than this is a book, not a workflow."""

QUOTE_CHARACTERS = 160
"""So much of a step is quoted."""

_DENIES = re.compile(
    r"\b(no|not|never|without|nobody|no one|none|nor|neither|lack(s|ing)?|missing|absent|instead of|rather than|"
    r"nothing|hardly|rarely|cannot|"
    r"isn't|aren't|don't|doesn't|didn't|wasn't|hasn't|haven't|can't|won't|yet to)\b",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"^[^,;]{0,40}?\b((is|are|was|were|has|have|does|do) (still |currently )?(not|never|no|missing|absent|"
    r"lacking|unused|skipped|optional)|"
    r"(isn't|aren't|doesn't|don't)|(missing|absent|lacking|nonexistent)$)",
    re.IGNORECASE,
)
_WISHES = re.compile(
    r"\b(plan(s|ned|ning)? (to|for)|(is|are) planned|roadmap|intend(s|ed)?|should|would like|want(s)? to|"
    r"hope(s)?|someday|later this|next (year|quarter)|"
    r"to ?do|going to|will be|might|would be)\b",
    re.IGNORECASE,
)
_CLAUSE_ENDS = re.compile(
    r"\s*(?:;|,?\s+\b(?:but|while|whereas|however|although|though|yet|then)\b|,\s+and\b|\.\s+|:\s+)\s*", re.IGNORECASE
)
_STEP_MARK = re.compile(r"^\s*(?:(?:step\s+)?\d+[.):]|[-*•])\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a description: its number, from 1, and its words."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Statement:
    """What one step says of one practice: it is there, or it is missing or broken."""

    concept: Concept
    shown: bool
    step: Step


def audit_text(text: str) -> AuditReport:
    """Which principles a described workflow misses: by rules over its words, the same each time, without a model.

    Steps are numbered lines, bullets, or else sentences. A principle is violated when a step denies or breaks one of
    its practices, present when its core practices are shown, partly shown when only some are, and not shown when the
    text is silent: silence is never held against the workflow. Raises Invalid for a text that is empty or too long.

    >>> audit_text("1. The model is copied to the server by hand.").principles[1].verdict
    'violated'
    """
    if not text.strip():
        raise Invalid("the description is empty", hint="echo '1. We train on a laptop.' | taut audit --text -")
    if len(text) > TEXT_CHARACTERS_MAX:
        raise Invalid(
            f"the description has {len(text):,} characters; at most {TEXT_CHARACTERS_MAX:,} are read",
            hint="taut audit --text WORKFLOW.txt",
        )
    said = [statement for step in steps_of(text) for statement in statements_in(step)]
    findings = [_finding(concept, [one for one in said if one.concept is concept]) for concept in CONCEPTS]
    scores = tuple(score_of(principle, findings, _verdict(principle, findings)) for principle in PRINCIPLES)
    lowest = lowest_of(scores)
    return AuditReport(
        "description",
        "description",
        _headline(scores),
        lowest.principle if lowest else None,
        scores,
        in_order(findings),
        _next_steps(findings),
    )


def steps_of(text: str) -> list[Step]:
    r"""The steps of a description: marked lines (with the lines that go on with them), or else its sentences.

    >>> [step.text for step in steps_of("1. Train.\n2. Copy\n   to a server.")]
    ['Train.', 'Copy to a server.']
    """
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if any(_STEP_MARK.match(line) for line in lines):
        steps: list[str] = []
        for line in lines:
            if _STEP_MARK.match(line) or not steps:
                steps.append(_STEP_MARK.sub("", line).strip())
            else:
                steps[-1] += " " + line.strip()
    else:
        steps = re.split(r"(?<=[.!?])\s+", " ".join(line.strip() for line in lines))
    return [Step(number, step) for number, step in enumerate((one for one in steps if one), start=1)]


def clauses_of(step: str) -> list[str]:
    """The clauses of a step, each with its own denial; a short piece after a comma stays with the one before it.

    >>> clauses_of("There are no tests, alerts or gates, but the code is in git.")
    ['There are no tests, alerts or gates', 'the code is in git.']
    """
    clauses: list[str] = []
    for part in _CLAUSE_ENDS.split(step):
        for number, piece in enumerate(re.split(r",\s+", part)):
            goes_on = number > 0 and (len(piece.split()) <= 4 or re.match(r"(or|nor|no|without)\b", piece))
            if goes_on and clauses:
                clauses[-1] += ", " + piece
            elif piece.strip():
                clauses.append(piece)
    return clauses


def statements_in(step: Step) -> list[Statement]:
    """What a step says of each practice that it mentions."""
    found: list[Statement] = []
    for clause in clauses_of(step.text):
        wish = bool(_WISHES.search(clause))
        for concept in CONCEPTS:
            found += [Statement(concept, shown, step) for shown in _said_of(concept, clause, wish)]
    return found


def _said_of(concept: Concept, clause: str, wish: bool) -> list[bool]:
    """For each mention of a practice in a clause, whether it is there."""
    broken = [_behind_denial(concept.broken, clause, one) for one in _mentions(concept.broken, clause)]
    shown = [
        one
        for one in _mentions(concept.shown, clause)
        if not any(found.start() <= one.start() < found.end() for found in broken)
    ]
    implied = [one for one in _mentions(concept.denied, clause) if _is_denied(clause, one)]
    return [
        *(_is_denied(clause, one) and not wish for one in broken),
        *(_is_denied(clause, one) == _denied_within(one) and not wish for one in shown),
        *(False for _ in implied),
    ]


def _mentions(pattern: str, clause: str) -> list[re.Match[str]]:
    return list(re.finditer(pattern, clause, re.IGNORECASE)) if pattern else []


def _behind_denial(pattern: str, clause: str, words: re.Match[str]) -> re.Match[str]:
    """The same words begun behind a denial inside them, where they still match: in "releases are never deployed by
    hand" it is "deployed by hand" that is denied. Patterns that need their denial ("nobody else knows") stay whole.
    """
    for denial in _DENIES.finditer(clause, words.start(), words.end()):
        later = re.compile(pattern, re.IGNORECASE).search(clause, denial.end(), words.end())
        words = later or words
    return words


def _denied_within(words: re.Match[str]) -> bool:
    """Whether words for a practice hold its denial: "datasets are not versioned"."""
    return len(_DENIES.findall(words.group())) % 2 == 1


def _is_denied(clause: str, words: re.Match[str]) -> bool:
    """Whether the words at this place are denied: an odd number of denials before them, or one right behind."""
    before = len(_DENIES.findall(clause[: words.start()]))
    behind = bool(_DENIED_AFTER.match(clause[words.end() :]))
    return (before % 2 == 1) != behind


def _finding(concept: Concept, said: Sequence[Statement]) -> Finding:
    check = next((one for one in CHECKS if one.id == concept.id), None)
    answer: Answer = "unknown"
    if said:
        answer = "pass" if all(one.shown for one in said) else "fail"
    telling = [one for one in said if one.shown == (answer == "pass")]
    quotes = {one.step.number: f'step {one.step.number}: "{_shortened(one.step.text)}"' for one in telling}
    promise = check.promise if check else concept.promise
    whats: dict[Answer, str] = {
        "pass": f"Shown: {promise}.",
        "fail": f"Missing or broken: {promise}.",
        "unknown": f"Not told: {concept.question}",
    }
    weight = check.weight if check else concept.weight
    return Finding(
        concept.id,
        check.key if check else concept.key,
        concept.principle,
        weight,
        SEVERITIES[weight],
        answer,
        promise,
        whats[answer],
        check.risk if check else concept.risk,
        check.remedy if check else concept.remedy,
        check.command if check else concept.command,
        tuple(quotes.values()),
    )


def _shortened(text: str) -> str:
    return text if len(text) <= QUOTE_CHARACTERS else text[: QUOTE_CHARACTERS - 1].rstrip() + "…"


def _verdict(principle: Principle, findings: Sequence[Finding]) -> Verdict:
    answers = {one.id: one.answer for one in findings if one.principle == principle}
    if "fail" in answers.values():
        return "violated"
    if all(any(answers[id] == "pass" for id in group) for group in PRESENT_WHEN[principle]):
        return "present"
    return "partly shown" if "pass" in answers.values() else "not shown"


def _headline(scores: Sequence[PrincipleScore]) -> str:
    """How many of the five principles are violated, present and silent; collaboration is told apart."""
    five = [one for one in scores if one.principle != "collaboration"]
    count = {
        verdict: sum(one.verdict == verdict for one in five)
        for verdict in ("violated", "partly shown", "not shown", "present")
    }
    parts = [f"{count[verdict]} {verdict}" for verdict in ("violated", "partly shown", "not shown") if count[verdict]]
    shown = f"{count['present'] or 'none'} present"
    return f"Of 5 principles: {', '.join([*parts, shown])}."


def _next_steps(findings: Sequence[Finding]) -> tuple[NextStep, ...]:
    """First what prevents loss that nothing brings back, then what prevents bad releases, then what detects them."""
    ranked = sorted(
        (one for one in findings if one.answer in {"fail", "unknown"}),
        key=lambda one: (one.answer != "fail", -one.weight),
    )
    first: dict[Principle, Finding] = {}
    for finding in ranked:
        first.setdefault(finding.principle, finding)
    chosen = sorted(first.values(), key=lambda one: (one.answer != "fail", _LOSS_FIRST.index(one.principle)))
    return tuple(NextStep(one.remedy, one.command, (one.id,), one.weight) for one in chosen[:NEXT_STEPS])


_LOSS_FIRST: tuple[Principle, ...] = (
    "reproducibility", "automation", "monitoring", "security", "scalability", "collaboration"
)  # fmt: skip
