"""Other servers for the same model directory, each started as its documentation says, by an interpreter that has it."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.machine import Server, port
from bench.scored import infer, invocation, records

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "BENTOML_DO_NOT_TRACK": "true"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
BATCH, BATCH_S = 64, 0.01

LITSERVE = """
import sys
import cloudpickle, litserve, pandas

class Served(litserve.LitAPI):
    def setup(self, device):
        self.model = cloudpickle.load(open(sys.argv[1], "rb"))

    def decode_request(self, request):
        return request["rows"][0]

    def batch(self, rows):
        return pandas.DataFrame(rows)

    def predict(self, table):
        return self.model.predict(table).tolist()

    def unbatch(self, answers):
        return answers

    def encode_response(self, answer):
        return {"predictions": [answer]}

if __name__ == "__main__":
    server = litserve.LitServer(Served(max_batch_size=%d, batch_timeout=%g), accelerator="cpu")
    server.run(port=int(sys.argv[2]), host="127.0.0.1", generate_client_file=False, num_api_servers=1)
"""
BENTOML = """
import bentoml, cloudpickle, os, pandas

@bentoml.service(workers=1, metrics={"enabled": False}, traffic={"timeout": 60})
class Served:
    def __init__(self):
        self.model = cloudpickle.load(open(os.environ["SERVED_MODEL"], "rb"))

    @bentoml.api(batchable=True, max_batch_size=%d, max_latency_ms=10000)
    def predict(self, rows: list[dict]) -> list[int]:
        return self.model.predict(pandas.DataFrame(rows)).astype(int).tolist()
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server, and the request that asks it for one row."""

    server: Server
    request: bytes


Make = Callable[[str, Path, Path, pd.DataFrame], Peer]
"""Takes the interpreter, the model's directory, a folder to work in, and the rows."""


def mlflow(python: str, model: Path, folder: Path, table: pd.DataFrame) -> Peer:
    """`mlflow models serve`."""
    number = port()
    command = [python, "-m", "mlflow", "models", "serve", "--model-uri", str(model), "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(number)]
    beside = {"PATH": f"{Path(python).parent}:/usr/bin:/bin"}  # It starts its server by a name on the path.
    return Peer(Server(command, number, folder, {**QUIET, **ONE_THREAD, **beside}), invocation(table))


def mlserver(python: str, model: Path, folder: Path, table: pd.DataFrame) -> Peer:
    """MLServer with its MLflow runtime and adaptive batching, in one process; its own worker fails to start."""
    http, grpc, metrics = port(), port(), port()
    settings = {
        "parallel_workers": 0, "host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics,
        "debug": False,
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    served = {
        "name": "late", "implementation": "mlserver_mlflow.MLflowRuntime", "parameters": {"uri": str(model)},
        "max_batch_size": BATCH, "max_batch_time": BATCH_S,
    }  # fmt: skip
    (folder / "model-settings.json").write_text(json.dumps(served))
    command = [str(Path(python).parent / "mlserver"), "start", str(folder)]
    server = Server(command, http, folder, {**QUIET, **ONE_THREAD}, health="/v2/models/late/ready")
    return Peer(server, infer("/v2/models/late/infer", table))


def litserve(python: str, model: Path, folder: Path, table: pd.DataFrame) -> Peer:
    """LitServe with batches."""
    number = port()
    (folder / "served.py").write_text(LITSERVE % (BATCH, BATCH_S))
    command = [python, str(folder / "served.py"), str(model / "model.pkl"), str(number)]
    server = Server(command, number, folder, {**QUIET, **ONE_THREAD})
    return Peer(server, records("/predict", table))


def bentoml(python: str, model: Path, folder: Path, table: pd.DataFrame) -> Peer:
    """BentoML with an adaptive batch."""
    number = port()
    (folder / "served.py").write_text(BENTOML % BATCH)
    command = [python, "-m", "bentoml", "serve", "served:Served", "--working-dir", str(folder)]
    command += ["--host", "127.0.0.1", "--port", str(number)]
    env = {**QUIET, **ONE_THREAD, "SERVED_MODEL": str(model / "model.pkl"), "BENTOML_HOME": str(folder / "home")}
    server = Server(command, number, folder, env, health="/readyz")
    return Peer(server, records("/predict", table))


PEERS: dict[str, Make] = {"mlflow": mlflow, "mlserver": mlserver, "litserve": litserve, "bentoml": bentoml}


def has(python: str, name: str) -> bool:
    """Whether an interpreter can import a peer."""
    found = subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False)
    return found.returncode == 0
