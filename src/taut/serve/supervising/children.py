"""Processes forked from this one: they begin with nothing of ours but what they need, and die with us."""

import ctypes
import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from taut.deploy.control import Failure
from taut.errors import TautError, Unavailable
from taut.ground import wire
from taut.ground.compute import handle_of

PR_SET_PDEATHSIG = 1
MESSAGE_MAX = 1 << 16
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP)

Word = Literal["warm", "ready", "go", "retire"]


@dataclass(frozen=True, slots=True)
class Message:
    """What passes between a supervisor and its children: one word, an answer, or why there will be none."""

    word: Word | None = None
    answer: str = ""
    failure: Failure | None = None


class Line:
    """A pair of ends on which whole messages pass; either end hears when the other process is gone."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def say(self, message: Message) -> None:
        """Send a message; nobody there is no error, for hearing tells it too."""
        try:
            self.end.send(wire.encode(message), socket.MSG_NOSIGNAL)
        except OSError:
            return

    def hear(self) -> Message | None:
        """The next message; None where the other end is gone. Raises BlockingIOError where there is none yet."""
        try:
            said = self.end.recv(MESSAGE_MAX)
        except ConnectionError:
            return None
        return wire.decode(said, Message, what="a message between processes") if said else None

    def close(self) -> None:
        """Hang up."""
        self.end.close()


@dataclass(frozen=True, slots=True)
class Child:
    """A forked process and our end of the line to it."""

    pid: int
    handle: str
    line: Line

    def signal(self, kind: signal.Signals) -> None:
        """Send a signal. It is ours until it is reaped, so that its id means nobody else."""
        os.kill(self.pid, kind)


def fork(work: Callable[[Line], None], *, let_go: Callable[[], None], death: signal.Signals) -> Child:
    """Fork a process that does `work` and ends, with the signal `death` when we die before it.

    `let_go` closes in it what is ours alone. An error of `work` is told on the line and on stderr. Only for a process
    with one thread: another one's locks would stay shut in the child for ever. Raises OSError without a free process.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    # No signal meant for us may reach the child before it has handlers of its own.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            os._exit(_child(work, Line(theirs), ours, let_go, death, parent))
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
    ours.setblocking(False)
    return Child(pid, handle_of(pid), Line(ours))


def answer_of(question: Callable[[], str]) -> str:
    """Ask something in a process of its own, which keeps what it opens and starts to itself; raises what it raises.

    For a supervisor that must not open a home itself: what drivers leave in a process would be in every fork of it.
    """

    def work(line: Line) -> None:
        line.say(Message(answer=question()))

    child = fork(work, let_go=lambda: None, death=signal.SIGKILL)
    child.line.end.setblocking(True)
    said = child.line.hear()
    child.line.close()
    os.waitpid(child.pid, 0)
    if said is None:
        raise Unavailable("the process that looked at the home was killed")
    if said.failure is not None:
        raise said.failure.error
    return said.answer


def failure_of(problem: BaseException) -> Failure:
    """An error as it is told to another process; one that is not ours, by its name and words."""
    if isinstance(problem, TautError):
        return Failure(problem.kind, problem.message, problem.hint)
    return Failure("TautError", f"{type(problem).__name__}: {problem}")


def share_memory() -> None:
    """Let what is in memory now be shared by all forks: a collector that looks at it would copy its pages."""
    gc.collect()
    gc.freeze()


def threads() -> int:
    """How many threads this process has, those of libraries counted."""
    return len(os.listdir("/proc/self/task"))


def _child(
    work: Callable[[Line], None],
    line: Line,
    other_end: socket.socket,
    let_go: Callable[[], None],
    death: signal.Signals,
    parent: int,
) -> int:
    """All of a child's life; returns its exit status. It must never return into the code of its parent."""
    try:
        signal.set_wakeup_fd(-1)
        for kind in SIGNALS:
            signal.signal(kind, signal.SIG_DFL)
        for kind in (signal.SIGINT, signal.SIGHUP):  # They reach all of a terminal; the supervisor passes them on.
            signal.signal(kind, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death))
        if os.getppid() != parent:
            return 1
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        other_end.close()
        let_go()
        work(line)
    except TautError as problem:
        line.say(Message(failure=failure_of(problem)))
        return problem.exit_status
    except BaseException as problem:  # noqa: BLE001  # The edge of a process.
        sys.stderr.write(traceback.format_exc())
        line.say(Message(failure=failure_of(problem)))
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0
