"""A model of foreign code in a thread of this process, which stands where a model in processes of its own would."""

import asyncio
import time
from collections.abc import Sequence

from taut.models import CompiledPredictor, Predictor
from taut.serve.scoring.backend import Backend
from taut.serve.scoring.batcher import ROWS_MAX
from taut.serve.scoring.engine import NO_PARAMS, Engine, InProcess, Model, Outcome, Params, answer_all
from taut.serve.scoring.joining import Columns
from taut.serve.scoring.worker import Worker


class Threaded:
    """A model of foreign code in one thread; what arrives while it is busy is the next call.

    A call that never returns keeps the thread: then every later request times out, and `hangs` says so.
    """

    compiled = False

    def __init__(self, model: Model) -> None:
        self.signature = model.signature
        self._predict = model.predict
        self._worker = Worker[list[Outcome]]("model")
        self._queue: list[tuple[Sequence[Columns], float, asyncio.Future[list[Outcome]]]] = []
        self._late_s = 0.0  # When the call that is out ought to be back; 0 where none is.

    @property
    def hangs(self) -> bool:
        """Whether a call is out past the deadline of all who wait for it."""
        return self._late_s > 0 and time.monotonic() > self._late_s

    async def start(self) -> None:
        """Nothing is left to load."""

    async def score(
        self, requests: Sequence[Columns], deadline_s: float, *, params: Params = NO_PARAMS
    ) -> list[Outcome]:
        """One outcome a request; those that still wait at their deadline are never given to the model."""
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._queue.append((requests, deadline_s, future))
        if not self._late_s:
            self._call(asyncio.get_running_loop())
        return await future

    def close(self) -> None:
        """Let go of the thread; one that hangs in the model is left to the end of the process."""
        self._worker.close()

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

        work = self._worker.submit(lambda: answer_all(self._predict, together))
        work.add_done_callback(lambda done: loop.call_soon_threadsafe(back, done.result()))


def backend_of(predictor: Predictor | CompiledPredictor, *, revision: int = 1) -> Backend:
    """The live backend of the deployment `late` by a model in memory: a graph in the loop, any other in a thread."""
    is_safe = isinstance(predictor, CompiledPredictor) or predictor.in_process
    engine: Engine = InProcess(predictor) if is_safe else Threaded(predictor)
    return Backend("late", revision, "late", 1, engine)


def _tell(future: "asyncio.Future[list[Outcome]]", outcomes: list[Outcome]) -> None:
    if not future.done():  # Whoever waited may have been cancelled.
        future.set_result(outcomes)
