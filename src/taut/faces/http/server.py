"""`taut server`: a home on an address, until somebody says stop; requests that are under way are answered first."""

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from taut.errors import Conflict, Denied, Unavailable, UsageError
from taut.faces.http.app import make_app
from taut.faces.http.doorway import is_loopback
from taut.ground.access import has_tokens
from taut.home import Home

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from uvicorn import Server

BACKLOG = 2048
GRACE_S = 30  # After this, requests that still run are broken off: what they had not committed is undone.


def serve_home(
    home: Home, host: str, port: int, *, names: tuple[str, ...] = (), when_ready: Callable[[], object] | None = None
) -> None:
    """Serve the home until SIGINT or SIGTERM. `names` are host names that it answers to beside addresses.

    Beyond loopback only holders of tokens are let in. Raises UsageError where the home is a server itself, Denied
    beyond loopback while there is no token, Conflict where the port is taken.
    """
    if home.remote is not None:
        raise UsageError(f"{home.place} is a server already", hint="taut --home FOLDER server")
    loopback = is_loopback(host)
    with home.meta.read() as tx:
        if not loopback and not has_tokens(tx):
            raise Denied(
                f"listening on {host} would let everybody on the network in: this home has no tokens",
                hint="taut token create NAME --role owner",
            )
    with bound_socket(host, port) as listening:
        server = uvicorn_server(make_app(home, names=(host, *names), trusts_loopback=loopback))
        if when_ready is not None:
            when_ready()
        server.run(sockets=[listening])


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens, so that whoever connects from now on is answered. Port 0 takes a free one.

    Raises Conflict where the port is taken, Unavailable where the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as problem:
        listening.close()
        if problem.errno == errno.EADDRINUSE:
            raise Conflict(f"port {port} on {host} is in use", hint=f"taut server --port {port + 1}") from None
        raise Unavailable(f"cannot listen on {host}:{port}: {problem.strerror}", hint="taut server --help") from None
    return listening


def uvicorn_server(app: "ASGIApp") -> "Server":
    """uvicorn over the application, quiet but for defects."""
    import uvicorn

    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)
