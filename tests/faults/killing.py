"""A tracking server that dies again and again under its clients' hands: killed, or with the power of its disk."""

import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import MappingProxyType

from bench.machine import processes_of
from taut.govern import check_home
from taut.home import Home, open_home
from tests.faults.clients import Client, Deed, Verdict, check
from tests.faults.disks import PowerDisk
from tests.parts import Part, eventually, free_port, start_postgres

HEALTHY_WITHIN_S = 120.0
NO_ENV: Mapping[str, str] = MappingProxyType({})
PROGRESS_WITHIN_S = 120.0
CLIENTS = 6
LOOKED_AT = 20  # Deeds of each client after each restart, the newest.


class Served:
    """A `taut server` of its own process, started again and again at one port; `program` stands in for `-m taut`."""

    def __init__(
        self,
        folder: Path,
        log: Path,
        program: str = "",
        *,
        options: Sequence[str] = (),
        env: Mapping[str, str] = NO_ENV,
    ) -> None:
        self.folder = folder
        self.log = log
        self.options, self.env = options, env
        self.words = ["-c", program] if program else ["-m", "taut"]
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; returns the seconds until GET /health said 200."""
        begun = time.monotonic()
        command = [sys.executable, *self.words, "--home", str(self.folder), "server", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.env},
            )
        waited = threading.Event()
        while not self.is_healthy():
            assert self.process.poll() is None, self.tail()
            assert time.monotonic() < begun + HEALTHY_WITHIN_S, self.tail()
            waited.wait(0.005)
        return time.monotonic() - begun

    def is_healthy(self, path: str = "/health") -> bool:
        """Whether it answers."""
        line = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            line.request("GET", path)
            return line.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            line.close()

    def stop(self) -> None:
        """SIGSTOP, and wait until no thread of it runs: what the kernel is doing for it is done first."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        eventually(lambda: self._states() <= {"T"}, what="every thread to stop")

    def _states(self) -> set[str]:
        assert self.process is not None
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks}

    def killed_and_started(self) -> float:
        """SIGKILL and start it; returns the seconds until it was healthy."""
        self.kill()
        return self.start()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def tail(self) -> str:
        """The last lines that it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


@dataclass(slots=True)
class Torment:
    """What came of it."""

    verdict: Verdict = field(default_factory=Verdict)
    restarts_s: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    acknowledged: int = 0
    doubts: int = 0

    @property
    def restart_median_s(self) -> float:
        """Half of the restarts were answering in less."""
        return statistics.median(self.restarts_s)

    def told(self) -> str:
        """One line for a person."""
        verdict = self.verdict
        return (
            f"{len(self.restarts_s)} times: {self.acknowledged} requests acknowledged, {self.doubts} in doubt; "
            f"{verdict.things} things: lost {len(verdict.lost)}, duplicated {len(verdict.duplicated)}, "
            f"torn {len(verdict.torn)}; restart median {self.restart_median_s:.2f} s, "
            f"longest {max(self.restarts_s):.2f} s; problems {len(self.problems)}"
        )


def torment(
    served: Served, times: int, *, fault: Callable[[], float] | None = None, seed: int = 1, clients: int = CLIENTS
) -> Torment:
    """Let clients log to a server and end it so many times at random moments.

    `fault` ends it and brings it back, and returns the seconds until it answered; it is a SIGKILL if nothing is said.
    After each what was done last is looked at while the clients go on; at the end everything is, and `taut fsck` must
    find nothing. What is wrong ends it early.
    """
    chance, result = random.Random(seed), Torment()
    served.start()
    crowd = started(served, clients)
    try:
        for _ in range(times):
            await_progress(crowd, chance.randrange(5, 80))
            if any(client.problems for client in crowd):
                break
            threading.Event().wait(chance.random() * 0.02)  # Not always just behind an answer.
            _all(crowd, lambda client: client.up.clear())
            result.restarts_s.append((fault or served.killed_and_started)())
            recent = [deed for client in crowd for deed in client.deeds[-LOOKED_AT:]]
            _all(crowd, lambda client: client.up.set())
            with open_home(served.folder) as home:
                result.verdict += check(home, recent, whole=False)
            if not result.verdict.is_good:
                break
    finally:
        ended(crowd)
        served.kill()
    with open_home(served.folder) as home:
        finish(home, crowd, result)
    return result


def started(served: Served, count: int) -> list[Client]:
    """Clients that log to a server that runs."""
    crowd = [Client(f"c{number}", served.port) for number in range(count)]
    for client in crowd:
        client.up.set()
        client.start()
    return crowd


def ended(crowd: list[Client]) -> None:
    """Let clients end; what they are doing is answered, or in doubt."""
    _all(crowd, lambda client: client.over.set())
    _all(crowd, lambda client: client.up.set())
    _all(crowd, lambda client: client.join(60))


def finish(home: Home, crowd: list[Client], result: Torment) -> None:
    """Look at everything."""
    deeds: list[Deed] = [deed for client in crowd for deed in client.deeds]
    seen, result.verdict.things = result.verdict, 0
    result.verdict = check(home, deeds)
    for name in ("lost", "duplicated", "torn"):  # What was wrong once counts, though it may not be so now.
        setattr(result.verdict, name, list(dict.fromkeys([*getattr(seen, name), *getattr(result.verdict, name)])))
    result.problems += [problem for client in crowd for problem in client.problems]
    result.problems += [f"{problem.kind}: {problem.subject}: {problem.text}" for problem in check_home(home).problems]
    result.acknowledged = sum(client.acknowledged for client in crowd)
    result.doubts = sum(client.doubts for client in crowd)


def _all(crowd: list[Client], act: Callable[[Client], object]) -> None:
    for client in crowd:
        act(client)


def await_progress(crowd: list[Client], answers: int) -> None:
    """Wait until the clients have got so many more answers, or one that is a problem."""
    goal = sum(client.acknowledged for client in crowd) + answers
    end, waited = time.monotonic() + PROGRESS_WITHIN_S, threading.Event()
    while sum(client.acknowledged for client in crowd) < goal:
        assert time.monotonic() < end, "the clients get no answers"
        if any(client.problems for client in crowd):
            return
        assert any(client.is_alive() for client in crowd)
        waited.wait(0.002)


def power_cut(served: Served, disk: PowerDisk) -> Callable[[], float]:
    """A fault: the disk of a server loses its power, and the server starts on what is left."""

    def fault() -> float:
        disk.cut(served.stop, served.kill)
        return served.start()

    return fault


class Database:
    """A PostgreSQL that syncs, and can be killed and started again on its files."""

    def __init__(self) -> None:
        self.part, self.url = start_postgres(durable=True)

    def killed_and_started(self) -> None:
        """SIGKILL all processes of it at once, and start it."""
        family = processes_of(self.part.process.pid)
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.part.process.wait(30)
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), what="its processes to be gone")
        user = "nobody" if os.geteuid() == 0 else None
        words = self.part.command
        self.part = Part(self.part.folder, words[words.index("--") + 1 :] if "--" in words else words, user=user)


@contextmanager
def durable_postgres() -> Iterator[Database]:
    """A PostgreSQL of its own."""
    database = Database()
    try:
        yield database
    finally:
        database.part.end()


def killed_database(served: Served, database: Database) -> Callable[[], float]:
    """A fault: PostgreSQL is killed under a server that lives; it is over when the server's metadata answers again."""

    def fault() -> float:
        begun = time.monotonic()
        database.killed_and_started()
        eventually(lambda: served.is_healthy("/ready"), within=HEALTHY_WITHIN_S, what="the server to be ready again")
        return time.monotonic() - begun

    return fault
