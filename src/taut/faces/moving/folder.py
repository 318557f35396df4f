"""An `mlruns` folder, as MLflow's file store writes it: a folder an experiment, a run, a logged model, a version."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

import msgspec

from taut.errors import NotFound, TautError
from taut.faces.moving.places import TRASH, Places
from taut.faces.moving.shapes import LOGGED_STATUSES, RUN_STATUSES, latest_of, point_of, sorted_points, version_of
from taut.faces.moving.source import File, TheirModel, TheirRun, TheirVersion
from taut.ground.yaml import read_yaml
from taut.models import RegisteredModel
from taut.records import Capture, Run
from taut.runs import DatasetInput, Experiment, LoggedModel, MetricPoint, ModelInput, ModelOutput, RunDetail

META = "meta.yaml"
MODELS = "models"
RESERVED = frozenset({"tags", "datasets", "traces", MODELS})
T = TypeVar("T")


class ExperimentMeta(msgspec.Struct):
    """meta.yaml of an experiment."""

    experiment_id: str | int
    name: str | int | float
    lifecycle_stage: str = "active"
    creation_time: int | None = None
    last_update_time: int | None = None


class RunMeta(msgspec.Struct):
    """meta.yaml of a run; very old ones say `run_uuid` only."""

    run_id: str | int = ""
    run_uuid: str | int = ""
    run_name: str | int | float | None = None
    user_id: str | int | None = None
    status: int = 1
    start_time: int | None = None
    end_time: int | None = None
    lifecycle_stage: str = "active"
    artifact_uri: str = ""


class LoggedMeta(msgspec.Struct):
    """meta.yaml of a logged model."""

    model_id: str
    name: str | int | float
    artifact_location: str = ""
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0
    model_type: str | None = None
    source_run_id: str | None = None
    status: int = 1
    lifecycle_stage: str = "active"


class ModelMeta(msgspec.Struct):
    """meta.yaml of a registered model."""

    name: str | int | float
    creation_timestamp: int = 0
    last_updated_timestamp: int | None = None
    description: str | None = None


class VersionMeta(msgspec.Struct):
    """meta.yaml of a version."""

    version: int | str
    creation_timestamp: int = 0
    last_updated_timestamp: int | None = None
    current_stage: str | None = None
    description: str | None = None
    source: str | None = None
    storage_location: str | None = None
    run_id: str | None = None
    model_id: str | None = None
    status: str | None = None
    user_id: str | int | None = None


class DatasetMeta(msgspec.Struct):
    """meta.yaml of a dataset, which lies beside the runs."""

    name: str | int | float
    digest: str | int | float
    source_type: str = ""
    source: str | None = None
    schema: str | None = None
    profile: str | None = None


class EdgeMeta(msgspec.Struct):
    """meta.yaml of an input or output of a run."""

    source_type: str
    source_id: str
    destination_type: str
    destination_id: str
    tags: dict[str, str | int | float | bool | None] | None = None
    step: int = 0


class FolderSource:
    """Reads an `mlruns` folder. What in it is broken is passed over and said in `notes`."""

    def __init__(self, root: Path, bases: tuple[Path, ...] = ()) -> None:
        self._root = root.resolve()
        self._places = Places((*bases, self._root), beside=self._root.parent)
        self.notes: list[str] = []
        if not any(self._experiment_folders()) and not (self._root / MODELS).is_dir():
            raise NotFound(f"{root} is no MLflow store: no folder in it is an experiment", hint=f"ls {root}")

    @property
    def name(self) -> str:
        """Where the folder is."""
        return f"file://{self._root}"

    def experiments(self) -> Iterator[Experiment]:
        """Every folder with a meta.yaml, those in the trash included."""
        for folder in self._experiment_folders():
            meta = self._meta(folder, ExperimentMeta)
            if meta is not None:
                yield Experiment(
                    str(meta.experiment_id), str(meta.name), _lifecycle(meta.lifecycle_stage), meta.creation_time or 0,
                    meta.last_update_time or meta.creation_time or 0, _texts(folder / "tags"),
                )  # fmt: skip

    def runs(self, experiment_id: str) -> Iterator[TheirRun]:
        """Every run's folder; of its metrics the last lines, which tell whether anything was added."""
        folder = self._experiment_folder(experiment_id)
        for place in _folders(folder):
            if place.name in RESERVED:
                continue
            if not (place / META).exists():
                self.notes.append(f"{place} has no {META}, so it is no run")
                continue
            meta = self._meta(place, RunMeta)
            if meta is not None:
                yield TheirRun(self._detail(place, experiment_id, meta), meta.artifact_uri or str(place / "artifacts"))

    def points(self, run: TheirRun) -> Iterator[MetricPoint]:
        """All lines of all metrics; a line that was written twice counts once."""
        one = run.detail.run
        place = self._experiment_folder(one.experiment_id) / one.id / "metrics"
        for file in _all_files(place):
            key = file.relative_to(place).as_posix()
            lines = set(file.read_text(encoding="utf-8").splitlines())
            yield from sorted_points(p for line in lines if (p := self._point(key, line, file)) is not None)

    def logged(self, experiment_id: str) -> Iterator[TheirModel]:
        """Every logged model's folder."""
        for place in _folders(self._experiment_folder(experiment_id) / MODELS):
            meta = self._meta(place, LoggedMeta)
            if meta is None or meta.lifecycle_stage == "deleted":
                continue
            measured = tuple(self._measured(place / "metrics", meta.model_id))
            model = LoggedModel(
                meta.model_id, experiment_id, meta.source_run_id or "", str(meta.name), meta.model_type or "",
                LOGGED_STATUSES[meta.status], meta.creation_timestamp, meta.last_updated_timestamp,
                _texts(place / "params"), _texts(place / "tags"), latest_of(measured),
            )  # fmt: skip
            yield TheirModel(model, meta.artifact_location or str(place / "artifacts"), measured)

    def models(self) -> Iterator[RegisteredModel]:
        """Every folder of the registry."""
        for place in _folders(self._root / MODELS):
            meta = self._meta(place, ModelMeta)
            if meta is not None:
                numbers = [
                    int(found[1]) for one in _folders(place) if (found := re.fullmatch(r"version-(\d+)", one.name))
                ]
                aliases = {alias: int(number) for alias, number in _texts(place / "aliases").items()}
                updated = meta.last_updated_timestamp or meta.creation_timestamp
                yield RegisteredModel(
                    str(meta.name), meta.description or "", meta.creation_timestamp, updated,
                    max(numbers, default=0), aliases, _texts(place / "tags"),
                )  # fmt: skip

    def versions(self, model: RegisteredModel) -> Iterator[TheirVersion]:
        """Every version's folder, in order of their numbers."""
        found = []
        for place in _folders(self._root / MODELS / model.name):
            meta = self._meta(place, VersionMeta) if place.name.startswith("version-") else None
            if meta is not None and meta.current_stage != "Deleted_Internal":
                version = version_of(model, meta, _texts(place / "tags"), user=str(meta.user_id or ""))
                found.append(TheirVersion(version, meta.storage_location or meta.source or ""))
        yield from sorted(found, key=lambda one: one.version.number)

    def files(self, location: str) -> Iterator[File]:
        """Every file below a location, where it says that they are or in this folder."""
        return self._places.files(location)

    def open(self, location: str, path: str) -> BinaryIO:
        """A file's bytes."""
        return self._places.open(location, path)

    def _experiment_folders(self) -> Iterator[Path]:
        for place in (*_folders(self._root), *_folders(self._root / TRASH)):
            if place.name not in {MODELS, TRASH} and (place / META).exists():
                yield place

    def _experiment_folder(self, experiment_id: str) -> Path:
        kept = self._root / experiment_id
        return kept if kept.is_dir() else self._root / TRASH / experiment_id

    def _detail(self, place: Path, experiment_id: str, meta: RunMeta) -> RunDetail:
        tags = _texts(place / "tags")
        latest = [self._last(file, place / "metrics") for file in _all_files(place / "metrics")]
        run = Run(
            str(meta.run_id or meta.run_uuid or place.name), experiment_id, "",
            str(meta.run_name or tags.get("mlflow.runName", "")), RUN_STATUSES[meta.status], str(meta.user_id or ""),
            meta.start_time or 0, meta.end_time, _lifecycle(meta.lifecycle_stage), "", Capture(),
            _texts(place / "params"), {}, tags,
        )  # fmt: skip
        points = tuple(point for point in latest if point is not None)
        read = tuple(self._model_inputs(place))
        return RunDetail(run, points, tuple(self._inputs(place)), tuple(self._outputs(place)), read)

    def _inputs(self, place: Path) -> Iterator[DatasetInput]:
        for edge in self._edges(place / "inputs"):
            data = self._meta(place.parent / "datasets" / edge.source_id, DatasetMeta)
            if edge.source_type == "DATASET" and data is not None:
                tags = {key: "" if value is None else str(value) for key, value in (edge.tags or {}).items()}
                yield DatasetInput(
                    str(data.name), str(data.digest), data.source_type, data.source or "", data.schema or "",
                    data.profile or "", tags,
                )  # fmt: skip

    def _model_inputs(self, place: Path) -> Iterator[ModelInput]:
        for edge in self._edges(place / "inputs"):
            if edge.source_type == "MODEL":
                yield ModelInput(edge.source_id)

    def _outputs(self, place: Path) -> Iterator[ModelOutput]:
        for edge in self._edges(place / "outputs"):
            if edge.destination_type == "MODEL_OUTPUT":
                yield ModelOutput(edge.destination_id, edge.step)

    def _edges(self, folder: Path) -> Iterator[EdgeMeta]:
        for place in _folders(folder):
            edge = self._meta(place, EdgeMeta)
            if edge is not None:
                yield edge

    def _measured(self, folder: Path, model_id: str) -> Iterator[tuple[str, MetricPoint]]:
        """Lines of a logged model's metrics name their run in the fourth place."""
        for file in _all_files(folder):
            key = file.relative_to(folder).as_posix()
            for line in sorted(set(file.read_text(encoding="utf-8").splitlines())):
                point, words = self._point(key, line, file, model_id), line.split(" ")
                if point is not None and len(words) > 3:
                    yield words[3], point

    def _last(self, file: Path, folder: Path) -> MetricPoint | None:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - 4096))
            lines = stream.read().decode(errors="replace").splitlines()
        return self._point(file.relative_to(folder).as_posix(), lines[-1], file) if lines else None

    def _point(self, key: str, line: str, file: Path, model_id: str = "") -> MetricPoint | None:
        words = line.split(" ")
        try:
            return point_of(key, words[1], int(words[2]) if len(words) > 2 else 0, int(words[0]), model_id)
        except (ValueError, IndexError):
            self._note(f"{file} has a line that is no point: {line[:60]!r}")
            return None

    def _meta(self, place: Path, into: type[T]) -> T | None:
        try:
            return read_yaml(place / META, into)
        except TautError as problem:
            self._note(f"{place.name} cannot be read: {problem.message}")
            return None

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir())


def _all_files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _texts(folder: Path) -> dict[str, str]:
    """Tags, params and aliases: a file each, whose path is the key; `a/b` lies in a folder `a`."""
    return {file.relative_to(folder).as_posix(): file.read_bytes().decode() for file in _all_files(folder)}


def _lifecycle(written: str) -> Literal["active", "deleted"]:
    return "deleted" if written == "deleted" else "active"
