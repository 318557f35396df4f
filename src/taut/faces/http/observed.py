"""What is seen of each request: its id, how long it took, a line in the log, a span; and what no answer shows."""

import itertools
import json
import logging
import re
import secrets
from collections.abc import Iterable, Mapping
from time import perf_counter
from types import MappingProxyType
from urllib.parse import urlsplit

from taut.faces.http.guard import App, Message, Receive, Scope, Send
from taut.faces.http.limits import FREE_BYTES, SHARE, Busy, Limits, Share
from taut.faces.http.logs import REQUEST_ID
from taut.faces.http.metrics import Requests
from taut.ground.tracing import Tracing
from taut.home import Home

GIVEN = re.compile(rb"[A-Za-z0-9._-]{1,64}")
HIDDEN = b"(a place of this server)"
DEFECT = {  # As taut's clients and as MLflow's read it.
    "error": "TautError", "error_code": "INTERNAL_ERROR", "message": "a defect of the server",
    "hint": "its log has more under the id of this request",
}  # fmt: skip
LOG = logging.getLogger("taut.requests")


class Observed:
    """An ASGI application around all of a server: it notes what others answer and answers for who fails.

    `hidden` are words that no error's body may show, as the folders that a server keeps its files in; `told` is what
    routes find in the scope of each request. What a request takes of `limits` is given back once it is answered.
    """

    def __init__(
        self,
        app: App,
        requests: Requests,
        *,
        hidden: Iterable[str] = (),
        told: Mapping[str, object] = MappingProxyType({}),
        limits: Limits | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._app = app
        self._told = told
        self._requests = requests
        self._hidden = sorted({word.encode() for word in hidden if len(word) > 1}, key=len, reverse=True)
        self._limits = limits or Limits()
        self._tracing = tracing
        self._logs = LOG.isEnabledFor(logging.INFO)
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; its answer carries its id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        given = _given(scope)
        request_id = given if given is not None else b"%s%08x" % (self._prefix.encode(), next(self._numbers))
        scope.update(self._told)
        scope["taut.request_id"] = told_id = request_id.decode()
        REQUEST_ID.set(told_id)
        share = scope[SHARE] = Share(self._limits)
        status, held, is_whole = 0, None, False

        async def noted(message: Message) -> None:
            nonlocal status, held, is_whole
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
                held = message  # Sent once the body was looked at.
                return
            size, is_last = len(message.get("body", b"")), not message.get("more_body", False)
            if held is not None:
                if is_last and size > FREE_BYTES:
                    try:
                        share.take(size)
                    except Busy as busy:  # Others read so slowly that this one would have to lie here as well.
                        held, message = _busy(busy, request_id)
                        status, size = busy.http_status, 0
                start, held = held, None
                await send(self._covered(start, message) if status >= 400 else start)
            if is_last and size > FREE_BYTES:  # The end of it is sent after most was read, and the share held so long.
                await send({**message, "more_body": True})
                message = {"type": "http.response.body", "body": b""}
            await send(message)
            is_whole = is_last

        requests = self._requests
        requests.active += 1
        span = self._tracing.begin(scope) if self._tracing is not None else None
        try:
            await self._app(scope, receive, noted)
        except Exception as defect:
            LOG.error("a defect while answering %s %s", scope["method"], scope["path"], exc_info=defect)
            if status and held is None:
                if not is_whole:
                    raise  # It is half sent: the connection is closed.
                return
            held = None
            body = json.dumps(DEFECT).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            await noted({"type": "http.response.start", "status": 500, "headers": headers})
            await noted({"type": "http.response.body", "body": body})
        finally:
            requests.active -= 1
            share.give_back()
            took_s = perf_counter() - began
            requests.note(scope["method"], scope.get("taut.route", ""), status, took_s)
            if span is not None:
                span.end(scope, status)
            if self._logs:
                told = {"method": scope["method"], "path": scope["path"], "status": status}
                LOG.info(
                    "%s %s %d", scope["method"], scope["path"], status,
                    extra={**told, "duration_ms": round(took_s * 1000, 3), "client": (scope.get("client") or ("",))[0]},
                )  # fmt: skip

    def _covered(self, start: Message, message: Message) -> Message:
        """The start of an error's answer, once its body shows no place of ours."""
        body = message.get("body", b"")
        for word in self._hidden:
            if word in body:
                body = body.replace(word, HIDDEN)
        if body is not message.get("body", b""):
            message["body"] = body
            length = (b"content-length", b"%d" % len(body))
            start["headers"] = [
                length if name == b"content-length" else (name, value) for name, value in start["headers"]
            ]
        return start


def _busy(busy: Busy, request_id: bytes) -> tuple[Message, Message]:
    """The answer in the place of one that there is no room for, as taut's clients and as MLflow's read it."""
    said = {"error": busy.kind, "error_code": "TEMPORARILY_UNAVAILABLE", "message": busy.message, "hint": busy.hint}
    body = json.dumps(said).encode()
    headers = [
        (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"%d" % busy.retry_after_s), (b"x-request-id", request_id),
    ]  # fmt: skip
    start = {"type": "http.response.start", "status": busy.http_status, "headers": headers}
    return start, {"type": "http.response.body", "body": body}


def places_of(home: Home) -> list[str]:
    """Where a home lies on this machine and beyond: for whoever runs it to know."""
    urls = [home.meta.url, home.objects.url]
    folders = [] if home.folder is None else [str(home.folder), str(home.folder.parent)]
    paths = [urlsplit(url).path for url in urls if url.startswith(("file:", "sqlite:"))]
    return [*urls, *folders, *(path for path in paths if path.count("/") > 1)]


def _given(scope: Scope) -> bytes | None:
    """The id that a client or a proxy gave its request, where it is one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return value if GIVEN.fullmatch(value) else None
    return None
