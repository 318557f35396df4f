"""The tracking server beside a stock MLflow server in the same run: a core for the server, medians, every bar told.

    python bench/tracking.py [--only NAME ...] [--store sqlite|postgresql] [--peer PYTHON] [--rounds 5] [--quick]
                             [--seconds 2] [--folder PLACE] [--json OUT]

PYTHON is an interpreter with `mlflow` (and `psycopg2-binary`) beside which taut is measured; without it taut stands
alone. Servers and databases run on the first core, clients on the second. A round asks for so many seconds, or at
least once; a figure is the median of its rounds, a request each. CPU is user and system time of all processes of the
server and of its database. Both sides hold the very same runs: taut's through `seeding.py`, the peer's by SQL into its
own tables, held once against a run that came over HTTP. NAME is a work or the beginning of its name; `growth` is long
and runs only where it is named. --quick is small and short: it shows that all works, its figures say little.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import peer
from bench.client import WORKS as CLIENT_WORKS
from bench.client import in_client
from bench.figures import Cost, Figure, Round, cost_of, judged, machine_words, table, whole_cpu
from bench.load import ask, closed_loop
from bench.machine import CpuClock, Postgres, bind_to_clients_core, cpu_seconds, fsync_ms, memory_mb, processes_of
from bench.stands import (
    Site,
    Size,
    constant_server,
    peer_stand,
    points_of,
    restarted,
    say,
    settle,
    taut_stand,
)
from bench.works import GET_RUN, WORKS, Stand, Work, log_metric, page_work, search_works
from taut import __version__

SIZES = {
    False: (Size("small", 1_000, points=1_000_000), Size("middle", 10_000), Size("large", 50_000)),
    True: (Size("small", 200, points=30_000), Size("middle", 1_200), Size("large", 1_500)),
}
GROWN = {
    False: (Size("first", 1_000, steps=50), Size("grown", 100_000, steps=50)),
    True: (Size("first", 150, steps=5), Size("grown", 1_500, steps=5)),
}
GROWTH: tuple[Work, ...] = (GET_RUN, page_work("search", "small"), *search_works("small", rows=15))
GROWTH_BAR = 2.0
FLAT_BAR = 1.5  # Pages of two sizes cost the same but for the noise of a shared machine.
CLIENT_BAR = 0.9
BUDGET_S = 90.0  # After so long no further round of a work begins: one query of the stock server may take minutes.
WARM_UP = 12  # Connections: three for each worker of the stock server, which warm up one by one.
START_BARS = {"start": 1000.0, "start-processes": 1.0, "start-memory": 120.0}
CLIENT_WORDS = {
    "client-log-metric": "unchanged client: one log_metric",
    "client-run": "unchanged client: run of 10 params, 10 steps",
}  # fmt: skip
NAMES = ("start", *(work.name for work in WORKS), "durable", *CLIENT_WORKS, "growth")


class Bench:
    """One run of this file: what was asked for and what was found."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.figures: dict[tuple[str, str], Figure] = {}

    def wants(self, name: str) -> bool:
        """Whether a work was chosen."""
        return name.startswith(tuple(self.given.only)) if self.given.only else name != "growth"

    def figure(self, site: Site, name: str, words: str = "") -> Figure:
        """The line of a work on a store, made when it is first asked for."""
        return self.figures.setdefault((site.store, name), Figure(site.store, name, words))

    def measure_store(self, site: Site) -> None:
        """All chosen works on one kind of store, a size and a side at a time."""
        for size in SIZES[self.given.quick]:
            works = [work for work in WORKS if work.scale == size.name and self.wants(work.name)]
            others = [name for name in ("start", "durable", *CLIENT_WORKS) if size.name == "small" and self.wants(name)]
            if not works and not others:
                continue
            with taut_stand(site, size) as stand:
                self.measure_stand(site, stand, works, size)
            if self.given.peer:
                self.beside(site, size, works)
        if self.wants("growth"):
            self.measure_growth(site)

    def beside(self, site: Site, size: Size, works: Sequence[Work]) -> None:
        """The same works by the peer; a peer that does not start leaves taut's figures as they are."""
        try:
            with peer_stand(site, size, self.given.peer) as stand:
                self.measure_stand(site, stand, works, size)
        except RuntimeError as problem:
            say(f"peer on {site.store}: {problem}")

    def measure_stand(self, site: Site, stand: Stand, works: Sequence[Work], size: Size) -> None:
        """The chosen works on one running server."""
        if size.name == "small" and self.wants("start"):
            self.start(site, stand)
        for work in works:
            figure = self.figure(site, work.name, work.words.format(runs=f"{size.runs:,}", points=f"{size.points:,}"))
            self.held(figure, stand, partial(self.cost, stand, work))
            judged(figure, work.bar)
        if size.name != "small":
            return
        for name in CLIENT_WORKS:
            if self.wants(name):
                self.client(site, stand, name)
        if self.wants("durable") and stand.side == "taut":
            self.durable(site, stand)

    def held(self, figure: Figure, stand: Stand, measure: Callable[[], Cost]) -> Cost | None:
        """Put what was measured into a line; what cannot be done is told there and ends nothing."""
        say(f"{stand.side} on {figure.store}: {figure.words}")
        try:
            cost = measure()
        except (RuntimeError, AssertionError, OSError) as problem:
            figure.told += f" {stand.side} failed: {str(problem)[:120]!r}"
            say(f"  {stand.side} failed: {problem}"[:400])
            if stand.side == "taut":
                figure.met = False
            return None
        if stand.side == "taut":
            figure.taut = cost
        else:
            figure.peer = cost
        if cost.failed:
            figure.told += f" {cost.failed} of {cost.requests} requests of {stand.side} failed: {cost.problem[:80]}"
        if stand.side == "taut" and len(stand.roots) > 1:
            figure.told += f" database {cost.more['database_cpu_ms']:.2f} ms of the CPU;"
        if cost.rounds < self.given.rounds:
            figure.told += f" {stand.side}: {cost.rounds} rounds within {BUDGET_S:.0f} s"
        return cost

    def rounds(self) -> Iterator[int]:
        """The numbers of the rounds; they end early when the budget is used up."""
        begun = time.monotonic()
        for number in range(self.given.rounds):
            if number and time.monotonic() > begun + BUDGET_S:
                return
            yield number

    def cost(self, stand: Stand, work: Work) -> Cost:
        """A work in rounds, after one request whose answer is looked at and a short warm-up."""
        seconds = self.given.seconds
        first, *_ = queues = work.queues(stand, 0.0)
        begun = time.monotonic()
        work.check(stand, ask(stand.port, first[0]))
        if time.monotonic() - begun < seconds / 2:
            for _ in range(WARM_UP):
                ask(stand.port, work.queues(stand, 0.0)[0][0])
            closed_loop(stand.port, work.queues(stand, seconds / 10), seconds / 10, again=work.again)
        found: list[Round] = []
        whole = len(first) if work.whole else 1
        for _ in self.rounds():
            queues = work.queues(stand, seconds)
            clock = CpuClock(stand.roots)
            window = closed_loop(stand.port, queues, seconds, again=work.again, whole=whole)
            found.append((window, clock.used()))
        return cost_of(found, whole=whole)

    def start(self, site: Site, stand: Stand) -> None:
        """From exec to healthy; then processes and memory of the idle server."""
        walls, cpus = [], []
        say(f"{stand.side} on {site.store}: start")
        for _ in self.rounds():
            stand.server.end()
            walls.append(restarted(site, stand) * 1000)
            cpus.append(cpu_seconds(stand.server.pid) * 1000)
        settle(stand.server)
        found = {
            "start": Cost(statistics.median(walls), statistics.median(cpus), rounds=len(walls)),
            "start-processes": Cost(len(processes_of(stand.server.pid)), unit=""),
            "start-memory": Cost(memory_mb(stand.server.pid), unit="MB"),
        }
        words = {"start": "start to healthy", "start-processes": "processes", "start-memory": "memory idle (PSS)"}
        for name, cost in found.items():
            figure = self.figure(site, name, words[name])
            figure.bar = f"<= {START_BARS[name]:g} {cost.unit}".rstrip()
            if stand.side == "peer":
                figure.peer = cost
            else:
                figure.taut, figure.met = cost, cost.wall <= START_BARS[name]

    def client(self, site: Site, stand: Stand, name: str) -> None:
        """An unchanged client, in turn against the server and, beside taut's, against one that answers constants."""
        figure = self.figure(site, name, CLIENT_WORDS[name])
        figure.bar = f">= {CLIENT_BAR:g} of constants"
        constant: list[Round] = []

        def measure() -> Cost:
            own: list[Round] = []
            with ExitStack() as stack:
                beside = stack.enter_context(constant_server(site.folder)) if stand.side == "taut" else None
                for _ in self.rounds():
                    own.append(in_client(stand.server.url, name, self.given.seconds, stand.roots))
                    if beside is not None:
                        constant.append(in_client(beside.url, name, self.given.seconds, [beside.pid]))
            return cost_of(own)

        self.held(figure, stand, measure)
        if constant and figure.taut:
            most = cost_of(constant)
            reached = most.wall / figure.taut.wall
            figure.met = reached >= CLIENT_BAR
            by_cpu = whole_cpu(most) / whole_cpu(figure.taut)
            figure.told += f" {reached:.2f} ({by_cpu:.2f} by CPU of client and server): "
            figure.told += f"{1000 / figure.taut.wall:,.0f} a second, constants {1000 / most.wall:,.0f}"

    def durable(self, site: Site, stand: Stand) -> None:
        """Log points over 32 connections, kill the server, start it again and count: nothing acknowledged is gone."""
        figure = self.figure(site, "durable", "points acknowledged to 32 connections, after SIGKILL")
        figure.bar = "all there"
        queues = log_metric(32)(stand, self.given.seconds)
        before = sum(points_of(stand, run_id, "loss") for run_id in stand.writers)
        window = closed_loop(stand.port, queues, self.given.seconds)
        stand.server.kill()
        restarted(site, stand)
        there = sum(points_of(stand, run_id, "loss") for run_id in stand.writers) - before
        figure.met = there == window.requests and not window.failed
        figure.told += f" {window.requests:,} acknowledged, {there:,} there"

    def measure_growth(self, site: Site) -> None:
        """The same queries on a young home and on one that grew a hundredfold; taut alone."""
        found: dict[str, list[Cost]] = {work.name: [] for work in GROWTH}
        first, grown = GROWN[self.given.quick]
        for size in (first, grown):
            with taut_stand(site, size) as stand:
                for work in GROWTH:
                    figure = self.figure(
                        site, f"growth-{work.name}", "grown: " + work.words.format(runs=f"{grown.runs:,}")
                    )
                    cost = self.held(figure, stand, partial(self.cost, stand, work))
                    found[work.name] += [cost] if cost else []
        for name, costs in found.items():
            figure = self.figure(site, f"growth-{name}")
            figure.bar = f"<= {GROWTH_BAR:g} x"
            if len(costs) == 2:
                (few, many), points = costs, 20 * grown.steps * grown.runs
                figure.met = many.wall <= GROWTH_BAR * few.wall
                figure.told += f" {many.wall / few.wall:.2f} x ({(many.cpu or 0) / (few.cpu or 1):.2f} x by CPU) "
                figure.told += f"of {first.runs:,} runs; there are {points:,} points"

    def tell(self, machine: dict[str, str]) -> None:
        """The table, what it depends on, and the same as JSON where that was asked for."""
        self.flat()
        figures = [self.figures[key] for key in sorted(self.figures, key=_place)]
        print(table(figures))
        print("\n" + "\n".join(f"{name}: {said}" for name, said in machine.items()))
        if self.given.peer:
            print("peer's runs: written by SQL into the tables it made, one of them held against its twin over HTTP")
        if self.given.json:
            told = {"machine": machine, "figures": [asdict(figure) for figure in figures]}
            self.given.json.write_text(json.dumps(told, indent=2))

    def flat(self) -> None:
        """Hold the page of the many runs against the page of the few."""
        for (store, name), figure in self.figures.items():
            few = self.figures.get((store, "search-small"))
            if name == "search-large" and figure.taut and few and few.taut:
                ratio = figure.taut.wall / few.taut.wall
                figure.bar += ", flat"
                figure.met = bool(figure.met) and ratio <= FLAT_BAR
                figure.told += f" {ratio:.2f} x of the few"


def main() -> None:
    """Measure and print; what was found is told even if it is ended early."""
    given = _given()
    bind_to_clients_core()
    bench = Bench(given)
    versions = {"taut": __version__}
    versions["peer"] = f"mlflow {peer.mlflow_version(given.peer)}, 4 workers" if given.peer else "none was measured"
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="taut-bench-") as name:
        folder = Path(name)
        fsync, (load, *_) = fsync_ms(folder), os.getloadavg()
        try:
            for store in given.store:
                with ExitStack() as stack:
                    postgres = None
                    if store == "postgresql":
                        postgres = Postgres()
                        stack.callback(postgres.end)
                        versions["PostgreSQL"] = postgres.version
                    bench.measure_store(Site(folder, postgres))
        finally:
            told = {"load average at the start": f"{load:.2f}", **machine_words(fsync, versions)}
            told["rounds"] = f"{given.rounds} of {given.seconds:g} s{', quick' if given.quick else ''}"
            bench.tell(told)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"works: {', '.join(NAMES)}")
    parser.add_argument("--store", action="append", choices=["sqlite", "postgresql"], help="default: both")
    parser.add_argument("--peer", default="", metavar="PYTHON", help="an interpreter with mlflow")
    parser.add_argument("--rounds", type=int, help="rounds of which the median is told  [5; 2 with --quick]")
    parser.add_argument("--seconds", type=float, help="length of a round  [2; 0.5 with --quick]")
    parser.add_argument("--quick", action="store_true", help="small and short")
    parser.add_argument("--folder", type=Path, help="where stores are put while they are measured")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures to this file too")
    given = parser.parse_args()
    for name in given.only or []:
        if not any(known.startswith(name) for known in NAMES):
            parser.error(f"no work is called {name!r}; there are {', '.join(NAMES)}")
    given.store = given.store or ["sqlite", "postgresql"]
    given.rounds = given.rounds or (2 if given.quick else 5)
    given.seconds = given.seconds or (0.5 if given.quick else 2.0)
    if given.peer and not peer.mlflow_version(given.peer):
        say(f"{given.peer} has no mlflow: taut is measured alone")
        given.peer = ""
    elif not given.peer:
        say("no --peer: taut is measured alone")
    return given


def _place(key: tuple[str, str]) -> tuple[str, int, str]:
    """Stores apart, works in the order of NAMES."""
    order = [place for place, name in enumerate(NAMES) if key[1].startswith(name)]
    return key[0], order[0] if order else -1, key[1]


if __name__ == "__main__":
    main()
