"""A run with all that was logged to it: latest points of its metrics, datasets it read, models it made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from taut.ground import wire
from taut.ground.meta import Row, Tx
from taut.home import Home
from taut.records import Capture, Run
from taut.runs.points import MetricPoint

# All that belongs to some runs, as one query: one trip to a database far away, and one moment without a transaction.
# The first column says what a row is; the others hold what each kind has, and NULL where it has nothing.
RUN, PARAM, TAG, METRIC, INPUT, OUTPUT = range(6)
NONE = "CAST(NULL AS TEXT)"
SELECT_ALL = f"""
SELECT {RUN} AS kind, run.id AS run_id, run.name AS a, run.experiment_id AS b, CAST(NULL AS DOUBLE PRECISION) AS value,
    run.started_ms AS step, run.ended_ms AS at_ms, experiment.name AS c, run.status AS d, run.actor AS e,
    run.lifecycle AS f, run.cause AS g, run.capture AS h
FROM run JOIN experiment ON experiment.id = run.experiment_id WHERE run.id IN [:ids]
UNION ALL
SELECT {PARAM}, run_id, key, value, NULL, NULL, NULL, {NONE}, {NONE}, {NONE}, {NONE}, {NONE}, {NONE}
FROM param WHERE run_id IN [:ids]
UNION ALL
SELECT {TAG}, run_id, key, value, NULL, NULL, NULL, {NONE}, {NONE}, {NONE}, {NONE}, {NONE}, {NONE}
FROM run_tag WHERE run_id IN [:ids]
UNION ALL
SELECT {METRIC}, run_id, key, {NONE}, value, step, at_ms, {NONE}, {NONE}, {NONE}, {NONE}, {NONE}, {NONE}
FROM series WHERE run_id IN [:ids] AND newest = 1
UNION ALL
SELECT {INPUT}, run_id, name, digest, NULL, NULL, NULL, source_type, source, columns, profile, tags, {NONE}
FROM run_input WHERE run_id IN [:ids]
UNION ALL
SELECT {OUTPUT}, run_id, model_id, {NONE}, NULL, step, NULL, {NONE}, {NONE}, {NONE}, {NONE}, {NONE}, {NONE}
FROM run_output WHERE run_id IN [:ids]
"""  # noqa: S608  # Constants only.

Status = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]


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
    """The runs of these ids in their order, with everything, by one query; unknown ids are left out."""
    return _put_together(tx.rows(SELECT_ALL, {"ids": list(ids)}), ids) if ids else []


def ask_runs(home: Home, ids: Sequence[str]) -> list[RunDetail]:
    """The same where nothing else is read at that moment."""
    return _put_together(home.meta.ask(SELECT_ALL, {"ids": list(ids)}), ids) if ids else []


def _put_together(rows: Sequence[Row], ids: Sequence[str]) -> list[RunDetail]:
    runs: dict[str, Row] = {}
    # Rows come by the ten thousand here, so each is touched once and nothing is converted that has its type already.
    parts: dict[str, tuple[dict[str, str], dict[str, str], list[MetricPoint], list[DatasetInput], list[ModelOutput]]]
    parts = {run_id: ({}, {}, [], [], []) for run_id in ids}
    row: Any
    for row in rows:
        kind, of = row[0], parts[row[1]]
        if kind == PARAM:
            of[0][row[2]] = row[3]
        elif kind == TAG:
            of[1][row[2]] = row[3]
        elif kind == METRIC:
            of[2].append(MetricPoint(row[2], row[4], row[5], row[6]))
        elif kind == RUN:
            runs[row[1]] = row
        elif kind == INPUT:
            of[3].append(DatasetInput(row[2], row[3], row[7], row[8], row[9], row[10], _tags(row[11])))
        else:
            of[4].append(ModelOutput(row[2], row[5]))
    return [_detail(runs[run_id], *parts[run_id]) for run_id in ids if run_id in runs]


def _detail(
    row: Any,
    params: dict[str, str],
    tags: dict[str, str],
    metrics: list[MetricPoint],
    inputs: list[DatasetInput],
    outputs: list[ModelOutput],
) -> RunDetail:
    _, run_id, name, experiment_id, _, started_ms, ended_ms, experiment, status, actor, lifecycle, cause, capture = row
    run = Run(
        id=run_id, experiment_id=experiment_id, experiment=experiment, name=name, status=status, actor=actor,
        started_ms=started_ms, ended_ms=ended_ms, lifecycle=lifecycle, cause=cause,
        capture=NOTHING if capture == NOTHING_TEXT else wire.decode(capture, Capture),
        params=params, metrics={point.key: point.value for point in metrics}, tags=tags,
    )  # fmt: skip
    return RunDetail(run, tuple(metrics), tuple(inputs), tuple(outputs))


NOTHING = Capture()
NOTHING_TEXT = wire.text(NOTHING)


def _tags(written: str) -> dict[str, str]:
    return wire.decode(written, dict[str, str])
