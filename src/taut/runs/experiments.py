"""Experiments: names under which runs are gathered; made, found, renamed, tagged, deleted and brought back."""

import secrets
from dataclasses import dataclass, field
from typing import Literal

from taut.errors import Conflict, Denied, Invalid, NotFound
from taut.ground import wire
from taut.ground.meta import Row, Tx
from taut.home import Home, sight, verb
from taut.runs.names import check_experiment_name, check_tag
from taut.runs.rights import NEW_EXPERIMENT, of_experiment, of_experiment_name

DEFAULT = "Default"
DEFAULT_ID = "0"  # MLflow clients take this id for granted where no experiment was chosen.

INSERT = """
INSERT INTO experiment (id, name, lifecycle, created_ms, updated_ms, tags)
VALUES (:id, :name, 'active', :at_ms, :at_ms, :tags)
ON CONFLICT (name) DO NOTHING
"""
SELECT = "SELECT id, name, lifecycle, created_ms, updated_ms, tags FROM experiment"
BY_ID = f"{SELECT} WHERE id = :id"  # Constants only.
BY_NAME = f"{SELECT} WHERE name = :name"
ALL = f"{SELECT} ORDER BY created_ms DESC, id"
RENAME = "UPDATE experiment SET name = :name, updated_ms = :at_ms WHERE id = :id"
SET_LIFECYCLE = "UPDATE experiment SET lifecycle = :lifecycle, updated_ms = :at_ms WHERE id = :id"
SET_RUNS_LIFECYCLE = "UPDATE run SET lifecycle = :lifecycle WHERE experiment_id = :id"
SET_TAGS = "UPDATE experiment SET tags = :tags, updated_ms = :at_ms WHERE id = :id"
# Who changes tags reads them first; this takes the row, so that two who add a tag at once keep both.
LOCK = "UPDATE experiment SET updated_ms = updated_ms WHERE id = :id"

Lifecycle = Literal["active", "deleted"]


@dataclass(frozen=True, slots=True)
class Experiment:
    """A name that gathers runs."""

    id: str
    name: str
    lifecycle: Lifecycle
    created_ms: int
    updated_ms: int
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def artifact_root(self) -> str:
        """Where its runs keep their files, as a path of the artifact store."""
        return self.id


@verb("experiment.create", needs="experiment:create", on=NEW_EXPERIMENT)
def create_experiment(home: Home, name: str, *, tags: dict[str, str] | None = None) -> Experiment:
    """Make an experiment. Raises Conflict where the name is taken, also by a deleted one; Invalid for a bad name."""
    check_experiment_name(name)
    for key, value in (tags or {}).items():
        check_tag(key, value)
    with home.meta.transaction() as tx:
        made = insert_experiment(home, tx, name, tags=tags or {})
        if made is None:
            raise _taken(_named(tx, name))
        return made


@verb("experiment.ensure", needs="experiment:create", on=NEW_EXPERIMENT)
def ensure_experiment(home: Home, name: str = DEFAULT) -> Experiment:
    """The active experiment of that name, made where there is none. Raises Conflict where it is deleted."""
    check_experiment_name(name)
    with home.meta.transaction() as tx:
        return experiment_for(home, tx, name)


@verb("experiment.find", needs="run:read", on=of_experiment_name)
def find_experiment(home: Home, name: str) -> Experiment:
    """The experiment of exactly that name, deleted ones included. Raises NotFound."""
    with home.meta.read() as tx:
        found = tx.row(BY_NAME, {"name": name})
    if found is None:
        raise NotFound(f"there is no experiment named {name!r}", hint="taut runs list")
    return _experiment(found)


@verb("experiment.get", needs="run:read", on=of_experiment)
def get_experiment(home: Home, experiment_id: str) -> Experiment:
    """The experiment of that id. Raises NotFound."""
    with home.meta.read() as tx:
        return read_experiment(tx, experiment_id)


@verb("experiment.list", needs="run:read", on="*")
def list_experiments(home: Home) -> list[Experiment]:
    """Every experiment that the actor may see, newest first, deleted ones included."""
    seen = sight(home, "experiment", "run:read")
    with home.meta.read() as tx:
        return [_experiment(row) for row in tx.rows(ALL) if seen.sees(str(row[0]))]


@verb("experiment.rename", needs="experiment:write", on=of_experiment)
def rename_experiment(home: Home, experiment_id: str, name: str) -> Experiment:
    """Give it another name. Raises NotFound, Conflict where it is taken, Invalid for a deleted one and `Default`.

    `Default` is taken also before anything was logged to it: its id is 0, and it is made when it is first needed.
    """
    check_experiment_name(name)
    _check_not_default(experiment_id, doing="renamed")
    with home.meta.transaction() as tx:
        _active(read_experiment(tx, experiment_id))
        if name == DEFAULT:
            raise Conflict(
                f"experiment {DEFAULT!r} is the one with the id {DEFAULT_ID}, where clients log if none was chosen",
                hint="choose another name",
            )
        other = tx.row(BY_NAME, {"name": name})
        if other is not None and other[0] != experiment_id:
            raise _taken(_experiment(other))
        tx.execute(RENAME, {"id": experiment_id, "name": name, "at_ms": home.clock.now_ms()})
        home.append(tx, "experiment.renamed", subject=f"experiment:{experiment_id}", body={"name": name})
        return read_experiment(tx, experiment_id)


@verb("experiment.delete", needs="experiment:admin", on=of_experiment)
def delete_experiment(home: Home, experiment_id: str) -> Experiment:
    """Mark it and its runs deleted; all of them can be brought back. Raises NotFound, Invalid for `Default`."""
    _check_not_default(experiment_id, doing="deleted")
    return _set_lifecycle(home, experiment_id, "deleted", only_from="active")


@verb("experiment.restore", needs="experiment:admin", on=of_experiment)
def restore_experiment(home: Home, experiment_id: str) -> Experiment:
    """Bring a deleted one back with all of its runs, as MLflow does. Raises NotFound."""
    return _set_lifecycle(home, experiment_id, "active", only_from="deleted")


@verb("experiment.tag", needs="experiment:write", on=of_experiment)
def tag_experiment(home: Home, experiment_id: str, key: str, value: str | None) -> Experiment:
    """Set a tag; None takes it away. Raises NotFound, also for a tag that is not there; Invalid for a bad key."""
    if value is not None:
        check_tag(key, value)
    with home.meta.transaction() as tx:
        tx.execute(LOCK, {"id": experiment_id})
        tags = dict(_active(read_experiment(tx, experiment_id)).tags)
        if value is None and key not in tags:
            raise NotFound(f"experiment {experiment_id} has no tag {key!r}")
        if value is None:
            del tags[key]
        else:
            tags[key] = value
        tx.execute(SET_TAGS, {"id": experiment_id, "tags": wire.text(tags), "at_ms": home.clock.now_ms()})
        home.append(tx, "experiment.tagged", subject=f"experiment:{experiment_id}", body={"key": key})
        return read_experiment(tx, experiment_id)


def experiment_for(home: Home, tx: Tx, name: str) -> Experiment:
    """The active experiment of that name, made inside the caller's transaction where there is none."""
    if tx.row(BY_NAME, {"name": name}) is None and (made := insert_experiment(home, tx, name, tags={})):
        return made
    experiment = _named(tx, name)
    if not sight(home, "experiment", "run:read").sees(experiment.id):
        raise Denied(f"{home.actor.name} may not read the experiment {name!r}")
    if experiment.lifecycle == "deleted":
        raise _taken(experiment)
    return experiment


def insert_experiment(home: Home, tx: Tx, name: str, *, tags: dict[str, str]) -> Experiment | None:
    """Write a new experiment inside the caller's transaction; None where the name is taken, however lately."""
    experiment_id = DEFAULT_ID if name == DEFAULT else str(10**17 + secrets.randbelow(9 * 10**17))
    at_ms = home.clock.now_ms()
    if not tx.execute(INSERT, {"id": experiment_id, "name": name, "at_ms": at_ms, "tags": wire.text(tags)}):
        return None
    home.own(tx, "experiment", experiment_id)
    home.append(tx, "experiment.created", subject=f"experiment:{experiment_id}", body={"name": name})
    return read_experiment(tx, experiment_id)


def _named(tx: Tx, name: str) -> Experiment:
    """The experiment of a name that is taken."""
    found = tx.row(BY_NAME, {"name": name})
    assert found is not None, name
    return _experiment(found)


def read_experiment(tx: Tx, experiment_id: str) -> Experiment:
    """The experiment of that id inside the caller's transaction. Raises NotFound."""
    found = tx.row(BY_ID, {"id": experiment_id})
    if found is None:
        raise NotFound(f"there is no experiment with the id {experiment_id!r}", hint="taut runs list")
    return _experiment(found)


def _set_lifecycle(home: Home, experiment_id: str, lifecycle: Lifecycle, *, only_from: Lifecycle) -> Experiment:
    with home.meta.transaction() as tx:
        if read_experiment(tx, experiment_id).lifecycle != only_from:
            raise NotFound(f"experiment {experiment_id} is not {only_from}")
        tx.execute(SET_LIFECYCLE, {"id": experiment_id, "lifecycle": lifecycle, "at_ms": home.clock.now_ms()})
        tx.execute(SET_RUNS_LIFECYCLE, {"id": experiment_id, "lifecycle": lifecycle})
        kind = "experiment.deleted" if lifecycle == "deleted" else "experiment.restored"
        home.append(tx, kind, subject=f"experiment:{experiment_id}")
        return read_experiment(tx, experiment_id)


def _check_not_default(experiment_id: str, *, doing: str) -> None:
    if experiment_id == DEFAULT_ID:
        raise Invalid(f"the experiment {DEFAULT!r} cannot be {doing}: clients log to it where none was chosen")


def _active(experiment: Experiment) -> Experiment:
    if experiment.lifecycle != "active":
        raise Invalid(f"experiment {experiment.name!r} is deleted; restore it before you change it")
    return experiment


def _taken(experiment: Experiment) -> Conflict:
    state = "exists already" if experiment.lifecycle == "active" else "exists already, deleted; restore it"
    return Conflict(f"experiment {experiment.name!r} {state} (id {experiment.id})")


def _experiment(row: Row) -> Experiment:
    experiment_id, name, lifecycle, created_ms, updated_ms, tags = row
    return Experiment(
        str(experiment_id), str(name), "active" if lifecycle == "active" else "deleted", int(str(created_ms)),
        int(str(updated_ms)), wire.decode(str(tags), dict[str, str]),
    )  # fmt: skip
