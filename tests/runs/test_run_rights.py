"""Runs in the hands of users: what was granted on their experiment opens, closes and hides them."""

from collections.abc import Callable

import pytest

from taut.errors import Denied, NotFound, TautError
from taut.govern import create_user, delete_user, grant_permission
from taut.ground.access import Actor, grants_of, read_user
from taut.ground.clock import SetClock
from taut.home import Home
from taut.records import Capture
from taut.runs import (
    DatasetInput,
    MetricPoint,
    create_experiment,
    create_run,
    delete_run,
    delete_tag,
    get_run,
    log_batch,
    log_inputs,
    log_outputs,
    metric_history,
    page_of_runs,
    record_capture,
    resolve_run,
    restore_run,
    run_detail,
    search_runs,
    update_run,
)

READS = {"get", "detail", "resolve", "history", "page"}
WRITES = READS | {"update", "log", "capture", "untag", "inputs", "outputs", "create"}
LEVELS = {
    "NO_PERMISSIONS": set(), "DENY": set(), "READ": READS, "USE": READS, "EDIT": WRITES,
    "MANAGE": WRITES | {"delete", "restore"},
}  # fmt: skip


@pytest.fixture
def ids(home: Home) -> dict[str, str]:
    """Two experiments with a run each, `mine-run` and `theirs-run`."""
    made = {name: create_experiment(home, name).id for name in ("mine", "theirs")}
    for name in made:
        create_run(home, experiment=name, run_id=f"{name}-run")
    return made


def user(home: Home, role: str = "viewer", *, begins: bool = False) -> Home:
    create_user(home, "olga", "correct horse battery", role="owner")
    create_user(home, "vera", "correct horse battery", role=role, begins=begins)
    with home.meta.read() as tx:
        return home.as_actor(Actor("vera", role, grants_of(tx, read_user(tx, "vera").id)))


def granted(home: Home, vera: Home, experiment_id: str, level: str) -> None:
    grant_permission(home, "vera", "experiment", experiment_id, level)
    assert vera.actor.grants is not None
    vera.actor.grants.reload(home.meta)


def acts(home: Home, experiment_id: str, run_id: str) -> dict[str, Callable[[], object]]:
    return {
        "get": lambda: get_run(home, run_id),
        "detail": lambda: run_detail(home, run_id),
        "resolve": lambda: resolve_run(home, run_id[:6]),
        "history": lambda: metric_history(home, run_id, "m"),
        "page": lambda: seen(home, experiment_id),
        "update": lambda: update_run(home, run_id, name="new"),
        "log": lambda: log_batch(home, run_id, metrics=[MetricPoint("m", 1.0)]),
        "capture": lambda: record_capture(home, run_id, Capture()),
        "untag": lambda: delete_tag(home, run_id, "none"),
        "inputs": lambda: log_inputs(home, run_id, [DatasetInput("d", "1", "local", "x")]),
        "outputs": lambda: log_outputs(home, run_id, []),
        "create": lambda: create_run(home, experiment_id=experiment_id),
        "delete": lambda: delete_run(home, run_id),
        "restore": lambda: restore_run(home, run_id),
    }


def seen(home: Home, experiment_id: str) -> None:
    if not page_of_runs(home, [experiment_id]).runs:
        raise Denied("no run is shown")


def allowed(act: Callable[[], object]) -> bool:
    try:
        act()
    except Denied:
        return False
    except TautError:
        return True
    return True


@pytest.mark.parametrize("role", ["viewer", "data-scientist"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_grant_opens_and_closes_exactly_the_verbs_of_its_runs(home: Home, ids: dict[str, str], role: str, level: str):
    vera = user(home, role)
    before = {name for name, act in acts(vera, ids["theirs"], "theirs-run").items() if allowed(act)}
    granted(home, vera, ids["mine"], level)
    assert {name for name, act in acts(vera, ids["mine"], "mine-run").items() if allowed(act)} == LEVELS[level]
    assert {name for name, act in acts(vera, ids["theirs"], "theirs-run").items() if allowed(act)} == before


def test_searches_show_no_run_that_may_not_be_seen(home: Home, ids: dict[str, str]):
    vera = user(home)
    granted(home, vera, ids["theirs"], "NO_PERMISSIONS")
    assert [run.id for run in search_runs(vera)] == ["mine-run"]
    assert search_runs(vera, experiments=["theirs"]) == []
    page = page_of_runs(vera, list(ids.values()), max_results=1)
    assert ([one.run.id for one in page.runs], page.next_page) == (["mine-run"], "")
    assert page_of_runs(vera, [ids["theirs"]]).runs == ()


def test_who_sees_nothing_by_role_finds_what_was_granted(home: Home, ids: dict[str, str]):
    sam = user(home, "serving")
    with pytest.raises(Denied):
        search_runs(sam)
    granted(home, sam, ids["mine"], "READ")
    assert [run.id for run in search_runs(sam)] == ["mine-run"]
    granted(home, sam, ids["mine"], "NO_PERMISSIONS")
    grant_permission(home, "vera", "experiment", "*", "READ")
    assert sam.actor.grants is not None
    sam.actor.grants.reload(home.meta)
    assert {run.id for run in search_runs(sam)} == {"mine-run", "theirs-run"}


def test_a_run_in_an_experiment_that_is_not_there_begins_one(home: Home, ids: dict[str, str]):
    vera = user(home, begins=True)
    assert create_run(vera, experiment="hers", run_id="hers-run").experiment == "hers"
    assert log_batch(vera, "hers-run", params={"a": "b"}) is None
    for act in (lambda: create_run(vera, experiment="mine"), lambda: log_batch(vera, "mine-run", params={"a": "b"})):
        with pytest.raises(Denied):
            act()


def test_a_run_that_is_not_there_is_said_not_to_be(home: Home, ids: dict[str, str]):
    vera = user(home)
    granted(home, vera, ids["mine"], "EDIT")
    for act in (get_run, resolve_run, run_detail):
        with pytest.raises(NotFound):
            act(vera, "nothing")


def test_a_data_scientist_deletes_runs_of_their_own_and_an_admin_anybodys(home: Home, ids: dict[str, str]):
    vera = user(home, "data-scientist")
    own = create_run(vera, experiment="theirs").id
    for act in (delete_run, restore_run):
        act(vera, own)
        with pytest.raises(Denied, match="run:delete-any"):
            act(vera, "theirs-run")
        act(home.as_actor(Actor("amy", "project-admin")), "theirs-run")
    grant_permission(home, "vera", "experiment", ids["theirs"], "MANAGE")
    delete_run(vera, "theirs-run")
    assert get_run(home, "theirs-run").lifecycle == "deleted"


def test_who_gets_the_name_of_a_deleted_user_has_made_none_of_their_runs(home: Home, ids: dict[str, str]):
    vera = user(home, "data-scientist")
    old = create_run(vera, experiment="theirs").id
    delete_user(home, "vera")
    assert isinstance(home.clock, SetClock)
    home.clock.pass_ms(1000)
    create_user(home, "vera", "correct horse battery", role="data-scientist")
    with home.meta.read() as tx:
        again = home.as_actor(Actor("vera", "data-scientist", grants_of(tx, read_user(tx, "vera").id)))
    with pytest.raises(Denied):
        delete_run(again, old)
    delete_run(again, create_run(again, experiment="theirs").id)
