"""A server for the time of one command: `taut run` gives the command's MLflow client somewhere to log to."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from taut.errors import Unavailable
from taut.faces.http.app import make_app
from taut.faces.http.server import bound_socket, uvicorn_server
from taut.home import Home

START_S_MAX = 30.0
POLL_S = 0.005


@contextmanager
def embedded_server(home: Home) -> Iterator[str]:
    """Serve the home on a free port of 127.0.0.1 while the block runs; yields the URL.

    Where the home is a server already, its own URL is the answer. Whoever can reach the port acts as the home's own
    actor: on this machine only, and no page in a browser, for host names and origins are checked.
    """
    if home.remote is not None:
        yield home.remote.url
        return
    with bound_socket("127.0.0.1", 0) as listening:
        server = uvicorn_server(make_app(home, asks_for_tokens=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="taut-embedded", daemon=True)
        thread.start()
        try:
            _wait_until(lambda: server.started, thread)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _wait_until(started: Callable[[], bool], thread: threading.Thread) -> None:
    end = time.monotonic() + START_S_MAX
    while not started():
        if not thread.is_alive() or time.monotonic() > end:
            raise Unavailable("the embedded tracking server did not start", hint="taut --debug run -- CMD")
        time.sleep(POLL_S)
