"""One model, one call at a time, in threads of its own: the queue before it, the time-out, the log behind it."""

import asyncio
import sys
import threading
import time
import traceback
from concurrent.futures import Future
from dataclasses import dataclass

from taut.errors import Invalid, TautError, Unavailable
from taut.ground.clock import new_id
from taut.home import Home
from taut.models import CompiledPredictor, Predictor
from taut.records import Prediction
from taut.serve.log import Columns, find_answer, log_prediction, same_inputs
from taut.serve.metrics import Metrics
from taut.serve.requests import Request
from taut.serve.workers import Workers

# One thread is in the model, the others write down what it said: so many share one commit of the log.
THREADS = 16


@dataclass(frozen=True, slots=True)
class Served:
    """What a process serves: a model version in memory, under a deployment's name; `logs` says whether it remembers."""

    deployment: str
    revision: int
    model: str
    number: int
    predictor: Predictor | CompiledPredictor
    logs: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a request: its body, the time until its answer, and how many wait before the next is sent away."""

    body_bytes: int = 16 << 20
    body_s: float = 30.0
    answer_s: float = 10.0
    waiting: int = 256


class ModelFailed(Exception):
    """The model raised; the request has an id by which the log of the process tells more."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"the model failed on request {request_id}; the server's log says how")


class Scorer:
    """Answers requests: looks whether the id is known, calls the model, writes the prediction down, then returns."""

    def __init__(self, home: Home, served: Served, limits: Limits, metrics: Metrics) -> None:
        self._waiting = 0
        self._count = threading.Lock()
        self._home = home
        self._served = served
        self._limits = limits
        self._metrics = metrics
        self._model = threading.Lock()
        self._called_s = 0.0
        self._workers = Workers[Prediction](THREADS, "score")

    @property
    def waiting(self) -> int:
        """Requests that were accepted and are not answered."""
        return self._waiting

    @property
    def hangs(self) -> bool:
        """Whether a model call is out for longer than any request may take."""
        called_s = self._called_s
        return called_s > 0 and time.monotonic() - called_s > self._limits.answer_s

    async def answer(self, request: Request) -> Prediction:
        """The answer, after it is on disk.

        Raises Unavailable where too many wait already, TimeoutError past the deadline, ModelFailed, Invalid, Conflict.
        """
        if self._waiting >= self._limits.waiting:
            raise Unavailable(f"{self._waiting} requests wait already; try again in a second")
        deadline_s = time.monotonic() + self._limits.answer_s
        with self._count:
            self._waiting += 1
        work = self._workers.submit(lambda: self._answer(request, deadline_s))
        work.add_done_callback(self._leave)  # When its thread is free again, which may be long after the time-out.
        return await asyncio.wait_for(asyncio.wrap_future(work), self._limits.answer_s)

    def close(self) -> None:
        """Let go of the threads; one that hangs in the model is left to the end of the process."""
        self._workers.close()

    def _leave(self, _: "Future[Prediction]") -> None:
        with self._count:
            self._waiting -= 1

    def _answer(self, request: Request, deadline_s: float) -> Prediction:
        served = self._served
        if request.id and served.logs:
            stored = find_answer(self._home, served.deployment, request.id)
            if stored is not None:
                return same_inputs(stored, request.columns)
        request_id = request.id or new_id()
        outputs = self._predict(request.columns, request_id, deadline_s)
        now_ms = self._home.clock.now_ms()
        event_ms = now_ms if request.event_ms is None else request.event_ms
        if served.logs:
            return self._remember(request_id, event_ms, request.columns, outputs)
        rows = len(next(iter(outputs.values())))
        return Prediction(
            served.deployment, request_id, served.revision, served.model, served.number, now_ms, event_ms, rows,
            request.columns, outputs,
        )  # fmt: skip

    def _predict(self, columns: Columns, request_id: str, deadline_s: float) -> Columns:
        if not self._model.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
            raise TimeoutError
        try:
            self._called_s = time.monotonic()
            return self._served.predictor.predict(columns)
        except TautError:
            raise
        except OverflowError as problem:
            raise Invalid(f"a number is too large for its column: {problem}") from None
        except Exception as problem:  # A model is foreign code and may raise anything.
            sys.stderr.write(f"request {request_id}: the model failed\n{traceback.format_exc()}")
            raise ModelFailed(request_id) from problem
        finally:
            self._called_s = 0.0
            self._model.release()

    def _remember(self, request_id: str, event_ms: int, inputs: Columns, outputs: Columns) -> Prediction:
        ticket = self._metrics.commit_begins(time.monotonic())
        try:
            return log_prediction(
                self._home, self._served.deployment, request_id, self._served.revision, event_ms, inputs, outputs
            )
        finally:
            self._metrics.commit_ends(ticket)
