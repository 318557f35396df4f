"""What is set reaches the command: programs repeat untouched, see only their sandbox, and what they write is kept."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.ground.access import Actor
from taut.ground.objects import read_object
from taut.home import Home, open_home
from taut.records import Determinism, Level
from taut.runs import execute_run, settings
from taut.runs.capture.sandbox import Sandbox, landlock_version, make_sandbox

NOWHERE = "http://127.0.0.1:9"
SHIM = Path(__file__).parents[3] / "src" / "taut" / "runs" / "capture" / "shim"

# Each starts some processes.
pytestmark = pytest.mark.slow

needs_landlock = pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock")


@pytest.fixture
def home(project: Path) -> Iterator[Home]:
    """On SQLite alone: where rows are kept makes no difference to what a command is given."""
    with open_home(project, actor=Actor("ada", "owner")) as opened:
        yield opened


def run(home: Home, program: str, how: Determinism | None = None, sandbox: Sandbox | None = None) -> str:
    """What a program prints."""
    done = execute_run(
        home,
        [sys.executable, "-c", program],
        tracking_uri=NOWHERE,
        folder=home.project,
        determinism=how,
        sandbox=sandbox,
    )
    return read_object(home.objects, done.capture.output).decode().strip() if done.capture.output else ""


def level(home: Home, name: Level, **more: str) -> Determinism:
    return settings(name, more, folder=home.project)


# What reaches the command


def test_what_was_set_is_recorded_on_the_run(home: Home):
    how = level(home, "seeded")
    done = execute_run(home, [sys.executable, "-c", "pass"], tracking_uri=NOWHERE, folder=home.project, determinism=how)
    assert done.capture.determinism == how


def test_what_was_found_is_recorded_where_nothing_was_set(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    done = execute_run(home, [sys.executable, "-c", "pass"], tracking_uri=NOWHERE, folder=home.project)
    assert done.capture.determinism == Determinism()
    assert done.capture.surroundings is not None
    assert done.capture.surroundings.variables["OMP_NUM_THREADS"] == "1"
    assert "hush" not in str(done.capture)


def test_the_order_of_a_set_repeats_in_the_basic_level(home: Home):
    program = "print({f'word {n}' for n in range(20)})"
    assert run(home, program, level(home, "basic")) == run(home, program, level(home, "basic"))
    assert run(home, program) != run(home, program)


def test_memory_lies_where_it_always_does_in_the_basic_level(home: Home):
    program = "import ctypes; print(ctypes.addressof(ctypes.c_int.in_dll(ctypes.CDLL(None), 'optind')))"
    assert run(home, program, level(home, "basic")) == run(home, program, level(home, "basic"))
    assert run(home, program) != run(home, program)


DRAWN = "import random, numpy as np; print(random.random(), np.random.rand(), np.random.default_rng().random())"


def test_chance_repeats_in_the_seeded_level(home: Home):
    assert run(home, DRAWN, level(home, "seeded")) == run(home, DRAWN, level(home, "seeded"))
    assert run(home, DRAWN) != run(home, DRAWN)


def test_another_seed_gives_another_chance(home: Home):
    first, second = (settings("seeded", {}, folder=home.project, seed=seed) for seed in (1, 2))
    assert run(home, DRAWN, first) != run(home, DRAWN, second)


def test_two_generators_of_one_program_are_not_the_same(home: Home):
    program = (
        "import numpy as np; a, b = np.random.default_rng(), np.random.default_rng(); print(a.random() != b.random())"
    )
    assert run(home, program, level(home, "seeded")) == "True"


def test_a_program_that_seeds_itself_has_its_own_way(home: Home):
    program = "import random; random.seed(5); print(random.random())"
    assert run(home, program, level(home, "seeded")) == run(home, program)


def test_nothing_is_imported_that_the_program_does_not_import(home: Home):
    program = "import sys; print([name for name in ('random', 'numpy', 'torch') if name in sys.modules])"
    assert run(home, program, level(home, "seeded")) == run(home, program)


def test_a_module_of_the_programs_own_name_is_left_alone(home: Home):
    (home.project / "polars.py").write_text("value = 3\n")
    program = "import polars; print(polars.value)"
    told = run(home, program, level(home, "seeded"))  # Two streams, in the order of arrival, even within a line.
    assert "3" in told
    assert told.count("polars could not be seeded") == 1


def test_modules_keep_their_own_loaders(home: Home):
    program = "import random as r; print(type(r.__spec__.loader).__name__, r.__loader__ is r.__spec__.loader)"
    assert run(home, program, level(home, "seeded")) == "SourceFileLoader True"


def test_polars_draws_the_same_rows(home: Home):
    pytest.importorskip("polars")
    program = "import polars as pl; print(pl.Series(range(1000)).sample(3).to_list())"
    assert run(home, program, level(home, "seeded")) == run(home, program, level(home, "seeded"))


def seen(program: str, folder: Path) -> set[str]:
    """What the shim notes of a program."""
    (folder / "train.py").write_text(program)
    notes = folder / "seen"
    environment = {**os.environ, "PYTHONPATH": str(SHIM), "TAUT_SEEN": str(notes)}
    subprocess.run([sys.executable, "train.py"], cwd=folder, env=environment, check=True)
    return set(notes.read_text().splitlines()) if notes.exists() else set()


@pytest.mark.parametrize(
    ("program", "note"),
    [
        ("import uuid\nuuid.uuid4()", "uuid train.py:2"),
        ("import uuid\nuuid.uuid1()", "uuid train.py:2"),
        ("import os\nos.urandom(4)", "urandom train.py:2"),
        ("import secrets\nsecrets.token_hex(4)", "urandom train.py:2"),
        ("import time\ntime.time()", "time train.py:2"),
        ("import time\ntime.time_ns()", "time train.py:2"),
        ("import socket\nsocket.socket().connect_ex(('127.0.0.1', 9))", "connect 127.0.0.1:9"),
        ("import sklearn", "import sklearn"),
    ],
)
def test_what_no_seed_reaches_is_noted_with_its_line(tmp_path: Path, program: str, note: str):
    assert note in seen(program, tmp_path)


def test_what_a_package_asks_for_by_itself_is_not_noted(tmp_path: Path):
    assert not any(note.startswith(("uuid", "urandom")) for note in seen("import joblib, tempfile\n", tmp_path))


# The sandbox


@needs_landlock
def test_a_command_in_a_sandbox_writes_nowhere_else(home: Home, tmp_path: Path):
    inside, outside = home.project, tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("mine")
    sandbox = Sandbox(writable=(str(inside),))
    program = f"""
import os
for act in (lambda: open({str(outside / "new")!r}, "w"), lambda: os.remove({str(outside / "kept")!r}),
            lambda: os.truncate({str(outside / "kept")!r}, 0), lambda: os.mkdir({str(outside / "folder")!r}),
            lambda: os.rename({str(outside / "kept")!r}, "taken"), lambda: open("own", "w").write("x")):
    try:
        act(); print("done")
    except OSError as problem:
        print(type(problem).__name__)
open("/dev/null", "w").write("x")
print(open({str(outside / "kept")!r}).read())
"""
    told = run(home, program, None, sandbox).splitlines()
    assert told[:4] == ["PermissionError"] * 4
    assert told[4] in ("PermissionError", "OSError")
    assert told[5:] == ["done", "mine"]


@pytest.mark.skipif(landlock_version() < 4, reason="this kernel's Landlock does not know TCP")
def test_a_command_without_the_network_reaches_one_port_alone(home: Home):
    program = """
import socket
for port in (1, 9):
    try:
        socket.create_connection(("127.0.0.1", port), 2)
    except OSError as problem:
        print(type(problem).__name__)
"""
    told = run(home, program, None, Sandbox(ports=(9,)))
    assert told.split() == ["PermissionError", "ConnectionRefusedError"]


def test_a_sandbox_has_a_home_and_a_place_for_what_is_temporary(tmp_path: Path):
    sandbox, missing = make_sandbox(tmp_path, tracking_uri=NOWHERE, offline=True)
    assert sandbox.variables["HOME"] == str(tmp_path / "user")
    assert Path(sandbox.variables["TMPDIR"]).is_dir()
    assert sandbox.ports == (9,) or missing
    assert make_sandbox(tmp_path, tracking_uri=NOWHERE, offline=False)[0].ports is None


def test_numpy_starts_with_the_kernels_that_the_strict_level_leaves_it(home: Home):
    how = settings("strict", {}, folder=home.project, python=sys.executable)
    assert run(home, "import numpy; print(numpy.ones(3).sum())", how) == "3.0"


def test_a_command_of_one_thread_has_one_core(home: Home):
    how = settings("off", {"OMP_NUM_THREADS": "3"}, folder=home.project, single_thread=True)
    assert run(home, "import os; print(len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])", how) == "1 1"
