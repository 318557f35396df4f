"""Traces over MLflow's protocol and OpenTelemetry's, spoken raw: shapes, mistakes, hostile input; both databases."""

import base64
import gzip
import importlib.util
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from taut.faces.http.reading import BODY_BYTES_MAX
from taut.faces.mlflow.otlp import NO_PROTOBUF
from taut.govern import create_token
from taut.home import Home
from taut.runs import create_experiment, create_run
from taut.runs.traces import Span, log_spans, trace_detail
from tests.faces.serving import served
from tests.faces.speaking import INVALID, NOT_FOUND, POOL, Said, Speaker

HEX, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACE = f"tr-{HEX}"
AT_NS = 1_700_000_000_123_456_789
TIME = "2023-11-14T22:13:20.123Z"
JSON, PROTOBUF = "application/json", "application/x-protobuf"


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    with served(home) as address:
        yield address


@pytest.fixture
def ask(url: str) -> Speaker:
    return Speaker(url, "/api/3.0/mlflow/")


@pytest.fixture
def old(url: str) -> Speaker:
    return Speaker(url, "/api/2.0/mlflow/")


def send(url: str, body: object, media_type: str = JSON, secret: str = "", **headers: str) -> Said:
    """Send a request over OTLP; names of headers are written with underscores."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()} | {"content-type": media_type}
    if secret:
        sent["authorization"] = f"Bearer {secret}"
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = POOL.request("POST", f"{url}/v1/traces", body=data, headers=sent)
    assert answer.status != 200 or answer.headers["content-type"] == media_type.partition(";")[0]
    return Said(answer.status, json.loads(answer.data) if answer.data else {})


def exported(*spans: dict[str, Any], resource: list[Any] | None = None, scope: dict[str, str] | None = None) -> Any:
    """An ExportTraceServiceRequest in OTLP/JSON."""
    inside = {"spans": list(spans), **({"scope": scope} if scope else {})}
    return {"resourceSpans": [{"resource": {"attributes": resource or []}, "scopeSpans": [inside]}]}


def span(**more: Any) -> dict[str, Any]:
    """A span in OTLP/JSON, with its numbers as text, as the standard has them."""
    return {
        "traceId": HEX, "spanId": SPAN, "name": "GET /", "kind": 2, "startTimeUnixNano": str(AT_NS),
        "endTimeUnixNano": str(AT_NS + 5_000_000), "status": {"code": 1}, **more,
    }  # fmt: skip


def attribute(key: str, **value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def info(trace_id: str = TRACE, experiment_id: str = "0", **more: Any) -> dict[str, Any]:
    """A trace as clients describe it."""
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}
    return {"trace_info": {
        "trace_id": trace_id, "trace_location": place, "request_time": TIME, "execution_duration": "1.250s",
        "state": "OK", **more,
    }}  # fmt: skip


def assessment(**more: Any) -> dict[str, Any]:
    source = {"source_type": "HUMAN", "source_id": "ada"}
    return {"assessment_name": "good", "source": source, "feedback": {"value": 0.5}, **more}


# OTLP


def test_spans_in_json_are_stored_as_the_standard_writes_them(home: Home, url: str):
    values = [
        attribute("text", stringValue="ünï\u0000"), attribute("yes", boolValue=True), attribute("int", intValue="42"),
        attribute("number", intValue=7), attribute("float", doubleValue=1.5), attribute("nan", doubleValue="NaN"),
        attribute("inf", doubleValue="-Infinity"), attribute("bytes", bytesValue="AQI="), attribute("none"),
        {"key": "absent"}, attribute("list", arrayValue={"values": [{"intValue": "1"}, {"stringValue": "a"}, {}]}),
        attribute("map", kvlistValue={"values": [attribute("k", arrayValue={})]}),
    ]  # fmt: skip
    sent = span(
        traceId=HEX.upper(), attributes=values, status={"code": 2, "message": "boom"}, traceState="x=y", flags=1,
        events=[{"name": "exception", "timeUnixNano": str(AT_NS), "attributes": [attribute("a", intValue="1")]}],
        links=[{"traceId": "1" * 32, "spanId": "2" * 16, "attributes": []}],
    )  # fmt: skip
    resource = [attribute("service.name", stringValue="shop")]
    scope = {"name": "lib", "version": "2"}
    assert send(url, exported(sent, resource=resource, scope=scope)) == Said(200, {})
    detail = trace_detail(home, TRACE)
    stored = detail.spans[0]
    assert stored.attributes == {
        "text": "ünï\0", "yes": True, "int": 42, "number": 7, "float": 1.5, "nan": "NaN", "inf": "-Infinity",
        "bytes": "AQI=", "none": None, "absent": None, "list": [1, "a", None], "map": {"k": []},
        "otel.scope.name": "lib", "otel.scope.version": "2",
    }  # fmt: skip
    assert (stored.start_ns, stored.end_ns, stored.kind) == (AT_NS, AT_NS + 5_000_000, 2)
    assert (stored.status, stored.message) == ("ERROR", "boom")
    assert (stored.events[0].name, stored.links[0].span_id) == ("exception", "2" * 16)
    assert (detail.trace.experiment_id, detail.trace.tags) == ("0", {"service.name": "shop"})


def protobuf(**more: Any) -> bytes:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    asked = ExportTraceServiceRequest()
    process = asked.resource_spans.add()
    process.resource.attributes.add(key="service.name").value.string_value = "shop"
    sent = process.scope_spans.add().spans.add(
        trace_id=bytes.fromhex(HEX), span_id=bytes.fromhex(SPAN), name="GET /", start_time_unix_nano=AT_NS,
        end_time_unix_nano=AT_NS + 5_000_000, **more,
    )  # fmt: skip
    sent.attributes.add(key="list").value.array_value.values.add().int_value = -3
    sent.attributes.add(key="map").value.kvlist_value.values.add(key="k").value.double_value = float("inf")
    sent.attributes.add(key="bytes").value.bytes_value = b"\x01\x02"
    sent.attributes.add(key="none").value.SetInParent()
    sent.attributes.add(key="yes").value.bool_value = True
    sent.events.add(name="e", time_unix_nano=AT_NS).attributes.add(key="a").value.string_value = "b"
    sent.links.add(trace_id=b"\x11" * 16, span_id=b"\x22" * 8)
    sent.status.code = 2
    return asked.SerializeToString()


def test_spans_in_protocol_buffers_say_the_same(home: Home, url: str):
    pytest.importorskip("opentelemetry.proto")
    experiment_id = create_experiment(home, "shop").id
    said = send(url, protobuf(), PROTOBUF, x_mlflow_experiment_id=experiment_id)
    assert said == Said(200, {})
    detail = trace_detail(home, TRACE)
    assert detail.trace.experiment_id == experiment_id and detail.trace.tags == {"service.name": "shop"}
    assert detail.spans[0].attributes == {
        "list": [-3], "map": {"k": "Infinity"}, "bytes": "AQI=", "none": None, "yes": True
    }  # fmt: skip
    assert (detail.spans[0].events[0].attributes, detail.spans[0].links[0].trace_id) == ({"a": "b"}, "tr-" + "1" * 32)
    assert detail.trace.state == "ERROR"


def test_spans_may_come_compressed(home: Home, url: str):
    plain = json.dumps(exported(span())).encode()
    for encoding, body in (("gzip", gzip.compress(plain)), ("deflate", zlib.compress(plain)), ("identity", plain)):
        assert send(url, body, content_encoding=encoding).status == 200, encoding
    assert len(trace_detail(home, TRACE).spans) == 1
    assert send(url, gzip.compress(plain), "application/json; charset=utf-8", content_encoding="GZIP").status == 200


def test_a_body_that_unpacks_to_more_than_a_body_may_be_is_refused(home: Home, url: str):
    for packed in (gzip.compress(b" " * (BODY_BYTES_MAX + 1)), gzip.compress(b" " * BODY_BYTES_MAX) * 2):
        said = send(url, packed, content_encoding="gzip")
        assert said.code == INVALID and len(said.message) < 300


def test_traces_are_linked_to_the_run_that_the_header_names(home: Home, url: str):
    run = create_run(home)
    assert send(url, exported(span()), x_mlflow_run_id=run.id).status == 200
    assert trace_detail(home, TRACE).trace.runs == (run.id,)
    assert send(url, exported(span()), x_mlflow_run_id="nobody").code == NOT_FOUND


def test_where_spans_go_has_to_be_there(home: Home, url: str):
    assert send(url, exported(span()), x_mlflow_experiment_id="77").code == NOT_FOUND
    assert send(url, exported(span(parentSpanId="0" * 16))).status == 200
    assert trace_detail(home, TRACE).spans[0].parent == ""


def test_a_request_without_spans_is_one_that_went_well(url: str):
    nothing: tuple[dict[str, Any], ...] = ({}, {"resourceSpans": []}, exported())
    for body in nothing:
        assert send(url, body) == Said(200, {})
    assert send(url, b"", PROTOBUF).status == 200


DEEP: dict[str, Any] = {"stringValue": "x"}
for _ in range(70):
    DEEP = {"arrayValue": {"values": [DEEP]}}
MISTAKES: list[tuple[object, str]] = [
    (b"{", "OTLP/JSON"), (b"", "OTLP/JSON"), (b"[]", "OTLP/JSON"), (b"\xff", "OTLP/JSON"),
    (b"[" * 100_000, "OTLP/JSON"),
    ({"resourceSpans": 3}, "OTLP/JSON"), (exported({"spanId": SPAN}), "traceId"), (exported(span(traceId="")), "trace"),
    (exported(span(traceId="zz")), "id of a trace"), (exported(span(traceId="0" * 32)), "id of a trace"),
    (exported(span(traceId=base64.b64encode(b"x" * 16).decode())), "id of a trace"),
    (exported(span(spanId="12")), "id of a span"), (exported(span(parentSpanId="12")), "parent"),
    (exported(span(startTimeUnixNano="-1")), "time"), (exported(span(endTimeUnixNano=str(2**64))), "time"),
    (exported(span(startTimeUnixNano="soon")), "startTimeUnixNano"), (exported(span(name=3)), "name"),
    (exported(span(attributes=[attribute("a", doubleValue="many")])), "doubleValue"),
    (exported(span(attributes=[attribute("a", intValue="x")])), "intValue"),
    (exported(span(attributes=[{"value": {}}])), "key"),
    (exported(span(attributes=[attribute("a", **DEEP)])), "deeper"),
    (exported(span(links=[{"traceId": "1", "spanId": "2"}])), "link"),
    (exported(span(events=[{"timeUnixNano": "-5"}])), "time"),
]  # fmt: skip


def test_what_is_no_export_of_spans_is_the_callers_mistake_and_stores_nothing(home: Home, url: str):
    for body, says in MISTAKES:
        said = send(url, body)
        assert said.code == INVALID, (body, said)
        assert says in said.message and len(said.message) < 400, said
    for body in (b"\xff\xff", b"\x0a\xff", b"{}"):
        if importlib.util.find_spec("opentelemetry"):
            assert send(url, body, PROTOBUF).code == INVALID, body
    assert Speaker(url, "/api/3.0/mlflow/").told("traces/search", locations=[])["traces"] == []


def test_spans_come_in_a_way_that_is_known(url: str):
    for media_type in ("", "text/plain", "application/grpc", "application/xml"):
        assert send(url, exported(span()), media_type).code == INVALID, media_type
    plain = json.dumps(exported(span())).encode()
    assert send(url, plain, content_encoding="br").code == INVALID
    for broken in (plain, gzip.compress(plain)[:-4], gzip.compress(plain) + b"more", b""):
        assert send(url, broken, content_encoding="gzip").code == INVALID, broken


def test_a_server_without_protocol_buffers_says_so_in_words_that_clients_know(
    home: Home, url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("taut.faces.mlflow.otlp._has_protobuf", lambda: False)
    said = send(url, b"", PROTOBUF)
    assert said.code == (501, "NOT_IMPLEMENTED") and said.message == NO_PROTOBUF
    assert "REST OTLP span logging is not supported" in said.message and "pip install" in said.message
    assert send(url, exported(span())).status == 200


def test_who_may_not_write_runs_sends_no_spans(home: Home, url: str):
    secret = create_token(home, "vera", "viewer").secret
    assert send(url, exported(span())).code == (401, "UNAUTHENTICATED")
    assert send(url, b"{ no json", secret=secret).code == (403, "PERMISSION_DENIED")


# The third API


def test_a_trace_is_described_and_told_in_the_shape_that_clients_read(home: Home, ask: Speaker):
    sent = info(
        client_request_id="c1", request_preview="in", response_preview="out", trace_metadata={"m": "1"},
        tags={"mlflow.traceName": "chat", "t": "x"}, assessments=[assessment(rationale="why")],
    )  # fmt: skip
    told = ask.told("traces", trace=sent)["trace"]["trace_info"]
    made = told.pop("assessments")[0]
    wanted = {key: value for key, value in sent["trace_info"].items() if key not in {"tags", "assessments"}}
    assert {key: told[key] for key in wanted} == wanted and told.keys() == {*wanted, "tags"}
    assert told["tags"] == {
        "mlflow.traceName": "chat", "t": "x",
        "mlflow.artifactLocation": f"mlflow-artifacts:/0/traces/{TRACE}/artifacts",
    }  # fmt: skip
    assert (made["assessment_name"], made["trace_id"], made["feedback"]) == ("good", TRACE, {"value": 0.5})
    assert made["valid"] is True and made["rationale"] == "why" and made["source"]["source_id"] == "ada"
    again = ask.told("traces", trace=sent)["trace"]["trace_info"]
    assert again == ask.get(f"traces/{TRACE}").body["trace"]["trace_info"]
    assert len(again["assessments"]) == 1


def test_a_client_is_told_where_spans_are_once_there_are_some(home: Home, url: str, ask: Speaker):
    ask.told("traces", trace=info())
    assert "mlflow.trace.spansLocation" not in ask.get(f"traces/{TRACE}").body["trace"]["trace_info"]["tags"]
    send(url, exported(span()))
    told = ask.told("traces", trace=info())["trace"]["trace_info"]
    assert told["tags"]["mlflow.trace.spansLocation"] == "TRACKING_STORE"
    assert (told["request_time"], told["execution_duration"], told["state"]) == (TIME, "1.250s", "OK")


def test_a_trace_comes_with_its_spans_in_the_json_of_protocol_buffers(home: Home, url: str, ask: Speaker):
    send(url, exported(span(attributes=[attribute("map", kvlistValue={"values": [attribute("k", intValue="1")]})])))
    told = ask.get("traces/get", trace_id=TRACE, allow_partial="False").body["trace"]
    assert told["trace_info"]["trace_id"] == TRACE
    (one,) = told["spans"]
    assert base64.b64decode(one["trace_id"]).hex() == HEX and base64.b64decode(one["span_id"]).hex() == SPAN
    assert (one["start_time_unix_nano"], one["status"]["code"]) == (AT_NS, "STATUS_CODE_OK")
    assert one["attributes"] == [
        {"key": "map", "value": {"kvlist_value": {"values": [{"key": "k", "value": {"int_value": 1}}]}}}
    ]
    assert "parent_span_id" not in one


def test_protocol_buffers_read_what_is_told(home: Home, url: str, ask: Speaker):
    json_format = pytest.importorskip("google.protobuf.json_format")
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

    big = {"a": 2**70, "b": -(2**63), "c": [None, True, 1.5, {"d": "é"}], "e": {}}
    log_spans(home, "0", [Span(TRACE, SPAN, "n", 1, 2**63 - 1, parent="1" * 16, attributes=big)])
    (told,) = ask.get("traces/get", trace_id=TRACE).body["trace"]["spans"]
    read = json_format.ParseDict(told, ProtoSpan())
    assert (read.trace_id.hex(), read.parent_span_id.hex(), read.end_time_unix_nano) == (HEX, "1" * 16, 2**63 - 1)
    values = {pair.key: pair.value for pair in read.attributes}
    assert (values["a"].string_value, values["b"].int_value) == (str(2**70), -(2**63))


def test_a_trace_that_is_not_whole_yet_is_told_apart(home: Home, url: str, ask: Speaker):
    assert ask.get("traces/get", trace_id=TRACE).code == NOT_FOUND
    ask.told("traces", trace=info(trace_metadata={"mlflow.trace.sizeStats": '{"num_spans": 2}'}))
    for count in (0, 1):
        said = ask.get("traces/get", trace_id=TRACE)
        assert said.code == NOT_FOUND and f"{count} of 2 spans" in said.message
        assert len(ask.get("traces/get", trace_id=TRACE, allow_partial=True).body["trace"]["spans"]) == count
        send(url, exported(span(spanId=f"{count + 1:016x}")))
    assert len(ask.get("traces/get", trace_id=TRACE).body["trace"]["spans"]) == 2


def test_traces_are_fetched_together(home: Home, url: str, ask: Speaker):
    send(url, exported(span(), span(traceId="1" * 32)))
    ids = ["tr-" + "1" * 32, "tr-none", TRACE]
    both = ask.get("traces/batchGet", trace_ids=ids).body["traces"]
    assert [one["trace_info"]["trace_id"] for one in both] == [ids[0], TRACE]
    assert [len(one["spans"]) for one in both] == [1, 1]
    infos = ask.told("traces/batchGetInfos", trace_ids=ids)["trace_infos"]
    assert infos == [one["trace_info"] for one in both]
    assert ask.told("traces/batchGetInfos", trace_ids=ids, experiment_ids=["77"]) == {"trace_infos": []}
    assert ask.get("traces/batchGet", trace_ids=["x"] * 501).code == INVALID


def test_a_search_gives_pages(home: Home, url: str, ask: Speaker):
    send(url, exported(*(span(traceId=f"{number:032x}", name=f"n{number}") for number in range(1, 6))))
    place = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]
    page = ask.told("traces/search", locations=place, max_results=3, order_by=["name DESC"], filter="name != 'n5'")
    names = [one["tags"]["mlflow.traceName"] for one in page["traces"]]
    rest = ask.told(
        "traces/search", locations=place, max_results=3, order_by=["name DESC"], filter="name != 'n5'",
        page_token=page["next_page_token"],
    )  # fmt: skip
    assert names + [one["tags"]["mlflow.traceName"] for one in rest["traces"]] == ["n4", "n3", "n2", "n1"]
    assert "next_page_token" not in rest
    for wrong in ({"filter": "colour = 'x'"}, {"max_results": 501}, {"page_token": "x"}, {"order_by": ["x y z"]}):
        assert ask.post("traces/search", locations=place, **wrong).code == INVALID, wrong
    assert ask.post("traces/search", locations=[{"inference_table": {"full_table_name": "x"}}]).code == INVALID


def test_what_cannot_be_a_trace_is_refused(ask: Speaker):
    for wrong, says in (
        ({"trace_id": "../x"}, "id of a trace"), ({"trace_id": ""}, "id of a trace"), ({"state": "DONE"}, "state"),
        ({"request_time": "soon"}, "ISO 8601"), ({"execution_duration": "1h"}, "duration"),
        ({"execution_duration": f"{'9' * 13}s"}, "duration"), ({"tags": {"a//b": "x"}}, "key of a tag"),
        ({"tags": {"a": "x\0"}}, "NUL"), ({"trace_metadata": {"k": 3}}, "trace_metadata"),
        ({"assessments": [{"assessment_name": "x"}]}, "one of feedback"), ({"trace_location": {}}, "mlflow_experiment"),
    ):  # fmt: skip
        said = ask.post("traces", trace=info(**wrong))
        assert said.code == INVALID and says in said.message, (wrong, said)
    assert ask.post("traces", trace=info(experiment_id="77")).code == NOT_FOUND
    assert ask.get(f"traces/{TRACE}").code == NOT_FOUND


def test_tags_are_set_and_taken_away_in_both_apis(home: Home, url: str, ask: Speaker, old: Speaker):
    send(url, exported(span()))
    for speak in (ask, old):
        assert speak("PATCH", f"traces/{TRACE}/tags", {"key": "team", "value": "red"}) == Said(200, {})
        assert ask.get(f"traces/{TRACE}").body["trace"]["trace_info"]["tags"]["team"] == "red"
        assert speak("DELETE", f"traces/{TRACE}/tags", {"key": "team"}) == Said(200, {})
        assert speak("DELETE", f"traces/{TRACE}/tags", {"key": "team"}).code == NOT_FOUND
        assert speak("PATCH", f"traces/{TRACE}/tags", {"key": "mlflow.artifactLocation"}).code == INVALID
        assert speak("PATCH", "traces/tr-none/tags", {"key": "a"}).code == NOT_FOUND


def test_traces_are_linked_and_deleted(home: Home, url: str, ask: Speaker, old: Speaker):
    run = create_run(home)
    send(url, exported(span(), span(traceId="1" * 32)))
    assert old.post("traces/link-to-run", run_id=run.id, trace_ids=[TRACE]) == Said(200, {})
    assert old.post("traces/link-to-run", run_id=run.id, trace_ids=["x"] * 101).code == INVALID
    prompts = [{"name": "p", "version": "1"}]
    assert old.post("traces/link-prompts", trace_id=TRACE, prompt_versions=prompts) == Said(200, {})
    place = [{"mlflow_experiment": {"experiment_id": "0"}}]
    for filter in (f"run_id = '{run.id}'", "prompt = 'p/1'"):
        found = ask.told("traces/search", locations=place, filter=filter)["traces"]
        assert [one["trace_id"] for one in found] == [TRACE], filter
    assert old.post("traces/delete-traces", experiment_id="0").code == INVALID
    assert old.told("traces/delete-traces", experiment_id="0", request_ids=[TRACE]) == {"traces_deleted": 1}
    until = {"max_timestamp_millis": 2_000_000_000_000, "max_traces": 5}
    assert ask.told("traces/delete-traces", experiment_id="0", **until) == {"traces_deleted": 1}


# Assessments


def test_an_assessment_lives_its_whole_life(home: Home, url: str, ask: Speaker):
    send(url, exported(span()))
    place = f"traces/{TRACE}/assessments"
    made = ask.told(place, assessment=assessment(create_time=TIME, metadata={"a": "1"}, span_id=SPAN))["assessment"]
    assert (made["create_time"], made["span_id"], made["valid"]) == (TIME, SPAN, True)
    one = f"{place}/{made['assessment_id']}"
    assert ask.get(one).body["assessment"] == made
    change = {"assessment": {"feedback": {"value": "yes"}, "metadata": {"b": "2"}, "rationale": "left out"}}
    changed = ask("PATCH", one, {**change, "update_mask": "feedback,metadata"}).body["assessment"]
    assert (changed["feedback"], changed["metadata"]) == ({"value": "yes"}, {"a": "1", "b": "2"})
    assert "rationale" not in changed
    named = ask("PATCH", one, {"assessment": {"assessment_name": "new"}, "update_mask": "assessmentName"})
    assert named.body["assessment"]["assessment_name"] == "new"
    other = ask.told(place, assessment=assessment(overrides=made["assessment_id"]))["assessment"]
    assert ask.get(one).body["assessment"]["valid"] is False
    assert ask("DELETE", f"{place}/{other['assessment_id']}") == Said(200, {})
    assert ask.get(one).body["assessment"]["valid"] is True
    assert ask("DELETE", one) == ask("DELETE", one) == Said(200, {})
    assert ask.get(one).code == NOT_FOUND


def written(value: object) -> dict[str, Any]:
    """A value that protocol buffers have no type for, as MLflow's clients write it."""
    return {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": json.dumps(value)}}


@pytest.mark.parametrize("value", ["Paris", "", 3, 0.5, True, None])
def test_a_plain_expectation_comes_back_as_a_value_however_it_was_written(
    home: Home, url: str, ask: Speaker, value: object
):
    send(url, exported(span()))
    for sent in ({"value": value}, written(value)):
        made = ask.told(f"traces/{TRACE}/assessments", assessment={"assessment_name": "e", "expectation": sent})
        assert made["assessment"]["expectation"] == {"value": value}


@pytest.mark.parametrize("value", [[1, {"a": None}], {"a": 1}, [], {}])
def test_an_expectation_of_several_values_comes_back_as_a_text(home: Home, url: str, ask: Speaker, value: object):
    send(url, exported(span()))
    for sent in ({"value": value}, written(value)):
        made = ask.told(f"traces/{TRACE}/assessments", assessment={"assessment_name": "e", "expectation": sent})
        said = made["assessment"]["expectation"]["serialized_value"]
        assert said["serialization_format"] == "JSON_FORMAT"
        assert json.loads(said["value"]) == value
    change = {"assessment": {"expectation": written(["other"])}, "update_mask": "expectation"}
    place = f"traces/{TRACE}/assessments/{made['assessment']['assessment_id']}"
    changed = ask("PATCH", place, change).body["assessment"]["expectation"]
    assert json.loads(changed["serialized_value"]["value"]) == ["other"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"serialization_format": "PICKLE", "value": "1"}, {"serialization_format": "JSON_FORMAT", "value": "{"},
        {"serialization_format": "JSON_FORMAT"}, {"value": "1"}, "1",
        {"serialization_format": "JSON_FORMAT", "value": 1},
        {"serialization_format": "JSON_FORMAT", "value": "[" * 100_000},
    ],
)  # fmt: skip
def test_an_expectation_that_cannot_be_read_is_refused(home: Home, url: str, ask: Speaker, wrong: object):
    send(url, exported(span()))
    sent = {"assessment_name": "e", "expectation": {"serialized_value": wrong}}
    assert ask.post(f"traces/{TRACE}/assessments", assessment=sent).code == INVALID


def test_an_expectation_is_found_by_its_value_however_it_was_written(home: Home, url: str, ask: Speaker):
    send(url, exported(span()))
    sent = {"assessment_name": "fact", "expectation": written("Paris")}
    ask.told(f"traces/{TRACE}/assessments", assessment=sent)
    for city, found in (("Paris", 1), ("Rome", 0)):
        question = {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]}
        said = ask.told("traces/search", **question, filter=f"expectation.fact = '{city}'")
        assert len(said.get("traces", [])) == found


def test_what_cannot_be_an_assessment_is_refused(home: Home, url: str, ask: Speaker):
    send(url, exported(span()))
    place = f"traces/{TRACE}/assessments"
    made = ask.told(place, assessment=assessment())["assessment"]["assessment_id"]
    deep: Any = 1
    for _ in range(80):
        deep = [deep]
    for wrong in (
        {"feedback": None}, {"expectation": {"value": 1}}, {"assessment_name": ""}, {"create_time": "x"},
        {"feedback": {"value": deep}}, {"metadata": {"": "x"}}, {"feedback": 3}, {"assessment_name": "n" * 251},
    ):  # fmt: skip
        assert ask.post(place, assessment=assessment(**wrong)).code == INVALID, wrong
    assert ask.post(place, assessment=assessment(overrides="a-none")).code == NOT_FOUND
    assert ask.post("traces/tr-none/assessments", assessment=assessment()).code == NOT_FOUND
    for mask, sent in (
        ("source", assessment()), ("", assessment()), ("expectation", assessment()), ("feedback", {}),
        ("expectation", {"expectation": {"value": 1}}),
    ):  # fmt: skip
        assert ask("PATCH", f"{place}/{made}", {"assessment": sent, "update_mask": mask}).code == INVALID, mask
    assert len(ask.get(f"traces/{TRACE}").body["trace"]["trace_info"]["assessments"]) == 1


# The file that clients may upload instead


def put(url: str, path: str, body: bytes) -> int:
    return POOL.request("PUT", f"{url}/api/2.0/mlflow-artifacts/artifacts/{path}", body=body).status


def got(url: str, path: str) -> Any:
    answer = POOL.request("GET", f"{url}/api/2.0/mlflow-artifacts/artifacts/{path}")
    return json.loads(answer.data) if answer.status == 200 else answer.status


def file_span(**more: Any) -> dict[str, Any]:
    return {
        "trace_id": base64.b64encode(bytes.fromhex(HEX)).decode(), "parent_span_id": None,
        "span_id": base64.b64encode(bytes.fromhex(SPAN)).decode(), "name": "n", "start_time_unix_nano": AT_NS,
        "end_time_unix_nano": AT_NS + 1, "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {"mlflow.traceRequestId": f'"{TRACE}"', "a": '{"b": [1, 1.5]}', "bare": "no json", "n": 3},
        "events": [{"name": "e", "time_unix_nano": AT_NS, "attributes": {"x": [1]}}],
        "links": [
            {"trace_id": "tr-" + "1" * 32, "span_id": "2" * 16, "attributes": None},
            {"trace_id": "tr-" + "1" * 40, "span_id": "2" * 16, "attributes": None},
        ], **more,
    }  # fmt: skip


def test_a_file_of_spans_is_stored_as_spans_and_read_as_the_file(home: Home, url: str, ask: Speaker):
    ask.told("traces", trace=info())
    place = f"0/traces/{TRACE}/artifacts/traces.json"
    assert got(url, place) == 404
    assert put(url, place, json.dumps({"spans": [file_span()]}).encode()) == 200
    (stored,) = trace_detail(home, TRACE).spans
    assert stored.attributes == {"mlflow.traceRequestId": TRACE, "a": {"b": [1, 1.5]}, "bare": "no json", "n": 3}
    assert (stored.events[0].attributes, len(stored.links)) == ({"x": [1]}, 1)
    assert ask.get(f"traces/{TRACE}").body["trace"]["trace_info"]["tags"]["mlflow.trace.spansLocation"]
    (read,) = got(url, place)["spans"]
    assert {key: read[key] for key in ("trace_id", "span_id", "parent_span_id", "start_time_unix_nano")} == {
        key: file_span()[key] for key in ("trace_id", "span_id", "parent_span_id", "start_time_unix_nano")
    }
    assert json.loads(read["attributes"]["a"]) == {"b": [1, 1.5]}
    assert put(url, place, json.dumps({"spans": [file_span(trace_id=TRACE, span_id=SPAN)]}).encode()) == 200
    assert len(trace_detail(home, TRACE).spans) == 1
    assert list(home.objects.list()) == []  # Spans leave no file behind that nobody names.


def test_a_file_that_is_no_file_of_todays_spans_stays_the_file_it_was(home: Home, url: str, ask: Speaker):
    ask.told("traces", trace=info())
    place = f"0/traces/{TRACE}/artifacts/traces.json"
    of_another = file_span(trace_id=base64.b64encode(b"x" * 16).decode())
    for spans in ([{"name": "old", "context": {}}], [of_another], [file_span(status={"code": "ODD"})], []):
        body = json.dumps({"spans": spans}).encode()
        assert put(url, place, body) == 200
        assert got(url, place) == {"spans": spans}
    for body in (b"{", b"[" * 100_000, b"\xff"):
        assert put(url, place, body) == 200
    assert trace_detail(home, TRACE).spans == ()
    assert put(url, "0/traces/tr-none/artifacts/traces.json", b"{}") == 404


def test_attachments_of_a_trace_are_files(home: Home, url: str, ask: Speaker):
    ask.told("traces", trace=info())
    assert put(url, f"0/traces/{TRACE}/artifacts/attachments/a", b'{"a": 1}') == 200
    assert got(url, f"0/traces/{TRACE}/artifacts/attachments/a") == {"a": 1}
    assert put(url, "0/traces/tr-none/artifacts/attachments/a", b"x") == 404
    run = create_run(home)
    assert put(url, f"0/{run.id}/artifacts/traces.json", b'{"mine": 1}') == 200
    assert got(url, f"0/{run.id}/artifacts/traces.json") == {"mine": 1}


# The second API


def test_a_client_before_three_begins_ends_and_finds_a_trace(home: Home, old: Speaker):
    begun = old.told(
        "traces", experiment_id="0", timestamp_ms=1000, request_metadata=[{"key": "m", "value": "1"}],
        tags=[{"key": "mlflow.traceName", "value": "n"}],
    )["trace_info"]  # fmt: skip
    assert (begun["status"], "execution_time_ms" in begun) == ("IN_PROGRESS", False)
    one = f"traces/{begun['request_id']}"
    ended = old("PATCH", one, {"timestamp_ms": 1250, "status": "OK", "tags": [{"key": "t", "value": "x"}]}).body
    assert (ended["trace_info"]["execution_time_ms"], ended["trace_info"]["status"]) == (250, "OK")
    assert old.get(f"{one}/info").body == ended
    assert {pair["key"] for pair in ended["trace_info"]["tags"]} == {"t", "mlflow.traceName", "mlflow.artifactLocation"}
    found = old.get("traces", experiment_ids=["0"], filter="tags.t = 'x'").body
    assert found == {"traces": [ended["trace_info"]]}
    assert old("PATCH", one, {"timestamp_ms": 1, "status": "DONE"}).code == INVALID
    assert old("PATCH", "traces/tr-none", {"timestamp_ms": 1}).code == NOT_FOUND
    assert old.post("traces", experiment_id="77", timestamp_ms=1).code == NOT_FOUND


def test_clients_learn_a_version_that_they_can_compare(url: str):
    version = pytest.importorskip("packaging.version")
    said = version.Version(POOL.request("GET", f"{url}/version").data.decode())
    assert said >= version.Version("3.4") and said.local.startswith("taut.")
