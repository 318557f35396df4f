"""Which series the index of values holds: those of runs that stand still. Whoever searches asks the others one by one.

To move an entry of an index of values costs more than the point that moves it: for a batch of a thousand metrics a
thousand pages are written to hold a thousand other places. So a run's series come into that index when it has ended, or
when so many runs move that to look at each would cost a search too much; and leave it when they are written to again.
"""

from collections.abc import Iterable, Mapping, Sequence

from taut.ground.meta import Insert, Tx

OLDER, SETTLED, MOVING = 0, 1, 2
"""What `newest` says of a series: another has the metric's latest point; this one has it and stands still; or moves."""

MOVING_MAX = 256  # Runs of one experiment that move; to look at a metric of each takes a millisecond.
SETTLED_AT_ONCE = 64  # Many at once, for what they have of one metric lies together in the index.

SETTLE = f"""
UPDATE series SET newest = {SETTLED}, stood = value WHERE run_id IN [:runs] AND newest = {MOVING}
"""  # noqa: S608  # Constants only.
END_MOVING = "DELETE FROM moving_run WHERE run_id IN [:runs]"
BEGIN_MOVING = Insert(
    "moving_run",
    (("experiment_id", "TEXT"), ("first", "BIGINT"), ("run_id", "TEXT")),
    "ON CONFLICT (run_id) DO NOTHING",
)
COUNT_MOVING = f"""
SELECT COUNT(*) FROM (
    SELECT 1 FROM moving_run WHERE experiment_id = :experiment LIMIT {MOVING_MAX + 1}
) AS moving
"""  # noqa: S608
SELECT_OLDEST = f"""
SELECT run_id FROM moving_run WHERE experiment_id = :experiment ORDER BY first LIMIT {SETTLED_AT_ONCE}
"""  # noqa: S608
# Whoever writes to a run holds its row. None is waited for: two that settle each other's runs would wait forever.
HOLD = {
    "sqlite": "SELECT id FROM run WHERE id IN [:runs]",
    "postgresql": "SELECT id FROM run WHERE id IN [:runs] FOR UPDATE SKIP LOCKED",
}


def settle(tx: Tx, runs: Sequence[str]) -> None:
    """Take the metrics of runs into the index of values, for they have ended. The caller holds the runs' rows."""
    tx.execute(SETTLE, {"runs": list(runs)})
    tx.execute(END_MOVING, {"runs": list(runs)})


def begin_moving(tx: Tx, dialect: str, begun: Iterable[tuple[str, int]], experiments: Mapping[str, str]) -> None:
    """Note the runs whose series, by run and number, begin to move. Where too many runs move, the oldest settle."""
    first: dict[str, int] = {}
    for run_id, number in begun:
        first[run_id] = min(number, first.get(run_id, number))
    tx.insert(BEGIN_MOVING, [(experiments[run_id], number, run_id) for run_id, number in first.items()])
    for experiment in {experiments[run_id] for run_id in first}:
        counted = tx.row(COUNT_MOVING, {"experiment": experiment})
        if counted is None or int(str(counted[0])) <= MOVING_MAX:
            continue
        oldest = [str(row[0]) for row in tx.rows(SELECT_OLDEST, {"experiment": experiment})]
        if held := [str(row[0]) for row in tx.rows(HOLD[dialect], {"runs": oldest})]:
            settle(tx, held)
