"""Programs with the unchanged MLflow client, each in a process of its own."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ENDS_WITHIN_S = 150.0
# What every program begins with. Clients retry what looks like a defect of the server for minutes: one try makes such
# an answer fail the test instead of slowing it down.
PRELUDE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
client = MlflowClient()
answers = {}
def code_of(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except MlflowException as problem:
        return problem.error_code
    return "no error"
"""
EPILOGUE = "\nprint('ANSWERS ' + json.dumps(answers))"
Client = Callable[..., dict[str, Any]]


class Programs:
    """Runs programs one after the other, in forks of a process that has imported the client."""

    def __init__(self) -> None:
        self._nursery: subprocess.Popen[str] | None = None

    def run(self, program: str, folder: Path, environment: Mapping[str, str], *, unsaid: str = "") -> str:
        """Run a program in a folder; returns what it printed.

        Fails with all that it said where its status is not 0, or where `unsaid` stands on its stderr.
        """
        with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
            status = self._ended({
                "program": program, "folder": str(folder), "environment": dict(environment), "out": out.name,
                "err": err.name,
            })  # fmt: skip
            said, complained = (Path(file.name).read_text() for file in (out, err))
        assert status == 0, said + complained
        assert not unsaid or unsaid not in complained, complained
        return said

    def client(self, url: str, folder: Path, *, prelude: str = PRELUDE, unsaid: str = "") -> Client:
        """Runs what follows the prelude against a server; returns what it put into `answers`."""
        asked = {"MLFLOW_TRACKING_URI": url, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}

        def run(program: str, **environment: str) -> dict[str, Any]:
            said = self.run(prelude + program + EPILOGUE, folder, {**os.environ, **asked, **environment}, unsaid=unsaid)
            answers: dict[str, Any] = json.loads(said.rpartition("ANSWERS ")[2])
            return answers

        return run

    def close(self) -> None:
        """End the process that forks."""
        if self._nursery is not None:
            self._nursery.communicate(timeout=20)

    def _ended(self, order: Mapping[str, object]) -> int:
        if self._nursery is None:
            self._nursery = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("nursery.py"))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            )  # fmt: skip
        nursery = self._nursery
        assert nursery.stdin and nursery.stdout
        nursery.stdin.write(json.dumps(order) + "\n")
        nursery.stdin.flush()
        if not select.select([nursery.stdout], [], [], ENDS_WITHIN_S)[0]:
            os.killpg(nursery.pid, signal.SIGKILL)
            nursery.communicate()
            self._nursery = None
            raise AssertionError(f"a program did not end within {ENDS_WITHIN_S:g} s: {order['program']}")
        return int(nursery.stdout.readline())
