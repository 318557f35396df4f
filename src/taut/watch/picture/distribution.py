"""One feature then and now, as a small drawing: numbers as steps over an axis, levels and rates as bars by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from taut.watch.events import Feature
from taut.watch.picture.scales import Scale, value_ticks
from taut.watch.picture.shares import OTHERS, Bin
from taut.watch.picture.svg import Markup, element, group, line, steps_over, text
from taut.watch.picture.words import clipped, told_share, told_value

WIDTH, HEIGHT = 320, 148
TOP, BASE, SIDE = 8, 120, 6
LETTER = 6.4  # A letter's mean width at 12 pixels, as in the large pictures.
STEPS_MIN = 5  # Fewer parts are values rather than a range: they are drawn as bars with their names.
TAIL = 0.7  # How far the axis goes beyond the outer cuts, as a part of what lies between them.
SPIKE = 8.0  # A density so many times the usual one would flatten all others; then parts are drawn equally wide.
BARS, BAR, NAMES, VALUES = 8, 19, 112, 44


@dataclass(frozen=True, slots=True)
class Steps:
    """Neighbouring columns, from edge to edge in pixels, their heights then and now, and the ticks below them."""

    edges: list[float]
    then: list[float]
    now: list[float]
    ticks: list[tuple[float, str]]


def distribution(feature: Feature, bins: Sequence[Bin]) -> Markup:
    """A feature's shares then, filled, and now, outlined: it says what it is to who cannot see it."""
    drawn, height = drawn_shares(feature, bins)
    return element(
        "svg",
        element("title", f"{clipped(feature.name)}, then and now"),
        element("desc", described(bins)),
        drawn,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        class_="distribution",
    )


def drawn_shares(feature: Feature, bins: Sequence[Bin]) -> tuple[Markup, float]:
    """The marks alone, `WIDTH` wide, and their height: to stand in another picture."""
    parts = [one for one in bins if one.kind == "part"]
    return (_stepped(feature, parts), HEIGHT) if len(parts) >= STEPS_MIN else _barred(bins)


def described(bins: Sequence[Bin]) -> str:
    """The parts whose share moved most, in words; at most three of them."""
    moved = sorted(bins, key=lambda one: -abs(one.now - one.then))[:3]
    told = [f"{clipped(b.name, 40)} {told_share(b.now)}, {told_share(b.then)} then" for b in moved if b.now != b.then]
    return f"Moved most: {'; '.join(told)}." if told else "The shares are the same then and now."


def kept_bars(bins: Sequence[Bin], most: int = BARS) -> list[Bin]:
    """The bars that there is room for, in their order: the levels that moved most, and all others together as one."""
    shown = [one for one in bins if one.kind != "missing" or one.then or one.now]
    room = most - sum(1 for one in shown if one.kind in {"unseen", "missing"})
    levels = [one for one in shown if one.kind in {"level", "rest", "rate", "part"}]
    if len(levels) <= room:
        return shown
    own = sorted((one for one in levels if one.kind != "rest"), key=lambda one: -abs(one.now - one.then))
    kept, rest = own[: room - 1], [*own[room - 1 :], *(one for one in levels if one.kind == "rest")]
    others = Bin(OTHERS, "rest", sum(one.then for one in rest), sum(one.now for one in rest))
    return [
        *(one for one in levels if one in kept),
        *([others] if levels[0].kind == "level" else []),
        *(one for one in shown if one not in levels),
    ]


def _stepped(feature: Feature, parts: Sequence[Bin]) -> Markup:
    steps = _by_density(feature, parts)
    usual = median([h for h in (*steps.then, *steps.now) if h > 0] or [1.0])
    if max(*steps.then, *steps.now) > SPIKE * usual:
        steps = _by_rank(parts)
    tallest = max(*steps.then, *steps.now) or 1.0
    scale = Scale(0.0, tallest, BASE, TOP)
    columns = [
        [(left, right, scale.at(h)) for (left, right), h in zip(pairwise(steps.edges), heights, strict=True)]
        for heights in (steps.then, steps.now)
    ]
    return group(
        steps_over(columns[0], BASE, "then"),
        steps_over(columns[1], BASE, "now"),
        line(SIDE, BASE, WIDTH - SIDE, BASE, "axis"),
        *(line(x, BASE, x, BASE + 4, "axis") for x, _ in steps.ticks),
        *_tick_names(steps.ticks),
    )


def _by_density(feature: Feature, parts: Sequence[Bin]) -> Steps:
    """Heights are shares by width, so that areas are shares; what lies beyond the axis stands in its outer columns."""
    cuts = [one.high for one in parts if one.high is not None]
    tail = TAIL * (cuts[-1] - cuts[0])
    least = 0.04 * (cuts[-1] - cuts[0])
    low = min(max(cuts[0] - tail, feature.low if feature.low is not None else cuts[0]), cuts[0] - least)
    high = max(min(cuts[-1] + tail, feature.high if feature.high is not None else cuts[-1]), cuts[-1] + least)
    scale = Scale(low, high, SIDE, WIDTH - SIDE)
    edges = [low, *cuts, high]
    widths = [b - a for a, b in pairwise(edges)]
    ticks = [(scale.at(v), told_value(v)) for v in value_ticks(low, high, most=5) if low <= v <= high]
    return Steps(
        [scale.at(edge) for edge in edges],
        [one.then / width for one, width in zip(parts, widths, strict=True)],
        [one.now / width for one, width in zip(parts, widths, strict=True)],
        ticks,
    )


def _by_rank(parts: Sequence[Bin]) -> Steps:
    """Every part equally wide and as high as its share, with the reference's cuts below."""
    scale = Scale(0, len(parts), SIDE, WIDTH - SIDE)
    ticks = [(scale.at(place + 1), told_value(one.high)) for place, one in enumerate(parts) if one.high is not None]
    edges = [scale.at(place) for place in range(len(parts) + 1)]
    return Steps(edges, [one.then for one in parts], [one.now for one in parts], ticks)


def _tick_names(ticks: Sequence[tuple[float, str]]) -> list[Markup]:
    """The names that do not touch the one before, kept inside the picture."""
    named, free = [], 0.0
    for x, name in ticks:
        half = len(name) * LETTER / 2
        middle = min(max(x, half), WIDTH - half)
        if middle - half >= free:
            named.append(text(middle, BASE + 18, name, "tick", "middle"))
            free = middle + half + LETTER
    return named


def _barred(bins: Sequence[Bin]) -> tuple[Markup, float]:
    """A bar for each level or rate, thick then and thin now, with its name before and its share now behind."""
    shown = kept_bars(bins)
    most = max((max(one.then, one.now) for one in shown), default=0.0) or 1.0
    scale = Scale(0.0, most, NAMES, WIDTH - VALUES)
    drawn = [_bar(scale, one, TOP + place * BAR) for place, one in enumerate(shown)]
    base = TOP + len(shown) * BAR
    return group(*drawn, line(NAMES, TOP - 2, NAMES, base, "axis")), base + 4


def _bar(scale: Scale, one: Bin, top: float) -> Markup:
    letters = int((NAMES - 8) / LETTER)
    return group(
        element("title", f"{clipped(one.name)}: {told_share(one.now)} now, {told_share(one.then)} then"),
        text(NAMES - 8, top + 12, clipped(one.name, letters), "tick", "end"),
        element("rect", x=NAMES, y=top + 2, width=scale.at(one.then) - NAMES, height=BAR - 6, class_="then"),
        element("rect", x=NAMES, y=top + 5, width=scale.at(one.now) - NAMES, height=BAR - 12, class_="now bar"),
        text(WIDTH, top + 12, _short(one.now), "tick", "end"),
    )


def _short(share: float) -> str:
    words = told_share(share)
    return {"below 0.01 %": "<0.01 %", "nearly 100 %": "≈100 %"}.get(words, words)
