"""What the measured runs hold, the same for every server, and how it gets into taut.

`content(number)` says what run `number` holds. `seed_runs` and `seed_points` write it through taut's own verbs; whoever
knows a faster way through the store replaces their insides, and nothing else changes.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from taut.home import Home
from taut.runs import MetricPoint, create_run, log_batch, update_run

BEGAN_MS = 1_700_000_000_000
RUN_APART_MS, STEP_APART_MS = 60_000, 1_000
BATCH = 1_000
OPTIMIZERS = ("adam-w", "sgd", "lbfgs")
TEAMS = 5


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
    made = []
    for number in range(runs):
        one = content(number, params=params, metrics=metrics, tags=tags)
        create_run(
            home, experiment_id=experiment_id, run_id=one.run_id, name=one.name, started_ms=one.started_ms,
            tags=one.tags,
        )  # fmt: skip
        log_batch(home, one.run_id, params=one.params)
        points = [
            MetricPoint(key, value, step, at_ms) for key in one.metrics for step, at_ms, value in one.series(key, steps)
        ]
        _log(home, one.run_id, points)
        update_run(home, one.run_id, status="FINISHED", ended_ms=one.ended_ms)
        made.append(one.run_id)
    return made


def seed_points(home: Home, run_id: str, key: str, *, points: int) -> None:
    """Log one long series to a run of taut: `curve(points)`."""
    _log(home, run_id, [MetricPoint(key, value, step, at_ms) for step, at_ms, value in curve(points)])


def _log(home: Home, run_id: str, points: list[MetricPoint]) -> None:
    for start in range(0, len(points), BATCH):
        log_batch(home, run_id, metrics=points[start : start + BATCH])
