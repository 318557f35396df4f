"""MLflow's protocol on our routes: where a row of the table is reached, how its request is read, how it answers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route as HttpRoute

from taut.callers import look
from taut.errors import Ended, Invalid, TautError
from taut.faces.http.asking import asking
from taut.faces.http.exchange import Gone, answer, body_of, caller_of, header, in_thread, name_of
from taut.faces.http.gathering import Gathering
from taut.faces.http.guard import App, Receive, Scope, Send
from taut.faces.http.once import answer_once, digest_of_request
from taut.faces.mlflow.asked import check_content_type, check_said, converted, given
from taut.faces.mlflow.errors import coded_answer, send_coded, send_error
from taut.faces.mlflow.routes import ROUTES, Answer, Route, Stream
from taut.ground.access import ANY, PERMISSIONS, is_allowed
from taut.ground.answered import Keyed
from taut.ground.meta.waiting import WouldWait, without_waiting
from taut.ground.whole import LONG
from taut.home import Home, note_refusal, require
from taut.runs import Batch, ensure_experiment, log_batches

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
REREAD_BYTES_MAX = 8 << 20  # Read without a type, `[{},{},…]` takes twenty times its length in memory.
REPLAYED = (b"idempotency-replayed", b"true")
NOBODY = (
    "You are not authenticated. This server asks for a token or a user: set MLFLOW_TRACKING_TOKEN, or "
    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
)


def mlflow_routes(
    home: Home, threads: ThreadPoolExecutor, *, trusted: str = "", groups: Callable[[float], None] = lambda _: None
) -> tuple[dict[tuple[str, str], App], list[HttpRoute]]:
    """All of MLflow's endpoints that taut answers, and MLflow's own 404 for the rest.

    Those at fixed places by method and place, and those with open places for a router. A row without a permission
    that exists stops the server from starting. The experiment that clients log to where none was chosen is made here.
    `groups` hears how many calls were written together.
    """
    ensure_experiment(home)
    server_info = _ServerInfo(home, threads)
    gathering = Gathering(home, threads, groups)
    fixed: dict[tuple[str, str], App] = {}
    open_places: list[HttpRoute] = []
    for row in ROUTES:
        assert row.needs in PERMISSIONS, row
        endpoint = _Endpoint(home, row, threads, gathering, trusted)
        for place in row.places:
            if "{" not in place:
                fixed[row.method, place] = endpoint
            open_places.append(HttpRoute(place, endpoint, methods=[row.method]))
        for place in _preview_places(row):
            if "{" in place:
                open_places.append(HttpRoute(place, endpoint, methods=[row.method]))
            else:
                fixed[row.method, place] = endpoint
    for prefix in ("/api", "/ajax-api"):
        fixed["GET", f"{prefix}/3.0/mlflow/server-info"] = server_info
        open_places += [HttpRoute(f"{prefix}/{api}/{{rest:path}}", _unknown, methods=METHODS) for api in ("2.0", "3.0")]
    return fixed, open_places


def _preview_places(row: Route) -> list[str]:
    """Where clients of MLflow 1 look for it."""
    is_theirs = row.api == "2.0" and row.path.startswith("mlflow/")
    return [f"{prefix}/2.0/preview/{row.path}" for prefix in ("/api", "/ajax-api")] if is_theirs else []


class _Endpoint:
    """A row of the table as an ASGI application."""

    def __init__(self, home: Home, row: Route, threads: ThreadPoolExecutor, gathering: Gathering, trusted: str) -> None:
        self._home = home
        self._row = row
        self._threads = threads
        self._gathering = gathering
        self._trusted = trusted
        self._heeds_keys = row.heeds_keys
        self._place = row.places[0]
        self._decoder = msgspec.json.Decoder(row.takes, strict=False) if row.takes is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every error of taut becomes an answer."""
        scope["taut.route"] = self._place
        try:
            actor = await caller_of(self._threads, self._home, scope, trusted=self._trusted)
            if actor is None:
                await send_coded(send, "UNAUTHENTICATED", NOBODY, 401)
                return
            row, theirs = self._row, self._home.as_actor(asking(actor, scope))
            if not is_allowed(actor, row.needs, ANY):  # What each verb asks of its own resource comes later.
                verb = f"{row.method} {row.path}"
                await in_thread(self._threads, require, theirs, row.needs, verb=verb, resource=ANY)
            if row.takes is None:
                await _stream(theirs, row, scope, receive, send)
                return
            body = await body_of(scope, receive) if scope["method"] != "GET" else b""
            asked = self._asked(row.takes, scope, body)
            answers: Answer = row.answers  # type: ignore[assignment]  # A row with `takes` does not read itself.
            if self._heeds_keys and (key := header(scope, b"idempotency-key")):
                keyed = Keyed(name_of(actor), key, digest_of_request(scope, body))
                data, is_known = await in_thread(
                    self._threads, answer_once, theirs, keyed, partial(_answered, answers, asked),
                    of_server=row.of_server,
                )  # fmt: skip
                await answer(send, data, 200, *([REPLAYED] if is_known else []))
                return
            if row.logs:
                batch: Batch = answers(theirs, asked)  # type: ignore[assignment]  # What it wants to be written.
                await self._gathering.log(batch)
                await answer(send, b"{}")
                return
            await answer(send, msgspec.json.encode(await self._answered(answers, theirs, asked)))
        except Ended as ended:  # What it was in is undone, so it is written down now.
            await in_thread(self._threads, note_refusal, theirs, ended.refusal or {})
            await send_error(send, ended)
        except TautError as error:
            await send_error(send, error)
        except (ClientDisconnect, Gone):
            return

    async def _answered(self, answers: Answer, home: Home, asked: msgspec.Struct) -> dict[str, Any] | Batch:
        """The answer: from the event loop itself where it is short and a local file gives it, else from a thread."""
        if self._row.short and home.meta.dialect == "sqlite":
            try:
                with without_waiting():
                    return answers(home, asked)
            except WouldWait:
                pass
        return await in_thread(self._threads, answers, home, asked)

    def _asked(self, takes: type[msgspec.Struct], scope: Scope, body: bytes) -> msgspec.Struct:
        if body and scope["method"] == "POST":
            check_content_type(header(scope, b"content-type"))
        plain = not scope["query_string"] and not scope.get("path_params") and b"\\u0000" not in body
        # A batch checks its own numbers; of others only long digits can be past 64 bits.
        if body and plain and (self._row.logs or not LONG.search(body)):
            try:
                asked: msgspec.Struct = self._decoder.decode(body)  # type: ignore[union-attr]  # There is one: see above.
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass  # It is read again below, where nulls are left out and what is wrong is said in full.
            else:
                check_said(asked)
                return asked
        if len(body) > REREAD_BYTES_MAX:
            raise Invalid(
                "the body is not what this endpoint takes", hint="a smaller one is told in full what is wrong"
            )
        asked = converted(takes, given(takes, scope, body))
        check_said(asked)
        return asked


def _answered(answers: Answer, asked: msgspec.Struct, home: Home) -> bytes:
    """Answer a request whose key asks that it be done once."""
    answered = answers(home, asked)
    if isinstance(answered, Batch):
        (problem,) = log_batches(home, [answered])
        if problem is not None:
            raise problem
        return b"{}"
    return msgspec.json.encode(answered)


async def _stream(home: Home, row: Route, scope: Scope, receive: Receive, send: Send) -> None:
    stream: Stream = row.answers  # type: ignore[assignment]  # A row without `takes` holds one that reads itself.
    response = await stream(home, Request(scope, receive, send))
    await response(scope, receive, send)


class _ServerInfo:
    """What MLflow's clients ask before they name a workspace: whether there is more than one."""

    def __init__(self, home: Home, threads: ThreadPoolExecutor) -> None:
        self._home = home
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, to anybody."""
        access = self._home.root.access
        try:
            state = access.state if access.is_fresh else await in_thread(self._threads, look, self._home.root)
        except TautError as error:
            await send_error(send, error)
            return
        several = state is not None and state.projects > 1
        await answer(send, msgspec.json.encode({"store_type": "SqlStore", "workspaces_enabled": several}))


async def _unknown(request: Request) -> Any:
    return coded_answer("ENDPOINT_NOT_FOUND", f"taut has no endpoint {request.method} {request.url.path[:200]}", 404)
