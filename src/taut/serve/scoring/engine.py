"""Engines call models: many requests in one call, one outcome for each, and nobody harmed by another's bad rows."""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from taut.errors import Invalid, TautError
from taut.models.signature import Signature
from taut.serve.scoring.joining import Columns, count_rows, join, slices
from taut.serve.scoring.workers import Workers

ROWS_MAX = 512  # Of one call: past this a call gains nothing more from being larger, and others wait for it.

Outcome = Columns | Exception
"""What became of one request: its outputs, or Invalid, ModelFailed, TimeoutError, Unavailable."""

Predict = Callable[[Columns], Columns]


class ModelFailed(Exception):
    """The model raised. `detail` is for the log of the process, never for an answer."""

    def __init__(self, detail: str, message: str = "the model failed") -> None:
        super().__init__(message)
        self.detail = detail


class Engine(Protocol):
    """A model, wherever it runs. `compiled` says that it answers at once and can neither hang nor harm its process."""

    @property
    def signature(self) -> Signature:
        """What the model takes."""
        ...

    @property
    def compiled(self) -> bool:
        """Whether it may be called in the event loop, by `answer` of InProcess."""
        ...

    @property
    def hangs(self) -> bool:
        """Whether no call comes back in time at this moment."""
        ...

    async def start(self) -> None:
        """Bring it up; nothing else is asked of it before. Raises what loading a model raises, and Unavailable."""
        ...

    def score(self, requests: Sequence[Columns], deadline_s: float) -> Awaitable[list[Outcome]]:
        """One outcome a request, in their order, by `deadline_s` of the monotonic clock. Raises nothing."""
        ...

    def close(self) -> None:
        """Let go of threads and processes."""
        ...


class Model(Protocol):
    """What `Predictor` and `CompiledPredictor` have in common, and all that is asked of them here."""

    @property
    def signature(self) -> Signature:
        """What it takes."""
        ...

    @property
    def predict(self) -> Callable[..., Columns]:
        """Columns from columns."""
        ...


class InProcess:
    """A compiled model: a few rows are answered where they are asked, many rows in a thread."""

    compiled = True
    hangs = False

    def __init__(self, model: Model) -> None:
        self.signature = model.signature
        self._predict = model.predict
        self._workers = Workers[list[Outcome]](1, "rows")

    async def start(self) -> None:
        """It is up once it is loaded."""

    def answer(self, requests: Sequence[Columns]) -> list[Outcome]:
        """One outcome a request, now."""
        return answer_all(self._predict, requests)

    def joined(self, table: Columns, rows: int) -> Columns:
        """The outputs of a table of so many rows. Raises what the model raises."""
        return called(self._predict, table, rows)

    async def score(self, requests: Sequence[Columns], deadline_s: float) -> list[Outcome]:
        """One outcome a request, from a thread."""
        return await asyncio.wrap_future(self._workers.submit(lambda: answer_all(self._predict, requests)))

    def close(self) -> None:
        """Let go of the thread."""
        self._workers.close()


class Threaded:
    """A model of foreign code in one thread; what arrives while it is busy is the next call.

    A call that never returns keeps the thread: then every later request times out, and `hangs` says so.
    """

    compiled = False

    def __init__(self, model: Model) -> None:
        self.signature = model.signature
        self._predict = model.predict
        self._workers = Workers[list[Outcome]](1, "model")
        self._queue: list[tuple[Sequence[Columns], float, asyncio.Future[list[Outcome]]]] = []
        self._late_s = 0.0  # When the call that is out ought to be back; 0 where none is.

    @property
    def hangs(self) -> bool:
        """Whether a call is out past the deadline of all who wait for it."""
        return self._late_s > 0 and time.monotonic() > self._late_s

    async def start(self) -> None:
        """It is up once it is loaded."""

    async def score(self, requests: Sequence[Columns], deadline_s: float) -> list[Outcome]:
        """One outcome a request; those that still wait at their deadline are never given to the model."""
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._queue.append((requests, deadline_s, future))
        if not self._late_s:
            self._call(asyncio.get_running_loop())
        return await future

    def close(self) -> None:
        """Let go of the thread; one that hangs in the model is left to the end of the process."""
        self._workers.close()

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the model what waits, as much as one call may take."""
        taken, rows, now_s = [], 0, time.monotonic()
        while self._queue and rows < ROWS_MAX:
            requests, deadline_s, future = self._queue.pop(0)
            if deadline_s <= now_s:
                _tell(future, [TimeoutError()] * len(requests))
                continue
            taken.append((requests, deadline_s, future))
            rows += sum(len(next(iter(columns.values()), ())) for columns in requests)
        if not taken:
            self._late_s = 0.0
            return
        self._late_s = max(deadline_s for _, deadline_s, _ in taken)
        together = [columns for requests, _, _ in taken for columns in requests]

        def back(outcomes: list[Outcome]) -> None:
            start = 0
            for requests, _, future in taken:
                _tell(future, outcomes[start : start + len(requests)])
                start += len(requests)
            self._call(loop)

        work = self._workers.submit(lambda: answer_all(self._predict, together))
        work.add_done_callback(lambda done: loop.call_soon_threadsafe(back, done.result()))


def answer_all(predict: Predict, requests: Sequence[Columns]) -> list[Outcome]:
    """One outcome a request, from as few calls as it takes.

    Where a call fails, each half of its requests is asked again, so that in the end only the guilty ones fail.
    """
    try:
        counts = [count_rows(columns) for columns in requests]
        outputs = called(predict, join(requests, counts), sum(counts))
        return [*slices(outputs, counts)]
    except Exception as problem:  # noqa: BLE001  # A model is foreign code and may raise anything.
        if len(requests) == 1:
            return [_outcome(problem)]
    half = len(requests) // 2
    return answer_all(predict, requests[:half]) + answer_all(predict, requests[half:])


def called(predict: Predict, table: Columns, rows: int) -> Columns:
    """The outputs of one call. Raises what the model raises, ModelFailed where it answers other than so many rows."""
    outputs = predict(table)
    for name, values in outputs.items():
        if len(values) != rows:
            raise ModelFailed(f"the model gave {len(values)} values of {name!r} for {rows} rows")
    return outputs


def _outcome(problem: Exception) -> Exception:
    if isinstance(problem, TautError | ModelFailed):
        return problem
    if isinstance(problem, OverflowError):
        return Invalid(f"a number is too large for its column: {problem}")
    return ModelFailed("".join(traceback.format_exception(problem)))


def _tell(future: "asyncio.Future[list[Outcome]]", outcomes: list[Outcome]) -> None:
    if not future.done():  # Whoever waited may have been cancelled.
        future.set_result(outcomes)
