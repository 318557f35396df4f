"""Stored objects as answers: whole or a range, in blocks read ahead, held against their digest on the way.

The digest is the ETag, so a download that broke off goes on where it stopped (RFC 9110, sections 13 and 14), and
`Repr-Digest` (RFC 9530) lets a client check what it has.
"""

import asyncio
import base64
import hashlib
import io
import logging
import re
from collections.abc import Mapping
from functools import partial
from typing import BinaryIO, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from taut.errors import Corrupt
from taut.faces.http.exchange import again_after
from taut.faces.http.limits import Busy, share_of
from taut.ground.objects import Objects, oid_of

BLOCK_BYTES = 1 << 20  # Measured on one core: below it the changes of threads cost as much as the reading.
HELD_BLOCKS = 3  # One is read, one waits, and one lies with the connection of a client that reads slowly.
BYTES = "application/octet-stream"
LOG = logging.getLogger(__name__)


class Span(NamedTuple):
    """The bytes of an object that are asked for: from `start`, `length` of them."""

    start: int
    length: int


async def object_response(objects: Objects, oid: str) -> Response:
    """An object as an answer, opened in a thread; see `open_object`."""
    return await run_in_threadpool(open_object, objects, oid)


def open_object(
    objects: Objects, oid: str, *, media_type: str = BYTES, headers: Mapping[str, str] | None = None
) -> "ObjectResponse":
    """An object as an answer to GET or HEAD; which part of it, the request's own headers say.

    Raises NotFound where it is not stored, Corrupt where a small one is damaged. What is found damaged only at its
    end loses its last block and its connection: a client sees that it has not got all.
    """
    stream = objects.open(oid)
    try:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        if size > BLOCK_BYTES:
            return ObjectResponse(oid, size, stream, media_type, headers or {})
        data = stream.read()
    except BaseException:
        stream.close()
        raise
    stream.close()
    if oid_of(data) != oid:
        words = f"its {len(data)} bytes have another digest"
        raise Corrupt(f"object {oid[:12]} in {objects.url} is damaged: {words}", hint="taut fsck")
    return ObjectResponse(oid, size, io.BytesIO(data), media_type, headers or {})


class ObjectResponse(Response):
    """The answer with one object, of which it closes the stream."""

    def __init__(self, oid: str, size: int, stream: BinaryIO, media_type: str, headers: Mapping[str, str]) -> None:
        self.status_code, self.background = 200, None
        self._oid, self._size, self._stream = oid, size, stream
        digest = base64.b64encode(bytes.fromhex(oid)).decode()
        self.init_headers({
            "content-type": media_type, "accept-ranges": "bytes", "etag": f'"{oid}"',
            "repr-digest": f"sha-256=:{digest}:", **headers,
        })  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with all of it, a part, that the client has it already, or that too many read at once."""
        try:
            if self._size > BLOCK_BYTES:
                share_of(scope).take(HELD_BLOCKS * BLOCK_BYTES)
            span = self._chosen(scope["method"], Headers(scope=scope))
            if span is not None:
                self.headers["content-length"] = str(span.length)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if span is None or not span.length or scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
            else:
                await self._send(span, receive, send)
        except Busy as busy:
            headers = {name.decode(): value.decode() for name, value in again_after(busy)}
            await Response(busy.message, busy.http_status, headers, "text/plain")(scope, receive, send)
        finally:
            self._stream.close()

    def _chosen(self, method: str, asked: Headers) -> Span | None:
        """Which bytes the request's conditions and range leave; None for an answer without a body."""
        if (wanted := asked.get("if-match")) is not None and not _names(wanted, self._oid, weak=False):
            self.status_code = 412
            return None
        if (known := asked.get("if-none-match")) is not None and _names(known, self._oid, weak=True):
            self.status_code = 304
            return None
        whole = Span(0, self._size)
        text = asked.get("range", "")
        if method != "GET" or not text or asked.get("if-range", f'"{self._oid}"') != f'"{self._oid}"':
            return whole
        span = _span(text, self._size)
        if span is None:
            return whole
        if not span.length:
            self.status_code = 416
            self.headers["content-range"] = f"bytes */{self._size}"
            self.headers["content-length"] = "0"
            return None
        self.status_code = 206
        self.headers["content-range"] = f"bytes {span.start}-{span.start + span.length - 1}/{self._size}"
        return span

    async def _send(self, span: Span, receive: Receive, send: Send) -> None:
        """Block by block, the next one read while this one is sent, until the end or until nobody listens."""
        in_thread = partial(asyncio.get_running_loop().run_in_executor, None)
        hashed = hashlib.sha256() if span.length == self._size else None
        gone = asyncio.ensure_future(_gone(receive))
        left = span.length
        reading = in_thread(self._read, span.start, min(left, BLOCK_BYTES), hashed)
        try:
            while left:
                block = await reading
                left -= len(block)
                if gone.done() or not block:
                    break
                if left:
                    reading = in_thread(self._read, None, min(left, BLOCK_BYTES), hashed)
                elif hashed is not None and hashed.hexdigest() != self._oid:
                    left = len(block)
                    break
                await send({"type": "http.response.body", "body": block, "more_body": left > 0})
            if left and not gone.done():  # The server closes the connection of an answer that is not complete.
                LOG.error("object %s is damaged, so its last %d bytes were not sent: taut fsck", self._oid[:12], left)
        finally:
            gone.cancel()
            await asyncio.shield(asyncio.gather(reading, return_exceptions=True))  # Before the file is closed.

    def _read(self, start: int | None, size: int, hashed: "hashlib._Hash | None") -> bytes:
        if start:
            self._stream.seek(start)
        block = self._stream.read(size)
        if hashed is not None:
            hashed.update(block)
        return block


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _names(tags: str, oid: str, *, weak: bool) -> bool:
    """Whether a list of entity tags holds that of the object.

    >>> _names('W/"ab", "cd"', "ab", weak=True), _names('W/"ab"', "ab", weak=False), _names("*", "ab", weak=False)
    (True, False, True)
    """
    found = [tag.strip() for tag in tags.split(",")]
    return "*" in found or f'"{oid}"' in found or (weak and f'W/"{oid}"' in found)


def _span(text: str, size: int) -> Span | None:
    """What a Range header asks for: None for what may be answered with everything, length 0 for what is not there.

    >>> _span("bytes=2-3", 10), _span("bytes=8-", 10), _span("bytes=-3", 10), _span("bytes=0-1,5-6", 10)
    (Span(start=2, length=2), Span(start=8, length=2), Span(start=7, length=3), None)
    """
    asked = re.fullmatch(r"bytes=(\d{0,19})-(\d{0,19})", text.replace(" ", ""))
    if asked is None or not (asked[1] or asked[2]):
        return None
    if not asked[1]:
        length = min(int(asked[2]), size)
        return Span(size - length, length)
    start = int(asked[1])
    last = min(int(asked[2]), size - 1) if asked[2] else size - 1
    if asked[2] and int(asked[2]) < start:
        return None
    return Span(start, max(0, last + 1 - start))
