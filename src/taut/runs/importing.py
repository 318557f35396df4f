"""Experiments, runs and logged models of another store written down here, with their own ids, times and states."""

from taut.errors import Conflict, Invalid, NotFound
from taut.ground import wire
from taut.ground.meta import Tx
from taut.home import Home, verb
from taut.records import Capture, Run
from taut.runs.detail import read_runs
from taut.runs.experiments import (
    BY_ID,
    BY_NAME,
    DEFAULT,
    DEFAULT_ID,
    SET_TAGS,
    Experiment,
    experiment_for,
    read_experiment,
)
from taut.runs.logged import LoggedModel
from taut.runs.moved import Moved, moved_in, note_moved
from taut.runs.names import check_experiment_name, check_key, check_run_id, check_tag
from taut.runs.settling import settle
from taut.runs.tally import Count
from taut.runs.tracking import STATUSES

CAUSE = "import"
ID_MAX = 64

INSERT_EXPERIMENT = """
INSERT INTO experiment (id, name, lifecycle, created_ms, updated_ms, tags)
VALUES (:id, :name, :lifecycle, :created_ms, :updated_ms, :tags)
"""
SETTLE_EXPERIMENT = """
UPDATE experiment SET lifecycle = :lifecycle, updated_ms = :updated_ms, tags = :tags WHERE id = :id
"""
# While it is copied a run is active and running, whatever it was there: what is logged to it must be let in.
BEGIN_RUN = """
INSERT INTO run (id, experiment_id, name, status, actor, started_ms, ended_ms, lifecycle, cause, capture)
VALUES (:id, :experiment_id, :name, 'RUNNING', :actor, :started_ms, NULL, 'active', :cause, :capture)
ON CONFLICT (id) DO UPDATE SET lifecycle = 'active'
"""
SETTLE_RUN = """
UPDATE run SET name = :name, status = :status, actor = :actor, started_ms = :started_ms,
    ended_ms = CAST(:ended_ms AS BIGINT), lifecycle = :lifecycle WHERE id = :id
"""
UPSERT_LOGGED = """
INSERT INTO logged_model
    (id, experiment_id, run_id, name, model_type, status, created_ms, updated_ms, params, tags)
VALUES (:id, :experiment_id, :run_id, :name, :model_type, :status, :created_ms, :updated_ms, :params, :tags)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, model_type = excluded.model_type, status = excluded.status,
    created_ms = excluded.created_ms, updated_ms = excluded.updated_ms, params = excluded.params, tags = excluded.tags
"""
SELECT_LOGGED_PLACE = "SELECT experiment_id FROM logged_model WHERE id = :id"


@verb("experiment.import", needs="experiment:admin")
def import_experiment(home: Home, experiment: Experiment, *, source: str) -> Moved:
    """Give an experiment of another store its place here; the same one again finds the place that it has.

    Its id stays where it is free, its name where nothing else here has it: `NAME (SOURCE's ID)` is taken then. The
    experiment `0` is our own `Default`, and one that has this id and this name already is joined. What is here keeps
    its tags; those that it lacks are added. Raises Invalid for an impossible id, name or tag.
    """
    _check_experiment(experiment)
    mark = wire.digest(experiment)
    with home.meta.transaction() as tx:
        known = moved_in(tx, source, "experiment", experiment.id)
        if known is not None and known.mark == mark:
            return known
        ours, made = _place_of(home, tx, experiment, known)
        there = read_experiment(tx, ours)
        if made or (known is not None and ours != DEFAULT_ID):
            tx.execute(SETTLE_EXPERIMENT, {
                "id": ours, "lifecycle": experiment.lifecycle, "updated_ms": experiment.updated_ms,
                "tags": wire.text(there.tags | experiment.tags),
            })  # fmt: skip
        elif experiment.tags.keys() - there.tags.keys():
            tags = wire.text(experiment.tags | there.tags)
            tx.execute(SET_TAGS, {"id": ours, "tags": tags, "at_ms": home.clock.now_ms()})
        note_moved(home, tx, source, "experiment", experiment.id, ours, mark=mark)
        body = {"source": source, "id": experiment.id, "name": experiment.name}
        home.append(tx, "experiment.imported", subject=f"experiment:{ours}", body=body)
    return Moved("experiment", experiment.id, ours, mark)


@verb("run.import", needs="experiment:admin")
def begin_imported_run(home: Home, run: Run, *, source: str) -> None:
    """Make a run with the id, user and times that it had elsewhere, so that what was logged to it can be logged here.

    Until `run.imported` it is RUNNING. A run of that id that is here already is gone on with; raises Conflict where it
    stands in another experiment, NotFound for an unknown experiment.
    """
    check_run_id(run.id)
    with home.meta.transaction() as tx:
        read_experiment(tx, run.experiment_id)
        found = read_runs(tx, [run.id])
        if found and found[0].run.experiment_id != run.experiment_id:
            raise Conflict(f"run {run.id} exists already, in experiment {found[0].run.experiment!r}")
        capture = Capture(missing=(f"all but what was logged to it: it was moved in from {source}",))
        tx.execute(BEGIN_RUN, {
            "id": run.id, "experiment_id": run.experiment_id, "name": run.name, "actor": run.actor,
            "started_ms": run.started_ms, "cause": CAUSE, "capture": wire.text(capture),
        })  # fmt: skip
        if not found:
            home.append(tx, "run.import_began", subject=f"run:{run.id}", body={"source": source})


@verb("run.imported", needs="experiment:admin")
def settle_imported_run(home: Home, run: Run, *, source: str, mark: str, tally: dict[str, Count]) -> None:
    """Say that all of a run is here: its state, end and lifecycle are what they were there from now on.

    An empty `mark` says that something could not be had, so that it is tried again. Raises NotFound, Invalid.
    """
    if run.status not in STATUSES:
        raise Invalid(f"a run cannot be {run.status!r}; it is one of {', '.join(STATUSES)}")
    with home.meta.transaction() as tx:
        changed = tx.execute(SETTLE_RUN, {
            "id": run.id, "name": run.name, "status": run.status, "actor": run.actor, "started_ms": run.started_ms,
            "ended_ms": run.ended_ms, "lifecycle": run.lifecycle,
        })  # fmt: skip
        if not changed:
            raise NotFound(f"there is no run with the id {run.id[:80]!r}", hint="taut runs list")
        settle(tx, [run.id])
        note_moved(home, tx, source, "run", run.id, run.id, mark=mark, tally=tally)
        home.append(tx, "run.imported", subject=f"run:{run.id}", body={"source": source, "user": run.actor})


@verb("logged.import", needs="experiment:admin")
def import_logged_model(
    home: Home, model: LoggedModel, *, source: str, mark: str = "", tally: dict[str, Count] | None = None
) -> None:
    """Write a logged model down with its own id, times and state; its metrics come with the runs that measured them.

    Without a `mark` it is not whole yet and PENDING. Raises Conflict where its id stands in another experiment.
    """
    check_run_id(model.id)
    for key in (*model.params, *model.tags):
        check_key(key, of="param or tag")
    whole = tally is not None
    with home.meta.transaction() as tx:
        read_experiment(tx, model.experiment_id)
        place = tx.row(SELECT_LOGGED_PLACE, {"id": model.id})
        if place is not None and place[0] != model.experiment_id:
            raise Conflict(f"logged model {model.id} exists already, in experiment {place[0]}")
        tx.execute(UPSERT_LOGGED, {
            "id": model.id, "experiment_id": model.experiment_id, "run_id": model.run_id, "name": model.name,
            "model_type": model.model_type, "status": model.status if whole else "PENDING",
            "created_ms": model.created_ms, "updated_ms": model.updated_ms, "params": wire.text(model.params),
            "tags": wire.text(model.tags),
        })  # fmt: skip
        if tally is not None:
            note_moved(home, tx, source, "logged model", model.id, model.id, mark=mark, tally=tally)
            home.append(tx, "logged.imported", subject=f"logged-model:{model.id}", body={"source": source})


def _place_of(home: Home, tx: Tx, theirs: Experiment, known: Moved | None) -> tuple[str, bool]:
    """The id that an experiment of theirs has here, and whether it was made for it just now."""
    if known is not None and tx.row(BY_ID, {"id": known.ours}) is not None:
        return known.ours, False
    if theirs.id == DEFAULT_ID:
        return experiment_for(home, tx, DEFAULT).id, False
    same_id, same_name = tx.row(BY_ID, {"id": theirs.id}), tx.row(BY_NAME, {"name": theirs.name})
    if same_id is not None and same_id == same_name:
        return theirs.id, False
    chosen = theirs.id if same_id is None else _free_id(tx, theirs)
    name = theirs.name if same_name is None and theirs.name != DEFAULT else _free_name(tx, theirs)
    tx.execute(INSERT_EXPERIMENT, {
        "id": chosen, "name": name, "lifecycle": theirs.lifecycle, "created_ms": theirs.created_ms,
        "updated_ms": theirs.updated_ms, "tags": wire.text(theirs.tags),
    })  # fmt: skip
    return chosen, True


def _free_id(tx: Tx, theirs: Experiment) -> str:
    """An id for one whose own is taken: it follows from the name and time, so that a second try finds the same."""
    for attempt in range(1000):
        chosen = str(10**17 + int(wire.digest([theirs.id, theirs.name, theirs.created_ms, attempt])[:14], 16))
        if tx.row(BY_ID, {"id": chosen}) is None:
            return chosen
    raise Conflict(f"no id is free for experiment {theirs.name!r}")


def _free_name(tx: Tx, theirs: Experiment) -> str:
    for attempt in range(1, 1000):
        name = f"{theirs.name} (MLflow's {theirs.id}{f', {attempt}' if attempt > 1 else ''})"
        if tx.row(BY_NAME, {"name": name}) is None:
            return name
    raise Conflict(f"no name is free for experiment {theirs.name!r}")


def _check_experiment(experiment: Experiment) -> None:
    check_experiment_name(experiment.name)
    check_run_id(experiment.id)
    if len(experiment.id) > ID_MAX:
        raise Invalid(f"the id of an experiment has at most {ID_MAX} characters, {experiment.id[:80]!r} has more")
    for key, value in experiment.tags.items():
        check_tag(key, value)
