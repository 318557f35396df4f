"""Programs that are forked from one process know nothing of each other, and end as programs do."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.programs import Programs

pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")

SEEN = """
import mlflow, os, random, sys, threading, uuid
print([os.getpid(), os.getcwd(), os.environ.get("MINE"), hasattr(mlflow, "mine"), "mine" in globals(), sys.argv])
print([random.random(), uuid.uuid4().hex, mlflow.get_tracking_uri()], __name__, threading.active_count())
"""
CHANGING = """
import mlflow, os, sys
mine = mlflow.mine = os.environ["MINE"] = "1"
os.chdir("/")
mlflow.set_tracking_uri("http://127.0.0.1:9")
sys.argv.append("mine")
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Programs]:
    programs = Programs()
    yield programs
    programs.close()


def test_a_program_finds_nothing_of_those_before_it(made: Programs, tmp_path: Path):
    environment = {"PATH": os.environ["PATH"], "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    first = made.run(SEEN, tmp_path, environment)
    assert made.run(CHANGING, tmp_path, environment) == ""
    second = made.run(SEEN, tmp_path, environment)
    for said in (first, second):
        assert f"{str(tmp_path)!r}, None, False, False, ['-c']]" in said
        assert "'http://127.0.0.1:1'] __main__ 1" in said
    assert first.split(",")[0] != second.split(",")[0]
    assert first.splitlines()[1].split(",")[:2] != second.splitlines()[1].split(",")[:2]


def test_what_a_program_does_at_its_end_is_done(made: Programs, tmp_path: Path):
    program = """
import atexit, threading, time
atexit.register(lambda: print("at the end"))
threading.Thread(target=lambda: (time.sleep(0.1), print("in a thread"))).start()
"""
    assert made.run(program, tmp_path, os.environ).splitlines() == ["in a thread", "at the end"]


@pytest.mark.parametrize("program", ["raise ValueError('no luck')", "print('no luck'); raise SystemExit(3)"])
def test_a_program_that_fails_is_told_with_what_it_said(made: Programs, tmp_path: Path, program: str):
    with pytest.raises(AssertionError, match="no luck"):
        made.run(program, tmp_path, os.environ)
    assert made.run("print(1)", tmp_path, os.environ) == "1\n"


def test_what_must_not_be_complained_of_fails_the_test(made: Programs, tmp_path: Path):
    program = "import sys; sys.stderr.write('Failed to send')"
    assert made.run(program, tmp_path, os.environ) == ""
    with pytest.raises(AssertionError, match="Failed to send"):
        made.run(program, tmp_path, os.environ, unsaid="Failed to")


def test_a_program_that_hangs_is_killed_and_the_next_one_runs(
    made: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as hurried:
        hurried.setattr("tests.peers.programs.ENDS_WITHIN_S", 0.5)
        with pytest.raises(AssertionError, match="did not end"):
            made.run("import time; time.sleep(60)", tmp_path, os.environ)
    assert made.run("print(1)", tmp_path, os.environ) == "1\n"
