"""An endpoint, its fronts and the process that seals beside them, killed with answers under way: counts stay exact."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3

from taut.deploy.running import run_folder, serving_now
from taut.home import Home
from taut.project import MonitorSpec
from taut.serve import Span, open_log
from taut.serve.log.sealing import seal
from taut.watch.counting import count_log
from taut.watch.counts import count_window
from taut.watch.events import Reference
from taut.watch.profile import make_reference
from tests.parts import eventually
from tests.serve.scenes import make_home, record, register, tensors

SPEC = MonitorSpec()
NAMES = ("delay", "seats", "carrier")


class Endpoint:
    """A real supervisor with two fronts, in a group of processes of its own."""

    def __init__(self, home: Home) -> None:
        command = [sys.executable, "-m", "taut.serve", "--deployment", "late", "--revision", "0", "--port", "0"]
        self.log = home.project / "serving.log"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--workers", "2"], cwd=home.project, env={**os.environ, "TAUT_HOME": home.place},
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self.url = eventually(lambda: self._url(home), within=60, what="the endpoint")

    def _url(self, home: Home) -> str:
        assert self.process.poll() is None, self.log.read_text()
        return next((one.url for one in serving_now(run_folder(home), "late") if one.pid == self.process.pid), "")

    def kill(self) -> None:
        """End the whole of it at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def asking(url: str, told: list[str], ends: threading.Event, seed: int) -> None:
    """Ask until the endpoint is gone; `told` gets the id of each request that was answered."""
    chance = np.random.default_rng(seed)
    pool = urllib3.PoolManager(retries=False)
    number = 0
    while not ends.is_set():
        rows = int(chance.integers(1, 4))
        columns: dict[str, list[Any]] = {
            "delay": chance.exponential(5.0, rows).tolist(), "seats": chance.integers(1, 300, rows).tolist(),
            "carrier": chance.choice(["UA", "AA", "new"], rows).tolist(),
        }  # fmt: skip
        name = f"r{seed}-{number}"
        with suppress(urllib3.exceptions.HTTPError):
            body = {"id": name, "inputs": tensors(columns)}
            answer = pool.request("POST", f"{url}/v2/models/late/infer", json=body, timeout=10.0)
            if answer.status == 200:
                told.append(name)
        number += 1


def reference() -> Reference:
    chance = np.random.default_rng(1)
    columns = {
        "delay": chance.exponential(5.0, 400), "seats": chance.integers(1, 300, 400),
        "carrier": chance.choice(["UA", "AA"], 400),
    }  # fmt: skip
    return make_reference(columns, scores=chance.random(400))


def killed_while_asked(home: Home, round_: int) -> list[str]:
    endpoint, told, ends = Endpoint(home), list[str](), threading.Event()
    callers = [
        threading.Thread(target=asking, args=(endpoint.url, told, ends, 10 * round_ + number)) for number in range(4)
    ]
    for one in callers:
        one.start()
    try:
        eventually(lambda: len(told) >= 60, within=60, what="some answers")
        seal(home, "late", also_written=True)
        time.sleep(0.2)
    finally:
        endpoint.kill()
        ends.set()
        for one in callers:
            one.join(60)
    return told


@pytest.mark.slow
def test_what_a_killed_endpoint_answered_is_counted_exactly(tmp_path: Path):
    wanted = reference()
    with make_home(tmp_path / "project") as home:
        register(home)
        record(home)
        told = [name for round_ in range(2) for name in killed_while_asked(home, round_)]
        for _ in range(2):
            with open_log(home, "late") as log:
                found = list(log.requests(Span("late")))
                counted = count_log(log, Span("late"), wanted, SPEC)
            assert len({one.id for one in found}) == len(found)
            assert set(told) <= {one.id for one in found}
            columns = {name: [cell for one in found for cell in one.inputs[name]] for name in NAMES}
            scores = [cell for one in found for cell in one.outputs["probability"]]
            assert counted.counts == count_window(wanted, columns, scores=scores)
            assert counted.rows == sum(one.rows for one in found) > 120
            seal(home, "late")
