"""The ASGI application of one endpoint: Open Inference Protocol v2, MLflow's /invocations, labels, health, metrics.

Bare ASGI, for on this path a framework costs more than everything else but the model.
"""

import asyncio
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence

from taut.errors import TautError, Unavailable
from taut.ground.tracing import Tracing
from taut.home import Home
from taut.models import made_up_rows
from taut.serve.http.access_log import AccessLog
from taut.serve.http.answers import Answer, HttpProblem, error, told
from taut.serve.http.board import Board, Labels
from taut.serve.http.guard import Guard
from taut.serve.http.pages import Pages
from taut.serve.http.reading import Question, Receive, Scope, Send, headers_of, read_question
from taut.serve.http.routes import Route, Way, hot_routes
from taut.serve.requests import Request, outputs_of_answer
from taut.serve.scoring.backend import Backend
from taut.serve.scoring.batcher import Batcher
from taut.serve.scoring.health import Health
from taut.serve.scoring.joining import Columns, plain_lists
from taut.serve.scoring.limits import Limits, UnderWay
from taut.serve.scoring.pending import Ids, RequestFailed, Result, TimedOut
from taut.serve.scoring.said import Log

Pick = Callable[[Mapping[bytes, bytes], Columns], int]
"""Given a request's headers and columns, the place of the backend that answers it, which is no shadow."""


class Application:
    """The application. `drain` makes every further answer close its connection, so that clients go elsewhere.

    `backends` are those of the endpoint, the live one first; `log` is told what they say. `board` is shared by all
    processes of the endpoint, of which this one is number `front`; `pick` chooses where no version is named, else the
    first answers; `access` gets a line a request, `tracing` a span; `grpc` is where it speaks gRPC. Shadows are asked
    what was answered, after it was, for the log alone. It is ready once `warm_up` has returned.
    """

    def __init__(
        self,
        home: Home,
        backends: Sequence[Backend],
        limits: Limits | None = None,
        *,
        log: Log | None = None,
        board: Board | None = None,
        front: int = 0,
        pick: Pick | None = None,
        guard: Guard | None = None,
        access: AccessLog | None = None,
        grpc: tuple[str, int] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.grpc = grpc
        self.limits = limits or Limits()
        self.under_way = UnderWay(self.limits)
        self._log, self._pick, self.guard, self._access = log, pick, guard, access
        self._tracing, self._endpoint = tracing, backends[0].deployment
        self._looked_up: set[asyncio.Future[None]] = set()
        self._board = board = board or Board([labels_of(backend) for backend in backends])
        self._front = front
        ids = Ids()
        self._ways: list[Way] = []
        for place, backend in enumerate(backends):
            slot = board.meter(front, place)
            batcher = Batcher(backend, self.limits, self.under_way, ids, log, slot, home.clock.now_ms)
            self._ways.append(Way(batcher, slot))
        self.health = Health([way.batcher for way in self._ways], self.under_way)
        self._shadows = [way for way in self._ways if way.backend.role == "shadow"]
        self.hot = hot_routes(self._endpoint, self._ways)
        self.pages = Pages(home, self._endpoint, self._ways, self.hot, board, self.health, keeps=log is not None)

    def picked(self, headers: Mapping[bytes, bytes], columns: Columns) -> Way:
        """The backend that answers where no version is named."""
        return self._ways[0] if self._pick is None else self._ways[self._pick(headers, columns)]

    async def warm_up(self) -> None:
        """Bring every model up and ask it a made-up row, so that no caller meets a cold one.

        What it says of that row is nobody's business. Raises TimeoutError where it hangs, Unavailable where it is
        gone, and what loading raises.
        """
        for way in self._ways:
            await way.start()
            outcome = await way.batcher.warm_up(made_up_rows(way.signature))
            if isinstance(outcome, TimeoutError | Unavailable):
                raise outcome
            if not isinstance(outcome, Exception):
                way.outputs = outputs_of_answer(plain_lists(outcome))
        self.health.is_warm = True

    def has_its_share(self, connections: int) -> bool:
        """Tell the other fronts how many connections are open here; whether the next is rather one of theirs."""
        return self._board.has_its_share(self._front, connections)

    def drain(self) -> None:
        """From now on this process wants to end: not ready, and no connection is kept."""
        self.health.is_draining = True

    def close(self) -> None:
        """Let go of threads, models, logs."""
        for way in self._ways:
            way.batcher.close()
        if self._log is not None:
            self._log.close()
        if self._access is not None:
            self._access.flush()
        if self._tracing is not None:
            self._tracing.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        assert scope["type"] == "http", scope["type"]
        begun_s, held = time.monotonic(), 0
        method, path = scope["method"], scope["path"]
        hot = self.hot.get(path)
        try:
            caller = await self.admitted(method, path, headers_of(scope), (scope.get("client") or ("",))[0])
            question = await read_question(scope, receive, self.limits, self.under_way)
            held, begun_s = len(question.body), time.monotonic()
            if hot is None or method != "POST":
                answer = await self.pages.answer(question)
            else:
                future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
                self._predict(question, hot, caller, begun_s, lambda said: _set(future, said))
                answer = await future
        except ConnectionAbortedError:
            return  # Nobody waits for an answer.
        except Exception as problem:  # noqa: BLE001  # The edge of the process: whatever it is, it is told here.
            answer = self._problem(f"{method} {path}", problem)
            if hot is not None:
                hot.way.slot.answered(answer.status, time.monotonic() - begun_s)
        finally:
            self.under_way.release(held)
        await self._send(send, answer)
        client = scope.get("client") or ("",)
        self._note(method, path, dict(scope["headers"]), client[0], answer, time.monotonic() - begun_s)

    def predict(self, question: Question, hot: Route, client: str, told: Callable[[Answer], None]) -> None:
        """The short way of a prediction, for a server that has the whole request: `told` gets the answer, later or now.

        Raises nothing. The caller holds and releases the bytes of the body.
        """
        begun_s = time.monotonic()
        if self._access is not None or self._tracing is not None:
            tell = told

            def told(answer: Answer) -> None:
                tell(answer)
                took_s = time.monotonic() - begun_s
                self._note(question.method, question.path, question.headers, client, answer, took_s)

        try:
            guard = self.guard
            caller = "" if guard is None else guard(question.method, question.path, question.headers, client)
        except Exception as problem:  # noqa: BLE001  # As in `__call__`.
            answer = self._problem(f"{question.method} {question.path}", problem)
            hot.way.slot.answered(answer.status, time.monotonic() - begun_s)
            told(answer)
            return
        if isinstance(caller, str):
            self._predict(question, hot, caller, begun_s, told)
        else:
            task = asyncio.ensure_future(self._predict_for(caller, question, hot, begun_s, told))
            self._looked_up.add(task)  # The loop itself holds no task.
            task.add_done_callback(self._looked_up.discard)

    async def admitted(self, method: str, path: str, headers: Mapping[bytes, bytes], address: str) -> str:
        """Who calls, where they may; raises what the guard does."""
        caller = "" if self.guard is None else self.guard(method, path, headers, address)
        return caller if isinstance(caller, str) else await caller

    async def _predict_for(
        self, caller: Awaitable[str], question: Question, hot: Route, begun_s: float, told: Callable[[Answer], None]
    ) -> None:
        """Go on once it is known who calls."""
        try:
            name = await caller
        except Exception as problem:  # noqa: BLE001  # As in `__call__`.
            answer = self._problem(f"{question.method} {question.path}", problem)
            hot.way.slot.answered(answer.status, time.monotonic() - begun_s)
            told(answer)
        else:
            self._predict(question, hot, name, begun_s, told)

    def _predict(
        self, question: Question, hot: Route, caller: str, begun_s: float, told: Callable[[Answer], object]
    ) -> None:
        """Ask the model, and tell the answer, whatever it is, exactly once."""
        way = hot.way
        request: Request | None = None

        def failed(problem: Exception) -> Answer:
            return self._problem(f"POST {question.path}", problem, "" if request is None else request.id)

        def said(result: Result) -> None:
            try:
                if isinstance(result, Exception):  # Raised, it would hold this frame, which holds it and the body.
                    answer = failed(result)
                else:
                    assert request is not None, question.path
                    answer = hot.write(result, request)
            except Exception as problem:  # noqa: BLE001  # As below.
                answer = failed(problem)
            way.slot.answered(answer.status, time.monotonic() - begun_s)
            told(answer)
            if self._shadows and answer.status == 200 and request is not None:
                for shadow in self._shadows:
                    shadow.batcher.copy(request, answer.id)

        try:
            request = hot.read(question, way)
            if self._pick is not None and hot.is_free:
                way = self.picked(question.headers, request.columns)
                if way.signature != hot.way.signature:  # A form without names of columns takes them from there.
                    request = hot.read(question, way)
            way.batcher.put(request, caller, said)
        except Exception as problem:  # noqa: BLE001  # The edge of the process: whatever it is, it is told here.
            said(problem)

    def _problem(self, what: str, problem: Exception, request_id: str = "") -> Answer:
        """The answer to a request that failed; only what nobody foresaw is written down."""
        if isinstance(problem, HttpProblem):
            return error(problem.status, str(problem))
        if isinstance(problem, TautError):
            return told(problem, request_id)
        if isinstance(problem, RequestFailed):
            return error(500, str(problem), problem.request_id)
        if isinstance(problem, TimedOut):
            words = f"no answer within {self.limits.answer_s:g} s; the model is slow or hangs"
            return error(504, words, problem.request_id)
        sys.stderr.write(f"{what} failed\n{''.join(traceback.format_exception(problem))}")
        return error(500, "the server failed on this request; its log says how", request_id)

    def _note(
        self, method: str, path: str, headers: Mapping[bytes, bytes], client: str, answer: Answer, took_s: float
    ) -> None:
        """Tell the access log, and whoever collects traces, of a request that was answered."""
        if self._access is not None:
            self._access.answered(method, path, client, answer, took_s)
        if self._tracing is not None:
            self._tracing.note(
                f"{method} {path}" if path in self.hot else method, headers, took_s=took_s, status=answer.status,
                attributes=traced(method, path, self._endpoint, answer),
            )  # fmt: skip

    async def _send(self, send: Send, answer: Answer) -> None:
        headers = [(b"content-type", answer.content_type), (b"content-length", str(len(answer.body)).encode())]
        headers.extend(answer.headers)
        if self.health.is_draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def _set(future: "asyncio.Future[Answer]", answer: Answer) -> None:
    if not future.done():  # Whoever waited may have been cancelled.
        future.set_result(answer)


def traced(method: str, path: str, endpoint: str, answer: Answer) -> dict[str, str | int]:
    """What a span says of a request: OpenTelemetry's names for HTTP, ours for what was served."""
    said: dict[str, str | int] = {
        "http.request.method": method, "url.path": path, "url.scheme": "http", "taut.deployment": endpoint,
        "http.response.status_code": answer.status,
    }  # fmt: skip
    if answer.id:
        said |= {"taut.request_id": answer.id}
    if answer.status == 200 and answer.rows:
        said |= {"taut.rows": answer.rows, "taut.version": answer.number, "taut.revision": answer.revision}
    return said


def labels_of(backend: Backend) -> Labels:
    """How the counters of a backend are told apart."""
    return Labels(backend.deployment, backend.model, str(backend.number), str(backend.revision))
