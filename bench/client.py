"""An unchanged MLflow client in a process of its own, counting how often it gets through what users type."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.load import Window
from bench.machine import CpuClock, cores, on_core

WARM_UP = 3


def in_client(url: str, work: str, seconds: float, roots: list[int]) -> tuple[Window, list[float]]:
    """Do a work of WORKS in a fresh client process on the clients' core; also what the server used meanwhile."""
    code = "import sys; from bench.client import main; main(*sys.argv[1:])"
    env = {
        **os.environ, "MLFLOW_TRACKING_URI": url, "PYTHONPATH": os.pathsep.join(sys.path), "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet",
    }  # fmt: skip
    process = subprocess.Popen(
        [*on_core(cores()[1]), sys.executable, "-W", "ignore", "-c", code, work, str(seconds)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
        cwd=Path(__file__).parent,
    )  # fmt: skip
    assert process.stdout and process.stdin and process.stderr
    if process.stdout.readline() != "ready\n":
        raise RuntimeError(f"the client failed: {process.communicate()[1][-2000:]}")
    clock = CpuClock(roots)
    process.stdin.write("go\n")
    process.stdin.flush()
    said = process.stdout.readline()
    used = clock.used()
    _, problem = process.communicate()
    if not said:
        raise RuntimeError(f"the client failed: {problem[-2000:]}")
    calls, took, cpu = json.loads(said)
    return Window(calls, took, cpu, [took / calls] * calls), used


def main(work: str, seconds: str) -> None:
    """In the client's process: warm up, say ready, wait for a line, work for so many seconds, tell."""
    told_to, sys.stdout = sys.stdout, Path(os.devnull).open("w")  # noqa: SIM115  # MLflow's own words of each run go there.
    begin = WORKS[work]
    once, end = begin()
    for _ in range(WARM_UP):
        once()
    print("ready", file=told_to, flush=True)
    sys.stdin.readline()
    calls, cpu, started = 0, time.process_time(), time.perf_counter()
    while (took := time.perf_counter() - started) < float(seconds):
        once()
        calls += 1
    told = json.dumps([calls, took, time.process_time() - cpu])
    end()
    print(told, file=told_to, flush=True)


def _steps() -> tuple[Callable[[], None], Callable[[], None]]:
    """One `log_metric` after another, in one run."""
    import mlflow

    mlflow.start_run()
    step = iter(range(10**9))
    return lambda: mlflow.log_metric("loss", 0.5, step=next(step)), mlflow.end_run


def _runs() -> tuple[Callable[[], None], Callable[[], None]]:
    """One short training after another: a run with 10 params and 10 steps."""
    import mlflow

    params = {f"param_{number}": number for number in range(10)}

    def once() -> None:
        with mlflow.start_run():
            mlflow.log_params(params)
            for step in range(10):
                mlflow.log_metric("loss", 1.0 / (1 + step), step=step)

    return once, lambda: None


WORKS: dict[str, Callable[[], tuple[Callable[[], None], Callable[[], None]]]] = {
    "client-log-metric": _steps,
    "client-run": _runs,
}
