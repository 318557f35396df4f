"""Moving in: every experiment, run, logged model and registered model of a store, copied into a home by its verbs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from taut.errors import Conflict, Invalid
from taut.faces.moving.crew import Crew
from taut.faces.moving.move import ONE_THING, Move, batches, name_files, store_files
from taut.faces.moving.registry import move_registry
from taut.faces.moving.report import Report
from taut.faces.moving.source import Source, TheirModel, TheirRun
from taut.faces.moving.survey import Survey, survey
from taut.faces.moving.verify import verified
from taut.ground.progress import progress
from taut.home import Home
from taut.records import Run
from taut.runs import (
    Experiment,
    MetricPoint,
    all_moved,
    begin_imported_run,
    get_experiment,
    import_experiment,
    import_logged_model,
    log_batch,
    log_inputs,
    log_outputs,
    logged_tally,
    model_root,
    run_root,
    run_tally,
    settle_imported_run,
)

T = TypeVar("T")
METRICS_A_BATCH, PAIRS_A_BATCH = 1000, 100  # What one transaction takes.


def move_in(home: Home, source: Source, *, jobs: int = 4, again: bool = False) -> Report:
    """Copy a whole store into a home and compare the two; what was copied before and has not changed is passed over.

    `again` copies that too. Raises Unavailable where either side stops answering: the same call goes on from there.
    """
    move = Move(home, source, Crew(jobs), again, all_moved(home, source.name))
    seen = survey(source)
    move.judged = seen.judged()
    move.locations = {
        (model.name, one.version.number): one.location for model, versions in seen.models for one in versions
    }
    for experiment in seen.experiments:
        place_experiment(move, experiment)
    _move_runs(move, seen)
    with progress("logged models", len(seen.logged), unit="model") as bar:
        move.crew.each(seen.logged, lambda one: _guarded(move, "logged model", one.model.id, _move_logged, one), bar)
    with progress("registry", len(seen.models), unit="model") as bar:
        for model, versions in seen.models:
            _guarded(move, "registered model", model.name, move_registry, (model, versions))
            bar.advance()
    return verified(move, seen)


def place_experiment(move: Move, experiment: Experiment) -> None:
    """Find or make an experiment's place here, and say where its name or id had to differ."""
    try:
        ours = import_experiment(move.home, experiment, source=move.source.name).ours
    except (Conflict, Invalid) as problem:
        move.went_wrong("experiment", experiment.id, problem.message)
        return
    move.places[experiment.id] = ours
    here = get_experiment(move.home, ours)
    if here.name != experiment.name:
        move.notes.append(f"experiment {experiment.name!r} is {here.name!r} here: its name was taken, or changed since")
    if ours != experiment.id:
        move.notes.append(f"experiment {experiment.name!r} has the id {ours} here: {experiment.id} was taken")


def _move_runs(move: Move, seen: Survey) -> None:
    def all_runs() -> Iterator[TheirRun]:
        for experiment in seen.experiments:
            if experiment.id in move.places:
                yield from move.source.runs(experiment.id)

    with progress("runs", len(seen.runs), unit="run") as bar:
        move.crew.each(all_runs(), lambda one: _guarded(move, "run", one.detail.run.id, _move_run, one), bar)


def _guarded(move: Move, kind: str, name: str, work: Callable[[Move, T], None], thing: T) -> None:
    """Do the work for one thing; what is wrong with it is remembered, and the others go on."""
    try:
        work(move, thing)
    except ONE_THING as problem:
        move.went_wrong(kind, name, problem.message)


def _move_run(move: Move, theirs: TheirRun) -> None:
    """Copy a run: first the bytes of its files, which nothing names yet, then the run in one go, and last its end."""
    run = replace(theirs.detail.run, experiment_id=move.places[theirs.detail.run.experiment_id])
    root = run_root(run.experiment_id, run.id)
    move.roots[theirs.location.rstrip("/")] = root
    if move.is_known("run", run.id, theirs.mark):
        return
    files = store_files(move, "run", run.id, theirs.location)
    begin_imported_run(move.home, run, source=move.source.name)
    _log_pairs(move, run)
    tally = run_tally(theirs.detail, _logged(move, theirs), files)
    if theirs.detail.inputs or theirs.detail.model_inputs:
        log_inputs(move.home, run.id, theirs.detail.inputs, models=theirs.detail.model_inputs)
    if theirs.detail.outputs:
        log_outputs(move.home, run.id, theirs.detail.outputs)
    name_files(move, "run", run.id, root, files)
    mark = move.mark("run", run.id, theirs.mark)
    settle_imported_run(move.home, run, source=move.source.name, mark=mark, tally=tally)
    move.there["run", run.id] = tally
    move.moved += 1


def _move_logged(move: Move, theirs: TheirModel) -> None:
    model = theirs.model
    if model.experiment_id not in move.places:
        return
    ours = replace(model, experiment_id=move.places[model.experiment_id])
    root = model_root(ours.experiment_id, ours.id)
    move.roots[theirs.location.rstrip("/")] = root
    if move.is_known("logged model", model.id, theirs.mark):
        return
    files = store_files(move, "logged model", model.id, theirs.location)
    import_logged_model(move.home, ours, source=move.source.name)
    name_files(move, "logged model", model.id, root, files)
    tally, mark = logged_tally(model, files), move.mark("logged model", model.id, theirs.mark)
    import_logged_model(move.home, ours, source=move.source.name, mark=mark, tally=tally)
    move.there["logged model", model.id] = tally
    move.moved += 1


def _logged(move: Move, theirs: TheirRun) -> Iterator[MetricPoint]:
    """Every point of a run, once it is logged here: a batch at a time, with the logged models that it judges."""
    run_id = theirs.detail.run.id
    for batch in batches(_judging(theirs, move.source, move.judged.get(run_id, {})), METRICS_A_BATCH):
        _log(move, run_id, "metric", batch, lambda some: log_batch(move.home, run_id, metrics=some))
        yield from batch


def _judging(theirs: TheirRun, source: Source, judged: Mapping[MetricPoint, list[str]]) -> Iterator[MetricPoint]:
    """The points of a run's history, and those that only its logged models know of."""
    left = dict(judged)
    for point in source.points(theirs):
        models = left.pop(point.measured_on(""), None) if left else None
        yield from [point] if models is None else [point.measured_on(model_id) for model_id in models]
    for point, models in left.items():
        yield from (point.measured_on(model_id) for model_id in models)


def _log_pairs(move: Move, run: Run) -> None:
    for batch in batches(run.params.items(), PAIRS_A_BATCH):
        _log(move, run.id, "param", batch, lambda some: log_batch(move.home, run.id, params=dict(some)))
    for batch in batches(run.tags.items(), PAIRS_A_BATCH):
        _log(move, run.id, "tag", batch, lambda some: log_batch(move.home, run.id, tags=dict(some)))


def _log(move: Move, run_id: str, kind: str, batch: list[T], log: Callable[[list[T]], None]) -> None:
    """Log a batch; where something in it is refused, log the rest of it and remember what it was."""
    try:
        log(batch)
    except Invalid as problem:
        if len(batch) == 1:
            move.went_wrong("run", run_id, f"{kind} refused: {problem.message}")
            return
        half = len(batch) // 2
        _log(move, run_id, kind, batch[:half], log)
        _log(move, run_id, kind, batch[half:], log)
