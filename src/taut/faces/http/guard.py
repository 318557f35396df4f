"""What a request must be before anything looks at it: for a host we are, and no change on behalf of another's page.

A browser on this machine can be made to call a server on loopback. A foreign Host (DNS rebinding), a foreign Origin
and what the browser itself calls cross-site are refused before any route is asked.
"""

import os
import re
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from taut.ground import wire

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OURS = frozenset({b"same-origin", b"none"})  # Of Sec-Fetch-Site: our own page, or a person who typed the address.
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.IGNORECASE)
KNOWN_MAX = 64
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
        self._hosts = hosts
        self._known: set[bytes] = set()  # Hosts as clients wrote them, port and all, that were found to be ours.

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
            problem = "" if host in self._known else self._problem_of_host(host)
            if not problem and (origin is not None or site is not None) and scope["method"] not in SAFE_METHODS:
                problem = _problem_of_page(host, origin, site)
            if problem:
                await _refuse(send, problem)
                return
        await self._app(scope, receive, send)

    def _problem_of_host(self, host: bytes) -> str:
        written = host.decode("latin-1")
        found = HOST.fullmatch(written)
        if found is None or found[1].strip("[]").lower() not in self._hosts:
            return f"this server does not answer to the host {written[:80]!r}"
        if len(self._known) < KNOWN_MAX:  # With any port, of which there are many.
            self._known.add(host)
        return ""


def hosts_of(listening: str) -> frozenset[str]:
    """The names that a server listening on this address answers to: those in TAUT_HOSTS besides."""
    named = frozenset(name.strip().lower() for name in os.environ.get("TAUT_HOSTS", "").split(",") if name.strip())
    if listening not in ("0.0.0.0", "::"):  # noqa: S104  # Compared, not bound.
        return LOOPBACK | {listening.lower()} | named
    return LOOPBACK | {socket.gethostname().lower(), socket.getfqdn().lower()} | named


def _problem_of_page(host: bytes, origin: bytes | None, site: bytes | None) -> str:
    """What speaks against a change that a browser asks for. One port of a host is not another: who serves there?"""
    if site is not None and site not in OURS:
        return f"this server takes no changes from other sites' pages ({site[:20].decode('latin-1')})"
    if origin is not None and origin.lower() not in (b"http://" + host.lower(), b"https://" + host.lower()):
        return f"this server takes no changes from pages of {origin[:80].decode('latin-1')!r}"
    return ""


async def _refuse(send: Send, problem: str) -> None:
    body = wire.encode({"error": "Denied", "message": problem, "hint": "set TAUT_HOSTS to the names this server has"})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
