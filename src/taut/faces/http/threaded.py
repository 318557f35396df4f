"""A server in a thread of this process: it answers when the block begins and is gone when the block ends."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn

from taut.errors import Unavailable
from taut.faces.http.server import server_config

READY_WITHIN_S = 10.0
TICK_S = 0.1  # As uvicorn's own: ten ticks are a second to it, after which it writes another date.
PAUSE_S, PAUSES = 0.001, 50  # A client that is between two requests is gone within a few of these.


@contextmanager
def in_thread(app: object, listener: socket.socket) -> Iterator[None]:
    """Serve an ASGI application on a listening socket while the block runs; then the socket is closed.

    Raises Unavailable where the server does not come up.
    """
    server = _Threaded(server_config(app))
    thread = threading.Thread(target=server.run, args=([listener],), name="server", daemon=True)
    thread.start()
    try:
        server.ready.wait(READY_WITHIN_S)
        if not server.started:
            raise Unavailable("the tracking server of this command did not come up", hint="taut --debug run -- …")
        yield
    finally:
        server.end()
        thread.join()
        listener.close()


class _Threaded(uvicorn.Server):
    """uvicorn, which tells when it answers and ends as soon as it is told.

    Its own looks every 0.1 s whether it shall and then waits another 0.1 s, longer than a short command takes.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._told: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to end; whoever waits for a server that fails to start waits no longer."""
        try:
            super().run(sockets)
        finally:
            self.ready.set()

    def end(self) -> None:
        """Tell the server, from another thread, to answer what it has begun and to end."""
        self.should_exit = True
        if self._loop is not None and self._told is not None:
            with suppress(RuntimeError):  # The loop is closed: the server has ended already.
                self._loop.call_soon_threadsafe(self._told.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Tick as uvicorn does, but wake up when told to end."""
        assert self._told is not None
        ticks = 0
        while not await self.on_tick(ticks):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), TICK_S)
            ticks += 1

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what nobody waits on; where a request is under way, end as uvicorn does."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(PAUSES):
            if not self.server_state.connections and not self.server_state.tasks:
                return
            await asyncio.sleep(PAUSE_S)
        await super().shutdown(sockets)
