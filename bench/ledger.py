"""What the ledger costs: an append, a proof, an anchor, and the verification of a million entries on one core.

    python bench/ledger.py [--entries 1000000] [--url postgresql://…]

Appends are made inside one open transaction, so that no disk is measured; the pages of the log are those of a lone
batch of one metric, committed by itself. Proofs are asked of a ledger of all entries, each on its own, and signed.
Medians; a bar stands beside what has one.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from statistics import median

from taut.govern import anchor_ledger, erase_body, prove, prove_consistency, sign_checkpoint, verify_home
from taut.ground.ledger import Happening, append_events, verify_ledger
from taut.ground.meta.sqlite import SqliteMetadata
from taut.ground.settings import Settings, make_folder
from taut.home import Home, open_home
from taut.runs import MetricPoint, create_run, log_batch

BARS = {"verify, s a million entries": 6.0, "proof of one entry, ms": 1.0}
AT_ONCE = 10_000
RUNS = 2000


def seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def happenings(count: int) -> list[Happening]:
    body = {"metrics": 1, "params": 0, "tags": 0}
    return [Happening("run.logged", f"run:{number % RUNS:032x}", "ada", number, body) for number in range(count)]


def appended(home: Home) -> float:
    """Microseconds of one append, its SQL included, inside an open transaction."""
    (one,) = happenings(1)

    def append(count: int) -> None:
        for _ in range(count):
            append_events(tx, [one])

    with home.meta.transaction() as tx:
        append(500)
        return median(seconds(lambda: append(1000)) / 1000 * 1e6 for _ in range(7))


def pages(home: Home) -> float | None:
    """Pages of SQLite's log that a lone batch of one metric writes; None for another store."""
    if not isinstance(home.meta, SqliteMetadata):
        return None
    run, writer = create_run(home), home.meta._writer

    def log(first: int) -> None:
        for step in range(first, first + 100):
            log_batch(home, run.id, metrics=[MetricPoint("loss", 0.5, step, step)])

    log(0)
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    log(100)
    return float(writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()[0][1]) / 100


def fill(home: Home, entries: int) -> None:
    for _ in range(entries // AT_ONCE):
        with home.meta.transaction() as tx:
            append_events(tx, happenings(AT_ONCE))


def walked(home: Home) -> float:
    """Seconds to hold every entry against the tree."""

    def walk() -> None:
        with home.meta.read() as tx:
            assert list(verify_ledger(tx)) == []

    return median(seconds(walk) for _ in range(3))


def proofs(home: Home, size: int) -> dict[str, float]:
    """Milliseconds of single questions."""
    chance = random.Random(7)
    places = [chance.randint(1, size) for _ in range(200)]

    def each(ask: Callable[[int], object], asked: Iterable[int] = places) -> float:
        return median(seconds(partial(ask, at)) * 1e3 for at in asked)

    return {
        "proof of one entry, ms": each(lambda at: prove(home, at)),
        "proof of consistency, ms": each(lambda at: prove_consistency(home, at, size)),
        "checkpoint, ms": each(lambda _: sign_checkpoint(home)),
        "erase one body, ms": each(lambda at: erase_body(home, at, because="bench"), sorted(set(places[:50]))),
    }


def measured(home: Home, entries: int) -> dict[str, float | None]:
    """Every figure, in the order of the table."""
    sign_checkpoint(home)
    figures: dict[str, float | None] = {"append, us": appended(home), "pages of a lone log_batch": pages(home)}
    fill(home, entries)
    size = sign_checkpoint(home).size
    figures["verify, s a million entries"] = walked(home) / size * 1e6
    figures |= proofs(home, size)
    figures["anchor, s"] = seconds(lambda: anchor_ledger(home))
    note = anchor_ledger(home).note
    figures["verify against an anchor, s"] = seconds(lambda: verify_home(home, anchors=[note]))
    return figures


def main() -> None:
    """Measure and print."""
    say = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    say.add_argument("--entries", type=int, default=1_000_000)
    say.add_argument("--url", default="", help="postgresql://… instead of SQLite in a temporary folder")
    given = say.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {given.entries} entries")
    with tempfile.TemporaryDirectory() as name:
        make_folder(Path(name), Settings(metadata=given.url))
        with open_home(name) as home:
            for what, figure in measured(home, given.entries).items():
                bar = f"   bar {BARS[what]:g}" if what in BARS else ""
                print(f"{what:<32} {'-' if figure is None else f'{figure:.3g}':>8}{bar}")


if __name__ == "__main__":
    main()
