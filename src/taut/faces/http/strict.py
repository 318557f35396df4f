"""Connections as a server of taut takes them: one way to read a request, little memory for its head, and some haste.

uvicorn's parser refuses most of what another server on the way could read differently. Here is what it lets pass: two
Host headers, another coding than chunked, trailers that come as headers, another host in the target, a head without an
end, and a client that sends a byte now and then to keep a connection.
"""

import asyncio
from typing import Any, Protocol, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from taut.faces.http.places import MOST, Places

HEADERS_MAX = 100
HEAD_BYTES_MAX = 64 << 10
# Those of Apache's mod_reqtimeout: who is slower over so long is no client that waits for an answer.
WATCHED_S = 20.0
BYTES_PER_S_MIN = 500
HELD_BYTES_MAX = 4096
# Each a bit of what a head has had. Of two that say who calls, or where, a proxy may have looked at the other one.
ONCE = {
    b"host": 1, b"content-length": 2, b"transfer-encoding": 4, b"authorization": 8, b"x-mlflow-workspace": 16,
    b"idempotency-key": 32, b"origin": 64, b"sec-fetch-site": 128,
}  # fmt: skip
BOTH = 6


class Receiver(Protocol):
    """Who receives the rest of a large body in the place of a protocol."""

    @property
    def is_full(self) -> bool:
        """Whether the sender waits for us, and not we for it."""
        ...

    def received(self) -> int:
        """How many bytes have come."""
        ...


class Joined:
    """A transport that sends the head of an answer together with its body: one system call and one packet for both.

    What is small waits for what comes next, but not beyond this turn of the loop. All else is the transport's own.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, now or with what follows."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.writelines((held, data))
        elif len(data) < HELD_BYTES_MAX:
            self._held = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Send what is held, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)


class StrictProtocol(HttpToolsProtocol):
    """uvicorn's own, which refuses what is ambiguous, too large, too slow or one too many, and closes then."""

    places = Places(MOST)
    """Those of the server; see `in_places`."""
    _watch: asyncio.TimerHandle | None = None
    _intake: Receiver | None = None
    _refusal: tuple[int, str] = (400, "this is no request that can be read in one way only")
    _in_head = False
    _seen = _head_bytes = _got = _begun = _drained = 0
    _before = (0, 0, 0, 0)
    """At the last look: requests begun, bytes received, how often all was sent, and bytes that waited to be sent."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As uvicorn's own.
        """A client is there, and has some time to ask."""
        super().connection_made(cast("asyncio.Transport", Joined(transport, self.loop)))
        if not self.places.enter(self):
            self._refusal = 503, "this server has as many connections as it may"
            if not self.places.tell(self):
                self.transport.abort()
                return
        self._watch = self.loop.call_later(WATCHED_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        if self._watch is not None:
            self._watch.cancel()
        self.places.give_back(self)
        super().connection_lost(exc)

    def leave(self) -> None:
        """Close a connection that asks for nothing, to make place for another."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read on; what cannot be read is told in one line and ends the connection."""
        self._unset_keepalive_if_required()
        self._got += len(data)
        self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # Nothing is upgraded: the request is answered as it stands, and is the last.
        except httptools.HttpParserError:
            self._refuse(*self._refusal)
        else:
            if not self._in_head:
                self._head_bytes = 0
            elif self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(431, "the head of this request is too large")

    def on_message_begin(self) -> None:
        """The next request."""
        super().on_message_begin()
        self._begun += 1
        self._in_head, self._seen = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field; those behind the body, which could say anything, are left out."""
        if not self._in_head:
            return
        name = name.lower()
        bit = ONCE.get(name)
        if bit is not None:
            if self._seen & bit or (bit == 4 and value.lower() != b"chunked"):
                raise ValueError(name)
            self._seen |= bit
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is there: it is held against the limits before anybody is asked."""
        self._in_head = False
        if self._refusal[0] == 503:
            raise ValueError(503)
        if len(self.headers) > HEADERS_MAX or (self._head_bytes > HEAD_BYTES_MAX and self._is_too_large()):
            self._refusal = 431, "the head of this request is too large"
            raise ValueError(len(self.headers))
        # The target may name another host than the header does; older parsers take a length beside chunks.
        if (self.url[:1] != b"/" and self.url != b"*") or self._seen & BOTH == BOTH:
            raise ValueError(self.url[:80])
        self.places.ask(self)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """One request was answered; where none waits behind it, the connection asks for nothing."""
        super().on_response_complete()
        if not self.pipeline:
            self.places.rest(self)

    def resume_writing(self) -> None:
        """The client has read what we had for it."""
        self._drained += 1
        super().resume_writing()

    def receive_by(self, intake: Receiver | None) -> None:
        """Somebody else receives the rest of a body, or, for None, nobody else any more."""
        self._intake = intake

    def _look(self) -> None:
        """Every now and then: whoever is too slow over what they have begun has waited long enough."""
        if self.transport.is_closing():  # It is closed once all was sent, which a client that reads nothing puts off.
            left = self.transport.get_write_buffer_size()
            if left > self._before[3] - BYTES_PER_S_MIN * WATCHED_S and self._before[3]:
                self.transport.abort()
            elif left:
                self._before = *self._before[:3], left
                self._watch = self.loop.call_later(WATCHED_S, self._look)
            return
        got = self._got if self._intake is None else self._got + self._intake.received()
        waiting = self.transport.get_write_buffer_size() if self.flow.write_paused else 0
        begun, had, drained, waited = self._before
        is_ours = self.flow.read_paused if self._intake is None else self._intake.is_full
        is_asking = self._in_head or not self._begun or self.cycle.more_body
        if begun == self._begun and is_asking and not is_ours and got - had < BYTES_PER_S_MIN * WATCHED_S:
            self._refuse(408, "this request came too slowly")
            return
        if waiting and drained == self._drained and waited - waiting < BYTES_PER_S_MIN * WATCHED_S and waited:
            self.transport.abort()  # Nobody reads the answer.
            return
        self._before = self._begun, got, self._drained, waiting
        self._watch = self.loop.call_later(WATCHED_S, self._look)

    def _is_too_large(self) -> bool:
        return sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES_MAX

    def _refuse(self, status: int, words: str) -> None:
        """Answer the request that came last, where nothing else is being answered, and close."""
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.scope is not self.scope:  # One before it is still being answered; then that is the last.
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        body = words.encode()
        lines = [STATUS_LINE[status]]
        lines += [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
        lines += [b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(body)]
        lines += [b"retry-after: 1\r\n"] if status == 503 else []
        lines += [b"connection: close\r\n\r\n", body]
        self.transport.write(b"".join(lines))
        self.transport.close()


def in_places(places: Places) -> type[StrictProtocol]:
    """The protocol of a server that has these places."""
    return type("StrictProtocol", (StrictProtocol,), {"places": places})
