"""Windows in order, without times: the evidence of each budget on a log scale, and of each feature as a strip."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, exp, log, log10

from taut.watch.offline import Seen
from taut.watch.picture.frame import LETTER, Band
from taut.watch.picture.named import shown_name
from taut.watch.picture.panels import BEYOND, FLOOR, apart, told_power
from taut.watch.picture.scales import Scale, decades, value_ticks
from taut.watch.picture.svg import Markup, element, group, line, lines_through, text
from taut.watch.picture.words import clipped, told_evidence

STRIPS = 20  # Features with a strip, the strongest ones.
STRIP = 17  # Pixels a strip.
POINTS_MAX, CELLS_MAX = 400, 120  # More windows are drawn as bundles of neighbours, each as strong as its strongest.
POWERS = (0.25, 0.5, 1.0, 2.0)  # Of the bound, where a strip's colour changes.
TOP, PANEL, GAP = 50, 176, 46


@dataclass(frozen=True, slots=True)
class Moment:
    """One window: its name, rows, evidence and alarms by budget, the features named, and each one's log e-value."""

    window: str
    rows: int
    evidence: dict[str, float]
    alarms: dict[str, bool]
    named: tuple[str, ...]
    log_e: dict[str, float]


@dataclass(slots=True)
class Course:
    """A stream so far: every moment, the first window in alarm, and the newest one."""

    moments: list[Moment] = field(default_factory=list)
    first: Seen | None = None
    newest: Seen | None = None

    def add(self, seen: Seen) -> None:
        """One more window."""
        one = seen.window
        log_e = {name: value for state in seen.states.values() for name, value in state.log_e.items()}
        self.moments.append(Moment(one.window, one.rows, one.evidence, one.alarms, one.features, log_e))
        self.newest = seen
        if self.first is None and any(one.alarms.values()):
            self.first = seen

    def bound(self, alpha: float) -> float:
        """Where each budget alarms: the budgets share alpha."""
        return len(self.moments[0].evidence) / alpha

    def strongest(self) -> list[str]:
        """The features by the most evidence that they ever had, strongest first."""
        peaks = {name: self.peak(name)[0] for name in self.moments[0].log_e}
        return sorted(peaks, key=lambda name: (-peaks[name], name))

    def peak(self, name: str) -> tuple[float, int]:
        """A feature's largest log e-value, and the place of the first window that had it."""
        return max((moment.log_e[name], -place) for place, moment in enumerate(self.moments))

    def first_place(self) -> int | None:
        """The place of the first window in alarm."""
        return next((place for place, moment in enumerate(self.moments) if any(moment.alarms.values())), None)


def course_figure(course: Course, bound: float, width: int, *, class_: str) -> Markup:
    """The stream as one drawing of that width, in pixels; there must be a window."""
    title, about = f"title-{class_}", f"about-{class_}"
    drawn, height = drawn_course(course, bound, width)
    return element(
        "svg",
        element("title", "The evidence, window by window", id=title),
        element("desc", described(course, bound), id=about),
        drawn,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height:g}",
        role="img",
        aria_labelledby=f"{title} {about}",
        class_=class_,
    )


def drawn_course(
    course: Course, bound: float, width: int, *, strips: int = STRIPS, panel: float = PANEL
) -> tuple[Markup, float]:
    """The marks alone and their height: the evidence in a `panel` of some pixels, below it at most so many strips."""
    names = course.strongest()[:strips]
    left, right = (150, width - 104) if width > 600 else (104, width - 84)
    windows = Scale(0, len(course.moments), left, right)
    above = Band(TOP, TOP + panel)
    below = Band(above.base + GAP, above.base + GAP + STRIP * len(names))
    drawn = group(
        _evidence(course, windows, above, bound),
        _strips(course, windows, below, names, bound),
        _first_alarm(course, windows, above.top, below.base),
        _axis(course, windows, below.base + 18),
    )
    return drawn, below.base + 28


def described(course: Course, bound: float) -> str:
    """The same in a sentence."""
    count, first = len(course.moments), course.first
    alarm = f"the first alarm is in {first.window.window}" if first is not None else "none of them is in alarm"
    end = ", ".join(f"{budget} {told_evidence(e)}" for budget, e in course.moments[-1].evidence.items())
    return (
        f"{count:,} windows; {alarm}, at an e-value of {bound:,.4g}. Evidence at the end: {end}. Below, a strip a "
        "feature, darker with more evidence. The same numbers stand in the tables below."
    )


def colour_legend(bound: float) -> Markup:
    """What the strips' colours stand for."""
    marks = [
        element("span", element("i", class_=f"heat h{level}"), f"{told_evidence(bound**power)} and more")
        for level, power in enumerate(POWERS, start=1)
    ]
    return element("figcaption", element("span", "e-value of a feature:"), *marks)


def bundles(count: int, most: int) -> list[range]:
    """Places of neighbours that are drawn as one, so that there are at most `most`.

    >>> bundles(5, 2)
    [range(0, 3), range(3, 5)]
    """
    size = ceil(count / most)
    return [range(at, min(at + size, count)) for at in range(0, count, size)]


def _evidence(course: Course, windows: Scale, panel: Band, bound: float) -> Markup:
    """The lines of the budgets, begun at 1, and where they alarm; what is far beyond runs along the edge."""
    values = [e for moment in course.moments for e in moment.evidence.values()]
    highest = min(max(values), bound * BEYOND)
    powers = decades(max(min(*values, 0.1), FLOOR), max(highest, bound * 10))
    scale = panel.scale(powers[0], powers[-1])
    beyond = max(values) > 10.0 ** powers[-1]
    note = "log scale; what is beyond it runs along the edge" if beyond else "log scale"
    drawn = [
        element(
            "text", element("tspan", "Evidence", class_="title"),
            element("tspan", note, class_="note", dx=10) if windows.end - windows.begin > 300 else Markup(""),
            x=0, y=panel.top - 34,
        )
    ]  # fmt: skip
    for power in powers:
        y = scale.at(power)
        drawn += [line(windows.begin, y, windows.end, y, "rule"),
                  text(windows.begin - 8, y + 4, told_power(power), "tick", "end")]  # fmt: skip
    ends: dict[str, float] = {}
    for budget in course.moments[0].evidence:
        places = [(windows.begin, scale.at(0.0))]
        for some in bundles(len(course.moments), POINTS_MAX):
            e = max(course.moments[place].evidence[budget] for place in some)
            places.append((windows.at((some.start + some.stop) / 2), scale.at(log10(max(e, FLOOR)))))
        drawn.append(lines_through([places], f"evidence {budget}"))
        ends[budget] = places[-1][1]
    y = scale.at(log10(bound))
    drawn.append(line(windows.begin, y, windows.end, y, "bound"))
    ends[f"alarm at {bound:,.4g}"] = y
    drawn += [text(windows.end + 8, y + 4, name, f"end {name}") for name, y in apart(ends, panel).items()]
    return group(*drawn)


def _strips(course: Course, windows: Scale, band: Band, names: Sequence[str], bound: float) -> Markup:
    """A row of cells a feature, strongest first; neighbours of one colour are one cell."""
    drawn = [element("text", element("tspan", "Features", class_="title"), x=0, y=band.top - 12)]
    letters = int((windows.begin - 10) / LETTER)
    for row, name in enumerate(names):
        top = band.top + row * STRIP
        peak, at = course.peak(name)
        called = shown_name(name)
        says = f"{called}: {told_evidence(exp(min(peak, 700)))} at most, in {course.moments[-at].window}"
        drawn.append(
            group(
                element("title", says),
                text(windows.begin - 8, top + 12, clipped(called, letters), "tick", "end"),
                line(windows.begin, top + STRIP - 1, windows.end, top + STRIP - 1, "rule"),
                *_cells(_levels(course, name, bound), windows, top),
            )
        )
    return group(*drawn)


def _levels(course: Course, name: str, bound: float) -> Iterable[tuple[int, int, int]]:
    """First place, place behind and colour of each cell that has one; 0 is none."""
    for some in bundles(len(course.moments), CELLS_MAX):
        found = max(course.moments[place].log_e[name] for place in some) / log(bound)
        yield some.start, some.stop, sum(1 for power in POWERS if found >= power)


def _cells(levels: Iterable[tuple[int, int, int]], windows: Scale, top: float) -> list[Markup]:
    merged: list[tuple[int, int, int]] = []
    for begin, end, level in levels:
        if merged and merged[-1][2] == level:
            merged[-1] = merged[-1][0], end, level
        else:
            merged.append((begin, end, level))
    return [
        element(
            "rect", x=windows.at(begin), y=top, width=windows.at(end) - windows.at(begin), height=STRIP - 2,
            class_=f"heat h{level}",
        )
        for begin, end, level in merged
        if level
    ]  # fmt: skip


def _first_alarm(course: Course, windows: Scale, top: float, base: float) -> Markup:
    place = course.first_place()
    if place is None:
        return Markup("")
    words = f"first alarm: {course.moments[place].window}"
    x = windows.at(place + 0.5)
    half = len(words) * LETTER / 2
    middle = min(max(x, windows.begin + half), windows.end - half)
    return group(line(x, top - 4, x, base, "answered"), text(middle, top - 8, words, "alarmed", "middle"))


def _axis(course: Course, windows: Scale, y: float) -> Markup:
    """The names of some windows below, none over another."""
    count, free, drawn = len(course.moments), 0.0, []
    for tick in value_ticks(0, count, most=8):
        if tick != int(tick) or tick >= count:
            continue
        name = clipped(course.moments[int(tick)].window, 12)
        x, half = windows.at(tick + 0.5), len(name) * LETTER / 2
        if x - half >= free:
            drawn.append(text(x, y, name, "tick", "middle"))
            free = x + half + LETTER
    return group(*drawn)
