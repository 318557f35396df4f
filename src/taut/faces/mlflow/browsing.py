"""What MLflow's own pages and third-party programs ask beyond the clients: downloads, histories in bulk, datasets."""

import io
from collections.abc import Iterator

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from taut.errors import Invalid, NotFound, TooLarge
from taut.faces.http.reading import read_body
from taut.faces.mlflow.files import attachment
from taut.faces.mlflow.shapes import SCHEME, Json, file_shape, point_shape
from taut.faces.mlflow.spans import TRACES_FILE, file_of_spans
from taut.home import Home, require
from taut.models import model_files
from taut.runs import (
    MetricPoint,
    expect_artifact,
    find_artifact,
    get_logged_model,
    get_run,
    list_artifacts,
    metric_history,
    model_root,
    note_model,
    page_of_runs,
    put_artifact,
    run_root,
)
from taut.runs.traces import trace_detail

UPLOAD_BYTES_MAX = 10 << 20  # What MLflow's own pages send: notes and small pictures.
RUNS_MAX = 100  # Runs in one question about their histories, as MLflow's server has it.
POINTS_MAX = 25_000
EXPERIMENTS_MAX = 20
SUMMARIES_MAX = 1000
CONTEXT_TAG = "mlflow.data.context"


class Directory(msgspec.Struct):
    """GET logged-models/{model_id}/artifacts/directories."""

    model_id: str
    artifact_directory_path: str = ""


class Bulk(msgspec.Struct):
    """metrics/get-history-bulk."""

    metric_key: str = ""
    run_id: list[str] = []
    max_results: int = POINTS_MAX


class Experiments(msgspec.Struct):
    """experiments/search-datasets."""

    experiment_ids: list[str] = []


class Noted(msgspec.Struct):
    """runs/log-model, of clients before MLflow 3."""

    run_id: str
    model_json: str


async def run_file(home: Home, request: Request) -> Response:
    """A file of a run, as a download."""
    path, run_id = _said(request, "path"), _run_said(request)
    run = await run_in_threadpool(get_run, home, run_id)
    found = await run_in_threadpool(find_artifact, home, run_root(run.experiment_id, run.id), path)
    return await run_in_threadpool(attachment, home, path, found.oid, named=True)


async def version_file(home: Home, request: Request) -> Response:
    """A file of a model version, as a download; the bytes are those that were registered."""
    path, name, number = _said(request, "path"), _said(request, "name"), _said(request, "version")
    if not (number.isascii() and number.isdigit() and len(number) <= 18):  # More digits fit no row.
        raise Invalid(f"version must be a whole number, not {number[:40]!r}")
    files = await run_in_threadpool(model_files, home, name, int(number))
    found = next((file for file in files if file.path == path), None)
    if found is None:
        raise NotFound(f"{name}@{number} has no file {path[:120]!r}")
    return await run_in_threadpool(attachment, home, path, found.oid, named=True)


async def model_file(home: Home, request: Request) -> Response:
    """A file of a logged model, as a download."""
    path = _said(request, "artifact_file_path")
    model = await run_in_threadpool(get_logged_model, home, request.path_params["model_id"])
    found = await run_in_threadpool(find_artifact, home, model_root(model.experiment_id, model.id), path)
    return await run_in_threadpool(attachment, home, path, found.oid, named=True)


async def trace_file(home: Home, request: Request) -> Response:
    """The spans of a trace as the file that clients keep, or one of its attachments where `path` names it."""
    trace_id, path = _said(request, "request_id"), request.query_params.get("path", "")
    detail = await run_in_threadpool(trace_detail, home, trace_id)
    if detail.spans and not path:
        headers = {"Content-Disposition": f"attachment; filename={TRACES_FILE}"}
        return Response(file_of_spans(detail.spans), media_type="application/json", headers=headers)
    kept = f"attachments/{path}" if path else TRACES_FILE
    found = await run_in_threadpool(find_artifact, home, detail.trace.artifact_root, kept)
    return await run_in_threadpool(attachment, home, kept, found.oid, named=True)


async def upload(home: Home, request: Request) -> Response:
    """Keep a small file of a run that a page sends."""
    run_id, path = _run_said(request), _said(request, "path")
    run = await run_in_threadpool(get_run, home, run_id)
    resource = f"experiment:{run.experiment_id}"
    await run_in_threadpool(require, home, "artifact:write", verb="artifact.put", resource=resource)
    await run_in_threadpool(expect_artifact, home, run_root(run.experiment_id, run.id), path)
    try:
        body = await read_body(request, bytes_max=UPLOAD_BYTES_MAX)
    except TooLarge as problem:  # MLflow calls it an invalid value.
        raise Invalid(f"the artifact is too large: {problem.message}", hint="send it to mlflow-artifacts") from None
    if not body:
        raise Invalid("Request must specify data. The body is the file, and this one is empty")
    oid = await run_in_threadpool(home.objects.put, io.BytesIO(body))
    await run_in_threadpool(put_artifact, home, run_root(run.experiment_id, run.id), path, oid, len(body))
    return JSONResponse({})


def directory(home: Home, asked: Directory) -> Json:
    """What lies in a folder of a logged model."""
    model = get_logged_model(home, asked.model_id)
    root = model_root(model.experiment_id, model.id)
    found = list_artifacts(home, root, asked.artifact_directory_path.strip("/"))
    return {"root_uri": SCHEME + root, "files": [file_shape(one) for one in found]}


def bulk_history(home: Home, asked: Bulk) -> Json:
    """The points of one metric of several runs, run by run in order of time; cut off after `max_results` in all."""
    limit = min(_at_least_one(asked.max_results), POINTS_MAX)
    shapes: list[Json] = []
    for run_id in _checked(asked):
        points = sorted(_points(home, run_id, asked.metric_key), key=_by_time)
        shapes += [_shape(run_id, point) for point in points[: limit - len(shapes)]]
        if len(shapes) == limit:
            break
    return {"metrics": shapes}


def datasets(home: Home, asked: Experiments) -> Json:
    """The datasets that runs of some experiments said they read, each with the contexts it was read in."""
    _check_number(asked.experiment_ids, EXPERIMENTS_MAX, of="SearchDatasets", called="experiment_id")
    found: dict[tuple[str, ...], Json] = {}
    for shape in _read_datasets(home, asked.experiment_ids):
        found.setdefault(tuple(shape.values()), shape)
        if len(found) == SUMMARIES_MAX:
            break
    return {"dataset_summaries": list(found.values())}


def note(home: Home, asked: Noted) -> Json:
    """Note a model as clients before MLflow 3 do."""
    note_model(home, asked.run_id, asked.model_json)
    return {}


def _read_datasets(home: Home, experiment_ids: list[str]) -> Iterator[Json]:
    token = ""
    while True:
        page = page_of_runs(home, experiment_ids, view="all", page_token=token)
        for detail in page.runs:
            for read in detail.inputs:
                shape = {"experiment_id": detail.run.experiment_id, "name": read.name, "digest": read.digest}
                yield {**shape, "context": read.tags[CONTEXT_TAG]} if CONTEXT_TAG in read.tags else shape
        token = page.next_page
        if not token:
            return


def _points(home: Home, run_id: str, key: str) -> list[MetricPoint]:
    points: list[MetricPoint] = []
    token = ""
    while True:
        page = metric_history(home, run_id, key, page_token=token)
        points += page.points
        token = page.next_page
        if not token:
            return points


def _shape(run_id: str, point: MetricPoint) -> Json:
    shape = point_shape(point)
    shape.pop("model_id", None)
    return {**shape, "run_id": run_id}


def _by_time(point: MetricPoint) -> tuple[int, int, bool, float]:
    return point.at_ms, point.step, point.value is None, point.value or 0.0


def _checked(asked: Bulk) -> list[str]:
    """The runs whose histories are asked for, each once. Raises Invalid where none or too many are."""
    _check_number(asked.run_id, RUNS_MAX, of="GetMetricHistoryBulk", called="run_id")
    if not asked.metric_key:
        raise Invalid("GetMetricHistoryBulk request must specify a metric_key.")
    return sorted(set(asked.run_id))


def _check_number(ids: list[str], most: int, *, of: str, called: str) -> None:
    """Raise Invalid, in the words that pages and programs know, where a request names nothing or too much."""
    if not ids:
        raise Invalid(f"{of} request must specify at least one {called}.")
    if len(ids) > most:
        raise Invalid(f"{of} request cannot specify more than {most} {called}s. Received {len(ids)} {called}s.")


def _at_least_one(max_results: int) -> int:
    if max_results < 1:
        raise Invalid(f"max_results is at least 1, not {max_results}")
    return max_results


def _run_said(request: Request) -> str:
    """The run of a query; `run_uuid` is its older name."""
    return request.query_params.get("run_id") or _said(request, "run_uuid")


def _said(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if not value:
        raise Invalid(f"Request must specify {name}.")
    if "\0" in value:
        raise Invalid(f"text cannot hold the character NUL: {value[:40]!r}")
    return value
