"""The workers of a batch on this machine: a process for each core, replaced when it dies, its part done again."""

import os
import selectors
import signal
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import IO

import msgspec

from taut import errors
from taut.errors import Corrupt, TautError, Unavailable
from taut.serve.batch.parts import Setup, Written
from taut.serve.batch.plan import Part
from taut.serve.batch.worker import Told, receive, send

DEATHS_MAX = 2  # A part that kills its worker so often would kill every one.


def cores() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0))


def over_workers(setup: Setup, parts: Sequence[Part], workers: int) -> Generator[Written, None, None]:
    """Have parts written by so many processes; yields each when it is there, in any order.

    Raises what a worker raised, Unavailable for a part that killed two. No process is left when this ends.
    """
    pool = _Pool(setup, parts, min(workers, len(parts)))
    try:
        yield from pool.run()
    finally:
        pool.end()


class Shares:
    """Which part a worker writes next: those of one file in order, for passing over rows costs time.

    A worker without a file takes the next one; where there is none, the later half of what another has before it.
    """

    def __init__(self, parts: Iterable[Part]) -> None:
        files: dict[int, deque[Part]] = {}
        for part in parts:
            files.setdefault(part.input, deque()).append(part)
        self._files = deque(files.values())
        self._own: dict[int, deque[Part]] = {}

    def take(self, worker: int) -> Part | None:
        """The next part for a worker, None where all are given."""
        own = self._own.setdefault(worker, deque())
        if not own:
            if self._files:
                own = self._files.popleft()
            else:
                longest = max(self._own.values(), key=len)
                own = deque(reversed([longest.pop() for _ in range((len(longest) + 1) // 2)]))
            self._own[worker] = own
        return own.popleft() if own else None

    def give_back(self, worker: int, part: Part | None) -> None:
        """A worker is gone: what it had is for others."""
        left = self._own.pop(worker, deque())
        if part is not None:
            left.appendleft(part)
        if left:
            self._files.appendleft(left)


class _Worker:
    def __init__(self, number: int, setup: bytes) -> None:
        self.number = number
        # A group of its own: Ctrl-C is for the process that can put things in order.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "taut.serve.batch.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}, process_group=0,
        )  # fmt: skip
        self.part: Part | None = None
        # A graph does not fit into a pipe: in a thread, or each would be started only when the one before has read it.
        threading.Thread(target=self._begin, args=(setup,), daemon=True).start()

    def _begin(self, setup: bytes) -> None:
        with suppress(BrokenPipeError, ValueError):  # It died already, or was ended; its stdout tells.
            self._pipe.write(setup)
            self._pipe.flush()

    @property
    def _pipe(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    def write(self, part: Part) -> None:
        self.part = part
        with suppress(BrokenPipeError):
            send(self._pipe, part)

    def heard(self) -> Told | None:
        assert self.process.stdout is not None
        message = receive(self.process.stdout)
        return None if message is None else msgspec.msgpack.decode(message, type=Told)

    def end(self) -> int:
        self.process.kill()
        status = self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                assert stream is not None
                stream.close()
        return status


class _Pool:
    def __init__(self, setup: Setup, parts: Sequence[Part], workers: int) -> None:
        self._names = [source.name for source in setup.plan.inputs]
        body = msgspec.msgpack.encode(setup)
        self._setup = len(body).to_bytes(8, "little") + body
        self._shares = Shares(parts)
        self._left = len(parts)
        self._deaths: Counter[int] = Counter()
        self._lives = selectors.DefaultSelector()
        self._count = 0
        for _ in range(workers):
            self._start()

    def run(self) -> Iterator[Written]:
        while self._left:
            for key, _ in self._lives.select():
                worker: _Worker = key.data
                told = worker.heard()
                if told is None:
                    self._replace(worker)
                    continue
                if told.what == "failed":
                    raise _error(told)
                if told.done is not None:
                    self._left -= 1
                    worker.part = None
                    self._deaths.pop(told.done.done.number, None)
                self._give(worker)
                if told.done is not None:
                    yield told.done

    def end(self) -> None:
        for key in list(self._lives.get_map().values()):
            key.data.end()
        self._lives.close()

    def _start(self) -> None:
        self._count += 1
        worker = _Worker(self._count, self._setup)
        assert worker.process.stdout is not None
        self._lives.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def _give(self, worker: _Worker) -> None:
        part = self._shares.take(worker.number)
        if part is not None:
            worker.write(part)

    def _replace(self, worker: _Worker) -> None:
        """A worker ended though nobody told it to; its part is done again."""
        self._lives.unregister(worker.process.stdout)  # type: ignore[arg-type]  # It was registered.
        status = worker.process.wait()
        worker.end()
        why = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        at = -1 if worker.part is None else worker.part.number
        self._deaths[at] += 1
        if self._deaths[at] >= DEATHS_MAX:
            raise Unavailable(*_told_of(worker.part, why, self._names))
        self._shares.give_back(worker.number, worker.part)
        self._start()


def _told_of(part: Part | None, why: str, names: Sequence[str]) -> tuple[str]:
    if part is None:
        return (f"{DEATHS_MAX} workers ended {why} before they had anything to do",)
    where = f"rows {part.start} to {part.stop - 1} of {names[part.input]}"
    return (f"{where} ended their worker {DEATHS_MAX} times, at last {why}",)


def _error(told: Told) -> TautError:
    """What a worker raised, as the kind that it was."""
    kind = getattr(errors, told.kind, None) if told.kind else None
    if isinstance(kind, type) and issubclass(kind, TautError):
        return kind(told.message, hint=told.hint)
    return Corrupt(f"a worker failed: {told.message}", hint="its traceback stands above")
