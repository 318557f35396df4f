"""The picture for a chat message: the headline, a sentence, and what shows it best, 1200 by 630 pixels."""

from collections.abc import Sequence

from taut.watch.offline import Check, Watching
from taut.watch.picture.checked import bound_of, check_lead, headline
from taut.watch.picture.columns import Column, changed_most
from taut.watch.picture.course import Course, drawn_course
from taut.watch.picture.distribution import WIDTH, drawn_shares
from taut.watch.picture.named import shown_name
from taut.watch.picture.replayed import course_headline, course_lead
from taut.watch.picture.shares import shares_of
from taut.watch.picture.svg import Markup, element, group, text
from taut.watch.picture.words import clipped, told_evidence

SIZE = (1200, 630)  # What chat programs show of a picture without cutting it.
EDGE = 60
PICTURES = 2
LINE, LINES = 36, 2  # Letters of a line of the headline, and its lines.
SAYS, SAID = 46, 2  # The same of what a column's picture says.
COURSE, COURSE_STRIPS, COURSE_PANEL = 720, 3, 104.0


def check_picture(check: Check, columns: Sequence[Column], current: str, against: str) -> Markup:
    """A check: its headline and the strongest columns, then and now."""
    evidence = ", ".join(f"{budget} {told_evidence(e)}" for budget, e in check.evidence.items())
    head, base = _head("Check", headline(check), check_lead(check, current, against))
    note = f"Evidence: {evidence}; alarm at {bound_of(check):,.4g}. Grey is then, blue is now."
    shown = [column for column in columns if shares_of(column.feature, column.counts)][:PICTURES]
    width = (SIZE[0] - 2 * EDGE - 40) / PICTURES
    drawn = [_pictured(column, EDGE + place * (width + 40), base + 34, width) for place, column in enumerate(shown)]
    return _picture(head, *drawn, _foot(note))


def course_picture(course: Course, watching: Watching, folder: str) -> Markup:
    """A replay: its headline and the evidence of its windows."""
    head, base = _head("Replay", course_headline(course), course_lead(course, folder))
    scale = (SIZE[0] - 2 * EDGE) / COURSE
    room = SIZE[1] - 24 - base
    drawn, height = drawn_course(course, course.bound(watching.alpha), COURSE, strips=COURSE_STRIPS, panel=COURSE_PANEL)
    fits = min(scale, room / height)
    return _picture(head, group(drawn, transform=f"translate({EDGE} {base + 10:g}) scale({fits:.4f})"))


def wrapped(words: str, letters: int, lines: int) -> list[str]:
    """Words in lines of at most so many letters; what does not fit ends in dots.

    >>> wrapped("Drift in age, plan and 2 more", 16, 2)
    ['Drift in age,', 'plan and 2 more']
    """
    found = [""]
    for word in words.split():
        joined = f"{found[-1]} {word}".strip()
        if len(joined) <= letters or not found[-1]:
            found[-1] = joined
        else:
            found.append(word)
    if len(found) > lines:
        found[lines - 1 :] = [" ".join(found[lines - 1 :])]
    return [clipped(line, letters) for line in found]


def _picture(*parts: Markup) -> Markup:
    return element("svg", *parts, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {SIZE[0]} {SIZE[1]}", role="img")


def _head(kind: str, title: str, lead: str) -> tuple[Markup, float]:
    """What it is, its headline and a sentence; and where these end."""
    lines = wrapped(title, LINE, LINES)
    top = 62
    drawn = [text(EDGE, top, kind, "kind")]
    drawn += [text(EDGE, top + 56 * (place + 1), line, "headline") for place, line in enumerate(lines)]
    base = top + 56 * len(lines) + 44
    return group(*drawn, text(EDGE, base, clipped(lead, 84), "lead")), base


def _pictured(column: Column, x: float, y: float, width: float) -> Markup:
    scale = width / WIDTH
    drawn, height = drawn_shares(column.feature, shares_of(column.feature, column.counts))
    room = SIZE[1] - 70 - (y + 40) - 30 * SAID
    fits = min(scale, room / height)
    says = wrapped(changed_most(column).replace("\u00a0", " "), SAYS, SAID)
    below = y + 40 + height * fits + 28
    return group(
        text(x, y + 24, clipped(shown_name(column.feature.name), 30), "name"),
        group(drawn, transform=f"translate({x:g} {y + 40:g}) scale({fits:.4f})"),
        *(text(x, below + 27 * place, line, "says") for place, line in enumerate(says)),
    )


def _foot(words: str) -> Markup:
    return text(EDGE, SIZE[1] - 28, clipped(words, 100), "foot")
