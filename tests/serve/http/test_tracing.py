"""Spans of an endpoint, as a real receiver of OTLP gets them."""

from typing import Any

import pytest

from taut.errors import UsageError
from taut.ground.tracing import tracing_of_environment
from taut.home import Home
from tests.faces.receiving import Receiver, receiving
from tests.parts import eventually
from tests.serve.http.scenes import INFER, doubled, endpoint, post

pytest.importorskip("opentelemetry.sdk")
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
LATE = f"traceparent: 00-{TRACE}-{PARENT}-01\r\n"


def spans_of(receiver: Receiver) -> list[Any]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    found = []
    for heard in receiver.heard:
        asked = ExportTraceServiceRequest()
        asked.ParseFromString(heard.body)
        found += [span for one in asked.resource_spans for scope in one.scope_spans for span in scope.spans]
    return found


def said(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_each_request_is_a_span_below_that_of_its_caller(home: Home, monkeypatch: pytest.MonkeyPatch):
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        tracing = tracing_of_environment("taut.serve")
        assert tracing is not None
        with endpoint(home, tracing=tracing) as served, served.line() as line:
            assert doubled(line.ask(post(1.0, head=LATE, request_id="r-1"))) == 2.0
            chunked = post(2.0).replace(b"Host: here\r\n", b"Host: here\r\nExpect: 100-continue\r\n")  # The long way.
            line.send(chunked)
            assert line.read().status == 100
            assert doubled(line.read()) == 4.0
            assert line.ask(post(3.0, do="raise")).status == 500
            assert line.ask(b"GET /nowhere HTTP/1.1\r\nHost: here\r\n\r\n").status == 404
            assert receiver.heard == []  # Sent by another thread, later, together.
        eventually(lambda: len(spans_of(receiver)) == 4, what="the spans")
        first, second, failed, lost = spans_of(receiver)
    assert [span.name for span in (first, second, failed, lost)] == [f"POST {INFER}"] * 3 + ["GET"]
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, PARENT)
    assert second.parent_span_id == b"" and second.trace_id.hex() != TRACE
    assert said(first) == {
        "http.request.method": "POST", "url.path": INFER, "url.scheme": "http", "http.response.status_code": 200,
        "taut.deployment": "late", "taut.request_id": "r-1", "taut.rows": 1, "taut.version": 2, "taut.revision": 3,
    }  # fmt: skip
    assert said(second)["taut.rows"] == 1 and said(second)["taut.request_id"]
    assert (said(failed)["http.response.status_code"], failed.status.code) == (500, 2)
    assert said(lost)["http.response.status_code"] == 404 and lost.status.code == 0
    assert all(0 < span.end_time_unix_nano - span.start_time_unix_nano < 20e9 for span in (first, second, failed))


@pytest.mark.parametrize("parent", ["", "00-zz-b7-01", f"00-{'0' * 32}-{PARENT}-01", "x" * 900, "\xff\xfe"])
def test_a_parent_that_is_none_begins_a_trace_of_its_own(home: Home, monkeypatch: pytest.MonkeyPatch, parent: str):
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", receiver.url)
        with endpoint(home, tracing=tracing_of_environment("taut.serve")) as served, served.line() as line:
            whole = post(1.0, head="traceparent: PARENT\r\n").replace(b"PARENT", parent.encode("latin-1"))
            assert doubled(line.ask(whole)) == 2.0
        eventually(lambda: len(spans_of(receiver)) == 1, what="the span")
        assert spans_of(receiver)[0].parent_span_id == b""


def test_a_receiver_that_fails_keeps_no_request_waiting(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with endpoint(home, tracing=tracing_of_environment("taut.serve")) as served, served.line() as line:
        for number in range(20):
            assert doubled(line.ask(post(float(number)))) == 2.0 * number


def test_nothing_is_traced_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert tracing_of_environment("taut.serve") is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert tracing_of_environment("taut.serve") is None
    monkeypatch.delenv("OTEL_SDK_DISABLED")
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(UsageError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        tracing_of_environment("taut.serve")
