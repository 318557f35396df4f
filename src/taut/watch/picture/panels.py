"""The panels of the picture: a measure by version, the evidence against the alarm's bound, rows and labels."""

from collections.abc import Sequence
from itertools import groupby
from math import floor, log10

from taut.watch.picture.frame import LETTER, Band, Frame, colour_of, heading, rule
from taut.watch.picture.points import MEAN_FROM, Point, mean_of, moving_mean, segments, usual_range
from taut.watch.picture.scales import Scale, decades, value_ticks
from taut.watch.picture.svg import Markup, group, line, lines_through, steps_over, text

Places = list[tuple[float, float]]
BUDGETS = ("features", "labels")  # The latter is drawn over the former: it pages.
FLOOR = 0.01  # Evidence below says nothing more than this does.
BEYOND = 1_000.0  # How many times the bound is drawn; an alarm is an alarm, and the interesting part is below.
HEADROOM = 22  # For the names of the versions, in pixels.


def measure_panel(frame: Frame, band: Band, points: Sequence[Point], measure: str, title: str, note: str) -> Markup:
    """A measure over time: every window thin, its moving mean thick, each version in its own colour and named."""
    found = usual_range(points, measure)
    if found is None:
        return group(heading(band, title, note), _nothing(frame, band, "no label has come yet"))
    ticks = value_ticks(*found, most=4)
    scale = Scale(ticks[0], ticks[-1], band.base, band.top + HEADROOM)
    drawn = [heading(band, title, note), *(rule(frame, scale, tick, f"{tick:g}") for tick in ticks)]
    means = moving_mean(points, measure) if len(points) > MEAN_FROM else [one.measures.get(measure) for one in points]
    place = 0
    for part in segments(points):
        colour = colour_of(part[0].version)
        thin = [(one, one.measures.get(measure)) for one in part]
        thick = list(zip(part, means[place : place + len(part)], strict=True))
        place += len(part)
        if len(points) > MEAN_FROM:
            drawn.append(lines_through(_pieces(frame, scale, thin), f"daily {colour}"))
        drawn.append(lines_through(_pieces(frame, scale, thick), f"mean {colour}"))
        drawn.append(_named(frame, band, part, mean_of(part, measure)))
    return group(*drawn)


def evidence_panel(frame: Frame, band: Band, points: Sequence[Point], bound: float | None) -> Markup:
    """The evidence of both detectors on a logarithmic scale, begun anew with each reference, and where it alarms."""
    note = "log scale; begins anew with each reference"
    highest = max((value for one in points for value in one.evidence.values()), default=0.0)
    if not highest:
        return group(heading(band, "Evidence of drift", note), _nothing(frame, band, "nothing was tested yet"))
    lowest = min(value for one in points for value in one.evidence.values())
    top = min(highest, (bound or BEYOND) * BEYOND)
    powers = decades(max(min(lowest, 0.1), FLOOR), max(top, (bound or 10.0) * 10))
    scale = band.scale(powers[0], powers[-1])
    if highest > 10.0 ** powers[-1]:
        note += "; what is beyond it runs along the edge"
    drawn = [heading(band, "Evidence of drift", note)]
    drawn += [rule(frame, scale, power, told_power(power)) for power in powers]
    ends: dict[str, float] = {}
    for budget in BUDGETS:
        places = [(one, _log(one.evidence.get(budget))) for one in points]
        pieces = [piece for part in _by_reference(places) for piece in _pieces(frame, scale, part)]
        if pieces:
            drawn.append(lines_through(pieces, f"evidence {budget}"))
            ends[budget] = pieces[-1][-1][1]
    if bound is not None:
        y = scale.at(log10(bound))
        drawn.append(line(frame.left, y, frame.right, y, "bound"))
        ends[f"alarm at {bound:g}"] = y
    drawn += [text(frame.right + 8, y + 4, name, f"end {name}") for name, y in apart(ends, band).items()]
    return group(*drawn)


def rows_panel(frame: Frame, band: Band, points: Sequence[Point]) -> Markup:
    """Rows a window, and the part of them whose label has come."""
    most = max(one.rows / one.windows for one in points)
    ticks = value_ticks(0, max(most, 1), most=3)
    scale = band.scale(0, ticks[-1])
    rows = [(*_sides(frame, one), scale.at(one.rows / one.windows)) for one in points]
    labelled = [(*_sides(frame, one), scale.at(one.labelled / one.windows)) for one in points]
    return group(
        heading(band, "Rows a window", "the dark part is labelled"),
        *(rule(frame, scale, tick, f"{tick:,g}") for tick in ticks),
        steps_over(rows, band.base, "rows"),
        steps_over(labelled, band.base, "labelled"),
    )


def _pieces(frame: Frame, scale: Scale, values: Sequence[tuple[Point, float | None]]) -> list[Places]:
    """Places to draw lines through; a point without a value, or time that no window covers, is a gap."""
    pieces: list[Places] = []
    before: Point | None = None
    for point, value in values:
        if value is None:
            before = None
            continue
        if before is None or before.end_ms < point.start_ms:
            pieces.append([])
        pieces[-1].append((frame.time.at(point.middle_ms), scale.at(value)))
        before = point
    return pieces


def _named(frame: Frame, band: Band, part: Sequence[Point], mean: float | None) -> Markup:
    """The version and its mean above its part of the line, as far as there is room for them."""
    left, right = frame.time.at(part[0].start_ms), frame.time.at(part[-1].end_ms)
    version = f"v{part[0].version}"
    for words in (f"{version}  mean {mean:.3f}" if mean is not None else version, version):
        if len(words) * LETTER <= right - left:
            return text(left + 4, band.top + 10, words, f"label {colour_of(part[0].version)}")
    return Markup("")


def _by_reference(values: Sequence[tuple[Point, float | None]]) -> list[list[tuple[Point, float | None]]]:
    return [list(alike) for _, alike in groupby(values, key=lambda pair: pair[0].reference)]


def _sides(frame: Frame, point: Point) -> tuple[float, float]:
    return round(frame.time.at(point.start_ms), 1), round(frame.time.at(point.end_ms), 1)


def _log(value: float | None) -> float | None:
    return None if value is None else log10(max(value, FLOOR))


def apart(ends: dict[str, float], band: Band, gap: float = 15) -> dict[str, float]:
    """Words at the ends of lines, moved up or down until none covers another or leaves the panel by much."""
    placed: dict[str, float] = {}
    lowest = band.base - gap * (len(ends) - 1)
    for name, y in sorted(ends.items(), key=lambda pair: (pair[1], pair[0])):
        placed[name] = max(min(y, lowest), max(placed.values(), default=band.top - gap) + gap)
        lowest += gap
    return placed


def told_power(exponent: int) -> str:
    """10 to a power, as people write it: small ones in full.

    >>> told_power(-2), told_power(0), told_power(3), told_power(6)
    ('0.01', '1', '1,000', '10⁶')
    """
    if -2 <= exponent <= 4:
        return f"{10**exponent:,}" if exponent >= 0 else f"{10.0**exponent:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _nothing(frame: Frame, band: Band, words: str) -> Markup:
    """A panel without values says why."""
    middle = (band.top + band.base) / 2
    return group(
        line(frame.left, band.base, frame.right, band.base, "rule"),
        text((frame.left + frame.right) / 2, floor(middle), words, "note", "middle"),
    )
