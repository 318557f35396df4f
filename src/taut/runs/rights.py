"""Which experiment a call is about, for what a user was granted there: given to `verb(on=…)`, asked only for users."""

from typing import Any

from taut.ground.access import ANY, NEW, is_allowed, read_user
from taut.home import Home, require

NEW_EXPERIMENT = f"{NEW}:experiment"

SELECT_BY_NAME = "SELECT id FROM experiment WHERE name = :name"
SELECT_OF_RUN = "SELECT experiment_id FROM run WHERE id = :id"
SELECT_MAKER = "SELECT actor FROM run WHERE id = :id"
SELECT_MADE = "SELECT MIN(at_ms) FROM ledger WHERE subject = :subject"
SELECT_OF_TRACE = "SELECT experiment_id FROM trace WHERE id = :id"
SELECT_OF_MODEL = "SELECT experiment_id FROM logged_model WHERE id = :id"


def of_experiment(_: Home, experiment_id: str, *__: Any, **___: Any) -> str:
    """The experiment that a call names by its id, first."""
    return f"experiment:{experiment_id}"


def of_experiment_name(home: Home, name: str, *_: Any, **__: Any) -> str:
    """The experiment that a call names by its name, first; some experiment where there is none of that name."""
    return _by_name(home, name) or ANY


def of_root(_: Home, root: str, *__: Any, **___: Any) -> str:
    """The experiment that an artifact root belongs to: it is the first part of it."""
    return f"experiment:{root.partition('/')[0]}"


def of_run(home: Home, run_id: str, *_: Any, **__: Any) -> str:
    """The experiment of a run; some experiment where there is no such run, which the verb then says."""
    known = home.access.owners.get(run_id)
    if known is None:
        found = home.meta.ask(SELECT_OF_RUN, {"id": run_id})
        if not found:
            return ANY
        known = f"experiment:{found[0][0]}"
        home.access.owners.put(run_id, known)
    return known


def of_new_run(home: Home, *, experiment: str = "", experiment_id: str = "", **_: Any) -> str:
    """The experiment that a run is to be made in, by id or name; a new one where it is not there yet."""
    if experiment_id:
        return f"experiment:{experiment_id}"
    return _by_name(home, experiment or "Default") or NEW_EXPERIMENT


def of_logged_model(home: Home, model_id: str, *_: Any, **__: Any) -> str:
    """The experiment of a logged model; some experiment where there is no such model, which the verb then says."""
    known = home.access.owners.get(model_id)
    if known is None:
        with home.meta.read() as tx:
            found = tx.row(SELECT_OF_MODEL, {"id": model_id})
        if found is None:
            return ANY
        known = f"experiment:{found[0]}"
        home.access.owners.put(model_id, known)
    return known


def of_trace(home: Home, trace_id: str, *_: Any, **__: Any) -> str:
    """The experiment of a trace; some experiment where there is no such trace, which the verb then says."""
    found = home.meta.ask(SELECT_OF_TRACE, {"id": trace_id})
    return f"experiment:{found[0][0]}" if found else ANY


def of_owner(_: Home, owned: Any, *__: Any, **___: Any) -> str:
    """The experiment that a record given first names as its own."""
    return f"experiment:{owned.experiment_id}"


def of_assessed(home: Home, assessment: Any, *_: Any, **__: Any) -> str:
    """The experiment of the trace that an assessment given first is about."""
    return of_trace(home, assessment.trace_id)


def _by_name(home: Home, name: str) -> str:
    with home.meta.read() as tx:
        found = tx.row(SELECT_BY_NAME, {"name": name})
    return "" if found is None else f"experiment:{found[0]}"


def require_own(home: Home, run_id: str, *, verb: str) -> None:
    """Let the actor pass to a run that they have made, else only whoever may delete anybody's. Raises Denied.

    Who got the name of a user that was deleted has made none of theirs.
    """
    resource = of_run(home, run_id)
    if is_allowed(home.actor, "run:delete-any", resource) or resource == ANY or _has_made(home, run_id):
        return
    require(home, "run:delete-any", verb=verb, resource=resource)


def _has_made(home: Home, run_id: str) -> bool:
    if home.meta.ask(SELECT_MAKER, {"id": run_id}) != [(home.actor.name,)]:
        return False
    if home.actor.grants is None:  # No user: whose folder it is, or a token.
        return True
    ((made_ms,),) = home.meta.ask(SELECT_MADE, {"subject": f"run:{run_id}"})
    with home.root.meta.read() as tx:
        return made_ms is not None and read_user(tx, home.actor.name).created_ms <= int(made_ms)
