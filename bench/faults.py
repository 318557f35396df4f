"""What a tracking server loses when it is killed or its disk loses power, under the load of several clients: nothing.

    python bench/faults.py [--kills 200] [--cuts 50] [--store sqlite postgresql database] [--seed 1]

Clients of their own connections log points, batches of 1,000, params, tags and files, and make runs, versions and
aliases. The server is ended at random moments and started again on the same folder and port: by SIGKILL, or by a copy
of its disk as it is at that moment, on which it goes on (as root; what such a cut shows stands in
`tests/faults/disks.py`). `database` kills PostgreSQL under a server that lives, a fifth as often.

Held against what the clients were told: what is lost, what is there more than once, which request is there in part.
The bar: none of these, and half of the restarts within 1.5 s, from the start of the process to an answered
GET /health. Ends with status 1 where it is not met.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from taut.ground.settings import Settings, make_folder
from tests.faults.disks import power_disk
from tests.faults.killing import Served, Torment, durable_postgres, killed_database, power_cut, torment

BAR_S = 1.5

Fault = Callable[[], float] | None


@contextmanager
def killed_on_sqlite(folder: Path) -> Iterator[tuple[Served, Fault]]:
    """A server on SQLite, killed."""
    make_folder(folder)
    yield Served(folder, folder / "log"), None


@contextmanager
def killed_on_postgresql(folder: Path) -> Iterator[tuple[Served, Fault]]:
    """A server on PostgreSQL, killed while the database lives."""
    with durable_postgres() as database:
        make_folder(folder, Settings(metadata=database.url))
        yield Served(folder, folder / "log"), None


@contextmanager
def database_killed(folder: Path) -> Iterator[tuple[Served, Fault]]:
    """A server whose PostgreSQL is killed."""
    with durable_postgres() as database:
        make_folder(folder, Settings(metadata=database.url))
        served = Served(folder, folder / "log")
        yield served, killed_database(served, database)


@contextmanager
def without_power(folder: Path) -> Iterator[tuple[Served, Fault]]:
    """A server on SQLite whose disk loses power."""
    with power_disk(2048) as disk:
        make_folder(disk.mount_point)
        served = Served(disk.mount_point, folder / "log")
        yield served, power_cut(served, disk)


def measured(
    words: str, scene: Callable[[Path], AbstractContextManager[tuple[Served, Fault]]], times: int, seed: int
) -> bool:
    """Do it so many times and tell what came of it; whether the bar is met."""
    if not times:
        return True
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder, scene(Path(folder)) as (served, fault):
            result = torment(served, times, fault=fault, seed=seed)
    except pytest.skip.Exception as why:
        print(f"{words}: left out: {why}", flush=True)
        return True
    print(f"{words}: {result.told()}", flush=True)
    print(f"  took {time.monotonic() - begun:.0f} s, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for sentence in wrongs(result)[:20]:
        print(f"  {sentence}")
    return not wrongs(result) and len(result.restarts_s) == times and result.restart_median_s < BAR_S


def wrongs(result: Torment) -> list[str]:
    """What is wrong, as sentences."""
    verdict = result.verdict
    return [*verdict.lost, *verdict.duplicated, *verdict.torn, *result.problems]


def main() -> None:
    """Read the options and run what they say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--store", nargs="*", default=["sqlite"], choices=["sqlite", "postgresql", "database"])
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    works = {
        "sqlite": ("kill -9, SQLite", killed_on_sqlite, given.kills),
        "postgresql": ("kill -9, PostgreSQL", killed_on_postgresql, given.kills),
        "database": ("kill -9 of PostgreSQL", database_killed, -(-given.kills // 5)),
    }
    chosen = [works[store] for store in given.store] + [("power cut, SQLite", without_power, given.cuts)]
    met = [measured(words, scene, times, given.seed) for words, scene, times in chosen]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
