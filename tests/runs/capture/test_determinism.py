"""`--determinism`: what each level sets, what reaches the command, and that programs then repeat untouched."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from taut.ground.access import Actor
from taut.home import Home, open_home
from taut.records import Determinism, Level, Surroundings
from taut.runs import LEVELS, settings
from taut.runs.capture.determinism import (
    KERNELS,
    THREADS,
    applied,
    cpu,
    had,
    kernels,
    thread_count,
    to_clear,
    with_hash_seed,
    with_seed,
    with_threads,
    with_variables,
)
from taut.runs.capture.environment import surroundings_here
from taut.runs.capture.sandbox import landlock_version

NOWHERE = "http://127.0.0.1:9"
SHIM = Path(__file__).parents[3] / "src" / "taut" / "runs" / "capture" / "shim"

needs_landlock = pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock")


@pytest.fixture
def home(project: Path) -> Iterator[Home]:
    """On SQLite alone: where rows are kept makes no difference to what a command is given."""
    with open_home(project, actor=Actor("ada", "owner")) as opened:
        yield opened


def level(home: Home, name: Level, **more: str) -> Determinism:
    return settings(name, more, folder=home.project)


# Levels


def test_nothing_is_set_where_nothing_is_asked_for(home: Home):
    how = level(home, "off")
    assert (how.variables, how.seed, how.fixed_addresses, how.cores) == ({}, None, False, ())


def test_every_level_sets_what_the_one_before_it_sets(home: Home):
    variables = [level(home, name).variables.keys() for name in LEVELS]
    for less, more in pairwise(variables):
        assert less < more


def test_the_basic_level_sets_what_no_result_depends_on(home: Home):
    how = level(home, "basic")
    assert (how.variables, how.fixed_addresses, how.seed) == ({"PYTHONHASHSEED": "0"}, True, None)


def test_the_time_of_the_commit_stands_for_the_present(home: Home):
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(
            ["git", *words], cwd=home.project, check=True, env={**os.environ, "GIT_COMMITTER_DATE": "@1700000000 +0000"}
        )
    assert level(home, "basic").variables["SOURCE_DATE_EPOCH"] == "1700000000"


def test_the_seeded_level_pins_every_count_of_threads(home: Home):
    how = level(home, "seeded")
    cores = len(os.sched_getaffinity(0))
    assert how.seed == 0
    assert {how.variables[name] for name in THREADS} == {str(cores)}
    assert thread_count(how, 99) == cores


def test_the_strict_level_pins_the_kernels(home: Home):
    how = settings("strict", {}, folder=home.project, python=sys.executable)
    assert how.variables["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert how.variables["TAUT_STRICT"] == "1"
    assert kernels().keys() in (set(), KERNELS.keys())
    assert KERNELS.keys() <= how.variables.keys() or not kernels()


def test_what_the_user_has_set_stays(home: Home):
    how = level(home, "strict", PYTHONHASHSEED="7", OMP_NUM_THREADS="3", PATH="/bin")
    assert not {"PYTHONHASHSEED", "OMP_NUM_THREADS", "PATH"} & how.variables.keys()
    assert how.variables["OPENBLAS_NUM_THREADS"]


def test_one_thread_is_one_thread_whatever_the_user_has_set(home: Home):
    how = settings("off", {"OMP_NUM_THREADS": "3"}, folder=home.project, single_thread=True)
    assert {how.variables[name] for name in THREADS} == {"1"}
    assert len(how.cores) == 1


@pytest.mark.parametrize(
    ("change", "variable", "value"),
    [
        (with_seed, "TAUT_SEED", "0"),
        (with_hash_seed, "PYTHONHASHSEED", "0"),
        (lambda how: with_threads(how, 4), "OMP_NUM_THREADS", "4"),
    ],
)
def test_one_thing_is_changed_at_a_time(change: Callable[[Determinism], Determinism], variable: str, value: str):
    how = change(Determinism(variables={"TZ": "UTC"}))
    assert (how.variables[variable], how.variables["TZ"]) == (value, "UTC")


def test_kernels_of_an_older_processor_are_added_to_what_is_set():
    assert with_variables(Determinism(variables={"TZ": "UTC"}), kernels()).variables == {"TZ": "UTC", **kernels()}


def test_an_environment_gets_what_was_set():
    how = Determinism(variables={"OMP_NUM_THREADS": "2"})
    assert applied({"PATH": "/bin", "OMP_NUM_THREADS": "8"}, how) == {"PATH": "/bin", "OMP_NUM_THREADS": "2"}


def test_a_repetition_has_the_variables_of_its_run_but_for_secrets_and_places():
    here = {"PATH": "/bin", "OMP_NUM_THREADS": "8", "LC_NUMERIC": "de_DE.UTF-8", "PYTHONPATH": "/here", "ALPHA": "1"}
    assert to_clear(here) == {"OMP_NUM_THREADS", "LC_NUMERIC", "TAUT_SEED", "TAUT_STRICT"}
    around = Surroundings(variables={"OMP_NUM_THREADS": "2", "HF_TOKEN": "***", "PYTHONPATH": "/then", "LANG": "C"})
    how = had(around, Determinism("seeded", 3, {"TAUT_SEED": "3"}))
    assert how == Determinism("seeded", 3, {"OMP_NUM_THREADS": "2", "LANG": "C", "TAUT_SEED": "3"})


def test_the_processor_of_a_run_is_told_as_that_of_here():
    assert cpu(Surroundings(cpu="EPYC", cpu_flags=("avx2", "fma", "sse2"))) == "EPYC (avx2 fma)"
    assert cpu() == cpu(surroundings_here({}))
    assert cpu(Surroundings()) == cpu()
