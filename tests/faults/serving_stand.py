"""A server under attack: where it listens, what its processes hold, and whether it still answers a healthy request."""

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec

from bench.machine import memory_mb, processes_of
from taut.home import Home
from taut.models import register_folder
from taut.serve.log import log_place
from tests.faults.disks import small_disk
from tests.parts import free_port
from tests.serve.scenes import make_home, record

COLUMNS = ["delay", "seats", "carrier"]
INPUTS = [
    {"type": "double", "name": "delay", "required": False},
    {"type": "long", "name": "seats", "required": True},
    {"type": "string", "name": "carrier", "required": True},
]
GROWN_MIB = 64.0
FDS_MORE = 24  # Two more processes of a pool that just grew; what leaks sockets leaks hundreds here.
BACK_WITHIN_S = 45.0  # Processes that a pool needed for a moment end after 30 s.
UP_WITHIN_S = 120.0
MORE_WITHIN_S = 0.15
RESET = struct.pack("ii", 1, 0)


class Wicked:
    """A model that says `seats * 2`, unless a carrier tells it to do harm: `raise`, `rows`, `exit`, `eat`, `wait:S`."""

    def predict(self, table: Any) -> Any:
        import os
        import time

        for carrier in map(str, table["carrier"]):
            if carrier == "raise":
                raise RuntimeError("told to")
            if carrier == "exit":
                os._exit(3)
            if carrier == "eat":
                eaten = bytearray(400 << 20)
                eaten[::4096] = b"x" * (len(eaten) // 4096)
            if carrier.startswith("wait:"):
                time.sleep(float(carrier[5:]))
        answers = table["seats"].to_numpy() * 2
        return answers[:-1] if "rows" in set(table["carrier"]) else answers


cloudpickle.register_pickle_by_value(sys.modules[__name__])


def save_wicked(folder: Path) -> Path:
    """The model's directory, in a form that MLflow serves too."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(Wicked()))
    function = {
        "loader_module": "mlflow.sklearn", "model_path": "model.pkl", "predict_fn": "predict",
        "python_version": "3.11",
    }  # fmt: skip
    sklearn = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle", "sklearn_version": "1"}
    file = {
        "flavors": {"sklearn": sklearn, "python_function": function},
        "signature": {
            "inputs": msgspec.json.encode(INPUTS).decode(),
            "outputs": msgspec.json.encode([{"type": "long", "required": True}]).decode(),
        },
    }
    (folder / "MLmodel").write_bytes(msgspec.json.encode(file))
    return folder


def post(body: bytes, path: str = "/invocations", kind: str = "application/json", more: str = "") -> bytes:
    """A whole request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def rows(*cells: list[Any]) -> bytes:
    """The body of a request of rows."""
    return msgspec.json.encode({"dataframe_split": {"columns": COLUMNS, "data": list(cells)}})


@dataclass(slots=True)
class Reply:
    """One answer: what was read of it."""

    status: int
    head: str
    body: bytes

    @property
    def says(self) -> Any:
        """Its body as JSON."""
        return msgspec.json.decode(self.body)


class Wire:
    """A bare connection that reads answers one by one."""

    def __init__(self, port: int, timeout: float = 20.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._rest = b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send as much as the server takes; one that closes early has said why, or will."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def vanish(self) -> None:
        """Leave with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()

    def reply(self) -> Reply | None:
        """The next answer; None where the connection was closed before one. Raises TimeoutError."""
        while b"\r\n\r\n" not in self._rest:
            if not self._more():
                return None
        head, _, rest = self._rest.partition(b"\r\n\r\n")
        text = head.decode("latin-1")
        status = int(text.split(" ", 2)[1])
        lengths = [line.partition(":")[2] for line in text.split("\r\n") if line.lower().startswith("content-length:")]
        if lengths:
            length = int(lengths[0])
            while len(rest) < length:
                self._rest = b""
                if not self._more():
                    return None
                rest += self._rest
            self._rest = rest[length:]
            return Reply(status, text, rest[:length])
        self._rest = rest
        if status >= 200:  # Without a length the body ends with the connection, or there is none.
            while "connection: close" in text.lower() and self._more():
                pass
            rest, self._rest = self._rest, b""
        return Reply(status, text, rest if status >= 200 else b"")

    def replies(self, expected: int) -> list[Reply]:
        """All answers until the server closes or says nothing more; beyond what is expected it waits but shortly."""
        found: list[Reply] = []
        with contextlib.suppress(TimeoutError):
            while (reply := self.reply()) is not None:
                found.append(reply)
                if len(found) >= expected and reply.status >= 200:
                    self.socket.settimeout(MORE_WITHIN_S)
        return found

    def _more(self) -> bool:
        try:
            part = self.socket.recv(1 << 16)
        except ConnectionError:
            return False
        self._rest += part
        return bool(part)


@dataclass
class Stand:
    """A server that listens on a port of this machine; `pid` is the root of its processes."""

    port: int
    pid: int
    speaks_oip: bool = True
    log: Path | None = None
    home: Home | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: count(7))

    def ask(self, body: bytes, path: str = "/invocations", kind: str = "application/json", more: str = "") -> Reply:
        """One request on a connection of its own. Raises AssertionError where it is not answered."""
        with Wire(self.port, timeout=40.0) as wire:
            wire.send(post(body, path, kind, more))
            reply = wire.reply()
        assert reply is not None, "the connection was closed without an answer"
        return reply

    def is_right(self, timeout: float = 15.0) -> bool:
        """Whether a healthy request of one row is answered, and right."""
        number = next(self._numbers)
        try:
            with Wire(self.port, timeout=timeout) as wire:
                wire.send(post(rows([1.5, number, "UA"])))
                reply = wire.reply()
        except OSError:
            return False
        return reply is not None and reply.status == 200 and reply.says["predictions"] == [number * 2]

    def fds(self) -> int:
        """File descriptors of all its processes."""
        total = 0
        for pid in processes_of(self.pid):
            with contextlib.suppress(OSError):
                total += len(os.listdir(f"/proc/{pid}/fd"))
        return total

    def memory_mib(self) -> float:
        """Proportional memory of all its processes."""
        return memory_mb(self.pid) * 1e6 / (1 << 20)


@contextlib.contextmanager
def meanwhile(stand: Stand) -> Iterator[dict[str, float]]:
    """Ask healthy requests while the block runs; it counts them, and keeps the slowest and the peak of memory."""
    found = {"asked": 0.0, "wrong": 0.0, "slowest_s": 0.0, "peak_mib": stand.memory_mib()}
    found["before_mib"] = found["peak_mib"]
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.02):
            begun = time.monotonic()
            right = stand.is_right()
            found["asked"] += 1
            found["wrong"] += not right
            found["slowest_s"] = max(found["slowest_s"], time.monotonic() - begun)

    def look() -> None:
        while not done.wait(0.1):
            found["peak_mib"] = max(found["peak_mib"], stand.memory_mib())

    threads = [threading.Thread(target=ask), threading.Thread(target=look)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        done.set()
        for thread in threads:
            thread.join()


def soon(probe: Callable[[], bool], within_s: float = BACK_WITHIN_S) -> bool:
    """Whether something comes true in time."""
    until = time.monotonic() + within_s
    while not probe():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@contextlib.contextmanager
def taut_stand(
    folder: Path, *, workers: int = 1, before: Sequence[str] = (), log_disk: str = "", **env: str
) -> Iterator[Stand]:
    """taut with the wicked model as a deployment, so with its log.

    `before` stands before its command; with a size in `log_disk` the log lies on a disk of that size.
    """
    with contextlib.ExitStack() as stack, make_home(folder / "project") as home:
        if log_disk:
            stack.enter_context(small_disk(log_place(home).folder, log_disk))
        register_folder(home, "late", save_wicked(folder / "model"))
        record(home)
        port = free_port()
        command = [*before, sys.executable, "-m", "taut.serve", "--deployment", "late", "--port", str(port)]
        command += ["--workers", str(workers)]
        log = folder / "server.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, cwd=home.project, env={**os.environ, "TAUT_HOME": home.place, **env},
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        try:
            stand = Stand(port, process.pid, log=log, home=home)
            up = soon(lambda: process.poll() is not None or stand.is_right(), UP_WITHIN_S)
            assert up and process.poll() is None, log.read_text()
            yield stand
        finally:
            left = processes_of(process.pid)
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            process.wait(10)
