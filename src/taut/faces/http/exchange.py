"""One request and its answer on bare ASGI: a body read with a bound, bytes sent with their length."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from taut.callers import MISS, actor_of, cached_actor_of
from taut.errors import TautError, Throttled, TooLarge
from taut.faces.http.guard import Receive, Scope, Send
from taut.faces.http.limits import Busy, share_of
from taut.faces.http.reading import BODY_BYTES_MAX, check_length, too_large
from taut.ground.access import Actor
from taut.home import Home

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 12  # Verbs at once; fewer than PostgreSQL connections in the pool, so that none waits for one.
JSON = (b"content-type", b"application/json")


class Gone(Exception):  # No error of anybody: a client that closed its connection.
    """Nobody is left to read the answer."""


def threads() -> ThreadPoolExecutor:
    """Threads for the verbs of one server."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix="verb")


async def in_thread(pool: ThreadPoolExecutor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a verb beside the event loop; what it logs has the id of its request."""
    work = partial(copy_context().run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(pool, work)


async def body_of(scope: Scope, receive: Receive, *, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The body of a request. Raises TooLarge past `bytes_max`, before the rest is read, Busy, and Gone."""
    check_length(header(scope, b"content-length"), bytes_max)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > bytes_max:
            raise too_large(bytes_max)
        return body
    parts, size, share = [body], len(body), share_of(scope)
    share.take(size)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > bytes_max:
            raise too_large(bytes_max)
        share.take(len(part))
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def answer(send: Send, data: bytes, status: int = 200, *more: tuple[bytes, bytes]) -> None:
    """Send JSON."""
    headers = [JSON, (b"content-length", str(len(data)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def caller_of(pool: ThreadPoolExecutor, home: Home, scope: Scope, *, trusted: str = "") -> Actor | None:
    """Who calls, see `callers.actor_of`: at once where that is known, else from a thread. What it holds is theirs."""
    authorization = header(scope, b"authorization")
    known = cached_actor_of(home, authorization, trusted=trusted)
    if known is not MISS:
        found = known
    else:
        address = (scope.get("client") or ("",))[0]
        found = await in_thread(pool, actor_of, home, authorization, trusted=trusted, address=address)
    if found is not None:
        share_of(scope).caller = name_of(found)
    return found


def name_of(actor: Actor) -> str:
    """What tells one caller from another: a machine's token may be called as a user is."""
    return f"token:{actor.token}" if actor.grants is None and actor.token else actor.name


def again_after(error: TautError) -> list[tuple[bytes, bytes]]:
    """The headers that say when to ask again, where that is known; what was not read to its end is the last request."""
    closing = [(b"connection", b"close")] if isinstance(error, TooLarge | Busy) else []
    if isinstance(error, Throttled | Busy):
        closing.append((b"retry-after", str(error.retry_after_s).encode()))
    return closing


def header(scope: Scope, name: bytes) -> str:
    """A header of the request, empty where it has none; names are in lower case."""
    found: bytes
    for key, found in scope["headers"]:
        if key == name:
            return found.decode("latin-1")
    return ""
