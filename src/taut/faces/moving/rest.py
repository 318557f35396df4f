"""An MLflow server, read over its REST protocol: pages of everything, and artifacts through its proxy."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from taut.errors import NotFound, TautError, Unavailable
from taut.faces.moving.client import API, ARTIFACTS, Client, artifact_path, quoted
from taut.faces.moving.places import Places, scheme_of
from taut.faces.moving.shapes import LoggedStatus, Status, latest_of, point_of, sorted_points, version_of
from taut.faces.moving.source import File, TheirModel, TheirRun, TheirVersion
from taut.models import RegisteredModel
from taut.records import Capture, Run
from taut.runs import DatasetInput, Experiment, LoggedModel, MetricPoint, ModelInput, ModelOutput, RunDetail

EXPERIMENTS_A_PAGE, RUNS_A_PAGE, POINTS_A_PAGE, MODELS_A_PAGE, VERSIONS_A_PAGE = 1000, 1000, 25_000, 100, 1000
PROXIED = "mlflow-artifacts"


class Pair(msgspec.Struct):
    """A param or tag."""

    key: str
    value: str | None = None


class Point(msgspec.Struct):
    """A point; int64 come as numbers or, by the letter of protocol buffers, as text."""

    key: str
    value: float | str = 0.0
    timestamp: int | str = 0
    step: int | str = 0
    model_id: str | None = None
    run_id: str | None = None


class ExperimentShape(msgspec.Struct):
    """An experiment."""

    experiment_id: str
    name: str
    lifecycle_stage: str = "active"
    creation_time: int | str = 0
    last_update_time: int | str = 0
    tags: list[Pair] = []


class Info(msgspec.Struct):
    """The frame of a run."""

    run_id: str
    experiment_id: str
    run_name: str | None = None
    user_id: str | None = None
    status: Status = "RUNNING"
    start_time: int | str = 0
    end_time: int | str | None = None
    artifact_uri: str = ""
    lifecycle_stage: str = "active"


class Data(msgspec.Struct):
    """What was logged to a run or logged model."""

    metrics: list[Point] = []
    params: list[Pair] = []
    tags: list[Pair] = []


class Dataset(msgspec.Struct):
    """A dataset."""

    name: str
    digest: str
    source_type: str = ""
    source: str | None = None
    schema: str | None = None
    profile: str | None = None


class Input(msgspec.Struct):
    """A dataset that a run read."""

    dataset: Dataset
    tags: list[Pair] = []


class InputModel(msgspec.Struct):
    """A logged model that a run read."""

    model_id: str


class Inputs(msgspec.Struct):
    """What a run read."""

    dataset_inputs: list[Input] = []
    model_inputs: list[InputModel] = []


class Output(msgspec.Struct):
    """A logged model that a run made."""

    model_id: str
    step: int | str = 0


class Outputs(msgspec.Struct):
    """What a run made."""

    model_outputs: list[Output] = []


class RunShape(msgspec.Struct):
    """A run."""

    info: Info
    data: Data = msgspec.field(default_factory=Data)
    inputs: Inputs = msgspec.field(default_factory=Inputs)
    outputs: Outputs = msgspec.field(default_factory=Outputs)


class LoggedInfo(msgspec.Struct):
    """The frame of a logged model."""

    model_id: str
    experiment_id: str
    name: str
    creation_timestamp_ms: int | str = 0
    last_updated_timestamp_ms: int | str = 0
    artifact_uri: str = ""
    status: str | int = "LOGGED_MODEL_PENDING"
    model_type: str | None = None
    source_run_id: str | None = None
    tags: list[Pair] = []


class LoggedShape(msgspec.Struct):
    """A logged model."""

    info: LoggedInfo
    data: Data = msgspec.field(default_factory=Data)


class Alias(msgspec.Struct):
    """An alias."""

    alias: str
    version: int | str


class ModelShape(msgspec.Struct):
    """A registered model."""

    name: str
    creation_timestamp: int | str = 0
    last_updated_timestamp: int | str = 0
    description: str | None = None
    tags: list[Pair] = []
    aliases: list[Alias] = []
    latest_versions: list[Any] = []


class VersionShape(msgspec.Struct):
    """A version."""

    name: str
    version: int | str
    creation_timestamp: int | str = 0
    last_updated_timestamp: int | str = 0
    user_id: str | None = None
    current_stage: str | None = None
    description: str | None = None
    source: str | None = None
    run_id: str | None = None
    model_id: str | None = None
    status: str | None = None
    tags: list[Pair] = []


class FileShape(msgspec.Struct):
    """A file or folder in a listing."""

    path: str
    is_dir: bool = False
    file_size: int | str | None = None


class Page(msgspec.Struct):
    """A page of any of these."""

    experiments: list[ExperimentShape] = []
    runs: list[RunShape] = []
    metrics: list[Point] = []
    models: list[LoggedShape] = []
    registered_models: list[ModelShape] = []
    model_versions: list[VersionShape] = []
    files: list[FileShape] = []
    run: RunShape | None = None
    registered_model: ModelShape | None = None
    artifact_uri: str = ""
    next_page_token: str = ""


class RestSource:
    """Reads a server at a URL."""

    def __init__(self, url: str, bases: tuple[Path, ...] = ()) -> None:
        self.client = Client(url)
        self.notes: list[str] = []
        self._places = Places(bases)
        self.client.ask("POST", f"{API}/experiments/search", Page, {"max_results": 1})  # Answers it, and to us?

    @property
    def name(self) -> str:
        """The URL, without who asks."""
        return self.client.url

    def experiments(self) -> Iterator[Experiment]:
        """All pages, deleted ones included."""
        asked = {"max_results": EXPERIMENTS_A_PAGE, "view_type": "ALL"}
        for page in self.client.pages("POST", f"{API}/experiments/search", Page, asked):
            for one in page.experiments:
                created = int(one.creation_time)
                yield Experiment(
                    one.experiment_id, one.name, _lifecycle(one.lifecycle_stage), created,
                    int(one.last_update_time) or created, _pairs(one.tags),
                )  # fmt: skip

    def runs(self, experiment_id: str) -> Iterator[TheirRun]:
        """All pages, oldest first: what is logged meanwhile comes last and moves no page."""
        asked = {
            "experiment_ids": [experiment_id], "run_view_type": "ALL", "max_results": RUNS_A_PAGE,
            "order_by": ["attributes.start_time ASC"],
        }  # fmt: skip
        seen: set[str] = set()
        for page in self.client.pages("POST", f"{API}/runs/search", Page, asked):
            for one in page.runs:
                if one.info.run_id not in seen:
                    seen.add(one.info.run_id)
                    yield TheirRun(_detail(one), one.info.artifact_uri)

    def points(self, run: TheirRun) -> Iterator[MetricPoint]:
        """All pages of the history of each metric."""
        for latest in run.detail.metrics:
            asked = {"run_id": run.detail.run.id, "metric_key": latest.key, "max_results": POINTS_A_PAGE}
            points: list[MetricPoint] = []
            for page in self.client.pages("GET", f"{API}/metrics/get-history", Page, asked):
                points += [_point(one) for one in page.metrics]
            yield from sorted_points(points)

    def logged(self, experiment_id: str) -> Iterator[TheirModel]:
        """All pages; a server from before MLflow 3 has none."""
        asked = {"experiment_ids": [experiment_id], "max_results": MODELS_A_PAGE}
        seen: set[str] = set()
        try:
            for page in self.client.pages("POST", f"{API}/logged-models/search", Page, asked):
                for one in page.models:
                    if one.info.model_id not in seen:
                        seen.add(one.info.model_id)
                        yield _logged(one)
        except NotFound:
            self._note("the server knows no logged models, so it is older than MLflow 3")

    def models(self) -> Iterator[RegisteredModel]:
        """All pages; the aliases are asked for a model at a time, for older servers leave them out of pages."""
        try:
            for page in self.client.pages(
                "GET", f"{API}/registered-models/search", Page, {"max_results": MODELS_A_PAGE}
            ):
                for one in page.registered_models:
                    yield self._model(one)
        except NotFound:
            self._note("the server has no registry")

    def versions(self, model: RegisteredModel) -> Iterator[TheirVersion]:
        """All pages, and where the files of each lie."""
        mark = "'" if "'" not in model.name else '"'
        asked = {"filter": f"name={mark}{model.name}{mark}", "max_results": VERSIONS_A_PAGE}
        found = []
        for page in self.client.pages("GET", f"{API}/model-versions/search", Page, asked):
            for one in page.model_versions:
                one.creation_timestamp, one.last_updated_timestamp = (
                    int(one.creation_timestamp), int(one.last_updated_timestamp),
                )  # fmt: skip
                version = version_of(model, one, _pairs(one.tags), user=one.user_id or "")
                found.append(TheirVersion(version, self._location(one)))
        yield from sorted(found, key=lambda one: one.version.number)

    def files(self, location: str) -> Iterator[File]:
        """Every file below a location: by the server's proxy, by its lists of a run's files, or where it lies."""
        if scheme_of(location) == PROXIED:
            yield from self._proxied(artifact_path(location), "")
        elif (run_id := self._run_behind(location)) and self._places.folder(location) is None:
            yield from self._listed(run_id, "")
        else:
            yield from self._places.files(location)

    def open(self, location: str, path: str) -> BinaryIO:
        """A file's bytes, streamed."""
        if scheme_of(location) == PROXIED:
            return self.client.stream(f"{ARTIFACTS}/{quoted(f'{artifact_path(location)}/{path}')}")
        if (run_id := self._run_behind(location)) and self._places.folder(location) is None:
            return self.client.stream("/get-artifact", path=path, run_uuid=run_id, run_id=run_id)
        return self._places.open(location, path)

    def _model(self, listed: ModelShape) -> RegisteredModel:
        page = self.client.ask("GET", f"{API}/registered-models/get", Page, name=listed.name)
        one = page.registered_model or listed
        aliases = {each.alias: int(each.version) for each in one.aliases or listed.aliases}
        created = int(one.creation_timestamp)
        return RegisteredModel(
            one.name, one.description or "", created, int(one.last_updated_timestamp) or created, 0, aliases,
            _pairs(one.tags),
        )  # fmt: skip

    def _location(self, one: VersionShape) -> str:
        try:
            said = self.client.ask(
                "GET", f"{API}/model-versions/get-download-uri", Page, name=one.name, version=one.version
            )
        except Unavailable:
            raise
        except TautError:
            return one.source or ""
        return said.artifact_uri or one.source or ""

    def _proxied(self, root: str, below: str) -> Iterator[File]:
        path = f"{root}/{below}".rstrip("/")
        page = self.client.ask("GET", ARTIFACTS, Page, path=path)
        for one in page.files:
            inside = f"{below}/{one.path}".lstrip("/")
            if one.is_dir:
                yield from self._proxied(root, inside)
            else:
                yield File(inside, int(one.file_size or 0))

    def _listed(self, run_id: str, below: str) -> Iterator[File]:
        """The files of a run that the server keeps on its own disk: it lists and hands them out itself."""
        asked = {"run_id": run_id, "path": below} if below else {"run_id": run_id}
        for page in self.client.pages("GET", f"{API}/artifacts/list", Page, asked):
            for one in page.files:
                if one.is_dir:
                    yield from self._listed(run_id, one.path)
                else:
                    yield File(one.path, int(one.file_size or 0))

    def _run_behind(self, location: str) -> str:
        """The run whose root a path of the server's own disk is; empty for any other place."""
        if scheme_of(location) not in {"", "file"}:
            return ""
        found = re.search(r"/(?!models/)[\w-]+/([\w-]+)/artifacts/?$", location)
        return "" if found is None or re.search(r"/models/[\w-]+/artifacts/?$", location) else found[1]

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _detail(one: RunShape) -> RunDetail:
    info, tags = one.info, _pairs(one.data.tags)
    run = Run(
        info.run_id, info.experiment_id, "", info.run_name or tags.get("mlflow.runName", ""), info.status,
        info.user_id or "", int(info.start_time), None if info.end_time is None else int(info.end_time),
        _lifecycle(info.lifecycle_stage), "", Capture(), _pairs(one.data.params), {}, tags,
    )  # fmt: skip
    inputs = [
        DatasetInput(
            read.dataset.name, read.dataset.digest, read.dataset.source_type, read.dataset.source or "",
            read.dataset.schema or "", read.dataset.profile or "", _pairs(read.tags),
        )
        for read in one.inputs.dataset_inputs
    ]  # fmt: skip
    outputs = [ModelOutput(made.model_id, int(made.step)) for made in one.outputs.model_outputs]
    read = tuple(ModelInput(each.model_id) for each in one.inputs.model_inputs)
    return RunDetail(run, tuple(_point(point) for point in one.data.metrics), tuple(inputs), tuple(outputs), read)


def _logged(one: LoggedShape) -> TheirModel:
    info = one.info
    measured = tuple(
        (point.run_id or info.source_run_id or "", _point(point, info.model_id)) for point in one.data.metrics
    )
    model = LoggedModel(
        info.model_id, info.experiment_id, info.source_run_id or "", info.name, info.model_type or "",
        _logged_status(info.status), int(info.creation_timestamp_ms), int(info.last_updated_timestamp_ms),
        _pairs(one.data.params), _pairs(info.tags), latest_of(measured),
    )  # fmt: skip
    return TheirModel(model, info.artifact_uri, measured)


def _logged_status(said: str | int) -> LoggedStatus:
    known: dict[str | int, LoggedStatus] = {
        "LOGGED_MODEL_READY": "READY",
        "LOGGED_MODEL_UPLOAD_FAILED": "UPLOAD_FAILED",
    }
    return known.get(said, "PENDING")


def _point(one: Point, model_id: str = "") -> MetricPoint:
    return point_of(one.key, one.value, int(one.step), int(one.timestamp), model_id or one.model_id or "")


def _pairs(pairs: list[Pair]) -> dict[str, str]:
    return {pair.key: pair.value or "" for pair in pairs}


def _lifecycle(written: str) -> Literal["active", "deleted"]:
    return "deleted" if written == "deleted" else "active"
