"""What is plotted: windows, bundled where they are too many to be told apart, and their moving mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from statistics import median

from taut.records import Window

POINTS_MAX = 400  # More than a column of pixels can tell apart, and what keeps the page below its size.
MEAN_OF = 7
MEAN_FROM = 60  # Fewer windows are drawn as they are: a mean of seven of them would hide more than it shows.


@dataclass(frozen=True, slots=True)
class Point:
    """One window, or neighbours of one version and reference, counted together.

    `measures` are means by labelled rows, `evidence` is the largest.
    """

    start_ms: int
    end_ms: int
    version: int
    reference: int
    windows: int
    rows: int
    labelled: int
    measures: dict[str, float | None]
    evidence: dict[str, float]

    @property
    def middle_ms(self) -> float:
        """Where it stands on the time axis."""
        return (self.start_ms + self.end_ms) / 2


def points_of(windows: Sequence[Window], *, most: int = POINTS_MAX) -> list[Point]:
    """Windows as points: one each, or as many neighbours to a point as keeps them to about `most`."""
    size = ceil(len(windows) / most)
    points = []
    for _, alike in groupby(windows, key=lambda window: (window.version, window.reference)):
        some = list(alike)
        points += [_point(some[at : at + size]) for at in range(0, len(some), size)]
    return points


def moving_mean(points: Sequence[Point], measure: str, *, of: int = MEAN_OF) -> list[float | None]:
    """At each point the mean of it and those before it, `of` in all, by labelled rows; it begins anew with a version.

    None where the point itself has no value, so that a gap stays a gap.
    """
    means: list[float | None] = []
    for place, point in enumerate(points):
        before = [one for one in points[max(0, place - of + 1) : place + 1] if one.version == point.version]
        means.append(None if point.measures.get(measure) is None else mean_of(before, measure))
    return means


def mean_of(points: Sequence[Point], measure: str) -> float | None:
    """The mean of a measure by labelled rows; None where no point has one."""
    known = [(value, one.labelled) for one in points if (value := one.measures.get(measure)) is not None]
    weight = sum(labelled for _, labelled in known)
    return sum(value * labelled for value, labelled in known) / weight if weight else None


def segments(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Neighbours of one version, in order."""
    for _, alike in groupby(points, key=lambda point: point.version):
        yield list(alike)


def usual_range(points: Sequence[Point], measure: str) -> tuple[float, float] | None:
    """The lowest and the highest value of a measure; None without values.

    A window of a handful of labels may say anything: those with less than a tenth of the usual number do not count.
    """
    known = [(value, one.labelled) for one in points if (value := one.measures.get(measure)) is not None]
    if not known:
        return None
    enough = median(labelled for _, labelled in known) / 10
    values = [value for value, labelled in known if labelled >= enough]
    return min(values), max(values)


def _point(windows: Sequence[Window]) -> Point:
    first = windows[0]
    one_by_one = [
        Point(w.start_ms, w.end_ms, w.version, w.reference, 1, w.rows, w.labelled, w.measures, w.evidence)
        for w in windows
    ]
    if len(one_by_one) == 1:
        return one_by_one[0]
    measures = dict.fromkeys(name for w in windows for name in w.measures)
    names = dict.fromkeys(name for w in windows for name in w.evidence)
    return Point(
        first.start_ms,
        windows[-1].end_ms,
        first.version,
        first.reference,
        len(windows),
        sum(w.rows for w in windows),
        sum(w.labelled for w in windows),
        {name: mean_of(one_by_one, name) for name in measures},
        {name: max(w.evidence[name] for w in windows if name in w.evidence) for name in names},
    )
