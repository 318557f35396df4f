"""What the prediction log costs: `python -m bench.prediction_log`, CPU microseconds a request, rows a second, memory.

Batches of 64 requests of one row with 14 numbers and 6 texts, as a front gathers them. Appending is measured with ids
of ours and with callers' own, whose look-up counts too; beside it what a row of SQLite for each batch costs, without a
sync and without indexes, as the least that a database can do. Sealing and reading have processes of their own.
"""

import json
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from taut.ground.clock import new_id
from taut.ground.settings import make_folder
from taut.home import open_home
from taut.serve.log import LogPlace, Policy, PredictionLog, Said, log_place, open_log
from taut.serve.log.__main__ import main as seal
from taut.serve.log.said import pack
from taut.serve.log.spans import Span

REQUESTS = 64
BATCHES = 400
ROUNDS = 5
SEALED_ROWS = 500_000


def batch(chance: random.Random, *, own: bool = False) -> Said:
    """A batch as a front says it."""
    inputs: dict[str, list] = {f"n{number}": [chance.random() for _ in range(REQUESTS)] for number in range(14)}
    inputs |= {f"c{number}": [chance.choice(["aa", "bbb", "cccc"]) for _ in range(REQUESTS)] for number in range(6)}
    outputs = {"prediction": [1] * REQUESTS, "probability": [chance.random() for _ in range(REQUESTS)]}
    at_ms = 1_700_000_000_000 + chance.randrange(10**9)
    return Said(
        [new_id() for _ in range(REQUESTS)], [own] * REQUESTS, [1] * REQUESTS, [at_ms] * REQUESTS, at_ms,
        [150] * REQUESTS, 1, "late", 1, "live", inputs, outputs,
    )  # fmt: skip


def microseconds(act: Callable[[list[Said]], None], *, own: bool = False) -> float:
    """CPU microseconds a request of the best of some rounds."""
    best = float("inf")
    for number in range(ROUNDS):
        chance = random.Random(number)
        batches = [batch(chance, own=own) for _ in range(BATCHES)]
        begun = time.process_time()
        act(batches)
        best = min(best, time.process_time() - begun)
    return best / BATCHES / REQUESTS * 1e6


def appending(*, encrypt: bool, own: bool) -> float:
    """What appending costs."""
    with tempfile.TemporaryDirectory() as folder:
        log = PredictionLog.open(LogPlace(Path(folder) / "log", Path(folder)), "late", Policy(encrypt=encrypt))

        def act(batches: list[Said]) -> None:
            for one in batches:
                if own:
                    log.answered(one.ids)
                log.append(one)

        found = microseconds(act, own=own)
        log.close()
        return found


def sqlite_row() -> float:
    """What a row of SQLite for each batch costs, the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        file = sqlite3.connect(Path(folder) / "db", isolation_level=None)
        file.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE said (body BLOB)")

        def act(batches: list[Said]) -> None:
            for one in batches:
                file.execute("INSERT INTO said VALUES (?)", (pack(one),))

        found = microseconds(act)
        file.close()
        return found


def in_a_process(what: str, place: str) -> dict[str, float]:
    """Seconds of CPU and the peak of memory of sealing or reading, in MiB."""
    done = subprocess.run([sys.executable, "-m", "bench.prediction_log", what, place], capture_output=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def child(what: str, place: str) -> None:
    """Do one thing and say what it cost."""
    begun = time.process_time()
    if what == "seal":
        rows = SEALED_ROWS // REQUESTS * REQUESTS
        assert seal(["--home", place, "--deployment", "late", "--once"]) == 0
    else:
        with open_home(place) as home, open_log(home, "late") as log:
            rows = sum(one.rows for one in log.requests(Span("late")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "cpu_s": time.process_time() - begun, "peak_mib": peak}))


def main() -> None:
    """Print a line for each."""
    for encrypt in (False, True):
        for own in (False, True):
            words = f"append, {'sealed' if encrypt else 'in the open'}, {'callers own ids' if own else 'ids of ours'}"
            print(f"{words:45} {appending(encrypt=encrypt, own=own):8.2f} us a request")
    print(f"{'a row of SQLite for each batch':45} {sqlite_row():8.2f} us a request")
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder))
        chance = random.Random(1)
        some = [batch(chance) for _ in range(200)]
        with open_home(folder) as home:
            log = PredictionLog.open(log_place(home), "late")
            for number in range(SEALED_ROWS // REQUESTS):
                fresh = [new_id() for _ in range(REQUESTS)]
                log.append(msgspec.structs.replace(some[number % len(some)], ids=fresh))
            log.close()
        for what in ("read", "seal", "read"):
            found = in_a_process(what, folder)
            rate = found["rows"] / found["cpu_s"]
            print(f"{what:45} {rate:12,.0f} rows a second of CPU, peak {found['peak_mib']:,.0f} MiB")
        size = sum(path.stat().st_size for path in Path(folder, ".taut", "objects").rglob("*") if path.is_file())
        print(f"{'segments':45} {size / SEALED_ROWS:8.1f} bytes a row (values repeat every 12,800 rows)")


if __name__ == "__main__":
    child(*sys.argv[1:]) if sys.argv[1:] else main()
