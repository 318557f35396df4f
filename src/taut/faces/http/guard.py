"""What a request must be before anything looks at it: from a host we are, from a page we served, not too large.

A browser on this machine can be made to call a server on loopback. A foreign Host (DNS rebinding) or a foreign Origin
(another site's page) is refused before any route is asked.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from taut.ground import wire

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """An ASGI application in front of another one; `hosts` are the names this server answers to."""

    def __init__(self, app: App, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or answer 403."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        problem = self._problem(scope["method"], headers)
        if problem:
            await _refuse(send, problem)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _problem(self, method: str, headers: dict[bytes, str]) -> str:
        host = _name_of(headers.get(b"host", ""))
        if host not in self._hosts:
            return f"this server does not answer to the host {host[:80]!r}"
        origin = headers.get(b"origin")
        if origin is not None and method not in SAFE_METHODS and (urlsplit(origin).hostname or "") not in self._hosts:
            return f"this server takes no changes from pages of {origin[:80]!r}"
        return ""


def hosts_of(listening: str) -> frozenset[str]:
    """The names that a server listening on this address answers to."""
    return LOOPBACK | {listening} if listening not in ("0.0.0.0", "::") else _own_names()  # noqa: S104  # Compared, not bound.


def _own_names() -> frozenset[str]:
    import os
    import socket

    named = {name for name in os.environ.get("TAUT_HOSTS", "").split(",") if name}
    return LOOPBACK | {socket.gethostname(), socket.getfqdn()} | named


def _name_of(host: str) -> str:
    """The name of a Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


async def _refuse(send: Send, problem: str) -> None:
    body = wire.encode({"error": "Denied", "message": problem, "hint": "set TAUT_HOSTS to the names this server has"})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
