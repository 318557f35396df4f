"""Scenes for the tests of HTTP: an endpoint in a thread of this process, and clients that send bytes as they are."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from taut.home import Home
from taut.serve.http.application import Application
from taut.serve.log.said import Role
from taut.serve.scoring.backend import Backend
from taut.serve.scoring.engine import InProcess
from taut.serve.scoring.limits import Limits
from taut.serve.supervising import Server
from tests.serve.scoring.scenes import Doubling, KeptLog
from tests.serve.threaded import Threaded

INFER = "/v2/models/late/infer"


@dataclass(frozen=True, slots=True)
class Got:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Line:
    """One connection. `ask` sends and reads an answer; `send` and `read` do one of both."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=20)
        self._left = b""

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes, pause_s: float = 0.0) -> None:
        for part in parts:
            self.socket.sendall(part)
            time.sleep(pause_s)

    def read(self, *, head_only: bool = False) -> Got:
        while b"\r\n\r\n" not in self._left:
            self._more()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        first, *others = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in others)}
        length = 0 if head_only else int(headers.get("content-length", "0"))
        while len(self._left) < length:
            self._more()
        body, self._left = self._left[:length], self._left[length:]
        return Got(int(first.split()[1]), headers, body)

    def ask(self, *parts: bytes) -> Got:
        self.send(*parts)
        return self.read()

    def is_closed(self) -> bool:
        """Whether the server ends the connection, waiting for that."""
        try:
            return not self._left and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _more(self) -> None:
        part = self.socket.recv(65_536)
        assert part, f"the connection ended after {self._left!r}"
        self._left += part


class Endpoint:
    """A running endpoint of models that double."""

    def __init__(
        self, address: tuple[str, int], application: Application, models: list[Doubling], log: KeptLog
    ) -> None:
        self.address, self.application, self.models, self.log = address, application, models, log

    @property
    def held(self) -> tuple[int, int]:
        """The requests that wait and the bytes that are held."""
        return self.application.under_way.waiting, self.application.under_way.bytes

    def line(self) -> Line:
        return Line(self.address)


@contextmanager
def endpoint(
    home: Home, limits: Limits | None = None, *, compiled: bool = True, roles: Sequence[Role] = ("live",), **more: Any
) -> Iterator[Endpoint]:
    """An endpoint `late` with a version for each role, on a real port."""
    models = [Doubling() for _ in roles]
    log = KeptLog()
    backends = [
        Backend("late", 3, "flights", 2 + place, (InProcess if compiled else Threaded)(model), role)
        for place, (model, role) in enumerate(zip(models, roles, strict=True))
    ]
    ready = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        application = Application(home, backends, limits, log=log, **more)
        server = Server(application, listener, ready.set)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert ready.wait(20)
            for model in models:
                model.calls.clear()
            yield Endpoint(listener.getsockname(), application, models, log)
        finally:
            for model in models:
                model.gate.set()
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def post(value: float = 1.0, *, do: str = "", path: str = INFER, head: str = "", request_id: str = "") -> bytes:
    """A whole request for one row."""
    tensors = [
        {"name": "x", "shape": [1], "datatype": "FP64", "data": [value]},
        {"name": "do", "shape": [1], "datatype": "BYTES", "data": [do]},
    ]
    body = msgspec.json.encode({"inputs": tensors, "id": request_id})
    if path == "/invocations":
        body = msgspec.json.encode({"inputs": {"x": [value], "do": [do]}})
    return request(body, path=path, head=head)


def request(body: bytes, *, path: str = INFER, head: str = "", length: int | None = None) -> bytes:
    """A whole request with these bytes as its body, which may be said to be of another length."""
    written = (
        f"POST {path} HTTP/1.1\r\nHost: here\r\n{head}Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return written.encode() + body


def doubled(got: Got) -> Any:
    """What an answer says."""
    assert got.status == 200, got
    return got.json["outputs"][0]["data"][0]
