"""A serving process from its start to its drained end: load, follow the predecessor on its socket, answer, leave."""

import asyncio
import errno
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import uvicorn

from taut.deploy import find_deployment, find_state
from taut.deploy.running import Serving, announce, hand_over, publish, run_folder, take_over, withdraw
from taut.errors import Conflict, Denied, Invalid
from taut.ground.settings import make_folder
from taut.ground.whole import read_whole
from taut.home import Home, open_home
from taut.models import find_model, load_model, load_served
from taut.records import ModelVersion
from taut.serve.http.application import Application
from taut.serve.http.protocol import HotProtocol
from taut.serve.scoring.backend import Served
from taut.serve.scoring.memory import settle

BACKLOG = 2048
KEEP_ALIVE_S = 75  # Longer than common pools keep an idle connection, so that it is they who close it.
LINGER_S = 1.0  # How long a client between two requests has to send the next one, whose answer closes its connection.
DRAIN_S = 15  # Past the time-out of a request: whatever was accepted is answered by then.
POLL_S = 0.02

Told = Callable[[str], None]


def serve_deployment(
    home: Home, deployment: str, revision: int, host: str, port: int, *, told: Told = lambda _: None
) -> None:
    """Serve one revision of a deployment (0: the newest) until SIGTERM or Ctrl-C; every answer is in the log.

    `told` hears the URL once it answers there.
    Where a process of an older revision serves at the same address, its socket is taken over, so that no connection is
    lost. Port 0 takes the deployment's last port where it is free, else any. Raises NotFound, Conflict where this
    revision is served already or the port is taken.
    """
    wanted = find_deployment(home, deployment, revision)
    folder = run_folder(home)
    mine = announce(folder, deployment, wanted.revision)
    try:
        version = find_model(home, f"{wanted.model}@{wanted.number}")
        application = Application(home, _loaded(home, version, deployment, wanted.revision, logs=True))
        with _listener(take_over(folder, deployment), host, port, _last_port(home, deployment)) as listener:
            ready = replace(mine, url=_url(listener))

            def open_and_tell() -> None:
                _open(folder, ready, listener)
                told(ready.url)

            Server(application, listener, open_and_tell).run()
    finally:
        withdraw(folder, mine)


def serve_model(home: Home, model: str, host: str, port: int, *, told: Told = lambda _: None) -> None:
    """Serve a model version (`late@3`) until SIGTERM or Ctrl-C, without a deployment and so without a log.

    `told` hears the URL once it answers there.
    """
    version = find_model(home, model)
    application = Application(home, _loaded(home, version, version.name, 0, logs=False))
    with _listener(None, host, port, 0) as listener:
        url = _url(listener)
        Server(application, listener, lambda: told(url)).run()


def serve_folder(folder: Path, model: str, digest: str, host: str, port: int) -> None:
    """Serve the model version in a folder (`late@3`, with the digest it must have), where no home is in reach.

    That is what an image does that knows nothing but its model. Nothing is logged; labels are refused.
    """
    name, _, number = model.partition("@")
    if not number.isdecimal():
        raise Invalid(f"{model!r} is no model version", hint="name it as NAME@NUMBER")
    version = read_whole(number, what=f"the version of {name!r}")
    with tempfile.TemporaryDirectory(prefix="taut-") as nowhere:
        make_folder(Path(nowhere))
        with open_home(nowhere) as home:
            served = Served(name, 0, name, version, load_model(folder, digest), logs=False)
            with _listener(None, host, port, 0) as listener:
                Server(Application(home, served), listener, lambda: None).run()


class Server(uvicorn.Server):
    """uvicorn, which tells when it is ready and ends without losing a request.

    At a signal it goes on answering, and each answer closes its connection; who is between two requests gets a second
    to send the next. Then the queue of the socket is emptied once more before the socket is closed.
    """

    def __init__(self, application: Application, listener: socket.socket, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                application, loop="uvloop", http=HotProtocol, ws="none", lifespan="off", log_level="warning",
                access_log=False, backlog=BACKLOG, timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=DRAIN_S, server_header=False,
            )
        )  # fmt: skip
        self._application = application
        self._listener = listener
        self._ready = ready

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until a signal comes."""
        # The server closes what it is given; our own copy keeps the queue alive until it is empty.
        super().run([self._listener.dup()])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in order; unlike uvicorn's own, without dying of the same signal afterwards."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Warm up and listen, then say so."""
        await self._application.warm_up()
        settle()
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer all that was accepted, end."""
        self._application.drain()
        for server in self.servers:
            server.close()
        await self._accept_the_rest()
        self._listener.close()
        deadline_s = time.monotonic() + LINGER_S
        while self.server_state.connections and time.monotonic() < deadline_s:
            await asyncio.sleep(POLL_S)
        await super().shutdown(sockets)
        self._application.close()

    async def _accept_the_rest(self) -> None:
        """Take what the kernel has accepted for us; a successor who shares the socket may take it as well."""
        loop = asyncio.get_running_loop()
        self._listener.setblocking(False)
        while True:
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            connection.setblocking(False)
            await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        return HotProtocol(config=self.config, server_state=self.server_state, app_state={})


def _open(folder: Path, ready: Serving, listener: socket.socket) -> None:
    """Say that we answer; the way to our socket is open before anybody can look for it."""
    hand_over(folder, ready, listener)
    publish(folder, ready)
    sys.stderr.write(f"{ready.deployment}@{ready.revision} answers at {ready.url}\n")


def _loaded(home: Home, version: ModelVersion, deployment: str, revision: int, *, logs: bool) -> Served:
    return Served(deployment, revision, version.name, version.number, load_served(home, version), logs)


def _last_port(home: Home, deployment: str) -> int:
    """The port where the deployment answered last, so that its URL outlives a crash; 0 for none."""
    state = find_state(home, deployment)
    return (urlsplit(state.url).port or 0) if state is not None and state.url else 0


def _listener(taken: socket.socket | None, host: str, port: int, last_port: int) -> socket.socket:
    """The socket to listen on: the predecessor's where it has the wanted address, else one of our own."""
    if taken is not None:
        address = taken.getsockname()
        if address[0] == _numeric(host) and port in (0, address[1]):
            return taken
        taken.close()
    if port == 0 and last_port:
        try:
            return _bound(host, last_port)
        except Conflict:
            pass  # Somebody took it while we were away; the new URL stands in the state.
    return _bound(host, port)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_numeric(host), port))
        listener.listen(BACKLOG)
    except OSError as problem:
        listener.close()
        if problem.errno == errno.EADDRINUSE:
            raise Conflict(
                f"port {port} on {host} is in use", hint="choose another with --port, or 0 for a free one"
            ) from None
        if problem.errno == errno.EACCES:
            raise Denied(f"port {port} may not be opened: {problem.strerror}", hint="choose one above 1023") from None
        raise Invalid(f"{host} port {port} cannot be listened on: {problem.strerror}") from None
    return listener


def _numeric(host: str) -> str:
    """The address behind a host name. Raises Invalid where there is none."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except socket.gaierror as problem:
        raise Invalid(f"{host!r} is no address of this machine: {problem.strerror}") from None


def _url(listener: socket.socket) -> str:
    """Where the socket is reached from this machine."""
    host, port = listener.getsockname()[:2]
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # Compared with, not bound to.
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
