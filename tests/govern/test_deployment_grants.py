"""Grants on single deployments, at the verbs: what is let in, what is refused, what is not shown."""

from collections.abc import Callable

import pytest

from taut.deploy import (
    check_deployment,
    config_of,
    find_deployment,
    find_state,
    list_deployments,
    list_states,
    record_deployment,
    report_state,
)
from taut.errors import Denied, NotFound, TautError
from taut.govern import create_user, find_level, grant_permission, revoke_permission
from taut.ground.access import Actor, grants_of, read_user
from taut.home import Home
from taut.project import DeploymentSpec
from taut.records import DeploymentState
from taut.serve import find_answer, find_prediction, list_predictions, log_labels, log_prediction, traffic
from taut.watch import list_alerts, list_windows
from tests.serve.scenes import register

WORD = "correct horse battery"
CONFIG = config_of(DeploymentSpec(model="late@1"))
ROW: dict[str, list[str | float | int | bool | None]] = {"delay": [1.0], "seats": [1], "carrier": ["UA"]}
Acts = dict[str, Callable[[], object]]


@pytest.fixture
def team(home: Home) -> Home:
    """A home with an owner and two deployments, both of which have answered once."""
    create_user(home, "olga", WORD, role="owner")
    register(home)
    for name in ("late", "early"):
        record_deployment(home, name, "late", 1, "process", CONFIG, "test")
        report_state(home, DeploymentState(name, 1, "running", "http://127.0.0.1:1", "1:1", 0))
        log_prediction(home, name, f"of-{name}", 1, 5, ROW, {"probability": [0.5]})
    return home


def user(home: Home, role: str, *levels: tuple[str, str]) -> Home:
    """The home in the hands of a new user with such grants on deployments."""
    create_user(home, "ada", WORD, role=role)
    for name, level in levels:
        grant_permission(home, "ada", "deployment", name, level)
    with home.meta.read() as tx:
        return home.as_actor(Actor("ada", role, grants_of(tx, read_user(tx, "ada").id)))


def acts(home: Home, name: str) -> Acts:
    return {
        "show": lambda: find_deployment(home, name),
        "state": lambda: find_state(home, name),
        "check": lambda: check_deployment(home, name, "late", 1),
        "windows": lambda: list_windows(home, name),
        "alerts": lambda: list_alerts(home, name),
        "log": lambda: log_prediction(home, name, "new", 1, 5, ROW, {"probability": [0.5]}),
        "answer": lambda: find_answer(home, name, "new"),
        "label": lambda: log_labels(home, name, {f"of-{name}.0": 1.0}),
        "record": lambda: record_deployment(home, name, "late", 1, "process", CONFIG, "test"),
        "report": lambda: report_state(home, DeploymentState(name, 1, "failed", "", "", 0)),
        "predictions": lambda: list_predictions(home, name),
        "prediction": lambda: find_prediction(home, f"of-{name}.0", name),
        "traffic": lambda: traffic(home, name),
    }


READS = {"show", "state", "check", "windows", "alerts"}
USES = READS | {"log", "answer", "label"}
EDITS = USES | {"record", "report", "predictions", "prediction", "traffic"}
LEVELS: dict[str, set[str]] = {
    "NO_PERMISSIONS": set(),
    "DENY": set(),
    "READ": READS,
    "USE": USES,
    "EDIT": EDITS,
    "MANAGE": EDITS,
}


def allowed(act: Callable[[], object]) -> bool:
    try:
        act()
    except Denied:
        return False
    except NotFound as missing:
        return "no prediction" not in missing.message
    except TautError:
        return True
    return True


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("role", ["viewer", "ml-engineer"])
def test_a_grant_decides_on_its_deployment_and_the_role_on_every_other(team: Home, role: str, level: str):
    theirs = user(team, role, ("late", level))
    assert {name for name, act in acts(theirs, "late").items() if allowed(act)} == LEVELS[level]
    by_role = READS if role == "viewer" else EDITS
    assert {name for name, act in acts(theirs, "early").items() if allowed(act)} == by_role


def test_what_is_hidden_is_in_no_list_and_in_no_message(team: Home):
    theirs = user(team, "ml-engineer", ("late", "NO_PERMISSIONS"))
    assert [one.name for one in list_deployments(theirs)] == ["early"]
    assert [one.name for one in list_states(theirs)] == ["early"]
    with pytest.raises(NotFound) as missing:
        find_deployment(theirs, "lat")
    assert "'late'" not in missing.value.message
    assert find_prediction(theirs, "of-early.0").deployment == "early"
    with pytest.raises(NotFound, match="no prediction"):
        find_prediction(theirs, "of-late.0")


def test_who_manages_a_deployment_shares_it_and_nothing_else(team: Home):
    theirs = user(team, "viewer", ("late", "MANAGE"))
    create_user(team, "bob", WORD)
    assert grant_permission(theirs, "bob", "deployment", "late", "USE").level == "USE"
    assert find_level(team, "bob", "deployment", "late") == "USE"
    assert find_level(team, "bob", "deployment", "early") == "READ"
    create_user(team, "eve", WORD, role="ml-engineer")
    assert find_level(team, "eve", "deployment", "early") == "EDIT"
    with pytest.raises(Denied):
        grant_permission(theirs, "bob", "deployment", "early", "USE")
    revoke_permission(theirs, "bob", "deployment", "late")
    assert find_level(team, "bob", "deployment", "late") == "READ"


def test_nothing_is_granted_on_a_deployment_that_is_not_there(team: Home):
    with pytest.raises(NotFound):
        grant_permission(team, "olga", "deployment", "nowhere", "READ")
    assert grant_permission(team, "olga", "deployment", "*", "READ").resource == "*"
    assert find_level(team, "olga", "deployment", "nowhere") == "MANAGE"  # As an owner, who is not restricted.
