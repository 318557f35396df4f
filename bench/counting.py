"""What watching a deployment costs beside it: `python -m bench.counting`, CPU nanoseconds a value, peak memory.

A window of a million answered rows with 14 numbers and 6 texts, 64 requests in a batch as a front gathers them, sealed
by the log's own process. Counting alone takes them as tables in memory; reading yields them from segments; closing is
`close_windows`, the counts, the detectors and the transaction. Then the rows as they were answered by 1, 2 and 8
replicas, each with a journal of its own, counted apart and added up in some orders: the counts must be the same bits.
"""

import argparse
import io
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from taut.ground.clock import new_id
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.project import MonitorSpec
from taut.serve import PredictedRows, Span, open_log
from taut.serve.log import PredictionLog, Said, log_place
from taut.watch import close_windows, set_reference
from taut.watch.counts import NO_COUNTS

REQUESTS, NUMBERS, TEXTS = 64, 14, 6
VALUES = NUMBERS + TEXTS
ROWS = 1_000_000
DIFFERENT = 600
"""Batches that differ; more than two parts of a file hold."""
REFERENCE_ROWS = 10_000
BEGIN_MS, WINDOW_MS = 1_700_006_400_000, 86_400_000
SPEC = MonitorSpec(window="1d")
BAR_NS = 50.0


def columns(chance: np.random.Generator, rows: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs and outputs of some rows."""
    inputs: dict[str, Any] = {f"n{number}": chance.normal(size=rows).tolist() for number in range(NUMBERS)}
    words = ["aa", "bbb", "cccc", "ddddd"]
    inputs |= {f"c{number}": chance.choice(words, size=rows).tolist() for number in range(TEXTS)}
    score = chance.random(rows)
    return inputs, {"prediction": (score > 0.5).astype(int).tolist(), "probability": score.tolist()}


def batches(rows: int, *, seed: int = 1) -> list[Said]:
    """As many batches as hold the rows, all of them in one window, and a last one behind it, by which it is over."""
    chance, order = np.random.default_rng(seed), random.Random(seed)
    some = [columns(chance, REQUESTS) for _ in range(min(DIFFERENT, rows // REQUESTS))]
    made = []
    for place in range(rows // REQUESTS):
        times = [BEGIN_MS + order.randrange(WINDOW_MS) for _ in range(REQUESTS)]
        made.append(_said(times, *some[place % len(some)]))
    return [*made, _said([BEGIN_MS + WINDOW_MS] * REQUESTS, *some[0])]


def _said(times: list[int], inputs: dict[str, Any], outputs: dict[str, Any]) -> Said:
    count = len(times)
    ids = [new_id() for _ in times]
    return Said(
        ids, [False] * count, [1] * count, times, max(times), [150] * count, 1, "late", 1, "live", inputs, outputs
    )


def filled(folder: Path, said: Sequence[Said], *, replicas: int = 1, sealed: bool = True) -> None:
    """A home with a deployment that answered these batches and is watched."""
    from taut.watch.detecting import profile_rows

    make_folder(folder)
    with open_home(folder) as home:
        logs = [PredictionLog.open(log_place(home), "late") for _ in range(replicas)]
        for place, one in enumerate(said):
            logs[place % replicas].append(one)
        for log in logs:
            log.close()
        inputs, outputs = columns(np.random.default_rng(0), REFERENCE_ROWS)
        places = list(range(REFERENCE_ROWS))
        rows = PredictedRows(
            [str(one) for one in places], places, [1] * len(places), [None] * len(places), inputs, outputs
        )
        oid = home.objects.put(io.BytesIO(profile_rows(rows, SPEC)))
        set_reference(home, "late", model="late", version=1, from_ms=BEGIN_MS, oid=oid, cause="deployed")
    if sealed:
        subprocess.run(
            [sys.executable, "-m", "taut.serve.log", "--home", str(folder), "--deployment", "late", "--once"],
            check=True,
        )


def child(what: str, place: str) -> None:
    """Do one thing in a process of its own and say what it cost."""
    with open_home(place) as home:
        begun_s = time.process_time()
        rows = {"read": read, "count": count, "close": close, "import": lambda _: 0}[what](home)
        spent_s = time.process_time() - begun_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "cpu_s": spent_s, "peak_mib": peak}))


def read(home: Home) -> int:
    """The window's columns as they are read for counting."""
    from taut.serve.log.parts import logged_parts

    with open_log(home, "late") as log:
        return sum(part.rows for part in logged_parts(log, span(), outputs=("probability", "prediction")))


def close(home: Home) -> int:
    """The window as the loop closes it."""
    (window,) = close_windows(home, "late", SPEC)
    return window.rows


def count(home: Home) -> int:
    """Reading and counting without the detectors."""
    return counted(home).rows


def counted(home: Home) -> Any:
    """The counts of the window."""
    from taut.ground.objects import read_object
    from taut.watch import find_reference
    from taut.watch.counting import count_log
    from taut.watch.detecting import reference_in

    reference = reference_in(read_object(home.objects, find_reference(home, "late").oid))
    with open_log(home, "late") as log:
        return count_log(log, span(), reference, SPEC)


def span() -> Span:
    """The window."""
    return Span("late", BEGIN_MS, BEGIN_MS + WINDOW_MS, 1, "late")


def spent(what: str, place: Path) -> dict[str, float]:
    """What one thing costs in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "bench.counting", what, str(place)], capture_output=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def is_same_of_replicas(folder: Path, said: Sequence[Said]) -> bool:
    """Whether counts are the same bits: of one replica and of several, added in any order, sealed or not."""
    found = set()
    for replicas in (1, 2, 8):
        shares = []
        for place in range(replicas):
            share = folder / f"share-{replicas}-{place}"
            share.mkdir()
            filled(share, said[place::replicas], sealed=bool(place % 2))
            with open_home(share) as home:
                shares.append(counted(home).counts)
        for seed in range(3):
            order = random.Random(seed).sample(shares, len(shares))
            found.add(msgspec.json.encode(reduce(add, order, NO_COUNTS), order="sorted"))
        whole = folder / f"whole-{replicas}"
        whole.mkdir()
        filled(whole, said, replicas=replicas)
        with open_home(whole) as home:
            found.add(msgspec.json.encode(counted(home).counts, order="sorted"))
    return len(found) == 1


def main() -> None:
    """Print a line for each; the status says whether the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", default="")
    parser.add_argument("place", nargs="?", default="")
    parser.add_argument("--rows", type=int, default=ROWS)
    given = parser.parse_args()
    if given.what:
        child(given.what, given.place)
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        filled(home, batches(given.rows))
        costs = {what: spent(what, home) for what in ("read", "count", "close")}
        for what, cost in costs.items():
            ns = cost["cpu_s"] / cost["rows"] / VALUES * 1e9
            print(f"{what:8} {cost['rows']:12,} rows {ns:8.1f} ns a value, peak {cost['peak_mib']:,.0f} MiB")
        alone_s = costs["count"]["cpu_s"] - costs["read"]["cpu_s"]
        ns = alone_s / costs["count"]["rows"] / VALUES * 1e9
        print(f"counting alone {ns:.1f} ns a value; the bar is {BAR_NS:g}")
        same = is_same_of_replicas(Path(folder), batches(6_400))
        print(
            f"counts of 1, 2 and 8 replicas in any order, sealed or not: {'the same bits' if same else 'THEY DIFFER'}"
        )
    sys.exit(0 if same and ns <= BAR_NS else 1)


if __name__ == "__main__":
    main()
