"""A report as a person reads it at the terminal."""

import textwrap

from taut.audit.report import AuditReport, Finding, NextStep, PrincipleScore

BAR_CELLS = 20
"""The length of a full bar."""

_BOLD, _DIM, _END = "\033[1m", "\033[2m", "\033[0m"
_RED, _YELLOW, _GREEN = "\033[31m", "\033[33m", "\033[32m"
_COLOURS = {"critical": _RED, "high": _RED, "medium": _YELLOW, "low": _DIM}


def render_report(report: AuditReport, *, colour: bool = False, width: int = 100) -> str:
    """The whole report as text: the principles with their bars, the findings by weight, the next steps.

    Sentences are wrapped at `width` columns (at least 60), bars take up to 90. Without `colour` there are no escape
    codes in the text.
    """
    width = max(width, 60)
    failed = [one for one in report.findings if one.answer == "fail"]
    unknown = [one for one in report.findings if one.answer == "unknown"]
    lines = [_painted(_plain(report.headline), _BOLD, colour), ""]
    lines += [_bar(score, colour) for score in _lowest_first(report.principles)]
    if failed:
        lines += ["", _painted(f"What is missing ({len(failed)})", _BOLD, colour)]
        lines += [line for finding in failed for line in ["", *_finding(finding, colour, width)]]
    if unknown:
        lines += ["", _painted(f"What cannot be told ({len(unknown)})", _BOLD, colour), ""]
        lines += [line for finding in unknown for line in _wrapped(f"{finding.id}  {finding.what}", width, "  ")]
    if report.unread:
        lines += ["", _painted(f"Not read ({len(report.unread)})", _BOLD, colour), ""]
        lines += [line for unread in report.unread for line in _wrapped(unread, width, "  ")]
    if report.next_steps:
        lines += ["", _painted("Next steps", _BOLD, colour), ""]
        for number, step in enumerate(report.next_steps, start=1):
            lines += _step(number, step, width)
    return "\n".join(lines) + "\n"


def _lowest_first(scores: tuple[PrincipleScore, ...]) -> list[PrincipleScore]:
    """The lowest score first; what has none stands last."""
    return sorted(scores, key=lambda one: (one.score is None, one.score or 0.0, -one.weight_applicable))


def _bar(score: PrincipleScore, colour: bool) -> str:
    if score.score is None:
        return f"  {score.title:<30} {'·' * BAR_CELLS}    -   {score.verdict}"
    filled = round(score.score * BAR_CELLS)
    tone = _GREEN if score.score >= 0.8 else _YELLOW if score.score >= 0.5 else _RED
    bar = _painted("█" * filled, tone, colour) + "░" * (BAR_CELLS - filled)
    counts = f"{score.passed} pass, {score.failed} fail" + (f", {score.unknown} unknown" if score.unknown else "")
    return f"  {score.title:<30} {bar} {score.score:>4.0%}   {counts}"


def _finding(finding: Finding, colour: bool, width: int) -> list[str]:
    tag = _painted(f"{finding.severity:<8}", _COLOURS[finding.severity], colour)
    head, *more = _wrapped(f"{finding.id}  {finding.what}", width - 11, "")
    lines = [f"  {tag} {head}", *(" " * 11 + line for line in more)]
    shown = [("risk", finding.risk), ("mend", finding.remedy), ("try", finding.command)]
    lines += [line for name, text in shown if text for line in _wrapped(text, width, " " * 17, f"{'':11}{name:<6}")]
    for number, place in enumerate(finding.evidence):
        lines += _wrapped(place, width, " " * 17, f"{'':11}{'see' if number == 0 else '':<6}")
    return lines


def _step(number: int, step: NextStep, width: int) -> list[str]:
    noun = ", ".join(step.mends)
    return [
        *_wrapped(step.remedy, width, "     ", f"  {number}. "),
        *_wrapped(step.command, width, "       ", "     $ "),
        *_wrapped(f"mends {noun} ({step.weight} points)", width, "     ", "     "),
    ]


def _wrapped(text: str, width: int, indent: str, first: str | None = None) -> list[str]:
    lines = textwrap.wrap(
        _plain(text), width, initial_indent=indent if first is None else first, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return lines or [first or indent]


def _plain(text: str) -> str:
    """The text without control characters: names of audited files must not steer the reader's terminal."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _painted(text: str, code: str, colour: bool) -> str:
    return f"{code}{text}{_END}" if colour and text else text
