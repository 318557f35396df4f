"""Servers under measurement: each on the first core, what their processes use, and a PostgreSQL that really syncs."""

import contextlib
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.parts import Part, free_port, start_postgres

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
HEALTHY_WITHIN_S = 600.0  # A stock MLflow server took a minute on a busy machine.
ENDS_WITHIN_S = 20.0


ALLOWED = sorted(os.sched_getaffinity(0))  # Read before this process binds itself to one of them.


def cores() -> tuple[int, int]:
    """The core of the servers and that of the clients; the same one where there is only one."""
    return ALLOWED[0], ALLOWED[min(1, len(ALLOWED) - 1)]


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    session: int
    ticks: int


def _processes() -> list[_Process]:
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            words = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # It ended meanwhile; its time is in its parent's.
            continue
        found.append(_Process(int(name), int(words[1]), int(words[3]), sum(map(int, words[11:15]))))
    return found


def _family(roots: Iterable[int]) -> list[_Process]:
    """The processes of these ids, all that descend from them, and all of their sessions."""
    everybody = _processes()
    known = set(roots)
    sessions = set(known)
    while True:
        more = {p.pid for p in everybody if p.pid in known or p.parent in known or p.session in sessions}
        if more <= known:
            return [p for p in everybody if p.pid in known]
        known |= more


def cpu_seconds(root: int) -> float:
    """User and system time of a process and all that came from it, those that ended included."""
    return sum(process.ticks for process in _family([root])) / TICKS_A_SECOND


class CpuClock:
    """What some processes, each with all that came from it, use from now on."""

    def __init__(self, roots: Iterable[int]) -> None:
        self._begun = {root: cpu_seconds(root) for root in roots}

    def used(self) -> list[float]:
        """Seconds since then, in the order in which the processes were named."""
        return [cpu_seconds(root) - begun for root, begun in self._begun.items()]


def processes_of(root: int) -> list[int]:
    """The ids of a process and of all that came from it."""
    return [process.pid for process in _family([root])]


def memory_mb(root: int) -> float:
    """Proportional memory (PSS) of a process and all that came from it, in 10^6 bytes."""
    total_kb = 0
    for pid in processes_of(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total_kb += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total_kb * 1024 / 1e6


class Server:
    """A server that can be started again and again: same command, same port, bound to the core of servers."""

    def __init__(
        self, command: Sequence[str], port: int, folder: Path, env: Mapping[str, str] | None = None,
        *, health: str = "/health",
    ) -> None:  # fmt: skip
        self.command = list(command)
        self.health = health
        self.port = port
        self.folder = folder
        self.log = folder / f"server-{port}.log"
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process that was started."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> float:
        """Start it and return the seconds until GET on its health path said 200."""
        begun = time.perf_counter()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*on_core(cores()[0]), *self.command], cwd=self.folder, env=self._env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        while not _is_healthy(self.port, self.health):
            if self._process.poll() is not None or time.perf_counter() > begun + HEALTHY_WITHIN_S:
                tail = self.log.read_text(errors="replace")[-2000:]
                self.end()
                raise RuntimeError(f"{' '.join(self.command)} did not start:\n{tail}")
            time.sleep(0.002)
        return time.perf_counter() - begun

    def kill(self) -> None:
        """End it as a power cut would: no process of it learns about it."""
        assert self._process is not None
        for pid in processes_of(self.pid):
            _signal(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def end(self) -> None:
        """Ask it to end, and kill what does not listen."""
        if self._process is None:
            return
        family = processes_of(self.pid)
        self._process.terminate()
        try:
            self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            family = processes_of(self.pid)
        for pid in family:
            _signal(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None


def on_core(core: int) -> list[str]:
    """What stands before a command that shall run on one core."""
    return ["taskset", "-c", str(core)]


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_healthy(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            return line.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


class Postgres:
    """A PostgreSQL with its defaults (every commit is synced) on the core of servers, and databases in it."""

    def __init__(self) -> None:
        self._part: Part
        self._part, self.url = start_postgres(durable=True)
        for pid in processes_of(self.pid):
            os.sched_setaffinity(pid, {cores()[0]})

    @property
    def pid(self) -> int:
        """The process that all others come from."""
        return self._part.process.pid

    @property
    def version(self) -> str:
        """What it says it is."""
        import psycopg

        with psycopg.connect(self.url) as connection:
            return str(connection.info.server_version // 10000)

    def database(self, name: str) -> str:
        """The URL of a new, empty database."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url.rpartition("/")[0] + "/" + name

    def settle(self, url: str) -> None:
        """Do now what autovacuum does within minutes of a load: statistics, for whoever's database it is."""
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    def end(self) -> None:
        """Stop it and take its folder away."""
        self._part.end()


def fsync_ms(folder: Path, times: int = 50) -> float:
    """The median milliseconds that 4 KB take to the disk of a folder: no durable write can be faster."""
    took = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1000


def bind_to_clients_core() -> None:
    """Put this process, and what it starts without saying otherwise, on the clients' core."""
    os.sched_setaffinity(0, {cores()[1]})


def port() -> int:
    """A port that nobody listens on."""
    return free_port()
