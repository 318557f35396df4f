"""Runs a program under the observer as `taut run` does, and says which files of its project it was seen to touch."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from taut.home import open_home
from taut.runs.capture.inputs import Files, Recording, files_of
from taut.runs.capture.observed import OBSERVER, Observed, observed_by_kernel, observer_problem

HERE = Path(__file__).parents[3]


def make_observer() -> None:
    """Compile what is absent or older than its source, the observer and the module, where there is a compiler."""
    made = (OBSERVER, HERE / "src/taut/data/workspace/native/_native.abi3.so")
    sources = [HERE / "hatch_build.py", *(source for file in made for source in file.parent.glob("*.[ch]"))]
    newest = max(file.stat().st_mtime for file in sources)
    is_stale = not all(file.exists() and file.stat().st_mtime >= newest for file in made)
    if is_stale and sys.platform == "linux" and shutil.which("cc"):
        subprocess.run([sys.executable, str(HERE / "hatch_build.py")], check=False)  # Tests that need one skip then.


def observer() -> Path:
    """The compiled observer. Skips where there is none."""
    if problem := observer_problem():
        pytest.skip(problem)
    return OBSERVER


@dataclass(frozen=True)
class Seen:
    """What was observed, what is recorded of it, and how the program ended."""

    observed: Observed
    files: Files
    status: int

    @property
    def inputs(self) -> set[str]:
        return {read.path for read in self.files.inputs}

    @property
    def outputs(self) -> set[str]:
        return {output.path for output in self.files.outputs}


def launched(project: Path, recording: Path, *command: str) -> list[str]:
    """The command line that observes a command."""
    (recording / "kept").mkdir(parents=True, exist_ok=True)
    program = shutil.which(command[0])
    assert program is not None, command
    places = [str(recording / "opened"), str(recording / "kept"), os.path.realpath(project)]
    return [str(observer()), str(os.getpid()), *places, "own", program, *command]


def observe(project: Path, *command: str, stdin: int | None = subprocess.DEVNULL, options: Sequence[str] = ()) -> Seen:
    """Run a command in the project to its end; `options` go before the observer, as `setpriv` and its words."""
    recording = project.parent / f"recording-{time.monotonic_ns()}"
    started_ns = time.time_ns()
    line = [*options, *launched(project, recording, *command)]
    environment = {name: value for name, value in os.environ.items() if name not in ("TAUT_WATCHED", "TAUT_WITHIN")}
    done = subprocess.run(
        line, cwd=project, env=environment, stdin=stdin, capture_output=True, text=True, timeout=120, process_group=0
    )
    assert done.stderr == "", done.stderr
    observed = observed_by_kernel(recording / "opened")
    with open_home(project) as home:
        files = files_of(home, Recording(project, started_ns, recording / "kept", (str(recording),)), observed, {})
    return Seen(observed, files, done.returncode)
