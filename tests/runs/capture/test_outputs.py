"""Which files count as written by a run, and that their bytes are kept."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.ground.access import Actor
from taut.ground.objects import read_object
from taut.home import Home, open_home
from taut.runs import execute_run
from taut.runs.capture.outputs import changed_files

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def home(project: Path) -> Iterator[Home]:
    """On SQLite alone: where rows are kept makes no difference to what a command is given."""
    with open_home(project, actor=Actor("ada", "owner")) as opened:
        yield opened


# What a run wrote


def test_the_files_that_a_run_wrote_are_kept_with_their_bytes(home: Home):
    (home.project / "before").write_text("untouched")
    (home.project / "grown").write_text("a")
    program = "import os; os.mkdir('deep'); open('deep/m', 'w').write('model'); open('grown', 'a').write('b')"
    done = execute_run(home, [sys.executable, "-c", program], tracking_uri=NOWHERE, folder=home.project)
    outputs = {one.path: one for one in done.capture.outputs}
    assert outputs.keys() == {"deep/m", "grown"}
    assert all(one.kept for one in outputs.values())
    assert read_object(home.objects, outputs["deep/m"].oid) == b"model"
    assert (outputs["grown"].size_bytes, read_object(home.objects, outputs["grown"].oid)) == (2, b"ab")


def test_what_other_programs_wrote_is_an_output_too(home: Home):
    command = ["/bin/sh", "-c", "echo x > by-shell; mkdir -p .git __pycache__; echo y > .git/z; echo y > __pycache__/z"]
    done = execute_run(home, command, tracking_uri=NOWHERE, folder=home.project)
    assert [one.path for one in done.capture.outputs] == ["by-shell"]


def test_an_environment_within_the_project_is_no_output(home: Home):
    command = ["/bin/sh", "-c", "mkdir -p env/lib; echo x > env/pyvenv.cfg; echo x > env/lib/new; echo x > own"]
    done = execute_run(home, command, tracking_uri=NOWHERE, folder=home.project)
    assert [one.path for one in done.capture.outputs] == ["own"]


def test_a_file_that_is_gone_again_is_no_output(home: Home):
    command = ["/bin/sh", "-c", "echo x > x; rm x"]
    assert execute_run(home, command, tracking_uri=NOWHERE, folder=home.project).capture.outputs == ()


def test_a_large_file_is_known_by_its_digest_alone(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("taut.runs.capture.inputs.KEPT_BYTES_MAX", 3)
    command = ["/bin/sh", "-c", "echo large > large"]
    (one,) = execute_run(home, command, tracking_uri=NOWHERE, folder=home.project).capture.outputs
    assert (one.kept, one.size_bytes) == (False, 6)
    assert home.objects.missing([one.oid]) == {one.oid}


def test_of_many_outputs_the_bytes_of_some_are_kept(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("taut.runs.capture.inputs.KEPT_FILES", 2)
    command = ["/bin/sh", "-c", "for n in 1 22 333 4444; do echo $n > $n; done"]
    outputs = execute_run(home, command, tracking_uri=NOWHERE, folder=home.project).capture.outputs
    assert {one.path: one.kept for one in outputs} == {"1": True, "22": True, "333": False, "4444": False}
    assert all(len(one.oid) == 64 for one in outputs)


def test_what_nobody_saw_being_written_is_known_by_its_time(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("taut.runs.capture.execute.observer_problem", lambda: "there is no compiler here")
    done = execute_run(home, ["/bin/sh", "-c", "echo x > by-shell"], tracking_uri=NOWHERE, folder=home.project)
    assert [one.path for one in done.capture.outputs] == ["by-shell"]
    assert (done.capture.coverage, done.capture.coverage_reason) == ("partial", "there is no compiler here")


def test_only_what_was_written_since_is_told(tmp_path: Path):
    old, new = tmp_path / "old", tmp_path / "new"
    for file in (old, new):
        file.write_text("x")
    os.utime(old, ns=(1, 1))
    assert list(changed_files(tmp_path, 2)) == [new]
    assert list(changed_files(tmp_path / "nowhere", 0)) == []
