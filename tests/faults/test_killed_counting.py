"""Fronts, the process that seals and the one that closes windows, killed at any moment: counts stay those of rows."""

import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from taut.ground import wire
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.project import MonitorSpec
from taut.serve import Span, open_log
from taut.serve.log import sealing_command
from taut.serve.log.sealing import seal
from taut.watch import close_windows, list_windows, set_reference
from taut.watch.counting import CountedRows, count_log
from taut.watch.counts import count_window
from taut.watch.detecting import watch_rows
from taut.watch.events import Reference
from taut.watch.profile import make_reference
from tests.faults.test_prediction_log import Appending
from tests.parts import eventually
from tests.serve.log.scenes import said, say

SPEC = MonitorSpec(window="1d")
DAY = Span("late", 0, 86_400_000, 1, "late")
CLOSE = """
import sys
from taut.home import open_home
from taut.project import MonitorSpec
from taut.watch import close_windows
with open_home(sys.argv[1]) as home:
    print("begun", flush=True)
    close_windows(home, "late", MonitorSpec(window="1d"))
"""


def watched(project: Path) -> Reference:
    """A project whose deployment is held against a reference from the first moment on."""
    make_folder(project)
    chance = np.random.default_rng(1)
    columns = {"delay": chance.exponential(20.0, 500), "carrier": chance.choice(["UA", "AA"], 500)}
    reference = make_reference(columns, scores=chance.random(500))
    with open_home(project) as home:
        oid = home.objects.put(io.BytesIO(wire.encode(reference)))
        set_reference(home, "late", model="late", version=1, from_ms=0, oid=oid, cause="deployed")
    return reference


def killed(command: list[str], after_s: float, *, begun: bool = False) -> None:
    """Run a process in a group of its own and kill all of it, so long after its start or after its first word."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    if begun:
        process.stdout.readline()
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def counted(home: Home, reference: Reference) -> CountedRows:
    with open_log(home, "late") as log:
        return count_log(log, DAY, reference, SPEC)


def one_by_one(home: Home, reference: Reference) -> tuple[CountedRows, set[str]]:
    """The counts of the requests as they are read one by one, and their ids."""
    with open_log(home, "late") as log:
        found = list(log.requests(DAY))
    inputs = {name: [cell for one in found for cell in one.inputs[name]] for name in ("delay", "carrier")}
    scores = [cell for one in found for cell in one.outputs["probability"]]
    counts = count_window(reference, inputs, scores=scores)
    assert len({one.id for one in found}) == len(found) == counts.rows
    return CountedRows(counts, len(found), np.empty(0), np.empty(0)), {one.id for one in found}


def rounds_of_kills(project: Path, rounds: int, seed: int) -> list[str]:
    """Fronts append and are killed, with the process that seals beside them; returns the ids that were acknowledged."""
    chance, told = random.Random(seed), list[str]()
    with open_home(project) as home:
        for number in range(rounds):
            fronts = [Appending(project, f"p{number}{which}", own=number % 2 == 1) for which in "ab"]
            try:
                for one in fronts:
                    eventually(one.has_begun, what="both to append")
                killed(sealing_command(home, "late") + ["--once"] * (number % 2), chance.uniform(0.1, 1.5))
                seal(home, "late", also_written=number % 2 == 0)
            finally:
                told += [name for one in fronts for name in one.kill()]
            killed([sys.executable, "-c", CLOSE, str(project)], chance.uniform(0, 0.2), begun=True)
    return told


def holds(project: Path, reference: Reference, told: list[str]) -> None:
    """The counts are exact before and after sealing, and in the window, which is closed once whoever dies over it."""
    with open_home(project) as home:
        wanted, ids = one_by_one(home, reference)
        assert set(told) <= ids
        assert counted(home, reference).counts == wanted.counts
        seal(home, "late")
        assert counted(home, reference).counts == wanted.counts
        assert list_windows(home, "late") == []
        say(home, said("behind", event_ms=[DAY.until_ms]))
        for after_s in (0.0, 0.05, 0.1, 0.3):
            killed([sys.executable, "-c", CLOSE, str(project)], after_s, begun=True)
        close_windows(home, "late", SPEC)
        (window,) = list_windows(home, "late")
        assert (window.rows, window.labelled) == (wanted.rows, 0)
        assert window.evidence == watch_rows(reference, wanted, SPEC, "").evidence
        (state,) = state_of(home)
        assert wire.decode(state, dict[str, object]) == wire.decode(
            watch_rows(reference, wanted, SPEC, "").states, dict[str, object]
        )


def state_of(home: Home) -> list[str]:
    with home.meta.read() as tx:
        return [str(state) for (state,) in tx.rows("SELECT state FROM monitor_state")]


@pytest.mark.slow
def test_counts_are_exact_though_all_that_counts_is_killed(tmp_path: Path):
    project = tmp_path / "project"
    reference = watched(project)
    told = rounds_of_kills(project, 2, seed=1)
    assert len(told) > 6
    holds(project, reference, told)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_counts_are_exact_however_often_all_that_counts_is_killed(tmp_path: Path, seed: int):
    project = tmp_path / "project"
    reference = watched(project)
    told = rounds_of_kills(project, 10, seed=seed)
    assert len(told) > 100
    holds(project, reference, told)
