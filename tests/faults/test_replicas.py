"""Two servers on one PostgreSQL and one bucket under load, of which one is killed: its clients go on at the other."""

import contextlib
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from taut.ground.settings import Settings, make_folder
from taut.home import open_home
from taut.runs import all_artifacts, create_run, get_run, metric_history, run_root
from tests.faults.clients import Client, Deed
from tests.faults.killing import Served, Torment, await_progress, ended, finish
from tests.parts import eventually

KILLS = 4
RUN = "a" * 32
POINTS = 150
# An unchanged client, with nothing but its own retries. It ends with an error where one request failed.
PROGRAM = """
import mlflow, sys
mlflow.set_tracking_uri(sys.argv[1])
with mlflow.start_run(run_id=sys.argv[2]):
    for step in range(int(sys.argv[3])):
        mlflow.log_metric("loss", step / 7, step=step)
        mlflow.log_param(f"p{step}", step)
        if step % 10 == 0:
            mlflow.log_text(f"text {step}", f"notes/{step}.txt")
        print(step, flush=True)
"""


class Roaming(Client):
    """A client that knows both servers, and goes to the other when one does not answer."""

    def __init__(self, name: str, ports: Sequence[int]) -> None:
        super().__init__(name, ports[0])
        self._ports = ports

    def _close(self) -> None:
        super()._close()
        self.port = self._ports[(self._ports.index(self.port) + 1) % len(self._ports)]


class Balancer(threading.Thread):
    """One address before several servers, as a load balancer has: a connection goes to the next that takes it."""

    def __init__(self, ports: Sequence[int]) -> None:
        super().__init__(daemon=True)
        self._ports = list(ports)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def run(self) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._joined, args=(near,), daemon=True).start()

    def close(self) -> None:
        """Take no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join()

    def _joined(self, near: socket.socket) -> None:
        self._ports.append(self._ports.pop(0))
        with near, self._reached() as far, contextlib.suppress(OSError):
            while True:
                for line in select.select([near, far], [], [])[0]:
                    data = line.recv(65536)
                    if not data:
                        return
                    (far if line is near else near).sendall(data)

    def _reached(self) -> socket.socket:
        while True:
            for port in list(self._ports):
                with contextlib.suppress(OSError):
                    return socket.create_connection(("127.0.0.1", port), timeout=None)


@pytest.fixture
def replicas(tmp_path: Path, postgres_url: str, s3_url: str) -> Iterator[list[Served]]:
    """Two servers of one place."""
    servers = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        make_folder(folder, Settings(metadata=postgres_url, objects=s3_url))
        servers.append(Served(folder, tmp_path / f"{name}.log"))
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.kill()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_of_two_servers_is_killed_again_and_again_and_no_client_notices(replicas: list[Served], tmp_path: Path):
    ports = [server.port for server in replicas]
    home = open_home(replicas[0].folder)
    create_run(home, run_id=RUN, name="of the program")
    balancer = Balancer(ports)
    balancer.start()
    crowd: list[Client] = [Roaming(f"c{number}", ports[number % 2 :] + ports[: number % 2]) for number in range(4)]
    crowd[0].deeds.append(Deed("", "POST", "", b"", lambda: {("run", "of the program"): 1}, state="acknowledged"))
    for client in crowd:
        client.up.set()
        client.start()
    with (tmp_path / "client.log").open("wb") as log:
        words = [sys.executable, "-c", PROGRAM, balancer.url, RUN, str(POINTS)]
        program = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
    try:
        for number in range(KILLS):
            await_progress(crowd, 60)
            replicas[number % 2].kill()
            await_progress(crowd, 60)  # At the other one alone.
            replicas[number % 2].start()
        said = (tmp_path / "client.log").read_text
        eventually(lambda: program.poll() is not None, within=200, what="the MLflow client")
        assert program.returncode == 0, said()[-3000:]
    finally:
        program.kill()
        program.wait()
        ended(crowd)
        balancer.close()
    result = Torment()
    finish(home, crowd, result)
    verdict = result.verdict
    assert (verdict.lost, verdict.duplicated, verdict.torn, result.problems) == ([], [], [], [])
    assert result.doubts >= KILLS and result.acknowledged >= 120 * KILLS
    points = metric_history(home, RUN, "loss", max_results=1000).points
    assert [point.step for point in points] == list(range(POINTS))
    assert len(get_run(home, RUN).params) == POINTS
    assert len(all_artifacts(home, run_root("0", RUN))) == POINTS // 10
    home.close()


@pytest.mark.slow
def test_what_one_server_changes_the_other_tells_at_once(replicas: list[Served]):
    create = f"http://127.0.0.1:{replicas[0].port}/api/2.0/mlflow/experiments/create"
    asked = Request(create, b'{"name": "made here"}', {"content-type": "application/json"})
    with urlopen(asked) as made:
        assert made.status == 200
    place = f"http://127.0.0.1:{replicas[1].port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=made%20here"
    with urlopen(place) as found:
        assert found.status == 200
    with urlopen(f"http://127.0.0.1:{replicas[1].port}/ready") as ready:
        assert ready.status == 200
