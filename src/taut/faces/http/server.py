"""`taut server`: one process that serves a home until it is asked to end."""

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from taut.errors import Conflict, Denied, Invalid, TautError, UsageError
from taut.faces.http.alone import only_server
from taut.faces.http.app import State, make_app
from taut.faces.http.guard import HEADERS
from taut.faces.http.places import BACKLOG, Places, backlog_of, files_of_process, most_of_environment
from taut.faces.http.strict import in_places
from taut.faces.http.telling import webhooks_told
from taut.govern import seal_secrets
from taut.ground.access import has_logins
from taut.ground.browsers import LOOPBACK, hosts_of
from taut.ground.tracing import Tracing, tracing_of_environment
from taut.home import Home

LOG = logging.getLogger(__name__)
GRACE_S = 10  # Requests under way are answered; whoever takes longer is let go.


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM: a certificate with those that signed it, and its key."""

    certificate: Path
    key: Path


def serve_home(
    home: Home,
    host: str,
    port: int,
    *,
    tls: Tls | None = None,
    drain_s: float = 0.0,
    when_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve a home until SIGTERM or Ctrl-C; requests under way are answered first. `when_ready` hears the URL.

    After SIGTERM it goes on for `drain_s` seconds, in which /ready says 503, so that a load balancer sends nobody any
    more. SIGHUP reads the certificate again. Raises Conflict where the port is taken or the SQLite file has a server
    already, Denied beyond loopback while nobody could log in, UsageError for a home that is itself a server, Invalid
    for a host that is none or a certificate that cannot be read.
    """
    if home.remote is not None:
        raise UsageError(f"{home.place} is a server already", hint="taut --home FOLDER server")
    if host not in LOOPBACK:
        _must_ask_who_calls(home, host)
    with only_server(home), _traced() as tracing:
        state = State()
        config = server_config(make_app(home, hosts=hosts_of(host), state=state, tracing=tracing), tls)
        seal_secrets(home)
        listener = bound(host, port)
        server = _Server(config, state, drain_s, tls)
        scheme = "http" if tls is None else "https"
        when_ready(f"{scheme}://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}")
        look_for_cycles_rarely()
        with webhooks_told(home):
            server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn, which ends in order: a second signal, or Ctrl-C, cuts the time of the first short."""

    def __init__(self, config: uvicorn.Config, state: State, drain_s: float, tls: Tls | None) -> None:
        super().__init__(config)
        self._state, self._drain_s, self._tls = state, drain_s, tls

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Say that we end; unlike uvicorn's own, not die of SIGTERM afterwards: what is open is closed."""
        is_first, self._state.drains = not self._state.drains, True
        if sig != signal.SIGTERM:
            super().handle_exit(sig, frame)
        elif is_first and self._drain_s:
            asyncio.get_running_loop().call_later(self._drain_s, self._end)
        else:
            self._end()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and hear when the certificate is another."""
        if self._tls is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._read_certificate)
        await super().startup(sockets)

    def _end(self) -> None:
        self.should_exit = True

    def _read_certificate(self) -> None:
        assert self._tls is not None and self.config.ssl is not None
        try:
            _load_certificate(self.config.ssl, self._tls)
        except TautError as problem:  # That of before goes on: who renews it may be half done.
            LOG.error("the certificate was not changed: %s", problem)
        else:
            LOG.warning("the certificate was read again")


@contextmanager
def _traced() -> Iterator[Tracing | None]:
    tracing = tracing_of_environment()
    try:
        yield tracing
    finally:
        if tracing is not None:
            tracing.close()


def look_for_cycles_rarely() -> None:
    """Set Python's collector for a server: what is loaded by now stays, and a page of points is thousands of objects.

    With Python's own thresholds a collection comes every 700 objects and looks at the whole heap again and again: of
    reading a million points that was more than half. What a request leaves in cycles waits for some megabytes of them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def server_config(app: object, tls: Tls | None = None) -> uvicorn.Config:
    """How every HTTP server of taut runs: uvloop and httptools, strict, quiet, its places and its end bounded.

    Raises Invalid for a limit of connections in the environment that is none.
    """
    proxies = os.environ.get("TAUT_PROXIES", "").strip()  # Whoever else says where a request came from may lie.
    files = files_of_process()
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # An ASGI application; uvicorn names its own types for the same.
        loop="uvloop", http=in_places(Places(most_of_environment(files))), backlog=backlog_of(files),
        lifespan="off", log_config=None, access_log=False, server_header=False,
        headers=HEADERS, timeout_graceful_shutdown=GRACE_S, ws="none",
        proxy_headers=bool(proxies), forwarded_allow_ips=proxies,
    )  # fmt: skip
    config.load()
    if tls is not None:
        config.ssl = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        _load_certificate(config.ssl, tls)
    return config


def _load_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as problem:  # ssl's own errors are such too.
        words = problem.strerror or str(problem)
        raise Invalid(f"{tls.certificate} and {tls.key} are no certificate and its key: {words}") from None


def bound(host: str, port: int) -> socket.socket:
    """A listening socket. Raises Conflict where the port is taken, Denied where it is not ours, Invalid for no host."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
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
