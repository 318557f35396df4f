"""Transactions a second of the metadata store: one fsync for all writers that wait together.

    python bench/metadata.py [--seconds 3] [--url sqlite:///…]

Each transaction appends one ledger entry. The reference in the same run is SQLite itself: one connection, one insert
a transaction, `synchronous=FULL` in WAL mode.
"""

import argparse
import os
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

from taut.ground.ledger import append_event
from taut.ground.meta import Metadata, connect_metadata


def bare(folder: Path, seconds: float) -> float:
    """Single-row transactions a second of SQLite alone."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE entry (body TEXT)")
    done, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO entry VALUES ('one')")
        connection.execute("COMMIT")
        done += 1
    return done / seconds


def appended(meta: Metadata, writers: int, seconds: float) -> float:
    """Ledger entries a second by so many threads, each waiting for its own to be durable."""
    counts = [0] * writers
    end = time.monotonic() + seconds

    def write(writer: int) -> None:
        while time.monotonic() < end:
            with meta.transaction() as tx:
                append_event(tx, "bench.done", subject=f"writer:{writer}", actor="bench", at_ms=0)
            counts[writer] += 1

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def main() -> None:
    """Measure and print."""
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--seconds", type=float, default=3.0)
    say.add_argument("--url", default="")
    given = say.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        reference = bare(folder, given.seconds)
        print(f"SQLite alone, 1 writer         {reference:8.0f} transactions/s")
        meta = connect_metadata(given.url or f"sqlite:///{folder / 'meta.db'}")
        for writers in (1, 4, 16, 64):
            rate = appended(meta, writers, given.seconds)
            print(f"taut, {writers:>2} writers, ledger entry {rate:8.0f} transactions/s  ({rate / reference:.2f} x)")
        meta.close()


if __name__ == "__main__":
    main()
