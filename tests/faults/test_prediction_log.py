"""Processes that append to a prediction log and are killed at any moment: what they said is written is there, once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from taut.ground.settings import make_folder
from taut.home import open_home
from taut.serve import open_log
from taut.serve.log import log_place, sealing_command
from taut.serve.log.journal import journals_in
from taut.serve.log.sealing import seal
from taut.serve.log.spans import Span
from tests.parts import eventually
from tests.serve.log.scenes import said, say

SECONDS = 0.35


class Appending:
    """One process that appends, and what it said on its output."""

    def __init__(self, project: Path, name: str, *, own: bool) -> None:
        self._told = project / f"{name}.txt"
        self._stream = self._told.open("wb")
        command = [sys.executable, "-m", "tests.faults.appending", str(project), name, str(int(own))]
        self.process = subprocess.Popen(command, stdout=self._stream, cwd=Path(__file__).parents[2], env=_environment())

    def has_begun(self) -> bool:
        assert self.process.poll() is None
        return self._told.stat().st_size > 0

    def kill(self) -> list[str]:
        """End it at once; returns the ids that it said are written."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._stream.close()
        said = self._told.read_text()
        return said[: said.rfind("\n") + 1].splitlines()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _ids_in(folder: Path) -> Counter[str]:
    with open_home(folder) as home, open_log(home, "late") as log:
        return Counter(one.id for one in log.requests(Span("late")))


def _kill_round(project: Path, chance: random.Random, number: int, *, own: bool) -> list[str]:
    """Two processes append for a moment and are killed; while they do, what is complete is sealed."""
    with open_home(project) as home:
        pair = [Appending(project, f"p{number}{which}", own=own) for which in "ab"]
        try:
            eventually(lambda: all(one.has_begun() for one in pair), what="both to append")
            time.sleep(chance.uniform(0, SECONDS))
            seal(home, "late", also_written=chance.random() < 0.5)
            time.sleep(chance.uniform(0, SECONDS))
        finally:
            told = [name for one in pair for name in one.kill()]
    return told


@pytest.mark.parametrize("own", [False, True])
def test_what_two_killed_processes_acknowledged_is_there_once(tmp_path: Path, own: bool):
    project = tmp_path / "project"
    make_folder(project)
    told = _kill_round(project, random.Random(7), 0, own=own)
    assert len(told) > 6
    _holds(project, told)


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True])
def test_what_processes_acknowledged_is_there_once_however_often_they_are_killed(tmp_path: Path, own: bool):
    project = tmp_path / "project"
    make_folder(project)
    chance, told = random.Random(11), list[str]()
    for number in range(25):
        told += _kill_round(project, chance, number, own=own)
    assert len(told) > 500
    _holds(project, told)


def _holds(project: Path, told: list[str]) -> None:
    before = _ids_in(project)
    assert max(before.values()) == 1
    assert set(told) <= before.keys()
    with open_home(project) as home:
        seal(home, "late")
        assert journals_in(log_place(home).folder / "late") == []
    assert _ids_in(project) == before


@pytest.mark.slow
def test_a_sealing_process_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path):
    project = tmp_path / "project"
    make_folder(project)
    chance = random.Random(3)
    told = list[str]()
    for number in range(12):
        told += _kill_round(project, chance, number, own=number % 2 == 0)
        command = [sys.executable, "-m", "taut.serve.log", "--deployment", "late", "--once"]
        sealing = subprocess.Popen(command, env={**_environment(), "TAUT_HOME": str(project)}, cwd=project)
        time.sleep(chance.uniform(0.2, 1.6))
        sealing.send_signal(signal.SIGKILL)
        sealing.wait()
    _holds(project, told)


def test_the_sealing_process_goes_on_until_it_is_told_to_end_and_seals_once_more(tmp_path: Path):
    project = tmp_path / "project"
    make_folder(project)
    with open_home(project) as home:
        appending = Appending(project, "p", own=False)
        eventually(appending.has_begun, what="an answer")
        told = appending.kill()
        sealing = subprocess.Popen(sealing_command(home, "late"), env=_environment())
        eventually(lambda: _niceness(sealing.pid) == 19, what="a process of low priority")
        sealing.send_signal(signal.SIGTERM)
        assert sealing.wait(60) == 0
        assert journals_in(log_place(home).folder / "late") == []
    assert set(told) <= _ids_in(project).keys()


def test_the_sealing_process_loads_no_pandas(tmp_path: Path):
    project = tmp_path / "project"
    make_folder(project)
    with open_home(project) as home:
        say(home, said("a"))
        command = [*sealing_command(home, "late"), "--once"]
        loud = [command[0], "-X", "importtime", *command[1:]]
        done = subprocess.run(loud, env=_environment(), capture_output=True, text=True, check=True)
        assert journals_in(log_place(home).folder / "late") == []
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"pyarrow.lib", "pandas._libs"} & loaded == {"pyarrow.lib"}


def _niceness(pid: int) -> int:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    catches = int(next(one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigCgt" in one)[7:], 16)
    return int(words[16]) if catches >> (signal.SIGTERM - 1) & 1 else 0


def test_a_front_imports_no_arrow():
    program = (
        "import json, sys, taut.serve.log, taut.serve.log.writing, taut.serve.log.journal\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules} & {'pyarrow', 'numpy', 'pandas'})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=_environment(), check=True)
    assert json.loads(done.stdout) == []
