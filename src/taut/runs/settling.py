"""Which series the index of values holds: those that stand still. Whoever searches asks for the others by themselves.

To move an entry of an index of values costs more than the point that moves it: for a batch of a thousand metrics a
thousand pages are written to hold a thousand other places. So a series leaves that index when it is written to a second
time, and comes back when its run has ended, or when so many move that to look at each would cost a search too much.
"""

from collections.abc import Sequence

from taut.ground.meta import Tx

OLDER, SETTLED, MOVING = 0, 1, 2
"""What `newest` says of a series: another has the metric's latest point; this one has it and stands still; or moves."""

MOVING_MAX = 256  # Series of one metric in one experiment that move; to fetch and sort them takes a millisecond.
SETTLED_AT_ONCE = 128

SETTLE = f"""
UPDATE series SET newest = {SETTLED}, stood = value WHERE run_id IN [:runs] AND newest = {MOVING}
"""  # noqa: S608  # Constants only.
VALUES = {SETTLED: "stood", MOVING: "value"}
"""Where a search finds the latest value of a series: `stood` is what the index holds, and no point changes it."""

COUNT_MOVING = f"""
SELECT COUNT(*) FROM (
    SELECT 1 FROM series WHERE experiment_id = :experiment AND key = :key AND newest = {MOVING} LIMIT {MOVING_MAX + 1}
) AS moving
"""  # noqa: S608
SELECT_OLDEST = f"""
SELECT run_id FROM series WHERE experiment_id = :experiment AND key = :key AND newest = {MOVING}
ORDER BY id LIMIT {SETTLED_AT_ONCE}
"""  # noqa: S608
# Whoever writes to a run holds its row. None is waited for: two that settle each other's runs would wait forever.
HOLD = {
    "sqlite": "SELECT id FROM run WHERE id IN [:runs]",
    "postgresql": "SELECT id FROM run WHERE id IN [:runs] FOR UPDATE SKIP LOCKED",
}


def settle(tx: Tx, runs: Sequence[str]) -> None:
    """Take the metrics of runs that have ended into the index of values. The caller holds the runs' rows."""
    tx.execute(SETTLE, {"runs": list(runs)})


def settle_oldest(tx: Tx, dialect: str, experiment: str, key: str) -> None:
    """Where too many series of a metric move, let the oldest settle, and whatever else was logged to their runs."""
    found = tx.row(COUNT_MOVING, {"experiment": experiment, "key": key})
    if found is None or int(str(found[0])) <= MOVING_MAX:
        return
    oldest = [str(row[0]) for row in tx.rows(SELECT_OLDEST, {"experiment": experiment, "key": key})]
    if held := [str(row[0]) for row in tx.rows(HOLD[dialect], {"runs": oldest})]:
        settle(tx, held)
