"""Logged models: what a run makes and has not been registered yet; a name, a state, params, tags and metrics."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, cast, get_args

from taut.errors import Invalid, NotFound
from taut.ground import wire
from taut.ground.clock import new_id
from taut.ground.meta import Row, Tx, Value
from taut.home import Home, sight, verb
from taut.runs.batches import lock_run
from taut.runs.experiments import read_experiment
from taut.runs.filters import Comparison, Condition, Found, Order, holds, lookup, matches, parse_filter, parse_order
from taut.runs.names import PARAM_VALUE_MAX, TAG_VALUE_MAX, check_key
from taut.runs.pages import page_of
from taut.runs.points import MetricPoint
from taut.runs.rights import of_experiment, of_logged_model

Finish = Literal["PENDING", "READY", "UPLOAD_FAILED"]
Status = Literal[Finish, "DELETED"]
PAGE = 100
NAME_MAX = 256

INSERT = """
INSERT INTO logged_model
    (id, experiment_id, run_id, name, model_type, status, created_ms, updated_ms, params, tags)
VALUES (:id, :experiment_id, :run_id, :name, :model_type, 'PENDING', :at_ms, :at_ms, :params, :tags)
"""
COLUMNS = "id, experiment_id, run_id, name, model_type, status, created_ms, updated_ms, params, tags"
SELECT_ONE = f"SELECT {COLUMNS} FROM logged_model WHERE id = :id"  # noqa: S608  # Constants only.
SELECT_IN = f"SELECT {COLUMNS} FROM logged_model WHERE status <> 'DELETED' AND experiment_id IN [:ids]"  # noqa: S608
UPDATE = """
UPDATE logged_model SET status = :status, params = :params, tags = :tags, updated_ms = :at_ms WHERE id = :id
"""
SET_TAGS = "UPDATE logged_model SET tags = :tags WHERE id = :id"
VERSIONS_TAG = "mlflow.modelVersions"
LOCK = "UPDATE logged_model SET updated_ms = updated_ms WHERE id = :id AND status <> 'DELETED'"
SELECT_POINTS = """
SELECT model_id, key, value, step, at_ms, dataset_name, dataset_digest, run_id FROM series WHERE model_id IN [:ids]
ORDER BY step, at_ms
"""


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A model directory that a run logged; `metrics` are the latest points that were measured on it."""

    id: str
    experiment_id: str
    run_id: str
    name: str
    model_type: str
    status: Status
    created_ms: int
    updated_ms: int
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: tuple[MetricPoint, ...] = ()
    measured_in: tuple[str, ...] = ()
    """The run that each of the metrics was logged to, in their order; it need not be the one that made the model."""


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """A dataset that metrics were measured on; without a digest, all of that name."""

    name: str
    digest: str = ""

    def is_of(self, point: MetricPoint) -> bool:
        """Whether a point was measured on it."""
        return point.dataset_name == self.name and self.digest in ("", point.dataset_digest)


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """A term of an order, as `metrics.auc DESC`, of what was measured on one dataset where it is named."""

    term: str
    dataset: DatasetRef | None = None


@dataclass(frozen=True, slots=True)
class LoggedModelPage:
    """Logged models; `next_page` is empty on the last page."""

    models: tuple[LoggedModel, ...]
    next_page: str = ""


@verb("logged.create", needs="run:write", on=of_experiment)
def create_logged_model(
    home: Home,
    experiment_id: str,
    *,
    name: str = "",
    model_type: str = "",
    run_id: str = "",
    params: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
) -> LoggedModel:
    """Begin a logged model, still without files and so PENDING. Raises NotFound for the experiment or run."""
    if len(name) > NAME_MAX or any(char in name for char in "/:.%\"'"):
        raise Invalid(f"{name[:80]!r} cannot name a logged model: at most {NAME_MAX} characters, none of / : . % \" '")
    model_id = f"m-{new_id()}"
    with home.meta.transaction() as tx:
        if read_experiment(tx, experiment_id).lifecycle != "active":
            raise Invalid(f"experiment {experiment_id} is deleted; restore it before you log a model in it")
        if run_id:
            lock_run(tx, run_id)
        tx.execute(INSERT, {
            "id": model_id, "experiment_id": experiment_id, "run_id": run_id, "name": name or f"model-{model_id[2:10]}",
            "model_type": model_type, "at_ms": home.clock.now_ms(), "params": wire.text(_cut(params, "param")),
            "tags": wire.text(_cut(tags, "tag")),
        })  # fmt: skip
        home.append(tx, "logged.created", subject=f"logged-model:{model_id}", body={"run": run_id, "name": name})
        return _read(tx, model_id)


@verb("logged.get", needs="run:read", on=of_logged_model)
def get_logged_model(home: Home, model_id: str) -> LoggedModel:
    """The logged model of that id. Raises NotFound."""
    with home.meta.read() as tx:
        return _read(tx, model_id)


@verb("logged.finish", needs="run:write", on=of_logged_model)
def finish_logged_model(home: Home, model_id: str, status: Finish) -> LoggedModel:
    """Say that its files are all there (READY), will not come, or are awaited again (PENDING).

    Raises NotFound, and Invalid for any other status: deleting is a verb and a permission of its own.
    """
    if status not in get_args(Finish):
        raise Invalid(f"a logged model cannot be finished as {status!r}; it is one of {', '.join(get_args(Finish))}")
    return _change(home, model_id, "logged.finished", status=status)


@verb("logged.delete", needs="run:delete", on=of_logged_model)
def delete_logged_model(home: Home, model_id: str) -> None:
    """Hide it; registered versions made of it keep their files. Raises NotFound."""
    _change(home, model_id, "logged.deleted", status="DELETED")


@verb("logged.tag", needs="run:write", on=of_logged_model)
def tag_logged_model(home: Home, model_id: str, tags: dict[str, str | None]) -> LoggedModel:
    """Set tags; None takes one away. Raises NotFound, also for a tag to take away that is not there."""
    return _change(home, model_id, "logged.tagged", tags=tags)


@verb("logged.params", needs="run:write", on=of_logged_model)
def log_model_params(home: Home, model_id: str, params: dict[str, str]) -> LoggedModel:
    """Add params; the same value again is fine, another raises Invalid, as for runs."""
    return _change(home, model_id, "logged.params", params=params)


@verb("logged.search", needs="run:read", on="*")
def search_logged_models(
    home: Home,
    experiment_ids: list[str],
    *,
    filter: str = "",
    datasets: list[DatasetRef] | None = None,
    order_by: list[str | ModelOrder] | None = None,
    max_results: int = PAGE,
    page_token: str = "",
) -> LoggedModelPage:
    """A page of the logged models of these experiments that meet a filter, newest first where no order is said.

    A metric has one value for each dataset that it was measured on, the latest; a condition is met where one of them
    meets it, and an order goes by the latest of them. With `datasets`, conditions on metrics look only at what was
    measured on one of these, and where there is no such condition, something must have been.
    """
    conditions = parse_filter(filter)
    orders = [one if isinstance(one, ModelOrder) else ModelOrder(one) for one in order_by or []]
    terms = list(zip(parse_order([order.term for order in orders]), orders, strict=True))
    seen = sight(home, "experiment", "run:read")
    experiment_ids = [experiment_id for experiment_id in experiment_ids if seen.sees(experiment_id)]
    with home.meta.read() as tx:
        models = _read_all(tx, experiment_ids) if experiment_ids else []
    if datasets and not any(_asks_a_metric(one) for one in conditions):
        models = [model for model in models if any(ref.is_of(point) for ref in datasets for point in model.metrics)]
    chosen = [
        model
        for model in models
        if all(holds(one, partial(_found, model=model, datasets=datasets or [])) for one in conditions)
    ]
    chosen.sort(key=lambda model: (-model.created_ms, model.id))
    for term, order in reversed(terms):
        values = {model.id: _value(term, model, order.dataset) for model in chosen}
        there = [model for model in chosen if values[model.id] is not None]
        there.sort(key=lambda model: cast("float", values[model.id]), reverse=term.descending)
        chosen = there + [model for model in chosen if values[model.id] is None]
    page, token = page_of(chosen, page_token, max_results, key=lambda model: model.id)
    return LoggedModelPage(tuple(page), token)


def note_version(tx: Tx, model_id: str, name: str, number: int) -> None:
    """Write on a logged model which version was made of it, as MLflow does; the newest where there are many."""
    if not tx.execute(LOCK, {"id": model_id}):
        return  # Deleted: its files made a version all the same.
    model = _read(tx, model_id)
    version = {"name": name, "version": number}
    noted = [one for one in _noted(model.tags.get(VERSIONS_TAG, "[]")) if one != version] + [version]
    while len(text := wire.text(noted)) > TAG_VALUE_MAX:
        del noted[0]
    tx.execute(SET_TAGS, {"id": model_id, "tags": wire.text({**model.tags, VERSIONS_TAG: text})})


def _noted(text: str) -> list[object]:
    """The versions that a tag names; none where somebody wrote something else there."""
    try:
        return wire.decode(text, list[object])
    except Invalid:
        return []


def _change(
    home: Home,
    model_id: str,
    kind: str,
    *,
    status: Status | None = None,
    tags: Mapping[str, str | None] | None = None,
    params: Mapping[str, str] | None = None,
) -> LoggedModel:
    with home.meta.transaction() as tx:
        if not tx.execute(LOCK, {"id": model_id}):
            raise _no_model(model_id)
        model = _read(tx, model_id)
        new_tags, new_params = _tagged(model, tags or {}), {**model.params, **_cut(params, "param")}
        for key, value in model.params.items():
            if new_params[key] != value:
                raise Invalid(f"param {key!r} of logged model {model_id} is {value!r} already; params are written once")
        tx.execute(UPDATE, {
            "id": model_id, "status": status or model.status, "params": wire.text(new_params),
            "tags": wire.text(new_tags), "at_ms": home.clock.now_ms(),
        })  # fmt: skip
        home.append(tx, kind, subject=f"logged-model:{model_id}", body={"status": status or model.status})
        return model if status == "DELETED" else _read(tx, model_id)


def _tagged(model: LoggedModel, changes: Mapping[str, str | None]) -> dict[str, str]:
    tags = dict(model.tags)
    for key, value in changes.items():
        if value is not None:
            tags.update(_cut({key: value}, "tag"))
        elif tags.pop(key, None) is None:
            raise NotFound(f"No tag with key {key!r} on logged model {model.id}")
    return tags


def _cut(pairs: Mapping[str, str] | None, of: str) -> dict[str, str]:
    for key in pairs or {}:
        check_key(key, of=of)
    limit = PARAM_VALUE_MAX if of == "param" else TAG_VALUE_MAX
    return {key: value[:limit] for key, value in (pairs or {}).items()}


def _read(tx: Tx, model_id: str) -> LoggedModel:
    row = tx.row(SELECT_ONE, {"id": model_id})
    if row is None or row[5] == "DELETED":
        raise _no_model(model_id)
    return _model(row, _points(tx, [model_id])[model_id])


def _read_all(tx: Tx, experiment_ids: Sequence[str]) -> list[LoggedModel]:
    rows = tx.rows(SELECT_IN, {"ids": list(experiment_ids)})
    points = _points(tx, [str(row[0]) for row in rows])
    return [_model(row, points[str(row[0])]) for row in rows]


_Measured = tuple[MetricPoint, str]


def _points(tx: Tx, model_ids: Sequence[str]) -> dict[str, tuple[_Measured, ...]]:
    """The latest point of each metric of each model, on each dataset it was measured on, and its run."""
    latest: dict[str, dict[tuple[Value, ...], _Measured]] = defaultdict(dict)
    for model_id, key, value, step, at_ms, name, digest, run_id in tx.rows(SELECT_POINTS, {"ids": list(model_ids)}):
        number = None if value is None else float(value)
        point = MetricPoint(str(key), number, _whole(step), _whole(at_ms), str(model_id), str(name), str(digest))
        latest[str(model_id)][key, name, digest] = point, str(run_id)
    return defaultdict(tuple, {model_id: tuple(points.values()) for model_id, points in latest.items()})


def _asks_a_metric(condition: Condition) -> bool:
    if isinstance(condition, Comparison):
        return condition.entity == "metric"
    return any(_asks_a_metric(part) for part in condition.parts)


def _found(wanted: Comparison, *, model: LoggedModel, datasets: Sequence[DatasetRef]) -> Found:
    """What a comparison looks at; of several values of a metric, one that meets it where there is one."""
    if wanted.entity == "metric":
        values = [point.value for point in _measured(model, wanted.key, datasets)]
        return next((value for value in values if matches(wanted, value)), values[0] if values else None)
    if wanted.entity == "param":
        return model.params.get(wanted.key)
    return lookup(wanted, _attributes(model), model.tags)


def _value(order: Order, model: LoggedModel, dataset: DatasetRef | None) -> Found:
    if order.entity == "metric":
        points = _measured(model, order.key, [dataset] if dataset is not None else [])
        return max(points, key=lambda point: (point.at_ms, point.step)).value if points else None
    return _found(Comparison(order.entity, order.key, "IS NULL"), model=model, datasets=[])


def _measured(model: LoggedModel, key: str, datasets: Sequence[DatasetRef]) -> list[MetricPoint]:
    points = [point for point in model.metrics if point.key == key]
    return [point for point in points if not datasets or any(ref.is_of(point) for ref in datasets)]


def _attributes(model: LoggedModel) -> dict[str, Found]:
    return {
        "name": model.name, "model_id": model.id, "model_type": model.model_type or None, "status": model.status,
        "source_run_id": model.run_id or None, "experiment_id": model.experiment_id,
        **dict.fromkeys(("creation_time", "creation_timestamp", "creation_timestamp_ms"), float(model.created_ms)),
        **dict.fromkeys(("last_updated_timestamp", "last_updated_timestamp_ms"), float(model.updated_ms)),
    }  # fmt: skip


def _no_model(model_id: str) -> NotFound:
    return NotFound(f"Logged model {model_id[:80]!r} not found")


def _model(row: Row, measured: tuple[_Measured, ...]) -> LoggedModel:
    model_id, experiment_id, run_id, name, model_type, status, created_ms, updated_ms, params, tags = row
    return LoggedModel(
        str(model_id), str(experiment_id), str(run_id), str(name), str(model_type), cast("Status", status),
        _whole(created_ms), _whole(updated_ms), wire.decode(str(params), dict[str, str]),
        wire.decode(str(tags), dict[str, str]), tuple(point for point, _ in measured),
        tuple(run for _, run in measured),
    )  # fmt: skip


def _whole(value: Value) -> int:
    assert isinstance(value, int), value
    return value
