"""The doors of a supervisor: who takes its socket over, and who asks it for another revision. Nothing here blocks."""

import selectors
import socket
from collections.abc import Callable
from pathlib import Path

from taut.deploy.control import BYTES_MAX, Asked, Failure, Told
from taut.deploy.running import Serving, give_listener, open_door
from taut.errors import Invalid
from taut.ground import wire

VISITORS_MAX = 64  # Deployers, and whoever looks at the state; more at once are turned away.


class Visitor:
    """Somebody at the control door: what they have said so far, and the line to answer on."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self.said = bytearray()

    def answer(self, serving: Serving, failure: Failure | None = None) -> None:
        """Answer and hang up; who left meanwhile is no error."""
        try:
            self.line.setblocking(True)
            self.line.settimeout(0.1)  # An answer fits into the buffer of a socket that was never written to.
            self.line.sendall(wire.encode(Told(serving, failure)) + b"\n")
        except OSError:
            pass  # They did not wait for it.
        self.line.close()


class Doors:
    """Both doors of a supervisor, in its selector: `hear` gets what visitors ask, `given` says that an heir came."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        folder: Path,
        serving: Serving,
        listener: socket.socket,
        hear: Callable[[Visitor, Asked], None],
    ) -> None:
        self._selector = selector
        self._listener = listener
        self._hear = hear
        self._taking = open_door(folder, serving, "sock")
        self._asking = open_door(folder, serving, "ctl")
        self._visitors: set[Visitor] = set()
        self.given = False
        selector.register(self._taking, selectors.EVENT_READ, self._give)
        selector.register(self._asking, selectors.EVENT_READ, self._admit)

    def close(self) -> None:
        """Close the doors, and the lines of those who have not said yet what they want."""
        for one in (self._taking, self._asking, *(visitor.line for visitor in self._visitors)):
            one.close()

    def shut(self) -> None:
        """Let nobody in any more."""
        for one in (self._taking, self._asking, *(visitor.line for visitor in self._visitors)):
            self._selector.unregister(one)
        self.close()
        self._visitors.clear()

    def _give(self) -> None:
        self.given = give_listener(self._taking, self._listener) or self.given

    def _admit(self) -> None:
        try:
            line, _ = self._asking.accept()
        except BlockingIOError:
            return  # They left.
        line.setblocking(False)
        if len(self._visitors) >= VISITORS_MAX:
            line.close()
            return
        visitor = Visitor(line)
        self._visitors.add(visitor)
        self._selector.register(line, selectors.EVENT_READ, lambda: self._listen(visitor))

    def _listen(self, visitor: Visitor) -> None:
        try:
            part = visitor.line.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        visitor.said += part
        if part and not visitor.said.endswith(b"\n") and len(visitor.said) < BYTES_MAX:
            return
        self._selector.unregister(visitor.line)
        self._visitors.discard(visitor)
        try:
            asked = wire.decode(bytes(visitor.said), Asked, what="what is asked of a supervisor")
        except Invalid:
            visitor.line.close()
            return
        self._hear(visitor, asked)
