"""Runs and what is logged to them, as MLflow asks for them."""

from typing import Literal

import msgspec

from taut.errors import Invalid
from taut.faces.mlflow.shapes import (
    SCHEME,
    Json,
    Pair,
    Point,
    file_shape,
    history_shape,
    pairs_of,
    point_of,
    run_info_shape,
    run_shape,
)
from taut.ground.whole import check_whole
from taut.home import Home
from taut.runs import (
    Batch,
    DatasetInput,
    ModelInput,
    ModelOutput,
    RunDetail,
    chart_history,
    create_run,
    delete_run,
    get_run,
    list_artifacts,
    log_inputs,
    log_outputs,
    metric_history,
    page_of_runs,
    restore_run,
    run_detail,
    run_root,
    update_run,
)
from taut.runs import delete_tag as take_tag_away

VIEWS: dict[str, Literal["active", "deleted", "all"]] = {
    "ACTIVE_ONLY": "active", "DELETED_ONLY": "deleted", "ALL": "all",
}  # fmt: skip
HISTORY_PAGE = 25_000
CHART_RUNS_MAX = 100
CHART_POINTS_MAX = 2500


class Create(msgspec.Struct):
    """runs/create."""

    experiment_id: str = "0"
    user_id: str = ""
    run_name: str = ""
    start_time: int | None = None
    tags: list[Pair] = []


class ById(msgspec.Struct):
    """runs/get, delete, restore."""

    run_id: str


class Update(msgspec.Struct):
    """runs/update."""

    run_id: str
    status: str = ""
    end_time: int | None = None
    run_name: str = ""


class Metric(Point, kw_only=True):
    """runs/log-metric."""

    run_id: str


class Param(msgspec.Struct):
    """runs/log-parameter and set-tag."""

    run_id: str
    key: str
    value: str = ""


class Key(msgspec.Struct):
    """runs/delete-tag."""

    run_id: str
    key: str


class LogBatch(msgspec.Struct):
    """runs/log-batch."""

    run_id: str
    metrics: list[Point] = []
    params: list[Pair] = []
    tags: list[Pair] = []


class Dataset(msgspec.Struct):
    """A dataset as it is sent."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str = ""
    profile: str = ""


class Input(msgspec.Struct):
    """A dataset that a run read, with tags such as its context."""

    dataset: Dataset
    tags: list[Pair] = []


class InputModel(msgspec.Struct):
    """A logged model that a run read."""

    model_id: str


class Inputs(msgspec.Struct):
    """runs/log-inputs."""

    run_id: str
    datasets: list[Input] = []
    models: list[InputModel] = []


class Output(msgspec.Struct):
    """A logged model that a run made."""

    model_id: str
    step: int = 0


class Outputs(msgspec.Struct):
    """runs/outputs."""

    run_id: str
    models: list[Output] = []


class Search(msgspec.Struct):
    """runs/search."""

    experiment_ids: list[str] = []
    filter: str = ""
    run_view_type: str = "ACTIVE_ONLY"
    max_results: int = 1000
    order_by: list[str] = []
    page_token: str = ""
    columns: list[str] | None = None  # Of taut alone: MLflow's clients never ask for it.


class History(msgspec.Struct):
    """metrics/get-history."""

    run_id: str
    metric_key: str
    page_token: str = ""
    max_results: int | None = None


class Chart(msgspec.Struct):
    """metrics/get-history-bulk-interval."""

    run_ids: list[str]
    metric_key: str
    start_step: int | None = None
    end_step: int | None = None
    max_results: int = 320


class Files(msgspec.Struct):
    """artifacts/list."""

    run_id: str
    path: str = ""


def create(home: Home, asked: Create) -> Json:
    """Start a run."""
    tags = pairs_of(asked.tags, what="tag")
    if asked.user_id:
        tags.setdefault("mlflow.user", asked.user_id)
    run = create_run(
        home, experiment_id=asked.experiment_id, name=asked.run_name, started_ms=asked.start_time, tags=tags
    )
    return {"run": run_shape(RunDetail(run))}


def get(home: Home, asked: ById) -> Json:
    """One run with everything."""
    return {"run": run_shape(run_detail(home, asked.run_id))}


def update(home: Home, asked: Update) -> Json:
    """Change status, end or name."""
    run = update_run(home, asked.run_id, status=asked.status, ended_ms=asked.end_time, name=asked.run_name)
    return {"run_info": run_info_shape(run)}


def delete(home: Home, asked: ById) -> Json:
    """Mark one deleted."""
    delete_run(home, asked.run_id)
    return {}


def restore(home: Home, asked: ById) -> Json:
    """Bring one back."""
    restore_run(home, asked.run_id)
    return {}


def log_metric(home: Home, asked: Metric) -> Batch:
    """Log one point."""
    return Batch(asked.run_id, home.actor, metrics=(point_of(asked),))


def log_param(home: Home, asked: Param) -> Batch:
    """Log one param."""
    return Batch(asked.run_id, home.actor, params={asked.key: asked.value})


def set_tag(home: Home, asked: Param) -> Batch:
    """Set one tag."""
    return Batch(asked.run_id, home.actor, tags={asked.key: asked.value})


def delete_tag(home: Home, asked: Key) -> Json:
    """Take one tag away."""
    take_tag_away(home, asked.run_id, asked.key)
    return {}


def log_all(home: Home, asked: LogBatch) -> Batch:
    """Log a batch, whole or not at all."""
    return Batch(
        asked.run_id,
        home.actor,
        metrics=[point_of(sent) for sent in asked.metrics],
        params=pairs_of(asked.params, what="param"),
        tags={pair.key: pair.value for pair in asked.tags},
    )


def inputs(home: Home, asked: Inputs) -> Json:
    """Note what a run read."""
    log_inputs(
        home,
        asked.run_id,
        [
            DatasetInput(
                sent.dataset.name, sent.dataset.digest, sent.dataset.source_type, sent.dataset.source,
                sent.dataset.schema, sent.dataset.profile, pairs_of(sent.tags, what="tag"),
            )
            for sent in asked.datasets
        ],
        models=[ModelInput(sent.model_id) for sent in asked.models],
    )  # fmt: skip
    return {}


def outputs(home: Home, asked: Outputs) -> Json:
    """Note which logged models a run made."""
    for sent in asked.models:
        check_whole("step", sent.step)
    log_outputs(home, asked.run_id, [ModelOutput(sent.model_id, sent.step) for sent in asked.models])
    return {}


def search(home: Home, asked: Search) -> Json:
    """A page of runs with everything."""
    if asked.run_view_type not in VIEWS:
        raise Invalid(f"run_view_type is one of {', '.join(VIEWS)}, not {asked.run_view_type!r}")
    page = page_of_runs(
        home,
        asked.experiment_ids,
        filter=asked.filter,
        order_by=asked.order_by,
        view=VIEWS[asked.run_view_type],
        max_results=asked.max_results,
        page_token=asked.page_token,
        columns=asked.columns,
    )
    answer: Json = {"runs": [run_shape(detail) for detail in page.runs]}
    return {**answer, "next_page_token": page.next_page} if page.next_page else answer


def history(home: Home, asked: History) -> Json:
    """Points of one metric: all of them where no page size is said, as MLflow's server answers old clients."""
    page = metric_history(
        home, asked.run_id, asked.metric_key, max_results=asked.max_results or HISTORY_PAGE, page_token=asked.page_token
    )
    points, token = history_shape(page), page.next_page
    while token and asked.max_results is None:
        page = metric_history(home, asked.run_id, asked.metric_key, page_token=token)
        points, token = [*points, *history_shape(page)], page.next_page
    answer: Json = {"metrics": points}
    return {**answer, "next_page_token": token} if token else answer


def chart(home: Home, asked: Chart) -> Json:
    """As many points of one metric of several runs as a chart can show, each run's lowest and highest among them."""
    if not asked.run_ids:
        raise Invalid("Missing value for required parameter 'run_ids'.")
    if len(asked.run_ids) > CHART_RUNS_MAX:
        raise Invalid(
            f"GetMetricHistoryBulkInterval request must specify at most {CHART_RUNS_MAX} run_ids. "
            f"Received {len(asked.run_ids)} run_ids."
        )
    if not 1 <= asked.max_results <= CHART_POINTS_MAX:
        raise Invalid(f"max_results must be between 1 and {CHART_POINTS_MAX}, not {asked.max_results}")
    if (asked.start_step is None) != (asked.end_step is None):
        raise Invalid("If either start step or end step are specified, both must be specified.")
    if asked.start_step is not None and asked.end_step is not None and asked.start_step > asked.end_step:
        raise Invalid(
            "end_step must be greater than start_step. "
            f"Found start_step={asked.start_step} and end_step={asked.end_step}."
        )
    bounds = {} if asked.start_step is None else {"from_step": asked.start_step, "to_step": asked.end_step or 0}
    metrics: list[Json] = []
    for run_id in asked.run_ids:
        found = chart_history(home, run_id, asked.metric_key, points_max=asked.max_results, **bounds)
        metrics += [{**point, "run_id": run_id} for point in history_shape(found)]
    return {"metrics": metrics}


def files(home: Home, asked: Files) -> Json:
    """What lies in a folder of a run's artifacts."""
    run = get_run(home, asked.run_id)
    root = run_root(run.experiment_id, run.id)
    found = list_artifacts(home, root, asked.path)
    return {"root_uri": SCHEME + root, "files": [file_shape(one) for one in found]}
