"""Scenes for the loop: a project with a small real model, its gate's rows, a trainer, and days of labelled traffic."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from taut.deploy import find_deployment, list_deployments, stop_deployment
from taut.ground.access import Actor
from taut.ground.clock import SetClock, iso
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.models import fetch_model, find_model, gate_model, load_model, promote_model, register_folder
from taut.project import ProjectFile, read_project
from taut.serve import log_labels, log_prediction
from tests.serve.scenes import save_model

DAY_MS = 86_400_000
BEGIN_MS = 1_700_006_400_000  # A midnight in UTC, 15 November 2023: day 0 of the traffic.
ROWS_A_DAY = 110  # A gate wants 100 rows at least, and the newest day alone is what it judges by here.

PROJECT = """\
models:
  late:
    gate:
      data: data/holdout.csv
      target: late
      time: event_time
      checks:
        - {measure: roc_auc, at_least: 0.55}
        - {measure: brier, against: champion}
deployments:
  late: {model: late@champion}
monitors:
  late: {window: 1d, alpha: 0.02}
triggers:
  late: {run: python train.py, target: late, holdout_for: 1d, cooldown: 20d}
"""

# Learns from the newest two days of what it is given, and hands the model in as an MLflow client would.
TRAIN = """\
import csv, io, os, sys
from pathlib import Path
import numpy as np
from taut.home import open_home
from taut.runs import create_logged_model, finish_logged_model, get_run, log_batch, put_artifact
sys.path.insert(0, {root!r})
from tests.pipelines.scenes import fitted
from tests.serve.scenes import save_model

with open("data/labelled.csv") as stream:
    rows = list(csv.DictReader(stream))[-{rows}:]
folder = save_model(Path("trained"), fitted(np.array([[float(r["delay"]), float(r["seats"])] for r in rows]),
                                            np.array([int(r["late"]) for r in rows])))
with open_home() as home:
    run = get_run(home, os.environ["MLFLOW_RUN_ID"])
    log_batch(home, run.id, params={{"rows": str(len(rows))}})
    model = create_logged_model(home, run.experiment_id, name="model", run_id=run.id)
    for path in sorted(folder.iterdir()):
        oid = home.objects.put(io.BytesIO(path.read_bytes()))
        put_artifact(home, f"{{run.experiment_id}}/models/{{model.id}}/artifacts", path.name, oid, path.stat().st_size)
    finish_logged_model(home, model.id, "READY")
print("trained on", len(rows))
"""


@dataclass(frozen=True)
class Day:
    """One day of flights: what is asked of each, and what turns out."""

    inputs: dict[str, list[Any]]
    late: list[int]


def day_of(number: int, *, drift_from: int, rows: int = ROWS_A_DAY) -> Day:
    """Flights of day `number`, the same in every run; from `drift_from` on, more of them are late."""
    chance = np.random.default_rng(1000 + number)
    delay, seats = chance.normal(size=rows), chance.integers(50, 300, rows)
    bias = 0.0 if number < drift_from else 0.9
    late = chance.random(rows) < 1 / (1 + np.exp(-2.0 * delay - bias))
    inputs = {"delay": delay.tolist(), "seats": seats.tolist(), "carrier": ["UA"] * rows}
    return Day(inputs, late.astype(int).tolist())


def fitted(columns: Any, late: Any) -> Any:
    """A real scikit-learn classifier of delay and seats."""
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scale = make_column_transformer((StandardScaler(), ["delay", "seats"]))
    return make_pipeline(scale, LogisticRegression()).fit(pd.DataFrame(columns, columns=["delay", "seats"]), late)


def write_holdout(folder: Path, days: range) -> None:
    """The gate's rows: the labelled flights of these days."""
    (folder / "data").mkdir(exist_ok=True)
    with (folder / "data" / "holdout.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["event_time", "delay", "seats", "carrier", "late"])
        for number in days:
            day = day_of(number, drift_from=10**9)
            moment = iso(BEGIN_MS + number * DAY_MS + 1)
            writer.writerows([moment, *row] for row in zip(*day.inputs.values(), day.late, strict=True))


def write_project(folder: Path, text: str = PROJECT) -> None:
    """A folder with taut.yaml, a trainer and the gate's rows of the ten days before day 0."""
    folder.mkdir(exist_ok=True)
    make_folder(folder)
    (folder / "taut.yaml").write_text(text)
    root = str(Path(__file__).parents[2])
    (folder / "train.py").write_text(TRAIN.format(root=root, rows=2 * ROWS_A_DAY))
    write_holdout(folder, range(-10, 0))


def first_model(home: Home) -> None:
    """Train on the days before the gate's, register, judge and promote version 1."""
    days = [day_of(number, drift_from=10**9) for number in range(-40, -10)]
    columns = np.array([row for day in days for row in zip(day.inputs["delay"], day.inputs["seats"], strict=True)])
    model = fitted(columns, np.array([late for day in days for late in day.late]))
    version = register_folder(home, "late", save_model(home.project / "first", model))
    spec = read_project(home.project).models["late"].gate
    assert spec is not None
    assert gate_model(home, "late", version.number, spec=spec, folder=home.project).passed
    promote_model(home, "late", version.number)


@dataclass
class Simulated:
    """The project on a clock that passes days: each day is asked, answered by whoever serves, and labelled."""

    home: Home
    clock: SetClock
    drift_from: int = 30
    day: int = 0
    loaded: dict[str, Any] = field(default_factory=dict)

    @property
    def project(self) -> ProjectFile:
        return read_project(self.home.project)

    def pass_day(self) -> None:
        """Ask about all flights of the day in one request, learn what became of them, and let the night come."""
        day = day_of(self.day, drift_from=self.drift_from)
        deployment = find_deployment(self.home, "late")
        version = f"{deployment.model}@{deployment.number}"
        if version not in self.loaded:
            found = find_model(self.home, version)
            self.loaded[version] = load_model(fetch_model(self.home, found), found.digest)
        outputs = self.loaded[version].predict(day.inputs)
        event_ms = BEGIN_MS + self.day * DAY_MS + 1
        log_prediction(self.home, "late", f"day{self.day}", deployment.revision, event_ms, day.inputs, outputs)
        log_labels(self.home, "late", {f"day{self.day}.{row}": float(late) for row, late in enumerate(day.late)})
        self.day += 1
        self.clock.pass_ms(DAY_MS)


@contextmanager
def simulated(folder: Path, *, drift_from: int = 30, text: str = PROJECT) -> Iterator[Simulated]:
    """A project with version 1 promoted, on day 0; what it started is stopped at the end."""
    write_project(folder, text)
    clock = SetClock(BEGIN_MS)
    with open_home(folder, actor=Actor("ada", "owner"), clock=clock) as home:
        try:
            first_model(home)
            yield Simulated(home, clock, drift_from)
        finally:
            for deployment in list_deployments(home):
                stop_deployment(home, deployment.name)
