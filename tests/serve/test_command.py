"""The commands that serve and ask, typed at a real shell."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from taut.home import Home
from taut.serve import traffic
from tests.parts import eventually, free_port
from tests.serve.scenes import ROWS, Server, make_home, record, register

TAUT = [sys.executable, "-m", "taut"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "project") as made:
        register(made)
        yield made


def typed(home: Home, arguments: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TAUT, *arguments], cwd=home.project, input=given, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def server(home: Home) -> Iterator[Server]:
    """`taut serve late@1`, in a process as a terminal starts it."""
    port, log = free_port(), home.project / "served.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*TAUT, *["serve", "late@1", "--port", str(port)]], cwd=home.project, stdout=output, stderr=output
        )
    started = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        eventually(lambda: _is_ready(started), what="the server")
        yield started
    finally:
        process.kill()
        process.wait(10)


def _is_ready(server: Server) -> bool:
    import urllib3

    assert server.process.poll() is None, server.log.read_text()
    try:
        return server.ask("GET", "/v2/health/ready")[0] == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_a_model_is_served_in_a_terminal_without_a_log(home: Home, server: Server):
    status, answer = server.infer(id="mine")
    assert (status, answer["id"], answer["model_version"]) == (200, "mine", "1")
    assert answer["outputs"][1]["data"] == [0.25 + 0.01, 0.4 + 0.02]
    assert traffic(home, "late").requests == 0
    status, answer = server.ask("POST", "/v2/models/late/labels", {"labels": {"mine.0": 1}})
    assert (status, "remembers no predictions" in answer["error"]) == (404, True)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 0
    assert "Traceback" not in server.log.read_text()


def test_a_deployment_is_asked_from_a_pipe_and_from_a_file(home: Home):
    assert typed(home, ["deploy", "late", "--model", "late@1"]).returncode == 0
    try:
        asked = typed(home, ["predict", "late", "--input", "-", "--id", "pipe"], msgspec.json.encode(ROWS).decode())
        assert asked.stdout.splitlines() == [
            "pipe.0  prediction 0, probability 0.26", "pipe.1  prediction 0, probability 0.42"
        ]  # fmt: skip
        (home.project / "rows.csv").write_text("delay,seats,carrier\n2.5,10,UA\n4.0,20,AA\n")
        again = typed(home, ["predict", "late", "--input", "rows.csv", "--id", "pipe", "--json"])
        assert msgspec.json.decode(again.stdout)["outputs"]["probability"] == [0.25 + 0.01, 0.4 + 0.02]
        assert traffic(home, "late").requests == 1
        wrong = typed(home, ["predict", "lat", "--input", "rows.csv"])
        assert (wrong.returncode, len(wrong.stderr.splitlines())) == (10, 2)
        assert "did you mean 'late'" in wrong.stderr
    finally:
        stopped = typed(home, ["deploy", "late", "--stop", "--json"])
    assert msgspec.json.decode(stopped.stdout)["status"] == "stopped"


@pytest.mark.parametrize("what", [["late@1"], pytest.param(["--deployment", "late"], marks=pytest.mark.slow)])
def test_serving_at_a_taken_port_is_two_lines(home: Home, what: list[str]):
    record(home)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = typed(home, ["serve", *what, "--port", str(port)])
        assert done.returncode == 11
        assert done.stderr.splitlines()[0] == f"taut: port {port} on 127.0.0.1 is in use"
        assert len(done.stderr.splitlines()) == 2
