"""The server's guard: nothing foreign is let in, see `taut.ground.browsers`; and what every answer carries."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from taut.ground import wire
from taut.ground.browsers import SAFE_METHODS, Hosts, problem_of_page

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

WATCHED = frozenset({b"host", b"origin", b"sec-fetch-site"})
# What every answer carries. A browser runs nothing of it, shows it in no frame, and tells nobody where it came from.
HEADERS = [
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
]


class Guard:
    """An ASGI application in front of another one; `hosts` are the names this server answers to, exactly."""

    def __init__(self, app: App, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = Hosts(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or answer 403."""
        if scope["type"] == "http":
            host, origin, site = b"", None, None
            for name, value in scope["headers"]:
                if name in WATCHED:
                    if name == b"host":
                        host = value
                    elif name == b"origin":
                        origin = value
                    else:
                        site = value
            problem = self._hosts.problem(host)
            if not problem and (origin is not None or site is not None) and scope["method"] not in SAFE_METHODS:
                problem = problem_of_page(host, origin, site)
            if problem:
                await _refuse(send, problem)
                return
        await self._app(scope, receive, send)


async def _refuse(send: Send, problem: str) -> None:
    body = wire.encode({"error": "Denied", "message": problem, "hint": "set TAUT_HOSTS to the names this server has"})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
