"""Scenes for the tests of supervisors: one in a process of its own, with as little patience as a test has."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import urllib3

from taut.deploy.running import FrontState, Serving, end_orphans, run_folder, serving_now
from taut.ground.compute import is_alive, stop_process
from taut.home import Home
from tests.parts import eventually
from tests.serve.scenes import ROWS, tensors

PROGRAM = """
import sys
import msgspec
from taut.serve.supervising import Patience, Recorded, serve
place, workers, patience = sys.argv[1], int(sys.argv[2]), msgspec.json.decode(sys.argv[3])
{first}
serve(Recorded(place, "", "late"), "127.0.0.1", 0, workers=workers, patience=Patience(**patience))
"""


@dataclass(frozen=True)
class Supervised:
    """A supervisor of the deployment `late`, and what is seen of it."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    log: Path

    @property
    def state(self) -> Serving:
        """What its file says now."""
        found = [one for one in serving_now(self.folder, "late") if one.pid == self.process.pid]
        assert len(found) == 1, self.log.read_text()
        return found[0]

    def ready(self, *, without: FrontState | None = None) -> tuple[FrontState, ...]:
        """Its fronts, once all of them answer, and one of them is gone."""

        def probe() -> tuple[FrontState, ...]:
            assert self.process.poll() is None, self.log.read_text()
            known = [one for one in serving_now(self.folder, "late") if one.pid == self.process.pid and one.url]
            if not known:
                return ()
            fronts = known[0].fronts
            well = all(one.state == "ready" for one in fronts) and without not in fronts
            return fronts if well and len(fronts) == known[0].workers else ()

        return eventually(probe, what="all fronts")

    def infer(self, **columns: list[Any]) -> int:
        """The status of one request on a connection of its own."""
        return infer(self.state.url, **columns)


def infer(url: str, **columns: list[Any]) -> int:
    """The status of one request on a connection of its own."""
    body = msgspec.json.encode({"inputs": tensors({**ROWS, **columns})})
    with urllib3.PoolManager(retries=False, timeout=20.0) as pool:
        return pool.request("POST", f"{url}/v2/models/late/infer", body=body).status


def pid_of(front: FrontState) -> int:
    return int(front.handle.partition(":")[0])


def gone(fronts: tuple[FrontState, ...]) -> bool:
    return not any(is_alive(one.handle) for one in fronts)


@contextmanager
def supervised(home: Home, *, workers: int = 2, first: str = "", **patience: float) -> Iterator[Supervised]:
    """A supervisor of `late` that runs; whatever is left of it at the end is killed."""
    log = home.project / "supervisor.log"
    program = PROGRAM.format(first=first)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", program, home.place, str(workers), msgspec.json.encode(patience).decode()],
            cwd=home.project, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    found = Supervised(process, run_folder(home), log)
    try:
        found.ready()
        yield found
    finally:
        left = [one for mine in serving_now(found.folder, "late") if mine.pid == process.pid for one in mine.fronts]
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        for front in left:
            stop_process(front.handle, grace_s=0.0)
        end_orphans(found.folder, "late")
