"""The short way of points to series that this process wrote to a moment ago: none of them is looked at first.

What is remembered is no truth: whether a series is still the row of that metric, still moves, has room for another row,
and lies behind the point that comes, the statement that changes it asks itself. Where one of them does not, the
transaction is undone and what was logged takes the long way.
"""

from collections.abc import Sequence
from threading import Lock
from weakref import WeakKeyDictionary

from taut.ground.bounded import Bounded
from taut.ground.meta import Insert, Metadata, Tx, Update, Value
from taut.runs.points import MetricPoint
from taut.runs.settling import MOVING

TAIL = 1024  # Rows of a series: that many are packed into a chunk.
SERIES_MAX = 50_000  # Each takes some 250 bytes.

INSERT_POINTS = Insert(
    "point",
    (("series", "BIGINT"), ("step", "BIGINT"), ("at_ms", "BIGINT"), ("value", "DOUBLE PRECISION"), ("nth", "BIGINT")),
)
INSERT_NEXT = Insert("point", INSERT_POINTS.columns[:-1])
"""Points behind all others of their series, so that each is the first at its place."""
MOVE_SERIES = Update(
    "series",
    (("id", "BIGINT"), ("step", "BIGINT"), ("at_ms", "BIGINT"), ("value", "DOUBLE PRECISION")),
    compared=(("run_id", "TEXT"), ("key", "TEXT")),
    also="points = it.points + 1, tail = it.tail + 1",
    # Held against IS TRUE, for else PostgreSQL would look for the rows by these and not by their numbers.
    where="(it.run_id = {run_id} AND it.key = {key} AND it.model_id = '' AND it.dataset_name = '' "
    f"AND it.dataset_digest = '' AND it.newest = {MOVING} AND it.tail < {TAIL - 1} "
    "AND (it.step < {step} OR (it.step = {step} AND it.at_ms < {at_ms}))) IS TRUE",
)

Logged = tuple[str, str, Sequence[MetricPoint]]
"""A run, its experiment, and points of it."""


class Outdated(Exception):
    """Something that was remembered is so no longer: undo all, forget it and take the long way."""


Moving = tuple[int, int, int, int]
"""What is remembered of a moving series: its number, step and time of its latest point, and how many of it are rows."""


UNKNOWN: Moving = (0, 0, 0, TAIL)


class KnownSeries:
    """Moving series by run and key; of metrics measured on a model or dataset nothing is remembered."""

    def __init__(self) -> None:
        self._runs: Bounded[dict[str, Moving]] = Bounded(SERIES_MAX, weigh=len)

    def forget(self, run_id: str) -> None:
        """Take the long way the next time."""
        self._runs.drop(run_id)

    def remember(self, run_id: str, moving: dict[str, Moving]) -> None:
        """Moving series of a run, each the only one of its metric."""
        self._runs.put(run_id, {**(self._runs.get(run_id) or {}), **moving})

    def write(self, tx: Tx, logged: Sequence[Logged]) -> list[Logged]:
        """Write what may go the short way; returns the rest. Raises Outdated where the store says otherwise."""
        rest: list[Logged] = []
        rows: list[tuple[Value, ...]] = []
        moved: list[tuple[dict[str, Moving], dict[str, Moving]]] = []
        taken = set[int]()
        for one in logged:
            run_id, _, points = one
            known = self._runs.get(run_id)
            own, after = _moved(run_id, points, known, taken) if known else ([], {})
            if own and known:
                rows += own
                moved.append((known, after))
            else:
                rest.append(one)
        if tx.update(MOVE_SERIES, rows) != len(rows):
            raise Outdated
        tx.insert(INSERT_NEXT, [row[:4] for row in rows])
        for known, after in moved:
            known.update(after)
        return rest


def _moved(
    run_id: str, points: Sequence[MetricPoint], known: dict[str, Moving], taken: set[int]
) -> tuple[list[tuple[Value, ...]], dict[str, Moving]]:
    """A row for each point, and the series as they leave them; nothing where one is not the next of a known series."""
    rows: list[tuple[Value, ...]] = []
    after: dict[str, Moving] = {}
    for point in points:
        key, at_step, at_ms = point.key, point.step, point.at_ms
        number, step, before_ms, tail = known.get(key, UNKNOWN)
        is_next = step < at_step or (step == at_step and before_ms < at_ms)
        if (
            not is_next
            or tail >= TAIL - 1
            or key in after
            or number in taken
            or point.model_id
            or point.dataset_name
            or point.dataset_digest
        ):
            return [], {}
        rows.append((number, at_step, at_ms, point.value, run_id, key))
        after[key] = (number, at_step, at_ms, tail + 1)
    taken.update(series[0] for series in after.values())
    return rows, after


_KNOWN: WeakKeyDictionary[Metadata, KnownSeries] = WeakKeyDictionary()
_LOCK = Lock()


def known_series(meta: Metadata) -> KnownSeries:
    """What this process remembers of a store, as long as it is open."""
    with _LOCK:
        return _KNOWN.setdefault(meta, KnownSeries())
