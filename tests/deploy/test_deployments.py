"""Deployments as records, on both databases: revisions, gates, arrows and states."""

from dataclasses import replace

import pytest

from taut.deploy import (
    config_of,
    find_deployment,
    find_state,
    list_deployments,
    list_states,
    record_deployment,
    report_state,
    spec_of,
)
from taut.errors import Denied, Invalid, NotFound, Refused
from taut.ground.access import Actor
from taut.ground.ledger import Arrow, events, upstream
from taut.home import Home
from taut.project import DeploymentSpec
from taut.records import DeploymentState
from tests.deploy.recorded import CONFIG, judge


def test_the_first_deployment_is_revision_1_and_draws_its_arrow(home: Home):
    made = record_deployment(home, "late", "late", 1, "process", CONFIG, "manual")
    assert (made.revision, made.actor, made.at_ms, made.point) == (1, "ada", 1_000, "deployment:late@1")
    assert find_deployment(home, "late") == made
    with home.meta.read() as tx:
        assert Arrow("model:late@1", "serves", "deployment:late@1") in upstream(tx, "deployment:late@1")
        assert [event.kind for event in events(tx, subject="deployment:late@1")] == ["deployment.recorded"]


def test_the_same_wish_is_the_same_revision_and_another_one_the_next(home: Home):
    first = record_deployment(home, "late", "late", 1, "process", CONFIG, "manual")
    assert record_deployment(home, "late", "late", 1, "process", CONFIG, "alert:x") == first
    second = record_deployment(home, "late", "late", 2, "process", CONFIG, "alert:x")
    third = record_deployment(home, "late", "late", 2, "process", {**CONFIG, "port": 8080}, "manual")
    back = record_deployment(home, "late", "late", 1, "process", CONFIG, "manual")
    assert [second.revision, third.revision, back.revision] == [2, 3, 4]
    assert find_deployment(home, "late", 2) == second
    assert list_deployments(home) == [back]


@pytest.mark.parametrize("name", ["", "Late", "la te", "-late", "late-", "late@1", "a" * 54, "späт"])
def test_a_name_that_a_target_could_not_take_is_refused(home: Home, name: str):
    with pytest.raises(Invalid, match="cannot be called"):
        record_deployment(home, name, "late", 1, "process", CONFIG, "manual")


def test_an_unknown_version_is_not_deployed(home: Home):
    with pytest.raises(NotFound, match="no version 9"):
        record_deployment(home, "late", "late", 9, "process", CONFIG, "manual")
    assert list_deployments(home) == []


def test_a_misspelt_deployment_suggests_the_nearest(home: Home):
    record_deployment(home, "late", "late", 1, "process", CONFIG, "manual")
    with pytest.raises(NotFound, match="did you mean 'late'"):
        find_deployment(home, "lat")
    with pytest.raises(NotFound, match="it has 1 to 1"):
        find_deployment(home, "late", 2)


def test_what_passed_its_gate_goes_live_and_the_gate_is_in_its_line(home: Home):
    gate = judge(home, 1, passed=True)
    record_deployment(home, "late", "late", 1, "process", CONFIG, "manual")
    with home.meta.read() as tx:
        assert Arrow(f"gate:{gate}", "allowed", "deployment:late@1") in upstream(tx, "deployment:late@1")


def test_what_the_gate_refused_does_not_go_live(home: Home):
    judge(home, 1, passed=False)
    with pytest.raises(Refused, match="the gate refused it"):
        record_deployment(home, "late", "late", 1, "process", CONFIG, "manual")


def test_where_one_version_was_judged_every_other_must_be(home: Home):
    judge(home, 1, passed=True)
    with pytest.raises(Refused, match="not judged") as refused:
        record_deployment(home, "late", "late", 2, "process", CONFIG, "manual")
    assert refused.value.hint == "taut gate late@2"


def test_a_project_with_a_gate_asks_for_a_verdict_before_there_is_any(home: Home):
    with pytest.raises(Refused, match="not judged"):
        record_deployment(home, "late", "late", 1, "process", CONFIG, "manual", gated=True)


def test_a_spec_survives_being_stored(home: Home):
    spec = DeploymentSpec(model="late@2", target="docker", port=8080, replicas=2, memory="2Gi")
    made = record_deployment(home, "late", "late", 2, spec.target, config_of(spec), "manual")
    assert spec_of(find_deployment(home, "late")) == spec
    told = {"host": "127.0.0.1", "port": 8080, "replicas": 2, "cpu": "1", "memory": "2Gi"}
    assert made.config == told | {"image": "", "replicas_max": 0}


def test_a_viewer_may_look_and_not_deploy(home: Home):
    viewer = home.as_actor(Actor("eve", "viewer"))
    assert list_deployments(viewer) == []
    with pytest.raises(Denied):
        record_deployment(viewer, "late", "late", 1, "process", CONFIG, "manual")


def test_a_state_is_what_was_reported_last(home: Home):
    assert find_state(home, "late") is None
    first = DeploymentState("late", 1, "running", "http://127.0.0.1:1", "7:8", 5)
    assert report_state(home, first) == first
    second = replace(first, status="failed", at_ms=6)
    assert report_state(home, second) == second
    assert list_states(home) == [second]


def test_a_report_that_says_nothing_new_is_no_event(home: Home):
    first = DeploymentState("late", 1, "running", "http://127.0.0.1:1", "7:8", 5)
    report_state(home, first)
    assert report_state(home, replace(first, at_ms=9)) == first
    with home.meta.read() as tx:
        assert len(events(tx, kind="deployment.running")) == 1
