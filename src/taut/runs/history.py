"""The course of a metric: every point, page by page; or the few that a chart can show, the extremes among them."""

import heapq
from dataclasses import dataclass

from taut.errors import Invalid, NotFound
from taut.ground.meta import Tx, Value
from taut.home import Home, verb
from taut.runs.pages import check_page_size, read_token, token_of
from taut.runs.points import INT64_MAX, MetricPoint, Place, Triple, rank
from taut.runs.rights import of_run
from taut.runs.series import FIRST, Series, chart_points, points_from, read_series

HISTORY_MAX = 25_000
CHART_MAX = 25_000
SELECT_RUN = "SELECT 1 FROM run WHERE id = :run_id"


@dataclass(frozen=True, slots=True)
class History:
    """Points of one metric in order of step and time, as columns; `next_page` is empty on the last page.

    A value that is None is not-a-number. `model_ids` names the logged model each was measured on, and is empty where
    none was on any.
    """

    key: str
    steps: tuple[int, ...] = ()
    at_ms: tuple[int, ...] = ()
    values: tuple[float | None, ...] = ()
    model_ids: tuple[str, ...] = ()
    next_page: str = ""

    @property
    def points(self) -> tuple[MetricPoint, ...]:
        """The same as records."""
        models = self.model_ids or ("",) * len(self.steps)
        rows = zip(self.values, self.steps, self.at_ms, models, strict=True)
        return tuple(MetricPoint(self.key, *row) for row in rows)


@verb("run.history", needs="run:read", on=of_run)
def metric_history(
    home: Home, run_id: str, key: str, *, max_results: int = HISTORY_MAX, page_token: str = ""
) -> History:
    """The points of one metric of a run, in order of step and time; none where it was never logged."""
    check_page_size(max_results, at_most=HISTORY_MAX)
    step, at_ms, skip = (_whole(part) for part in read_token(page_token, length=3) or [*FIRST, 0])
    with home.meta.read() as tx:
        found = _merged(tx, _series_of(tx, run_id, key), (step, at_ms), max_results + skip + 1)[skip:]
    if len(found) <= max_results:
        return _history(key, found)
    last = found[max_results - 1][0][:2]
    same = sum(point[:2] == last for point, _ in found[:max_results])
    # A token is the place of the last point and how many points share that place with it and came before it.
    return _history(key, found[:max_results], token_of([*last, same + (skip if last == (step, at_ms) else 0)]))


@verb("run.chart", needs="run:read", on=of_run)
def chart_history(
    home: Home,
    run_id: str,
    key: str,
    *,
    points_max: int = 1000,
    from_step: int = -INT64_MAX,
    to_step: int = INT64_MAX,
) -> History:
    """Points of which the course of a metric between two steps can be drawn: of each stretch the lowest and highest.

    All of them where there are no more than `points_max`. However long the series, packed summaries are read, not it.
    """
    check_page_size(points_max, at_most=CHART_MAX)
    with home.meta.read() as tx:
        found = [
            (point, series.model_id)
            for series in _series_of(tx, run_id, key)
            for point in chart_points(tx, series, points_max, from_step, to_step)
        ]
    found.sort(key=lambda one: rank(one[0]))
    return _history(key, found)


def _series_of(tx: Tx, run_id: str, key: str) -> list[Series]:
    series = read_series(tx, [run_id], [key])
    if not series and tx.row(SELECT_RUN, {"run_id": run_id}) is None:
        raise NotFound(f"Run with id {run_id[:80]!r} not found", hint="taut runs list")
    return series


def _merged(tx: Tx, several: list[Series], start: Place, count: int) -> list[tuple[Triple, str]]:
    parts = [[(point, one.model_id) for point in points_from(tx, one, start, count)] for one in several]
    if len(parts) <= 1:
        return parts[0] if parts else []
    return list(heapq.merge(*parts, key=lambda one: (rank(one[0]), one[1])))[:count]


def _history(key: str, found: list[tuple[Triple, str]], next_page: str = "") -> History:
    if not found:
        return History(key)
    points, models = zip(*found, strict=True)
    steps, times, values = zip(*points, strict=True)
    return History(key, steps, times, values, models if any(models) else (), next_page)


def _whole(value: Value) -> int:
    if not isinstance(value, int):
        raise Invalid(f"a page token holds {value!r} where a whole number belongs")
    return value
