"""`taut up --once` killed between its steps, seen from outside in the `step` table: the next one goes on, once each."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from taut.deploy import find_deployment, find_state
from taut.govern import check_home, show_ledger
from taut.ground.compute import is_alive
from taut.home import Home
from taut.models import list_gates, list_versions
from taut.pipelines.retrain import RETRAIN
from taut.runs import search_runs
from taut.watch import list_alerts, list_references
from tests.faces.shell import taut
from tests.parts import eventually
from tests.pipelines.alarmed import copied, make_alarmed, opened

pytestmark = pytest.mark.slow
STEPS = [step.name for step in RETRAIN]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_alarmed(tmp_path_factory.mktemp("alarmed") / "project")


def steps_done(project: Path) -> int:
    """How many steps are recorded, as another process sees it."""
    connection = sqlite3.connect(project / ".taut" / "meta.db", timeout=30)
    try:
        return int(connection.execute("SELECT count(*) FROM step").fetchone()[0])
    finally:
        connection.close()


def killed_after(project: Path, steps: int) -> None:
    """Run the loop and kill it, with all it has under way in its own group, when so many steps are recorded."""
    with (project / "up.log").open("wb") as log:
        loop = subprocess.Popen(
            [sys.executable, "-m", "taut", "up", "--once"], cwd=project, stdout=log, stderr=log, start_new_session=True
        )

    def reached() -> bool:
        assert loop.poll() is None, (project / "up.log").read_text()
        return steps_done(project) >= steps

    eventually(reached, within=120, what=f"{steps} steps")
    os.killpg(loop.pid, signal.SIGKILL)
    assert loop.wait(30) == -signal.SIGKILL


def assert_answered_once(home: Home) -> None:
    (alert,) = list_alerts(home)
    assert alert.status == "handled"
    assert [run.cause for run in search_runs(home)] == [alert.point]
    assert sorted(version.number for version in list_versions(home, "late")) == [1, 2]
    assert len(list_gates(home, "late", 2)) == 1
    assert [reference.cause for reference in list_references(home, "late")] == ["deployed", alert.point]
    told = [json.loads(event.body)["step"] for event in show_ledger(home, kind="loop.step", limit=100)]
    assert told == STEPS
    deployment, state = find_deployment(home, "late"), find_state(home, "late")
    assert state is not None
    assert (deployment.number, deployment.revision, state.revision, state.status) == (2, 2, 2, "running")
    assert is_alive(state.handle)
    assert check_home(home).problems == ()


@pytest.mark.parametrize("steps", range(1, len(STEPS)))
def test_killed_after_any_step_the_next_round_goes_on_once(template: Path, tmp_path: Path, steps: int):
    project = copied(template, tmp_path / "project")
    with opened(project) as home:
        killed_after(project, steps)
        done_before = steps_done(project)
        said = taut(project, "up", "--once", "--json")
        assert said.status == 0, said.err
        taken = [done["step"] for done in said.json if done["plan"].startswith("alert:")]
        assert taken == STEPS[done_before:]
        assert_answered_once(home)
        assert taut(project, "up", "--once").out == "nothing is due\n"


def test_killed_in_every_round_it_still_comes_to_the_end(template: Path, tmp_path: Path):
    project = copied(template, tmp_path / "project")
    with opened(project) as home:
        for steps in (2, 4, 6):
            killed_after(project, steps)
        said = taut(project, "up", "--once")
        assert said.status == 0, said.err
        assert_answered_once(home)


def test_two_loops_at_once_answer_one_alert_once(template: Path, tmp_path: Path):
    project = copied(template, tmp_path / "project")
    command = [sys.executable, "-m", "taut", "up", "--once"]
    with opened(project) as home:
        loops = [
            subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(2)
        ]
        said = [loop.communicate(timeout=150)[0] for loop in loops]
        assert 0 in [loop.returncode for loop in loops], said
        assert "Traceback" not in "".join(said)
        assert taut(project, "up", "--once").status == 0
        assert_answered_once(home)
