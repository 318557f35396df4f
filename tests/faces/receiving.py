"""A real HTTP server that hears webhooks, for the tests: it keeps what it was sent and answers as it is told to."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.parts import eventually


@dataclass(frozen=True)
class Heard:
    """One request: its path, headers in small letters, and body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        """The body as JSON."""
        said: dict[str, Any] = json.loads(self.body)
        return said

    @property
    def event(self) -> str:
        """`entity.action` of the body."""
        return f"{self.told['entity']}.{self.told['action']}"


@dataclass
class Receiver:
    """What was heard, and what is answered: the status that `answers` gives for the how-manieth request, from 0."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    answers: Callable[[int], int] = lambda _: 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"thanks"
    held: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.held.set()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def events(self) -> list[str]:
        """The events that were heard, in order."""
        return [one.event for one in self.heard]

    def await_count(self, count: int) -> list[Heard]:
        """Wait until so many requests came."""
        eventually(lambda: len(self.heard) >= count, what=f"{count} requests, {len(self.heard)} came")
        return self.heard


@contextmanager
def receiving(*, certificate: Path | None = None) -> Iterator[Receiver]:
    """Listen on a free port of loopback while the block runs, in TLS where a file holds a certificate and its key."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            number = len(receiver.heard)
            receiver.heard.append(Heard(self.path, headers, body))
            receiver.held.wait(30)
            self.send_response(receiver.answers(number))
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(receiver.body)))
            self.end_headers()
            self.wfile.write(receiver.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A sender that is killed hangs up on us, which is no trouble of this server."""

    server = Server(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.held.set()
        server.shutdown()
        server.server_close()
        thread.join(20)
