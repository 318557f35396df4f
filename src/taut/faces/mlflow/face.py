"""MLflow's protocol on our routes: where a row of the table is reached, how its request is read, how it answers."""

import types
import typing
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute

from taut.errors import Invalid, TautError
from taut.faces.http.callers import actor_of
from taut.faces.http.reading import read_body
from taut.faces.mlflow.errors import coded_answer, error_answer
from taut.faces.mlflow.routes import ROUTES, Answer, Route, Stream
from taut.ground.access import PERMISSIONS
from taut.ground.whole import check_whole
from taut.home import Home, require
from taut.runs import ensure_experiment

SERVER_INFO = {"store_type": "SqlStore", "workspaces_enabled": False}


def mlflow_routes(home: Home, *, trusted: str = "") -> list[HttpRoute]:
    """All of MLflow's endpoints that taut answers, and MLflow's own 404 for the rest.

    A row without a permission that exists stops the server from starting. The experiment that clients log to where
    none was chosen is made here.
    """
    ensure_experiment(home)
    routes = []
    for row in ROUTES:
        assert row.needs in PERMISSIONS, row
        handle = _handler(home, row, trusted)
        routes += [HttpRoute(place, handle, methods=[row.method]) for place in row.places]
    for prefix in ("/api", "/ajax-api"):
        routes.append(HttpRoute(f"{prefix}/3.0/mlflow/server-info", _server_info, methods=["GET"]))
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        routes += [HttpRoute(f"{prefix}/{api}/{{rest:path}}", _unknown, methods=methods) for api in ("2.0", "3.0")]
    return routes


def _handler(home: Home, row: Route, trusted: str) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            authorization = request.headers.get("authorization", "")
            actor = await run_in_threadpool(actor_of, home, authorization, trusted=trusted)
            if actor is None:
                return coded_answer("UNAUTHENTICATED", "this server asks for a token: set MLFLOW_TRACKING_TOKEN", 401)
            theirs = home.as_actor(actor)
            await run_in_threadpool(require, theirs, row.needs, verb=f"{row.method} {row.path}")
            return await _answer(theirs, row, request)
        except TautError as error:
            return error_answer(error)
        except ClientDisconnect:
            return Response(status_code=499)  # Nobody is left to read it.

    return handle


async def _answer(home: Home, row: Route, request: Request) -> Response:
    if row.takes is None:
        stream: Stream = row.answers  # type: ignore[assignment]  # A row without `takes` holds one that reads itself.
        return await stream(home, request)
    answers: Answer = row.answers  # type: ignore[assignment]  # And one with `takes` holds one that does not.
    asked = _asked(row.takes, await _given(row.takes, request))
    return Response(msgspec.json.encode(await run_in_threadpool(answers, home, asked)), media_type="application/json")


async def _given(takes: type[msgspec.Struct], request: Request) -> dict[str, Any]:
    """The JSON body, then the query, then the path: what stands nearer to the route wins."""
    given: dict[str, Any] = {}
    body = await read_body(request) if request.method != "GET" else b""
    if body:
        try:
            decoded = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError) as problem:
            raise Invalid(f"the body is no JSON: {problem}") from None
        if not isinstance(decoded, dict):
            raise Invalid("the body must be a JSON object")
        given |= {name: value for name, value in decoded.items() if value is not None}
    lists = _lists(takes)
    for name in dict.fromkeys(request.query_params):
        values = request.query_params.getlist(name)
        given[name] = values if name in lists else values[-1]
    given |= dict(request.path_params)
    if b"\\u0000" in body or "%00" in str(request.url):
        _refuse_nul(given)
    return given


def _refuse_nul(value: Any) -> None:
    """Raise Invalid for text with the character NUL, which PostgreSQL cannot keep and SQLite would."""
    if isinstance(value, str) and "\0" in value:
        raise Invalid(f"text cannot hold the character NUL: {value[:40]!r}")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_nul(part)


def _asked(takes: type[msgspec.Struct], given: dict[str, Any]) -> msgspec.Struct:
    """The request as the endpoint takes it. Numbers may come as texts, as protocol buffers write them."""
    try:
        asked: msgspec.Struct = msgspec.convert(given, takes, strict=False)
    except msgspec.ValidationError as problem:
        raise Invalid(f"the request is not valid: {problem}") from None
    for name in takes.__struct_fields__:
        check_whole(name, getattr(asked, name))
    return asked


def _lists(takes: type[msgspec.Struct]) -> set[str]:
    """The fields that a query may repeat."""
    names = {field.encode_name: field.type for field in msgspec.structs.fields(takes)}
    return {name for name, kind in names.items() if _is_list(kind)}


def _is_list(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_is_list(part) for part in typing.get_args(kind))
    return origin in (list, tuple)


async def _server_info(_: Request) -> Response:
    return JSONResponse(SERVER_INFO)


async def _unknown(request: Request) -> Response:
    return coded_answer("ENDPOINT_NOT_FOUND", f"taut has no endpoint {request.method} {request.url.path[:200]}", 404)
