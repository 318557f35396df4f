"""The lanes above the panels: which version served, which alerts were raised, and how each was answered."""

from collections.abc import Iterator

from taut.watch.picture.frame import LETTER, Band, Frame, colour_of
from taut.watch.picture.scales import day_name
from taut.watch.picture.svg import Markup, element, group, line, text
from taut.watch.picture.year import Answer, Rollout, Year

SIZE = 6  # Half of a mark's width, in pixels.
APART = 3 * SIZE  # Numbers nearer than that to the one before are left to the list below.


def serving_lane(frame: Frame, band: Band, year: Year) -> Markup:
    """A ribbon of the versions that answered, each in its colour and named."""
    drawn = [text(0, band.base - 6, "Served by", "title")]
    for rollout, from_ms, until_ms in served(year):
        left, right = frame.time.at(from_ms), frame.time.at(until_ms)
        named = f"{rollout.model}@{rollout.number}"
        shown = next((w for w in (named, f"v{rollout.number}") if len(w) * LETTER + 12 <= right - left), "")
        says = f"{named}, revision {rollout.revision}, from {day_name(from_ms)}"
        drawn.append(
            group(
                element("title", says),
                element(
                    "rect", x=left, y=band.top, width=max(right - left - 1, 1), height=band.base - band.top, rx=3,
                    class_=f"ribbon {colour_of(rollout.number)}",
                ),
                text(left + 7, band.base - 6, shown, "on-ribbon") if shown else Markup(""),
            )
        )  # fmt: skip
    return group(*drawn)


def served(year: Year) -> Iterator[tuple[Rollout, float, float]]:
    """Each revision that answered within the span, from its first event to that of the next."""
    begun = [(one, one.from_ms) for one in year.rollouts if one.from_ms is not None]
    first, last = year.span
    for place, (rollout, from_ms) in enumerate(begun):
        until_ms = begun[place + 1][1] if place + 1 < len(begun) else last
        begin, end = max(from_ms if place else first, first), min(until_ms, last)
        if begin < end:
            yield rollout, begin, end


def alert_lane(frame: Frame, band: Band, year: Year) -> Markup:
    """A mark for each alert, numbered as in the list: filled for a page, hollow for a ticket."""
    middle = (band.top + band.base) / 2
    drawn = [text(0, middle + 4, "Alerts", "title"), line(frame.left, middle, frame.right, middle, "lane")]
    taken = float("-inf")
    for number, alert in enumerate(year.alerts, start=1):
        x = frame.time.at(alert.window_start_ms)
        parts = [
            element("title", f"{number}: {alert.severity} on {alert.feature}, {day_name(alert.window_start_ms)}"),
            element(
                "path", class_=alert.severity,
                d=f"M{x:.1f} {middle - SIZE:.1f}l{SIZE} {2 * SIZE - 1}h{-2 * SIZE}Z",
            ),
        ]  # fmt: skip
        if x - taken >= APART:
            parts.append(text(x, band.top - 1, str(number), "number", "middle"))
            taken = x
        drawn.append(group(*parts))
    return group(*drawn)


def answer_lane(frame: Frame, band: Band, panels: list[Band], year: Year) -> Markup:
    """A mark for each retraining: a tick where the gate accepted the version, a cross where it refused it."""
    middle = (band.top + band.base) / 2
    drawn = [text(0, middle + 4, "Retrained", "title"), line(frame.left, middle, frame.right, middle, "lane")]
    taken = float("-inf")
    for answer in year.retrained:
        if answer.at_ms is None:
            continue
        x = frame.time.at(answer.at_ms)
        drawn += [line(x, panel.top, x, panel.base, "answered") for panel in panels if _is_rolled_out(answer)]
        parts = [element("title", _said(answer)), *_mark(answer, x, middle)]
        if answer.number is not None and x - taken >= APART:
            parts.append(text(x, band.base + 10, f"v{answer.number}", "number", "middle"))
            taken = x
        drawn.append(group(*parts))
    return group(*drawn)


def _mark(answer: Answer, x: float, y: float) -> list[Markup]:
    if answer.verdict is None:
        return [element("circle", cx=x, cy=y, r=SIZE, class_="unjudged")]
    passed = answer.verdict.passed
    shape = "l2.2 2.4l4 -4.6" if passed else "l5 5m0 -5l-5 5"
    begin = (x - 3, y + 0.4) if passed else (x - 2.5, y - 2.5)
    return [
        element("circle", cx=x, cy=y, r=SIZE + 1, class_="accepted" if passed else "refused"),
        element("path", d=f"M{begin[0]:.1f} {begin[1]:.1f}{shape}", class_="sign"),
    ]


def _is_rolled_out(answer: Answer) -> bool:
    return answer.revision is not None


def _said(answer: Answer) -> str:
    if answer.verdict is None:
        return f"run {answer.run[:8]} has no verdict yet"
    named = f"{answer.verdict.model}@{answer.verdict.number}"
    return f"{named} accepted, revision {answer.revision}" if answer.verdict.passed else f"{named} refused"
