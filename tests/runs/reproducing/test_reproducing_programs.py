"""Real training programs, each run twice: both agree, or the one known reason why not is named."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.faces.http.embedded import embedded_server
from taut.ground.access import Actor
from taut.home import Home, open_home
from taut.records import Level, Reproduction
from taut.runs import settings
from taut.runs.reproducing import run_twice
from tests.marks import some
from tests.runs.programs import PROGRAMS, Program

# Up to a dozen starts of Python and its libraries a program.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def home(project: Path) -> Iterator[Home]:
    """On SQLite alone, with the clock of the programs: a time in a file is known by when the run was."""
    with open_home(project, actor=Actor("ada", "owner")) as opened:
        yield opened


def twice(home: Home, program: Program, level: Level) -> Reproduction:
    for package in program.needs:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    (home.project / "train.py").write_text(program.text)
    how = settings(level, {}, folder=home.project)
    command = [sys.executable, "train.py"]
    return run_twice(home, command, serve=embedded_server, folder=home.project, determinism=how)[1]


def said(found: Reproduction) -> str:
    """The verdict where both agree, else the cause."""
    return found.verdict if found.verdict in ("bytes", "content") else found.cause


@pytest.mark.parametrize("program", some(PROGRAMS, 3), ids=lambda program: program.name)
def test_a_program_with_nothing_set_agrees_or_its_reason_is_named(home: Home, program: Program):
    found = twice(home, program, "off")
    assert said(found) in program.plain, found


# Of what agrees with nothing set, seeding takes nothing away.
DIFFERING = [program for program in PROGRAMS if not {"bytes", "content"}.issuperset(program.plain)]


@pytest.mark.parametrize("program", some(DIFFERING, 3), ids=lambda program: program.name)
def test_a_seeded_program_agrees_or_what_no_seed_reaches_is_named(home: Home, program: Program):
    found = twice(home, program, "seeded")
    assert said(found) in program.seeded, found


def test_every_reason_that_can_be_found_is_had_by_a_program():
    named = {reason for program in PROGRAMS for reason in (*program.plain, *program.seeded)}
    assert named >= {
        "seed missing", "hash order", "memory address", "uuid/urandom", "time in content", "racy algorithm",
        "row order of a group-by", "process id", "temporary name", "nothing to compare",
    }  # fmt: skip
