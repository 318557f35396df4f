"""What the panels of the picture share: one time axis, the versions' colours, ticks and headings."""

from dataclasses import dataclass

from taut.watch.picture.scales import Scale, time_ticks
from taut.watch.picture.svg import Markup, element, group, line, text

COLOURS = 6  # How many the style sheet has; a seventh version begins again with the first one's.
LEFT = 88  # Room for the names of the lanes.
RIGHT = 92  # Room for the words at the end of a line.
LETTER = 6.6  # A letter's mean width at the labels' size of 12 pixels: no fonts can be measured here.


@dataclass(frozen=True, slots=True)
class Frame:
    """The plotted area's sides and the time that runs between them, in pixels and milliseconds."""

    width: float
    time: Scale

    @property
    def left(self) -> float:
        """Where the time begins."""
        return self.time.begin

    @property
    def right(self) -> float:
        """Where it ends."""
        return self.time.end


@dataclass(frozen=True, slots=True)
class Band:
    """A horizontal part of the picture, from `top` to `base` in pixels, below a heading of its own."""

    top: float
    base: float

    def scale(self, low: float, high: float) -> Scale:
        """Values from its base to its top."""
        return Scale(low, high, self.base, self.top)


def frame_of(width: float, span: tuple[int, int]) -> Frame:
    """A picture so wide, of that much time."""
    return Frame(width, Scale(span[0], span[1], LEFT, width - RIGHT))


def colour_of(version: int) -> str:
    """The class that gives marks a version's colour: its neighbours have others."""
    return f"v{(version - 1) % COLOURS}"


def heading(band: Band, title: str, note: str) -> Markup:
    """A panel's name, and how to read it."""
    named = element("tspan", title, class_="title")
    noted = element("tspan", note, class_="note", dx=10)
    return element("text", named, noted, x=0, y=band.top - 14)


def rule(frame: Frame, scale: Scale, value: float, name: str) -> Markup:
    """A tick of a value axis with its thin line across the panel."""
    y = scale.at(value)
    return group(line(frame.left, y, frame.right, y, "rule"), text(frame.left - 8, y + 4, name, "tick", "end"))


def time_axis(frame: Frame, panels: list[Band], y: float) -> Markup:
    """The names of the months, or what suits the span, at `y`, and a line through every panel at each."""
    most = int((frame.right - frame.left) / 64)
    drawn = []
    for at_ms, name in time_ticks(int(frame.time.low), int(frame.time.high), most=most):
        x = frame.time.at(at_ms)
        drawn += [line(x, band.top, x, band.base, "month") for band in panels]
        if x + len(name) * LETTER <= frame.width:
            drawn.append(text(x, y, name, "tick"))
    return group(*drawn)
