"""Scenes for the tests of serving: homes with registered models that do as they are told, and servers on real ports."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import urllib3

from taut.deploy import record_deployment
from taut.deploy.running import run_folder, serving_now
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.models import register_folder
from taut.records import ModelVersion
from tests.parts import eventually

INPUTS = [
    {"type": "double", "name": "delay", "required": False},
    {"type": "long", "name": "seats", "required": True},
    {"type": "string", "name": "carrier", "required": True},
]
ROWS: dict[str, list[Any]] = {"delay": [2.5, 4.0], "seats": [10, 20], "carrier": ["UA", "AA"]}


class Obedient:
    """A classifier whose probability is `delay * factor + seats / 1000`, and which fails or hangs where it is told to.

    A carrier called `raise` makes it raise, one called `hang:PATH` makes it wait until the file is there.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.classes_ = __import__("numpy").array([0, 1])

    def predict_proba(self, table: Any) -> Any:
        import time
        from pathlib import Path

        import numpy as np

        for carrier in table["carrier"]:
            if carrier == "raise":
                raise RuntimeError("told to")
            while carrier.startswith("hang:") and not Path(carrier[5:]).exists():
                time.sleep(0.01)
        positive = np.nan_to_num(table["delay"].to_numpy()) * self.factor + table["seats"].to_numpy() / 1000
        return np.column_stack([1 - positive, positive])

    def predict(self, table: Any) -> Any:
        return self.predict_proba(table).argmax(axis=1)


cloudpickle.register_pickle_by_value(sys.modules[__name__])


def make_home(folder: Path) -> Home:
    """A new project with an empty home."""
    folder.mkdir(parents=True, exist_ok=True)
    make_folder(folder)
    return open_home(folder)


def save_model(folder: Path, estimator: Any) -> Path:
    """A model directory as MLflow writes it, with the signature of `INPUTS`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(estimator))
    file = {
        "flavors": {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}},
        "signature": {"inputs": msgspec.json.encode(INPUTS).decode()},
    }
    (folder / "MLmodel").write_bytes(msgspec.json.encode(file))  # JSON is YAML.
    return folder


def register(home: Home, *, factor: float = 0.1, name: str = "late") -> ModelVersion:
    """Another version of a model that answers with this factor."""
    return register_folder(home, name, save_model(home.project / f"model-{name}-{factor}", Obedient(factor)))


def record(home: Home, number: int = 1, *, name: str = "late") -> int:
    """Record a deployment of that version of `late`, without starting anything; returns its revision."""
    return record_deployment(home, name, "late", number, "process", {"host": "127.0.0.1", "port": 0}, "manual").revision


@dataclass(frozen=True)
class Server:
    """A serving process, and how to talk to it."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """One request; bytes go as they are, everything else as JSON. Returns the status and the parsed answer."""
        answer = self.raw(method, path, body, **headers)
        return answer.status, msgspec.json.decode(answer.data)

    def raw(self, method: str, path: str, body: object = None, **headers: str) -> urllib3.BaseHTTPResponse:
        sent = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        return urllib3.request(method, self.url + path, body=sent, headers=headers, retries=False, timeout=30.0)

    def infer(self, columns: dict[str, list[Any]] | None = None, **more: Any) -> tuple[int, Any]:
        """An inference request of columns, by the Open Inference Protocol."""
        return self.ask("POST", "/v2/models/late/infer", {"inputs": tensors(columns or ROWS), **more})


def tensors(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Columns as the protocol's tensors."""
    kinds = {"delay": "FP64", "seats": "INT64", "carrier": "BYTES"}
    return [
        {"name": name, "shape": [len(values)], "datatype": kinds.get(name, "BYTES"), "data": values}
        for name, values in columns.items()
    ]


@contextmanager
def serving(home: Home, *, revision: int = 0, port: int = 0, workers: int | None = None) -> Iterator[Server]:
    """A real supervisor of the deployment `late`, with a front a core unless told; killed at the end."""
    log = home.project / f"serving-{revision}.log"
    command = [sys.executable, "-m", "taut.serve", "--deployment", "late"]
    command += ["--revision", str(revision), "--port", str(port)]
    command += [] if workers is None else ["--workers", str(workers)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=home.project, env=_environment(home), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Server(eventually(lambda: _url_of(home, process, log), what="the server"), process, log)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)


def _environment(home: Home) -> dict[str, str]:
    import os

    return {**os.environ, "TAUT_HOME": home.place}


def _url_of(home: Home, process: "subprocess.Popen[bytes]", log: Path) -> str:
    assert process.poll() is None, log.read_text()
    return next((s.url for s in serving_now(run_folder(home), "late") if s.pid == process.pid), "")
