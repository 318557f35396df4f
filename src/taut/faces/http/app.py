"""The server as an application: a route for every verb, for objects, for health, and the protocols beside them."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from taut import __version__
from taut.errors import Ended, Invalid, NotFound, TautError, Unavailable
from taut.faces.http.asking import asking
from taut.faces.http.bodies import store_body
from taut.faces.http.dispatch import Dispatch
from taut.faces.http.downloads import object_response
from taut.faces.http.exchange import again_after, caller_of, in_thread, threads
from taut.faces.http.guard import App, Guard
from taut.faces.http.limits import limits_of_environment
from taut.faces.http.logins import exchange, log_in, told_provider
from taut.faces.http.metrics import MEDIA_TYPE, Requests, exposition
from taut.faces.http.observed import Observed, places_of
from taut.faces.http.projects import Projects
from taut.faces.http.reading import read_body
from taut.faces.mlflow import SPEAKS
from taut.faces.mlflow.face import mlflow_routes
from taut.faces.verbs import load_verb
from taut.ground import wire
from taut.ground.access import ANY, PERMISSIONS, is_allowed
from taut.ground.objects import oid_of
from taut.ground.remote import LOGIN, OIDS_MAX, TOKEN
from taut.ground.tracing import Tracing
from taut.home import Home, note_refusal, require

Handler = Callable[[Request], Awaitable[Response]]
Answer = Callable[[Home, Request], Awaitable[Response]]

READY_WITHIN_S = 5.0
EMPTY = oid_of(b"")  # Whether it is stored or not, a store that answers says so.


@dataclass(frozen=True, slots=True)
class OwnRoute:
    """One of taut's own routes. `needs` is asked before anything is read; without it anybody may."""

    method: str
    path: str
    needs: str
    answers: Answer

    def route(self, home: Home, pool: ThreadPoolExecutor, trusted: str) -> Route:
        """Where it is reached. A row whose permission is not there stops the server from starting."""
        assert self.needs in PERMISSIONS or (not self.needs and self.path in OPEN), self
        return Route(self.path, _as_caller(home, pool, trusted, self), methods=[self.method])


@dataclass(slots=True)
class State:
    """What a server tells of itself: it is not ready any more once it `drains`."""

    drains: bool = False


def make_app(
    home: Home, *, hosts: frozenset[str], trusted: str = "", state: State | None = None, tracing: Tracing | None = None
) -> App:
    """The application of one home. `hosts` are the names it answers to, `trusted` see `callers.actor_of`.

    Raises Invalid for limits in the environment that are none.
    """
    pool, requests = threads(), Requests()

    def application(home: Home) -> App:
        """That of one project, which is a home of its own."""
        fixed, open_places = mlflow_routes(home, pool, trusted=trusted, groups=requests.groups.observe)
        others = Starlette(routes=[*(row.route(home, pool, trusted) for row in ROUTES), *open_places])
        others.router.redirect_slashes = False  # One place, one name: nobody is sent on to another.
        return Dispatch(fixed, others)

    guarded = Guard(Projects(home, pool, application, trusted=trusted), hosts)
    told = {"taut.state": state or State(), "taut.requests": requests}
    return Observed(
        guarded, requests, told=told, hidden=places_of(home), limits=limits_of_environment(), tracing=tracing
    )


def problem(error: TautError, status: int | None = None) -> Response:
    """An error as JSON, with the HTTP status of its kind."""
    body = wire.encode({"error": error.kind, "message": error.message, "hint": error.hint})
    headers = {name.decode(): value.decode() for name, value in again_after(error)}
    return Response(body, status or error.http_status, headers=headers, media_type="application/json")


def _as_caller(home: Home, pool: ThreadPoolExecutor, trusted: str, row: OwnRoute) -> Handler:
    """Run a handler on the home in the caller's hands; errors of taut become answers."""

    async def answer(request: Request) -> Response:
        request.scope["taut.route"] = row.path
        try:
            if not row.needs:
                return await row.answers(home, request)
            actor = await caller_of(pool, home, request.scope, trusted=trusted)
            if actor is None:
                given = request.headers.get("authorization")
                message = "this token does not work here" if given else "this server asks for a token"
                body = wire.encode({"error": "Denied", "message": message, "hint": "set TAUT_TOKEN"})
                headers = {"www-authenticate": "Bearer"}
                return Response(body, 401, headers=headers, media_type="application/json")
            theirs = home.as_actor(asking(actor, request.scope))
            if row.needs != "audit:head" and not is_allowed(actor, row.needs, ANY):  # Verbs ask for their own.
                await in_thread(pool, require, theirs, row.needs, verb=f"{row.method} {row.path}", resource=ANY)
            return await row.answers(theirs, request)
        except Ended as ended:  # What it was in is undone, so it is written down now.
            await in_thread(pool, note_refusal, theirs, ended.refusal or {})
            return problem(ended)
        except TautError as error:
            return problem(error)
        except ClientDisconnect:
            return Response(status_code=499)  # Nobody is left to read it.

    return answer


async def _health(_: Home, __: Request) -> Response:
    return Response("OK", media_type="text/plain")


async def _version(_: Home, __: Request) -> Response:
    return Response(f"{SPEAKS}+taut.{__version__}", media_type="text/plain")  # As MLflow's clients read it.


async def _ready(home: Home, request: Request) -> Response:
    """Ready while the metadata and the objects answer and nobody asked the server to end: looked at anew each time."""

    def ask() -> None:
        home.meta.ask("SELECT 1")
        with suppress(NotFound):
            home.objects.open(EMPTY).close()

    state: State = request.scope["taut.state"]
    try:
        if state.drains:
            raise Unavailable("this server is ending")
        await asyncio.wait_for(run_in_threadpool(ask), READY_WITHIN_S)
    except TautError as error:
        return problem(error, 503)
    except TimeoutError:
        return problem(Unavailable(f"the stores did not answer within {READY_WITHIN_S:g} s"))
    return Response("ready", media_type="text/plain")


async def _metrics(home: Home, request: Request) -> Response:
    return Response(
        await run_in_threadpool(exposition, request.scope["taut.requests"], home.meta), media_type=MEDIA_TYPE
    )


async def _verb(home: Home, request: Request) -> Response:
    verb = load_verb(request.path_params["name"])
    _check_json(request)
    body = await read_body(request)
    return Response(await run_in_threadpool(verb.receive, home, body), media_type="application/json")


def _check_json(request: Request) -> None:
    """Raise Invalid for a type that a page of another site could send without asking first, as a form's."""
    written = request.headers.get("content-type", "")
    if written and written.partition(";")[0].strip().lower() != "application/json":
        raise Invalid(f"Content-Type must be application/json, not {written[:80]!r}")


async def _put_object(home: Home, request: Request) -> Response:
    oid = await store_body(home.objects, request, lambda oid, _: oid)
    return Response(wire.encode(oid), media_type="application/json")


async def _get_object(home: Home, request: Request) -> Response:
    return await object_response(home.objects, request.path_params["oid"])


async def _missing_objects(home: Home, request: Request) -> Response:
    _check_json(request)
    oids = wire.decode(await read_body(request), list[str], what="the list of oids")
    if len(oids) > OIDS_MAX:
        raise Invalid(f"a question is about {OIDS_MAX} objects at most, this has {len(oids)}")
    # Whoever may write may name what they are told is here, and not send it: gc leaves it alone from now on.
    may_write = is_allowed(home.actor, "artifact:write", ANY)
    missing = await run_in_threadpool(home.objects.claim if may_write else home.objects.missing, oids)
    return Response(wire.encode(sorted(missing)), media_type="application/json")


async def _list_objects(home: Home, _: Request) -> Response:
    return Response(
        wire.encode(await run_in_threadpool(lambda: list(home.objects.list()))), media_type="application/json"
    )


OPEN = frozenset({"/health", "/version", "/ready", LOGIN, TOKEN})
ROUTES: tuple[OwnRoute, ...] = (
    OwnRoute("GET", "/health", "", _health),
    OwnRoute("GET", "/version", "", _version),
    OwnRoute("GET", "/ready", "", _ready),
    # What is shown here is what says who it is: who has a login comes by these to get it.
    OwnRoute("GET", LOGIN, "", told_provider),
    OwnRoute("POST", LOGIN, "", log_in),
    OwnRoute("POST", TOKEN, "", exchange),
    OwnRoute("GET", "/metrics", "server:observe", _metrics),
    # Any caller: the verb asks for its own permission, before it reads what it was told.
    OwnRoute("POST", "/api/taut/v1/verbs/{name}", "audit:head", _verb),
    OwnRoute("POST", "/api/taut/v1/objects", "artifact:write", _put_object),
    OwnRoute("GET", "/api/taut/v1/objects", "home:check", _list_objects),
    OwnRoute("POST", "/api/taut/v1/objects/missing", "artifact:read", _missing_objects),
    OwnRoute("GET", "/api/taut/v1/objects/{oid}", "artifact:read", _get_object),
)
"""THE table of taut's own routes: MLflow's stand in `faces/mlflow/routes.py`."""
