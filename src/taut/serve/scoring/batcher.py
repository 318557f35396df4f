"""Requests that arrive in one turn of the event loop are answered together, and written down together.

No timer and no added delay: whoever comes alone is answered alone. A compiled model answers in the loop itself; any
other is asked request by request through its engine, which gathers while it is busy.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence

from taut.errors import TautError
from taut.records import Prediction
from taut.serve.processes import ModelFailed
from taut.serve.requests import Request
from taut.serve.scoring.backend import Backend
from taut.serve.scoring.engine import InProcess, Outcome
from taut.serve.scoring.joining import Columns, count_rows, join
from taut.serve.scoring.limits import Limits, UnderWay
from taut.serve.scoring.pending import Ids, Pending, RequestFailed, Result, Tell, TimedOut
from taut.serve.scoring.said import Log
from taut.serve.scoring.writing import Meter, Writer

ROWS_MAX = 512  # Of one call: past this a call gains nothing more from being larger, and others wait for it.
LOOP_ROWS = 2 * ROWS_MAX  # A request with more rows than that is answered in a thread: some milliseconds of work.


class Batcher:
    """The way of requests through one backend: ids, model, log. Lives in one event loop."""

    def __init__(
        self,
        backend: Backend,
        limits: Limits,
        under_way: UnderWay,
        ids: Ids,
        log: Log | None,
        meter: Meter,
        now_ms: Callable[[], int],
    ) -> None:
        self.backend = backend
        self.writer = Writer(backend, log, meter, now_ms, self._resolve, limits.answer_s)
        self.waiting = 0
        self._limits = limits
        self._under_way = under_way
        self._ids = ids
        self._meter = meter
        self._gathered: list[Pending] = []
        self._scored: list[tuple[Pending, Outcome]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_joined = isinstance(backend.engine, InProcess) and backend.engine.signature.rows == -1

    def put(self, request: Request, caller: str, tell: Tell) -> None:
        """Answer a request: `tell` gets the prediction once it is in the log, or why there is none.

        That is TimedOut, RequestFailed, or a kind of TautError. Raises at once Unavailable where too many wait
        already, Throttled where too many of this caller do, Invalid for columns of different lengths.
        """
        rows = count_rows(request.columns)
        self._under_way.enter(caller)
        self.waiting += 1
        self._gather(Pending(request, rows, caller, tell, self._over))

    async def answer(self, request: Request, caller: str = "") -> Prediction:
        """The same for whoever waits: the prediction, or raised why there is none."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.put(request, caller, lambda result: None if future.done() else future.set_result(result))
        result = await future
        if isinstance(result, Exception):
            raise result
        return result

    def copy(self, request: Request, request_id: str) -> None:
        """Answer a request a second time, for the log alone: a shadow's answer under the id of the real one.

        Where too many requests wait already there is none: a shadow costs nobody an answer.
        """
        if self._under_way.is_full:
            return
        self._under_way.enter()
        self.waiting += 1
        pending = Pending(request, count_rows(request.columns), "", lambda _: None, self._over)
        pending.id, pending.given = request_id, False
        self._gather(pending)

    async def warm_up(self, columns: Columns) -> Outcome:
        """Ask the model once, unseen by log and counters."""
        if not columns:
            return {}  # Nobody knows what a model without a signature takes.
        (outcome,) = await self.backend.engine.score([columns], time.monotonic() + self._limits.answer_s)
        return outcome

    def close(self) -> None:
        """Let go of threads and engine."""
        self.backend.engine.close()
        self.writer.close()

    # Ids

    def _gather(self, pending: Pending) -> None:
        self._gathered.append(pending)
        if len(self._gathered) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """All that arrived in this turn."""
        gathered, self._gathered = self._gathered, []
        try:
            self._begin(gathered)
        except Exception as problem:  # noqa: BLE001  # A defect of ours: nobody may wait for it for ever.
            for pending in gathered:
                if not pending.is_over:
                    self._resolve(pending, problem)

    def _begin(self, gathered: list[Pending]) -> None:
        self._meter.under_way(self.waiting, self._under_way.bytes)
        if self.writer.log is not None and any(pending.given for pending in gathered):
            leaders = []
            for pending in gathered:
                if pending.given:
                    pending.wait_until(self._deadline_s(pending))
                    if self._ids.leads(pending):
                        leaders.append(pending)
            gathered = [pending for pending in gathered if not pending.given]
            if leaders:
                self.writer.look_up(leaders, self._score)
        if gathered:
            self._score(gathered)

    def _resolve(self, pending: Pending, result: Result) -> None:
        for other in self._ids.resolve(pending, result):
            self._gather(other)

    def _over(self, pending: Pending) -> None:
        self.waiting -= 1
        self._under_way.leave(pending.caller)
        if not self.waiting:
            self._meter.under_way(0, self._under_way.bytes)

    def _deadline_s(self, pending: Pending) -> float:
        return pending.arrived_s + self._limits.answer_s

    # The model

    def _score(self, gathered: Sequence[Pending]) -> None:
        engine = self.backend.engine
        if not self._is_joined or not isinstance(engine, InProcess):
            for pending in gathered:
                self._start(pending)
            return
        part: list[Pending] = []
        rows = 0
        for pending in gathered:
            if pending.rows > LOOP_ROWS:
                self._start(pending)
                continue
            if part and rows + pending.rows > ROWS_MAX:
                self._answer(engine, part, rows)
                part, rows = [], 0
            part.append(pending)
            rows += pending.rows
        if part:
            self._answer(engine, part, rows)

    def _answer(self, engine: InProcess, part: Sequence[Pending], rows: int) -> None:
        """Here and now."""
        begun_s = time.monotonic()
        requests = [pending.request.columns for pending in part]
        try:
            table = join(requests, [pending.rows for pending in part])
            outputs = engine.joined(table, rows)
        except Exception:  # noqa: BLE001  # Asked again by halves, whose outcomes say what is wrong with whom.
            outcomes = engine.answer(requests)
            self._meter.called(time.monotonic() - begun_s, len(part))
            self._settle([*zip(part, outcomes, strict=True)])
        else:
            self._meter.called(time.monotonic() - begun_s, len(part))
            self.writer.say(part, table, outputs)

    def _start(self, pending: Pending) -> None:
        task = asyncio.get_running_loop().create_task(self._score_alone(pending))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _score_alone(self, pending: Pending) -> None:
        """By the engine, in its own time."""
        deadline_s = self._deadline_s(pending)
        pending.wait_until(deadline_s)
        begun_s, asked = time.monotonic(), pending.request
        try:
            (outcome,) = await self.backend.engine.score([asked.columns], deadline_s, params=asked.params)
        except Exception as problem:  # noqa: BLE001  # An engine raises nothing; one that does shall not be waited for.
            outcome = problem
        self._meter.called(time.monotonic() - begun_s, 1)
        self._scored.append((pending, outcome))
        if len(self._scored) == 1:
            asyncio.get_running_loop().call_soon(self._settle_scored)

    def _settle_scored(self) -> None:
        """All that the engine answered in this turn."""
        scored, self._scored = self._scored, []
        self._settle(scored)

    def _settle(self, scored: Sequence[tuple[Pending, Outcome]]) -> None:
        """Tell who failed, write down what the others were answered."""
        good: list[tuple[Pending, Columns]] = []
        for pending, outcome in scored:
            if isinstance(outcome, Exception):
                self._fail(pending, outcome)
            else:
                good.append((pending, outcome))
        if not good:
            return
        part = [pending for pending, _ in good]
        counts = [pending.rows for pending in part]
        try:
            inputs = join([pending.columns for pending in part], counts)
            outputs = join([outcome for _, outcome in good], counts)
        except TautError:  # Requests whose columns differ, which the model took all the same.
            for pending, outcome in good:
                self.writer.say([pending], pending.columns, outcome)
        else:
            self.writer.say(part, inputs, outputs)

    def _fail(self, pending: Pending, problem: Exception) -> None:
        if isinstance(problem, ModelFailed):
            sys.stderr.write(f"request {pending.named()}: {problem}\n{problem.detail}\n")
            problem = RequestFailed(pending.id)
        elif isinstance(problem, TimeoutError):
            problem = TimedOut(pending.named())
        self._resolve(pending, problem)
