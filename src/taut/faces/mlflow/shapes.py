"""taut's records in the JSON that MLflow's clients read, and the pieces of theirs that requests are made of."""

from collections.abc import Mapping
from typing import Any

import msgspec

from taut.errors import Invalid
from taut.models import RegisteredModel
from taut.records import ModelVersion, Run
from taut.runs import (
    Artifact,
    DatasetInput,
    Experiment,
    History,
    LoggedModel,
    MetricPoint,
    RunDetail,
    model_root,
    run_root,
)

Json = dict[str, Any]
SCHEME = "mlflow-artifacts:/"


class Pair(msgspec.Struct):
    """A param or tag as it is sent."""

    key: str
    value: str = ""


class Point(msgspec.Struct):
    """A metric's point as it is sent; not-a-number and infinities come as words."""

    key: str
    value: float | str
    timestamp: int
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


def experiment_shape(experiment: Experiment) -> Json:
    """An experiment."""
    return {
        "experiment_id": experiment.id, "name": experiment.name, "lifecycle_stage": experiment.lifecycle,
        "artifact_location": SCHEME + experiment.artifact_root, "creation_time": experiment.created_ms,
        "last_update_time": experiment.updated_ms, "tags": pairs_shape(experiment.tags), "workspace": "default",
    }  # fmt: skip


def run_info_shape(run: Run) -> Json:
    """The frame of a run, without what was logged to it."""
    info = {
        "run_id": run.id, "run_uuid": run.id, "run_name": run.name, "experiment_id": run.experiment_id,
        "user_id": run.tags.get("mlflow.user", run.actor), "status": run.status, "start_time": run.started_ms,
        "artifact_uri": SCHEME + run_root(run.experiment_id, run.id), "lifecycle_stage": run.lifecycle,
    }  # fmt: skip
    return info if run.ended_ms is None else {**info, "end_time": run.ended_ms}


def run_shape(detail: RunDetail) -> Json:
    """A run with everything."""
    data = {
        # What is latest of a metric does not say what it was measured on.
        "metrics": [
            {"key": m.key, "value": "NaN" if m.value is None else m.value, "timestamp": m.at_ms, "step": m.step}
            for m in detail.metrics
        ],
        "params": pairs_shape(detail.run.params),
        "tags": pairs_shape(detail.run.tags),
    }
    inputs = {
        "dataset_inputs": [_input_shape(read) for read in detail.inputs],
        "model_inputs": [{"model_id": read.model_id} for read in detail.model_inputs],
    }
    outputs = {"model_outputs": [{"model_id": made.model_id, "step": made.step} for made in detail.outputs]}
    return {"info": run_info_shape(detail.run), "data": data, "inputs": inputs, "outputs": outputs}


def point_shape(point: MetricPoint) -> Json:
    """A point of a metric; not-a-number is a word, for JSON has no number for it."""
    value = "NaN" if point.value is None else point.value
    shape = {"key": point.key, "value": value, "timestamp": point.at_ms, "step": point.step}
    named = {"model_id": point.model_id, "dataset_name": point.dataset_name, "dataset_digest": point.dataset_digest}
    return {**shape, **{name: value for name, value in named.items() if value}} if any(named.values()) else shape


def history_shape(history: History) -> list[Json]:
    """The points of one metric."""
    key = history.key
    shapes: list[Json] = [
        {"key": key, "value": "NaN" if value is None else value, "timestamp": at_ms, "step": step}
        for step, at_ms, value in zip(history.steps, history.at_ms, history.values, strict=True)
    ]
    for shape, model_id in zip(shapes, history.model_ids, strict=False):
        if model_id:
            shape["model_id"] = model_id
    return shapes


def logged_model_shape(model: LoggedModel) -> Json:
    """A logged model."""
    info = {
        "model_id": model.id, "experiment_id": model.experiment_id, "name": model.name,
        "creation_timestamp_ms": model.created_ms, "last_updated_timestamp_ms": model.updated_ms,
        "artifact_uri": SCHEME + model_root(model.experiment_id, model.id),
        "status": f"LOGGED_MODEL_{model.status}", "model_type": model.model_type, "source_run_id": model.run_id,
        "tags": pairs_shape(model.tags),
    }  # fmt: skip
    measured_in = model.measured_in or (model.run_id,) * len(model.metrics)
    metrics = [
        {**point_shape(point), "model_id": model.id, "run_id": run_id}
        for point, run_id in zip(model.metrics, measured_in, strict=True)
    ]
    return {"info": info, "data": {"params": pairs_shape(model.params), "metrics": metrics}}


def registered_model_shape(model: RegisteredModel, latest: list[ModelVersion]) -> Json:
    """A registered model with the newest version of each stage."""
    return {
        "name": model.name, "creation_timestamp": model.created_ms, "last_updated_timestamp": model.updated_ms,
        "description": model.description, "tags": pairs_shape(model.tags),
        "aliases": [{"alias": alias, "version": str(number)} for alias, number in model.aliases.items()],
        "latest_versions": [version_shape(version) for version in latest],
    }  # fmt: skip


def version_shape(version: ModelVersion) -> Json:
    """A model version."""
    return {
        "name": version.name, "version": str(version.number), "creation_timestamp": version.created_ms,
        "last_updated_timestamp": version.updated_ms, "user_id": version.actor, "current_stage": version.stage,
        "description": version.description, "source": version.source, "run_id": version.run_id, "run_link": "",
        "status": version.status, "tags": pairs_shape(version.tags), "aliases": list(version.aliases),
        "model_id": version.model_id,
    }  # fmt: skip


def file_shape(artifact: Artifact, *, below: str = "") -> Json:
    """A file or folder; its path is told from the folder `below` on."""
    path = artifact.path[len(below) + 1 :] if below else artifact.path
    shape: Json = {"path": path, "is_dir": artifact.is_folder}
    return shape if artifact.is_folder else {**shape, "file_size": artifact.size_bytes}


def pairs_shape(pairs: Mapping[str, str]) -> list[Json]:
    """Params or tags."""
    return [{"key": key, "value": value} for key, value in pairs.items()]


def pairs_of(pairs: list[Pair], *, what: str) -> dict[str, str]:
    """Params or tags that were sent. Raises Invalid where one key comes twice with two values."""
    found: dict[str, str] = {}
    for pair in pairs:
        if found.setdefault(pair.key, pair.value) != pair.value:
            raise Invalid(f"{what} {pair.key!r} is given twice, as {found[pair.key]!r} and {pair.value!r}")
    return found


def point_of(sent: Point) -> MetricPoint:
    """A metric's point that was sent. Raises Invalid for a value that is no number, and for a time before 1970."""
    if sent.timestamp < 0:
        raise Invalid(
            f"Invalid value {sent.timestamp} for parameter 'timestamp' supplied: the time of metric {sent.key!r} is "
            "in milliseconds since 1970"
        )
    try:
        value = float(sent.value)
    except ValueError:
        raise Invalid(f"the value of metric {sent.key!r} is no number: {sent.value!r}") from None
    return MetricPoint(
        sent.key, value, sent.step, sent.timestamp, sent.model_id, sent.dataset_name, sent.dataset_digest
    )


def _input_shape(read: DatasetInput) -> Json:
    dataset = {
        "name": read.name, "digest": read.digest, "source_type": read.source_type, "source": read.source,
        "schema": read.columns, "profile": read.profile,
    }  # fmt: skip
    return {"dataset": dataset, "tags": pairs_shape(read.tags)}
