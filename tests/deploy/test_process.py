"""Deployments as processes: rollouts lose nothing, what died comes back, what is stale goes."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import urllib3

from taut.deploy import (
    deploy_model,
    deployment_logs,
    find_state,
    reconcile_deployments,
    record_deployment,
    report_state,
    stop_deployment,
)
from taut.deploy.running import run_folder, serving_now
from taut.deploy.targets import load_target, process
from taut.errors import NotFound, Unavailable, UsageError
from taut.ground.compute import is_alive, start_detached, stop_process
from taut.home import Home
from taut.project import DeploymentSpec
from taut.records import DeploymentState
from taut.serve import list_predictions
from tests.parts import eventually
from tests.serve.scenes import ROWS, make_home, register, tensors


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home with three versions of a model; whatever serves at the end is stopped."""
    with make_home(tmp_path / "project") as made:
        for factor in (0.1, 0.2, 0.3):
            register(made, factor=factor)
        yield made
        for name in ("late", "other"):
            for left in serving_now(run_folder(made), name):
                stop_process(left.handle, grace_s=0.0)


def infer(url: str, request_id: str = "", pool: urllib3.PoolManager | None = None) -> dict[str, object]:
    body = msgspec.json.encode({"inputs": tensors(ROWS), "id": request_id})
    send = (pool or urllib3).request
    answer = send("POST", f"{url}/v2/models/late/infer", body=body, timeout=20.0, retries=False)
    assert answer.status == 200, answer.data
    found: dict[str, object] = msgspec.json.decode(answer.data)
    return found


def pid_of(state: DeploymentState) -> int:
    return int(state.handle.partition(":")[0])


def alive(home: Home) -> list[int]:
    return [one.revision for one in serving_now(run_folder(home), "late")]


def test_a_deployment_answers_when_deploying_returns(home: Home):
    state = deploy_model(home, "late", model="late@1")
    assert (state.revision, state.status) == (1, "running")
    assert infer(state.url)["model_version"] == "1"
    assert find_state(home, "late") == state
    assert process.status(home, state).status == "running"
    assert "answers at" in deployment_logs(home, "late")


def test_deploying_the_same_again_changes_nothing(home: Home):
    first = deploy_model(home, "late", model="late@1")
    assert deploy_model(home, "late", model="late@1") == first


class Hammer:
    """Clients that ask all the time, half of them on kept connections; every answer and failure is written down."""

    def __init__(self, url: str, clients: int = 6) -> None:
        self.url = url
        self.versions: list[str] = []
        self.ids: list[str] = []
        self.failures: list[str] = []
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def __enter__(self) -> "Hammer":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(30)

    def go_on(self, answers: int) -> None:
        """Wait for so many more answers."""
        before = len(self.versions)
        eventually(lambda: len(self.versions) > before + answers, what="traffic")

    def _ask(self, number: int) -> None:
        kept = urllib3.PoolManager(maxsize=1, retries=False)
        asked = 0
        while not self._done.is_set():
            asked += 1
            # A fresh pool is a fresh connection: the one that a rollout could refuse or reset.
            with urllib3.PoolManager(maxsize=1, retries=False) as fresh:
                try:
                    answer = infer(self.url, f"{number}-{asked}", kept if number % 2 else fresh)
                except (urllib3.exceptions.HTTPError, AssertionError) as problem:
                    self.failures.append(repr(problem))
                else:
                    self.versions.append(str(answer["model_version"]))
                    self.ids.append(str(answer["id"]))
        kept.clear()


def test_three_rollouts_under_load_lose_no_request_and_no_log_entry(home: Home):
    state = deploy_model(home, "late", model="late@1")
    with Hammer(state.url) as hammer:
        for number in (2, 3, 1):
            hammer.go_on(20)
            after = deploy_model(home, "late", model=f"late@{number}")
            assert after.url == state.url
            assert after.handle == state.handle, "the supervisor changes its fronts in place"
            (serving,) = serving_now(run_folder(home), "late")
            assert {front.revision for front in serving.fronts} == {after.revision}, "the older fronts must be gone"
            state = after
    assert hammer.failures == []
    assert {"1", "2", "3"} == set(hammer.versions)
    logged = {one.id for one in list_predictions(home, "late", limit=1_000_000)}
    assert set(hammer.ids) == logged
    assert alive(home) == [4]


def test_a_killed_server_is_started_again_at_the_same_url(home: Home):
    state = deploy_model(home, "late", model="late@1")
    os.kill(pid_of(state), signal.SIGKILL)
    eventually(lambda: not is_alive(state.handle), what="its end")
    assert process.status(home, state).status == "failed"
    (done,) = reconcile_deployments(home)
    assert (done.done, done.url) == ("started", state.url)
    assert infer(state.url)["model_version"] == "1"


def test_what_lives_is_adopted_and_left_alone(home: Home):
    state = deploy_model(home, "late", model="late@1")
    (done,) = reconcile_deployments(home)
    assert done.done == "kept"
    assert find_state(home, "late") == state


def test_a_deployer_killed_before_it_started_anything_is_finished_by_the_next(home: Home):
    record_deployment(home, "late", "late", 1, "process", {"host": "127.0.0.1", "port": 0}, "manual")
    assert find_state(home, "late") is None
    (done,) = reconcile_deployments(home)
    assert done.done == "started"
    assert infer(done.url)["model_version"] == "1"


def test_a_deployer_killed_before_it_reported_leaves_a_server_that_is_adopted(home: Home):
    first = deploy_model(home, "late", model="late@1")
    second = record_deployment(home, "late", "late", 2, "process", {"host": "127.0.0.1", "port": 0}, "manual")
    started = process.apply(home, second, DeploymentSpec(model="late@2"))
    assert find_state(home, "late") == first
    (done,) = reconcile_deployments(home)
    state = find_state(home, "late")
    assert state is not None
    assert (done.done, state.handle, state.revision) == ("started", started.handle, 2)


def test_a_stale_process_of_an_older_revision_is_ended(home: Home, spawned: Callable[[int], str]):
    record_deployment(home, "late", "late", 1, "process", {"host": "127.0.0.1", "port": 0}, "manual")
    old = spawned(1)
    record_deployment(home, "late", "late", 2, "process", {"host": "127.0.0.1", "port": 0}, "manual")
    new = spawned(2)
    assert alive(home) == [2, 1]
    reconcile_deployments(home)
    assert alive(home) == [2]
    assert is_alive(new) and not is_alive(old)


@pytest.fixture
def spawned(home: Home) -> Callable[[int], str]:
    """Start a serving process as a deployer does that is killed right afterwards; its handle, when it answers."""

    def spawn(revision: int) -> str:
        command = [sys.executable, "-m", "taut.serve", "--deployment", "late", "--revision", str(revision)]
        handle = start_detached(
            command, log=home.project / "spawned.log", folder=home.project, environment={"TAUT_HOME": home.place}
        )
        folder = run_folder(home)
        eventually(lambda: any(s.url for s in serving_now(folder, "late") if s.handle == handle), what="the server")
        return handle

    return spawn


def test_a_server_that_hangs_is_replaced(home: Home, monkeypatch: pytest.MonkeyPatch):
    state = deploy_model(home, "late", model="late@1")
    os.kill(pid_of(state), signal.SIGSTOP)
    monkeypatch.setattr(process, "ANSWER_WITHIN_S", 0.3)
    reconcile_deployments(home)
    found = find_state(home, "late")
    assert found is not None
    assert found.handle != state.handle
    assert not is_alive(state.handle)
    assert infer(found.url)["model_version"] == "1"


def test_a_stopped_deployment_stays_stopped_until_it_is_deployed_again(home: Home):
    state = deploy_model(home, "late", model="late@1")
    assert stop_deployment(home, "late").status == "stopped"
    assert alive(home) == []
    assert reconcile_deployments(home)[0].done == "kept"
    assert alive(home) == []
    again = deploy_model(home, "late", model="late@1")
    assert (again.status, again.url, again.revision) == ("running", state.url, 1)


def test_whoever_is_killed_while_stopping_leaves_what_the_next_one_ends(home: Home):
    state = deploy_model(home, "late", model="late@1")
    report_state(home, DeploymentState("late", 1, "stopped", state.url, state.handle, 1))
    assert alive(home) == [1]
    reconcile_deployments(home)
    assert alive(home) == []


def test_a_taken_port_is_told_in_the_words_of_the_server(home: Home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable) as refused:
            deploy_model(home, "late", model="late@1", spec=DeploymentSpec(model="late@1", port=port))
    assert f"port {port} on 127.0.0.1 is in use" in refused.value.message
    assert alive(home) == []


def test_a_model_that_is_damaged_keeps_the_old_revision_serving(home: Home):
    state = deploy_model(home, "late", model="late@1")
    for place in (home.project / ".taut" / "objects").rglob("*"):
        if place.is_file():
            place.chmod(0o600)
            place.write_bytes(b"damaged")
    with pytest.raises(Unavailable, match="did not come up"):
        deploy_model(home, "late", model="late@2")
    assert infer(state.url)["model_version"] == "1"
    assert [one.done for one in reconcile_deployments(home)] == ["failed"]
    assert infer(state.url)["model_version"] == "1"


def test_one_deployment_that_cannot_start_does_not_keep_the_others_down(home: Home):
    config: dict[str, str | int | float | bool] = {"host": "203.0.113.7", "port": 0}  # An address of nobody.
    record_deployment(home, "other", "late", 1, "process", config, "manual")
    record_deployment(home, "late", "late", 1, "process", {"host": "127.0.0.1", "port": 0}, "manual")
    late, other = reconcile_deployments(home)
    assert (late.deployment, late.done) == ("late", "started")
    assert (other.deployment, other.done) == ("other", "failed")
    assert "203.0.113.7" in other.problem


def test_an_unknown_target_is_refused_before_anything_is_recorded(home: Home):
    with pytest.raises(UsageError, match="process, docker, kubernetes"):
        load_target("mainframe")


def test_logs_of_nothing_are_empty_and_of_nobody_an_error(home: Home):
    record_deployment(home, "late", "late", 1, "process", {"host": "127.0.0.1", "port": 0}, "manual")
    assert deployment_logs(home, "late") == ""
    with pytest.raises(NotFound):
        deployment_logs(home, "lat")
