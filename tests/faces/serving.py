"""A taut server for the tests: the real application on a real port, in a thread of this process."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from taut.faces.http.app import make_app
from taut.faces.http.server import bound
from taut.faces.http.threaded import in_thread
from taut.ground.browsers import LOOPBACK
from taut.home import Home


@contextmanager
def served(home: Home) -> Iterator[str]:
    """Serve a home on a free port; yields the URL."""
    listener = bound("127.0.0.1", 0)
    with in_thread(make_app(home, hosts=LOOPBACK), listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def raw(url: str, request: bytes) -> bytes:
    """Send bytes to a server, exactly as they are; returns what comes back until it closes or stays silent."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as line:
        line.sendall(request)
        answer = b""
        try:
            while part := line.recv(65536):
                answer += part
                if b"\r\n\r\n" in answer and not answer.startswith(b"HTTP/1.1 200"):
                    break
        except TimeoutError:
            return answer
    return answer
