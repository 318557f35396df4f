"""SIGKILL in the middle of moving in, at many places: the same command goes on, and the end is the same as without."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taut.faces.moving.arriving import move_in
from taut.faces.moving.opening import open_source
from taut.govern import check_home
from taut.home import open_home
from taut.runs import get_run, search_runs
from tests.faces.mlflow_store import database_in

MOVE = """
import os, signal, sys
from taut.faces.moving.arriving import move_in
from taut.faces.moving.opening import open_source
from taut.ground.meta.sqlite import SqliteMetadata
from taut.home import open_home

left, real = int(sys.argv[3]), SqliteMetadata._commit

def commit_or_die(self, group):
    global left
    left -= 1
    if left == 0 and sys.argv[4] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, group)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

with open_home(sys.argv[1]) as home:
    SqliteMetadata._commit = commit_or_die
    move_in(home, open_source(sys.argv[2]), jobs=1)
print("whole")
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return database_in(tmp_path_factory.mktemp("there"))


def killed(project: Path, database: Path, commit: int, when: str) -> int:
    arguments = [str(project), str(database), str(commit), when]
    return subprocess.run([sys.executable, "-c", MOVE, *arguments], capture_output=True).returncode


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("commit", [1, 4, 9, 15, 22, 30, 38, 45])
def test_a_killed_move_goes_on_and_nothing_comes_twice(project: Path, database: Path, commit: int, when: str):
    assert killed(project, database, commit, when) == -signal.SIGKILL
    with open_home(project) as home:
        report = move_in(home, open_source(str(database)))
        assert (report.problems, report.is_whole) == ((), True)
        assert {line.kind: line.target.number for line in report.lines}["metric points"] == 142
        assert {run.status for run in search_runs(home)} == {"FINISHED", "FAILED"}
        assert list(check_home(home).problems) == []


def test_a_move_killed_again_and_again_arrives(project: Path, database: Path):
    deaths = 0
    while killed(project, database, 24, "after") == -signal.SIGKILL:
        deaths += 1
        assert deaths < 20
    assert deaths > 1
    with open_home(project) as home:
        report = move_in(home, open_source(str(database)))
        assert (report.moved, report.is_whole) == (0, True)
        first = next(run for run in search_runs(home) if run.name == "first ✈")
        assert len(get_run(home, first.id).params) == 102
