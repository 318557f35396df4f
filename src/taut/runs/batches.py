"""What is logged to a run: params once, metrics as points, tags; one batch is one transaction and one ledger entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from taut.errors import Invalid, NotFound
from taut.ground import wire
from taut.ground.meta import Row, Tx, Value
from taut.home import Home, verb
from taut.runs.detail import DatasetInput, MetricPoint, ModelOutput
from taut.runs.names import PARAM_VALUE_MAX, TAG_VALUE_MAX, check_key
from taut.runs.pages import check_page_size, read_token, token_of

METRICS_MAX, PARAMS_MAX, TAGS_MAX, ITEMS_MAX = 1000, 100, 100, 1000
HISTORY_MAX = 25_000
NAME_TAG = "mlflow.runName"  # MLflow clients read and change a run's name as this tag too.
INT64_MAX = 2**63 - 1

# Takes the run's row before anything is compared with what is there, so that a retried batch waits for its first try.
LOCK_RUN = "UPDATE run SET lifecycle = lifecycle WHERE id = :run_id AND lifecycle = 'active'"
SELECT_LIFECYCLE = "SELECT lifecycle FROM run WHERE id = :run_id"
SELECT_PARAMS = "SELECT key, value FROM param WHERE run_id = :run_id"
INSERT_PARAM = """
INSERT INTO param (run_id, key, value) VALUES (:run_id, :key, :value) ON CONFLICT (run_id, key) DO NOTHING
"""
UPSERT_TAG = """
INSERT INTO run_tag (run_id, key, value) VALUES (:run_id, :key, :value)
ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value
"""
DELETE_TAG = "DELETE FROM run_tag WHERE run_id = :run_id AND key = :key"
SET_NAME = "UPDATE run SET name = :name WHERE id = :run_id"
INSERT_POINT = """
INSERT INTO metric (run_id, key, step, at_ms, value, model_id)
SELECT CAST(:run_id AS TEXT), CAST(:key AS TEXT), CAST(:step AS BIGINT), CAST(:at_ms AS BIGINT),
    CAST(:value AS DOUBLE PRECISION), CAST(:model_id AS TEXT)
WHERE NOT EXISTS (
    SELECT 1 FROM metric WHERE run_id = :run_id AND key = :key AND step = :step AND at_ms = :at_ms
        AND model_id = :model_id
        AND (value = CAST(:value AS DOUBLE PRECISION)
            OR (value IS NULL AND CAST(:value AS DOUBLE PRECISION) IS NULL))
)
"""
# The highest (step, time, value) is the latest, however late it arrives; not-a-number is below every number.
UPSERT_LATEST = """
INSERT INTO metric_latest (run_id, key, step, at_ms, value) VALUES (:run_id, :key, :step, :at_ms, :value)
ON CONFLICT (run_id, key) DO UPDATE SET step = excluded.step, at_ms = excluded.at_ms, value = excluded.value
WHERE excluded.step > metric_latest.step
    OR (excluded.step = metric_latest.step AND excluded.at_ms > metric_latest.at_ms)
    OR (excluded.step = metric_latest.step AND excluded.at_ms = metric_latest.at_ms
        AND (metric_latest.value IS NULL OR excluded.value > metric_latest.value))
"""
INSERT_INPUT = """
INSERT INTO run_input (run_id, name, digest, source_type, source, columns, profile, tags)
VALUES (:run_id, :name, :digest, :source_type, :source, :columns, :profile, :tags)
ON CONFLICT (run_id, name, digest) DO NOTHING
"""
INSERT_OUTPUT = """
INSERT INTO run_output (run_id, model_id, step) VALUES (:run_id, :model_id, :step)
ON CONFLICT (run_id, model_id) DO NOTHING
"""
# A token is the place of the last point and how many points share that place with it and came before it.
SELECT_HISTORY = """
SELECT key, value, step, at_ms, model_id FROM metric
WHERE run_id = :run_id AND key = :key AND (step > :step OR (step = :step AND at_ms >= :at_ms))
ORDER BY step, at_ms, value, model_id LIMIT :limit OFFSET :skip
"""


@dataclass(frozen=True, slots=True)
class History:
    """A page of the points of one metric, in order of step and time; `next_page` is empty on the last."""

    points: tuple[MetricPoint, ...]
    next_page: str = ""


@verb("run.log", needs="run:write")
def log_batch(
    home: Home,
    run_id: str,
    *,
    metrics: Sequence[MetricPoint] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log points, params and tags to a run: all of them are stored or none.

    A point that is there already is not doubled, so a batch may be sent again. Params are written once: the same
    value again is fine, another raises Invalid. Long values are cut as MLflow cuts them. Raises NotFound, and Invalid
    past the limits, for a bad key or a deleted run.
    """
    params, tags = params or {}, tags or {}
    _check_sizes(len(metrics), len(params), len(tags))
    for key in params:
        check_key(key, of="param")
    for key in tags:
        check_key(key, of="tag")
    for point in metrics:
        _check_point(point)
    with home.meta.transaction() as tx:
        lock_run(tx, run_id)
        _write_params(tx, run_id, params)
        write_tags(tx, run_id, tags)
        _write_points(tx, run_id, metrics)
        home.append(
            tx, "run.logged", subject=f"run:{run_id}",
            body={"metrics": len(metrics), "params": len(params), "tags": len(tags)},
        )  # fmt: skip


@verb("run.untag", needs="run:write")
def delete_tag(home: Home, run_id: str, key: str) -> None:
    """Take a tag away. Raises NotFound where the run or its tag is not there."""
    with home.meta.transaction() as tx:
        lock_run(tx, run_id)
        if not tx.execute(DELETE_TAG, {"run_id": run_id, "key": key}):
            raise NotFound(f"run {run_id} has no tag {key!r}")
        home.append(tx, "run.untagged", subject=f"run:{run_id}", body={"key": key})


@verb("run.inputs", needs="run:write")
def log_inputs(home: Home, run_id: str, datasets: Sequence[DatasetInput]) -> None:
    """Note the datasets that a run says it read; the same name and digest again changes nothing."""
    with home.meta.transaction() as tx:
        lock_run(tx, run_id)
        for dataset in datasets:
            tx.execute(INSERT_INPUT, {"run_id": run_id, **wire.plain(dataset), "tags": wire.text(dataset.tags)})
        home.append(
            tx, "run.read", subject=f"run:{run_id}", body=[f"{dataset.name}:{dataset.digest}" for dataset in datasets]
        )


@verb("run.outputs", needs="run:write")
def log_outputs(home: Home, run_id: str, models: Sequence[ModelOutput]) -> None:
    """Note the logged models that a run made; the same model again changes nothing."""
    with home.meta.transaction() as tx:
        lock_run(tx, run_id)
        for model in models:
            tx.execute(INSERT_OUTPUT, {"run_id": run_id, "model_id": model.model_id, "step": model.step})
        home.append(tx, "run.made", subject=f"run:{run_id}", body=[model.model_id for model in models])


@verb("run.history", needs="run:read")
def metric_history(
    home: Home, run_id: str, key: str, *, max_results: int = HISTORY_MAX, page_token: str = ""
) -> History:
    """The points of one metric of a run, in order of step and time; none where it was never logged."""
    check_page_size(max_results, at_most=HISTORY_MAX)
    step, at_ms, skip = read_token(page_token, length=3) or [-INT64_MAX, -INT64_MAX, 0]
    asked: dict[str, Value] = {
        "run_id": run_id, "key": key, "step": _whole(step), "at_ms": _whole(at_ms), "skip": _whole(skip),
        "limit": max_results + 1,
    }  # fmt: skip
    with home.meta.read() as tx:
        if tx.row(SELECT_LIFECYCLE, {"run_id": run_id}) is None:
            raise NotFound(f"there is no run with the id {run_id[:80]!r}", hint="taut runs list")
        points = [_point(row) for row in tx.rows(SELECT_HISTORY, asked)]
    if len(points) <= max_results:
        return History(tuple(points))
    page = points[:max_results]
    last = (page[-1].step, page[-1].at_ms)
    same = sum((point.step, point.at_ms) == last for point in page)
    if last == (step, at_ms):
        same += _whole(skip)
    return History(tuple(page), token_of([*last, same]))


def lock_run(tx: Tx, run_id: str) -> None:
    """Hold the run's row until the transaction ends. Raises NotFound, Invalid where it is deleted."""
    if tx.execute(LOCK_RUN, {"run_id": run_id}):
        return
    if tx.row(SELECT_LIFECYCLE, {"run_id": run_id}) is None:
        raise NotFound(f"there is no run with the id {run_id[:80]!r}", hint="taut runs list")
    raise Invalid(f"run {run_id} is deleted; restore it before you change it")


def write_tags(tx: Tx, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags inside the caller's transaction; the tag of its name renames the run."""
    tx.executemany(
        UPSERT_TAG, [{"run_id": run_id, "key": key, "value": value[:TAG_VALUE_MAX]} for key, value in tags.items()]
    )
    if NAME_TAG in tags:
        tx.execute(SET_NAME, {"run_id": run_id, "name": tags[NAME_TAG]})


def _check_sizes(metrics: int, params: int, tags: int) -> None:
    for found, limit, what in (
        (metrics, METRICS_MAX, "metrics"), (params, PARAMS_MAX, "params"), (tags, TAGS_MAX, "tags"),
        (metrics + params + tags, ITEMS_MAX, "items in all"),
    ):  # fmt: skip
        if found > limit:
            raise Invalid(f"a batch holds at most {limit} {what}, this has {found}")


def _check_point(point: MetricPoint) -> None:
    check_key(point.key, of="metric")
    if not (-INT64_MAX <= point.step <= INT64_MAX and -INT64_MAX <= point.at_ms <= INT64_MAX):
        raise Invalid(f"step and time of metric {point.key!r} must fit 64 bits")


def _write_params(tx: Tx, run_id: str, params: Mapping[str, str]) -> None:
    if not params:
        return
    stored = {str(key): str(value) for key, value in tx.rows(SELECT_PARAMS, {"run_id": run_id})}
    new: list[dict[str, Value]] = []
    for key, given in params.items():
        value = given[:PARAM_VALUE_MAX]
        if stored.get(key, value) != value:
            raise Invalid(
                f"param {key!r} of run {run_id} is {stored[key]!r} already and cannot become {value!r}: "
                "params are written once"
            )
        if key not in stored:
            new.append({"run_id": run_id, "key": key, "value": value})
    tx.executemany(INSERT_PARAM, new)


def _write_points(tx: Tx, run_id: str, points: Sequence[MetricPoint]) -> None:
    rows = [{"run_id": run_id, **wire.plain(point)} for point in points]
    tx.executemany(INSERT_POINT, rows)
    latest: dict[str, dict[str, Value]] = {}
    for point, row in sorted(zip(points, rows, strict=True), key=lambda pair: _rank(pair[0])):
        latest[point.key] = {name: value for name, value in row.items() if name != "model_id"}
    tx.executemany(UPSERT_LATEST, list(latest.values()))


def _rank(point: MetricPoint) -> tuple[int, int, bool, float]:
    return point.step, point.at_ms, point.value is not None, point.value or 0.0


def _point(row: Row) -> MetricPoint:
    key, value, step, at_ms, model_id = row
    return MetricPoint(str(key), None if value is None else float(value), _whole(step), _whole(at_ms), str(model_id))


def _whole(value: Value) -> int:
    if not isinstance(value, int):
        raise Invalid(f"a page token holds {value!r} where a whole number belongs")
    return value
