"""Making it so: gates that a project asks for, deployers side by side, a deployment that moves to another target."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from taut.deploy import deploy_model, find_state, list_deployments, reconcile_deployments, stop_deployment
from taut.deploy import targets as table
from taut.deploy.running import run_folder, serving_now
from taut.deploy.targets import Target, docker, kubernetes, load_target, process
from taut.errors import Invalid, NotFound, Refused, TautError, Unavailable
from taut.ground.compute import stop_process
from taut.home import Home
from taut.models import record_gate
from taut.project import read_project
from taut.records import DeploymentState, GateCheck
from tests.deploy.recorded import Shelf
from tests.serve.scenes import make_home, register

GATE = "models:\n  late:\n    gate: {data: holdout.csv, target: late}\n"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "project") as made:
        for factor in (0.1, 0.2):
            register(made, factor=factor)
        yield made
        for left in serving_now(run_folder(made), "late"):
            stop_process(left.handle, grace_s=0.0)


@pytest.mark.parametrize("module", [process, docker, kubernetes])
def test_every_target_keeps_the_protocol(module: Target):
    assert all(callable(getattr(module, name)) for name in ("plan", "apply", "status", "remove"))
    assert module in [load_target(name) for name in table.TARGETS]


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """The target `docker`, replaced by a shelf."""
    made = Shelf()
    monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setattr(table, "TARGETS", MappingProxyType({**table.TARGETS, "docker": made.__name__}))
    return made


def test_a_deployment_that_moves_to_another_target_leaves_nothing_on_the_old_one(home: Home, shelf: Shelf):
    deploy_model(home, "late", model="late@1", target="docker")
    state = deploy_model(home, "late", model="late@1", target="process")
    assert state.revision == 2
    assert shelf.asked == ["start 1", "stop 1"]
    deploy_model(home, "late", model="late@1", target="docker")
    assert serving_now(run_folder(home), "late") == []
    assert find_state(home, "late") == DeploymentState("late", 3, "running", "http://shelf", "box", 1)


def test_a_target_that_fails_leaves_the_state_as_it_was(home: Home, shelf: Shelf):
    before = deploy_model(home, "late", model="late@1", target="docker")
    shelf.fails = True
    with pytest.raises(Unavailable, match="full"):
        deploy_model(home, "late", model="late@2", target="docker")
    assert find_state(home, "late") == before
    (done,) = reconcile_deployments(home)
    assert (done.done, done.problem, done.revision) == ("failed", "the shelf is full", 2)


def test_a_project_that_asks_for_a_gate_gets_one(home: Home, shelf: Shelf):
    (home.project / "taut.yaml").write_text(GATE)
    with pytest.raises(Refused, match="not judged") as refused:
        deploy_model(home, "late", model="late@1", target="docker")
    assert refused.value.hint == "taut gate late@1"
    assert (list_deployments(home), shelf.asked) == ([], [])
    record_gate(home, "late", 1, checks=[GateCheck("brier", True, 0.1, 0.2, "a sentence")])
    assert deploy_model(home, "late", model="late@1", target="docker").revision == 1


@pytest.mark.parametrize(
    ("name", "model", "target", "kind"),
    [
        ("late", "lat@1", "process", NotFound), ("late", "late@9", "process", NotFound),
        ("late", "late@1", "mainframe", TautError), ("La te", "late@1", "process", Invalid),
    ],
)  # fmt: skip
def test_a_wish_that_cannot_be_is_not_recorded(home: Home, name: str, model: str, target: str, kind: type[TautError]):
    with pytest.raises(kind):
        deploy_model(home, name, model=model, target=target)
    assert list_deployments(home) == []


def test_stopping_what_never_came_up_is_no_error(home: Home, shelf: Shelf):
    shelf.fails = True
    with pytest.raises(Unavailable):
        deploy_model(home, "late", model="late@1", target="docker")
    assert stop_deployment(home, "late").status == "stopped"
    shelf.fails = False
    assert [one.done for one in reconcile_deployments(home)] == ["kept"]
    assert "start 1" not in shelf.asked[1:]


def test_deployers_side_by_side_end_with_one_server(home: Home):
    states: list[DeploymentState] = []
    threads = [
        threading.Thread(target=lambda: states.append(deploy_model(home, "late", model="late@1"))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(states) == 3
    assert len({(state.handle, state.url, state.revision) for state in states}) == 1
    assert [one.revision for one in serving_now(run_folder(home), "late")] == [1]


def test_a_project_file_says_how_a_version_takes_over(tmp_path: Path):
    text = "deployments:\n  late: {model: late@champion, rollout: {steps: [5, 25, 100], rollback: {errors: 0.02}}}\n"
    (tmp_path / "taut.yaml").write_text(text)
    spec = read_project(tmp_path).deployments["late"].rollout
    assert spec is not None
    assert (spec.steps, spec.hold, spec.rollback.errors, spec.rollback.alpha) == ((5, 25, 100), "10min", 0.02, 0.01)
    for wrong, says in (
        ("[5, 25, 100]", "[25, 5]"), ("[5, 25, 100]", "[5, 5]"), ("[5, 25, 100]", "[0, 5]"), ("[5, 25, 100]", "[101]"),
        ("errors: 0.02", "errors: 2"), ("errors: 0.02", "alpha: 0"), ("errors: 0.02", "latency_ms: -1"),
        ("errors: 0.02", "eerrors: 1"), ("rollback: {", "hold: 10m, rollback: {"),
        ("rollback:", "requests: -1, rollback:"),
    ):  # fmt: skip
        (tmp_path / "taut.yaml").write_text(text.replace(wrong, says))
        with pytest.raises(Invalid, match=r"taut\.yaml:2:"):
            read_project(tmp_path)
