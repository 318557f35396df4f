"""A server for the time of one command, on loopback, for a token that only its children are given."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from taut.faces.http.app import make_app
from taut.faces.http.server import bound
from taut.faces.http.threaded import in_thread
from taut.ground.browsers import LOOPBACK
from taut.home import Home

TOKEN = "MLFLOW_TRACKING_TOKEN"  # noqa: S105  # The name of the variable that MLflow's clients read it from.


@contextmanager
def embedded_server(home: Home) -> Iterator[str]:
    """Serve the home on a free port of loopback while the block runs; yields the URL for MLFLOW_TRACKING_URI.

    The token stands in this process's environment, and so in that of the commands it starts, and nowhere else. For
    a home that is a server already, that server's URL is yielded and its own token stays.

    Raises Unavailable where the server does not come up.
    """
    if home.remote is not None:
        yield home.remote.url
        return
    token = secrets.token_urlsafe(32)
    listener = bound("127.0.0.1", 0)
    before = os.environ.get(TOKEN)
    os.environ[TOKEN] = token
    try:
        with in_thread(make_app(home, hosts=LOOPBACK, trusted=token), listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        os.environ.pop(TOKEN) if before is None else os.environ.update({TOKEN: before})
