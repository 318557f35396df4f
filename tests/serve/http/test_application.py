"""One endpoint of several versions: who answers, who may ask, what is written of it, and when it is ready."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.errors import Denied, Unavailable
from taut.home import Home
from taut.serve.http.access_log import AccessLog
from taut.serve.http.protocol import HotProtocol
from taut.serve.scoring.limits import Limits
from tests.parts import eventually
from tests.serve.http.scenes import Endpoint, Got, doubled, endpoint, post, request

LONG = "Transfer-Encoding: chunked"  # What keeps a request from the short way.


def chunked(asked: bytes) -> bytes:
    """The same request by the long way."""
    head, _, body = asked.partition(b"\r\n\r\n")
    kept = [one for one in head.split(b"\r\n") if not one.startswith(b"Content-Length")]
    return b"\r\n".join([*kept, LONG.encode()]) + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


WAYS = pytest.mark.parametrize("way", [bytes, chunked])


def by_header(headers: Mapping[bytes, bytes], _: Any) -> int:
    """The place that the caller names."""
    return int(headers.get(b"x-routing-key", b"0"))


def by_column(_: Any, columns: Mapping[str, Any]) -> int:
    """The second version for negative numbers."""
    return int(columns["x"][0] < 0)


def version(got: Got) -> str:
    assert got.status == 200, got
    return str(got.json["model_version"])


# Several versions


@WAYS
def test_requests_go_where_the_endpoint_sends_them(home: Home, way: Any):
    with endpoint(home, roles=("live", "canary"), pick=by_header) as served, served.line() as line:
        assert version(line.ask(way(post()))) == "2"
        assert version(line.ask(way(post(head="X-Routing-Key: 1\r\n")))) == "3"
        assert line.ask(way(post(path="/invocations", head="X-Routing-Key: 1\r\n"))).json["version"] == 3
        assert [said.role for said in served.log.said] == ["live", "canary", "canary"]


@WAYS
def test_a_version_in_the_path_is_the_version_that_answers(home: Home, way: Any):
    with endpoint(home, roles=("live", "canary"), pick=by_header) as served, served.line() as line:
        for number in (2, 3):
            asked = post(path=f"/v2/models/late/versions/{number}/infer", head="X-Routing-Key: 1\r\n")
            assert version(line.ask(way(asked))) == str(number)
        unknown = line.ask(way(post(path="/v2/models/late/versions/4/infer")))
        assert (unknown.status, "2, 3" in unknown.json["error"]) == (404, True)


def test_a_column_may_choose_the_version(home: Home):
    with endpoint(home, roles=("live", "canary"), pick=by_column) as served, served.line() as line:
        assert [version(line.ask(post(value))) for value in (1.0, -1.0)] == ["2", "3"]


@WAYS
def test_a_shadow_is_asked_after_the_answer_and_answers_the_log_alone(home: Home, way: Any):
    with endpoint(home, roles=("live", "shadow")) as served, served.line() as line:
        served.log.by_role = True
        got = line.ask(way(post(21.0)))
        assert (doubled(got), version(got)) == (42.0, "2")
        eventually(lambda: len(served.log.said) == 2, what="the shadow")
        live, shadow = served.log.said
        assert (live.role, shadow.role) == ("live", "shadow")
        assert live.ids == shadow.ids == [got.json["id"]]
        assert line.ask(way(post(1.0, do="refuse"))).status == 400
        assert line.ask(way(post(path="/v2/models/late/versions/3/infer"))).status == 404
        assert served.models[1].calls == [1]


def test_a_shadow_that_fails_is_nobodys_business(home: Home):
    with endpoint(home, roles=("live", "shadow")) as served, served.line() as line:
        served.models[1].predict = lambda _: 1 / 0  # type: ignore[method-assign, assignment, return-value]  # As a broken model would.
        assert doubled(line.ask(post(21.0))) == 42.0
        assert doubled(line.ask(post(21.0))) == 42.0
        eventually(lambda: served.held == (0, 0), what="the shadow")


# Who may ask


def guard(method: str, path: str, headers: Mapping[bytes, bytes], address: str) -> str:
    """Only whoever has a name; health is for all."""
    if path == "/ping":
        return ""
    if b"authorization" not in headers:
        raise Denied("who are you?")
    return headers[b"authorization"].decode()


@WAYS
def test_who_may_not_ask_is_told_before_anything_is_done(home: Home, way: Any):
    with endpoint(home, guard=guard) as served, served.line() as line:
        refused = line.ask(way(post()))
        assert (refused.status, refused.json) == (403, {"error": "who are you?"})
        assert doubled(line.ask(way(post(21.0, head="Authorization: ann\r\n")))) == 42.0
        assert line.ask(b"GET /ping HTTP/1.1\r\nHost: here\r\n\r\n").status == 200
        assert line.ask(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").status == 403
        assert served.models[0].calls == [1]


@WAYS
def test_a_caller_past_his_share_is_a_429_and_says_when_to_come_back(home: Home, way: Any):
    with endpoint(home, Limits(share=1), compiled=False, guard=guard) as served:
        served.models[0].gate.clear()
        with served.line() as first, served.line() as second, served.line() as third:
            first.send(way(post(1.0, do="wait", head="Authorization: ann\r\n")))
            eventually(lambda: served.held[0] == 1, what="the request")
            refused = second.ask(way(post(2.0, head="Authorization: ann\r\n")))
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            third.send(way(post(3.0, head="Authorization: bob\r\n")))
            served.models[0].gate.set()
            assert (doubled(first.read()), doubled(third.read())) == (2.0, 6.0)


# Bounds


@WAYS
def test_bodies_together_are_bounded_and_the_next_is_a_503(home: Home, way: Any):
    size = len(post(1.0, do="wait")) - post(1.0, do="wait").index(b"\r\n\r\n") - 4
    with endpoint(home, Limits(held_bytes=size + 10), compiled=False) as served:
        served.models[0].gate.clear()
        with served.line() as first, served.line() as second:
            first.send(way(post(1.0, do="wait")))
            eventually(lambda: served.held == (1, size), what="the request")
            refused = second.ask(way(post(2.0)))
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert "bytes already" in refused.json["error"]
            served.models[0].gate.set()
            assert doubled(first.read()) == 2.0
            assert doubled(second.ask(way(post(2.0)))) == 4.0
        eventually(lambda: served.held == (0, 0), what="the end of all requests")


def test_a_body_past_its_bound_is_a_413_however_small_the_bound(home: Home):
    with endpoint(home, Limits(body_bytes=50)) as served, served.line() as line:
        for way in (bytes, chunked):
            refused = line.ask(way(request(b" " * 51)))
            assert (refused.status, "50" in refused.json["error"]) == (413, True)
        assert line.ask(request(b" " * 50)).status == 400


@WAYS
def test_a_failure_of_ours_carries_the_id_of_the_request(home: Home, way: Any):
    with endpoint(home) as served, served.line() as line:
        got = line.ask(way(post(do="raise", request_id="mine")))
        assert (got.status, got.json["id"]) == (500, "mine")
        got = line.ask(way(post(do="raise")))
        assert got.json["id"] in got.json["error"]


@WAYS
def test_a_late_answer_and_a_failing_log_are_told_with_the_id(home: Home, way: Any):
    with endpoint(home, Limits(answer_s=0.1), compiled=False) as served, served.line() as line:
        served.models[0].gate.clear()
        late = line.ask(way(post(do="wait", request_id="late-1")))
        unnamed = line.ask(way(post(do="wait")))
        assert (late.status, late.json["id"], unnamed.status, len(unnamed.json["id"])) == (504, "late-1", 504, 32)
        served.models[0].gate.set()
        eventually(lambda: served.held == (0, 0), what="the late answers")
        served.log.fails = Unavailable("the disk is full")
        refused = line.ask(way(post(request_id="full-1")))
        assert (refused.status, refused.json) == (503, {"error": "the disk is full", "id": "full-1"})


# Ready


@pytest.fixture
def ready_paths() -> tuple[str, ...]:
    return "/ready", "/v2/health/ready", "/v2/models/late/ready"


def test_ready_tells_the_truth_and_live_goes_on(home: Home, ready_paths: tuple[str, ...]):
    with endpoint(home, Limits(waiting=1), compiled=False) as served, served.line() as line:

        def states() -> set[tuple[int, str]]:
            got = [line.ask(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()) for path in ready_paths]
            return {(one.status, one.json.get("error", "")) for one in got}

        assert states() == {(200, "")}
        served.models[0].gate.clear()
        with served.line() as other:
            other.send(post(1.0, do="wait"))
            eventually(lambda: states() == {(503, "not ready: too many requests wait")}, what="the full queue")
            served.models[0].gate.set()
            assert doubled(other.read()) == 2.0
        assert states() == {(200, "")}
        served.log.fails = Unavailable("the disk is full")
        assert line.ask(post()).status == 503
        assert states() == {(503, "not ready: the prediction log cannot be written")}
        assert line.ask(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n").status == 200
        served.application.drain()
        (state,) = {line.ask(b"GET /ready HTTP/1.1\r\nHost: here\r\n\r\n").json["error"]}
        assert state == "not ready: it is about to end"


def test_nobody_is_ready_before_the_model_is_warm(home: Home):
    with endpoint(home) as served:
        served.application.health.is_warm = False
        assert served.application.health.unready == "it is not warmed up"


# The access log


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reads, writes = os.pipe()
    yield reads, writes
    os.close(reads)
    os.close(writes)


def lines(reads: int, count: int) -> list[dict[str, Any]]:
    written = b""
    while written.count(b"\n") < count:
        written += os.read(reads, 65_536)
    return [msgspec.json.decode(one) for one in written.splitlines()]


def test_a_request_is_a_line_of_json_without_its_values(home: Home, pipe: tuple[int, int]):
    reads, writes = pipe
    with endpoint(home, access=AccessLog(writes, lambda: 0)) as served, served.line() as line:
        for way in (bytes, chunked):
            got = line.ask(way(post(123456.5, request_id=f"id-{way.__name__}")))
            assert doubled(got) == 246913.0
        line.ask(request(b"{"))
        line.ask(b"GET /nothing HTTP/1.1\r\nHost: here\r\n\r\n")
        short, long, malformed, unknown = lines(reads, 4)
    for told, request_id in ((short, "id-bytes"), (long, "id-chunked")):
        assert told.pop("ms") >= 0
        assert told.pop("bytes") == len(got.body) - len("id-chunked") + len(request_id)
        assert told == {
            "at": "1970-01-01T00:00:00.000Z", "method": "POST", "path": "/v2/models/late/infer", "status": 200,
            "client": "127.0.0.1", "rows": 1, "id": request_id, "version": 2, "revision": 3,
        }  # fmt: skip
    assert (malformed["status"], unknown["status"], unknown["path"]) == (400, 404, "/nothing")
    assert "123456" not in str([short, long])


def test_a_sample_of_good_answers_is_written_and_every_error(home: Home, pipe: tuple[int, int]):
    reads, writes = pipe
    access = AccessLog(writes, lambda: 0, sample=0.0)
    with endpoint(home, access=access) as served, served.line() as line:
        for _ in range(20):
            line.ask(post())
        line.ask(post(do="refuse"))
        (told,) = lines(reads, 1)
    assert told["status"] == 400


def test_an_access_log_that_cannot_be_written_loses_lines_and_no_answer(home: Home):
    reads, writes = os.pipe()
    os.close(reads)
    access = AccessLog(writes, lambda: 0)
    with endpoint(home, access=access) as served, served.line() as line:
        assert doubled(line.ask(post(21.0))) == 42.0
        eventually(lambda: access.lost == 1, what="the lost line")
        assert doubled(line.ask(post(21.0))) == 42.0
    os.close(writes)


def test_a_reader_of_the_access_log_that_sleeps_holds_up_nobody(home: Home, pipe: tuple[int, int]):
    reads, writes = pipe
    access = AccessLog(writes, lambda: 0)
    with endpoint(home, access=access) as served, served.line() as line:
        unknown = b"GET /%b HTTP/1.1\r\nHost: here\r\n\r\n" % (b"x" * 5_000)
        for _ in range(200):
            assert line.ask(unknown).status == 404
        assert doubled(line.ask(post(21.0))) == 42.0
        assert access.lost > 0
    written = os.read(reads, 1 << 20)
    assert written.endswith(b"}\n")
    assert all(len(msgspec.json.decode(one)["path"]) == 1000 for one in written.splitlines())


# Both ways say the same


@pytest.fixture(scope="module")
def shared(home: Home) -> Iterator[Endpoint]:
    """An endpoint for questions that leave nothing behind."""
    with endpoint(home) as served:
        yield served


WHOLE = post(21.0).partition(b"\r\n\r\n")[2]
BODIES = st.one_of(
    st.binary(max_size=60),
    st.tuples(st.integers(0, 300), st.binary(max_size=3)).map(lambda cut: WHOLE[: cut[0]] + cut[1] + WHOLE[cut[0] :]),
    st.integers(0, 300).map(lambda cut: WHOLE[:cut]),
)


@given(body=BODIES, path=st.sampled_from(["/v2/models/late/infer", "/invocations"]))
@settings(max_examples=60, deadline=None)
def test_any_bytes_get_the_same_answer_by_both_ways(shared: Endpoint, body: bytes, path: str):
    asked = request(body, path=path)
    with shared.line() as line:
        short, long = line.ask(asked), line.ask(chunked(asked) if body else asked)
    assert short.status == long.status
    assert short.status in (200, 400)
    if short.status == 400:
        assert short.body == long.body


def test_an_answer_that_cannot_be_told_keeps_no_other_from_its_own(
    home: Home, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    tell = HotProtocol._answer

    def breaks(self: HotProtocol, cycle: Any, answer: Any) -> None:
        if b"666" in answer.body:
            raise RuntimeError("no wire")
        tell(self, cycle, answer)

    monkeypatch.setattr(HotProtocol, "_answer", breaks)
    with endpoint(home) as served, served.line() as bad, served.line() as good:
        bad.send(post(333.0))
        assert doubled(good.ask(post(21.0))) == 42.0
        assert doubled(good.ask(post(22.0))) == 44.0
    assert "its answer could not be told" in capfd.readouterr().err
