"""A run with all that was logged to it: latest points of its metrics, datasets it read, models it made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, cast

import msgspec

from taut.errors import Invalid
from taut.ground import wire
from taut.ground.meta import Row, Tx, Value
from taut.home import Home
from taut.records import Capture, Run
from taut.runs.filters import VALUES_MAX, parse_order
from taut.runs.points import MetricPoint

# All that belongs to some runs, as one query: one trip to a database far away, and one moment without a transaction.
# The first column says what a row is. A row of many columns costs as much as three of few, so what is text comes as one
# piece of JSON, all params or tags of a run in one row; metrics do not, for SQLite writes numbers with 15 digits there.
RUN, PARAM, TAG, METRIC, INPUT, OUTPUT, MODEL_INPUT = range(7)
SELECT_RUN = f"""
SELECT {RUN} AS kind, run.id AS run_id, CAST(json_build_array(run.name, run.experiment_id, experiment.name, run.status,
    run.actor, run.lifecycle, run.cause, run.capture) AS TEXT) AS a, CAST(NULL AS DOUBLE PRECISION) AS value,
    run.started_ms AS step, run.ended_ms AS at_ms
FROM run JOIN experiment ON experiment.id = run.experiment_id WHERE run.id {{these}}
"""  # noqa: S608  # Constants only.
PAIRS = "run_id, CAST(json_object_agg(key, value) AS TEXT), NULL, NULL, NULL"
DATASET = "CAST(json_build_array(name, digest, source_type, source, columns, profile, tags) AS TEXT)"
# Kind -> the columns, the table, what else its rows must meet, and what makes one row of several.
MORE = {
    PARAM: (PAIRS, "param", "", " GROUP BY run_id"),
    TAG: (PAIRS, "run_tag", "", " GROUP BY run_id"),
    METRIC: ("run_id, key, value, step, at_ms", "series", " AND newest > 0", ""),
    INPUT: (f"run_id, {DATASET}, NULL, NULL, NULL", "run_input", "", ""),
    OUTPUT: ("run_id, model_id, NULL, step, NULL", "run_output", "", ""),
    MODEL_INPUT: ("run_id, model_id, NULL, NULL, NULL", "run_model_input", "", ""),
}
KEYS = {PARAM: "params", TAG: "tags", METRIC: "metrics"}
# With a list PostgreSQL plans a query anew each time, for its length may tell; that took twice as long as all the rest.
SEVERAL, ONE = "IN [:ids]", "= :id"
EVERY = "*"

Status = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
Lifecycle = Literal["active", "deleted"]


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
    asked = [word for word in written if word not in {"inputs", "outputs"}]
    for term in parse_order(asked, at_most=VALUES_MAX):
        if term.entity not in kinds or term.descending:
            raise Invalid(f"{term.key!r} is no column; write metrics.KEY, params.KEY, tags.KEY, inputs or outputs")
        keys[kinds[term.entity]].append(term.key)
    return Columns({kind: tuple(some) for kind, some in keys.items()}, "inputs" in written, "outputs" in written)


def read_runs(tx: Tx, ids: Sequence[str], columns: Columns | None = None) -> list[RunDetail]:
    """The runs of these ids in their order, with everything or some of it, by one query; unknown ids are left out."""
    return _put_together(tx.rows(*_asked(ids, columns)), ids) if ids else []


def ask_runs(home: Home, ids: Sequence[str]) -> list[RunDetail]:
    """The same, with everything, where nothing else is read at that moment."""
    return _put_together(home.meta.ask(*_asked(ids, None)), ids) if ids else []


def _asked(ids: Sequence[str], columns: Columns | None) -> tuple[str, dict[str, Value | Sequence[str] | Sequence[int]]]:
    these = ONE if len(ids) == 1 else SEVERAL
    values: dict[str, Value | Sequence[str] | Sequence[int]] = {"id": ids[0]} if these == ONE else {"ids": list(ids)}
    if columns is None:
        return _select(these, tuple((kind, True) for kind in MORE)), values
    kinds = [(kind, EVERY in keys) for kind, keys in columns.keys.items() if keys]
    wishes = ((INPUT, columns.inputs), (MODEL_INPUT, columns.inputs), (OUTPUT, columns.outputs))
    kinds += [(kind, True) for kind, wanted in wishes if wanted]
    values |= {KEYS[kind]: list(columns.keys[kind]) for kind, whole in kinds if not whole}
    return _select(these, tuple(kinds)), values


@lru_cache(maxsize=64)
def _select(these: str, kinds: tuple[tuple[int, bool], ...]) -> str:
    """The query for one run or several and these kinds, all keys of each or those named."""
    parts = [SELECT_RUN.format(these=these)]
    for kind, whole in kinds:
        columns, table, also, grouped = MORE[kind]
        named = "" if whole else f" AND key IN [:{KEYS[kind]}]"
        parts.append(f"SELECT {kind}, {columns} FROM {table} WHERE run_id {these}{also}{named}{grouped}")  # noqa: S608
    return "\nUNION ALL\n".join(parts)


def _put_together(rows: Sequence[Row], ids: Sequence[str]) -> list[RunDetail]:
    runs: dict[str, Row] = {}
    params: dict[str, dict[str, str]] = {}
    tags: dict[str, dict[str, str]] = {}
    metrics: dict[str, list[MetricPoint]] = {run_id: [] for run_id in ids}
    inputs: dict[str, list[DatasetInput]] = {run_id: [] for run_id in ids}
    outputs: dict[str, list[ModelOutput]] = {run_id: [] for run_id in ids}
    models: dict[str, list[ModelInput]] = {run_id: [] for run_id in ids}
    # Rows come by the thousand here, so each is touched once and nothing is converted that has its type already.
    row: Any
    for row in rows:
        kind, run_id, text, value, step, at_ms = row
        if kind == METRIC:
            metrics[run_id].append(MetricPoint(text, value, step, at_ms))
        elif kind == PARAM:
            params[run_id] = PAIRS_OF.decode(text)
        elif kind == TAG:
            tags[run_id] = PAIRS_OF.decode(text)
        elif kind == RUN:
            runs[run_id] = row
        elif kind == INPUT:
            name, digest, source_type, source, columns, profile, said = TEXTS_OF.decode(text)
            dataset = DatasetInput(name, digest, source_type, source, columns, profile, PAIRS_OF.decode(said))
            inputs[run_id].append(dataset)
        elif kind == OUTPUT:
            outputs[run_id].append(ModelOutput(text, step))
        else:
            models[run_id].append(ModelInput(text))
    return [
        RunDetail(
            _run(runs[run_id], params.get(run_id, {}), tags.get(run_id, {}), metrics[run_id]),
            tuple(metrics[run_id]),
            tuple(inputs[run_id]),
            tuple(outputs[run_id]),
            tuple(models[run_id]),
        )
        for run_id in ids
        if run_id in runs
    ]


def _run(row: Any, params: dict[str, str], tags: dict[str, str], metrics: Sequence[MetricPoint]) -> Run:
    _, run_id, text, _, started_ms, ended_ms = row
    name, experiment_id, experiment, status, actor, lifecycle, cause, capture = TEXTS_OF.decode(text)
    return Run(
        id=run_id, experiment_id=experiment_id, experiment=experiment, name=name, status=cast("Status", status),
        actor=actor, started_ms=started_ms, ended_ms=ended_ms, lifecycle=cast("Lifecycle", lifecycle), cause=cause,
        capture=NOTHING if capture == NOTHING_TEXT else wire.decode(capture, Capture),
        params=params, metrics={point.key: point.value for point in metrics}, tags=tags,
    )  # fmt: skip


PAIRS_OF = msgspec.json.Decoder(dict[str, str])
TEXTS_OF = msgspec.json.Decoder(list[str])
NOTHING = Capture()
NOTHING_TEXT = wire.text(NOTHING)
