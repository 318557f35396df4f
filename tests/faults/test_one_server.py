"""Two servers on one folder, real processes: the second refuses, a killed one holds nothing, commands go on beside."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from taut.ground.settings import Settings, make_folder
from taut.home import open_home
from taut.runs import create_run
from tests.parts import eventually, free_port

Started = list[tuple[subprocess.Popen[str], str]]


@pytest.fixture
def started() -> Iterator[Started]:
    """Servers of a test; whatever still runs at its end is killed."""
    servers: Started = []
    yield servers
    for server, _ in servers:
        server.kill()
        server.communicate()


def start(folder: Path, started: Started) -> tuple[subprocess.Popen[str], str]:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "taut", "server", "--port", str(port)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    started.append((server, f"http://127.0.0.1:{port}"))
    return started[-1]


def is_healthy(url: str) -> bool:
    with urlopen(f"{url}/health", timeout=5) as answer:
        return bool(answer.status == 200)


def test_a_second_server_on_one_sqlite_folder_refuses_and_names_the_first(project: Path, started: Started):
    first, url = start(project, started)
    eventually(lambda: is_healthy(url), within=90, what="the first server")
    second, _ = start(project, started)
    out, err = second.communicate(timeout=90)
    assert (second.returncode, out) == (11, "")
    said, hint = err.splitlines()
    assert f"process {first.pid} serves {project / '.taut' / 'meta.db'} already" in said
    assert hint.startswith("  try: taut init --metadata postgresql://")
    assert is_healthy(url)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "ended"])
def test_a_server_that_is_gone_holds_nothing(project: Path, started: Started, how: signal.Signals):
    first, url = start(project, started)
    eventually(lambda: is_healthy(url), within=90, what="the first server")
    os.kill(first.pid, how)
    first.wait(30)
    second, url = start(project, started)
    eventually(lambda: is_healthy(url), within=90, what="the second server")
    assert (project / ".taut" / "meta.db-server").read_text() == str(second.pid)


def test_commands_on_the_folder_go_on_beside_its_server(project: Path, started: Started):
    server, url = start(project, started)
    eventually(lambda: is_healthy(url), within=90, what="the server")
    with open_home(project) as home:
        made = create_run(home, name="beside")
    with urlopen(f"{url}/api/2.0/mlflow/runs/get?run_id={made.id}", timeout=10) as answer:
        assert b"beside" in answer.read()
    assert server.poll() is None


def test_a_home_in_postgresql_may_have_two_servers(tmp_path: Path, postgres_url: str, started: Started):
    make_folder(tmp_path, Settings(metadata=postgres_url))
    urls = [start(tmp_path, started)[1] for _ in range(2)]
    for url in urls:
        eventually(lambda url=url: is_healthy(url), within=90, what="both servers")  # type: ignore[misc]


def test_a_lock_that_cannot_be_made_is_two_lines(project: Path, started: Started):
    (project / ".taut" / "meta.db-server").mkdir()
    server, _ = start(project, started)
    _, err = server.communicate(timeout=90)
    assert server.returncode == 12
    assert "meta.db-server cannot be opened: Is a directory" in err
    assert "Traceback" not in err
