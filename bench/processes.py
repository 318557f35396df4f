"""What the pool of model processes costs a request beside the model call itself: CPU of server and processes together.

    python bench/processes.py [--seconds 5] [--json]

The pipeline of `bench/serving.py` (14 numeric and 6 categorical columns, histogram gradient boosting) answers one row a
request, asked by callers in this process in a closed loop through `ModelProcesses.score`. `alone` is the same model in
this process, one row a call and 64 rows a call: what no pool can go below.
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

import msgspec
import numpy as np
import uvloop

from bench.serving import SEED, TRAINED_ON, cpu_seconds, make_table, save, train
from taut.models import Predictor, load_model
from taut.models.tree import digest_of, tree_of_folder
from taut.serve.processes import ModelProcesses
from taut.serve.processes.bounds import THREAD_SETTINGS


@dataclass(frozen=True)
class Measured:
    """One closed loop. `per_core` is requests a CPU second of this process, the zygote and its processes together."""

    what: str
    callers: int
    requests_s: float
    per_core: float
    cpu_us: float
    latency_ms_p50: float
    latency_ms_p99: float


def main() -> None:
    """Train, measure alone and through the pool, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    if os.environ.get(THREAD_SETTINGS[0]) != "1":  # Read as the libraries are loaded, which is past.
        os.execve(
            sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **dict.fromkeys(THREAD_SETTINGS, "1")}
        )
    with tempfile.TemporaryDirectory() as place:
        table = make_table(np.random.default_rng(SEED), TRAINED_ON)
        folder = save(Path(place) / "model", train(table), table)
        rows = [{name: table[name][row : row + 1].tolist() for name in table.columns} for row in range(1_000)]
        digest = digest_of(tree_of_folder(folder))
        model = load_model(folder, digest)
        figures = [alone(model, rows, together, given.seconds / 2) for together in (1, 64)]
        figures += uvloop.run(pooled(folder, digest, rows, given.seconds))
    if given.json:
        sys.stdout.write(msgspec.json.encode([asdict(one) for one in figures]).decode() + "\n")
        return
    print(f"{'what':<8} {'callers':>8} {'req/s':>8} {'per core':>9} {'CPU us':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for one in figures:
        print(
            f"{one.what:<8} {one.callers:>8} {one.requests_s:>8.0f} {one.per_core:>9.0f} {one.cpu_us:>8.0f}"
            f" {one.latency_ms_p50:>8.2f} {one.latency_ms_p99:>8.2f}"
        )


def alone(model: Predictor, rows: list[dict[str, list[Any]]], together: int, seconds: float) -> Measured:
    """The model itself, so many rows a call."""
    columns = {name: [row[name][0] for row in rows[:together]] for name in rows[0]}
    model.predict(columns)
    took, cpu_s, begun_s = [], time.process_time(), time.monotonic()
    while time.monotonic() - begun_s < seconds:
        asked_s = time.monotonic()
        model.predict(columns)
        took.append(time.monotonic() - asked_s)
    return measured(
        "alone", together, len(took) * together, time.monotonic() - begun_s, time.process_time() - cpu_s, took
    )


async def pooled(folder: Path, digest: str, rows: list[dict[str, list[Any]]], seconds: float) -> list[Measured]:
    """The pool, with so many callers at once."""
    figures = []
    async with ModelProcesses(folder, digest) as pool:
        await closed_loop(pool, rows, 64, 1.0)
        for callers in (1, 8, 64):
            cpu_s, begun_s = used_s(pool), time.monotonic()
            took = await closed_loop(pool, rows, callers, seconds)
            wall_s, cpu_s = time.monotonic() - begun_s, used_s(pool) - cpu_s
            figures.append(measured("pool", callers, len(took), wall_s, cpu_s, took))
        assert pool.sizes.processes == 1, "more processes than one: their CPU was not all counted"
    return figures


async def closed_loop(
    pool: ModelProcesses, rows: list[dict[str, list[Any]]], callers: int, seconds: float
) -> list[float]:
    """The seconds of each request; whoever is answered asks again at once."""
    end_s, took = time.monotonic() + seconds, list[float]()

    async def ask(place: int) -> None:
        while (asked_s := time.monotonic()) < end_s:
            place = (place + callers) % len(rows)
            outcomes = await pool.score([rows[place]], asked_s + 10.0)
            assert isinstance(outcomes[0], dict), outcomes
            took.append(time.monotonic() - asked_s)

    await asyncio.gather(*(ask(place) for place in range(callers)))
    return took


def used_s(pool: ModelProcesses) -> float:
    """CPU seconds of this process, the zygote and the processes that live."""
    children = Path(f"/proc/{pool.zygote_pid}/task/{pool.zygote_pid}/children").read_text().split()
    return time.process_time() + sum(map(cpu_seconds, [pool.zygote_pid, *map(int, children)]))


def measured(what: str, callers: int, requests: int, wall_s: float, cpu_s: float, took: list[float]) -> Measured:
    """The figures of one loop."""
    p50, p99 = np.percentile(np.array(took) * 1000, [50, 99])
    return Measured(what, callers, requests / wall_s, requests / cpu_s, cpu_s / requests * 1e6, float(p50), float(p99))


if __name__ == "__main__":
    main()
