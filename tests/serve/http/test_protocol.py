"""HTTP/1.1 on the short way and beside it: every way to send a request gets the same answer."""

import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taut.home import Home
from taut.serve.scoring.limits import Limits
from tests.parts import eventually
from tests.serve.http.scenes import INFER, Endpoint, Line, doubled, endpoint, post, request


@pytest.fixture(scope="module")
def served(home: Home) -> Iterator[Endpoint]:
    """One endpoint for the questions of this file that leave nothing behind."""
    with endpoint(home, Limits(body_s=30.0)) as running:
        yield running


@pytest.fixture
def line(served: Endpoint) -> Iterator[Line]:
    """A connection; whatever was asked over it, nothing is held afterwards."""
    with served.line() as connection:
        yield connection
    eventually(lambda: served.held == (0, 0), what="the end of all requests")


BODY = post(21.0).partition(b"\r\n\r\n")[2]
CHUNKED = (
    f"POST {INFER} HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:10], BODY[10:]))
    + b"0\r\n\r\n"
)
WAYS = {
    "plain": post(21.0),
    "chunked": CHUNKED,
    "query": post(21.0, path=INFER + "?trace=1"),
    "escaped": post(21.0, path="/v2/models/l%61te/infer"),
    "kept": post(21.0, head="Connection: keep-alive\r\n"),
    "blanks": request(BODY + b" " * 70_000),
    "version": post(21.0, path="/v2/models/late/versions/2/infer"),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_send_a_request_gets_the_same_answer(line: Line, way: str):
    for _ in range(2):
        got = line.ask(WAYS[way])
        assert doubled(got) == 42.0
        assert got.headers["content-type"] == "application/json"
        assert "date" in got.headers
        assert "connection" not in got.headers


@given(cuts=st.sets(st.integers(1, len(post(21.0)) * 2 - 1), max_size=12))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_two_requests_cut_anywhere_get_two_answers(served: Endpoint, cuts: set[int]):
    both = post(21.0) + post(1.5)
    both = both[: len(post(21.0))] + post(1.25)
    edges = [0, *sorted(cut for cut in cuts if cut < len(both)), len(both)]
    with served.line() as line:
        for start, end in pairwise(edges):
            line.send(both[start:end])
        assert (doubled(line.read()), doubled(line.read())) == (42.0, 2.5)


def test_a_byte_at_a_time_is_a_request_as_well(line: Line):
    line.send(*(bytes([byte]) for byte in post(21.0)), pause_s=0.0002)
    assert doubled(line.read()) == 42.0


def test_requests_that_come_at_once_are_answered_in_their_order(line: Line):
    values = [float(n) for n in range(20)]
    line.send(b"".join(post(value) for value in values))
    assert [doubled(line.read()) for _ in values] == [value * 2 for value in values]


def test_other_requests_between_them_keep_their_place(line: Line):
    ping = b"GET /ping HTTP/1.1\r\nHost: here\r\n\r\n"
    line.send(post(1.0) + ping + CHUNKED + post(2.0, do="refuse") + request(b"{") + ping + post(3.0))
    got = [line.read() for _ in range(7)]
    assert [one.status for one in got] == [200, 200, 200, 400, 400, 200, 200]
    assert [doubled(got[place]) for place in (0, 2, 6)] == [2.0, 42.0, 6.0]
    assert got[1].json == got[5].json == {"live": True}


def test_a_client_that_waits_for_leave_to_send_gets_it(line: Line):
    head, _, body = post(21.0, head="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    line.send(head + b"\r\n\r\n")
    assert line.read(head_only=True).status == 100
    assert doubled(line.ask(body)) == 42.0


@pytest.mark.parametrize(
    "asked",
    [post(21.0, head="Connection: close\r\n"), post(21.0).replace(b"HTTP/1.1", b"HTTP/1.0"),
     CHUNKED.replace(b"Host: here", b"Connection: close")],
)  # fmt: skip
def test_who_wants_no_kept_connection_gets_none(line: Line, asked: bytes):
    got = line.ask(asked)
    assert (doubled(got), got.headers["connection"]) == (42.0, "close")
    assert line.is_closed()


@pytest.mark.parametrize(
    "asked",
    [b"NONSENSE\r\n\r\n", request(b"{}", length=-1), b"POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
     f"POST {INFER} HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n".encode(),
     f"POST {INFER} HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n".encode()],
)  # fmt: skip
def test_what_is_no_http_is_a_400_and_ends_the_connection(line: Line, asked: bytes):
    line.send(post(21.0))
    assert doubled(line.read()) == 42.0
    assert line.ask(asked).status == 400
    assert line.is_closed()


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"GET /health HTTP/1.1\r\n", b"a: b\r\n" * 10_000),
        (b"GET /health HTTP/1.1\r\na: ", b"b" * 65_536),
        (b"GET /", b"b" * 65_536),
        (CHUNKED[:-2] + b"a: ", b"b" * 65_536),
        (CHUNKED[: CHUNKED.index(b"\r\n\r\n") + 4] + b"5;", b"b" * 65_536),
    ],
)
def test_what_stands_around_a_body_has_a_bound(served: Endpoint, begun: bytes, more: bytes):
    with served.line() as line, pytest.raises(ConnectionError):
        for part in (begun, *[more] * 200):
            line.send(part)
    assert served.held == (0, 0)


def test_garbage_behind_a_request_is_not_its_answer(served: Endpoint):
    with served.line() as line:
        line.send(post(21.0) + b"\x00garbage\r\n\r\n")
        assert doubled(line.read()) == 42.0
        assert line.is_closed()


@pytest.mark.parametrize("path", [INFER, "/invocations", "/v2/models/late/versions/2/infer"])
def test_a_path_that_predicts_takes_post_alone(line: Line, path: str):
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        assert line.ask(f"{method} {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()).status == 405


def test_a_body_of_nothing_is_a_400(line: Line):
    assert line.ask(request(b"")).status == 400
    assert doubled(line.ask(post(21.0))) == 42.0


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(served: Endpoint):
    for cut in (10, 60, len(post(21.0)) - 1):
        with served.line() as line:
            line.send(post(21.0)[:cut])
    eventually(lambda: served.held == (0, 0), what="the end of all requests")


def test_a_client_that_does_not_read_harms_nobody(served: Endpoint):
    with served.line() as deaf, served.line() as other:
        deaf.socket.setblocking(False)
        sent = 0
        try:
            for _ in range(20_000):
                sent += deaf.socket.send(post(float(sent)))
        except BlockingIOError:
            pass
        assert doubled(other.ask(post(21.0))) == 42.0
    eventually(lambda: served.held == (0, 0), what="the end of all requests")


# Clients that do not come to an end, servers that do


def test_a_body_that_does_not_arrive_is_a_408(home: Home):
    with endpoint(home, Limits(body_s=0.15)) as slow, slow.line() as line:
        got = line.ask(post(21.0)[:-3])
        assert (got.status, got.headers["connection"]) == (408, "close")
        assert "0.15 s" in got.json["error"]
        assert line.is_closed()
        eventually(lambda: slow.held == (0, 0), what="the end of the request")


def test_a_head_that_does_not_arrive_ends_the_connection(home: Home):
    with endpoint(home, Limits(body_s=0.15)) as slow, slow.line() as fresh, slow.line() as kept:
        fresh.send(b"POST /v2")
        assert doubled(kept.ask(post(21.0))) == 42.0
        kept.send(b"POST /v2")
        assert fresh.is_closed()
        assert kept.is_closed()


def test_a_head_that_comes_in_time_is_forgotten(home: Home):
    with endpoint(home, Limits(body_s=0.3)) as slow, slow.line() as line:
        for asked in (post(21.0), request(b"{")):  # The second is answered before anybody waits.
            line.send(asked[:5], asked[5:], pause_s=0.05)
            assert line.read().status in (200, 400)
        threading.Event().wait(0.5)
        assert doubled(line.ask(post(21.0))) == 42.0


def test_a_request_in_the_model_when_the_server_ends_is_answered(home: Home):
    with endpoint(home, compiled=False) as running, running.line() as line, running.line() as behind:
        (model,) = running.models
        model.gate.clear()
        line.send(post(21.0, do="wait") + post(22.0))
        eventually(lambda: model.calls == [1], what="the model")
        running.application.drain()
        behind.send(post(23.0))
        model.gate.set()
        first = line.read()
        assert (doubled(first), first.headers["connection"]) == (42.0, "close")
        assert doubled(behind.read()) == 46.0
        assert line.is_closed()


def test_a_client_that_left_while_its_request_was_in_the_model(home: Home):
    with endpoint(home, compiled=False) as running:
        (model,) = running.models
        model.gate.clear()
        with running.line() as line:
            line.send(post(21.0, do="wait", request_id="left") + post(22.0))
            eventually(lambda: model.calls == [1], what="the model")
        model.gate.set()
        eventually(lambda: running.held == (0, 0), what="the end of the request")
        assert "left" in running.log.kept
        with running.line() as line:
            assert doubled(line.ask(post(21.0))) == 42.0
