"""Charts as SVG: a scale, axes with sensible ticks, lines that break where nothing was measured."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from math import ceil, floor, log10

Points = Sequence[tuple[float, float | None]]

WIDTH, LEFT, RIGHT = 1120, 64, 150  # The right margin holds the words at the ends of lines.
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to pixels along one axis."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value; an axis of no extent puts everything in its middle."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def time_scale(start_ms: int, end_ms: int) -> Scale:
    """The shared axis of all charts of a page."""
    return Scale(start_ms, end_ms, LEFT, WIDTH - RIGHT)


def ticks(low: float, high: float, *, about: int = 4) -> list[float]:
    """Round numbers between two values, about so many.

    >>> ticks(0.12, 0.31)
    [0.15, 0.2, 0.25, 0.3]
    """
    if high <= low:
        return [low]
    rough = (high - low) / about
    unit = 10.0 ** floor(log10(rough))
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough * 0.999)
    first = ceil(low / step - 1e-9)
    return [round(n * step, 10) for n in range(first, floor(high / step + 1e-9) + 1)]


def month_starts(start_ms: int, end_ms: int) -> list[tuple[int, str]]:
    """The first of each month in a range, with what to write there: the year beside January and the first."""
    moment = datetime.fromtimestamp(start_ms / 1000, tz=UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found: list[tuple[int, str]] = []
    while (at_ms := int(moment.timestamp() * 1000)) <= end_ms:
        if at_ms >= start_ms:
            name = MONTHS[moment.month - 1]
            found.append((at_ms, f"{name} {moment.year}" if moment.month == 1 or not found else name))
        moment = moment.replace(year=moment.year + moment.month // 12, month=moment.month % 12 + 1)
    return found


def path(points: Points, x: Scale, y: Scale) -> str:
    """The `d` of a line through the points; it breaks where a value is None."""
    parts, drawing = [], False
    for at, value in points:
        if value is None:
            drawing = False
            continue
        parts.append(f"{'L' if drawing else 'M'}{x(at):.1f} {y(value):.1f}")
        drawing = True
    return "".join(parts)


def smoothed(points: Points, *, span: int = 7) -> list[tuple[float, float | None]]:
    """The mean of each point and up to `span` - 1 before it; None where nothing was measured in all of them."""
    out: list[tuple[float, float | None]] = []
    for place, (at, _) in enumerate(points):
        near = [value for _, value in points[max(0, place - span + 1) : place + 1] if value is not None]
        out.append((at, sum(near) / len(near) if near else None))
    return out


def frame(
    title: str, height: int, x: Scale, y: Scale, written: Callable[[float], str], marks: Iterable[float], inside: str
) -> str:
    """One chart: its title, horizontal rules with their values, and what is drawn inside."""
    rules = "".join(
        f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>'
        f'<text class="tick" x="{LEFT - 10}" y="{y(mark) + 4:.1f}" text-anchor="end">{escape(written(mark))}</text>'
        for mark in marks
    )
    head = f'<text class="name" x="{LEFT}" y="16">{escape(title)}</text>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{head}{rules}{inside}{_months(x, height)}</svg>"
    )


def _months(x: Scale, height: int) -> str:
    return "".join(
        f'<text class="tick" x="{x(at):.1f}" y="{height - 4}">{name}</text>'
        f'<line class="month" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{height - 22}" y2="{height - 17}"/>'
        for at, name in month_starts(int(x.low), int(x.high))
    )
