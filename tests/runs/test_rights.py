"""Which experiment a call is about: told from ids, names, roots and models, and open where nothing is there."""

import pytest

from taut.errors import Denied
from taut.faces.verbs import VERBS, load_verb
from taut.govern import create_user, grant_permission
from taut.ground.access import ANY, Actor, grants_of, read_user
from taut.ground.access.grants import GIVES
from taut.home import Home, require, sight
from taut.records import Capture
from taut.runs import create_experiment, create_logged_model, create_run, finish_run, get_run
from taut.runs.rights import (
    NEW_EXPERIMENT,
    of_experiment,
    of_experiment_name,
    of_logged_model,
    of_new_run,
    of_root,
    of_run,
)

# Verbs that go by the role alone although their permission can be granted on a resource: what they are about is none.
BY_ROLE_ALONE = {
    "home.status",
    # A whole store is moved in by whoever runs the home, not by whoever was given a part of it.
    "experiment.import", "logged.import", "model.import", "model.import_version", "model.imported", "moved.list",
    "run.import", "run.imported",
}  # fmt: skip


@pytest.fixture
def theirs(home: Home) -> str:
    """The id of an experiment with the run `r1`."""
    made = create_experiment(home, "theirs")
    create_run(home, experiment="theirs", run_id="r1")
    return made.id


def user(home: Home, role: str = "viewer") -> Home:
    create_user(home, "olga", "correct horse battery", role="owner")
    create_user(home, "vera", "correct horse battery", role=role)
    with home.meta.read() as tx:
        return home.as_actor(Actor("vera", role, grants_of(tx, read_user(tx, "vera").id)))


def test_a_call_is_about_the_experiment_that_it_names(home: Home, theirs: str):
    at = f"experiment:{theirs}"
    assert of_experiment(home, theirs) == at
    assert of_experiment(home, experiment_id=theirs) == at
    assert of_experiment_name(home, "theirs") == at
    assert of_root(home, f"{theirs}/r1/artifacts", "x", oid="y") == at
    assert of_root(home, f"{theirs}/models/m-1/artifacts") == at
    assert of_run(home, "r1", "more", and_more=1) == at
    assert of_run(home, run_id="r1") == at


def test_a_logged_model_is_of_its_experiment(home: Home, theirs: str):
    made = create_logged_model(home, theirs, name="m")
    assert of_logged_model(home, made.id) == of_logged_model(home, model_id=made.id) == f"experiment:{theirs}"


def test_a_run_to_come_is_of_the_experiment_it_names_or_of_a_new_one(home: Home, theirs: str):
    assert of_new_run(home, experiment="theirs", name="x") == f"experiment:{theirs}"
    assert of_new_run(home, experiment_id=theirs, experiment="other") == f"experiment:{theirs}"
    assert of_new_run(home, experiment="other") == NEW_EXPERIMENT
    assert of_new_run(home) == NEW_EXPERIMENT  # Nothing was logged yet, so that there is no `Default`.
    create_run(home)
    assert of_new_run(home) == "experiment:0"


def test_what_is_not_there_is_said_by_the_verb_and_not_by_a_refusal(home: Home):
    assert of_run(home, "none") == of_logged_model(home, "m-none") == of_experiment_name(home, "none") == ANY


def test_where_a_run_belongs_is_asked_once(home: Home, theirs: str):
    assert home.access.owners.get("r1") is None
    of_run(home, "r1")
    assert home.access.owners.get("r1") == f"experiment:{theirs}"
    assert home.as_actor(Actor("x", "viewer")).access.owners.get("r1") is not None


def test_what_is_not_there_is_not_remembered(home: Home, theirs: str):
    assert of_run(home, "r2") == ANY
    create_run(home, experiment="theirs", run_id="r2")
    assert of_run(home, "r2") == f"experiment:{theirs}"


def test_ending_a_run_asks_for_its_experiment(home: Home, theirs: str):
    vera = user(home, "data-scientist")
    grant_permission(home, "vera", "experiment", theirs, "READ")
    assert vera.actor.grants is not None
    vera.actor.grants.reload(home.meta)
    with pytest.raises(Denied):
        finish_run(vera, "r1", Capture(), "FINISHED", 5)
    grant_permission(home, "vera", "experiment", theirs, "EDIT")
    assert finish_run(vera, "r1", Capture(), "FINISHED", 5).status == "FINISHED"
    assert get_run(home, "r1").ended_ms == 5


def test_a_gate_lets_pass_who_may_somewhere_and_a_resource_decides(home: Home, theirs: str):
    vera = user(home)
    for resource in ("", ANY, f"experiment:{theirs}"):
        with pytest.raises(Denied):
            require(vera, "run:write", verb="run.log", resource=resource)
    grant_permission(home, "vera", "experiment", theirs, "EDIT")
    require(vera, "run:write", verb="run.log", resource=ANY)
    require(vera, "run:write", verb="run.log", resource=f"experiment:{theirs}")
    for resource in ("", "experiment:0", NEW_EXPERIMENT):
        with pytest.raises(Denied):
            require(vera, "run:write", verb="run.log", resource=resource)


def test_sight_tells_a_search_what_to_leave_out(home: Home, theirs: str):
    vera = user(home)
    assert sight(vera, "experiment", "run:read").is_whole
    grant_permission(home, "vera", "experiment", theirs, "NO_PERMISSIONS")
    assert vera.actor.grants is not None
    vera.actor.grants.reload(home.meta)
    seen = sight(vera, "experiment", "run:read")
    assert (seen.is_whole, seen.sees(theirs), seen.sees("0")) == (False, False, True)
    assert sight(vera, "experiment", "run:write").sees("0") is False
    assert sight(home, "experiment", "run:read").is_whole


def test_no_verb_forgets_that_its_permission_can_be_granted_on_a_resource():
    """A verb without `on` is closed to grants, which is safe for what they give and not for what they take away."""
    given = {permission for kind in ("experiment", "model") for level in GIVES[kind].values() for permission in level}
    verbs = [load_verb(name) for name in VERBS]
    forgotten = {verb.name for verb in verbs if verb.needs in given and not verb.on}
    assert forgotten <= BY_ROLE_ALONE, forgotten - BY_ROLE_ALONE
    assert all(callable(verb.on) or verb.on in ("", ANY) or verb.on.startswith("new:") for verb in verbs)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "*", "experiment"])
def test_no_odd_name_of_a_root_is_another_experiment(home: Home, name: str):
    assert of_root(home, f"{name}/r1/artifacts") == f"experiment:{name.partition('/')[0]}"
