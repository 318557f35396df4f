"""The ASGI application of one endpoint: Open Inference Protocol v2, MLflow's /invocations, labels, health, metrics.

Bare ASGI, for on this path a framework costs more than everything else but the model.
"""

import asyncio
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from taut import __version__
from taut.errors import NotFound, TautError
from taut.ground import wire
from taut.home import Home
from taut.records import Prediction
from taut.serve.http.access_log import AccessLog
from taut.serve.http.answers import Answer, HttpProblem, error, told
from taut.serve.http.board import Board, Labels, Slot
from taut.serve.http.exposition import exposition
from taut.serve.http.reading import Question, Receive, Scope, Send, read_question
from taut.serve.labels import log_labels
from taut.serve.requests import (
    Body,
    InvocationReader,
    infer_answer,
    invocation_answer,
    is_table,
    metadata_body,
    must_be_plain,
    outputs_of_answer,
    read_infer,
    read_infer_table,
    server_body,
)
from taut.serve.scoring.backend import Backend, Served, backend_of
from taut.serve.scoring.batcher import Batcher
from taut.serve.scoring.engine import ModelFailed
from taut.serve.scoring.joining import plain_lists
from taut.serve.scoring.limits import Limits, UnderWay
from taut.serve.scoring.pending import Ids
from taut.serve.scoring.said import Log
from taut.serve.scoring.sqllog import SqlLog
from taut.serve.scoring.warming import made_up_row

Guard = Callable[[str, str, dict[bytes, bytes]], str]
"""Given method, path and headers, the name of the caller, empty for nobody known; raises Denied and its kin."""

Pick = Callable[[str], int]
"""Given a request's routing key, empty for none, the place of the backend that answers it."""

KEY_HEADER = b"x-routing-key"


class _Labels(msgspec.Struct):
    labels: dict[str, float]


class Way:
    """A backend as requests reach it: its batcher, its counters, and what it is known to answer with."""

    __slots__ = ("backend", "batcher", "outputs", "reader", "slot")

    def __init__(self, batcher: Batcher, slot: Slot) -> None:
        self.backend = batcher.backend
        self.batcher = batcher
        self.slot = slot
        self.reader = InvocationReader(self.backend.engine.signature)
        self.outputs: dict[str, str] = {}  # Datatypes by name, from the first answer.


Hot = Callable[[Question, Way, str], Awaitable[Answer]]


class Application:
    """The application. `drain` makes every further answer close its connection, so that clients go elsewhere.

    `served` is one model in memory, or the backends of the endpoint, the live one first. `board` is shared by all
    processes of the endpoint, of which this one is number `front`. It is ready once `warm_up` has returned.
    """

    def __init__(
        self,
        home: Home,
        served: Served | Sequence[Backend],
        limits: Limits | None = None,
        *,
        log: Log | None = None,
        board: Board | None = None,
        front: int = 0,
        pick: Pick | None = None,
        guard: Guard | None = None,
        access: AccessLog | None = None,
    ) -> None:
        backends = [backend_of(served)] if isinstance(served, Served) else [*served]
        if isinstance(served, Served) and served.logs and log is None:
            log = SqlLog(home, served.deployment)
        self._home, self._log, self._pick, self.guard, self._access = home, log, pick, guard, access
        self._limits = limits or Limits()
        self._under_way = UnderWay(self._limits)
        self._board = board or Board([labels_of(backend) for backend in backends])
        self._is_draining = self._is_warm = False
        self._name = backends[0].deployment
        ids = Ids()
        self._ways: list[Way] = []
        for place, backend in enumerate(backends):
            slot = self._board.meter(front, place)
            batcher = Batcher(backend, self._limits, self._under_way, ids, log, slot, home.clock.now_ms)
            self._ways.append(Way(batcher, slot))
        self._hot = self._hot_routes()

    async def warm_up(self) -> None:
        """Ask every model a made-up row, so that no caller meets a cold one. Raises TimeoutError where one hangs."""
        for way in self._ways:
            outcome = await way.batcher.warm_up(made_up_row(way.backend.engine.signature))
            if isinstance(outcome, TimeoutError):
                raise outcome
            if not isinstance(outcome, Exception):
                way.outputs = outputs_of_answer(plain_lists(outcome))
        self._is_warm = True

    def drain(self) -> None:
        """From now on this process wants to end: not ready, and no connection is kept."""
        self._is_draining = True

    def close(self) -> None:
        """Let go of threads, models, log."""
        for way in self._ways:
            way.batcher.close()
        if self._log is not None:
            self._log.close()
        if self._access is not None:
            self._access.flush()

    @property
    def unready(self) -> str:
        """Why this process should get no requests at this moment; empty where it should."""
        if self._is_draining:
            return "it is about to end"
        if not self._is_warm:
            return "it is not warmed up"
        if any(way.backend.engine.hangs for way in self._ways):
            return "the model hangs"
        if any(way.batcher.writer.fails for way in self._ways):
            return "the prediction log cannot be written"
        return "too many requests wait" if self._under_way.is_full else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        assert scope["type"] == "http", scope["type"]
        begun_s, held = time.monotonic(), 0
        hot = self._hot.get(scope["path"])
        way = self._ways[0] if hot is None else hot[1]
        try:
            caller = "" if self.guard is None else self.guard(scope["method"], scope["path"], dict(scope["headers"]))
            question = await read_question(scope, receive, self._limits, self._under_way)
            held, begun_s = len(question.body), time.monotonic()
            if hot is None or question.method != "POST":
                answer = await self._route(question)
            else:
                if self._pick is not None and way is self._ways[0]:
                    way = self.picked(question.header(KEY_HEADER))
                answer = await hot[0](question, way, caller)
        except ConnectionAbortedError:
            return  # Nobody waits for an answer.
        except Exception as problem:  # noqa: BLE001  # The edge of the process: whatever it is, it is told here.
            answer = self._problem(scope, problem)
        finally:
            self._under_way.release(held)
        seconds = time.monotonic() - begun_s
        if hot is not None:
            way.slot.answered(answer.status, seconds)
        await self._send(send, answer)
        if self._access is not None:
            self._access.answered(scope["method"], scope["path"], (scope["client"] or ("",))[0], answer, seconds)

    def _problem(self, scope: Scope, problem: Exception) -> Answer:
        """The answer to a request that failed; only what nobody foresaw is written down."""
        if isinstance(problem, HttpProblem):
            return error(problem.status, str(problem))
        if isinstance(problem, TautError):
            return told(problem)
        if isinstance(problem, ModelFailed):
            return error(500, str(problem), problem.request_id)
        if isinstance(problem, TimeoutError):
            return error(504, f"no answer within {self._limits.answer_s:g} s; the model is slow or hangs")
        sys.stderr.write(f"{scope['method']} {scope['path']} failed\n{''.join(traceback.format_exception(problem))}")
        return error(500, "the server failed on this request; its log says how")

    # Predictions

    def _hot_routes(self) -> dict[str, tuple[Hot, Way]]:
        """What is asked all the time, by its whole path; a path without a version may be answered by any of them."""
        live = self._ways[0]
        routes: dict[str, tuple[Hot, Way]] = {
            "/invocations": (self._invocation, live),
            f"/v2/models/{self._name}/infer": (self._infer, live),
        }
        for way in self._ways:
            routes[f"/v2/models/{self._name}/versions/{way.backend.number}/infer"] = (self._infer, way)
        return routes

    async def _invocation(self, question: Question, way: Way, caller: str) -> Answer:
        must_be_plain(question.header(b"content-encoding"))
        request = way.reader.read(
            question.body,
            content_type=question.header(b"content-type"),
            request_id=question.header(b"x-request-id"),
            moment=question.header(b"x-event-time"),
            accept=question.header(b"accept"),
        )
        said = await way.batcher.ask(request, caller)
        return _answer(invocation_answer(said, request), said)

    async def _infer(self, question: Question, way: Way, caller: str) -> Answer:
        signature = way.backend.engine.signature
        must_be_plain(question.header(b"content-encoding"))
        if is_table(question.header(b"content-type")):
            request = read_infer_table(
                question.body,
                signature,
                request_id=question.header(b"x-request-id"),
                moment=question.header(b"x-event-time"),
                accept=question.header(b"accept"),
            )
        else:
            length = question.header(b"inference-header-content-length")
            request = read_infer(question.body, header_length=length, signature=signature)
        said = await way.batcher.ask(request, caller)
        return _answer(infer_answer(said, request), said)

    # All else

    async def _route(self, question: Question) -> Answer:
        if question.path in self._hot:
            _only(question, "POST")
        if question.path.startswith("/v2/models/"):
            return await self._model(question)
        _only(question, "GET")
        return self._about(question.path)

    def _about(self, path: str) -> Answer:
        """What the server says of itself."""
        if path in ("/v2/health/live", "/ping", "/health"):
            return Answer(200, b'{"live":true}')
        if path in ("/v2/health/ready", "/ready"):
            return self._ready()
        if path == "/metrics":
            exposed = exposition(self._board, now_s=time.monotonic())
            return Answer(200, exposed, content_type=b"text/plain; version=0.0.4; charset=utf-8")
        if path == "/version":
            return Answer(200, msgspec.json.encode({"taut": __version__}))
        if path in ("/v2", "/v2/"):
            return Answer(200, server_body(__version__))
        raise NotFound(f"this server has no {path}")

    async def _model(self, question: Question) -> Answer:
        """`/v2/models/NAME[/versions/NUMBER][/ready|/labels]`."""
        name, *rest = question.path.removeprefix("/v2/models/").split("/")
        number = ""
        if rest[:1] == ["versions"]:
            number, rest = "".join(rest[1:2]), rest[2:]
        way = self.way(name, number)
        if rest == ["labels"]:
            _only(question, "POST")
            return await self._label(question)
        if rest not in ([], ["ready"]):
            raise NotFound(f"this server has no {question.path}")
        _only(question, "GET")
        return self._ready() if rest else Answer(200, self.described(way))

    def way(self, name: str, number: str = "") -> Way:
        """The backend of a name and a version, as a caller wrote them; the live one where no version is named.

        Raises NotFound.
        """
        if name != self._name:
            raise NotFound(f"no model {name!r} here; this server serves {self._name!r}")
        if not number:
            return self._ways[0]
        for way in self._ways:
            if number == str(way.backend.number):
                return way
        served = ", ".join(str(way.backend.number) for way in self._ways)
        raise NotFound(f"version {number!r} is not served here; {served} is")

    def picked(self, key: str) -> Way:
        """The backend that answers a request with this routing key, empty for none."""
        return self._ways[0] if self._pick is None else self._ways[self._pick(key)]

    def described(self, way: Way) -> bytes:
        """The metadata of a backend by the Open Inference Protocol."""
        backend, versions = way.backend, [way.backend.number for way in self._ways]
        return metadata_body(
            backend.deployment, backend.number, backend.model, backend.revision, backend.engine.signature, way.outputs,
            versions,
        )  # fmt: skip

    async def _label(self, question: Question) -> Answer:
        if self._log is None:
            raise NotFound("this server serves a model without a deployment, so it remembers no predictions")
        labels = wire.decode(question.body, _Labels, what="the labels").labels
        logged = await asyncio.to_thread(log_labels, self._home, self._name, labels)
        return Answer(200, wire.encode(logged))

    def _ready(self) -> Answer:
        why = self.unready
        return error(503, f"not ready: {why}") if why else Answer(200, b'{"ready":true}')

    async def _send(self, send: Send, answer: Answer) -> None:
        headers = [(b"content-type", answer.content_type), (b"content-length", str(len(answer.body)).encode())]
        if answer.headers:
            headers.extend(answer.headers)
        if self._is_draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def labels_of(backend: Backend) -> Labels:
    """How the counters of a backend are told apart."""
    return Labels(backend.deployment, backend.model, str(backend.number), str(backend.revision))


def _answer(body: Body, said: Prediction) -> Answer:
    return Answer(200, body.data, said.rows, said.id, said.number, said.revision, body.content_type, body.headers)


def _only(question: Question, method: str) -> None:
    if question.method != method:
        raise HttpProblem(405, f"{question.path} takes {method}, not {question.method}")
