"""MLflow's protocol on our routes: where a row of the table is reached, how its request is read, how it answers."""

import types
import typing
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route as HttpRoute

from taut.errors import Invalid, TautError
from taut.faces.http.exchange import Gone, answer, body_of, caller_of, header, in_thread
from taut.faces.http.gathering import Gathering
from taut.faces.http.guard import App, Receive, Scope, Send
from taut.faces.http.once import answer_once, digest_of_request
from taut.faces.mlflow.errors import coded_answer, send_coded, send_error
from taut.faces.mlflow.routes import ROUTES, Answer, Route, Stream
from taut.ground.access import ANY, PERMISSIONS, is_allowed
from taut.ground.answered import Keyed
from taut.ground.whole import LONG, check_whole
from taut.home import Home, require
from taut.runs import Batch, ensure_experiment, log_batches

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
SERVER_INFO = msgspec.json.encode({"store_type": "SqlStore", "workspaces_enabled": False})
REPLAYED = (b"idempotency-replayed", b"true")
NO_TOKEN = "this server asks for a token: set MLFLOW_TRACKING_TOKEN"  # noqa: S105  # Words, no token.


def mlflow_routes(
    home: Home, threads: ThreadPoolExecutor, *, trusted: str = ""
) -> tuple[dict[tuple[str, str], App], list[HttpRoute]]:
    """All of MLflow's endpoints that taut answers, and MLflow's own 404 for the rest.

    Those at fixed places by method and place, and those with open places for a router. A row without a permission
    that exists stops the server from starting. The experiment that clients log to where none was chosen is made here.
    """
    ensure_experiment(home)
    gathering = Gathering(home, threads)
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
        fixed["GET", f"{prefix}/3.0/mlflow/server-info"] = _server_info
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
        self._decoder = msgspec.json.Decoder(row.takes, strict=False) if row.takes is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every error of taut becomes an answer."""
        try:
            actor = await caller_of(self._threads, self._home, scope, trusted=self._trusted)
            if actor is None:
                await send_coded(send, "UNAUTHENTICATED", NO_TOKEN, 401)
                return
            row, theirs = self._row, self._home if actor is self._home.actor else self._home.as_actor(actor)
            if not is_allowed(actor, row.needs, ANY):  # What each verb asks of its own resource comes later.
                verb = f"{row.method} {row.path}"
                await in_thread(self._threads, require, theirs, row.needs, verb=verb, resource=ANY)
            if row.takes is None:
                await _stream(theirs, row, scope, receive, send)
                return
            body = await body_of(receive) if scope["method"] != "GET" else b""
            asked = self._asked(row.takes, scope, body)
            answers: Answer = row.answers  # type: ignore[assignment]  # A row with `takes` does not read itself.
            if self._heeds_keys and (key := header(scope, b"idempotency-key")):
                keyed = Keyed(actor.name, key, digest_of_request(scope, body))
                data, is_known = await in_thread(
                    self._threads, answer_once, theirs, keyed, partial(_answered, answers, asked)
                )
                await answer(send, data, 200, *([REPLAYED] if is_known else []))
                return
            if row.logs:
                batch: Batch = answers(theirs, asked)  # type: ignore[assignment]  # What it wants to be written.
                await self._gathering.log(batch)
                await answer(send, b"{}")
                return
            await answer(send, msgspec.json.encode(await in_thread(self._threads, answers, theirs, asked)))
        except TautError as error:
            await send_error(send, error)
        except (ClientDisconnect, Gone):
            return

    def _asked(self, takes: type[msgspec.Struct], scope: Scope, body: bytes) -> msgspec.Struct:
        plain = not scope["query_string"] and not scope.get("path_params") and b"\\u0000" not in body
        # A batch checks its own numbers; of others only long digits can be past 64 bits.
        if body and plain and (self._row.logs or not LONG.search(body)):
            try:
                asked: msgspec.Struct = self._decoder.decode(body)  # type: ignore[union-attr]  # There is one: see above.
            except (msgspec.MsgspecError, RecursionError):
                pass  # It is read again below, where nulls are left out and what is wrong is said in full.
            else:
                return asked
        return _converted(takes, _given(takes, scope, body))


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


def _given(takes: type[msgspec.Struct], scope: Scope, body: bytes) -> dict[str, Any]:
    """The JSON body, then the query, then the path: what stands nearer to the route wins."""
    given: dict[str, Any] = {}
    if body:
        try:
            decoded = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError) as problem:
            raise Invalid(f"the body is no JSON: {problem}") from None
        if not isinstance(decoded, dict):
            raise Invalid("the body must be a JSON object")
        given |= {name: value for name, value in decoded.items() if value is not None}
    query = scope["query_string"]
    if query:
        lists, said = _lists(takes), dict[str, list[str]]()
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            said.setdefault(name, []).append(value)
        given |= {name: values if name in lists else values[-1] for name, values in said.items()}
    path: Mapping[str, Any] = scope.get("path_params") or {}
    given |= path
    if b"\\u0000" in body or b"%00" in query or "\0" in scope["path"]:
        _refuse_nul(given)
    return given


def _refuse_nul(value: Any) -> None:
    """Raise Invalid for text with the character NUL, which PostgreSQL cannot keep and SQLite would."""
    if isinstance(value, str) and "\0" in value:
        raise Invalid(f"text cannot hold the character NUL: {value[:40]!r}")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_nul(part)


def _converted(takes: type[msgspec.Struct], given: dict[str, Any]) -> msgspec.Struct:
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


async def _server_info(_: Scope, receive: Receive, send: Send) -> None:
    await answer(send, SERVER_INFO)


async def _unknown(request: Request) -> Any:
    return coded_answer("ENDPOINT_NOT_FOUND", f"taut has no endpoint {request.method} {request.url.path[:200]}", 404)
