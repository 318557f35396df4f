"""Moving out to an `mlruns` folder: ids, times, histories and files as they are, laid out as MLflow's file store does.

Each run, logged model and version is written beside and moved into its place, so that a kill leaves it whole or absent.
`mlflow migrate-filestore` makes a database of such a folder.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import yaml

from taut.errors import Conflict
from taut.faces.moving.folder import META, MODELS
from taut.faces.moving.places import TRASH
from taut.faces.moving.shapes import LOGGED_STATUSES, RUN_STATUSES
from taut.faces.moving.source import Source, TheirModel, TheirRun, TheirVersion
from taut.models import RegisteredModel
from taut.runs import DatasetInput, Experiment, MetricPoint

PARTIAL = ".trash/.taut-partial"  # MLflow looks for experiments in every folder but the trash, and there for numbers.
COPY_BYTES = 1 << 20


class FolderTarget:
    """Writes an `mlruns` folder; what stands in it already is left as it is."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._partial = self.root / PARTIAL
        shutil.rmtree(self._partial, ignore_errors=True)  # What a killed move left.
        self._partial.mkdir(parents=True)

    def close(self) -> None:
        """Nothing unfinished stays."""
        shutil.rmtree(self._partial, ignore_errors=True)

    def experiment(self, one: Experiment) -> None:
        """Write an experiment's folder. Raises Conflict where its id stands for another there."""
        place = self._experiment(one)
        if (place / META).exists():
            said = yaml.safe_load((place / META).read_text())
            if said.get("name") != one.name:
                raise Conflict(f"{place} is the experiment {said.get('name')!r} already, not {one.name!r}")
            return
        new = self._new(one.id)
        _write_texts(new / "tags", one.tags)
        _write_meta(new, {
            "artifact_location": str(self.root / one.id), "creation_time": one.created_ms, "experiment_id": one.id,
            "last_update_time": one.updated_ms, "lifecycle_stage": one.lifecycle, "name": one.name,
        })  # fmt: skip
        self._into_place(new, place)

    def run(self, source: Source, one: TheirRun, experiment: Experiment) -> bool:
        """Write a run's folder; False where there is one."""
        run, detail = one.detail.run, one.detail
        place = self._experiment(experiment) / run.id
        if place.exists():
            return False
        new = self._new(run.id)
        for folder in ("params", "metrics", "tags", "artifacts"):
            (new / folder).mkdir()
        _write_texts(new / "params", run.params)
        _write_texts(new / "tags", run.tags)
        self._write_points(source, one, new / "metrics", place.parent)
        for read in detail.inputs:
            self._write_input(read, new / "inputs", place.parent / "datasets")
        for model in detail.model_inputs:
            _write_meta(new / "inputs" / model.model_id, {
                "destination_id": run.id, "destination_type": "RUN", "source_id": model.model_id,
                "source_type": "MODEL", "tags": {},
            })  # fmt: skip
        for made in detail.outputs:
            _write_meta(new / "outputs" / made.model_id, {
                "destination_id": made.model_id, "destination_type": "MODEL_OUTPUT", "source_id": run.id,
                "source_type": "RUN_OUTPUT", "step": made.step, "tags": {},
            })  # fmt: skip
        _copy_files(source, one.location, new / "artifacts")
        status = next(number for number, name in RUN_STATUSES.items() if name == run.status)
        _write_meta(new, {
            "artifact_uri": str(self.root / run.experiment_id / run.id / "artifacts"),
            "deleted_time": run.ended_ms or run.started_ms if run.lifecycle == "deleted" else None,
            "end_time": run.ended_ms, "entry_point_name": "", "experiment_id": run.experiment_id,
            "lifecycle_stage": run.lifecycle, "run_id": run.id, "run_name": run.name, "source_name": "",
            "source_type": 4, "source_version": "", "start_time": run.started_ms, "status": status, "tags": [],
            "user_id": run.actor,
        })  # fmt: skip
        self._into_place(new, place)
        return True

    def logged(self, source: Source, one: TheirModel, experiment: Experiment) -> bool:
        """Write a logged model's folder; False where there is one. Its metrics are written with their runs."""
        model = one.model
        place = self._experiment(experiment) / MODELS / model.id
        if (place / META).exists():
            return False
        new = self._new(model.id)
        for folder in ("params", "metrics", "tags", "artifacts"):
            (new / folder).mkdir()
        _write_texts(new / "params", model.params)
        _write_texts(new / "tags", model.tags)
        for run_id, point in one.measured:
            with _appended(new / "metrics" / point.key) as file:
                file.write(f"{_line(point)} {run_id}\n")
        _copy_files(source, one.location, new / "artifacts")
        status = next(number for number, name in reversed(LOGGED_STATUSES.items()) if name == model.status)
        _write_meta(new, {
            "artifact_location": str(self.root / model.experiment_id / MODELS / model.id / "artifacts"),
            "creation_timestamp": model.created_ms, "experiment_id": model.experiment_id,
            "last_updated_timestamp": model.updated_ms, "model_id": model.id, "model_type": model.model_type or None,
            "name": model.name, "source_run_id": model.run_id or None, "status": status, "status_message": None,
        })  # fmt: skip
        self._into_place(new, place)
        return True

    def model(self, one: RegisteredModel) -> None:
        """Write a registered model's folder, without its versions; again with the aliases that it has now."""
        place = self.root / MODELS / one.name
        place.mkdir(parents=True, exist_ok=True)
        _write_texts(place / "tags", one.tags)
        _write_texts(place / "aliases", {alias: str(number) for alias, number in one.aliases.items()})
        _write_meta(place, {
            "creation_timestamp": one.created_ms, "description": one.description,
            "last_updated_timestamp": one.updated_ms, "name": one.name,
        })  # fmt: skip

    def version(self, source: Source, one: TheirVersion) -> bool:
        """Write a version's folder with its files in it; False where there is one."""
        version = one.version
        place = self.root / MODELS / version.name / f"version-{version.number}"
        if place.exists():
            return False
        new = self._new(f"{version.name}-{version.number}")
        _write_texts(new / "tags", version.tags)
        _copy_files(source, one.location, new / "artifacts")
        _write_meta(new, {
            "creation_timestamp": version.created_ms, "current_stage": version.stage,
            "description": version.description, "last_updated_timestamp": version.updated_ms,
            "model_id": version.model_id or None, "name": version.name, "run_id": version.run_id, "run_link": None,
            "source": version.source, "status": version.status, "status_message": None,
            "storage_location": str(place / "artifacts"), "user_id": version.actor or None, "version": version.number,
        })  # fmt: skip
        self._into_place(new, place)
        return True

    def _experiment(self, one: Experiment) -> Path:
        return (self.root / TRASH if one.lifecycle == "deleted" else self.root) / one.id

    def _write_points(self, source: Source, one: TheirRun, folder: Path, experiment: Path) -> None:
        """A file a metric; lines that judge a logged model belong to it too, and come to it with `logged`."""
        key, file = "", None
        last = ""
        for point in source.points(one):
            if file is None or point.key != key:
                if file is not None:
                    file.close()
                key, file, last = point.key, _appended(folder / point.key), ""
            if (line := _line(point)) != last:  # A point that judges two models is one point of the run.
                file.write(f"{line}\n")
            last = line
        if file is not None:
            file.close()

    def _write_input(self, read: DatasetInput, inputs: Path, datasets: Path) -> None:
        dataset_id = hashlib.md5(f"{read.name}{read.digest}".encode(), usedforsecurity=False).hexdigest()
        if not (datasets / dataset_id / META).exists():
            new = self._new(f"{inputs.parent.name}-{dataset_id}")
            _write_meta(new, {
                "digest": read.digest, "name": read.name, "profile": read.profile or None,
                "schema": read.columns or None, "source": read.source, "source_type": read.source_type,
            })  # fmt: skip
            self._into_place(new, datasets / dataset_id)
        _write_meta(inputs / dataset_id, {
            "destination_id": dataset_id, "destination_type": "RUN", "source_id": dataset_id, "source_type": "DATASET",
            "tags": dict(read.tags),
        })  # fmt: skip

    def _new(self, name: str) -> Path:
        place = self._partial / name
        place.mkdir(parents=True)
        return place

    def _into_place(self, new: Path, place: Path) -> None:
        """Everything on disk, then the one rename that makes it be there."""
        _sync_below(new)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            new.rename(place)
        except OSError:
            if not (place / META).exists():
                raise
            shutil.rmtree(new)  # Another run has put the same dataset there meanwhile.
        _sync(place.parent)


def _line(point: MetricPoint) -> str:
    return f"{point.at_ms} {'nan' if point.value is None else repr(point.value)} {point.step}"


def _appended(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a", encoding="utf-8", newline="")


def _write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    for key, value in texts.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(value.encode())


def _write_meta(folder: Path, values: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / META).write_text(yaml.safe_dump(dict(values), allow_unicode=True), encoding="utf-8")


def _copy_files(source: Source, location: str, folder: Path) -> None:
    for file in source.files(location):
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        with source.open(location, file.path) as stream, (folder / file.path).open("wb") as target:
            shutil.copyfileobj(stream, target, COPY_BYTES)


def _sync_below(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            _sync(Path(place) / name)
        _sync(Path(place))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
