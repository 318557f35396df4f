"""A run with all that was logged to it: latest points of its metrics, datasets it read, models it made."""

import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from taut.ground import wire
from taut.ground.meta import Row, Tx, Value
from taut.records import Capture, Run

GROUP = 500  # Ids in one query: far below what either database allows as parameters.

SELECT_RUNS = """
SELECT run.id, run.experiment_id, experiment.name, run.name, run.status, run.actor, run.started_ms, run.ended_ms,
    run.lifecycle, run.cause, run.capture
FROM run JOIN experiment ON experiment.id = run.experiment_id WHERE run.id IN
"""
SELECT_PARAMS = "SELECT run_id, key, value FROM param WHERE run_id IN"
SELECT_TAGS = "SELECT run_id, key, value FROM run_tag WHERE run_id IN"
SELECT_LATEST = "SELECT run_id, key, value, step, at_ms FROM metric_latest WHERE run_id IN"
SELECT_INPUTS = (
    "SELECT run_id, name, digest, source_type, source, columns, profile, tags FROM run_input WHERE run_id IN"
)
SELECT_OUTPUTS = "SELECT run_id, model_id, step FROM run_output WHERE run_id IN"

Status = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One measured value of a metric; `model_id` names the logged model it judges, if any.

    Not-a-number becomes None and an infinity the largest number, as MLflow has them: JSON and SQLite know neither.

    >>> MetricPoint("loss", float("nan")).value, MetricPoint("loss", float("-inf")).value
    (None, -1.7976931348623157e+308)
    """

    key: str
    value: float | None
    step: int = 0
    at_ms: int = 0
    model_id: str = ""

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            largest = math.copysign(sys.float_info.max, self.value)
            object.__setattr__(self, "value", None if math.isnan(self.value) else largest)


@dataclass(frozen=True, slots=True)
class DatasetInput:
    """A dataset as an MLflow client describes it; `columns` and `profile` are its own JSON."""

    name: str
    digest: str
    source_type: str
    source: str
    columns: str = ""
    profile: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """A logged model that a run made, at which step of it."""

    model_id: str
    step: int = 0


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run, and what `Run` has no room for."""

    run: Run
    metrics: tuple[MetricPoint, ...] = ()
    inputs: tuple[DatasetInput, ...] = ()
    outputs: tuple[ModelOutput, ...] = ()


def read_runs(tx: Tx, ids: Sequence[str]) -> list[RunDetail]:
    """The runs of these ids in their order, with everything, in six queries a group; unknown ids are left out."""
    found: dict[str, RunDetail] = {}
    for start in range(0, len(ids), GROUP):
        group = ids[start : start + GROUP]
        params, tags = _pairs(tx, SELECT_PARAMS, group), _pairs(tx, SELECT_TAGS, group)
        metrics, inputs, outputs = _points(tx, group), _inputs(tx, group), _outputs(tx, group)
        for row in _rows(tx, SELECT_RUNS, group):
            run_id = str(row[0])
            run = _run(row, params[run_id], tags[run_id], {p.key: p.value for p in metrics[run_id]})
            found[run_id] = RunDetail(run, tuple(metrics[run_id]), tuple(inputs[run_id]), tuple(outputs[run_id]))
    return [found[run_id] for run_id in ids if run_id in found]


def among(ids: Iterable[str]) -> tuple[str, dict[str, Value]]:
    """The list of parameters for SQL's IN, and their values.

    >>> among(["a", "b"])
    ('(:id0, :id1)', {'id0': 'a', 'id1': 'b'})
    """
    values: dict[str, Value] = {f"id{number}": one for number, one in enumerate(ids)}
    return "(" + ", ".join(f":{name}" for name in values) + ")", values


def _rows(tx: Tx, sql: str, ids: Sequence[str]) -> Iterator[Row]:
    names, values = among(ids)
    yield from tx.rows(f"{sql} {names}", values)


def _pairs(tx: Tx, sql: str, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    pairs: dict[str, dict[str, str]] = defaultdict(dict)
    for run_id, key, value in _rows(tx, sql, ids):
        pairs[str(run_id)][str(key)] = str(value)
    return pairs


def _points(tx: Tx, ids: Sequence[str]) -> dict[str, list[MetricPoint]]:
    points: dict[str, list[MetricPoint]] = defaultdict(list)
    for run_id, key, value, step, at_ms in _rows(tx, SELECT_LATEST, ids):
        number = None if value is None else float(value)
        points[str(run_id)].append(MetricPoint(str(key), number, int(str(step)), int(str(at_ms))))
    return points


def _inputs(tx: Tx, ids: Sequence[str]) -> dict[str, list[DatasetInput]]:
    inputs: dict[str, list[DatasetInput]] = defaultdict(list)
    for run_id, *words, tags in _rows(tx, SELECT_INPUTS, ids):
        read = _input(words, str(tags))
        inputs[str(run_id)].append(read)
    return inputs


def _input(words: Sequence[Value], tags: str) -> DatasetInput:
    name, digest, source_type, source, columns, profile = map(str, words)
    return DatasetInput(name, digest, source_type, source, columns, profile, wire.decode(tags, dict[str, str]))


def _outputs(tx: Tx, ids: Sequence[str]) -> dict[str, list[ModelOutput]]:
    outputs: dict[str, list[ModelOutput]] = defaultdict(list)
    for run_id, model_id, step in _rows(tx, SELECT_OUTPUTS, ids):
        outputs[str(run_id)].append(ModelOutput(str(model_id), int(str(step))))
    return outputs


def _run(row: Row, params: dict[str, str], tags: dict[str, str], metrics: dict[str, float | None]) -> Run:
    run_id, experiment_id, experiment, name, status, actor, started_ms, ended_ms, lifecycle, cause, capture = row
    return Run(
        id=str(run_id), experiment_id=str(experiment_id), experiment=str(experiment), name=str(name),
        status=cast("Status", status), actor=str(actor), started_ms=int(str(started_ms)),
        ended_ms=None if ended_ms is None else int(ended_ms),
        lifecycle="active" if lifecycle == "active" else "deleted", cause=str(cause),
        capture=wire.decode(str(capture), Capture), params=params, metrics=metrics, tags=tags,
    )  # fmt: skip
