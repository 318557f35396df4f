"""SIGKILL in the middle: of a run, of an add, of a checkout. Nothing stays half done, nothing acknowledged is lost."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from taut.data import add_dataset, checkout_dataset, dataset_status, list_datasets
from taut.faces.demo.reached import first_run
from taut.govern import check_home
from taut.ground.compute import is_alive
from taut.ground.objects import read_object
from taut.home import open_home
from taut.runs import execute_run, get_run, reconcile_runs, update_run
from taut.runs.capture.recording import recordings
from tests.parts import eventually

RUN = """
import sys
from pathlib import Path
from taut.home import open_home
from taut.runs import execute_run
with open_home(sys.argv[1]) as home:
    execute_run(home, [sys.executable, "-c", sys.argv[2]], tracking_uri="http://127.0.0.1:9",
                folder=Path(sys.argv[1]), run_id="a" * 32, name="victim")
"""
VICTIM = "import time; open('x').read(); print('so far', flush=True); open('ready', 'w').close(); time.sleep(600)"


def spawn(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL)


@pytest.fixture
def killed(project: Path) -> Path:
    """A project whose `taut run` was killed while its command ran."""
    (project / "x").write_text("x")
    recorder = spawn(RUN, str(project), VICTIM)
    eventually((project / "ready").exists, within=60, what="the command")
    output = project / ".taut" / "run" / ("a" * 32) / "output.log"
    eventually(lambda: b"\n" in output.read_bytes(), what="its output")
    known = [output.with_name("opened"), output.with_name("reads")]  # What is observed is told a moment later.
    eventually(
        lambda: any(os.fsencode(project / "x") in path.read_bytes() for path in known if path.exists()), what="its read"
    )
    recorder.kill()
    recorder.wait()
    return project


def test_a_killed_run_is_not_left_running_and_keeps_what_was_known(killed: Path):
    with open_home(killed) as home:
        assert get_run(home, "a" * 32).status == "RUNNING"
        (run,) = reconcile_runs(home)
        assert (run.id, run.status, run.name) == ("a" * 32, "KILLED", "victim")
        assert run.ended_ms is not None
        assert [read.path for read in run.capture.inputs] == ["x"]
        assert read_object(home.objects, run.capture.output) == b"so far\n"
        assert run.capture.exit_status is None
        assert any("was killed" in what for what in run.capture.missing)
        assert reconcile_runs(home) == []
        assert list(recordings(home).iterdir()) == []


def test_the_demo_does_not_build_on_a_run_killed_after_its_client_said_finished(killed: Path):
    with open_home(killed) as home:
        update_run(home, "a" * 32, name="first", status="FINISHED")
    assert first_run(killed) == ""
    with open_home(killed) as home:
        assert get_run(home, "a" * 32).status == "KILLED"
        execute_run(home, [sys.executable, "-c", ""], tracking_uri="http://127.0.0.1:9", folder=killed, name="first")
    assert first_run(killed) not in ("", "a" * 32)


def test_the_command_of_a_killed_run_ends_with_it(killed: Path):
    def victims() -> list[str]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line, where = (entry / "cmdline").read_bytes(), (entry / "cwd").readlink()
                except OSError:
                    continue
                found += [entry.name] if where == killed and b"so far" in line else []
        return found

    eventually(lambda: not victims(), what="the command to end")


def test_the_next_run_finishes_a_killed_one_and_the_same_id_runs_again(killed: Path):
    with open_home(killed) as home:
        again = execute_run(
            home,
            [sys.executable, "-c", "print('again')"],
            tracking_uri="http://127.0.0.1:9",
            folder=killed,
            run_id="a" * 32,
        )
        assert (again.status, read_object(home.objects, again.capture.output)) == ("FINISHED", b"again\n")


def test_a_run_that_goes_on_is_left_alone(project: Path):
    (project / "x").write_text("x")
    recorder = spawn(RUN, str(project), VICTIM)
    try:
        eventually((project / "ready").exists, within=60, what="the command")
        with open_home(project) as home:
            assert reconcile_runs(home) == []
            assert get_run(home, "a" * 32).status == "RUNNING"
    finally:
        recorder.send_signal(signal.SIGTERM)
        recorder.wait()
    with open_home(project) as home:
        assert get_run(home, "a" * 32).status == "KILLED"


def test_killed_before_the_run_was_made_leaves_nothing_to_finish(project: Path):
    from taut.ground import wire
    from taut.records import Capture
    from taut.runs.capture.recording import Started

    with open_home(project) as home:
        place = recordings(home) / ("e" * 32)
        place.mkdir(parents=True)
        dead = "999999999:1.dead"
        assert not is_alive(dead)
        (place / "started.json").write_bytes(wire.encode(Started("e" * 32, dead, str(project), 0, Capture())))
        assert reconcile_runs(home) == []
        assert not place.exists()


def test_a_server_that_went_away_at_the_end_costs_no_result(project: Path, monkeypatch: pytest.MonkeyPatch):
    from taut.errors import Unavailable
    from taut.runs.capture import recording

    def gone(*_: object) -> None:
        raise Unavailable("no taut server answers")

    with open_home(project) as home:
        with monkeypatch.context() as patch:
            patch.setattr(recording, "finish_run", gone)
            with pytest.raises(Unavailable):
                execute_run(home, [sys.executable, "-c", "print(1)"], tracking_uri="http://127.0.0.1:9", folder=project)
        (place,) = recordings(home).iterdir()
        started = place / "started.json"
        text = started.read_text().replace(f'"{os.getpid()}:', '"999999999:')  # As if that process had ended.
        started.write_text(text)
        (run,) = reconcile_runs(home)
        assert (run.status, run.capture.exit_status) == ("FINISHED", 0)


DATA = """
import os, signal, sys
from pathlib import Path
from taut.home import open_home
from taut.data import add_dataset, checkout_dataset
with open_home(sys.argv[1]) as home:
    steps = int(sys.argv[3])
    def count(event, _):
        global steps
        if event in ("open", "os.rename", "sqlite3.connect", "os.remove", "os.mkdir"):
            steps -= 1
            if steps == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    if sys.argv[2] == "add":
        add_dataset(home, Path(sys.argv[1]) / "tree")
    else:
        checkout_dataset(home, "tree", 1)
"""


def write_tree(project: Path, text: str) -> dict[str, str]:
    for number in range(5):
        (project / "tree" / f"{number % 2}").mkdir(parents=True, exist_ok=True)
        (project / "tree" / f"{number % 2}" / f"{number}.txt").write_text(f"{text}{number}")
    return read_tree(project)


def read_tree(project: Path) -> dict[str, str]:
    return {str(p.relative_to(project)): p.read_text() for p in (project / "tree").rglob("*.txt")}


@pytest.mark.parametrize("step", [1, 6, 12, 18, 24, 29, 33, 36, 38, 40, 41, 42, 43])
def test_an_add_killed_anywhere_is_whole_or_absent_and_typed_again_finishes(project: Path, step: int):
    tree = write_tree(project, "one")
    assert spawn(DATA, str(project), "add", str(step)).wait() == -signal.SIGKILL
    with open_home(project) as home:
        for version in list_datasets(home):
            checkout_dataset(home, version.name, 1, project / "copy")
        assert add_dataset(home, project / "tree").number == 1
        assert read_tree(project) == tree
        assert [state.state for state in dataset_status(home, project)] == ["unchanged"]


@pytest.mark.parametrize("step", [1, 8, 15, 21, 26, 31, 35, 38, 40, 42, 44])
def test_a_checkout_killed_anywhere_leaves_the_old_tree_or_the_new(project: Path, step: int):
    one = write_tree(project, "one")
    with open_home(project) as home:
        add_dataset(home, project / "tree")
        two = write_tree(project, "two")
        add_dataset(home, project / "tree")
    assert spawn(DATA, str(project), "checkout", str(step)).wait() == -signal.SIGKILL
    assert read_tree(project) in (one, two)
    with open_home(project) as home:
        checkout_dataset(home, "tree", 1)
        assert read_tree(project) == one
        assert [p.name for p in project.iterdir() if p.name.startswith(".tree")] == []


@pytest.mark.slow
@pytest.mark.parametrize("wait_s", [0.0, 0.01, 0.02, 0.04, 0.08, 0.12, 0.2, 0.3])
def test_an_add_of_many_files_killed_at_any_time_leaves_no_wrong_object(project: Path, wait_s: float):
    """The moments lie inside the calls that handle many files at once, which no hook of Python sees."""
    for number in range(4_000):
        place = project / "tree" / f"{number % 40}" / f"{number}.bin"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(number.to_bytes(4, "big") * 500)
    adding = spawn(DATA, str(project), "add", "0")
    eventually((project / ".taut" / "cache").exists, what="the first object")
    time.sleep(wait_s)
    adding.kill()
    adding.wait()
    objects = [path for path in (project / ".taut" / "cache" / "files").rglob("*") if path.is_file()]
    for path in objects:
        digest = (path.parent.name + path.name).removesuffix(".dir")
        assert hashlib.md5(path.read_bytes()).hexdigest() == digest
        assert path.stat().st_mode & 0o222 == 0
    with open_home(project) as home:
        assert add_dataset(home, project / "tree").number == 1
        assert check_home(home).problems == ()
