"""The zygote of a model: loads it once, never asks it anything, and forks the processes that answer.

    python -m taut.serve.processes.zygote DESCRIPTOR PARENT

It reads from that socket what to load, then whom to fork and to kill, and tells who ended. It has one thread and no
event loop, so that a fork of it is whole: no lock is held in a copy by a thread that is not there.
"""

import contextlib
import faulthandler
import gc
import os
import selectors
import signal
import socket
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from taut.errors import TautError
from taut.models import load_model
from taut.models.signature import signature_text
from taut.serve.processes.bounds import adopt_orphans, bound_memory, children, end_with_parent, strange_threads
from taut.serve.processes.failures import OUT_OF_MEMORY
from taut.serve.processes.wire import READ_ORDER, Ended, Failed, Fork, Frames, Kill, Load, Up, pack, unpack
from taut.serve.processes.worker import Model, warm_up, work

READ_BYTES = 1 << 16
CANNOT_FORK, SOCKET_LOST = 71, 74  # EX_OSERR and EX_IOERR of sysexits.h.
TAKEN_FIRST = 500  # Of 1000: where memory ends, the kernel is to take a model process and not its server.


class Zygote:
    """One model, and the processes that it was forked into."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._frames = Frames()
        self._sockets: list[int] = []
        self._pids: dict[int, int] = {}
        self._load: Load | None = None
        self._model: Model | None = None
        self._ends = False
        self._woken, self._wakes = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Do as told until the server is gone, then end with all that was forked."""
        try:
            while self._load is None and not self._ends:
                self._heed()
            signal.signal(signal.SIGTERM, self._on_end)
            signal.signal(signal.SIGCHLD, lambda *_: None)
            self._wakes.setblocking(False)
            signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
            self._watch()
        finally:
            self._end_all()

    def _watch(self) -> None:
        self._selector.register(self._orders, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        while not self._ends:
            for key, _ in self._selector.select():
                if key.fileobj is self._orders:
                    self._heed()
                else:
                    self._woken.recv(READ_BYTES)
            self._bury()

    def _heed(self) -> None:
        """Read what is ordered, and do it."""
        try:
            data, sockets, _, _ = socket.recv_fds(self._orders, READ_BYTES, 8)
        except ConnectionError:  # It went without reading all that it was told.
            data, sockets = b"", []
        self._sockets += sockets
        self._ends = not data  # The server is gone.
        for frame in self._frames.feed(data):
            order = unpack(frame, READ_ORDER)
            if isinstance(order, Load):
                self._load = order
                self._tell(self._loaded(order))
            elif isinstance(order, Fork):
                self._fork(order)
            else:
                self._kill(order)

    def _loaded(self, load: Load) -> Up | Failed:
        if not load.early:
            return Up()
        found = model_of(load)
        if isinstance(found, Failed):
            return found
        self._model = found
        _import_early(found)
        gc.collect()
        gc.freeze()  # Pages of what will live on are never written to by a collection, so they stay shared.
        return Up(signature_text(found.signature), threads=strange_threads())

    def _fork(self, order: Fork) -> None:
        calls = socket.socket(fileno=self._sockets.pop(0))
        calls.setblocking(True)
        own = os.getpid()
        try:
            pid = os.fork()
        except OSError as problem:
            sys.stderr.write(f"no further process can be forked: {problem}\n")
            self._tell(Ended(order.number, CANNOT_FORK))
            return
        if pid == 0:
            self._become(calls, own, warm=order.warm)
        calls.close()
        with contextlib.suppress(OSError):  # It was quicker, or is gone again.
            os.setpgid(pid, pid)
        self._pids[order.number] = pid

    def _become(self, calls: socket.socket, zygote: int, *, warm: bool) -> NoReturn:
        """Be a model process from here on."""
        status = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            end_with_parent(zygote, signal.SIGKILL)
            for one in (self._selector, self._orders, self._woken, self._wakes):
                one.close()
            for unused in self._sockets:  # Of processes that are forked next: nobody else may speak there.
                os.close(unused)
            status = self._serve(calls, warm=warm)
        except MemoryError:
            status = OUT_OF_MEMORY
        except OSError:
            status = SOCKET_LOST  # The server is gone, or has given up this process, or the model closed its socket.
        except BaseException:  # noqa: BLE001  # The edge of the process: what is wrong here is a defect, and is told.
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)  # Not one step of what the zygote was about to do.

    def _serve(self, calls: socket.socket, *, warm: bool) -> int:
        assert self._load is not None
        with contextlib.suppress(OSError):  # Not Linux, or forbidden: then the kernel chooses by itself.
            Path("/proc/self/oom_score_adj").write_text(str(TAKEN_FIRST))
        if self._load.memory_bytes:
            bound_memory(self._load.memory_bytes)
        model = self._model if self._model is not None else model_of(self._load)
        if isinstance(model, Failed):
            calls.sendall(pack(model))
            return 1
        warm_s = warm_up(model) if warm else 0.0
        calls.sendall(pack(Up(signature_text(model.signature), warm_s=warm_s)))
        work(model, calls)
        return 0

    def _kill(self, order: Kill) -> None:
        if (pid := self._pids.get(order.number)) is not None:
            kill_group(pid)

    def _bury(self) -> None:
        """Take note of who ended, and end what they started."""
        for number, pid in list(self._pids.items()):
            # Its id stays its own until it is waited for, so nobody else's group is ended.
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            kill_group(pid)
            _, status = os.waitpid(pid, 0)
            del self._pids[number]
            self._tell(Ended(number, os.waitstatus_to_exitcode(status)))
        for pid in children():  # Adopted ones; one that lives may belong to a model process that lives.
            if pid not in self._pids.values():
                os.waitpid(pid, os.WNOHANG)

    def _tell(self, news: Up | Failed | Ended) -> None:
        try:
            self._orders.sendall(pack(news))
        except (BrokenPipeError, ConnectionResetError):
            self._ends = True

    def _on_end(self, *_: object) -> None:
        self._ends = True

    def _end_all(self) -> None:
        """End every process that was forked, what those started, and what the model started as it was loaded."""
        for pid in self._pids.values():
            kill_group(pid)
            os.waitpid(pid, 0)
        while left := children():
            for pid in left:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def model_of(load: Load) -> Model | Failed:
    """The model, or why there is none."""
    try:
        return load_model(Path(load.folder), load.digest, trusted=load.trusted)
    except TautError as problem:
        return Failed(problem.kind, problem.message, problem.hint)


def _import_early(model: Model) -> None:
    """Import what a first call of any model imports, once for all processes: it takes longer than all else they do."""
    with contextlib.suppress(ImportError):  # Then a call says what is missing.
        for name in ("numpy",) if model.signature.is_array else ("numpy", "pandas"):
            import_module(name)


def kill_group(pid: int) -> None:
    """End a process that was not waited for, and its group; one that is not yet the first of its group ends alone."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def main() -> None:
    """Serve the socket that the first argument names; the second is who must live."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which drains first.
    end_with_parent(int(sys.argv[2]), signal.SIGTERM)
    # The threads that it means are those that a fork starts again: see `strange_threads`.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    faulthandler.enable()  # A crash in a C library says in the log where it was.
    adopt_orphans()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # They are real files here.
    Zygote(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
