"""Requests as they come in: the body is read within its bounds of size and time before anything else is done."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from taut.serve.http.answers import HttpProblem
from taut.serve.scoring.limits import Limits, UnderWay

ONCE = (b"authorization", b"host", b"origin", b"sec-fetch-site")

Scope = dict[str, Any]  # As ASGI defines it.
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(slots=True)
class Question:
    """What came in; the names of headers are in small letters."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes

    def header(self, name: bytes) -> str:
        """One header, empty where it is missing."""
        value = self.headers.get(name)
        return value.decode("latin-1") if value else ""


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers by name. Raises HttpProblem for one given twice that says who asks whom."""
    headers = dict(scope["headers"])
    if len(headers) != len(scope["headers"]):
        names = [name for name, _ in scope["headers"]]
        for name in ONCE:
            if names.count(name) > 1:
                raise HttpProblem(400, f"the header {name.decode()} is given twice")
    return headers


async def read_question(scope: Scope, receive: Receive, limits: Limits, under_way: UnderWay) -> Question:
    """The whole request; its bytes are held in `under_way` until the caller releases them.

    Raises HttpProblem 413 or 408, Unavailable where all bodies together are too large, ConnectionAbortedError where
    the client left. What is sent beyond the bounds is thrown away unread.
    """
    headers = dict(scope["headers"])
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limits.body_bytes:
        raise HttpProblem(413, f"the body has {declared.decode()} bytes; this server takes {limits.body_bytes} at most")
    try:
        async with asyncio.timeout(limits.body_s):
            body = await _body(receive, limits.body_bytes, under_way)
    except TimeoutError:
        raise HttpProblem(408, f"the body did not arrive within {limits.body_s:g} s") from None
    return Question(scope["method"], scope["path"], headers, body)


async def _body(receive: Receive, bytes_max: int, under_way: UnderWay) -> bytes:
    body, size = bytearray(), 0  # Grown in place: kept side by side, the parts would leave the heap full of holes.
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionAbortedError
            part = message.get("body", b"")
            if size + len(part) > bytes_max:
                raise HttpProblem(413, f"the body is larger than {bytes_max} bytes")
            under_way.hold(len(part))
            size += len(part)
            if not message.get("more_body", False):
                return bytes(body + part) if body else part
            body += part
    except BaseException:
        under_way.release(size)
        raise
