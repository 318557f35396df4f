"""A run with all that was logged to it: latest points of its metrics, datasets it read, models it made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from taut.errors import Invalid
from taut.ground import wire
from taut.ground.meta import Row, Tx
from taut.home import Home
from taut.records import Capture, Run
from taut.runs.filters import parse_order
from taut.runs.points import MetricPoint

# All that belongs to some runs, as one query: one trip to a database far away, and one moment without a transaction.
# The first column says what a row is; the others hold what each kind has, and NULL where it has nothing.
RUN, PARAM, TAG, METRIC, INPUT, OUTPUT, MODEL_INPUT = range(7)
NONE = "CAST(NULL AS TEXT)"
SELECT_RUN = f"""
SELECT {RUN} AS kind, run.id AS run_id, run.name AS a, run.experiment_id AS b, CAST(NULL AS DOUBLE PRECISION) AS value,
    run.started_ms AS step, run.ended_ms AS at_ms, experiment.name AS c, run.status AS d, run.actor AS e,
    run.lifecycle AS f, run.cause AS g, run.capture AS h
FROM run JOIN experiment ON experiment.id = run.experiment_id WHERE run.id IN [:ids]
"""  # noqa: S608  # Constants only.
SIX_NONE = ", ".join([NONE] * 6)
# Kind -> the columns, the table, and what else its rows must meet.
MORE = {
    PARAM: (f"run_id, key, value, NULL, NULL, NULL, {SIX_NONE}", "param", ""),
    TAG: (f"run_id, key, value, NULL, NULL, NULL, {SIX_NONE}", "run_tag", ""),
    METRIC: (f"run_id, key, {NONE}, value, step, at_ms, {SIX_NONE}", "series", " AND newest = 1"),
    INPUT: (
        f"run_id, name, digest, NULL, NULL, NULL, source_type, source, columns, profile, tags, {NONE}", "run_input", "",
    ),
    OUTPUT: (f"run_id, model_id, {NONE}, NULL, step, NULL, {SIX_NONE}", "run_output", ""),
    MODEL_INPUT: (f"run_id, model_id, {NONE}, NULL, NULL, NULL, {SIX_NONE}", "run_model_input", ""),
}  # fmt: skip
KEYS = {PARAM: "params", TAG: "tags", METRIC: "metrics"}
EVERY = "*"

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
class ModelInput:
    """A logged model that a run read."""

    model_id: str


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
    model_inputs: tuple[ModelInput, ...] = ()


@dataclass(frozen=True, slots=True)
class Columns:
    """Which of what was logged is wanted: keys of each kind, `*` among them for all; inputs and outputs or not."""

    keys: Mapping[int, tuple[str, ...]]
    inputs: bool
    outputs: bool


def parse_columns(written: Sequence[str]) -> Columns:
    """Columns as they are asked for: `metrics.KEY`, `params.KEY`, `tags.KEY`, `metrics.*`, `inputs`, `outputs`.

    Raises Invalid for any other word.

    >>> parse_columns(["metrics.auc", "params.*"]).keys[METRIC]
    ('auc',)
    """
    keys: dict[int, list[str]] = {PARAM: [], TAG: [], METRIC: []}
    kinds = {"param": PARAM, "tag": TAG, "metric": METRIC}
    for term in parse_order([word for word in written if word not in {"inputs", "outputs"}]):
        if term.entity not in kinds or term.descending:
            raise Invalid(f"{term.key!r} is no column; write metrics.KEY, params.KEY, tags.KEY, inputs or outputs")
        keys[kinds[term.entity]].append(term.key)
    return Columns({kind: tuple(some) for kind, some in keys.items()}, "inputs" in written, "outputs" in written)


_Parts = tuple[
    dict[str, str], dict[str, str], list[MetricPoint], list[DatasetInput], list[ModelOutput], list[ModelInput]
]


def read_runs(tx: Tx, ids: Sequence[str], columns: Columns | None = None) -> list[RunDetail]:
    """The runs of these ids in their order, with everything or some of it, by one query; unknown ids are left out."""
    return _put_together(tx.rows(*_asked(ids, columns)), ids) if ids else []


def ask_runs(home: Home, ids: Sequence[str]) -> list[RunDetail]:
    """The same, with everything, where nothing else is read at that moment."""
    return _put_together(home.meta.ask(*_asked(ids, None)), ids) if ids else []


def _asked(ids: Sequence[str], columns: Columns | None) -> tuple[str, dict[str, list[str]]]:
    values = {"ids": list(ids)}
    if columns is None:
        return _select(tuple((kind, True) for kind in MORE)), values
    kinds = [(kind, EVERY in keys) for kind, keys in columns.keys.items() if keys]
    wishes = ((INPUT, columns.inputs), (MODEL_INPUT, columns.inputs), (OUTPUT, columns.outputs))
    kinds += [(kind, True) for kind, wanted in wishes if wanted]
    values |= {KEYS[kind]: list(columns.keys[kind]) for kind, whole in kinds if not whole}
    return _select(tuple(kinds)), values


@lru_cache(maxsize=64)
def _select(kinds: tuple[tuple[int, bool], ...]) -> str:
    """The query for these kinds, all keys of each or those named."""
    parts = [SELECT_RUN]
    for kind, whole in kinds:
        columns, table, also = MORE[kind]
        named = "" if whole else f" AND key IN [:{KEYS[kind]}]"
        parts.append(f"SELECT {kind}, {columns} FROM {table} WHERE run_id IN [:ids]{also}{named}")  # noqa: S608
    return "\nUNION ALL\n".join(parts)


def _put_together(rows: Sequence[Row], ids: Sequence[str]) -> list[RunDetail]:
    runs: dict[str, Row] = {}
    # Rows come by the ten thousand here, so each is touched once and nothing is converted that has its type already.
    parts: dict[str, _Parts] = {run_id: ({}, {}, [], [], [], []) for run_id in ids}
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
        elif kind == OUTPUT:
            of[4].append(ModelOutput(row[2], row[5]))
        else:
            of[5].append(ModelInput(row[2]))
    return [_detail(runs[run_id], *parts[run_id]) for run_id in ids if run_id in runs]


def _detail(
    row: Any,
    params: dict[str, str],
    tags: dict[str, str],
    metrics: list[MetricPoint],
    inputs: list[DatasetInput],
    outputs: list[ModelOutput],
    model_inputs: list[ModelInput],
) -> RunDetail:
    _, run_id, name, experiment_id, _, started_ms, ended_ms, experiment, status, actor, lifecycle, cause, capture = row
    run = Run(
        id=run_id, experiment_id=experiment_id, experiment=experiment, name=name, status=status, actor=actor,
        started_ms=started_ms, ended_ms=ended_ms, lifecycle=lifecycle, cause=cause,
        capture=NOTHING if capture == NOTHING_TEXT else wire.decode(capture, Capture),
        params=params, metrics={point.key: point.value for point in metrics}, tags=tags,
    )  # fmt: skip
    return RunDetail(run, tuple(metrics), tuple(inputs), tuple(outputs), tuple(model_inputs))


NOTHING = Capture()
NOTHING_TEXT = wire.text(NOTHING)


def _tags(written: str) -> dict[str, str]:
    return wire.decode(written, dict[str, str])
