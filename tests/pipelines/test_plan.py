"""`plan` and `apply`: each kind of change is seen, said and made; made once, there is nothing left to change."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from taut.deploy import find_deployment, find_state, list_deployments, stop_deployment
from taut.deploy.targets import Step
from taut.errors import Invalid, NotFound, Refused, TautError
from taut.home import Home, open_home
from taut.models import record_gate, set_alias
from taut.pipelines.plan import Change, apply_project, begin_watching, plan_project
from taut.project import DeploymentSpec, GateSpec, ModelSpec, MonitorSpec, ProjectFile, read_project
from taut.records import GateCheck
from taut.watch import find_reference, list_references
from tests.pipelines.scenes import PROJECT, first_model, write_project
from tests.serve.scenes import register

LATE = DeploymentSpec(model="late@champion")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A project with two registered versions of a model, the first of them the champion; nothing is deployed."""
    write_project(tmp_path / "project")
    (tmp_path / "project" / "taut.yaml").unlink()  # Its gate would have to let each version pass first.
    with open_home(tmp_path / "project") as opened:
        for factor in (0.1, 0.2):
            register(opened, factor=factor)
        set_alias(opened, "late", "champion", 1)
        yield opened
        for deployment in list_deployments(opened):
            stop_deployment(opened, deployment.name)


def wanted(spec: DeploymentSpec = LATE, **monitors: MonitorSpec) -> ProjectFile:
    return ProjectFile(deployments={"late": spec}, monitors=monitors)


def test_nothing_wanted_is_nothing_to_do(home):
    assert plan_project(home, ProjectFile()) == []
    assert list(apply_project(home, ProjectFile())) == []


def test_what_is_not_there_is_created_and_then_nothing_is_left_to_do(home):
    step = Step("start", "process", "revision 1, a front for each core at 127.0.0.1, on its last port or a free one")
    assert plan_project(home, wanted()) == [Change("create", "deployment", "late", "late@1 on process", (step,))]
    assert [change.action for change in apply_project(home, wanted())] == ["create"]
    state = find_state(home, "late")
    assert state is not None
    assert urllib3.request("GET", f"{state.url}/v2/health/ready", timeout=10.0).status == 200
    assert plan_project(home, wanted()) == []
    assert list(apply_project(home, wanted())) == []
    assert find_deployment(home, "late").revision == 1


def test_what_was_stopped_is_started_and_what_moved_is_updated(home):
    list(apply_project(home, wanted()))
    stop_deployment(home, "late")
    (change,) = plan_project(home, wanted())
    assert (change.action, change.text, len(change.steps)) == ("start", "late@1 on process is stopped", 1)
    set_alias(home, "late", "champion", 2)
    (change,) = plan_project(home, wanted())
    assert (change.action, change.text) == ("update", "late@1 on process -> late@2 on process")
    list(apply_project(home, wanted()))
    assert (find_deployment(home, "late").number, find_deployment(home, "late").revision) == (2, 2)
    set_alias(home, "late", "champion", 1)
    (change,) = plan_project(home, wanted())
    assert [(step.action, step.text.partition(",")[0]) for step in change.steps] == [
        ("change", "revision 3 in the place of 2")
    ]
    assert [change.action for change in apply_project(home, wanted())] == ["update"]
    assert (find_deployment(home, "late").number, find_deployment(home, "late").revision) == (1, 3)
    assert plan_project(home, wanted()) == []


def test_a_plan_changes_nothing(home):
    before = sorted(str(path) for path in home.project.rglob("*"))
    plan_project(home, wanted(late=MonitorSpec()))
    assert list_deployments(home) == []
    assert sorted(str(path) for path in home.project.rglob("*")) == before


@pytest.mark.parametrize("model", ["late@7", "late@nobody", "lat@champion", "other"])
def test_a_model_that_is_not_there_blocks_and_nothing_is_deployed(home, model):
    project = wanted(DeploymentSpec(model=model))
    (change,) = plan_project(home, project)
    assert (change.action, change.name) == ("blocked", "late")
    with pytest.raises(NotFound, match="late") as told:
        list(apply_project(home, project))
    assert told.value.message == change.text
    assert told.value.hint in ("taut model show late", "taut model list")
    assert list_deployments(home) == []


def test_a_name_that_no_deployment_may_have_blocks(home):
    project = ProjectFile(deployments={"Late_1": LATE})
    (change,) = plan_project(home, project)
    assert (change.action, change.name) == ("blocked", "Late_1")
    with pytest.raises(Invalid, match="cannot be called 'Late_1'"):
        list(apply_project(home, project))


@pytest.mark.parametrize("passed", [None, False])
def test_what_the_gate_would_refuse_is_planned_so_and_refused(home, passed):
    gated = {"late": ModelSpec(gate=GateSpec(data="data/holdout.csv", target="late"))}
    project = ProjectFile(models=gated, deployments={"late": LATE}, monitors={"late": MonitorSpec()})
    if passed is not None:
        record_gate(home, "late", 1, checks=[GateCheck("brier", passed, 0.3, 0.2, "0.3, wanted at most 0.2")])
    deployment, monitor = plan_project(home, project)
    words = "it was not judged by its gate" if passed is None else "the gate refused it"
    assert deployment == Change("blocked", "deployment", "late", f"late@1 may not be deployed: {words}")
    assert monitor == Change("blocked", "monitor", "late", "its deployment is blocked")
    with pytest.raises(Refused, match=words) as told:
        list(apply_project(home, project))
    assert told.value.hint == ("taut gate late@1" if passed is None else "taut model show late@1")
    assert list_deployments(home) == []
    assert list_references(home, "late") == []


def test_a_version_that_the_gate_refused_does_not_take_over_and_the_plan_says_so(home):
    list(apply_project(home, wanted()))
    record_gate(home, "late", 2, checks=[GateCheck("brier", False, 0.3, 0.2, "0.3, wanted at most 0.2")])
    refused = wanted(DeploymentSpec(model="late@2"))
    (change,) = plan_project(home, refused)
    assert (change.action, change.text) == ("blocked", "late@2 may not be deployed: the gate refused it")
    with pytest.raises(Refused):
        list(apply_project(home, refused))
    assert (find_deployment(home, "late").number, plan_project(home, wanted())) == (1, [])


def test_one_that_is_blocked_does_not_keep_the_others_from_it(home):
    absent = DeploymentSpec(model="nobody@1")
    project = ProjectFile(
        deployments={"first": absent, "late": LATE, "last": absent}, monitors={"first": MonitorSpec()}
    )
    planned = plan_project(home, project)
    assert [(change.name, change.action) for change in planned] == [
        ("first", "blocked"), ("late", "create"), ("last", "blocked"), ("first", "blocked"),
    ]  # fmt: skip
    done = list[Change]()
    with pytest.raises(NotFound, match="no model 'nobody'"):
        done.extend(apply_project(home, project))
    assert done == [change for change in planned if change.action != "blocked"]
    assert plan_project(home, project) == [change for change in planned if change.action == "blocked"]


def test_what_fails_on_its_target_is_told_after_the_rest_and_is_not_watched(tmp_path):
    text = PROJECT.replace("late: {model: late@champion}", "late: {model: late@champion, host: 192.0.2.1}")
    text = text.replace("deployments:\n", "deployments:\n  other: {model: late@champion}\n")
    write_project(tmp_path / "project", text)
    with open_home(tmp_path / "project") as home:
        first_model(home)
        project = read_project(home.project)
        done = list[Change]()
        try:
            with pytest.raises(TautError, match=r"192\.0\.2\.1"):
                done.extend(apply_project(home, project))
            assert [change.name for change in done] == ["other"]
            assert list_references(home, "late") == []
        finally:
            for name in ("late", "other"):
                stop_deployment(home, name)


def test_a_monitor_of_nothing_is_blocked(home):
    project = ProjectFile(monitors={"absent": MonitorSpec()})
    assert [(change.action, change.kind) for change in plan_project(home, project)] == [("blocked", "monitor")]
    with pytest.raises(NotFound, match="absent"):
        list(apply_project(home, project))
    with pytest.raises(NotFound, match="does not deploy"):
        begin_watching(home, project, "absent")


def test_a_monitor_without_a_gate_has_no_rows_to_start_from(home):
    project = wanted(late=MonitorSpec())
    assert plan_project(home, project)[1].text == "taut.yaml has no gate for model 'late'"
    with pytest.raises(NotFound, match="no gate for model 'late'"):
        begin_watching(home, project, "late")


def test_a_monitor_whose_gates_rows_are_not_there_is_blocked(home):
    gated = {"late": ModelSpec(gate=GateSpec(data="data/nowhere.csv", target="late"))}
    record_gate(home, "late", 1, checks=[GateCheck("brier", True, 0.1, 0.2, "0.1, wanted at most 0.2")])
    project = ProjectFile(models=gated, deployments={"late": LATE}, monitors={"late": MonitorSpec()})
    create, watch = plan_project(home, project)
    assert (create.action, watch.action) == ("create", "blocked")
    assert watch.text == "the gate of 'late' has no file data/nowhere.csv"


def test_a_change_of_the_size_is_a_change(home):
    from taut.deploy import config_of, record_deployment

    record_deployment(home, "late", "late", 1, "process", config_of(LATE), "manual")
    (start,) = plan_project(home, wanted())
    assert (start.action, start.text) == ("start", "late@1 on process is not started")
    (update,) = plan_project(home, wanted(DeploymentSpec(model="late@1", memory="2Gi")))
    assert update.action == "update"


def test_apply_deploys_and_watches_what_taut_yaml_says(tmp_path):
    write_project(tmp_path / "project")
    with open_home(tmp_path / "project") as home:
        first_model(home)
        project = read_project(home.project)
        try:
            planned = [(change.action, change.kind) for change in plan_project(home, project)]
            assert planned == [("create", "deployment"), ("watch", "monitor")]
            assert [(change.action, change.kind) for change in apply_project(home, project)] == planned
            reference = find_reference(home, "late")
            assert (reference.number, reference.version, reference.cause) == (1, 1, "deployed")
            assert plan_project(home, project) == []
        finally:
            stop_deployment(home, "late")
    assert "window: 1d" in PROJECT
