"""A server for the time of one command, on loopback, for a token that only its children are given."""

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from taut.errors import Unavailable
from taut.faces.http.app import make_app
from taut.faces.http.guard import LOOPBACK
from taut.faces.http.server import bound, server_config
from taut.home import Home

TOKEN = "MLFLOW_TRACKING_TOKEN"  # noqa: S105  # The name of the variable that MLflow's clients read it from.
READY_WITHIN_S = 10.0


@contextmanager
def embedded_server(home: Home) -> Iterator[str]:
    """Serve the home on a free port of loopback while the block runs; yields the URL for MLFLOW_TRACKING_URI.

    The token stands in this process's environment, and so in that of the commands it starts, and nowhere else. For
    a home that is a server already, that server's URL is yielded and its own token stays.
    """
    if home.remote is not None:
        yield home.remote.url
        return
    token = secrets.token_urlsafe(32)
    listener = bound("127.0.0.1", 0)
    server = uvicorn.Server(server_config(make_app(home, hosts=LOOPBACK, trusted=token)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="tracking", daemon=True)
    thread.start()
    before = os.environ.get(TOKEN)
    os.environ[TOKEN] = token
    try:
        _await_ready(server, thread)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        os.environ.pop(TOKEN) if before is None else os.environ.update({TOKEN: before})
        server.should_exit = True
        thread.join()
        listener.close()


def _await_ready(server: uvicorn.Server, thread: threading.Thread) -> None:
    waited = threading.Event()
    for _ in range(int(READY_WITHIN_S / 0.01)):
        if server.started:
            return
        if not thread.is_alive():
            break
        waited.wait(0.01)
    raise Unavailable("the tracking server of this command did not come up", hint="taut --debug run -- …")
