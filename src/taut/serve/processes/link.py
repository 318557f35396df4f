"""The server's end of a socket to a process: frames out and in, without ever blocking the event loop."""

import asyncio
import socket
from collections.abc import Callable

from taut.serve.processes.wire import BadFrame, Frames

READ_BYTES = 1 << 18


class Link:
    """A socket in an event loop. `heard` gets each frame, `lost` is called once when no more can come."""

    def __init__(self, end: socket.socket, heard: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        end.setblocking(False)
        self._socket = end
        self._heard = heard
        self._lost = lost
        self._frames = Frames()
        self._unsent = memoryview(b"")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end.fileno(), self._read)

    def send(self, frame: bytes, *, sockets: tuple[socket.socket, ...] = ()) -> None:
        """Send a frame when there is room, in the order of the calls; sockets go along with its first byte."""
        if self._unsent:
            assert not sockets, "orders are small, so there is room for them"
            self._unsent = memoryview(bytes(self._unsent) + frame)
            return
        try:
            if sockets:
                sent = socket.send_fds(self._socket, [frame], [one.fileno() for one in sockets])
            else:
                sent = self._socket.send(frame)
        except BlockingIOError:
            assert not sockets, "orders are small, so there is room for them"
            sent = 0
        except OSError:
            return  # It is gone; reading says so in a moment, and whoever waits for an answer hears it then.
        if sent < len(frame):
            self._unsent = memoryview(frame)[sent:]
            self._loop.add_writer(self._socket.fileno(), self._write)

    def close(self) -> None:
        """Hear no more, and let the other side know."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()

    def _write(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = memoryview(b"")
        if not self._unsent:
            self._loop.remove_writer(self._socket.fileno())

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
            frames = self._frames.feed(data)
        except BlockingIOError:
            return
        except (OSError, BadFrame):
            data, frames = b"", []
        for frame in frames:
            self._heard(frame)
        if not data:
            self.close()
            self._lost()
