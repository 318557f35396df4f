"""`taut server`: one process that serves a home until it is asked to end."""

import errno
import gc
import socket
from collections.abc import Callable

import uvicorn

from taut.errors import Conflict, Denied, Invalid, UsageError
from taut.faces.http.alone import only_server
from taut.faces.http.app import make_app
from taut.faces.http.guard import LOOPBACK, hosts_of
from taut.faces.http.telling import webhooks_told
from taut.ground.access import has_logins
from taut.home import Home

GRACE_S = 10  # Requests under way are answered; whoever takes longer is let go.


def serve_home(home: Home, host: str, port: int, *, when_ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve a home until SIGTERM or Ctrl-C; requests under way are answered first. `when_ready` hears the URL.

    Raises Conflict where the port is taken or the SQLite file has a server already, Denied beyond loopback while nobody
    could log in, UsageError for a home that is itself a server, Invalid for a host that is none.
    """
    if home.remote is not None:
        raise UsageError(f"{home.place} is a server already", hint="taut --home FOLDER server")
    if host not in LOOPBACK:
        _must_ask_who_calls(home, host)
    with only_server(home):
        listener = bound(host, port)
        config = server_config(make_app(home, hosts=hosts_of(host)))
        server = uvicorn.Server(config)
        when_ready(f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}")
        look_for_cycles_rarely()
        with webhooks_told(home):
            server.run(sockets=[listener])


def look_for_cycles_rarely() -> None:
    """Set Python's collector for a server: what is loaded by now stays, and a page of points is thousands of objects.

    With Python's own thresholds a collection comes every 700 objects and looks at the whole heap again and again: of
    reading a million points that was more than half. What a request leaves in cycles waits for some megabytes of them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def server_config(app: object) -> uvicorn.Config:
    """How every HTTP server of taut runs: uvloop and httptools, quiet, with a bound on the end."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # An ASGI application; uvicorn names its own types for the same.
        loop="uvloop", http="httptools", lifespan="off", log_level="warning", access_log=False, server_header=False,
        timeout_graceful_shutdown=GRACE_S, ws="none",
    )  # fmt: skip


def bound(host: str, port: int) -> socket.socket:
    """A listening socket. Raises Conflict where the port is taken, Denied where it is not ours, Invalid for no host."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except PermissionError:
        listener.close()
        raise Denied(f"port {port} of {host} is not for this user", hint="take a port of 1024 or more") from None
    except socket.gaierror as problem:
        listener.close()
        raise Invalid(f"{host!r} is no address of this machine: {problem.strerror}") from None
    except OSError as problem:
        listener.close()
        if problem.errno != errno.EADDRINUSE:
            raise Invalid(f"{host} port {port} cannot be listened on: {problem.strerror}") from None
        raise Conflict(
            f"port {port} of {host} is in use", hint="taut server --port 0, which takes a free one"
        ) from None
    return listener


def _must_ask_who_calls(home: Home, host: str) -> None:
    with home.meta.read() as tx:
        if not has_logins(tx, now_ms=home.clock.now_ms()):
            raise Denied(
                f"on {host} anybody could call, and this home has no users and no tokens yet",
                hint="taut user create NAME --admin",
            )
