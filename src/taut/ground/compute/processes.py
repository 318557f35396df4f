"""Processes of this machine: started to outlive us, known by `PID:START`, stopped politely, then for good.

A process id alone may mean another process after a while, or after a restart of the machine; with the moment
it started (in clock ticks since boot) and the boot itself it cannot.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

POLL_S = 0.02  # Fine beside the hundreds of milliseconds that an interpreter takes to start or end.


def start_detached(command: Sequence[str], *, log: Path, folder: Path, environment: Mapping[str, str]) -> str:
    """Start a process in a session of its own, its output appended to `log`; returns its handle.

    `environment` is added to ours. It keeps running when we end; Ctrl-C in our terminal does not reach it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process.returncode = 0  # It is not ours to wait for; without this Python would warn that it still runs.
    return handle_of(process.pid)


def handle_of(pid: int) -> str:
    """The handle of a running process; `PID:` where it has ended already."""
    return f"{pid}:{_start(pid)}"


def is_alive(handle: str) -> bool:
    """Whether the very process that the handle was made of still runs. A zombie does not."""
    pid, _, start = handle.partition(":")
    return pid.isdigit() and start != "" and _start(int(pid)) == start


def stop_process(handle: str, *, grace_s: float = 10.0) -> bool:
    """Ask the process to end, and after `grace_s` seconds end it; returns whether it went by itself.

    A process that is gone already is no error, and another one with its id is left alone.
    """
    for kind, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        if not is_alive(handle):
            return True
        _signal(int(handle.partition(":")[0]), kind)
        deadline = time.monotonic() + patience_s
        while is_alive(handle) and time.monotonic() < deadline:
            _reap(int(handle.partition(":")[0]))
            time.sleep(POLL_S)
        if not is_alive(handle):
            return kind is signal.SIGTERM
    return False


def _start(pid: int) -> str:
    """Start time of a process and the boot it belongs to; empty where there is none or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    state, start_ticks = fields[0], fields[19]
    return "" if state in "ZX" else f"{start_ticks}.{_boot()}"


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]


def _signal(pid: int, kind: signal.Signals) -> None:
    try:
        os.kill(pid, kind)
    except ProcessLookupError:
        return  # It went between the look and the signal.


def _reap(pid: int) -> None:
    """Take the exit status of a child of ours, or it stays a zombie; of anybody else's it is not ours to take."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
