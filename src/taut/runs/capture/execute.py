"""`taut run -- CMD`: start a command so that its MLflow client lands in the run, watch it, and record how it ended."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import IO

from taut.errors import NotFound, UsageError
from taut.ground.clock import new_id
from taut.home import Home
from taut.records import Capture, Determinism, Run, Usage
from taut.runs.capture.determinism import applied
from taut.runs.capture.environment import surroundings_here
from taut.runs.capture.git import git_state
from taut.runs.capture.observed import OBSERVER, observer_problem
from taut.runs.capture.reads import watched
from taut.runs.capture.recording import (
    KEPT,
    OPENED,
    OUTPUT,
    READS,
    Ended,
    begin_recording,
    finish_recording,
    note_end,
    reconcile_runs,
)
from taut.runs.capture.sandbox import Sandbox
from taut.runs.tracking import create_run, record_capture, update_run

LAUNCHER = Path(__file__).with_name("shim") / "launch.py"
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def execute_run(
    home: Home,
    command: Sequence[str],
    *,
    tracking_uri: str,
    name: str = "",
    experiment: str = "Default",
    cause: str = "manual",
    run_id: str = "",
    folder: Path | None = None,
    determinism: Determinism | None = None,
    sandbox: Sandbox | None = None,
) -> Run:
    """Run a command in `folder` and record code, data, environment, output, exit status and cost of it.

    `determinism` is set for it, see `determinism.py`; with none given nothing is. MLflow clients inside land in this
    run. An id that the caller chose is an idempotency key: a run of that id that finished is returned and nothing
    starts; one that failed or was killed runs again. Signals are passed on, and what
    a signal ends is KILLED. Raises NotFound for a program that does not exist, Conflict where the run still goes on.
    """
    place = (folder or Path.cwd()).absolute()
    program = _program(command, place, sandbox)
    reconcile_runs(home)
    chosen = run_id or new_id()
    project = home.project if place.is_relative_to(home.project) else place
    git, missing = git_state(home, place)
    beside = sandbox or Sandbox()
    how = determinism or Determinism()
    own = applied(beside.around(os.environ), how)
    capture = Capture(
        command=tuple(command), folder=str(place), git=git, platform=platform.platform(), missing=missing,
        surroundings=surroundings_here(own), determinism=how,
    )  # fmt: skip
    unobserved = observer_problem()
    recording = begin_recording(home, chosen, project, capture, tracking_uri=tracking_uri, unobserved=unobserved)
    try:
        run = create_run(home, experiment=experiment, name=name, cause=cause, run_id=chosen)
    except BaseException:
        shutil.rmtree(recording)
        raise
    if run.status == "FINISHED":
        shutil.rmtree(recording)
        return run
    if run.status != "RUNNING":
        update_run(home, chosen, status="RUNNING")
    record_capture(home, chosen, capture)
    environment = _environment(own, tracking_uri, chosen, experiment, recording)
    launched = _launched((program, *command), recording, project, how, beside, observed=not unobserved)
    note_end(recording, _watch(home, launched, place, environment, recording / OUTPUT))
    return finish_recording(home, recording)


def _program(command: Sequence[str], folder: Path, beside: Sandbox | None = None) -> str:
    if not command:
        raise UsageError("there is no command to run", hint="taut run -- python train.py")
    named = folder / command[0] if os.sep in command[0] else command[0]
    program = shutil.which(named, path=beside.variables.get("PATH") if beside else None)
    if program is None:
        raise NotFound(f"no program {command[0]!r} that could be run", hint=f"command -v {command[0]}")
    return os.path.abspath(program)


def _environment(
    own: dict[str, str], tracking_uri: str, run_id: str, experiment: str, recording: Path
) -> dict[str, str]:
    around = own.get("TAUT_WATCHED", "")  # The record of a run around this one, whose observer sees for this one too.
    return {
        **{name: value for name, value in own.items() if name != "TAUT_WATCHED"},
        **({"TAUT_WITHIN": around} if around else {}),
        "MLFLOW_TRACKING_URI": tracking_uri,
        "MLFLOW_RUN_ID": run_id,
        "MLFLOW_EXPERIMENT_NAME": experiment,
        "PYTHONUNBUFFERED": "1",  # Its output passes through a pipe and should still be seen as it is written.
        **watched(recording / READS, own.get("PYTHONPATH", "")),
    }


def _launched(
    command: Sequence[str], recording: Path, project: Path, how: Determinism, beside: Sandbox, *, observed: bool
) -> tuple[str, ...]:
    """What starts a program and its arguments: the observer, and before it what asks the kernel for more than that.

    Without the observer, a few lines tie the life of the command to ours.
    """
    parent = str(os.getpid())
    asked = {"fixed_addresses": how.fixed_addresses, "cores": how.cores, **beside.bounds(recording)}
    if observed:
        group = "shared" if _shares_terminal() else "own"
        places = (str(recording / OPENED), str(recording / KEPT), os.path.realpath(project))
        command = (str(OBSERVER), str(OBSERVER), parent, *places, group, *command)
        if not any(asked.values()):
            return tuple(command[1:])
    return (sys.executable, "-I", "-S", str(LAUNCHER), parent, json.dumps(asked), *command)


def _shares_terminal() -> bool:
    """Whether Ctrl-C at a terminal reaches the command by itself.

    There the whole foreground group gets it; elsewhere a group of its own lets us pass a signal on to the command and
    its children, once.
    """
    return sys.stdin is not None and sys.stdin.isatty()


def _watch(home: Home, launched: Sequence[str], folder: Path, environment: dict[str, str], output: Path) -> Ended:
    """Start the command and wait for its end, its output shown and kept."""
    began = time.monotonic()
    shares_terminal = _shares_terminal()
    with output.open("ab", buffering=0) as log, _signals() as received:
        process = subprocess.Popen(
            launched, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            process_group=None if shares_terminal else 0,
        )  # fmt: skip
        received.forward_to(process.pid, shares_terminal=shares_terminal)
        copiers = [_copied(process.stdout, sys.stdout, log), _copied(process.stderr, sys.stderr, log)]
        status, usage = _waited(process.pid)
        process.returncode = status
        for copier in copiers:
            copier.join()
    cost = replace(usage, wall_s=time.monotonic() - began)
    killed = status < 0 or (status != 0 and received.any)
    return Ended(status, "KILLED" if killed else "FAILED" if status else "FINISHED", home.clock.now_ms(), cost)


def _waited(pid: int) -> tuple[int, Usage]:
    """Exit status (negative: a signal) and cost of the process and those children that it waited for."""
    _, status, used = os.wait4(pid, 0)
    memory_bytes = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    usage = Usage(0.0, used.ru_utime + used.ru_stime, len(os.sched_getaffinity(0)), memory_bytes)
    return os.waitstatus_to_exitcode(status), usage


def _copied(source: IO[bytes] | None, shown: IO[str], log: IO[bytes]) -> threading.Thread:
    """Copy a pipe to a terminal and the log, as it comes, until its last writer closes it."""
    assert source is not None

    def copy() -> None:
        with source:
            while data := os.read(source.fileno(), 1 << 16):
                log.write(data)
                _show(shown, data)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread


def _show(shown: IO[str], data: bytes) -> None:
    try:
        if (raw := getattr(shown, "buffer", None)) is not None:
            raw.write(data)
        else:
            shown.write(data.decode(errors="replace"))
        shown.flush()
    except (BrokenPipeError, ValueError):
        return  # Whoever read our output has had enough; the run goes on and the log has it all.


class _Received:
    """Signals that came while the command ran, passed on to it."""

    def __init__(self) -> None:
        self.any = False
        self._group = 0
        self._shares_terminal = False

    def forward_to(self, group: int, *, shares_terminal: bool) -> None:
        self._group, self._shares_terminal = group, shares_terminal

    def take(self, number: int, _frame: FrameType | None) -> None:
        self.any = True
        if not self._group or (self._shares_terminal and number == signal.SIGINT):
            return
        try:
            os.kill(self._group, number) if self._shares_terminal else os.killpg(self._group, number)
        except ProcessLookupError:
            return  # It has just ended by itself.


@contextmanager
def _signals() -> Iterator[_Received]:
    """Take the signals that end programs while the block runs; only the main thread may, and only there they arrive."""
    received = _Received()
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, received.take) for number in PASSED_ON}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
