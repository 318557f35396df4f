"""What the measured runs hold, the same for every server, and how it gets into taut.

`content(number)` says what run `number` holds. `seed_runs` writes the rows that the verbs would write, thousands a
transaction; how they come to be rows is the business of `taut.runs`, whose own statements are used. Only their ledger
entries are left out. `seed_points` logs through the verb.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from taut.ground.meta import Insert, Tx, Value
from taut.home import Home
from taut.runs import MetricPoint, log_batch
from taut.runs.batches import INSERT_PARAMS, NAME_TAG, UPSERT_TAGS
from taut.runs.detail import NOTHING_TEXT
from taut.runs.known import INSERT_NEXT, TAIL
from taut.runs.series import INSERT_SERIES, SELECT_HIGHEST

BEGAN_MS = 1_700_000_000_000
RUN_APART_MS, STEP_APART_MS = 60_000, 1_000
BATCH = 1_000
OPTIMIZERS = ("adam-w", "sgd", "lbfgs")
TEAMS = 5
RUNS_AT_ONCE = 500
INSERT_RUNS = Insert(
    "run",
    (
        ("id", "TEXT"), ("experiment_id", "TEXT"), ("name", "TEXT"), ("status", "TEXT"), ("actor", "TEXT"),
        ("started_ms", "BIGINT"), ("ended_ms", "BIGINT"), ("lifecycle", "TEXT"), ("cause", "TEXT"), ("capture", "TEXT"),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Content:
    """One run: its names and what was logged to it. `metrics` are the values at the last step."""

    run_id: str
    name: str
    started_ms: int
    ended_ms: int
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]

    def series(self, key: str, steps: int) -> Iterator[tuple[int, int, float]]:
        """Step, time and value of the points of a metric, a loss that falls to its last value."""
        last = self.metrics[key]
        for step in range(steps):
            yield step, self.started_ms + step * STEP_APART_MS, last + (steps - 1 - step) * 1e-3


def content(number: int, *, params: int = 20, metrics: int = 20, tags: int = 3) -> Content:
    """What run `number` holds: as an optimiser's trials do, with keys that all runs share.

    A query of `works.py` for `metric_00 > 0.8` and `param_00 = '3'` meets a fiftieth of the runs, one for a team and
    an optimiser a fifteenth.
    """
    chance = random.Random(number)
    words = {"param_00": str(chance.randrange(10)), "param_01": chance.choice(OPTIMIZERS)}
    said = {f"param_{i:02d}": words.get(f"param_{i:02d}") or f"{chance.uniform(0, 1):.6f}" for i in range(params)}
    labels = {"team": f"team-{chance.randrange(TEAMS)}", "mlflow.user": "ada", "mlflow.source.name": "train.py"}
    more = {f"tag_{i:02d}": f"label {chance.randrange(100)}" for i in range(tags - len(labels))}
    started_ms = BEGAN_MS + number * RUN_APART_MS
    return Content(
        run_id=f"{chance.getrandbits(128):032x}",
        name=f"trial-{number}",
        started_ms=started_ms,
        ended_ms=started_ms + 50_000,
        params=said,
        metrics={f"metric_{i:02d}": chance.random() for i in range(metrics)},
        tags=dict(list((labels | more).items())[:tags]),
    )


def curve(points: int) -> Iterator[tuple[int, int, float]]:
    """Step, time and value of one long series: a loss that falls and wavers."""
    chance = random.Random(points)
    for step in range(points):
        yield step, BEGAN_MS + step * STEP_APART_MS, 2.0 * math.exp(-5.0 * step / points) + chance.uniform(-0.05, 0.05)


def seed_runs(
    home: Home, experiment_id: str, *, runs: int, params: int = 20, metrics: int = 20, tags: int = 3, steps: int = 1
) -> list[str]:
    """Make finished runs in taut, each metric with so many steps; returns their ids, oldest first."""
    assert steps < TAIL, "longer series would be sealed into chunks, which is not done here"
    made: list[str] = []
    for start in range(0, runs, RUNS_AT_ONCE):
        some = [
            content(number, params=params, metrics=metrics, tags=tags)
            for number in range(start, min(start + RUNS_AT_ONCE, runs))
        ]
        with home.meta.transaction() as tx:
            tx.insert(INSERT_RUNS, [_run(one, experiment_id) for one in some])
            tx.insert(
                INSERT_PARAMS, [(one.run_id, *pair, experiment_id) for one in some for pair in one.params.items()]
            )
            tx.insert(UPSERT_TAGS, [(one.run_id, *pair, experiment_id) for one in some for pair in _tags(one)])
            _series(tx, some, experiment_id, steps)
        made += [one.run_id for one in some]
    return made


def _run(one: Content, experiment_id: str) -> tuple[Value, ...]:
    return (
        one.run_id, experiment_id, one.name, "FINISHED", "bench", one.started_ms, one.ended_ms, "active", "manual",
        NOTHING_TEXT,
    )  # fmt: skip


def _tags(one: Content) -> Iterator[tuple[str, str]]:
    yield from one.tags.items()
    yield NAME_TAG, one.name


def _series(tx: Tx, some: list[Content], experiment_id: str, steps: int) -> None:
    highest = tx.row(SELECT_HIGHEST)
    number = int(str(highest[0] if highest else 0))
    rows: list[tuple[Value, ...]] = []
    points: list[tuple[Value, ...]] = []
    for one in some:
        for key in one.metrics:
            number += 1
            course = list(one.series(key, steps))
            points += [(number, *point) for point in course]
            state = (*course[-1], 1, steps, steps, None, None)
            rows.append((number, *state, course[-1][2], one.run_id, key, "", "", "", experiment_id))
    tx.insert(INSERT_NEXT, points)
    tx.insert(INSERT_SERIES, rows)


def seed_points(home: Home, run_id: str, key: str, *, points: int) -> None:
    """Log one long series to a run of taut: `curve(points)`."""
    _log(home, run_id, [MetricPoint(key, value, step, at_ms) for step, at_ms, value in curve(points)])


def _log(home: Home, run_id: str, points: list[MetricPoint]) -> None:
    for start in range(0, len(points), BATCH):
        log_batch(home, run_id, metrics=points[start : start + BATCH])
