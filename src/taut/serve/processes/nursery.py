"""The zygote of a model as its server sees it: started, told whom to fork and to kill, heard of who ended."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

from taut.errors import Unavailable, error_of
from taut.serve.processes.bounds import environment
from taut.serve.processes.echo import Echo
from taut.serve.processes.failures import death
from taut.serve.processes.link import Link
from taut.serve.processes.wire import READ_NEWS, BadFrame, Ended, Failed, Fork, Kill, Load, Up, pack, unpack

GONE_WITHIN_S = 2.0  # It has but to end processes; the event loop waits for that.


class Nursery:
    """One zygote. `ended` hears of each process that is gone, `lost` is called once when the zygote itself is.

    Making one raises OSError where the system has no room for a process.
    """

    def __init__(self, name: str, *, threads: int, ended: Callable[[Ended], None], lost: Callable[[], None]) -> None:
        self._ended = ended
        self._lost = lost
        self._name = name
        self._loaded: asyncio.Future[Up | Failed] = asyncio.get_running_loop().create_future()
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "taut.serve.processes.zygote", str(theirs.fileno()), str(os.getpid())]
            try:
                # Started by this thread on purpose: the kernel ends the zygote with the thread that started it.
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    env=environment(threads), pass_fds=[theirs.fileno()], start_new_session=True,
                )  # fmt: skip
            except OSError:
                ours.close()
                raise
        assert self._process.stdout is not None
        self._echo = Echo(self._process.stdout.fileno(), name)
        self._orders = Link(ours, self._hear, self._on_lost)

    @property
    def pid(self) -> int:
        """The process id of the zygote."""
        return self._process.pid

    async def load(self, load: Load, *, within_s: float) -> Up:
        """Have the model loaded.

        Raises what `load_model` raises; Unavailable where the process ends or hangs as it loads.
        """
        self._orders.send(pack(load))
        try:
            news = await asyncio.wait_for(asyncio.shield(self._loaded), within_s)
        except TimeoutError:
            raise Unavailable(f"{self._name} did not load within {within_s:g} s") from None
        if isinstance(news, Failed):
            raise error_of(news.kind, news.message, news.hint)
        return news

    def fork(self, number: int, *, warm: bool) -> socket.socket:
        """A socket to a new model process, which says Up there once it takes calls. Raises OSError without room."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._orders.send(pack(Fork(number, warm)), sockets=(theirs,))
        return ours

    def kill(self, number: int) -> None:
        """End a process now; `ended` hears when it is gone."""
        self._orders.send(pack(Kill(number)))

    def close(self) -> None:
        """End the zygote and all that it forked; returns when they are gone."""
        self._orders.close()
        self._bury()
        self._fail(f"{self._name} is ended")

    def _bury(self) -> int:
        """Its exit status. A zygote ends with its socket; one that hangs as it loads does not see that."""
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(GONE_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._echo.close()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status

    def _hear(self, frame: bytes) -> None:
        try:
            news = unpack(frame, READ_NEWS)
        except BadFrame as problem:
            sys.stderr.write(f"{self._name}: the zygote sent {problem}\n")
            self._orders.close()
            self._on_lost()
            return
        if isinstance(news, Ended):
            self._ended(news)
        elif not self._loaded.done():
            self._loaded.set_result(news)

    def _on_lost(self) -> None:
        self._fail(f"the process that loads {self._name} {death(self._bury())}")
        self._lost()

    def _fail(self, words: str) -> None:
        """Tell whoever waits for the model to be loaded, if anybody does."""
        if not self._loaded.done():
            self._loaded.set_exception(Unavailable(words))
            self._loaded.exception()  # Nobody needs to wait for it.
