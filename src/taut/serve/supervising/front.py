"""A front: one process that answers on the shared socket, from its first loaded byte to its drained end."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from types import FrameType

import uvicorn

from taut.project import ANSWER_MAX_MS
from taut.serve.grpc import serving_grpc
from taut.serve.grpc.endpoint import endpoint_of
from taut.serve.http.application import Application
from taut.serve.http.protocol import HotProtocol
from taut.serve.scoring.memory import settle
from taut.serve.supervising.children import Line, Message
from taut.serve.supervising.listening import BACKLOG, turn_away_newcomers

KEEP_ALIVE_S = 75  # Longer than common pools keep an idle connection, so that it is they who close it.
LINGER_S = 1.0  # How long a client between two requests has to send the next one, whose answer closes its connection.
SETTLE_S = 0.1  # How long a connection that the kernel is about to open may take until it stands in the queue.
LATE_S = 5.0  # How much longer than a request may take its answer may be on its way.
AROUND_S = LINGER_S + SETTLE_S + 1.0  # What ending takes beside that.
ENDED_WITHIN_S = ANSWER_MAX_MS / 1000 + LATE_S + AROUND_S
HANG_S = 10.0  # An event loop that does nothing for so long answers none of its requests in time.
AFTER_S = 3.0  # So much later than the supervisor, who can say why, the kernel ends what hangs.
ACCEPT_AGAIN_S = 1.0
POLL_S = 0.02
YIELD_S = 0.001  # The shortest of the loop: a front that is idle wakes in a twentieth of it.


@dataclass(frozen=True, slots=True)
class Own:
    """What a front has of its supervisor: the line to it, how it shows that its loop turns, how long it may not, and
    whether an heir of the supervisor has the socket."""

    line: Line
    beat: Callable[[], None]
    hang_s: float
    is_followed: Callable[[], bool]


def run_front(opened: AbstractContextManager[Application], listener: socket.socket, own: Own) -> None:
    """Load, say so, wait until all others have, then answer until told to end. For a forked process."""
    with opened as application:
        Server(application, listener, own=own).run()


class Server(uvicorn.Server):
    """uvicorn, which tells when it is ready and ends without losing a request.

    At a signal it goes on answering, and each answer closes its connection; who is between two requests gets a second
    to send the next. Then the queue of the socket is emptied once more before the socket is closed. Without a
    supervisor of its `own` it is ready when it listens, and says so to `ready`.
    """

    def __init__(
        self,
        application: Application,
        listener: socket.socket,
        ready: Callable[[], None] = lambda: None,
        *,
        own: Own | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application, loop="uvloop", http=HotProtocol, ws="none", lifespan="off", log_level="warning",
                access_log=False, backlog=BACKLOG, timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=int(application.limits.answer_s + LATE_S), server_header=False,
            )
        )  # fmt: skip
        self._application = application
        self._listener = listener
        self._ready = ready
        self._own = own
        self._line = own.line if own is not None else None
        self._hang_s = own.hang_s if own is not None else 0.0
        self._parent = os.getppid()
        self._retires = False
        self._grpc: AbstractAsyncContextManager[int] | None = None
        self._is_orphan = False
        self._opening: set[asyncio.Task[None]] = set()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until a signal comes."""
        self._listener.setblocking(False)
        super().run([])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in order; unlike uvicorn's own, without dying of the same signal afterwards.

        Ctrl-C reaches every process of a terminal; below a supervisor it is the supervisor's to pass on.
        """
        if self._line is None or sig != signal.SIGINT:
            self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Warm up, say that all is loaded, wait for the word, listen, then say so."""
        await self._application.warm_up()
        settle()
        if self._line is not None:
            self._line.say(Message("warm"))
            self._line.end.setblocking(False)
            if not await self._may_go(self._line):
                self.should_exit = True
                return
        await self.lifespan.startup()
        self.servers = []
        self.started = True
        self._listen()
        if self._application.grpc is not None:
            # Others of the endpoint, and successors, listen there too.
            self._grpc = serving_grpc(
                endpoint_of(self._application), *self._application.grpc, shared=True,
                message_bytes_max=self._application.limits.body_bytes, drain_s=self._application.limits.answer_s,
            )  # fmt: skip
            await self._grpc.__aenter__()
        if self._line is not None:
            asyncio.get_running_loop().add_reader(self._line.end, self._hear, self._line)
            self._line.say(Message("ready"))
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: show the supervisor, and the kernel, that the loop turns."""
        if self._own is not None:
            self._own.beat()
        self._has_its_share()
        self._end_in(self._hang_s + AFTER_S)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer all that was accepted, end."""
        if self._hang_s:
            self._end_in(self._application.limits.answer_s + LATE_S + AROUND_S)
        self._application.drain()
        if not self._retires:
            if self._own is not None and self._is_left() and not self._own.is_followed():
                turn_away_newcomers(self._listener)
            await asyncio.sleep(SETTLE_S)  # No successor takes what is still on its way into the queue.
        asyncio.get_running_loop().remove_reader(self._listener)
        while self._accept() or self._opening:  # Others who share the socket may take some of the queue as well.
            await asyncio.sleep(0)
        self._listener.close()
        if self._grpc is not None:
            await self._grpc.__aexit__(None, None, None)
        deadline_s = time.monotonic() + LINGER_S
        while self.server_state.connections and time.monotonic() < deadline_s:
            await asyncio.sleep(POLL_S)
        await super().shutdown(sockets)
        self._application.close()

    def _listen(self) -> None:
        """Take connections as they come, one a turn of the loop; while another front has fewer it goes first.

        Whoever empties the queue as it wakes leaves nothing to the others, and keeps what it took for as long as the
        clients do: of 64 connections that came together one of two fronts was seen to take all.
        """
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(self._listener, self._take)

    def _take(self) -> None:
        """Take a connection of the queue, or leave it to others for a moment: one that hangs takes none."""
        if self._has_its_share():
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listener)
            loop.call_later(YIELD_S, self._take_and_listen)
        else:
            self._accept()

    def _take_and_listen(self) -> None:
        if not self.should_exit:
            self._listen()
            self._accept()

    def _has_its_share(self) -> bool:
        return self._application.has_its_share(len(self.server_state.connections) + len(self._opening))

    def _accept(self) -> bool:
        """Take one connection of the queue; whether there was one."""
        loop = asyncio.get_running_loop()
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as problem:  # No file is left for us: whoever waits is served when one is free again.
            sys.stderr.write(f"no further connection for {ACCEPT_AGAIN_S:g} s: {problem.strerror}\n")
            loop.remove_reader(self._listener)
            loop.call_later(ACCEPT_AGAIN_S, self._listen)
            return False
        opening = loop.create_task(self._open(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        return True

    async def _open(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        return HotProtocol(config=self.config, server_state=self.server_state, app_state={})

    async def _may_go(self, line: Line) -> bool:
        """Wait for the word of the supervisor; without one there is nobody to answer for."""
        loop = asyncio.get_running_loop()
        heard = asyncio.Event()
        loop.add_reader(line.end, heard.set)
        await heard.wait()
        loop.remove_reader(line.end)
        message = line.hear()
        return message is not None and message.word == "go"

    def _hear(self, line: Line) -> None:
        """A word while we answer: successors are there, or the supervisor is gone; either way this is the end."""
        message = line.hear()
        self._is_orphan = message is None
        self._retires = message is not None and message.word == "retire"
        self.should_exit = True
        asyncio.get_running_loop().remove_reader(line.end)

    def _is_left(self) -> bool:
        """Whether the supervisor was killed, so that nobody else can shut the door."""
        return self._is_orphan or os.getppid() != self._parent

    def _end_in(self, seconds: float) -> None:
        """Let the kernel end this process in so many seconds, whatever it may hang in by then; 0 is never."""
        if self._hang_s:
            signal.setitimer(signal.ITIMER_REAL, seconds)
