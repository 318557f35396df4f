"""Runs: made, found, ended, deleted and brought back. What is logged to them stands in `batches.py`."""

from taut.errors import Conflict, Invalid, NotFound
from taut.ground import wire
from taut.ground.access import ANY, Sight
from taut.ground.clock import new_id
from taut.ground.ledger import draw_arrow
from taut.ground.meta import Tx, Value
from taut.home import Home, require, sight, verb
from taut.records import Capture, Run
from taut.runs.batches import NAME_TAG, cut_tags, insert_tags, write_tags
from taut.runs.detail import NOTHING, NOTHING_TEXT, RunDetail, ask_runs, read_runs
from taut.runs.experiments import DEFAULT, Experiment, experiment_for, read_experiment
from taut.runs.names import check_experiment_name, check_run_id
from taut.runs.rights import of_new_run, of_run, require_own
from taut.runs.settling import settle

STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
PREFIX_MIN = 4
CANDIDATES_MAX = 5

INSERT = """
INSERT INTO run (id, experiment_id, name, status, actor, started_ms, ended_ms, lifecycle, cause, capture)
VALUES (:id, :experiment_id, :name, 'RUNNING', :actor, :started_ms, NULL, 'active', :cause, :capture)
"""
UPDATE = """
UPDATE run SET status = COALESCE(CAST(:status AS TEXT), status),
    ended_ms = COALESCE(CAST(:ended_ms AS BIGINT), ended_ms), name = COALESCE(CAST(:name AS TEXT), name)
WHERE id = :id
"""
SET_CAPTURE = "UPDATE run SET capture = :capture WHERE id = :id"
SET_LIFECYCLE = "UPDATE run SET lifecycle = :lifecycle WHERE id = :id"
# A range finds a prefix through the primary key, whatever characters it has and whatever LIKE means here.
SELECT_PREFIX = "SELECT id, experiment_id FROM run WHERE id >= :prefix AND id < :past ORDER BY id LIMIT :limit"


@verb("run.create", needs="run:write", on=of_new_run)
def create_run(
    home: Home,
    *,
    experiment: str = DEFAULT,
    name: str = "",
    cause: str = "manual",
    run_id: str = "",
    experiment_id: str = "",
    started_ms: int | None = None,
    tags: dict[str, str] | None = None,
) -> Run:
    """Start a run in an experiment, which is made where it is missing; `experiment_id` names one that must exist.

    A `run_id` that the caller chose is an idempotency key: asking twice makes one run. A cause that is a point of
    the line (`alert:ID`) is drawn into the lineage. Raises NotFound, Invalid, and Conflict for a deleted experiment.
    """
    chosen = run_id or new_id()
    check_run_id(chosen)
    with home.meta.transaction() as tx:
        if run_id and (found := read_runs(tx, [run_id])):
            return _same_experiment(found[0].run, experiment, experiment_id)
        place = _experiment_of(home, tx, experiment, experiment_id)
        at_ms = home.clock.now_ms()
        said = dict(tags or {})
        said[NAME_TAG] = name = _name_of(chosen, name, said)
        said = cut_tags(dict(sorted(said.items())))
        run = Run(
            id=chosen, experiment_id=place.id, experiment=place.name, name=name, status="RUNNING",
            actor=home.actor.name, started_ms=at_ms if started_ms is None else started_ms, ended_ms=None,
            lifecycle="active", cause=cause, capture=NOTHING, tags=said,
        )  # fmt: skip
        tx.execute(INSERT, {
            "id": chosen, "experiment_id": place.id, "name": name, "actor": run.actor, "started_ms": run.started_ms,
            "cause": cause, "capture": NOTHING_TEXT,
        })  # fmt: skip
        insert_tags(tx, chosen, place.id, said)
        home.append(tx, "run.created", subject=f"run:{chosen}", body={"experiment_id": place.id, "cause": cause})
        if ":" in cause:
            draw_arrow(tx, cause, "caused", f"run:{chosen}", at_ms=at_ms)
        return run


@verb("run.update", needs="run:write", on=of_run)
def update_run(home: Home, run_id: str, *, status: str = "", ended_ms: int | None = None, name: str = "") -> Run:
    """Change a run's status, end or name; what is not said stays. An end that is not said is now, once it has ended.

    Raises NotFound, and Invalid for an unknown status or a deleted run.
    """
    if status and status not in STATUSES:
        raise Invalid(f"a run cannot be {status!r}; it is one of {', '.join(STATUSES)}")
    with home.meta.transaction() as tx:
        run = active_run(tx, run_id)
        if status not in {"", "RUNNING", "SCHEDULED"} and ended_ms is None and run.ended_ms is None:
            ended_ms = home.clock.now_ms()
        tx.execute(UPDATE, {"id": run_id, "status": status or None, "ended_ms": ended_ms, "name": name or None})
        if status not in {"", "RUNNING", "SCHEDULED"}:
            settle(tx, [run_id])
        if name:
            write_tags(tx, run_id, run.experiment_id, {NAME_TAG: name})
        said: dict[str, Value] = {"status": status, "ended_ms": ended_ms, "name": name}
        home.append(tx, "run.updated", subject=f"run:{run_id}", body={key: one for key, one in said.items() if one})
        return read_run(tx, run_id).run


@verb("run.capture", needs="run:write", on=of_run)
def record_capture(home: Home, run_id: str, capture: Capture) -> Run:
    """Write down how a run came about, in place of what was known. Raises NotFound, Invalid for a deleted run."""
    with home.meta.transaction() as tx:
        active_run(tx, run_id)
        tx.execute(SET_CAPTURE, {"id": run_id, "capture": wire.text(capture)})
        home.append(
            tx,
            "run.captured",
            subject=f"run:{run_id}",
            body={"inputs": len(capture.inputs), "missing": capture.missing},
        )
        return read_run(tx, run_id).run


@verb("run.get", needs="run:read", on=of_run)
def get_run(home: Home, run_id: str) -> Run:
    """The run of exactly that id, deleted ones included. Raises NotFound."""
    return run_detail(home, run_id).run


@verb("run.detail", needs="run:read", on=of_run)
def run_detail(home: Home, run_id: str) -> RunDetail:
    """The run with the points, inputs and outputs that were logged to it. Raises NotFound."""
    found = ask_runs(home, [run_id])
    if not found:
        raise no_run(run_id)
    return found[0]


@verb("run.resolve", needs="run:read", on=ANY)
def resolve_run(home: Home, written: str) -> Run:
    """The run that somebody meant: its id, or the first letters of it where only one run begins so.

    Raises NotFound where none does, Invalid where several do or fewer than four letters are given.
    """
    with home.meta.read() as tx:
        run = _meant(tx, written, sight(home, "experiment", "run:read"))
    require(home, "run:read", verb="run.resolve", resource=f"experiment:{run.experiment_id}")
    return run


@verb("run.delete", needs="run:delete", on=of_run)
def delete_run(home: Home, run_id: str) -> None:
    """Mark a run deleted; nothing of it is lost until it is collected. Deleting twice is deleting once.

    Others' runs ask for `run:delete-any`. Raises NotFound, Denied.
    """
    require_own(home, run_id, verb="run.delete")
    _set_lifecycle(home, run_id, "deleted")


@verb("run.restore", needs="run:delete", on=of_run)
def restore_run(home: Home, run_id: str) -> None:
    """Bring a deleted run back; others' runs ask for `run:delete-any`. Raises NotFound, Denied."""
    require_own(home, run_id, verb="run.restore")
    _set_lifecycle(home, run_id, "active")


def _meant(tx: Tx, written: str, seen: Sight) -> Run:
    exact = read_runs(tx, [written])
    if exact:
        return exact[0].run
    if len(written) < PREFIX_MIN:
        raise Invalid(f"{written!r} is too short to name a run; write at least {PREFIX_MIN} letters of its id")
    past = written[:-1] + chr(ord(written[-1]) + 1)
    asked: dict[str, Value] = {"prefix": written, "past": past, "limit": CANDIDATES_MAX + 1}
    rows = tx.rows(SELECT_PREFIX, asked)
    # Others' runs do not make a prefix ambiguous; where it can mean only one of them, that is refused by its caller.
    ids = [str(run_id) for run_id, experiment_id in rows if seen.sees(str(experiment_id))] or [
        str(r[0]) for r in rows[:1]
    ]
    if len(ids) > 1:
        raise Invalid(f"{written!r} begins the ids of several runs: {', '.join(ids[:CANDIDATES_MAX])}")
    if not ids:
        raise no_run(written)
    return read_run(tx, ids[0]).run


def read_run(tx: Tx, run_id: str) -> RunDetail:
    """The run of that id inside the caller's transaction. Raises NotFound."""
    found = read_runs(tx, [run_id])
    if not found:
        raise no_run(run_id)
    return found[0]


def active_run(tx: Tx, run_id: str) -> Run:
    """The run of that id, which must not be deleted. Raises NotFound, Invalid."""
    run = read_run(tx, run_id).run
    if run.lifecycle != "active":
        raise Invalid(
            f"The run {run_id} must be in the 'active' state, and it is deleted; restore it before you change it"
        )
    return run


def no_run(run_id: str) -> NotFound:
    """The error for an id that no run has."""
    return NotFound(f"Run with id {run_id[:80]!r} not found", hint="taut runs list")


def _experiment_of(home: Home, tx: Tx, name: str, experiment_id: str) -> Experiment:
    if experiment_id:
        experiment = read_experiment(tx, experiment_id)
        if experiment.lifecycle != "active":
            raise Invalid(f"experiment {experiment.name!r} is deleted; restore it before you run in it")
        return experiment
    check_experiment_name(name)
    return experiment_for(home, tx, name)


def _name_of(run_id: str, name: str, tags: dict[str, str]) -> str:
    """What a run is called: its name, else the tag that clients write, else the start of its id."""
    tagged = tags.get(NAME_TAG, "")
    if name and tagged and name != tagged:
        raise Invalid(f"the run is named {name!r}, but its tag {NAME_TAG} says {tagged!r}")
    return name or tagged or f"run-{run_id[:8]}"


def _same_experiment(run: Run, experiment: str, experiment_id: str) -> Run:
    same = run.experiment_id == experiment_id if experiment_id else run.experiment == experiment
    if not same:
        raise Conflict(f"run {run.id} exists already, in experiment {run.experiment!r}")
    return run


def _set_lifecycle(home: Home, run_id: str, lifecycle: str) -> None:
    with home.meta.transaction() as tx:
        if read_run(tx, run_id).run.lifecycle == lifecycle:
            return
        if not tx.execute(SET_LIFECYCLE, {"id": run_id, "lifecycle": lifecycle}):
            raise no_run(run_id)  # It was collected in the meantime.
        home.append(tx, "run.deleted" if lifecycle == "deleted" else "run.restored", subject=f"run:{run_id}")
