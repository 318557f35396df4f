"""A stock MLflow server beside taut: started as its documentation says, filled with the very same runs.

Runs are written by SQL into the tables that the server made itself, for over HTTP 50,000 of them would take hours.
`check_seeding` holds one run that came by SQL against its twin that came over HTTP: the server must tell them alike.
"""

import json
import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.load import ask, get, post
from bench.machine import Server, port
from bench.seeding import Content, content, curve

API = "/api/2.0/mlflow"
COLUMNS = {
    "runs": "run_uuid name source_type source_name entry_point_name user_id status start_time end_time source_version"
    " lifecycle_stage artifact_uri experiment_id",
    "params": "key value run_uuid",
    "tags": "key value run_uuid",
    "metrics": "key value timestamp run_uuid step is_nan",
    "latest_metrics": "key value timestamp step is_nan run_uuid",
}
# Its workers are its default; the answers of no other machine are waited for.
ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
CHUNK = 2_000

Rows = dict[str, list[tuple[Any, ...]]]


def mlflow_version(python: str) -> str:
    """The version of MLflow that an interpreter has; empty where it has none or is none."""
    command = [python, "-c", "import mlflow, mlflow.server; print(mlflow.__version__)"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def stock_server(python: str, folder: Path, store_url: str) -> Server:
    """`mlflow server` with its defaults, on a store and a folder for artifacts."""
    number = port()
    # SQLAlchemy's default driver differs between its versions; MLflow's documentation names this one.
    store_url = store_url.replace("postgresql://", "postgresql+psycopg2://")
    command = [python, "-m", "mlflow", "server", "--backend-store-uri", store_url]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(number)]
    return Server(command, number, folder, ENVIRONMENT)


def new_experiment(port: int, name: str) -> str:
    """Make an experiment over HTTP; returns its id."""
    return str(json.loads(ask(port, post(f"{API}/experiments/create", {"name": name})))["experiment_id"])


def seed_runs(store_url: str, experiment_id: str, *, runs: int, steps: int = 1) -> list[str]:
    """The runs of `seeding.content` by SQL, as MLflow's store would have written them; returns their ids."""
    made = []
    with _Writer(store_url) as writer:
        for start in range(0, runs, CHUNK):
            group = [content(number) for number in range(start, min(start + CHUNK, runs))]
            writer.write(_rows(group, experiment_id, steps))
            made += [one.run_id for one in group]
    return made


def seed_points(store_url: str, run_id: str, key: str, *, points: int) -> None:
    """One long series by SQL: `seeding.curve`."""
    with _Writer(store_url) as writer:
        part: list[tuple[Any, ...]] = []
        for step, at_ms, value in curve(points):
            part.append((key, value, at_ms, run_id, step, False))
            if len(part) == 50 * CHUNK or step == points - 1:
                writer.write({"metrics": part})
                part = []
        writer.write({"latest_metrics": [(key, value, at_ms, step, False, run_id)]})


def check_seeding(server: Server, store_url: str) -> None:
    """Raise AssertionError unless a run by SQL and the same run over HTTP are told alike."""
    experiment_id = new_experiment(server.port, "twins")
    (by_sql,) = seed_runs_of(store_url, experiment_id, [content(10**6)], steps=2)
    over_http = _log_over_http(server.port, experiment_id, content(10**6), steps=2)
    told = [json.loads(ask(server.port, get(f"{API}/runs/get?run_id={one}"))) for one in (by_sql, over_http)]
    assert _without_id(told[0], by_sql) == _without_id(told[1], over_http), told
    paths = [f"{API}/metrics/get-history?run_id={one}&metric_key=metric_07" for one in (by_sql, over_http)]
    histories = [json.loads(ask(server.port, get(path))) for path in paths]
    assert _without_id(histories[0], by_sql) == _without_id(histories[1], over_http), histories


def seed_runs_of(store_url: str, experiment_id: str, given: Sequence[Content], *, steps: int) -> list[str]:
    """These runs by SQL."""
    with _Writer(store_url) as writer:
        writer.write(_rows(given, experiment_id, steps))
    return [one.run_id for one in given]


def _rows(given: Sequence[Content], experiment_id: str, steps: int) -> Rows:
    rows: Rows = {table: [] for table in COLUMNS}
    for one in given:
        place = f"mlflow-artifacts:/{experiment_id}/{one.run_id}/artifacts"
        rows["runs"].append(
            (one.run_id, one.name, "UNKNOWN", "", "", "", "FINISHED", one.started_ms, one.ended_ms, "", "active",
             place, int(experiment_id))
        )  # fmt: skip
        rows["params"] += [(key, value, one.run_id) for key, value in one.params.items()]
        rows["tags"] += [(key, value, one.run_id) for key, value in {**one.tags, "mlflow.runName": one.name}.items()]
        for key in one.metrics:
            points = list(one.series(key, steps))
            rows["metrics"] += [(key, value, at_ms, one.run_id, step, False) for step, at_ms, value in points]
            step, at_ms, value = points[-1]
            rows["latest_metrics"].append((key, value, at_ms, step, False, one.run_id))
    return rows


class _Writer:
    """Rows in bulk into MLflow's tables: one transaction a call, COPY where there is one."""

    def __init__(self, store_url: str) -> None:
        self._copies = store_url.startswith("postgresql")
        self._connection: Any
        if self._copies:
            import psycopg

            self._connection = psycopg.connect(store_url)
        else:
            self._connection = sqlite3.connect(store_url.removeprefix("sqlite:///"), timeout=60)

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def write(self, rows: Rows) -> None:
        """Add these rows to their tables."""
        insert: Callable[[str, list[str], list[tuple[Any, ...]]], None] = self._copy if self._copies else self._insert
        for table, added in rows.items():
            insert(table, COLUMNS[table].split(), added)
        self._connection.commit()

    def _copy(self, table: str, columns: list[str], added: list[tuple[Any, ...]]) -> None:
        cursor = self._connection.cursor()
        with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in added:
                copy.write_row(row)

    def _insert(self, table: str, columns: list[str], added: list[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(columns))
        self._connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", added)


def _log_over_http(port: int, experiment_id: str, one: Content, *, steps: int) -> str:
    tags = [{"key": key, "value": value} for key, value in one.tags.items()]
    asked = {"experiment_id": experiment_id, "run_name": one.name, "start_time": one.started_ms, "tags": tags}
    run_id = str(json.loads(ask(port, post(f"{API}/runs/create", asked)))["run"]["info"]["run_id"])
    points = [
        {"key": key, "value": value, "timestamp": at_ms, "step": step}
        for key in one.metrics
        for step, at_ms, value in one.series(key, steps)
    ]
    params = [{"key": key, "value": value} for key, value in one.params.items()]
    ask(port, post(f"{API}/runs/log-batch", {"run_id": run_id, "metrics": points, "params": params}))
    ask(port, post(f"{API}/runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": one.ended_ms}))
    return run_id


def _without_id(told: Any, run_id: str) -> Any:
    """An answer in which the run has no id and lists stand in one order, for a server may tell them in any."""
    if isinstance(told, dict):
        return {key: _without_id(value, run_id) for key, value in told.items()}
    if isinstance(told, list):
        return sorted((_without_id(value, run_id) for value in told), key=json.dumps)
    return told.replace(run_id, "RUN") if isinstance(told, str) else told
