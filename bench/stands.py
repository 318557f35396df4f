"""Where the works are done: a home or a stock store of a certain size, filled, and the server that runs on it."""

import itertools
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import peer, seeding
from bench.load import ask, get
from bench.machine import Postgres, Server, cpu_seconds, port
from bench.works import API, CURVE, PAGE, Stand, new_run
from taut.ground.settings import Settings, make_folder
from taut.home import open_home
from taut.runs import create_run, ensure_experiment

SETTLES_WITHIN_S, IDLE = 60.0, 0.1  # The stock server idles at a twentieth of a core.


@dataclass(frozen=True, slots=True)
class Size:
    """So many runs with so many points a metric, and one long series."""

    name: str
    runs: int
    steps: int = 1
    points: int = 0


@dataclass(slots=True)
class Site:
    """A folder for stores of one kind, SQLite where there is no PostgreSQL."""

    folder: Path
    postgres: Postgres | None = None
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    checked: bool = False

    @property
    def store(self) -> str:
        """The kind."""
        return "postgresql" if self.postgres else "sqlite"

    def new_folder(self, name: str) -> Path:
        """An empty folder."""
        made = self.folder / f"{self.store}-{next(self.numbers)}-{name}"
        made.mkdir()
        return made


def say(words: str) -> None:
    """Progress, for whoever waits."""
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


@contextmanager
def taut_stand(site: Site, size: Size) -> Iterator[Stand]:
    """A taut server on a new home of this size."""
    folder = site.new_folder(f"taut-{size.name}")
    url = site.postgres.database(folder.name) if site.postgres else ""
    make_folder(folder, Settings(metadata=url))
    say(f"taut on {site.store}: seeding {size.runs:,} runs, {size.points:,} points more")
    begun = time.monotonic()
    with open_home(folder) as home:
        experiment_id = ensure_experiment(home, "seeded").id
        run_ids = seeding.seed_runs(home, experiment_id, runs=size.runs, steps=size.steps)
        long_run = create_run(home, name="long").id
        seeding.seed_points(home, long_run, CURVE, points=size.points)
    if site.postgres:
        site.postgres.settle(url)
    say(f"taut on {site.store}: seeded in {time.monotonic() - begun:.0f} s")
    number = port()
    command = [sys.executable, "-m", "taut", "--home", str(folder), "server", "--port", str(number)]
    server = Server(command, number, folder)
    server.start()
    try:
        yield _stand(site, Stand("taut", server, [], experiment_id, run_ids, long_run, size.points))
    finally:
        server.end()


@contextmanager
def peer_stand(site: Site, size: Size, python: str) -> Iterator[Stand]:
    """A stock MLflow server on a new store of this size."""
    folder = site.new_folder(f"peer-{size.name}")
    url = site.postgres.database(folder.name) if site.postgres else f"sqlite:///{folder / 'mlflow.db'}"
    server = peer.stock_server(python, folder, url)
    say(f"peer on {site.store}: starting, seeding {size.runs:,} runs by SQL, {size.points:,} points more")
    try:
        server.start()
        settle(server)
        if not site.checked:
            peer.check_seeding(server, url)
            site.checked = True
        experiment_id = peer.new_experiment(server.port, "seeded")
        run_ids = peer.seed_runs(url, experiment_id, runs=size.runs, steps=size.steps)
        stand = Stand("peer", server, [], experiment_id, run_ids, points=size.points)
        stand.long_run = new_run(stand)
        if size.points:
            peer.seed_points(url, stand.long_run, CURVE, points=size.points)
        if site.postgres:
            site.postgres.settle(url)
        yield _stand(site, stand)
    finally:
        server.end()


@contextmanager
def constant_server(folder: Path) -> Iterator[Server]:
    """A server that answers constants, on the same core as the others."""
    number = port()
    command = [sys.executable, "-m", "uvicorn", "bench.constant:app", "--loop", "uvloop", "--http", "httptools"]
    command += ["--no-access-log", "--log-level", "warning", "--lifespan", "off", "--port", str(number)]
    server = Server(command, number, folder, {"PYTHONPATH": str(Path(__file__).parent.parent)})
    server.start()
    try:
        yield server
    finally:
        server.end()


def _stand(site: Site, stand: Stand) -> Stand:
    """The stand with the processes whose CPU is the server's: its own, and those of its database."""
    stand.roots = [stand.server.pid] + ([site.postgres.pid] if site.postgres else [])
    return stand


def settle(server: Server) -> None:
    """Wait until a server that answers is done with starting: a stock one goes on importing for a while."""
    end = time.monotonic() + SETTLES_WITHIN_S
    while time.monotonic() < end:
        before, begun = cpu_seconds(server.pid), time.monotonic()
        time.sleep(2.0)
        if cpu_seconds(server.pid) - before < IDLE * (time.monotonic() - begun):
            return


def restarted(site: Site, stand: Stand) -> float:
    """Start a stand's server again, which was ended or killed; returns the seconds until it was healthy."""
    took = stand.server.start()
    _stand(site, stand)
    return took


def points_of(stand: Stand, run_id: str, key: str) -> int:
    """How many points a run has, asked over HTTP."""
    found, token = 0, ""
    while True:
        asked = f"{API}/metrics/get-history?run_id={run_id}&metric_key={key}&max_results={PAGE}"
        told = json.loads(ask(stand.port, get(asked + (f"&page_token={token}" if token else ""))))
        found, token = found + len(told.get("metrics", [])), told.get("next_page_token", "")
        if not token:
            return found
