"""Artifacts through a real `taut server` on one core, against copying the same bytes to the same disk with fsync.

    python bench/artifacts.py [--mib 1024] [--rounds 5] [--files 1000] [--place FOLDER]

Each round copies a file (read, write, fsync), uploads it through MLflow's artifact endpoint, and downloads it again;
what is printed is the median of each, its ratio to the copy, the CPU seconds of the server and how far its memory
grew. The server is pinned to the first core, this client to the last. Last, files of 4 KiB, one request each.

Of the server's CPU, hashing alone is 0.5 s a GiB on a core with SHA instructions: where a copy takes less than that, no
one core can keep up with it. The line "hash alone" says what it is here.
"""

import argparse
import hashlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from taut.ground.settings import make_folder
from taut.home import open_home
from taut.runs import create_run, find_artifact

MIB = 1 << 20
SMALL_BYTES = 4096
ROOT = "0/bench/artifacts"
PATH = f"/api/2.0/mlflow-artifacts/artifacts/{ROOT}"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A running server: where it listens and which process it is."""

    pid: int
    port: int

    def cpu_s(self) -> float:
        """CPU seconds that it has used, those of its threads included."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mib(self, name: str) -> float:
        """`VmRSS`, what it has in memory now, or `VmHWM`, the most since the last `forget_peak`."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.partition(f"{name}:")[2].split()[0]) / 1024

    def forget_peak(self) -> None:
        """Count the largest memory from here on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@dataclass(frozen=True)
class Taken:
    """What one transfer took: seconds, CPU seconds of the server, MiB that its memory grew at most."""

    wall_s: float
    cpu_s: float = 0.0
    grown_mib: float = 0.0


@contextmanager
def serving(project: Path, core: int) -> Iterator[Server]:
    """A `taut server` of its own process on one core."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "taut", "--home", str(project), "server", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    os.sched_setaffinity(process.pid, {core})  # Long before it has threads, which inherit it.
    try:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield Server(process.pid, port)
    finally:
        process.terminate()
        process.wait(30)


def copied(source: Path, target: Path) -> Taken:
    """Copy a file as `cp` does and sync it."""
    start = time.monotonic()
    with source.open("rb", buffering=0) as given, target.open("wb", buffering=0) as taken:
        while block := given.read(MIB):
            taken.write(block)
        os.fsync(taken.fileno())
    took = time.monotonic() - start
    target.unlink()
    return Taken(took)


def uploaded(server: Server, source: Path, name: str) -> Taken:
    """PUT a file."""

    def send() -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as line, source.open("rb") as given:
            head = f"PUT {PATH}/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {source.stat().st_size}\r\n\r\n"
            line.sendall(head.encode())
            line.sendfile(given)
            await_ok(line)

    return measured(server, send)


def await_ok(line: socket.socket) -> None:
    """Read the answer to an upload, which ends with its empty JSON."""
    answer = b""
    while not answer.endswith(b"\r\n\r\n{}"):
        part = line.recv(4096)
        assert part, answer
        answer += part
    assert answer.startswith(b"HTTP/1.1 200"), answer


def downloaded(server: Server, name: str, size: int, target: Path | None = None) -> Taken:
    """GET a file; into a file that is synced, where one is given, else to nowhere."""
    buffer = memoryview(bytearray(MIB))

    def receive() -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as line:
            line.sendall(f"GET {PATH}/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            first = line.recv(65536)
            while b"\r\n\r\n" not in first:
                first += line.recv(65536)
            assert first.startswith(b"HTTP/1.1 200"), first[:200]
            body = first.partition(b"\r\n\r\n")[2]
            left = size - len(body)
            output = target.open("wb", buffering=0) if target else None
            if output:
                output.write(body)
            while left:
                count = line.recv_into(buffer, min(left, MIB), socket.MSG_WAITALL)
                assert count, f"{left} bytes short"
                left -= count
                if output:
                    output.write(buffer[:count])
            if output:
                os.fsync(output.fileno())
                output.close()

    taken = measured(server, receive)
    if target:
        target.unlink()
    return taken


def measured(server: Server, act: Callable[[], None]) -> Taken:
    """What an act took, and took of the server."""
    server.forget_peak()
    resting, cpu, start = server.memory_mib("VmRSS"), server.cpu_s(), time.monotonic()
    act()
    took = time.monotonic() - start
    return Taken(took, server.cpu_s() - cpu, server.memory_mib("VmHWM") - resting)


def small(server: Server, count: int) -> Taken:
    """PUT so many files of 4 KiB on one connection, each different, as a client logs a folder."""

    def send() -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number in range(count):
                head = f"PUT {PATH}/small/{number:05}.bin HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                head += f"Content-Length: {SMALL_BYTES}\r\n\r\n"
                line.sendall(head.encode() + os.urandom(SMALL_BYTES))
                await_ok(line)

    return measured(server, send)


def tell(name: str, taken: list[Taken], size: int, copy_s: float) -> None:
    """One line: the median of a transfer, and what it is to the copy."""
    wall = statistics.median(one.wall_s for one in taken)
    cpu = statistics.median(one.cpu_s for one in taken)
    grown = max(one.grown_mib for one in taken)
    best = min(one.wall_s for one in taken)
    line = f"{name:<26} {wall:6.2f} s (best {best:.2f})  {size / wall / 1e6:6.0f} MB/s"
    if cpu:
        line += f"  {copy_s / wall:4.0%} of the copy  server {cpu:.2f} s CPU, memory +{grown:.0f} MiB"
    print(line, flush=True)


def main() -> None:
    """Measure and print."""
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--mib", type=int, default=1024)
    say.add_argument("--rounds", type=int, default=5)
    say.add_argument("--files", type=int, default=1000)
    say.add_argument("--place", type=Path, default=None, help="a folder on the disk to measure")
    given = say.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    size = given.mib * MIB
    with tempfile.TemporaryDirectory(dir=given.place) as folder:
        project, source, target = Path(folder) / "project", Path(folder) / "source", Path(folder) / "target"
        project.mkdir()
        make_folder(project)
        with open_home(project) as home:
            create_run(home, run_id="bench")
        os.sched_setaffinity(0, {cores[-1]})
        with serving(project, cores[0]) as server:
            measure(server, source, target, size, given.rounds, project)
            few = small(server, given.files)
            each_ms = few.wall_s / given.files * 1000
            cpu_ms = few.cpu_s / given.files * 1000
            print(f"{given.files} files of 4 KiB  {each_ms:.2f} ms each, server {cpu_ms:.2f} ms CPU each")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def measure(server: Server, source: Path, target: Path, size: int, rounds: int, project: Path) -> None:
    """The rounds with the large file; each uploads other bytes, or the store would have them already."""
    copies, ups, downs, kept = [], [], [], []
    for number in range(rounds):
        digest = written(source, size, number)
        copies.append(copied(source, target))
        ups.append(uploaded(server, source, "large.bin"))
        with open_home(project) as home:
            oid = find_artifact(home, ROOT, "large.bin").oid
            assert oid == digest, "other bytes were stored than sent"
            downs.append(downloaded(server, "large.bin", size))
            kept.append(downloaded(server, "large.bin", size, target))
            home.objects.delete([oid])
        copies.append(copied(source, target))
    copy_s = statistics.median(one.wall_s for one in copies)
    block, start = bytes(MIB), time.process_time()
    for _ in range(256):
        hashlib.sha256(block).digest()
    print(f"hash alone                 {(time.process_time() - start) * size / (256 * MIB):6.2f} s")
    tell("copy with fsync", copies, size, copy_s)
    tell("upload", ups, size, copy_s)
    tell("download to nowhere", downs, size, copy_s)
    tell("download, client's fsync", kept, size, copy_s)


def written(path: Path, size: int, number: int) -> str:
    """Fill a file with bytes of this round; returns their digest."""
    seed = hashlib.sha256(bytes([number])).digest()
    block = seed * (MIB // len(seed))
    hashed = hashlib.sha256()
    with path.open("wb") as stream:
        for index in range(size // MIB):
            piece = index.to_bytes(8, "big") + block[8:]
            hashed.update(piece)
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
    return hashed.hexdigest()


if __name__ == "__main__":
    main()
