"""How fast one row is answered: requests a CPU second of the server's processes, latency, memory, the first answer.

    python bench/serving.py [--peers PYTHON ...] [--only NAME ...] [--seconds 5] [--rounds 1] [--json]

A pipeline of 14 numeric and 6 categorical columns with a histogram gradient boosting classifier is served by real
processes on one core; a client on another asks for one row over 1, 8 and 64 kept connections, each again as soon as it
is answered, then at fixed moments at half the best rate. taut serves it as a deployment, so with all checks and its
prediction log on: as a compiled model, as the model itself, and compiled without a log. Each PYTHON is an interpreter
that has one or more of the peers: mlflow, mlserver with mlserver-mlflow, litserve, bentoml (they cannot all be
installed beside each other); what is in none is left out and said.

`req/core-s` divides by the CPU seconds of the server's whole process tree: what one free core could serve, true on a
busy machine too. Latencies are worth nothing there; the load is printed.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from bench.load import ask, closed_loop, open_loop
from bench.machine import CpuClock, Server, bind_to_clients_core, cores, memory_mb, port
from bench.scored import SEED, TRAINED_ON, infer, invocation, make_table, save, train
from bench.serving_peers import PEERS, Peer, has
from bench.stands import say
from taut.deploy import record_deployment
from taut.ground.settings import make_folder
from taut.home import open_home
from taut.models import compile_model, register_folder

CONNECTIONS = (1, 8, 64)
MIB = (1 << 20) / 1e6
BARS = {
    "taut, compiled": "64 connections >= 10,000; first answer <= 2 s; <= 120 MiB; open loop p99 <= 10, p99.9 <= 20 ms",
    "taut, the model itself": "64 connections >= 1,500",
    "taut, compiled, without a log": "the log costs <= 10 %",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One server. Rates are requests a CPU second, by connections; latencies in milliseconds."""

    name: str
    requests_core_s: dict[int, float]
    requests_s: dict[int, float]
    p50_ms: dict[int, float]
    p99_ms: dict[int, float]
    open_rate: float
    open_p50_ms: float
    open_p99_ms: float
    open_p999_ms: float
    memory_mib: float
    first_answer_s: float
    load: float
    bar: str


def main() -> None:
    """Train, serve by each, measure, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", nargs="*", default=[], help="interpreters that have the other servers")
    parser.add_argument("--only", nargs="*", default=[], help="servers whose names begin so")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=1, help="each server so many times; medians are told")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    bind_to_clients_core()
    with tempfile.TemporaryDirectory(prefix="taut-bench-") as folder:
        table = make_table(np.random.default_rng(SEED), TRAINED_ON)
        model = save(Path(folder) / "model", train(table), table)
        stands = {**_taut_stands(model, Path(folder), table), **_peer_stands(given.peers, model, Path(folder), table)}
        chosen = {n: s for n, s in stands.items() if not given.only or any(n.startswith(word) for word in given.only)}
        rounds: dict[str, list[Measured]] = {name: [] for name in chosen}
        for _ in range(given.rounds):
            for name, stand in chosen.items():
                with stand() as peer:
                    rounds[name].append(measure(name, peer, given.seconds))
    show([_median(measured) for measured in rounds.values()], as_json=given.json)


Stand = Callable[[], AbstractContextManager[Peer]]


def _taut_stands(model: Path, folder: Path, table: pd.DataFrame) -> dict[str, Stand]:
    return {
        "taut, compiled": lambda: _taut(model, folder, table, compiled=True),
        "taut, the model itself": lambda: _taut(model, folder, table, compiled=False),
        "taut, compiled, without a log": lambda: _taut(model, folder, table, compiled=True, logs=False),
        "taut, compiled, open inference": lambda: _taut(model, folder, table, compiled=True, invocations=False),
    }


def _peer_stands(pythons: list[str], model: Path, folder: Path, table: pd.DataFrame) -> dict[str, Stand]:
    there = {name: python for name in PEERS for python in pythons if has(python, name)}
    for name in PEERS.keys() - there:
        say(f"{name} is not there and is left out; --peers names interpreters")
    return {name: partial(_peer, name, python, model, folder, table) for name, python in there.items()}


@contextmanager
def _peer(name: str, python: str, model: Path, folder: Path, table: pd.DataFrame) -> Iterator[Peer]:
    yield PEERS[name](python, model, Path(tempfile.mkdtemp(dir=folder)), table)


@contextmanager
def _taut(
    model: Path, folder: Path, table: pd.DataFrame, *, compiled: bool, logs: bool = True, invocations: bool = True
) -> Iterator[Peer]:
    """A home of its own with the model registered, as a deployment where it logs."""
    project = Path(tempfile.mkdtemp(dir=folder))
    make_folder(project)
    with open_home(project) as home:
        version = register_folder(home, "late", model)
        if compiled:
            verdict = compile_model(home, version.point.removeprefix("model:"))
            if not verdict.is_used:
                raise SystemExit(f"the model was not compiled: {verdict.reason}")
        record_deployment(home, "late", "late", version.number, "process", {}, "bench")
    number = port()
    command = [sys.executable, "-m", "taut.serve", "--deployment", "late", "--port", str(number)]
    if not logs:
        command = [sys.executable, "-m", "taut", "serve", "late@1", "--port", str(number)]
    request = invocation(table) if invocations else infer("/v2/models/late/infer", table)
    yield Peer(Server(command, number, project, {"TAUT_HOME": str(project)}), request)


def measure(name: str, peer: Peer, seconds: float) -> Measured:
    """Start it, ask once, then over so many connections, then at fixed moments; end it."""
    server = peer.server
    say(f"{name}: starting")
    begun = time.perf_counter()
    server.start()
    try:
        ask(server.port, peer.request)
        first_s = time.perf_counter() - begun
        windows, per_core = {}, {}
        for connections in CONNECTIONS:
            queues = [[peer.request]] * connections
            closed_loop(server.port, queues, seconds / 5, again=True)  # Warm-up.
            clock = CpuClock([server.pid])
            windows[connections] = closed_loop(server.port, queues, seconds, again=True)
            per_core[connections] = windows[connections].requests / clock.used()[0]
            if windows[connections].failed:
                raise SystemExit(f"{name} failed: {windows[connections].problem}")
        memory = memory_mb(server.pid) / MIB
        rate = max(one.requests / one.seconds for one in windows.values()) / 2
        timed = open_loop(server.port, peer.request, rate=rate, seconds=seconds, connections=64)
    finally:
        server.end()
    return Measured(
        name, per_core, {n: one.requests / one.seconds for n, one in windows.items()},
        {n: one.latency_ms(50) for n, one in windows.items()}, {n: one.latency_ms(99) for n, one in windows.items()},
        rate, timed.latency_ms(50), timed.latency_ms(99), timed.latency_ms(99.9), memory, first_s,
        os.getloadavg()[0], BARS.get(name, ""),
    )  # fmt: skip


def _median(rounds: list[Measured]) -> Measured:
    """Each figure's median over the rounds of one server."""
    found: dict[str, Any] = {}
    for field in fields(Measured):
        values = [getattr(one, field.name) for one in rounds]
        if isinstance(values[0], dict):
            found[field.name] = {key: statistics.median(value[key] for value in values) for key in values[0]}
        else:
            found[field.name] = values[0] if isinstance(values[0], str) else statistics.median(values)
    return Measured(**found)


def show(figures: list[Measured], *, as_json: bool) -> None:
    """The figures as a table or as JSON."""
    if as_json:
        sys.stdout.write(msgspec.json.encode([asdict(one) for one in figures]).decode() + "\n")
        return
    print(f"server on core {cores()[0]}, client on core {cores()[1]}")
    print(
        f"{'':31} {'req/core-s at 1':>15} {'8':>7} {'64':>7} {'p50/p99 at 8, ms':>17} {'open: rate':>11}"
        f" {'p50':>6} {'p99':>7} {'p99.9':>7} {'MiB':>6} {'first s':>8} {'load':>5}"
    )
    for one in figures:
        core = one.requests_core_s
        print(
            f"{one.name:31} {core[1]:>15.0f} {core[8]:>7.0f} {core[64]:>7.0f}"
            f" {one.p50_ms[8]:>9.1f} /{one.p99_ms[8]:>6.1f} {one.open_rate:>11.0f} {one.open_p50_ms:>6.1f}"
            f" {one.open_p99_ms:>7.1f} {one.open_p999_ms:>7.1f} {one.memory_mib:>6.0f} {one.first_answer_s:>8.2f}"
            f" {one.load:>5.1f}"
        )
    for one in figures:
        if one.bar:
            print(f"bar of {one.name}: {one.bar}")


if __name__ == "__main__":
    main()
