"""Signals of a loop that waits in a selector: noted when they come, obeyed when it is convenient."""

import selectors
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """What came since it was last asked; its `ends` wake the selector."""

    def __init__(self) -> None:
        self.ends = socket.socketpair()
        self._noted: list[int] = []

    @contextmanager
    def heard(self, selector: selectors.BaseSelector) -> Iterator[None]:
        """Note endings and dead children while the block runs; what is ignored from the start stays ignored."""
        for end in self.ends:
            end.setblocking(False)
        selector.register(self.ends[0], selectors.EVENT_READ, self._wake)
        ignored = {kind for kind in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(kind) == signal.SIG_IGN}
        heard = [kind for kind in (*ENDINGS, signal.SIGCHLD) if kind not in ignored]
        before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {
            kind: signal.signal(kind, self._note) for kind in heard
        }
        woken = signal.set_wakeup_fd(self.ends[1].fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for kind, handler in before.items():
                signal.signal(kind, handler)

    @property
    def waiting(self) -> bool:
        """Whether there is one that was not taken."""
        return bool(self._noted)

    def take(self) -> list[int]:
        """Those that came, in their order."""
        taken, self._noted = self._noted, []
        return taken

    def _note(self, kind: int, frame: FrameType | None) -> None:
        self._noted.append(kind)

    def _wake(self) -> None:
        try:
            self.ends[0].recv(4096)
        except BlockingIOError:
            return
