"""A client that costs next to nothing: prepared requests over kept connections, one epoll loop, bodies not parsed."""

import select
import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

ANSWER_WITHIN_S = 900.0  # The slowest stock query took minutes.
RECEIVE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Window:
    """What came back in one measured window; `failed` counts answers that were no 200."""

    requests: int
    seconds: float
    client_cpu_s: float
    latencies_s: list[float] = field(repr=False)
    failed: int = 0
    problem: str = ""

    def latency_ms(self, percent: float) -> float:
        """A percentile of the latencies, in milliseconds; to a tenth of a percent."""
        if len(self.latencies_s) < 2:
            return self.latencies_s[0] * 1000
        return statistics.quantiles(self.latencies_s, n=1000, method="inclusive")[round(percent * 10) - 1] * 1000


def post(path: str, body: object) -> bytes:
    """A whole POST request with a JSON body; bytes are sent as they are."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(content) + content


def get(path: str) -> bytes:
    """A whole GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def ask(port: int, request: bytes) -> bytes:
    """The body of the answer to one request. Raises RuntimeError where it is no 200."""
    line = _Line(port, [request])
    try:
        line.send(0.0)
        while not line.receive():
            pass
        if not line.is_good:
            raise RuntimeError(line.words)
        return bytes(line.body)
    finally:
        line.socket.close()


def closed_loop(
    port: int, queues: Sequence[Sequence[bytes]], seconds: float, *, again: bool = False, whole: int = 1
) -> Window:
    """Send each queue over a connection of its own, each request as soon as the one before it is answered.

    It ends after so many seconds, or when the queues are empty, unless they are sent `again` and again. What is under
    way then is waited for, and each connection ends after a multiple of `whole` requests.
    """
    with _connected(port, queues, again=again) as (lines, poll):
        return _run(lines, poll, seconds, whole)


@contextmanager
def _connected(
    port: int, queues: Sequence[Sequence[bytes]], *, again: bool
) -> "Iterator[tuple[dict[int, _Line], select.epoll]]":
    """A connection for each queue, by its file descriptor, and what tells which of them has something to read."""
    lines = {line.socket.fileno(): line for line in (_Line(port, queue, again=again) for queue in queues)}
    poll = select.epoll()
    try:
        for number in lines:
            poll.register(number, select.EPOLLIN)
        yield lines, poll
    finally:
        poll.close()
        for line in lines.values():
            line.socket.close()


def _run(lines: "dict[int, _Line]", poll: select.epoll, seconds: float, whole: int) -> Window:
    latencies: list[float] = []
    failed, problem, now = 0, "", time.perf_counter
    cpu, begun = time.process_time(), now()
    for line in lines.values():
        line.send(begun)
    live = len(lines)
    while live:
        ready = poll.poll(ANSWER_WITHIN_S)
        if not ready:
            raise RuntimeError(f"no answer within {ANSWER_WITHIN_S:.0f} s")
        for number, _ in ready:
            line = lines[number]
            if not line.receive():
                continue
            at = now()
            latencies.append(at - line.sent_s)
            if not line.is_good:
                failed, problem = failed + 1, line.words
            if (at - begun >= seconds and line.sent % whole == 0) or not line.send(at):
                live -= 1
    return Window(len(latencies), now() - begun, time.process_time() - cpu, latencies, failed, problem)


def open_loop(port: int, request: bytes, *, rate: float, seconds: float, connections: int) -> Window:
    """Send a request at each due moment, `rate` a second, over whichever connection is free.

    A latency counts from the moment the request was due, so a server that falls behind is seen to, however the client
    waits for it.
    """
    with _connected(port, [[request]] * connections, again=True) as (lines, poll):
        return _on_time(lines, poll, rate, max(1, round(rate * seconds)))


def _on_time(lines: "dict[int, _Line]", poll: select.epoll, rate: float, total: int) -> Window:
    latencies: list[float] = []
    failed, problem, now = 0, "", time.perf_counter
    free, sent = list(lines.values()), 0
    cpu, begun = time.process_time(), now()
    while len(latencies) < total:
        while free and sent < total and begun + sent / rate <= now():
            free.pop().send(begun + sent / rate)
            sent += 1
        wait_s = begun + sent / rate - now() if free and sent < total else ANSWER_WITHIN_S
        # epoll's own time-out is whole milliseconds and rounds up: short waits are spent asking again.
        for number, _ in poll.poll(0 if wait_s < 0.002 else wait_s - 0.001):
            line = lines[number]
            if not line.receive():
                continue
            latencies.append(now() - line.sent_s)
            if not line.is_good:
                failed, problem = failed + 1, line.words
            free.append(line)
    return Window(len(latencies), now() - begun, time.process_time() - cpu, latencies, failed, problem)


class _Line:
    """One kept connection and what is still to be sent over it."""

    __slots__ = ("again", "body", "expected", "head", "queue", "sent", "sent_s", "socket")

    def __init__(self, port: int, queue: Sequence[bytes], *, again: bool = False) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_WITHIN_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.queue, self.again = queue, again
        self.sent, self.sent_s = 0, 0.0
        self.head, self.body, self.expected = b"", bytearray(), -1

    def send(self, at_s: float) -> bool:
        """Send the next request; False where there is none."""
        if self.sent >= len(self.queue) and not self.again:
            return False
        self.head, self.expected = b"", -1
        self.body.clear()
        self.sent_s = at_s
        self.socket.sendall(self.queue[self.sent % len(self.queue)])
        self.sent += 1
        return True

    def receive(self) -> bool:
        """Read what is there; True once the answer is whole."""
        part = self.socket.recv(RECEIVE_BYTES)
        if not part:
            raise RuntimeError(f"the server closed the connection after {bytes(self.body[:200])!r}")
        self.body += part
        if self.expected < 0:
            head, found, rest = bytes(self.body).partition(b"\r\n\r\n")
            if not found:
                return False
            self.head = head
            _, named, length = head.lower().partition(b"content-length:")
            assert named, head
            self.expected = int(length.partition(b"\r")[0])
            self.body = bytearray(rest)
        return len(self.body) >= self.expected

    @property
    def is_good(self) -> bool:
        """Whether the answer was a 200."""
        return self.head.startswith(b"HTTP/1.1 200")

    @property
    def words(self) -> str:
        """The beginning of the answer, for a person."""
        status = self.head.partition(b"\r\n")[0].decode("latin-1")
        return f"{status}: {self.body[:160].decode('utf-8', 'replace')}"
