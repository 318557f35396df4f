"""MLflow's routes as an ASGI router: parse, check the permission, call one function, show. Errors in MLflow's shape."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route as StarletteRoute

from taut.errors import Invalid, TautError
from taut.faces.mlflow.errors import error_answer
from taut.faces.mlflow.routes import ROUTES, Answer, Route, Stream
from taut.ground.access import PERMISSIONS
from taut.home import Home, require

PROTOCOL_VERSION = "3.17.2"  # The release of MLflow whose protocol this face was held against.
PREFIXES = ("/api/2.0/", "/ajax-api/2.0/")
SERVER_INFO = {
    "store_type": "SqlStore",
    "workspaces_enabled": False,
    "trace_archival_enabled": False,
    "multipart_uploads_enabled": False,
    "multipart_downloads_enabled": False,
}

HomeOf = Callable[[Request], Home]
BodyOf = Callable[[Request], Coroutine[Any, Any, bytes]]


def mlflow_routes(home_of: HomeOf, body_of: BodyOf) -> list[StarletteRoute]:
    """Every route of the table below each of its prefixes, and what clients probe a server by.

    `home_of` gives the home in the caller's hands, `body_of` reads a JSON body within its limit.
    """
    unknown = {(route.method, route.path): route.needs for route in ROUTES if route.needs not in PERMISSIONS}
    assert not unknown, unknown
    found = [
        StarletteRoute(prefix + route.path, _endpoint(route, home_of, body_of), methods=[route.method])
        for prefix in PREFIXES
        for route in ROUTES
    ]
    probes = [StarletteRoute(f"/{prefix}/3.0/mlflow/server-info", _server_info) for prefix in ("api", "ajax-api")]
    return [*found, *probes, StarletteRoute("/version", _version)]


def _endpoint(route: Route, home_of: HomeOf, body_of: BodyOf) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def answered(request: Request) -> Response:
        home = home_of(request)
        try:
            if route.takes is None:
                await run_in_threadpool(require, home, route.needs, verb=f"{route.method} {route.path}")
                return await cast("Stream", route.answers)(home, request)
            body = await body_of(request) if route.method != "GET" else b""
            answer = await run_in_threadpool(_called, route, home, body, request)
        except TautError as error:
            return error_answer(error)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    return answered


def _called(route: Route, home: Home, body: bytes, request: Request) -> dict[str, Any]:
    require(home, route.needs, verb=f"{route.method} {route.path}")
    assert route.takes is not None, route
    asked = parse_question(route.takes, body, request.query_params.multi_items(), request.path_params)
    return cast("Answer", route.answers)(home, asked)


def parse_question(
    takes: type[msgspec.Struct], body: bytes, query: list[tuple[str, str]], path: Mapping[str, str]
) -> msgspec.Struct:
    """Put the JSON body, the query and the path together into one request; the path wins, unknown fields are ignored.

    Numbers may come as text, as they do in a query; null means not said. Raises Invalid with the place of a mistake.
    """
    fields: dict[str, Any] = {}
    lists = {field.name for field in msgspec.structs.fields(takes) if getattr(field.type, "__origin__", None) is list}
    for key, value in query:
        if key in lists:
            fields.setdefault(key, []).append(value)
        else:
            fields[key] = value
    try:
        if body:
            sent = msgspec.json.decode(body, type=dict[str, Any])
            fields.update((key, value) for key, value in sent.items() if value is not None)
        return msgspec.convert({**fields, **path}, takes, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise Invalid(f"the request cannot be read: {problem}") from None


async def _server_info(request: Request) -> Response:
    return JSONResponse(SERVER_INFO)


async def _version(request: Request) -> Response:
    return PlainTextResponse(PROTOCOL_VERSION)
