"""The server's application: verbs by name, objects by oid, MLflow's routes, probes and metrics. It only passes on."""

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taut import __version__
from taut.errors import Invalid, TautError
from taut.faces.http.doorway import OPEN_PATHS, Unauthenticated, actor_of, check_host, check_origin
from taut.faces.mlflow.errors import coded_answer, error_answer
from taut.faces.mlflow.face import mlflow_routes
from taut.faces.mlflow.files import store_body
from taut.faces.verbs import load_verb
from taut.ground import wire
from taut.ground.objects.protocol import chunks
from taut.home import Home, require
from taut.runs import ensure_experiment

JSON_BYTES_MAX = 64 << 20  # A batch of 1,000 metrics is 0.2 MB, a dataset's profile at most 16 MB; files go as objects.
THREADS = 16  # As many as the PostgreSQL pool has connections: more would only wait there.

log = logging.getLogger("taut.http")


def make_app(
    home: Home, *, names: Iterable[str] = (), trusts_loopback: bool = True, asks_for_tokens: bool = True
) -> ASGIApp:
    """The application over an opened home. `names` are host names it answers to beside addresses and localhost.

    `trusts_loopback` lets callers without a token act as the home's own actor while no token was ever made; where
    `asks_for_tokens` is off, everybody who can connect does.
    """
    ensure_experiment(home)
    routes = [
        Route("/api/taut/v1/verbs/{name}", _verb, methods=["POST"]),
        Route("/api/taut/v1/objects", _put_object, methods=["POST"]),
        Route("/api/taut/v1/objects", _list_objects, methods=["GET"]),
        Route("/api/taut/v1/objects/missing", _missing_objects, methods=["POST"]),
        Route("/api/taut/v1/objects/{oid}", _get_object, methods=["GET"]),
        Route("/health", _health),
        Route("/ready", _ready),
        Route("/metrics", _metrics),
        *mlflow_routes(_home_of, _json_body),
    ]
    handlers: Any = {TautError: _told, HTTPException: _told_by_http}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=_lifespan)
    app.state.home, app.state.counts = home, Counter()
    return _Doorway(app, home, frozenset(names), trusts_loopback, asks_for_tokens)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


class _Doorway:
    """Lets a request in with its actor, or answers it at the door; counts what went out; the last edge for defects."""

    def __init__(
        self, app: Starlette, home: Home, names: frozenset[str], trusts_loopback: bool, asks_for_tokens: bool
    ) -> None:
        self._app, self._home, self._names = app, home, names
        self._trusts, self._asks = trusts_loopback, asks_for_tokens
        self._counts: Counter[tuple[str, int]] = app.state.counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def counted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            problem = await self._admit(Request(scope))
            await (self._app if problem is None else problem)(scope, receive, counted)
        except Exception:
            # The edge of the process: a defect is written down with its traceback and told without one.
            log.exception("%s %s failed", scope["method"], scope["path"])
            if status:  # The answer has begun; only breaking it off tells the client that it is not whole.
                raise
            await coded_answer("INTERNAL_ERROR", "a defect of this server; its log says more", 500)(
                scope, receive, counted
            )
        finally:
            self._counts[scope["method"], status] += 1
            log.debug("%s %s %s %.1f ms", scope["method"], scope["path"], status, 1e3 * (time.perf_counter() - started))

    async def _admit(self, request: Request) -> Response | None:
        try:
            if self._trusts:  # Beyond loopback everybody needs a token, which no page of another site has.
                check_host(request.headers.get("host", ""), names=self._names)
            check_origin(request.method, request.headers)
            if self._asks and request.url.path not in OPEN_PATHS:
                authorization = request.headers.get("authorization", "")
                actor = await run_in_threadpool(actor_of, self._home, authorization, trusts_loopback=self._trusts)
                request.state.home = self._home.as_actor(actor)
            else:
                request.state.home = self._home
        except TautError as error:
            return _answer_of(request, error)
        return None


def _home_of(request: Request) -> Home:
    home: Home = request.state.home
    return home


async def _json_body(request: Request) -> bytes:
    """The whole body, which must be JSON and within the limit. Raises Invalid."""
    parts, size_bytes = [], 0
    async for part in request.stream():
        size_bytes += len(part)
        if size_bytes > JSON_BYTES_MAX:
            raise Invalid(f"a JSON body has at most {JSON_BYTES_MAX >> 20} MiB, this has more")
        parts.append(part)
    # A page of another site can send text without being asked first, JSON it cannot.
    if size_bytes and request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Invalid("the body must be JSON, and say so", hint="Content-Type: application/json")
    return b"".join(parts)


async def _verb(request: Request) -> Response:
    body = await _json_body(request)
    answer = await run_in_threadpool(_run_verb, _home_of(request), request.path_params["name"], body)
    return Response(answer, media_type="application/json")


def _run_verb(home: Home, name: str, body: bytes) -> bytes:
    return load_verb(name).receive(home, body)


async def _put_object(request: Request) -> Response:
    home = _home_of(request)
    await run_in_threadpool(require, home, "artifact:write", verb="object.put")
    oid, _ = await store_body(home, request.stream())
    return JSONResponse(oid)


async def _get_object(request: Request) -> Response:
    home, oid = _home_of(request), request.path_params["oid"]
    await run_in_threadpool(require, home, "artifact:read", verb="object.get")
    start = _whole(request, "start") or 0
    stream = await run_in_threadpool(home.objects.open, oid, start=start, length=_whole(request, "length"))

    def parts() -> Iterator[bytes]:
        with stream:
            yield from chunks(stream)

    return StreamingResponse(parts(), media_type="application/octet-stream")


async def _missing_objects(request: Request) -> Response:
    home, body = _home_of(request), await _json_body(request)
    await run_in_threadpool(require, home, "artifact:read", verb="object.missing")
    oids = wire.decode(body, list[str], what="the list of objects")
    return JSONResponse(sorted(await run_in_threadpool(home.objects.missing, oids)))


async def _list_objects(request: Request) -> Response:
    home = _home_of(request)
    await run_in_threadpool(require, home, "home:check", verb="object.list")
    return JSONResponse(await run_in_threadpool(lambda: list(home.objects.list())))


async def _health(request: Request) -> Response:
    return PlainTextResponse("OK")


async def _ready(request: Request) -> Response:
    """Whether the metadata answers; the process itself is alive either way."""
    home: Home = request.app.state.home

    def asked() -> None:
        with home.meta.read() as tx:
            tx.row("SELECT 1")

    await run_in_threadpool(asked)
    return JSONResponse({"ready": True, "taut": __version__})


async def _metrics(request: Request) -> Response:
    await run_in_threadpool(require, _home_of(request), "deployment:read", verb="server.metrics")
    counts: Counter[tuple[str, int]] = request.app.state.counts
    lines = ["# HELP taut_requests_total Requests answered.", "# TYPE taut_requests_total counter"]
    lines += [
        f'taut_requests_total{{method="{method}",status="{status}"}} {count}'
        for (method, status), count in sorted(counts.items())
    ]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def _whole(request: Request, name: str) -> int | None:
    written = request.query_params.get(name)
    if written is None:
        return None
    if not written.isdecimal():
        raise Invalid(f"{name} is a whole number of bytes, not {written[:40]!r}")
    return int(written)


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, TautError)
    return _answer_of(request, error)


async def _told_by_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"this server has no {request.method} {request.url.path[:200]}"
    if _speaks_mlflow(request):
        return coded_answer("ENDPOINT_NOT_FOUND", message, error.status_code)
    return JSONResponse({"error": "NotFound", "message": message, "hint": ""}, status_code=error.status_code)


def _answer_of(request: Request, error: TautError) -> Response:
    """The error in the words of whoever asked."""
    challenge = {"WWW-Authenticate": 'Basic realm="taut"'} if isinstance(error, Unauthenticated) else {}
    if _speaks_mlflow(request):
        answer = error_answer(error)
        if isinstance(error, Unauthenticated):
            answer = coded_answer("UNAUTHENTICATED", f"{error.message} ({error.hint})", error.http_status)
    else:
        body = {"error": error.kind, "message": error.message, "hint": error.hint}
        answer = JSONResponse(body, status_code=error.http_status)
    answer.headers.update(challenge)
    return answer


def _speaks_mlflow(request: Request) -> bool:
    return not request.url.path.startswith("/api/taut/")
