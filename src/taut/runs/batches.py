"""What is logged to runs: params once, metrics as points, tags; one batch is whole or absent, with its ledger entry.

Batches that come at the same time are written together, by as many statements as one of them alone needs: what a server
is asked by many clients costs one commit for all that wait.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from taut.errors import Conflict, Invalid, NotFound, TautError
from taut.ground import wire
from taut.ground.access import Actor, is_allowed
from taut.ground.ledger import Happening, append_events
from taut.ground.meta import Insert, Kind, Tx, Value
from taut.home import Home, require, verb
from taut.runs.detail import DatasetInput, ModelInput, ModelOutput
from taut.runs.known import KnownSeries, Outdated, known_series
from taut.runs.names import PARAM_VALUE_MAX, TAG_VALUE_MAX, check_key
from taut.runs.points import INT64_MAX, MetricPoint
from taut.runs.rights import of_run
from taut.runs.series import write_points

METRICS_MAX, PARAMS_MAX, TAGS_MAX, ITEMS_MAX = 1000, 100, 100, 1000
NAME_TAG = "mlflow.runName"  # MLflow clients read and change a run's name as this tag too.

# Takes the run's row before anything is compared with what is there, so that a retried batch waits for its first try.
LOCK_RUN = "UPDATE run SET lifecycle = lifecycle WHERE id = :run_id AND lifecycle = 'active'"
HOLD_RUNS = {
    "sqlite": "SELECT id, lifecycle, experiment_id FROM run WHERE id IN [:runs]",
    "postgresql": "SELECT id, lifecycle, experiment_id FROM run WHERE id IN [:runs] ORDER BY id FOR UPDATE",
}
# Told apart, for with a list PostgreSQL plans anew each time.
HOLD_ONE_RUN = {dialect: sql.replace("IN [:runs]", "= :run") for dialect, sql in HOLD_RUNS.items()}
SELECT_LIFECYCLE = "SELECT lifecycle FROM run WHERE id = :run_id"
SELECT_PARAMS = "SELECT run_id, key, value FROM param WHERE run_id IN [:runs]"
TEXTS: tuple[tuple[str, Kind], ...] = (
    ("run_id", "TEXT"),
    ("key", "TEXT"),
    ("value", "TEXT"),
    ("experiment_id", "TEXT"),
)
INSERT_PARAMS = Insert("param", TEXTS)
UPSERT_TAGS = Insert("run_tag", TEXTS, "ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value")
DELETE_TAG = "DELETE FROM run_tag WHERE run_id = :run_id AND key = :key"
SET_NAME = "UPDATE run SET name = :name WHERE id = :run_id"
INSERT_INPUT = """
INSERT INTO run_input (run_id, name, digest, source_type, source, columns, profile, tags)
VALUES (:run_id, :name, :digest, :source_type, :source, :columns, :profile, :tags)
ON CONFLICT (run_id, name, digest) DO NOTHING
"""
INSERT_MODEL_INPUT = """
INSERT INTO run_model_input (run_id, model_id) VALUES (:run_id, :model_id)
ON CONFLICT (run_id, model_id) DO NOTHING
"""
INSERT_OUTPUT = """
INSERT INTO run_output (run_id, model_id, step) VALUES (:run_id, :model_id, :step)
ON CONFLICT (run_id, model_id) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """What somebody logs to a run at once."""

    run_id: str
    actor: Actor
    metrics: Sequence[MetricPoint] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raises Invalid past the limits and for a key that none can have."""
        _check_sizes(len(self.metrics), len(self.params), len(self.tags))
        for key in self.params:
            check_key(key, of="param")
        for key in self.tags:
            check_key(key, of="tag")
        for point in self.metrics:
            check_key(point.key, of="metric")
            if not (-INT64_MAX <= point.step <= INT64_MAX and -INT64_MAX <= point.at_ms <= INT64_MAX):
                raise Invalid(f"step and time of metric {point.key!r} must fit 64 bits")


@verb("run.log", needs="run:write", on=of_run)
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
    (problem,) = log_batches(home, [Batch(run_id, home.actor, metrics, params or {}, tags or {})])
    if problem is not None:
        raise problem


def log_batches(home: Home, batches: Sequence[Batch]) -> list[TautError | None]:
    """Log several batches by one commit; what is wrong with one is returned in its place and leaves the others alone.

    It returns after all that have no error are durable. Each actor must be allowed to write runs.
    """
    problems: list[TautError | None] = [None] * len(batches)
    for number, batch in enumerate(batches):
        try:
            actor = batch.actor
            resource = of_run(home, batch.run_id) if actor.is_bound else ""
            if not is_allowed(actor, "run:write", resource):
                require(home.as_actor(actor), "run:write", verb="run.log", resource=resource)
            batch.check()
        except TautError as problem:
            problems[number] = problem
    sound = [number for number, problem in enumerate(problems) if problem is None]
    if sound:
        try:
            _store(home, batches, sound, problems)
        except (Invalid, Conflict) as problem:
            # What does not fit the store is found only as it is written, and nothing of the group is stored then.
            if len(sound) == 1:
                problems[sound[0]] = problem
            for number in sound if len(sound) > 1 else ():
                problems[number] = log_batches(home, [batches[number]])[0]
        except _SomeEnded as ended:  # Nothing was stored: the others are written without theirs.
            left = [number for number in sound if number not in ended.problems]
            for number, again in zip(left, log_batches(home, [batches[number] for number in left]), strict=True):
                problems[number] = again
            for number, told in ended.problems.items():
                problems[number] = told
    return problems


@verb("run.untag", needs="run:write", on=of_run)
def delete_tag(home: Home, run_id: str, key: str) -> None:
    """Take a tag away. Raises NotFound where the run or its tag is not there."""
    with home.meta.transaction() as tx:
        lock_run(tx, run_id)
        if not tx.execute(DELETE_TAG, {"run_id": run_id, "key": key}):
            raise NotFound(f"No tag with name: {key} in run {run_id}")
        home.append(tx, "run.untagged", subject=f"run:{run_id}", body={"key": key})


@verb("run.inputs", needs="run:write", on=of_run)
def log_inputs(home: Home, run_id: str, datasets: Sequence[DatasetInput], *, models: Sequence[ModelInput] = ()) -> None:
    """Note the datasets and logged models that a run says it read; the same again changes nothing."""
    with home.meta.transaction() as tx:
        lock_run(tx, run_id)
        for dataset in datasets:
            tx.execute(INSERT_INPUT, {"run_id": run_id, **wire.plain(dataset), "tags": wire.text(dataset.tags)})
        for model in models:
            tx.execute(INSERT_MODEL_INPUT, {"run_id": run_id, "model_id": model.model_id})
        read = [f"{dataset.name}:{dataset.digest}" for dataset in datasets] + [model.model_id for model in models]
        home.append(tx, "run.read", subject=f"run:{run_id}", body=read)


@verb("run.outputs", needs="run:write", on=of_run)
def log_outputs(home: Home, run_id: str, models: Sequence[ModelOutput]) -> None:
    """Note the logged models that a run made; the same model again changes nothing."""
    with home.meta.transaction() as tx:
        lock_run(tx, run_id)
        for model in models:
            tx.execute(INSERT_OUTPUT, {"run_id": run_id, "model_id": model.model_id, "step": model.step})
        home.append(tx, "run.made", subject=f"run:{run_id}", body=[model.model_id for model in models])


def lock_run(tx: Tx, run_id: str) -> None:
    """Hold the run's row until the transaction ends. Raises NotFound, Invalid where it is deleted."""
    if not tx.execute(LOCK_RUN, {"run_id": run_id}):
        raise _not_active(run_id, tx.row(SELECT_LIFECYCLE, {"run_id": run_id}) is not None)


def write_tags(tx: Tx, run_id: str, experiment_id: str, tags: Mapping[str, str]) -> None:
    """Set tags inside the caller's transaction; the tag of its name renames the run."""
    insert_tags(tx, run_id, experiment_id, cut_tags(tags))
    if NAME_TAG in tags:
        tx.execute(SET_NAME, {"run_id": run_id, "name": tags[NAME_TAG]})


def insert_tags(tx: Tx, run_id: str, experiment_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run whose name is in order already."""
    tx.insert(UPSERT_TAGS, [(run_id, key, value, experiment_id) for key, value in tags.items()])


def cut_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags with values as long as are kept."""
    return {key: value[:TAG_VALUE_MAX] for key, value in tags.items()}


class _SomeEnded(Exception):  # No error of the whole group: how it leaves its transaction.
    """Some of a group may not write any more: what is told to each, by their numbers."""

    def __init__(self, problems: Mapping[int, TautError]) -> None:
        super().__init__()
        self.problems = problems


def _store(home: Home, batches: Sequence[Batch], sound: list[int], problems: list[TautError | None]) -> None:
    """Write what is sound by one transaction: its metrics the short way if they may, else all of it the long way."""
    remembered = known_series(home.meta)
    try:
        with home.meta.transaction() as tx:
            _write(home, tx, batches, sound, problems, remembered)
    except Outdated:
        for number in sound:
            remembered.forget(batches[number].run_id)
        with home.meta.transaction() as tx:
            _write(home, tx, batches, sound, problems, KnownSeries())


def _write(
    home: Home,
    tx: Tx,
    batches: Sequence[Batch],
    sound: list[int],
    problems: list[TautError | None],
    remembered: KnownSeries,
) -> None:
    """Write what is sound inside one transaction; what the store's state forbids is noted as a problem."""
    runs = list({batches[number].run_id for number in sound})
    held = (
        tx.rows(HOLD_RUNS[home.meta.dialect], {"runs": runs})
        if len(runs) > 1
        else tx.rows(HOLD_ONE_RUN[home.meta.dialect], {"run": runs[0]})
    )
    states = {str(row[0]): (row[1], str(row[2])) for row in held}
    with_params = [batches[number].run_id for number in sound if batches[number].params]
    stored: dict[tuple[str, str], str] = {}
    if with_params:
        rows = tx.rows(SELECT_PARAMS, {"runs": with_params})
        stored = {(str(run_id), str(key)): str(value) for run_id, key, value in rows}
    written: list[Batch] = []
    numbers: list[int] = []
    params: list[tuple[Value, ...]] = []
    tags: dict[tuple[str, str], tuple[Value, ...]] = {}
    for number in sound:
        batch = batches[number]
        lifecycle, experiment = states.get(batch.run_id, ("", ""))
        problem = None if lifecycle == "active" else _not_active(batch.run_id, bool(lifecycle))
        problem = problem or _contradiction(batch, stored)
        if problem is not None:
            problems[number] = problem
            continue
        written.append(batch)
        numbers.append(number)
        for key, given in batch.params.items():
            if (batch.run_id, key) not in stored:
                stored[batch.run_id, key] = value = given[:PARAM_VALUE_MAX]
                params.append((batch.run_id, key, value, experiment))
        for key, value in batch.tags.items():
            tags[batch.run_id, key] = (batch.run_id, key, value[:TAG_VALUE_MAX], experiment)
    at_ms = home.clock.now_ms()
    if not written:
        return
    turn = append_events(tx, [_happening(batch, at_ms) for batch in written])
    ended = zip(numbers, home.ended(turn, [batch.actor for batch in written]), strict=True)
    if told := {number: problem for number, problem in ended if problem is not None}:
        raise _SomeEnded(told)
    tx.insert(INSERT_PARAMS, params)
    tx.insert(UPSERT_TAGS, list(tags.values()))
    for (run_id, key), row in tags.items():
        if key == NAME_TAG:
            tx.execute(SET_NAME, {"run_id": run_id, "name": row[2]})
    logged = [(one.run_id, states[one.run_id][1], one.metrics) for one in written if one.metrics]
    write_points(tx, home.meta.dialect, logged, remembered)


def _happening(batch: Batch, at_ms: int) -> Happening:
    body = {"metrics": len(batch.metrics), "params": len(batch.params), "tags": len(batch.tags)}
    return Happening("run.logged", f"run:{batch.run_id}", batch.actor.name, at_ms, body, batch.actor.asked)


def _contradiction(batch: Batch, stored: Mapping[tuple[str, str], str]) -> TautError | None:
    """Params are written once: the first that is there with another value."""
    for key, given in batch.params.items():
        value = given[:PARAM_VALUE_MAX]
        there = stored.get((batch.run_id, key), value)
        if there != value:
            return Invalid(
                f"Changing param values is not allowed: param {key!r} of run {batch.run_id} is {there!r} already "
                f"and cannot become {value!r}"
            )
    return None


def _not_active(run_id: str, there: bool) -> TautError:
    if there:
        return Invalid(
            f"The run {run_id} must be in the 'active' state, and it is deleted; restore it before you change it"
        )
    return NotFound(f"Run with id {run_id[:80]!r} not found", hint="taut runs list")


def _check_sizes(metrics: int, params: int, tags: int) -> None:
    for found, limit, what in (
        (metrics, METRICS_MAX, "metrics"), (params, PARAMS_MAX, "params"), (tags, TAGS_MAX, "tags"),
        (metrics + params + tags, ITEMS_MAX, "items in all"),
    ):  # fmt: skip
        if found > limit:
            raise Invalid(f"a batch holds at most {limit} {what}, this has {found}")
