"""Versions that are tried behind an endpoint: canaries, shadows and steps of taut.yaml, on a target that only notes."""

import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from taut.deploy import (
    deploy_model,
    drop_model,
    find_deployment,
    find_state,
    go_back,
    go_live,
    list_revisions,
    promote_canary,
    reconcile_deployments,
    roll_back,
    roll_out,
    start_deployment,
    stop_deployment,
    told,
    try_model,
)
from taut.deploy import targets as table
from taut.errors import Conflict, NotFound, Refused, TautError, Unavailable
from taut.home import Home
from taut.models import set_alias
from taut.pipelines.plan import Change, apply_project, plan_project
from taut.project import DeploymentSpec, ProjectFile, RolloutSpec
from tests.deploy.recorded import Shelf
from tests.marks import slow_on_postgresql
from tests.serve.scenes import register

pytestmark = slow_on_postgresql

STEPS = DeploymentSpec(model="late@champion", rollout=RolloutSpec(steps=(5, 25, 100)))
AT_ONCE = DeploymentSpec(model="late@champion")


@pytest.fixture
def shelf(home: Home, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """The target `process`, replaced by a shelf; three versions, the first of them live."""
    made = Shelf()
    monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setattr(table, "TARGETS", MappingProxyType({**table.TARGETS, "process": made.__name__}))
    register(home, factor=0.3)
    deploy_model(home, "late", model="late@1")
    return made


def behind(home: Home) -> str:
    return told(find_deployment(home, "late").backends)


def test_a_canary_is_tried_given_more_and_given_up(home: Home, shelf: Shelf):
    assert try_model(home, "late", model="late@2", percent=5).revision == 2
    assert behind(home) == "late@1 95 %, canary late@2 5 %"
    assert try_model(home, "late", model="late@2", percent=5).revision == 2
    try_model(home, "late", model="late@2", percent=25)
    assert behind(home) == "late@1 75 %, canary late@2 25 %"
    try_model(home, "late", model="late@3", percent=10)
    assert behind(home) == "late@1 90 %, canary late@3 10 %"
    drop_model(home, "late", model="late@3", reason="enough seen")
    assert (behind(home), find_deployment(home, "late").reason) == ("late@1", "enough seen")
    assert shelf.asked == [f"start {number}" for number in (1, 2, 2, 3, 4, 5)]


def test_a_shadow_that_becomes_the_canary_is_no_shadow_any_more(home: Home, shelf: Shelf):
    try_model(home, "late", model="late@2")
    try_model(home, "late", model="late@3")
    assert try_model(home, "late", model="late@3").revision == 3
    assert behind(home) == "late@1 100 %, shadow late@2, shadow late@3"
    try_model(home, "late", model="late@2", percent=5)
    assert behind(home) == "late@1 95 %, canary late@2 5 %, shadow late@3"


def test_deploying_what_is_live_keeps_the_canary_and_another_version_takes_all(home: Home, shelf: Shelf):
    try_model(home, "late", model="late@2", percent=5)
    assert deploy_model(home, "late", model="late@1").revision == 2
    deploy_model(home, "late", model="late@1", spec=DeploymentSpec(model="late@1", port=8080))
    assert behind(home) == "late@1 95 %, canary late@2 5 %"
    deploy_model(home, "late", model="late@2")
    assert behind(home) == "late@2"


def test_what_cannot_be_tried_is_told(home: Home, shelf: Shelf):
    with pytest.raises(NotFound, match="there is no deployment 'new'"):
        try_model(home, "new", model="late@1", percent=5)
    with pytest.raises(Conflict, match="late@1 stands behind 'late' already"):
        try_model(home, "late", model="late@1", percent=5)
    with pytest.raises(Conflict, match="late@1 is live"):
        drop_model(home, "late", model="late@1")
    assert drop_model(home, "late", model="late@2").revision == 1


def test_a_version_that_does_not_come_up_is_recorded_and_started_again_later(home: Home, shelf: Shelf):
    shelf.fails = True
    with pytest.raises(Unavailable):
        try_model(home, "late", model="late@2", percent=5)
    state = find_state(home, "late")
    assert state is not None
    assert (state.revision, behind(home)) == (1, "late@1 95 %, canary late@2 5 %")
    shelf.fails = False
    (done,) = reconcile_deployments(home)
    assert (done.done, done.revision) == ("started", 2)


def test_by_steps_a_new_version_begins_with_the_first_and_is_not_begun_twice(home: Home, shelf: Shelf):
    set_alias(home, "late", "champion", 2)
    roll_out(home, "late", spec=STEPS, cause="apply")
    assert behind(home) == "late@1 95 %, canary late@2 5 %"
    try_model(home, "late", model="late@2", percent=25, spec=STEPS)
    roll_out(home, "late", spec=STEPS, cause="apply")
    assert behind(home) == "late@1 75 %, canary late@2 25 %"
    promote_canary(home, "late")
    state = roll_out(home, "late", spec=STEPS, cause="apply")
    assert (behind(home), state.revision) == ("late@2", 4)


def test_without_steps_and_for_the_first_version_it_takes_over_at_once(home: Home, shelf: Shelf):
    set_alias(home, "late", "champion", 2)
    roll_out(home, "late", spec=AT_ONCE, cause="apply")
    roll_out(home, "new", spec=STEPS, cause="apply")
    assert (behind(home), told(find_deployment(home, "new").backends)) == ("late@2", "late@2")


@pytest.mark.parametrize("spec", [STEPS, AT_ONCE])
def test_what_was_taken_back_is_not_brought_back_by_taut_yaml_but_by_name(home: Home, shelf: Shelf, spec):
    set_alias(home, "late", "champion", 2)
    roll_out(home, "late", spec=spec, cause="apply")
    start_deployment(home, roll_back(home, "late", reason="it failed").deployment)
    project = ProjectFile(deployments={"late": spec})
    for act in (lambda: roll_out(home, "late", spec=spec, cause="apply"), lambda: list(apply_project(home, project))):
        with pytest.raises(Refused, match="late@2 was taken back from 'late' in revision 3: it failed") as refused:
            act()
    assert refused.value.hint == "taut deploy late late@2, to try it all the same"
    (blocked,) = plan_project(home, project)
    assert (blocked.action, "was taken back" in blocked.text) == ("blocked", True)
    set_alias(home, "late", "champion", 3)
    assert [change.action for change in apply_project(home, project)] == ["update"]
    deploy_model(home, "late", model="late@2")
    assert behind(home) == "late@2"


def test_the_plan_of_a_deployment_with_steps(home: Home, shelf: Shelf):
    project = ProjectFile(deployments={"late": STEPS})
    set_alias(home, "late", "champion", 1)
    (config,) = apply_project(home, project)
    assert replace(config, steps=()) == Change("update", "deployment", "late", "late@1 on process -> late@1 on process")
    assert [step.text for step in config.steps] == ["revision 2"]
    assert plan_project(home, project) == []
    set_alias(home, "late", "champion", 2)
    (update,) = apply_project(home, project)
    assert update.text == "late@1 on process -> late@2 on process"
    assert plan_project(home, project) == [], "it is on its way"
    promote_canary(home, "late")
    assert plan_project(home, project) == []


def test_of_two_rollouts_at_once_one_goes_ahead_and_a_rollback_beside_them_leaves_something_whole(
    tmp_path: Path, home: Home, shelf: Shelf
):
    """Whoever comes second is told, or follows on; at the end the newest revision is what runs."""
    deploy_model(home, "late", model="late@2")
    problems: list[TautError] = []
    begin = threading.Barrier(3)

    def act(one: object) -> None:
        begin.wait(10)
        try:
            one()  # type: ignore[operator]  # One of the three below.
        except TautError as problem:
            problems.append(problem)

    acts = [
        lambda: try_model(home, "late", model="late@3", percent=5),
        lambda: try_model(home, "late", model="late@1", percent=10),
        lambda: start_deployment(home, roll_back(home, "late").deployment),
    ]
    threads = [threading.Thread(target=act, args=(one,)) for one in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all(isinstance(problem, Conflict) for problem in problems), problems
    revisions = list_revisions(home, "late")
    assert [one.revision for one in revisions] == list(range(len(revisions), 0, -1))
    assert len(revisions) >= 3
    reconcile_deployments(home)
    state = find_state(home, "late")
    assert state is not None
    assert state.revision == len(revisions)


def test_going_back_is_started_and_what_was_stopped_since_stays_stopped(home: Home, shelf: Shelf):
    deploy_model(home, "late", model="late@2")
    assert go_back(home, "late", reason="slow").changed
    assert shelf.asked[-1] == "start 3"
    stop_deployment(home, "late")
    assert not go_back(home, "late").changed
    assert shelf.asked[-1] == "stop 3"
    with pytest.raises(Conflict, match="no canary"):
        go_live(home, "late")


def test_what_was_decided_and_not_started_any_more_is_started_by_the_next_call(home: Home, shelf: Shelf):
    try_model(home, "late", model="late@2", percent=5)
    promote_canary(home, "late")  # Killed here.
    assert not go_live(home, "late").changed
    assert shelf.asked[-1] == "start 3"


def test_what_taut_yaml_leaves_out_is_not_stored_so_that_an_endpoint_of_an_older_taut_is_the_same(home, shelf):
    assert "rollout" not in find_deployment(home, "late").config
    assert deploy_model(home, "late", model="late@1", spec=DeploymentSpec(model="late@1")).revision == 1
