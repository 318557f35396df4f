"""How fast a deployment answers, every prediction on disk before its answer: requests a second, a core, and latency.

    python bench/serving.py [--seconds 5] [--json]

A pipeline of 14 numeric and 6 categorical columns with a histogram gradient boosting classifier is served by a real
process; clients in this process ask in a closed loop over kept connections, with one row and with 45 rows (an hour of
flights). `per core` divides by the CPU seconds that the server's process used, true on a busy machine too.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from taut.deploy import deploy_model, stop_deployment
from taut.ground.settings import make_folder
from taut.home import open_home
from taut.models import register_folder

NUMERIC = [f"n{place}" for place in range(14)]
CATEGORICAL = [f"c{place}" for place in range(6)]
TRAINED_ON = 20_000
SEED = 7


@dataclass(frozen=True)
class Measured:
    """One closed loop: so many clients, each asking again as soon as it is answered. Latencies in milliseconds."""

    rows: int
    clients: int
    requests_s: float
    requests_core_s: float
    latency_ms_p50: float
    latency_ms_p99: float


def main() -> None:
    """Train, deploy, measure, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        make_folder(project)
        with open_home(project) as home:
            table = make_table(np.random.default_rng(SEED), TRAINED_ON)
            register_folder(home, "late", save(project / "model", train(table), table))
            state = deploy_model(home, "late", model="late@1")
            pid = int(state.handle.partition(":")[0])
            try:
                figures = [
                    asyncio.run(measure(state.url, pid, request(table, rows), rows, clients, given.seconds))
                    for rows in (1, 45)
                    for clients in (1, 8, 64)
                ]
            finally:
                stop_deployment(home, "late")
    show(figures, as_json=given.json)


def make_table(chance: np.random.Generator, rows: int) -> pd.DataFrame:
    """Columns of numbers and of words."""
    numbers = {name: chance.normal(size=rows) for name in NUMERIC}
    words = {name: chance.choice(list("abcdefgh"), size=rows) for name in CATEGORICAL}
    return pd.DataFrame({**numbers, **words})


def train(table: pd.DataFrame) -> Any:
    """The pipeline that `bench` measures everywhere: ordinal words, boosted trees."""
    encoder = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), CATEGORICAL), remainder="passthrough"
    )
    target = (table["n0"] + (table["c0"] == "a") > 0).to_numpy()
    return make_pipeline(encoder, HistGradientBoostingClassifier(random_state=SEED)).fit(table, target)


def save(folder: Path, model: Any, table: pd.DataFrame) -> Path:
    """A model directory in MLflow's format, written without the large client."""
    folder.mkdir()
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(model))
    inputs = [
        {"type": "double" if name in NUMERIC else "string", "name": name, "required": True} for name in table.columns
    ]
    file = {
        "flavors": {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}},
        "signature": {"inputs": msgspec.json.encode(inputs).decode()},
    }
    (folder / "MLmodel").write_bytes(msgspec.json.encode(file))
    return folder


def request(table: pd.DataFrame, rows: int) -> bytes:
    """A whole HTTP request, so that the clients cost as little as they can."""
    tensors = [
        {
            "name": name,
            "shape": [rows],
            "datatype": "FP64" if name in NUMERIC else "BYTES",
            "data": table[name][:rows].tolist(),
        }
        for name in table.columns
    ]
    body = msgspec.json.encode({"inputs": tensors})
    head = f"POST /v2/models/late/infer HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def measure(url: str, pid: int, asked: bytes, rows: int, clients: int, seconds: float) -> Measured:
    """Ask for so many seconds, after a warm-up of a fifth of that."""
    host, _, port = url.removeprefix("http://").partition(":")
    await asyncio.gather(*(ask(host, int(port), asked, time.monotonic() + seconds / 5) for _ in range(clients)))
    cpu_s, started = cpu_seconds(pid), time.monotonic()
    found = await asyncio.gather(*(ask(host, int(port), asked, started + seconds) for _ in range(clients)))
    wall_s, used_s = time.monotonic() - started, cpu_seconds(pid) - cpu_s
    latencies = np.concatenate(found) * 1000
    p50, p99 = np.percentile(latencies, [50, 99])
    return Measured(rows, clients, len(latencies) / wall_s, len(latencies) / used_s, float(p50), float(p99))


async def ask(host: str, port: int, asked: bytes, until_s: float) -> list[float]:
    """One client in a closed loop; returns the seconds that each answer took. An answer that is no 200 ends it all."""
    reader, writer = await asyncio.open_connection(host, port)
    took: list[float] = []
    while (begun := time.monotonic()) < until_s:
        writer.write(asked)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the server answered {head.splitlines()[0]!r}: {body[:200]!r}")
        took.append(time.monotonic() - begun)
    writer.close()
    await writer.wait_closed()
    return took


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(figures: list[Measured], *, as_json: bool) -> None:
    """The figures as a table or as JSON."""
    if as_json:
        sys.stdout.write(msgspec.json.encode([asdict(one) for one in figures]).decode() + "\n")
        return
    print(f"{'rows':>5} {'clients':>8} {'req/s':>8} {'per core':>9} {'p50 ms':>8} {'p99 ms':>8}")
    for one in figures:
        print(
            f"{one.rows:>5} {one.clients:>8} {one.requests_s:>8.0f} {one.requests_core_s:>9.0f}"
            f" {one.latency_ms_p50:>8.1f} {one.latency_ms_p99:>8.1f}"
        )


if __name__ == "__main__":
    main()
