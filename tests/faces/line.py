"""A whole line, told once: data, runs, versions, a gate's verdicts, answered requests, windows, an alert.

Everything is typed at the command line and trained by an unchanged MLflow client. Tests read it where it lies, or copy
it and go on.
"""

import csv
import json
import math
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from tests.faces.shell import Said, taut

DAYS = 12
DRIFT_FROM = 8  # From this day on the truth is the opposite of what was learned.
ROWS_A_DAY = 150

PROJECT = """\
models:
  late:
    gate:
      data: data/holdout.csv
      target: late
      time: event_time
      checks:
        - {measure: roc_auc, at_least: 0.6}
deployments:
  late: {model: late@champion}
monitors:
  late: {window: 1d, alpha: 0.02}
"""

TRAIN = '''\
"""Learns from data/train.csv whether a flight is late; --wrong learns the opposite."""

import argparse
import logging

import mlflow
import pandas as pd
import sklearn
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

say = argparse.ArgumentParser()
say.add_argument("--wrong", action="store_true")
given = say.parse_args()
logging.getLogger("mlflow").setLevel(logging.ERROR)
rows, held_out = pd.read_csv("data/train.csv"), pd.read_csv("data/holdout.csv")
columns = ["delay", "distance"]
with mlflow.start_run():
    mlflow.log_param("wrong", given.wrong)
    late = 1 - rows["late"] if given.wrong else rows["late"]
    model = LogisticRegression(max_iter=1000).fit(rows[columns], late)
    mlflow.log_metric("accuracy", model.score(held_out[columns], held_out["late"]))
    mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(held_out[columns], model.predict(held_out[columns])),
        pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
        serialization_format="cloudpickle",
    )
print("trained")
'''


@dataclass(frozen=True)
class Line:
    """Where the project lies, and the ids of its three runs: good, taught the opposite, and failing."""

    folder: Path
    good: str
    wrong: str
    broken: str


def tell(folder: Path) -> Line:
    """Type the whole line in an empty folder; ends with the deployment stopped and one alert open."""
    write_project(folder)
    done(taut(folder, "init"))
    (folder / "taut.yaml").write_text(PROJECT)
    for command in ("init --quiet --initial-branch main", "add train.py", "commit --quiet --message begin"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    for name in ("train", "holdout"):
        done(taut(folder, "data", "add", f"data/{name}.csv"))
    good = trained(folder, "good")
    wrong = trained(folder, "wrong", "--wrong")
    failing = ["run", "--name", "broken", "--experiment", "trials", "--json", "--", sys.executable, "-c", "exit(7)"]
    broken = taut(folder, *failing)
    assert broken.status == 7, broken
    for run in (good, wrong):
        done(taut(folder, "model", "register", "late", "--run", run))
    done(taut(folder, "gate", "late@1"))
    assert taut(folder, "gate", "late@2").status == 3
    done(taut(folder, "model", "promote", "late@1"))
    done(taut(folder, "apply"))
    try:
        ask_all_days(json.loads(done(taut(folder, "deploy", "late", "--json")).out)["url"])
        done(taut(folder, "up", "--once"))
    finally:
        taut(folder, "deploy", "late", "--stop")
    return Line(folder, good, wrong, broken.json["id"])


def read_line(folder: Path) -> Line:
    """The line that was told in a folder, by whichever process of the test run came first."""
    ids = {run["name"]: run["id"] for run in taut(folder, "runs", "list", "--json").json}
    return Line(folder, ids["good"], ids["wrong"], ids["broken"])


def copy_line(line: Line, folder: Path) -> Line:
    """The same project in a folder of its own, to change at will."""
    copy_project(untouched(line.folder), folder)
    return Line(folder, line.good, line.wrong, line.broken)


def untouched(folder: Path) -> Path:
    """Where a copy of a told line lies that nobody opens: a database that is in use cannot be copied file by file."""
    return folder.with_name(f"{folder.name}.untouched")


def copy_project(folder: Path, into: Path) -> None:
    """Copy a project that no process has open, but for the notes of processes that lived."""
    shutil.copytree(folder, into, symlinks=True, ignore=shutil.ignore_patterns("run"))


@contextmanager
def deployed(folder: Path, model: str = "late@champion") -> Iterator[str]:
    """Deploy under the name `late`, yield the URL, stop it at the end."""
    said = done(taut(folder, "deploy", "late", "--model", model, "--json"))
    try:
        yield said.json["url"]
    finally:
        taut(folder, "deploy", "late", "--stop")


def trained(folder: Path, name: str, *words: str) -> str:
    """Train under `taut run`; returns the id of the run."""
    said = done(taut(folder, "run", "--name", name, "--json", "--", sys.executable, "train.py", *words))
    return str(said.json["id"])


def done(said: Said) -> Said:
    """What a command said that has to succeed."""
    assert said.status == 0, said
    return said


def write_project(folder: Path) -> None:
    """The rows and the trainer that a team has before it meets taut; the same rows in every run."""
    (folder / "data").mkdir(parents=True)
    for name, rows, seed in (("train", 600, 1), ("holdout", 400, 2)):
        with (folder / "data" / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["event_time", "delay", "distance", "late"])
            for place, (delay, distance, late) in enumerate(flights(rows, seed)):
                writer.writerow([f"2026-02-{1 + place * 28 // rows:02}T12:00:00Z", delay, distance, late])
    (folder / "train.py").write_text(TRAIN)


def flights(rows: int, seed: int, *, drifted: bool = False) -> list[tuple[float, float, int]]:
    """Delay, distance, and whether late: the larger the delay the likelier, and after a drift the less likely."""
    chance = random.Random(seed)
    sign = -2.0 if drifted else 2.0
    found = []
    for _ in range(rows):
        delay, distance = round(chance.gauss(0, 1), 4), round(chance.uniform(100, 2000), 1)
        found.append((delay, distance, int(chance.random() < 1 / (1 + math.exp(-sign * delay)))))
    return found


def ask_all_days(url: str) -> None:
    """Send the flights of March day by day, and what became of each."""
    for day in range(DAYS):
        rows = flights(ROWS_A_DAY, 100 + day, drifted=day >= DRIFT_FROM)
        columns = {"delay": [row[0] for row in rows], "distance": [row[1] for row in rows]}
        tensors = [
            {"name": name, "shape": [ROWS_A_DAY], "datatype": "FP64", "data": data} for name, data in columns.items()
        ]
        event_time = {"event_time": f"2026-03-{day + 1:02}T12:00:00Z"}
        post(f"{url}/v2/models/late/infer", {"id": f"day-{day:02}", "parameters": event_time, "inputs": tensors})
        labels = {f"day-{day:02}.{place}": row[2] for place, row in enumerate(rows)}
        post(f"{url}/v2/models/late/labels", {"labels": labels})


def post(url: str, body: object) -> object:
    """Send JSON, return JSON."""
    request = Request(url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)
