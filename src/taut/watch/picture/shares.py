"""What share of the rows was in each part of a feature, then and now: what its picture is drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from typing import Literal

from taut.watch.counts import WindowCounts
from taut.watch.events import Event, Feature
from taut.watch.picture.words import clipped, told_value

BinKind = Literal["part", "level", "rest", "unseen", "missing", "rate"]
OTHERS = "all other levels"
SEEN = 1e-12  # Less than one row of any table: what is left of sums of shares.


@dataclass(frozen=True, slots=True)
class Bin:
    """A part of a feature and the shares of all rows in it, in the reference and in the window, from 0 to 1.

    Of a "part" of the numbers `low` is its edge below (outside of it) and `high` its edge above (inside), None where
    it goes on. A "rate" is a share of its own and adds to no whole: how often a label's event was true.
    """

    name: str
    kind: BinKind
    then: float
    now: float
    low: float | None = None
    high: float | None = None


def shares_of(feature: Feature, counts: WindowCounts) -> tuple[Bin, ...]:
    """The feature's parts with their shares then and now, in order; empty where the window asked nothing of it.

    Numbers are parted by the reference's cuts, levels are the most frequent ones, all others and those never seen; rows
    without a value are a part too. The shares of numbers and levels add up to 1. Labels, and pairs of columns that
    agree, are told as rates.
    """
    now = counts.hits.get(feature.name, ()), counts.trials.get(feature.name, ())
    if len(now[0]) != len(feature.events) or not any(now[1]):
        return ()
    sides = [_rates([e.hits for e in feature.events], [e.trials for e in feature.events]), _rates(*now)]
    if feature.kind in {"label", "joint"}:
        return tuple(Bin(_rate_name(e), "rate", t, n) for e, t, n in zip(feature.events, *sides, strict=True))
    missing = [_missing(feature, rates) for rates in sides]
    parts = _levels(feature, sides) if feature.kind == "categorical" else _parts(feature, sides)
    whole = [Bin(b.name, b.kind, b.then * (1 - missing[0]), b.now * (1 - missing[1]), b.low, b.high) for b in parts]
    return (*whole, Bin("missing", "missing", *missing))


def loudest_event(feature: Feature, counts: WindowCounts) -> tuple[Event, float, float] | None:
    """The event whose share changed most surely, with its shares then and now; None where nothing was asked or changed.

    Surely: by the likelihood ratio of two shares against one, divided by the event's over-dispersion. What may only
    grow counts only where it grew. Source: Agresti, Categorical Data Analysis, 2013, sec. 3.2.1 (G squared).
    """
    hits, trials = counts.hits.get(feature.name, ()), counts.trials.get(feature.name, ())
    best: tuple[float, Event, float, float] | None = None
    for event, k, n in zip(feature.events, hits, trials, strict=False):
        if not n or not event.trials:
            continue
        then, now = event.hits / event.trials, k / n
        strength = _g_squared(event.hits, event.trials, k, n) / event.deff
        if (now > then or not event.one_sided) and strength > (best[0] if best else 0.0):
            best = strength, event, then, now
    return best[1:] if best else None


def _g_squared(hits: int, trials: int, more: int, asked: int) -> float:
    """Twice the log likelihood of two shares over that of one, from either side's hits and trials; 0 for equal ones."""
    together = (hits + more) / (trials + asked)
    cells = [(hits, trials), (more, asked)]
    yes = sum(k * log(k / (n * together)) for k, n in cells if k)
    return 2.0 * (yes + sum((n - k) * log((n - k) / (n * (1.0 - together))) for k, n in cells if n > k))


def _rates(hits: Sequence[int], trials: Sequence[int]) -> list[float]:
    return [k / n if n else 0.0 for k, n in zip(hits, trials, strict=True)]


def _missing(feature: Feature, rates: Sequence[float]) -> float:
    told = {event.kind: rate for event, rate in zip(feature.events, rates, strict=True)}
    return 1.0 - told["present"] if "present" in told else told.get("missing", 0.0)


def _parts(feature: Feature, sides: Sequence[Sequence[float]]) -> list[Bin]:
    """The parts between the cuts, of the rows that have a value."""
    cuts = [event.at for event in feature.events if event.kind == "below" and event.at is not None]
    if feature.low is None:
        return []
    then, now = ([0.0, *(r for e, r in zip(feature.events, side, strict=True) if e.kind == "below")] for side in sides)
    edges = [None, *cuts, None]
    return [
        Bin(_part_name(low, high), "part", max(t[1] - t[0], 0.0), max(n[1] - n[0], 0.0), low, high)
        for (low, high), t, n in zip(pairwise(edges), pairwise([*then, 1.0]), pairwise([*now, 1.0]), strict=True)
    ]


def _levels(feature: Feature, sides: Sequence[Sequence[float]]) -> list[Bin]:
    """The levels that are asked about, then all others that the reference knows, then those it does not."""
    named = [
        Bin(event.level or "", "level", then, now)
        for event, then, now in zip(feature.events, *sides, strict=True)
        if event.kind == "level"
    ]
    known = {event.kind: pair for event, *pair in zip(feature.events, *sides, strict=True)}
    unseen = known.get("unseen", [0.0, 0.0])
    rest = [1.0 - sum(b.then for b in named) - unseen[0], 1.0 - sum(b.now for b in named) - unseen[1]]
    if max(rest) > SEEN and (named or feature.known):
        only = feature.known[0] if feature.known and len(feature.known) == 1 else None
        named.append(Bin(only or OTHERS, "level" if only else "rest", max(rest[0], 0.0), max(rest[1], 0.0)))
    return [*named, Bin("new levels", "unseen", *unseen)] if max(unseen) > SEEN else named


def _rate_name(event: Event) -> str:
    """An event of the labels or of two columns in few words: the scores that the target is asked at, the two names."""
    if event.of is not None:
        return " and ".join(clipped(name, 40) for name in event.of)
    return (
        "wrong" if event.kind == "error" else event.name.partition(" at a score ")[2].removeprefix("in ") or event.name
    )


def _part_name(low: float | None, high: float | None) -> str:
    if low is None:
        return f"up to {told_value(high)}" if high is not None else "any number"
    return f"above {told_value(low)}" if high is None else f"above {told_value(low)} to {told_value(high)}"
