"""HTTP/1.1 as uvicorn speaks it, with a short way for predictions: no task, no scope, one write.

Only a request that is as it nearly always is takes the short way: POST to a path that predicts, a small body of a known
length, nothing before it on its connection that is not answered yet. All else (chunked bodies, large ones, `Expect`,
upgrades, pipelined requests behind one that waits, a client that does not read) goes through uvicorn and ASGI.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from taut.errors import Unavailable
from taut.serve.http.answers import Answer, error
from taut.serve.http.application import Application
from taut.serve.http.reading import Question
from taut.serve.http.routes import Route

LENGTH_DIGITS_MAX = 5
HEAD_BYTES = 1 << 16  # What may follow the first piece of a head; the parser itself has no bound.
HEADERS_MAX = 512
FRAME_BYTES = 16  # What one piece of a body may have around it.
SMALL_BYTES = HIGH_WATER_LIMIT  # Past this uvicorn pauses the connection until somebody takes the body.


class _Nobody:
    """What uvicorn wakes when something of a request arrives; here nobody sleeps."""

    def set(self) -> None:
        """Nothing to do."""


NOBODY = _Nobody()


class _Cycle:
    """A request and its answer, as far as uvicorn's protocol looks at them, with what the short way needs."""

    __slots__ = (
        "body", "disconnected", "headers", "keep_alive", "length", "message_event", "more_body", "path",
        "response_complete", "route", "timer",
    )  # fmt: skip

    def __init__(self, route: Route, path: str, headers: dict[bytes, bytes], length: int, keep_alive: bool) -> None:
        self.route = route
        self.path = path
        self.headers = headers
        self.length = length
        self.keep_alive = keep_alive
        self.body = bytearray()
        self.more_body = True
        self.response_complete = False
        self.disconnected = False
        self.message_event = NOBODY
        self.timer: asyncio.TimerHandle | None = None


class HotProtocol(HttpToolsProtocol):
    """A connection of a serving process, whose application is an `Application`."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        application = self.config.app
        assert isinstance(application, Application), application
        self._application = application
        self._routes = {path.encode(): (path, route) for path, route in application.hot.items()}
        self._head_timer: asyncio.TimerHandle | None = None
        self._in_message = self._in_head = self._is_refused = False
        self._spent = self._granted = 0

    # What uvicorn's protocol calls, or the loop

    def data_received(self, data: bytes) -> None:
        """Bytes of the client. A head or a body that does not come to its end is not waited for without end."""
        if self._is_refused:
            return  # Answers to what came before are all that is left to do.
        self._spent += len(data)
        super().data_received(data)
        if self._in_message and (self._spent > self._granted or (self._in_head and len(self.headers) > HEADERS_MAX)):
            self._refuse(431, f"the head is larger than {HEAD_BYTES} bytes, or has more than {HEADERS_MAX} lines")
            return
        cycle = self._current
        is_idle = cycle is None or cycle.response_complete
        # Between two requests the time of a kept connection runs, unless there is the beginning of a head.
        if is_idle and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(self._application.limits.body_s, self._head_is_late)
            return
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if type(cycle) is _Cycle and cycle.more_body and not cycle.response_complete and cycle.timer is None:
            cycle.timer = self.loop.call_later(self._application.limits.body_s, self._body_is_late, cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left, or we did."""
        super().connection_lost(exc)
        if self._head_timer is not None:
            self._head_timer.cancel()
        cycle = self._current
        if type(cycle) is _Cycle and cycle.more_body and not cycle.response_complete:
            self._leave(cycle)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, msg)

    def on_message_begin(self) -> None:
        """The first byte of a request. Heads, trailers and what stands between chunks have a bound together."""
        super().on_message_begin()
        self._in_message = self._in_head = True
        self._spent, self._granted = 0, HEAD_BYTES

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head; trailers are let go, for nobody reads them."""
        if self._in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A piece of the body, which has bounds of its own."""
        self._granted += len(body) + FRAME_BYTES
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """The head is whole: take the short way or not."""
        self._in_head = False
        cycle = self._short_way()
        if cycle is None:
            super().on_headers_complete()
        else:
            self.cycle = cycle  # type: ignore[assignment]  # All that uvicorn's protocol looks at is there.

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_message = False
        super().on_message_complete()
        cycle = self._current
        if type(cycle) is not _Cycle or cycle.response_complete:
            return
        if cycle.timer is not None:
            cycle.timer.cancel()
        question = Question("POST", cycle.path, cycle.headers, bytes(cycle.body))
        client = self.client[0] if self.client else ""
        self._application.predict(question, cycle.route, client, lambda answer: self._answer(cycle, answer))

    # The short way

    @property
    def _current(self) -> Any:
        """The newest request of the connection: one of ours, one of uvicorn's, or none yet."""
        return self.cycle

    def _short_way(self) -> _Cycle | None:
        found = self._routes.get(self.url)
        before = self._current
        if (
            found is None
            or self.expect_100_continue
            or (before is not None and not before.response_complete)
            or self.flow.write_paused
            or self.parser.get_method() != b"POST"
            or self.parser.should_upgrade()
            or self.limit_concurrency is not None
            or self.root_path
        ):
            return None
        headers = dict(self.headers)
        written = headers.get(b"content-length", b"")
        if len(headers) != len(self.headers):
            return None  # Some are given twice: the long way says of which that may be.
        if not written.isdigit() or len(written) > LENGTH_DIGITS_MAX or b"transfer-encoding" in headers:
            return None
        length = int(written)
        if length > min(SMALL_BYTES, self._application.limits.body_bytes):
            return None
        try:
            self._application.under_way.hold(length)
        except Unavailable:
            return None  # The long way says so.
        path, route = found
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        return _Cycle(route, path, headers, length, keep_alive)

    def _answer(self, cycle: _Cycle, answer: Answer) -> None:
        """Write an answer in one piece, unless nobody is there any more."""
        if cycle.response_complete:
            return
        self._leave(cycle)
        if cycle.disconnected or self.transport.is_closing():
            return
        if self._application.health.is_draining:
            cycle.keep_alive = False
        parts = [STATUS_LINE[answer.status]]
        for name, value in (*self.server_state.default_headers, *answer.headers):
            parts += (name, b": ", value, b"\r\n")
        if not cycle.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"content-type: %b\r\ncontent-length: %d\r\n\r\n" % (answer.content_type, len(answer.body)))
        parts.append(answer.body)
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _leave(self, cycle: _Cycle) -> None:
        """The request is over: what follows on its connection may begin."""
        cycle.response_complete = True
        if cycle.timer is not None:
            cycle.timer.cancel()
        self._application.under_way.release(cycle.length)

    # Clients that are not understood, or do not come to an end

    def _refuse(self, status: int, message: str) -> None:
        """Say what is wrong and close; but what was asked before on this connection is answered first."""
        self._is_refused = True
        before = self._current
        if before is not None and before.more_body:  # Whoever reads it is told that nothing more comes.
            before.disconnected = True
            before.message_event.set()
        if before is None or before.response_complete or (before.more_body and not self.pipeline):
            answer = error(status, message)
            head = b"connection: close\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head % (answer.content_type, len(answer.body)) + answer.body)
            self.transport.close()
        elif before.more_body:
            self.transport.close()  # An answer now would be taken for that of another request.
        else:
            before.keep_alive = False

    def _head_is_late(self) -> None:
        self._head_timer = None
        self.transport.close()

    def _body_is_late(self, cycle: _Cycle) -> None:
        cycle.keep_alive = False
        self._answer(cycle, error(408, f"the body did not arrive within {self._application.limits.body_s:g} s"))
