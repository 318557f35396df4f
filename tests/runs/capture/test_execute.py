"""`execute_run`: what is recorded of a command, how it may end, and that it is never started twice."""

import importlib.metadata
import os
import platform
import signal
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest

from taut.data import add_dataset
from taut.errors import Conflict, Denied, Invalid, NotFound, UsageError
from taut.ground.access import Actor
from taut.ground.ledger import Arrow, events, upstream
from taut.ground.objects import read_object
from taut.home import Home
from taut.records import Capture, InputRead, Run, Seeding
from taut.runs import create_run, execute_run, finish_run, get_run, update_run
from taut.runs.capture import execute as execute_module
from taut.runs.capture import observed
from taut.runs.capture.reads import NATIVE, UNSEEN
from taut.runs.capture.recording import recordings
from tests.marks import slow_on_postgresql
from tests.parts import eventually
from tests.runs.capture.observing import observer

pytestmark = slow_on_postgresql

NOWHERE = "http://127.0.0.1:9"  # No test here logs through a client; those stand with the MLflow face.


def execute(home: Home, *command: str, **options: Any) -> Run:
    return execute_run(home, command, tracking_uri=NOWHERE, folder=home.project, **options)


def python(home: Home, program: str, **options: Any) -> Run:
    return execute(home, sys.executable, "-c", program, **options)


def printed(home: Home, run: Run) -> str:
    return read_object(home.objects, run.capture.output).decode()


def test_a_command_is_recorded_from_its_words_to_its_cost(home: Home):
    run = python(home, "x = bytearray(50_000_000); print('hello')", name="first", experiment="flights")
    capture = run.capture
    assert (run.status, run.name, run.experiment, run.cause, run.actor) == (
        "FINISHED",
        "first",
        "flights",
        "manual",
        "ada",
    )
    assert capture.command[0] == sys.executable
    assert (capture.folder, capture.exit_status) == (str(home.project), 0)
    assert printed(home, run) == "hello\n"
    assert capture.usage is not None
    assert 0 < capture.usage.cpu_s < 60
    assert capture.usage.memory_bytes_max > 50_000_000
    assert capture.usage.cores == len(os.sched_getaffinity(0))
    assert capture.python.startswith("CPython 3.")
    lock = read_object(home.objects, capture.environment).decode().splitlines()
    assert any(line.startswith("msgspec==") for line in lock)
    assert lock == sorted(lock, key=str.lower)
    assert get_run(home, run.id) == run
    assert list(recordings(home).iterdir()) == []


def test_outside_git_it_works_and_says_what_is_missing(home: Home):
    run = python(home, "pass")
    assert run.capture.git is None
    assert "the code: not a git repository" in run.capture.missing


def test_the_data_that_it_read_leads_to_it(home: Home):
    (home.project / "x.csv").write_text("a\n1\n")
    add_dataset(home, home.project / "x.csv")
    run = python(home, "open('x.csv').read(); open('model', 'w').write('m')")
    assert [(read.path, read.dataset) for read in run.capture.inputs] == [("x.csv", "x@1")]
    with home.meta.read() as tx:
        assert upstream(tx, run.point) == [Arrow("data:x@1", "read-by", run.point)]
        assert [event.subject for event in events(tx, kind="run.finished")] == [run.point]


def test_an_alert_that_asked_for_it_leads_to_it(home: Home):
    run = python(home, "pass", cause="alert:ab12")
    with home.meta.read() as tx:
        assert Arrow("alert:ab12", "caused", run.point) in upstream(tx, run.point)


def test_a_client_inside_is_told_where_it_belongs(home: Home):
    program = (
        "import os; print(*(os.environ['MLFLOW_' + key] for key in ('TRACKING_URI', 'RUN_ID', 'EXPERIMENT_NAME')))"
    )
    run = python(home, program, experiment="flights")
    assert printed(home, run) == f"{NOWHERE} {run.id} flights\n"


def test_both_streams_are_shown_and_kept(home: Home, capfd: pytest.CaptureFixture[str]):
    run = python(home, "import sys; sys.stdout.write('out\\n'); sys.stderr.write('err\\n')")
    assert capfd.readouterr() == ("out\n", "err\n")
    assert sorted(printed(home, run).split()) == ["err", "out"]


@pytest.mark.parametrize(
    ("program", "exit_status", "status"),
    [
        ("raise SystemExit(3)", 3, "FAILED"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, "KILLED"),
        ("1 / 0", 1, "FAILED"),
    ],
)
def test_how_it_ended_is_what_the_run_says(home: Home, program: str, exit_status: int, status: str):
    run = python(home, program)
    assert (run.status, run.capture.exit_status) == (status, exit_status)
    assert run.ended_ms is not None


def test_a_client_that_ended_the_run_early_does_not_have_the_last_word(home: Home):
    run = create_run(home, run_id="a" * 32)
    update_run(home, run.id, status="FAILED")
    assert python(home, "pass", run_id=run.id).status == "FINISHED"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_and_the_run_is_killed(home: Home, sent: signal.Signals):
    program = (
        "import signal, sys\n"
        "for kind in (signal.SIGINT, signal.SIGTERM): signal.signal(kind, lambda *_: sys.exit(7))\n"
        "open('ready', 'w').close(); signal.pause()"
    )

    def send() -> None:
        eventually((home.project / "ready").exists, what="the command")
        os.kill(os.getpid(), sent)

    sender = threading.Thread(target=send)
    sender.start()
    run = python(home, program)
    sender.join()
    assert (run.status, run.capture.exit_status) == ("KILLED", 7)


def test_a_run_id_that_finished_is_not_started_again(home: Home):
    program = "open('count', 'a').write('x')"
    first = python(home, program, run_id="b" * 32)
    assert python(home, program, run_id="b" * 32) == first
    assert (home.project / "count").read_text() == "x"


def test_a_run_id_that_failed_runs_again(home: Home):
    assert python(home, "raise SystemExit(1)", run_id="c" * 32).status == "FAILED"
    again = python(home, "print('again')", run_id="c" * 32)
    assert (again.status, printed(home, again)) == ("FINISHED", "again\n")


def test_a_program_that_does_not_exist_leaves_no_run(home: Home):
    with pytest.raises(NotFound, match="no program 'trian'"):
        execute(home, "trian", "--now")
    with pytest.raises(UsageError, match="no command"):
        execute(home)
    with home.meta.read() as tx:
        assert tx.row("SELECT count(*) FROM run") == (0,)


def test_what_any_program_reads_and_writes_is_recorded(home: Home):
    observer()
    (home.project / "x").write_text("x")
    run = execute(home, "sh", "-c", "cat x; cp x y; sed -i s/x/z/ x")
    assert printed(home, run) == "x"
    assert [(read.path, read.changed) for read in run.capture.inputs] == [("x", True)]
    assert [output.path for output in run.capture.outputs] == ["x", "y"]
    assert read_object(home.objects, run.capture.inputs[0].oid) == b"x"
    assert (run.capture.coverage, run.capture.coverage_reason) == ("full", "")
    assert [one.area for one in run.capture.outside] == ["system"]


@pytest.fixture
def without_observer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As taut is installed where there is no C compiler."""
    for module in (observed, execute_module):
        monkeypatch.setattr(module, "OBSERVER", tmp_path / "no observer")


@pytest.mark.usefixtures("without_observer")
def test_without_an_observer_python_tells_of_itself_and_the_run_says_so(home: Home):
    (home.project / "x").write_text("x")
    run = python(home, "open('x').read(); open('y', 'w').write('y')")
    assert [read.path for read in run.capture.inputs] == ["x"]
    assert [output.path for output in run.capture.outputs] == ["y"]
    assert run.capture.coverage == "partial"
    assert "no C compiler" in run.capture.coverage_reason
    assert NATIVE in run.capture.missing


@pytest.mark.usefixtures("without_observer")
def test_another_program_is_recorded_with_the_words_that_its_data_was_not_seen(home: Home):
    (home.project / "x").write_text("x")
    run = execute(home, "sh", "-c", "cat x")
    assert printed(home, run) == "x"
    assert run.capture.inputs == ()
    assert UNSEEN in run.capture.missing


def test_a_run_within_a_run_is_seen_as_fully_as_the_outer_one(home: Home):
    observer()
    (home.project / "x").write_text("x")
    program = (
        "import sys; from pathlib import Path; from taut.home import open_home; from taut.runs import execute_run\n"
        f"with open_home({str(home.project)!r}) as home:\n"
        "    command = ['sh', '-c', 'cat x > made']\n"
        f"    execute_run(home, command, tracking_uri={NOWHERE!r}, run_id='e' * 32, folder=Path.cwd())"
    )
    outer = python(home, program)
    inner = get_run(home, "e" * 32)
    assert [read.path for read in inner.capture.data] == [read.path for read in outer.capture.data] == ["x"]
    assert [made.path for made in inner.capture.outputs] == ["made"]
    assert (outer.capture.coverage, inner.capture.coverage) == ("full", "full")


def test_a_run_tells_what_it_ran_on(home: Home, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"OMP_NUM_THREADS": "1", "HF_TOKEN": "hf_secret", "PYTHONHASHSEED": "0"}.items():
        monkeypatch.setenv(name, value)
    run = python(home, "import numpy, random; random.seed(7)")
    on = run.capture.surroundings
    assert on is not None
    assert (on.implementation, on.version) == (platform.python_implementation(), platform.python_version())
    assert (on.variables["OMP_NUM_THREADS"], on.variables["HF_TOKEN"]) == ("1", "***")
    assert on.seeds == (Seeding("PYTHONHASHSEED", "0"), Seeding("random.seed", "7"))
    assert {"libc", "blas"} <= {library.kind for library in on.libraries}
    lock = tomllib.loads(read_object(home.objects, on.lock).decode())
    numpy = next(package for package in lock["packages"] if package["name"] == "numpy")
    assert numpy["version"] == importlib.metadata.version("numpy")
    assert "numpy" in on.unlocked or "archive" in numpy


# The verb that finishes


def test_a_version_that_does_not_exist_cannot_have_been_read(home: Home):
    run = create_run(home)
    capture = Capture(inputs=(InputRead("x", "0" * 64, 1, "x@9"),))
    with pytest.raises(Invalid, match="cannot have read 'x@9'"):
        finish_run(home, run.id, capture, "FINISHED", 1)
    assert get_run(home, run.id).status == "RUNNING"


def test_finishing_needs_an_end_a_run_and_the_right_to(home: Home):
    run = create_run(home)
    with pytest.raises(Invalid, match="does not end as 'RUNNING'"):
        finish_run(home, run.id, Capture(), "RUNNING", 1)
    with pytest.raises(NotFound):
        finish_run(home, "0" * 32, Capture(), "FINISHED", 1)
    with pytest.raises(Denied, match="run:write"):
        finish_run(home.as_actor(Actor("bo", "viewer")), run.id, Capture(), "FINISHED", 1)


def test_a_living_recording_of_the_same_id_is_a_conflict(home: Home, tmp_path: Path):
    from taut.ground import wire
    from taut.ground.compute import handle_of
    from taut.runs.capture.recording import Started

    place = recordings(home) / ("d" * 32)
    place.mkdir(parents=True)
    started = Started("d" * 32, handle_of(os.getppid()), str(home.project), 0, Capture())
    (place / "started.json").write_bytes(wire.encode(started))
    with pytest.raises(Conflict, match="is going on in process"):
        python(home, "pass", run_id="d" * 32)
