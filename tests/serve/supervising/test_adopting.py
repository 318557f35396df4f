"""Another revision in the place of the one that serves: side by side until it answers, and whatever dies on the way."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from taut.deploy import deploy_model, find_deployment, find_state, reconcile_deployments, stop_deployment
from taut.deploy.running import FrontState, Serving, run_folder, serving_now
from taut.deploy.targets import process
from taut.errors import Conflict, Unavailable
from taut.ground.compute import is_alive, stop_process
from taut.home import Home
from taut.models import register_folder
from taut.project import DeploymentSpec
from taut.records import Deployment, DeploymentState
from tests.parts import eventually, free_port
from tests.serve.scenes import Obedient, make_home, register, save_model
from tests.serve.supervising.scenes import gone, infer, pid_of

TWO = DeploymentSpec(model="late", workers=2)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "project") as made:
        register(made)
        register(made, factor=0.2)
        yield made
        for left in serving_now(run_folder(made), "late"):
            stop_process(left.handle, grace_s=0.0)
            for front in left.fronts:
                stop_process(front.handle, grace_s=0.0)


def deployed(home: Home, number: int, workers: int = 2) -> DeploymentState:
    spec = DeploymentSpec(model=f"late@{number}", workers=workers)
    return deploy_model(home, "late", model=f"late@{number}", spec=spec)


def serving(home: Home) -> Serving:
    (found,) = serving_now(run_folder(home), "late")
    return found


class Gated:
    """A model that is loaded once a file is there; `dies` says that it ends its process then."""

    def __init__(self, gate: Path, *, dies: bool = False) -> None:
        self.gate, self.dies = str(gate), dies

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self.gate, self.dies)


def _opened(gate: str, dies: bool) -> Obedient:
    import os
    import time
    from pathlib import Path

    while not Path(gate).exists():
        time.sleep(0.01)
    if dies:
        os.abort()
    return Obedient(0.3)


cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_another_revision_takes_over_in_place_and_the_older_fronts_are_gone(home: Home):
    before = deployed(home, 1)
    old = serving(home).fronts
    after = deployed(home, 2)
    assert (after.handle, after.url, after.revision) == (before.handle, before.url, 2)
    new = serving(home)
    assert {front.revision for front in new.fronts} == {2}
    assert (new.revision, gone(old), len(new.fronts)) == (2, True, 2)


@pytest.mark.slow
def test_the_number_of_fronts_changes_in_place(home: Home):
    before = deployed(home, 1, workers=1)
    assert len(serving(home).fronts) == 1
    after = deployed(home, 1, workers=2)
    assert (after.handle, after.revision, len(serving(home).fronts)) == (before.handle, 2, 2)


@pytest.mark.slow
def test_another_port_takes_another_supervisor(home: Home):
    before = deployed(home, 1, workers=1)
    spec = DeploymentSpec(model="late@1", workers=1, port=free_port())
    (change, end) = process.plan(home, find_next(home), spec)
    assert (change.action, end.action) == ("start", "end")
    after = deploy_model(home, "late", model="late@1", spec=spec)
    assert after.url.endswith(f":{spec.port}")
    assert after.handle != before.handle and not is_alive(before.handle)


def find_next(home: Home) -> Deployment:
    """The revision that would be recorded next."""
    now = find_deployment(home, "late")
    return replace(now, revision=now.revision + 1)


def test_a_plan_says_what_applying_does_and_nothing_afterwards(home: Home):
    spec = DeploymentSpec(model="late@1", workers=2)
    state = deployed(home, 1)
    now = find_deployment(home, "late")
    assert process.plan(home, now, spec) == ()
    (change,) = process.plan(home, find_next(home), spec)
    assert change.what == f"process {state.handle.partition(':')[0]}"
    assert change.text == f"revision 2 in the place of 1, 2 fronts at {state.url}"
    assert process.apply(home, now, spec).handle == state.handle
    stop_deployment(home, "late")
    (start,) = process.plan(home, now, spec)
    assert (start.action, start.text) == (
        "start", "revision 1, 2 fronts at 127.0.0.1, on its last port or a free one"
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("ends", ["killed", "aborts"])
def test_a_revision_that_does_not_come_up_leaves_the_older_one_in_peace(home: Home, tmp_path: Path, ends: str):
    before = deployed(home, 1)
    old = serving(home).fronts
    gate = tmp_path / "gate"
    register_folder(home, "late", save_model(tmp_path / "gated", Gated(gate, dies=True)))
    problems: list[BaseException] = []
    deployer = threading.Thread(target=_deployed_or, args=(home, 3, problems))
    deployer.start()
    coming = eventually(lambda: _loading(home), what="the coming fronts")
    assert infer(before.url) == 200
    if ends == "killed":
        os.kill(pid_of(coming[0]), signal.SIGKILL)
    else:
        gate.touch()
    deployer.join(60)
    (problem,) = problems
    assert isinstance(problem, Unavailable)
    why = "a front ended while it loaded: signal" if ends == "killed" else "was ended by SIGABRT"
    assert problem.message.startswith("deployment:late@2 did not come up: ")
    assert why in problem.message
    eventually(lambda: gone(coming) and serving(home).fronts == old, what="the end of the coming fronts")
    assert infer(before.url) == 200
    assert find_state(home, "late") == before
    assert (serving(home).revision, serving(home).workers) == (1, 2)


@pytest.mark.slow
def test_a_supervisor_killed_while_it_changes_is_followed_by_another(home: Home, tmp_path: Path):
    before = deployed(home, 1)
    gate = tmp_path / "gate"
    register_folder(home, "late", save_model(tmp_path / "gated", Gated(gate)))
    states: list[DeploymentState] = []
    deployer = threading.Thread(target=lambda: states.append(deployed(home, 3)))
    deployer.start()
    coming = eventually(lambda: _loading(home), what="the coming fronts")
    os.kill(int(before.handle.partition(":")[0]), signal.SIGKILL)
    eventually(lambda: gone(coming), what="the end of the coming fronts")
    gate.touch()
    deployer.join(120)
    (after,) = states
    assert (after.revision, after.url, after.handle != before.handle) == (2, before.url, True)
    assert infer(after.url) == 200
    assert [one.handle for one in serving_now(run_folder(home), "late")] == [after.handle]


@pytest.mark.slow
def test_a_deployer_killed_while_it_waits_leaves_a_change_that_is_finished(home: Home, tmp_path: Path):
    before = deployed(home, 1)
    gate = tmp_path / "gate"
    register_folder(home, "late", save_model(tmp_path / "gated", Gated(gate)))
    command = [sys.executable, "-m", "taut", "deploy", "late", "--model", "late@3", "--workers", "2"]
    deployer = subprocess.Popen(command, cwd=home.project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: _loading(home), what="the coming fronts")
    deployer.kill()
    deployer.wait(10)
    gate.touch()
    eventually(lambda: serving(home).revision == 2 and len(serving(home).fronts) == 2, what="the change")
    assert find_state(home, "late") == before, "nobody was left to report it"
    (done,) = reconcile_deployments(home)
    assert (done.done, done.revision, done.url) == ("started", 2, before.url)
    state = find_state(home, "late")
    assert state is not None and state.handle == before.handle


@pytest.mark.slow
def test_two_who_deploy_different_versions_at_once_end_with_the_newest_revision(home: Home):
    deployed(home, 1)
    ends: list[object] = []

    def deploy(number: int) -> None:
        try:
            ends.append(deployed(home, number).revision)
        except (Conflict, Unavailable) as problem:
            ends.append(problem)

    threads = [threading.Thread(target=deploy, args=(number,)) for number in (2, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(ends) == 3
    reconcile_deployments(home)
    newest = find_deployment(home, "late").revision
    assert [(one.revision, len(one.fronts)) for one in serving_now(run_folder(home), "late")] == [(newest, 2)]
    state = find_state(home, "late")
    assert state is not None and (state.revision, state.status) == (newest, "running")


def _deployed_or(home: Home, number: int, problems: list[BaseException]) -> None:
    try:
        deployed(home, number)
    except Unavailable as problem:
        problems.append(problem)


def _loading(home: Home) -> tuple[FrontState, ...]:
    """The fronts of revision 2, both of them, which wait for their model."""
    found = [front for one in serving_now(run_folder(home), "late") for front in one.fronts if front.revision == 2]
    return tuple(found) if len(found) == 2 else ()
