"""A small MLflow store, filled by a real MLflow client: what `taut import mlflow` has to find again, all kinds of it.

`python tests/faces/mlflow_store.py URI FOLDER` fills the store at URI. `mlflow_tables.sql` is what a full MLflow 3.17.2
made of it, in a folder that is called @HERE@ there: `… mlflow_store.py sqlite:///mlflow.db files`, then `… --dump
mlflow.db`. mlflow-skinny, which the tests have, speaks to servers and to mlruns folders, and to no database.
"""

import math
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

MLMODEL = "flavors:\n  python_function:\n    loader_module: nothing\nutc_time_created: '2024-01-01'\n"
STEPS = 130
FILES = {
    "notes.txt": b"on time\n", "empty.bin": b"", "plots/roc curve.svg": b"<svg/>", "plots/deep/ümlaut.txt": b"\xff\x00",
    "model/MLmodel": MLMODEL.encode(), "model/model.bin": bytes(range(256)) * 40,
}  # fmt: skip
LOGGED_FILES = {"MLmodel": MLMODEL.encode(), "trees.bin": b"trees" * 100}
TABLES = Path(__file__).with_name("mlflow_tables.sql")
HERE = "@HERE@"


def store_in(place: Path) -> Path:
    """A folder with `mlruns`, filled by the client of this environment in a process of its own; returns `mlruns`."""
    place.mkdir(parents=True, exist_ok=True)
    fill_apart(str(place / "mlruns"), place / "files")
    return place / "mlruns"


def fill_apart(uri: str, folder: Path) -> None:
    """Fill a store in a process of its own: MLflow's clients keep more in their modules than a test should share."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, uri, str(folder)],
        env={**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def database_in(place: Path) -> Path:
    """A folder with `mlflow.db` as a full MLflow made it, and the artifacts that it names; returns the file."""
    place.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(place / "mlflow.db")) as connection:
        connection.executescript(TABLES.read_text().replace(HERE, str(place)))
        ((run,),) = connection.execute("SELECT artifact_uri FROM runs WHERE name = 'first ✈'")
        ((model,),) = connection.execute("SELECT artifact_location FROM logged_models WHERE name = 'late'")
    _write(Path(run), FILES)
    _write(Path(model), LOGGED_FILES)
    return place / "mlflow.db"


def fill(uri: str, folder: Path, *, registry: str = "") -> None:
    """Fill the store at `uri`; `folder` is for files on their way into it."""
    import mlflow
    from mlflow import MlflowClient

    mlflow.set_tracking_uri(uri)  # The file store's registry looks logged models up there, whatever its client says.
    client = MlflowClient(uri, registry or uri)
    folder.mkdir(parents=True, exist_ok=True)
    flights = client.create_experiment("flights", tags={"team": "delays", "mlflow.note.content": "Über *late* flights"})
    gone = client.create_experiment("abandoned")
    parent = _runs(client, flights, folder)
    lost = client.create_run(gone, run_name="lost", start_time=1_700_000_000_000, tags={"why": "experiment deleted"})
    client.log_metric(lost.info.run_id, "loss", 2.5, timestamp=1_700_000_000_000)
    client.set_terminated(lost.info.run_id, "KILLED", end_time=1_700_000_009_000)
    client.delete_experiment(gone)
    plain = client.create_run("0", run_name="in the default experiment", start_time=1_690_000_000_000)
    client.log_param(plain.info.run_id, "alpha", "0.5")
    client.set_terminated(plain.info.run_id, "FAILED", end_time=1_690_000_001_000)
    deleted = client.create_run(flights, run_name="thrown away", start_time=1_700_000_500_000)
    client.log_metric(deleted.info.run_id, "auc", 0.1, timestamp=1_700_000_500_001)
    client.delete_run(deleted.info.run_id)
    _registry(client, flights, parent, folder)


def _runs(client: Any, experiment_id: str, folder: Path) -> str:
    """A run with everything, and one below it; returns the first one's id."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    run = client.create_run(
        experiment_id, start_time=1_700_000_000_000, run_name="first ✈",
        tags={"mlflow.user": "ada", "mlflow.source.name": "train.py", "mlflow.source.git.commit": "c0ffee42" * 5},
    )  # fmt: skip
    run_id = run.info.run_id
    points = [Metric("loss", 1 / (1 + i), 1_700_000_000_000 + 10 * i, i) for i in range(STEPS)]
    odd = [math.nan, math.inf, -math.inf, 0.1 + 0.2, 5e-324, -0.0]
    points += [Metric("train/odd", value, 1_700_000_000_000 + i, 3) for i, value in enumerate(odd)]
    points += [Metric("late", 1.0, 1_700_000_000_005, -1), Metric("late", 2.0, 1_700_000_000_004, -1)]
    client.log_batch(run_id, metrics=points)
    client.log_batch(run_id, params=[Param(f"p{i:03}", f"value {i}") for i in range(100)])
    client.log_batch(
        run_id, params=[Param("text", "two\nlines, ünïcode"), Param("empty", "")], tags=[RunTag("a/b", "c: d")]
    )
    dataset = Dataset("flights.csv", "ab12cd", "local", '{"uri": "flights.csv"}', '{"cols": 3}', '{"rows": 9}')
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    _write(folder / "files", FILES)
    client.log_artifacts(run_id, str(folder / "files"))
    child = client.create_run(
        experiment_id, start_time=1_700_000_100_000, tags={"mlflow.parentRunId": run_id, "mlflow.runName": "child"}
    )
    client.log_metric(child.info.run_id, "auc", 0.75, timestamp=1_700_000_100_001, step=0)
    client.set_terminated(child.info.run_id, "FINISHED", end_time=1_700_000_200_000)
    client.set_terminated(run_id, "FINISHED", end_time=1_700_000_300_000)
    return str(run_id)


def _registry(client: Any, experiment_id: str, run_id: str, folder: Path) -> None:
    """A logged model with metrics of its own; a registered model whose second version was deleted; one without any."""
    from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelStatus

    model = client.create_logged_model(
        experiment_id, name="late", source_run_id=run_id, model_type="trees", params={"depth": "4"}, tags={"kind": "x"}
    )
    _write(folder / "logged", LOGGED_FILES)
    client.log_model_artifacts(model.model_id, str(folder / "logged"))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 7)])
    client.log_inputs(run_id, models=[LoggedModelInput(model.model_id)])
    client.log_metric(run_id, "brier", 0.125, timestamp=1_700_000_250_000, step=7, model_id=model.model_id)
    failed = client.create_logged_model(experiment_id, name="broken", source_run_id=run_id)
    client.finalize_logged_model(failed.model_id, LoggedModelStatus.FAILED)
    client.create_registered_model("late-flights", {"owner": "ada"}, "Says whether a *flight* is late")
    source = client.get_run(run_id).info.artifact_uri + "/model"
    for number in (1, 2, 3):
        client.create_model_version(
            "late-flights", source, run_id, tags={"n": str(number)}, description=f"version {number}"
        )
    client.create_model_version("late-flights", f"models:/{model.model_id}", run_id, model_id=model.model_id)
    client.delete_model_version("late-flights", "2")
    client.transition_model_version_stage("late-flights", "1", "Archived")
    client.transition_model_version_stage("late-flights", "3", "Production")
    client.set_registered_model_alias("late-flights", "champion", "3")
    client.set_registered_model_alias("late-flights", "challenger", "4")
    client.copy_model_version("models:/late-flights@champion", "late-copied")
    client.create_registered_model("nothing-yet")


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def dump(database: Path) -> str:
    """The tables of an MLflow database as SQL; indexes, triggers and tables that stand empty are left out."""
    with closing(sqlite3.connect(database)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        empty = {name for name in tables if not connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()}
        lines = "\n".join(line for line in connection.iterdump() if not _is_about(line, empty))
    return lines.replace(str(database.parent.resolve()), HERE) + "\n"


def _is_about(statement: str, tables: set[str]) -> bool:
    found = re.match(r'CREATE TABLE "?(\w+)"?', statement)
    return re.match(r"CREATE (UNIQUE )?(INDEX|TRIGGER)", statement) is not None or (
        found is not None and found[1] in tables
    )


if __name__ == "__main__":
    if sys.argv[1] == "--dump":
        sys.stdout.write(dump(Path(sys.argv[2])))
    else:
        fill(sys.argv[1], Path(sys.argv[2]))
