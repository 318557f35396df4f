"""The server as an application: a route for every verb, for objects, for health, and the protocols beside them."""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from taut import __version__
from taut.errors import TautError
from taut.faces.http.bodies import store_body
from taut.faces.http.counting import MEDIA_TYPE, Counted
from taut.faces.http.dispatch import Dispatch
from taut.faces.http.downloads import object_response
from taut.faces.http.exchange import again_after, caller_of, threads
from taut.faces.http.guard import App, Guard
from taut.faces.http.reading import read_body
from taut.faces.mlflow import SPEAKS
from taut.faces.mlflow.face import mlflow_routes
from taut.faces.verbs import load_verb
from taut.ground import wire
from taut.home import Home, require

Handler = Callable[[Request], Awaitable[Response]]


def make_app(home: Home, *, hosts: frozenset[str], trusted: str = "") -> App:
    """The application of one home. `hosts` are the names it answers to, `trusted` see `callers.actor_of`."""

    pool = threads()

    def guarded(handle: Callable[[Home, Request], Awaitable[Response]]) -> Handler:
        return _as_caller(home, pool, trusted, handle)

    routes = [
        Route("/health", _health, methods=["GET"]),
        Route("/version", _version, methods=["GET"]),
        Route("/ready", _ready_of(home), methods=["GET"]),
        Route("/metrics", guarded(_metrics), methods=["GET"]),
        Route("/api/taut/v1/verbs/{name}", guarded(_verb), methods=["POST"]),
        Route("/api/taut/v1/objects", guarded(_put_object), methods=["POST"]),
        Route("/api/taut/v1/objects", guarded(_list_objects), methods=["GET"]),
        Route("/api/taut/v1/objects/missing", guarded(_missing_objects), methods=["POST"]),
        Route("/api/taut/v1/objects/{oid}", guarded(_get_object), methods=["GET"]),
    ]
    fixed, open_places = mlflow_routes(home, pool, trusted=trusted)
    return Guard(Counted(Dispatch(fixed, Starlette(routes=[*routes, *open_places]))), hosts)


def problem(error: TautError, status: int | None = None) -> Response:
    """An error as JSON, with the HTTP status of its kind."""
    body = wire.encode({"error": error.kind, "message": error.message, "hint": error.hint})
    headers = {name.decode(): value.decode() for name, value in again_after(error)}
    return Response(body, status or error.http_status, headers=headers, media_type="application/json")


def _as_caller(
    home: Home, pool: ThreadPoolExecutor, trusted: str, handle: Callable[[Home, Request], Awaitable[Response]]
) -> Handler:
    """Run a handler on the home in the caller's hands; errors of taut become answers."""

    async def answer(request: Request) -> Response:
        try:
            actor = await caller_of(pool, home, request.scope, trusted=trusted)
            if actor is None:
                given = request.headers.get("authorization")
                message = "this token does not work here" if given else "this server asks for a token"
                body = wire.encode({"error": "Denied", "message": message, "hint": "set TAUT_TOKEN"})
                headers = {"www-authenticate": "Bearer"}
                return Response(body, 401, headers=headers, media_type="application/json")
            return await handle(home.as_actor(actor), request)
        except TautError as error:
            return problem(error)
        except ClientDisconnect:
            return Response(status_code=499)  # Nobody is left to read it.

    return answer


async def _health(_: Request) -> Response:
    return Response("OK", media_type="text/plain")


async def _version(_: Request) -> Response:
    return Response(f"{SPEAKS}+taut.{__version__}", media_type="text/plain")  # As MLflow's clients read it.


def _ready_of(home: Home) -> Handler:
    """Ready once the metadata answers: asked anew each time, for it may go away."""

    def ask() -> None:
        with home.meta.read() as tx:
            tx.rows("SELECT 1")

    async def ready(_: Request) -> Response:
        try:
            await run_in_threadpool(ask)
        except TautError as error:
            return problem(error, 503)
        return Response("ready", media_type="text/plain")

    return ready


async def _metrics(home: Home, request: Request) -> Response:
    require(home, "deployment:read", verb="server.metrics")
    return Response(request.scope["taut.counts"](), media_type=MEDIA_TYPE)


async def _verb(home: Home, request: Request) -> Response:
    verb = load_verb(request.path_params["name"])
    body = await read_body(request)
    return Response(await run_in_threadpool(verb.receive, home, body), media_type="application/json")


async def _put_object(home: Home, request: Request) -> Response:
    require(home, "artifact:write", verb="objects.put")
    oid = await store_body(home.objects, request, lambda oid, _: oid)
    return Response(wire.encode(oid), media_type="application/json")


async def _get_object(home: Home, request: Request) -> Response:
    require(home, "artifact:read", verb="objects.get")
    return await object_response(home.objects, request.path_params["oid"])


async def _missing_objects(home: Home, request: Request) -> Response:
    require(home, "artifact:read", verb="objects.missing")
    oids = wire.decode(await read_body(request), list[str], what="the list of oids")
    missing = await run_in_threadpool(home.objects.missing, oids)
    return Response(wire.encode(sorted(missing)), media_type="application/json")


async def _list_objects(home: Home, _: Request) -> Response:
    require(home, "home:check", verb="objects.list")
    return Response(
        wire.encode(await run_in_threadpool(lambda: list(home.objects.list()))), media_type="application/json"
    )
