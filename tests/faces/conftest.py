"""The line that the tests of the commands share: told once in a test run, whichever process asks first."""

import fcntl
from pathlib import Path

import pytest

from tests.faces.line import Line, copy_line, copy_project, read_line, tell, untouched


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Line:
    """A finished line to read; whoever changes something takes `own_line`."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent  # pytest-xdist gives each worker a folder in a common one.
    folder, told = shared / "line", shared / "line.told"
    with (shared / "line.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            tell(folder)
            copy_project(folder, untouched(folder))
            told.touch()
    return read_line(folder)


@pytest.fixture
def own_line(line: Line, tmp_path: Path) -> Line:
    """A copy of the line for one test."""
    return copy_line(line, tmp_path / "line")
