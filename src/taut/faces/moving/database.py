"""The SQLite file of an MLflow server, read only and by its tables: those of MLflow 1.27 to 3.17, as far as they go."""

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, Literal, cast

from taut.errors import Corrupt, NotFound
from taut.faces.moving.places import Places
from taut.faces.moving.shapes import LOGGED_STATUSES, Status, latest_of, point_of, sorted_points, version_of
from taut.faces.moving.source import File, TheirModel, TheirRun, TheirVersion
from taut.models import RegisteredModel
from taut.records import Capture, Run
from taut.runs import DatasetInput, Experiment, LoggedModel, MetricPoint, ModelInput, ModelOutput, RunDetail

GROUP = 500  # Ids in one query: far below SQLite's limit of parameters.
BUSY_TIMEOUT_S = 30.0
FOLDERS = ("mlartifacts", "mlruns")  # Where a server that was started beside its file keeps artifacts by default.

TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
EXPERIMENTS = "SELECT * FROM experiments ORDER BY experiment_id"
EXPERIMENT_TAGS = "SELECT experiment_id, key, value FROM experiment_tags"
RUN_IDS = "SELECT run_uuid FROM runs WHERE experiment_id = ? ORDER BY start_time, run_uuid"
RUNS = "SELECT * FROM runs WHERE run_uuid IN"
PARAMS = "SELECT run_uuid, key, value FROM params WHERE run_uuid IN"
TAGS = "SELECT run_uuid, key, value FROM tags WHERE run_uuid IN"
LATEST = "SELECT run_uuid, key, value, step, timestamp, is_nan FROM latest_metrics WHERE run_uuid IN"
KEYS = "SELECT DISTINCT key FROM metrics WHERE run_uuid = ? ORDER BY key"
POINTS = "SELECT key, value, step, timestamp, is_nan FROM metrics WHERE run_uuid = ? AND key = ?"
INPUTS = """
SELECT destination_id, input_uuid, name, digest, dataset_source_type, dataset_source, dataset_schema, dataset_profile
FROM inputs JOIN datasets ON datasets.dataset_uuid = inputs.source_id
WHERE inputs.source_type = 'DATASET' AND inputs.destination_type = 'RUN' AND destination_id IN
"""
INPUT_TAGS = "SELECT input_uuid, name, value FROM input_tags WHERE input_uuid IN"
OUTPUTS = """
SELECT source_id, destination_id, step FROM inputs
WHERE source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT' AND source_id IN
"""
MODEL_INPUTS = """
SELECT source_id, destination_id FROM inputs
WHERE source_type = 'RUN_INPUT' AND destination_type = 'MODEL_INPUT' AND source_id IN
"""
LOGGED = """
SELECT * FROM logged_models WHERE experiment_id = ? AND lifecycle_stage = 'active'
ORDER BY creation_timestamp_ms, model_id
"""
LOGGED_PARAMS = "SELECT model_id, param_key, param_value FROM logged_model_params WHERE model_id IN"
LOGGED_TAGS = "SELECT model_id, tag_key, tag_value FROM logged_model_tags WHERE model_id IN"
LOGGED_POINTS = """
SELECT model_id, run_id, metric_name, metric_value, metric_step, metric_timestamp_ms FROM logged_model_metrics
WHERE model_id IN
"""
MODELS = "SELECT * FROM registered_models ORDER BY name"
MODEL_TAGS = "SELECT key, value FROM registered_model_tags WHERE name = ?"
ALIASES = "SELECT alias, version FROM registered_model_aliases WHERE name = ?"
VERSIONS = "SELECT * FROM model_versions WHERE name = ? AND current_stage <> 'Deleted_Internal' ORDER BY version"
VERSION_TAGS = "SELECT version, key, value FROM model_version_tags WHERE name = ?"
NEWEST = "SELECT MAX(version) FROM model_versions WHERE name = ? AND current_stage <> 'Deleted_Internal'"


class DatabaseSource:
    """Reads an `mlflow.db`. Tables that an older MLflow did not have yet are empty here."""

    def __init__(self, file: Path, bases: tuple[Path, ...] = ()) -> None:
        self._file = file.resolve()
        self._lock = threading.Lock()
        self.notes: list[str] = []
        beside = tuple(place for name in FOLDERS if (place := self._file.parent / name).is_dir())
        self._places = Places((*bases, *beside), beside=self._file.parent)
        try:
            self._connection = sqlite3.connect(
                f"{self._file.as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._tables = {str(name) for (name,) in self._connection.execute(TABLES)}
        except sqlite3.Error as problem:
            raise Corrupt(f"{file} cannot be read as a SQLite file: {problem}", hint=f"file {file}") from None
        if missing := {"experiments", "runs", "metrics", "params", "tags"} - self._tables:
            raise NotFound(f"{file} is no MLflow store: it has no table {min(missing)}", hint=f"ls -l {file.parent}")
        if "trace_info" in self._tables and (traces := self._rows("SELECT COUNT(*) FROM trace_info")[0][0]):
            self.notes.append(f"{traces} traces stay where they are: traces are not moved")

    @property
    def name(self) -> str:
        """Where the file is."""
        return f"sqlite:///{self._file}"

    def experiments(self) -> Iterator[Experiment]:
        """The table of experiments."""
        tags = _grouped(self._rows(EXPERIMENT_TAGS, needs="experiment_tags"))
        for row in self._dicts(EXPERIMENTS):
            created = int(row.get("creation_time") or 0)
            yield Experiment(
                str(row["experiment_id"]), str(row["name"]), _lifecycle(row["lifecycle_stage"]), created,
                int(row.get("last_update_time") or created), tags[str(row["experiment_id"])],
            )  # fmt: skip

    def runs(self, experiment_id: str) -> Iterator[TheirRun]:
        """The rows of an experiment's runs, oldest first, in groups."""
        ids = [str(run_id) for (run_id,) in self._rows(RUN_IDS, (experiment_id,))]
        for start in range(0, len(ids), GROUP):
            group = ids[start : start + GROUP]
            params, tags = _grouped(self._among(PARAMS, group)), _grouped(self._among(TAGS, group))
            latest: dict[str, list[MetricPoint]] = defaultdict(list)
            for run_id, *measured in self._among(LATEST, group, needs="latest_metrics"):
                latest[run_id].append(_point(measured))
            inputs, outputs, read = self._inputs(group), self._outputs(group), self._model_inputs(group)
            rows = {row["run_uuid"]: row for row in map(dict, self._among(RUNS, group))}
            for run_id in group:
                run = _run(rows[run_id], params[run_id], tags[run_id])
                logged = tuple(latest[run_id]), tuple(inputs[run_id]), tuple(outputs[run_id]), read[run_id]
                detail = RunDetail(run, *logged)
                yield TheirRun(detail, str(rows[run_id]["artifact_uri"] or ""))

    def points(self, run: TheirRun) -> Iterator[MetricPoint]:
        """All rows of a run's metrics, a metric at a time."""
        run_id = run.detail.run.id
        for (key,) in self._rows(KEYS, (run_id,)):
            yield from sorted_points(_point(row) for row in self._rows(POINTS, (run_id, key)))

    def logged(self, experiment_id: str) -> Iterator[TheirModel]:
        """The logged models of an experiment."""
        rows = [dict(row) for row in self._rows(LOGGED, (experiment_id,), needs="logged_models")]
        ids = [str(row["model_id"]) for row in rows]
        params, tags = _grouped(self._among(LOGGED_PARAMS, ids)), _grouped(self._among(LOGGED_TAGS, ids))
        measured: dict[str, list[tuple[str, MetricPoint]]] = defaultdict(list)
        for model_id, run_id, key, value, step, at_ms in self._among(LOGGED_POINTS, ids):
            measured[model_id].append((str(run_id), point_of(key, value, step, at_ms, model_id)))
        for row in rows:
            model_id = str(row["model_id"])
            model = LoggedModel(
                model_id, experiment_id, row["source_run_id"] or "", str(row["name"]), row["model_type"] or "",
                LOGGED_STATUSES[row["status"]], row["creation_timestamp_ms"], row["last_updated_timestamp_ms"],
                params[model_id], tags[model_id], latest_of(measured[model_id]),
            )  # fmt: skip
            yield TheirModel(model, str(row["artifact_location"]), tuple(measured[model_id]))

    def models(self) -> Iterator[RegisteredModel]:
        """The registry's names."""
        for row in map(dict, self._rows(MODELS, needs="registered_models")):
            name = str(row["name"])
            newest = self._rows(NEWEST, (name,))[0][0]
            aliases = self._rows(ALIASES, (name,), needs="registered_model_aliases")
            tags = self._rows(MODEL_TAGS, (name,), needs="registered_model_tags")
            created = int(row["creation_time"] or 0)
            yield RegisteredModel(
                name, row["description"] or "", created, int(row["last_updated_time"] or created), int(newest or 0),
                {str(alias): int(number) for alias, number in aliases}, {key: value or "" for key, value in tags},
            )  # fmt: skip

    def versions(self, model: RegisteredModel) -> Iterator[TheirVersion]:
        """The versions of a name that were not deleted."""
        tags = _grouped(self._rows(VERSION_TAGS, (model.name,), needs="model_version_tags"))
        for row in map(dict, self._rows(VERSIONS, (model.name,))):
            said = SimpleNamespace(
                **row, creation_timestamp=row["creation_time"] or 0, last_updated_timestamp=row["last_updated_time"]
            )
            location = row.get("storage_location") or row["source"] or ""
            yield TheirVersion(version_of(model, said, tags[str(row["version"])], user=row["user_id"] or ""), location)

    def files(self, location: str) -> Iterator[File]:
        """Every file below a location, where it says that they are or beside the database."""
        return self._places.files(location)

    def open(self, location: str, path: str) -> BinaryIO:
        """A file's bytes."""
        return self._places.open(location, path)

    def _inputs(self, run_ids: Sequence[str]) -> Mapping[str, list[DatasetInput]]:
        rows = self._among(INPUTS, run_ids, needs="inputs")
        tags = _grouped(self._among(INPUT_TAGS, [str(row["input_uuid"]) for row in rows]))
        inputs: dict[str, list[DatasetInput]] = defaultdict(list)
        for run_id, input_id, *words in rows:
            name, digest, source_type, source, columns, profile = ("" if word is None else str(word) for word in words)
            read = DatasetInput(name, digest, source_type, source, columns, profile, tags[input_id])
            inputs[run_id].append(read)
        return inputs

    def _outputs(self, run_ids: Sequence[str]) -> Mapping[str, list[ModelOutput]]:
        outputs: dict[str, list[ModelOutput]] = defaultdict(list)
        needs = "logged_models"  # The columns that outputs need came with them.
        for run_id, model_id, step in self._among(OUTPUTS, run_ids, needs=needs):
            outputs[run_id].append(ModelOutput(str(model_id), int(step)))
        return outputs

    def _model_inputs(self, run_ids: Sequence[str]) -> Mapping[str, tuple[ModelInput, ...]]:
        read: dict[str, tuple[ModelInput, ...]] = defaultdict(tuple)
        for run_id, model_id in self._among(MODEL_INPUTS, run_ids, needs="inputs"):
            read[run_id] += (ModelInput(str(model_id)),)
        return read

    def _dicts(self, sql: str) -> list[dict[str, Any]]:
        return [dict(row) for row in self._rows(sql)]

    def _among(self, sql: str, ids: Sequence[str], *, needs: str = "") -> list[sqlite3.Row]:
        rows: list[sqlite3.Row] = []
        for start in range(0, len(ids), GROUP):
            group = ids[start : start + GROUP]
            rows += self._rows(f"{sql} ({', '.join('?' * len(group))})", group, needs=needs)
        return rows

    def _rows(self, sql: str, values: Sequence[object] = (), *, needs: str = "") -> list[sqlite3.Row]:
        if needs and needs not in self._tables:
            return []
        try:
            with self._lock:
                return self._connection.execute(sql, tuple(values)).fetchall()
        except sqlite3.Error as problem:
            raise Corrupt(f"{self._file} cannot be read: {problem}", hint=f"sqlite3 {self._file} .schema") from None


def _run(row: Mapping[str, Any], params: dict[str, str], tags: dict[str, str]) -> Run:
    return Run(
        str(row["run_uuid"]), str(row["experiment_id"]), "", row["name"] or tags.get("mlflow.runName", ""),
        cast("Status", row["status"] or "SCHEDULED"), row["user_id"] or "", int(row["start_time"] or 0),
        row["end_time"], _lifecycle(row["lifecycle_stage"]), "", Capture(), params, {}, tags,
    )  # fmt: skip


def _point(row: Sequence[Any]) -> MetricPoint:
    key, value, step, at_ms, is_nan = row
    return MetricPoint(str(key), None if is_nan else float(value), int(step), int(at_ms))


def _grouped(rows: Iterable[Sequence[Any]]) -> Mapping[str, dict[str, str]]:
    """Key and value by what they belong to."""
    grouped: dict[str, dict[str, str]] = defaultdict(dict)
    for owner, key, value in rows:
        grouped[str(owner)][str(key)] = "" if value is None else str(value)
    return grouped


def _lifecycle(written: str | None) -> Literal["active", "deleted"]:
    return "deleted" if written == "deleted" else "active"
