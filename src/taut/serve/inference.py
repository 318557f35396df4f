"""The ASGI application of one deployment: Open Inference Protocol v2, MLflow's /invocations, labels, health, metrics.

Bare ASGI, for on this path a framework costs more than everything else but the model.
"""

import asyncio
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from taut import __version__
from taut.errors import NotFound, TautError
from taut.ground import wire
from taut.home import Home
from taut.serve.labels import log_labels
from taut.serve.metrics import Metrics
from taut.serve.requests import (
    Body,
    InvocationReader,
    infer_answer,
    invocation_answer,
    is_table,
    metadata_body,
    must_be_plain,
    outputs_of_classes,
    read_infer,
    read_infer_table,
    server_body,
)
from taut.serve.scoring import Limits, ModelFailed, Scorer, Served

Scope = dict[str, Any]  # As ASGI defines it.
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a status, a body, its type, and whatever other headers there are."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What came in: the body is read before anything else is done."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class HttpProblem(Exception):
    """A request that ends with a status no kind of error has."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Labels(msgspec.Struct):
    labels: dict[str, float]


class Inference:
    """The application. `drain` makes every further answer close its connection, so that clients go elsewhere."""

    def __init__(self, home: Home, served: Served, limits: Limits | None = None) -> None:
        self._home = home
        self._served = served
        self._limits = limits or Limits()
        self._draining = False
        self._reader = InvocationReader(served.predictor.signature)
        self._metrics = Metrics(
            {
                "deployment": served.deployment,
                "model": served.model,
                "version": str(served.number),
                "revision": str(served.revision),
            }
        )
        self._scorer = Scorer(home, served, self._limits, self._metrics)

    def drain(self) -> None:
        """From now on this process wants to end: not ready, and no connection is kept."""
        self._draining = True

    def close(self) -> None:
        """Let go of the threads."""
        self._scorer.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        assert scope["type"] == "http", scope["type"]
        try:
            question = await _read(scope, receive, self._limits)
        except HttpProblem as problem:
            answer = _error(problem.status, str(problem))
        except ConnectionAbortedError:
            return  # Nobody waits for an answer.
        else:
            answer = await self._answered(question)
        await self._send(send, answer)

    async def _answered(self, question: Question) -> Answer:
        """The answer, whatever happens; this is the edge of the process, so anything at all is written down here."""
        started_s = time.monotonic()
        try:
            answer = await self._route(question)
        except HttpProblem as problem:
            answer = _error(problem.status, str(problem))
        except TautError as problem:
            answer = _told(problem)
        except ModelFailed as problem:
            answer = _error(500, str(problem))
        except TimeoutError:
            answer = _error(504, f"no answer within {self._limits.answer_s:g} s; the model is slow or hangs")
        except Exception:  # noqa: BLE001
            sys.stderr.write(f"{question.method} {question.path} failed\n{traceback.format_exc()}")
            answer = _error(500, "the server failed on this request; its log says how")
        if question.path.endswith(("/infer", "/invocations")):
            self._metrics.answered(answer.status, time.monotonic() - started_s, answer.rows)
        return answer

    async def _route(self, question: Question) -> Answer:
        if question.path == "/invocations":
            _only(question, "POST")
            return await self._invocation(question)
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
            exposed = self._metrics.exposition(waiting=self._scorer.waiting, now_s=time.monotonic())
            return Answer(200, exposed, b"text/plain; version=0.0.4; charset=utf-8")
        if path == "/version":
            return Answer(200, msgspec.json.encode({"taut": __version__}))
        if path in ("/v2", "/v2/"):
            return Answer(200, server_body(__version__))
        raise NotFound(f"this server has no {path}")

    async def _model(self, question: Question) -> Answer:
        """`/v2/models/NAME[/versions/NUMBER][/infer|/ready|/labels]`."""
        name, *rest = question.path.removeprefix("/v2/models/").split("/")
        if name != self._served.deployment:
            raise NotFound(f"no model {name!r} here; this server serves {self._served.deployment!r}")
        if rest[:1] == ["versions"]:
            if rest[1:2] != [str(self._served.number)]:
                raise NotFound(f"version {''.join(rest[1:2])!r} is not served here; {self._served.number} is")
            rest = rest[2:]
        if rest == ["infer"]:
            _only(question, "POST")
            return await self._infer(question)
        if rest == ["labels"]:
            _only(question, "POST")
            return await self._label(question)
        if rest == ["ready"]:
            _only(question, "GET")
            return self._ready()
        if rest:
            raise NotFound(f"this server has no {question.path}")
        _only(question, "GET")
        served, predictor = self._served, self._served.predictor
        outputs = outputs_of_classes(predictor.classes)
        signature = predictor.signature
        return Answer(
            200, metadata_body(served.deployment, served.number, served.model, served.revision, signature, outputs)
        )

    async def _infer(self, question: Question) -> Answer:
        headers, signature = question.headers, self._served.predictor.signature
        must_be_plain(headers.get("content-encoding", ""))
        if is_table(headers.get("content-type", "")):
            request = read_infer_table(
                question.body,
                request_id=headers.get("x-request-id", ""),
                moment=headers.get("x-event-time", ""),
                accept=headers.get("accept", ""),
            )
        else:
            length = headers.get("inference-header-content-length", "")
            request = read_infer(
                question.body, header_length=length, accept=headers.get("accept", ""), signature=signature
            )
        answered = await self._scorer.answer(request)
        return _answer(infer_answer(answered, request), answered.rows)

    async def _invocation(self, question: Question) -> Answer:
        headers = question.headers
        must_be_plain(headers.get("content-encoding", ""))
        request = self._reader.read(
            question.body,
            content_type=headers.get("content-type", ""),
            request_id=headers.get("x-request-id", ""),
            moment=headers.get("x-event-time", ""),
            accept=headers.get("accept", ""),
        )
        answered = await self._scorer.answer(request)
        return _answer(invocation_answer(answered, request), answered.rows)

    async def _label(self, question: Question) -> Answer:
        if not self._served.logs:
            raise NotFound("this server serves a model without a deployment, so it remembers no predictions")
        labels = wire.decode(question.body, _Labels, what="the labels").labels
        logged = await asyncio.to_thread(log_labels, self._home, self._served.deployment, labels)
        return Answer(200, wire.encode(logged))

    def _ready(self) -> Answer:
        """Ready is who would answer: not who is about to end, nor who sits in a model call that never returns."""
        why = "it is about to end" if self._draining else "the model hangs" if self._scorer.hangs else ""
        return _error(503, f"not ready: {why}") if why else Answer(200, b'{"ready":true}')

    async def _send(self, send: Send, answer: Answer) -> None:
        headers = [
            (b"content-type", answer.content_type),
            (b"content-length", str(len(answer.body)).encode()),
            *answer.headers,
        ]
        if self._draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def _answer(body: Body, rows: int) -> Answer:
    return Answer(200, body.data, body.content_type, body.headers, rows)


def _told(problem: TautError) -> Answer:
    if problem.http_status == 503:
        return _error(503, problem.message, (b"retry-after", b"1"))
    return _error(problem.http_status, problem.message)


def _error(status: int, message: str, *headers: tuple[bytes, bytes]) -> Answer:
    """An error as the protocol writes it: one object with one text."""
    return Answer(status, msgspec.json.encode({"error": message}), headers=headers)


def _only(question: Question, method: str) -> None:
    if question.method != method:
        raise HttpProblem(405, f"{question.path} takes {method}, not {question.method}")


async def _read(scope: Scope, receive: Receive, limits: Limits) -> Question:
    """The whole request, within its bounds of size and time. What is sent beyond them is thrown away unread."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limits.body_bytes:
        raise HttpProblem(413, f"the body has {declared} bytes; this server takes {limits.body_bytes} at most")
    try:
        async with asyncio.timeout(limits.body_s):
            body = await _body(receive, limits.body_bytes)
    except TimeoutError:
        raise HttpProblem(408, f"the body did not arrive within {limits.body_s:g} s") from None
    return Question(scope["method"], scope["path"], headers, body)


async def _body(receive: Receive, bytes_max: int) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError
        part = message.get("body", b"")
        size += len(part)
        if size > bytes_max:
            raise HttpProblem(413, f"the body is larger than {bytes_max} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
