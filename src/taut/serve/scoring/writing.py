"""Answers are written down before they leave: one append a micro-batch, in a thread where the log blocks."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from taut.errors import TautError, Unavailable
from taut.records import Prediction
from taut.serve.log import Said
from taut.serve.scoring.backend import Backend
from taut.serve.scoring.joining import Columns, plain_lists, slices
from taut.serve.scoring.pending import Pending, Result
from taut.serve.scoring.said import Log, Stored
from taut.serve.scoring.worker import Worker

LOG_DISTRUST_S = 5.0  # How long after a failed write the log counts as one that cannot be written.

T = TypeVar("T")
Resolve = Callable[[Pending, Result], None]


class Meter(Protocol):
    """Who counts what a backend does."""

    def called(self, seconds: float, requests: int) -> None:
        """The model answered so many requests at once."""
        ...

    def said(self, rows: int) -> None:
        """So many rows were predicted and are in the log."""
        ...

    def under_way(self, requests: int, size_bytes: int) -> None:
        """So many requests wait, and so many bytes of bodies are held."""
        ...

    def unlogged(self, since_s: float) -> None:
        """The oldest answer that is not in the log was made then; 0 where there is none."""
        ...


class Writer:
    """What a backend says goes through here. `resolve` is called for each request once it is in the log, or is not."""

    def __init__(
        self,
        backend: Backend,
        log: Log | None,
        meter: Meter,
        now_ms: Callable[[], int],
        resolve: Resolve,
        answer_s: float,
    ) -> None:
        self.log = log
        self._answer_s = answer_s
        self._backend = backend
        self._meter = meter
        self._now_ms = now_ms
        self._resolve = resolve
        self._failed_s = -LOG_DISTRUST_S
        self._since_s: list[float] = []
        self._threads = Worker[Any]("log") if log is not None and log.blocks else None

    @property
    def fails(self) -> bool:
        """Whether the log could not be written a moment ago."""
        return time.monotonic() - self._failed_s < LOG_DISTRUST_S

    def close(self) -> None:
        """Let go of the threads."""
        if self._threads is not None:
            self._threads.close()

    def look_up(self, asked: Sequence[Pending], new: Callable[[list[Pending]], None]) -> None:
        """Answer the requests of which the log knows the ids; `new` gets the others, later where the log blocks."""
        assert self.log is not None
        log = self.log

        def found() -> list[Result | None]:
            known = log.answered([pending.id for pending in asked])
            return [None if one.id not in known else self._stored(one, known[one.id]) for one in asked]

        def told(results: list[Result | None] | TautError) -> None:
            if isinstance(results, TautError):
                results = [results] * len(asked)
            for pending, result in zip(asked, results, strict=True):
                if result is not None:
                    self._resolve(pending, result)
            if left := [pending for pending, result in zip(asked, results, strict=True) if result is None]:
                new(left)

        if self._threads is None:
            told(_tried(found))
        else:
            self._start(found, told)

    def say(self, part: Sequence[Pending], inputs: Columns, outputs: Columns) -> None:
        """Write down what the requests of `part` were answered, their rows behind one another; then tell them."""
        said, log = self._said(part, inputs, outputs), self.log
        if log is None:
            self._tell(part, said, {})
        elif self._threads is None:
            self._conclude(part, said, _tried(lambda: log.append(said)))
        else:
            since_s = time.monotonic()
            for pending in part:
                pending.wait_until(pending.arrived_s + self._answer_s)
            self._since_s.append(since_s)
            self._meter.unlogged(self._since_s[0])

            def written(kept: Mapping[str, Stored] | TautError) -> None:
                self._since_s.remove(since_s)
                self._meter.unlogged(self._since_s[0] if self._since_s else 0.0)
                self._conclude(part, said, kept)

            self._start(lambda: log.append(said), written)

    def _said(self, part: Sequence[Pending], inputs: Columns, outputs: Columns) -> Said:
        chance = os.urandom(16 * len(part)).hex()  # One call of the kernel for all.
        now_ms, now_s, backend = self._now_ms(), time.monotonic(), self._backend
        for place, pending in enumerate(part):
            if not pending.id:
                pending.id = chance[32 * place : 32 * place + 32]
        return Said(
            ids=[pending.id for pending in part],
            given=[pending.given for pending in part],
            counts=[pending.rows for pending in part],
            event_ms=[now_ms if (at := pending.request.event_ms) is None else at for pending in part],
            at_ms=now_ms,
            latency_us=[int((now_s - pending.arrived_s) * 1e6) for pending in part],
            revision=backend.revision, model=backend.model, number=backend.number, role=backend.role,
            inputs={**inputs}, outputs={**outputs},
        )  # fmt: skip

    def _conclude(self, part: Sequence[Pending], said: Said, kept: Mapping[str, Stored] | TautError) -> None:
        """Answer what is in the log. What could not be written was not said: it ends in an error."""
        if not isinstance(kept, TautError):
            self._tell(part, said, kept)
        elif len(part) > 1 and not isinstance(kept, Unavailable):
            inputs, outputs = slices(said.inputs, said.counts), slices(said.outputs, said.counts)
            for pending, asked, answer in zip(part, inputs, outputs, strict=True):
                self.say([pending], asked, answer)  # Only the guilty one fails.
        else:
            self._failed_s = time.monotonic()
            for pending in part:
                self._resolve(pending, kept)

    def _tell(self, part: Sequence[Pending], said: Said, instead: Mapping[str, Stored]) -> None:
        backend, at_ms, resolve = self._backend, said.at_ms, self._resolve
        self._meter.said(sum(said.counts))
        for pending, event_ms, outputs in zip(part, said.event_ms, slices(said.outputs, said.counts), strict=True):
            if instead and pending.given and (stored := instead.get(pending.id)) is not None:
                resolve(pending, self._stored(pending, stored))
                continue
            resolve(pending, Prediction(
                backend.deployment, pending.id, backend.revision, backend.model, backend.number, at_ms, event_ms,
                pending.rows, pending.request.columns, outputs,
            ))  # fmt: skip

    def _stored(self, pending: Pending, stored: Stored) -> Result:
        """What was said under its id before, where it was asked the same; else the Conflict."""
        assert self.log is not None
        columns = pending.columns
        try:
            self.log.same(pending.id, stored, columns)
        except TautError as conflict:
            return conflict
        return Prediction(
            self._backend.deployment, pending.id, stored.revision, stored.model, stored.number, stored.at_ms,
            stored.event_ms, stored.rows, plain_lists(columns), plain_lists(stored.outputs),
        )  # fmt: skip

    def _start(self, work: Callable[[], T], told: Callable[[T | TautError], None]) -> None:
        """Do it in a thread and tell what came of it in the loop."""
        assert self._threads is not None
        loop = asyncio.get_running_loop()
        done = self._threads.submit(lambda: _tried(work))
        done.add_done_callback(lambda one: loop.call_soon_threadsafe(told, one.result()))


def _tried(work: Callable[[], T]) -> T | TautError:
    """What came of it; anything but an error that taut can explain means that the log does not answer."""
    try:
        return work()
    except TautError as problem:
        return problem
    except Exception as problem:  # noqa: BLE001  # The edge to a disk or a network; the cause stands in the process's log.
        return Unavailable("the prediction log does not answer; try again in a second", private=repr(problem))
