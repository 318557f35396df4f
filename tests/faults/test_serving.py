"""Servers and deployers killed at the worst moment, and started where they cannot work."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import urllib3

from taut.deploy import find_deployment, find_state, reconcile_deployments
from taut.deploy.running import run_folder, serving_now
from taut.ground.compute import stop_process
from taut.home import Home
from taut.serve import find_answer, list_predictions
from tests.parts import eventually
from tests.serve.scenes import ROWS, Server, make_home, record, register, serving, tensors

CLIENTS = 8


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "project") as made:
        register(made)
        yield made
        for left in serving_now(run_folder(made), "late"):
            stop_process(left.handle, grace_s=0.0)


class Clients:
    """Clients that ask until nobody listens any more; what was answered, and what was sent and never answered."""

    def __init__(self, server: Server) -> None:
        self.answered: dict[str, list[Any]] = {}
        self.dropped: list[str] = []
        self._url = server.url
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)

    def _ask(self, client: int) -> None:
        with urllib3.PoolManager(maxsize=1, retries=False, timeout=20.0) as pool:
            for number in range(1_000_000):
                asked = f"{client}-{number}"
                body = msgspec.json.encode({"inputs": tensors(ROWS), "id": asked})
                try:
                    answer = pool.request("POST", f"{self._url}/v2/models/late/infer", body=body)
                except urllib3.exceptions.NewConnectionError:
                    return  # The request was never sent: nobody listens.
                except urllib3.exceptions.HTTPError as problem:
                    self.dropped.append(f"{asked}: {problem!r}")
                    return
                assert answer.status == 200, answer.data
                self.answered[asked] = msgspec.json.decode(answer.data)["outputs"][1]["data"]


def test_every_answer_is_in_the_log_though_the_server_was_killed(home: Home):
    record(home)
    with serving(home) as server:
        clients = Clients(server)
        eventually(lambda: len(clients.answered) > 200, what="traffic")
        server.process.send_signal(signal.SIGKILL)
        clients.wait()
    logged = {one.id: one.outputs["probability"] for one in list_predictions(home, "late", limit=1_000_000)}
    assert clients.answered.items() <= logged.items()
    assert len(logged) - len(clients.answered) <= CLIENTS  # At most what was written and not yet sent.


def test_sigterm_answers_every_request_that_was_sent(home: Home):
    record(home)
    with serving(home) as server:
        clients = Clients(server)
        eventually(lambda: len(clients.answered) > 200, what="traffic")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        clients.wait()
    assert clients.dropped == []
    assert serving_now(run_folder(home), "late") == []


def test_a_request_in_the_model_is_answered_before_the_server_ends(home: Home, tmp_path: Path):
    record(home)
    gate = tmp_path / "open"
    got: list[tuple[int, Any]] = []
    with serving(home) as server:
        columns = {**ROWS, "carrier": [f"hang:{gate}", "AA"]}
        client = threading.Thread(target=lambda: got.append(server.infer(columns, id="slow")))
        client.start()
        eventually(lambda: b'requests_waiting{deployment="late",model="late",version="1",revision="1"} 1'
                   in server.raw("GET", "/metrics").data, what="the request")  # fmt: skip
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not _listens(server.url), what="the closed door")
        gate.touch()
        client.join(30)
        assert server.process.wait(30) == 0
    assert got[0][0] == 200
    assert find_answer(home, "late", "slow") is not None


def _listens(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


DEPLOYER = """
import os, signal, sys
from taut.deploy import deploy_model
from taut.deploy.targets import process
from taut.home import open_home
before, spawn = sys.argv[2] == "before", process.apply

def start(*given):
    if not before:
        spawn(*given)
    os.kill(os.getpid(), signal.SIGKILL)

process.apply = start
with open_home(sys.argv[1]) as home:
    deploy_model(home, "late", model="late@1")
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_deployer_killed_around_the_start_leaves_what_the_next_round_finishes(home: Home, moment: str):
    killed = subprocess.run([sys.executable, "-c", DEPLOYER, str(home.project), moment], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert find_deployment(home, "late").revision == 1
    assert find_state(home, "late") is None
    left = [one.handle for one in serving_now(run_folder(home), "late")]
    assert len(left) == (0 if moment == "before" else 1)
    (done,) = reconcile_deployments(home)
    state = find_state(home, "late")
    assert state is not None
    assert (done.done, state.status) == ("started", "running")
    assert left in ([], [state.handle])
    assert urllib3.request("GET", f"{state.url}/v2/models/late", timeout=10.0).status == 200


def told(*arguments: str, place: str, folder: Path) -> tuple[int, list[str]]:
    """Start a server that cannot come up: its exit status and the lines it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "taut.serve", *arguments], cwd=folder, env={**os.environ, "TAUT_HOME": place},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


def test_a_port_in_use_is_two_lines(home: Home):
    record(home)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, lines = told("--deployment", "late", "--port", str(port), place=home.place, folder=home.project)
    assert status == 11
    assert lines == [
        f"taut: port {port} on 127.0.0.1 is in use", "  try: choose another with --port, or 0 for a free one"
    ]  # fmt: skip
    assert serving_now(run_folder(home), "late") == []


def test_a_missing_deployment_is_two_lines(home: Home):
    record(home)
    status, lines = told("--deployment", "lat", place=home.place, folder=home.project)
    assert status == 10
    assert lines[0] == "taut: there is no deployment 'lat'; did you mean 'late'?"
    assert len(lines) == 2


def test_a_missing_home_is_two_lines(tmp_path: Path):
    status, lines = told("--deployment", "late", place=str(tmp_path / "nowhere"), folder=tmp_path)
    assert (status, len(lines)) == (10, 2)
    assert "nowhere" in lines[0]


def test_a_revision_that_is_served_already_is_two_lines(home: Home):
    record(home)
    with serving(home):
        status, lines = told("--deployment", "late", place=home.place, folder=home.project)
    assert (status, len(lines)) == (11, 2)
    assert "revision 1 of 'late' is served already" in lines[0]


def test_a_server_whose_objects_are_damaged_does_not_serve(home: Home):
    record(home)
    for place in (home.project / ".taut" / "objects").rglob("*"):
        if place.is_file():
            place.chmod(0o600)
            place.write_bytes(b"damaged")
    status, lines = told("--deployment", "late", place=home.place, folder=home.project)
    assert (status, len(lines)) == (14, 2)
