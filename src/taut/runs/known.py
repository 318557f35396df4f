"""The short way of a batch of many metrics to series that this process wrote to a moment ago: none is looked at first.

What is remembered is the number of each series, and that is all: whether it is still the row of that metric, still
moves, has room for another row, and lies behind the point that comes, the statement that changes it asks itself. Where
one of them does not, the transaction is undone and the batch takes the long way.
"""

from collections.abc import Sequence
from threading import Lock
from weakref import WeakKeyDictionary

from taut.ground.bounded import Bounded
from taut.ground.meta import Insert, Metadata, Tx, Update, Value
from taut.runs.points import MetricPoint
from taut.runs.settling import MOVING

TAIL = 1024  # Rows of a series: that many are packed into a chunk.
MANY = 16  # Metrics in one batch from which on the short way is worth remembering.
RUNS_MAX = 64  # Of a run with 1,000 metrics 150 kB are remembered.

INSERT_POINTS = Insert(
    "point", (("series", "BIGINT"), ("step", "BIGINT"), ("at_ms", "BIGINT"), ("value", "DOUBLE PRECISION"))
)
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


class KnownSeries:
    """The numbers of moving series by run and key; of metrics measured on a model or dataset nothing is remembered."""

    def __init__(self) -> None:
        self._runs: Bounded[dict[str, int]] = Bounded(RUNS_MAX)

    def forget(self, run_id: str) -> None:
        """Take the long way the next time."""
        self._runs.put(run_id, {})

    def remember(self, run_id: str, numbers: dict[str, int]) -> None:
        """Moving series of a run, each the only one of its metric."""
        before = self._runs.get(run_id) or {}
        self._runs.put(run_id, {**before, **numbers})

    def write(self, tx: Tx, logged: Sequence[Logged]) -> list[Logged]:
        """Write what may go the short way; returns the rest. Raises Outdated where the store says otherwise."""
        runs = [run_id for run_id, _, _ in logged]
        rest: list[Logged] = []
        rows: list[tuple[Value, ...]] = []
        for one in logged:
            run_id, _, points = one
            numbers = self._runs.get(run_id) if len(points) >= MANY and runs.count(run_id) == 1 else None
            found = _rows(run_id, points, numbers) if numbers else []
            rows += found
            if not found:
                rest.append(one)
        if tx.update(MOVE_SERIES, rows) != len(rows):
            raise Outdated
        tx.insert(INSERT_POINTS, [row[:4] for row in rows])
        return rest


def _rows(run_id: str, points: Sequence[MetricPoint], numbers: dict[str, int]) -> list[tuple[Value, ...]]:
    """A row for each point; none where one of them is of a series that is not known, or two are of the same."""
    rows: list[tuple[Value, ...]] = []
    for point in points:
        number = numbers.get(point.key)
        if number is None or point.model_id or point.dataset_name or point.dataset_digest:
            return []
        rows.append((number, point.step, point.at_ms, point.value, run_id, point.key))
    return rows if len({row[0] for row in rows}) == len(rows) else []


_KNOWN: WeakKeyDictionary[Metadata, KnownSeries] = WeakKeyDictionary()
_LOCK = Lock()


def known_series(meta: Metadata) -> KnownSeries:
    """What this process remembers of a store, as long as it is open."""
    with _LOCK:
        return _KNOWN.setdefault(meta, KnownSeries())
