"""Laws of traces: orders and repeats change nothing, searches agree with memory, every wire says the same."""

import base64
import itertools
import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.faces.mlflow.otlp import spans_of_json, spans_of_protobuf
from taut.faces.mlflow.spans import duration_text, file_of_spans, span_shape, spans_of_file
from taut.faces.mlflow.traces import _milliseconds
from taut.ground.access import Actor
from taut.ground.clock import SetClock
from taut.ground.settings import Settings, make_folder
from taut.home import Home, open_home
from taut.runs import create_experiment
from taut.runs.filters import TRACE_ENTITIES, all_of, matches, parse_filter
from taut.runs.traces import (
    Assessment,
    Span,
    SpanEvent,
    SpanLink,
    SpanStatus,
    State,
    Trace,
    assess_trace,
    delete_traces,
    log_spans,
    page_of_traces,
    start_trace,
    trace_detail,
)
from tests.marks import POSTGRESQL_SLOW

AT_MS = 1_700_000_000_000
MS = 1_000_000
TRACE = "tr-" + "5" * 32
STATUSES: tuple[SpanStatus, ...] = ("UNSET", "OK", "ERROR")


@pytest.fixture(scope="module", params=POSTGRESQL_SLOW)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One home for all examples of this file: each works in an experiment of its own."""
    folder: Path = tmp_path_factory.mktemp("laws")
    with ExitStack() as stack:
        lent = request.param == "postgresql" and request.getfixturevalue("postgres_databases").lent()
        make_folder(folder, Settings(metadata=stack.enter_context(lent) if lent else ""))
        yield stack.enter_context(open_home(folder, actor=Actor("ada", "owner"), clock=SetClock(AT_MS)))


def fresh(home: Home, numbers: list[int] = [0]) -> str:  # noqa: B006  # A counter that outlives the call.
    """The id of an experiment that no other example has."""
    numbers[0] += 1
    return create_experiment(home, f"laws {numbers[0]}").id


# Spans in any order


def span(number: int, parent: int, start: int, length: int, status: SpanStatus) -> Span:
    return Span(
        TRACE, f"{number:016x}", f"s{number}", (AT_MS + start) * MS, (AT_MS + start + length) * MS,
        f"{parent:016x}" if parent else "", status=status,
        attributes={"mlflow.spanInputs": number, "session.id": "s"},
    )  # fmt: skip


@st.composite
def trees(draw: st.DrawFn) -> list[Span]:
    """One root, and spans below any that were made before."""
    count = draw(st.integers(1, 7))
    made = []
    for number in range(1, count + 1):
        parent = draw(st.integers(1, number - 1)) if number > 1 else 0
        status: SpanStatus = draw(st.sampled_from(STATUSES))
        made.append(span(number, parent, draw(st.integers(-50, 50)), draw(st.integers(0, 90)), status))
    return made


@given(st.data())
def test_however_spans_are_cut_into_requests_mixed_and_repeated_the_trace_is_the_same(home: Home, data: st.DataObject):
    spans = data.draw(trees())
    mixed = data.draw(st.permutations(spans + data.draw(st.lists(st.sampled_from(spans), max_size=3))))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(mixed)), max_size=3)) | {0, len(mixed)})
    place = fresh(home)
    for start, end in itertools.pairwise(cuts):
        log_spans(home, place, mixed[start:end])
    detail = trace_detail(home, TRACE)
    delete_traces(home, place, trace_ids=[TRACE])
    root = spans[0]
    assert {one.id: one for one in detail.spans} == {one.id: one for one in spans}
    assert len(detail.spans) == len(spans) and detail.spans[0] == root
    starts, ends = [one.start_ns // MS for one in spans], [one.end_ns // MS for one in spans]
    assert (detail.trace.at_ms, detail.trace.duration_ms) == (min(starts), max(ends) - min(starts))
    assert detail.trace.state == ("ERROR" if root.status == "ERROR" else "OK")
    assert (detail.trace.name, detail.trace.request_preview) == ("s1", "1")


@given(st.data())
def test_a_description_means_the_same_wherever_it_comes_between_the_spans(home: Home, data: st.DataObject):
    spans = data.draw(trees())
    place = fresh(home)
    told = Trace(TRACE, place, 5, 7, "ERROR", data.draw(st.sampled_from(["", "told"])), metadata={"m": "1"})
    after = data.draw(st.integers(0, len(spans)))
    for number, one in enumerate(spans):
        if number == after:
            start_trace(home, told)
        log_spans(home, place, [one])
    if after == len(spans):
        start_trace(home, told)
    trace = trace_detail(home, TRACE).trace
    delete_traces(home, place, trace_ids=[TRACE])
    assert (trace.at_ms, trace.duration_ms, trace.state, trace.name) == (5, 7, "ERROR", told.name or "s1")
    assert trace.metadata == {"m": "1", "mlflow.trace.session": "s"} and trace.request_preview == "1"


# Searches


@dataclass(frozen=True)
class Known:
    """A trace as memory has it."""

    number: int
    state: State
    name: str | None
    duration_ms: int | None
    tag: str | None
    value: str | float | None


WORDS = ["red", "Red", "r%d", "r_d", "it's", 'say "no"', "ünï", "a\nb", "r", ""]
PATTERNS = ["red", "r%", "%d", "r_d", "%'%", '%"%', "%", "_", "[r]ed", "r*d", "\\"]
words = st.sampled_from([word for word in WORDS if word])
known_traces = st.builds(
    Known, number=st.integers(1, 10**6), state=st.sampled_from(["OK", "ERROR", "IN_PROGRESS"]),
    name=words | st.none(), duration_ms=st.integers(0, 20) | st.none(), tag=st.sampled_from(WORDS) | st.none(),
    value=words | st.sampled_from([0.5, 1.0, 2.0]) | st.none(),
)  # fmt: skip


def quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def text_conditions(key: str) -> st.SearchStrategy[str]:
    compared = st.builds(lambda sign, value: f"{key} {sign} {quoted(value)}", st.sampled_from(["=", "!="]), words)
    liked = st.builds(
        lambda sign, value: f"{key} {sign} {quoted(value)}",
        st.sampled_from(["LIKE", "ILIKE"]),
        st.sampled_from(PATTERNS),
    )
    listed = st.builds(
        lambda sign, some: f"{key} {sign} ({', '.join(map(quoted, some))})", st.sampled_from(["IN", "NOT IN"]),
        st.lists(words, min_size=1, max_size=3),
    )  # fmt: skip
    return compared | liked | listed | st.sampled_from([f"{key} IS NULL", f"{key} IS NOT NULL"])


def number_conditions(key: str) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
    return st.builds(lambda sign, value: f"{key} {sign} {value}", signs, st.sampled_from([0, 1, 5, 10.5, 20, -3]))


conditions = (
    text_conditions("name") | text_conditions("tags.kind") | number_conditions("execution_time_ms")
    | st.sampled_from(["status = 'OK'", "status != 'OK'", "status IN ('ERROR', 'IN_PROGRESS')"])
)  # fmt: skip
FOUND: dict[str, Callable[[Known], str | float | None]] = {
    "name": lambda one: one.name,
    "kind": lambda one: one.tag,
    "status": lambda one: one.state,
    "execution_time_ms": lambda one: None if one.duration_ms is None else float(one.duration_ms),
}


@given(
    st.lists(known_traces, max_size=6, unique_by=lambda one: one.number), st.lists(conditions, min_size=1, max_size=3)
)
def test_a_search_finds_what_memory_says_it_should(home: Home, traces: list[Known], asked: list[str]):
    place = fresh(home)
    for one in traces:
        tags = {} if one.tag is None else {"kind": one.tag}
        trace = Trace(f"tr-{one.number}-{place}", place, AT_MS + one.number, one.duration_ms, one.state)
        start_trace(home, replace(trace, name=one.name or "", tags=tags))
    filter = " AND ".join(asked)
    page = page_of_traces(home, [place], filter=filter)
    comparisons = all_of(parse_filter(filter, TRACE_ENTITIES))
    wanted = [one for one in traces if all(matches(each, FOUND[each.key](one)) for each in comparisons)]
    wanted.sort(key=lambda one: -one.number)
    assert [trace.id for trace in page.traces] == [f"tr-{one.number}-{place}" for one in wanted], filter


@given(st.lists(known_traces, max_size=6, unique_by=lambda one: one.number), number_conditions("feedback.f"))
def test_feedback_that_is_a_number_is_compared_as_one(home: Home, traces: list[Known], asked: str):
    place = fresh(home)
    for one in traces:
        trace_id = f"tr-{one.number}-{place}"
        start_trace(home, Trace(trace_id, place, AT_MS + one.number))
        if one.value is not None:
            assess_trace(home, Assessment("", trace_id, "f", "feedback", {"value": one.value}))
    found = {trace.id for trace in page_of_traces(home, [place], filter=asked).traces}
    (comparison,) = all_of(parse_filter(asked, TRACE_ENTITIES))
    wanted = [one for one in traces if isinstance(one.value, float) and matches(comparison, one.value)]
    assert found == {f"tr-{one.number}-{place}" for one in wanted}


# Wires

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
numbers = st.floats(allow_nan=True, allow_infinity=True)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | numbers | texts | st.binary(max_size=5)
values = st.recursive(
    scalars, lambda inside: st.lists(inside, max_size=3) | st.dictionaries(texts, inside, max_size=3), max_leaves=6
)
attributes = st.dictionaries(texts, values, max_size=4)
moments = st.integers(0, 2**63 - 1)
ids = st.integers(1, 2**64 - 1).map(lambda number: f"{number:016x}")


@st.composite
def sent_spans(draw: st.DrawFn) -> dict[str, Any]:
    """A span in neither way of writing it."""
    return {
        "trace": f"{draw(st.integers(1, 2**128 - 1)):032x}", "id": draw(ids), "parent": draw(st.just("") | ids),
        "name": draw(texts), "kind": draw(st.integers(0, 5)), "start": draw(moments), "end": draw(moments),
        "attributes": draw(attributes), "code": draw(st.integers(0, 2)), "message": draw(texts),
        "events": draw(st.lists(st.tuples(texts, moments, attributes), max_size=2)),
        "links": draw(st.lists(st.tuples(ids, attributes), max_size=2)), "resource": draw(attributes),
    }  # fmt: skip


def in_json(sent: dict[str, Any]) -> bytes:
    one = {
        "traceId": sent["trace"], "spanId": sent["id"], "parentSpanId": sent["parent"], "name": sent["name"],
        "kind": sent["kind"], "startTimeUnixNano": str(sent["start"]), "endTimeUnixNano": str(sent["end"]),
        "attributes": pairs(sent["attributes"]), "status": {"code": sent["code"], "message": sent["message"]},
        "events": [
            {"name": name, "timeUnixNano": str(at), "attributes": pairs(more)} for name, at, more in sent["events"]
        ],
        "links": [
            {"traceId": sent["trace"], "spanId": span_id, "attributes": pairs(more)} for span_id, more in sent["links"]
        ],
    }  # fmt: skip
    process = {"resource": {"attributes": pairs(sent["resource"])}, "scopeSpans": [{"spans": [one]}]}
    return json.dumps({"resourceSpans": [process]}).encode()


def pairs(given: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": any_value(value)} for key, value in given.items()]


def any_value(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value if math.isfinite(value) else words_for(value)}
        case str():
            return {"stringValue": value}
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
        case dict():
            return {"kvlistValue": {"values": pairs(value)}}
        case _:
            return {"arrayValue": {"values": [any_value(part) for part in value]}}


def words_for(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def in_protobuf(sent: dict[str, Any]) -> bytes:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    asked = ExportTraceServiceRequest()
    process = asked.resource_spans.add()
    fill(process.resource.attributes, sent["resource"])
    one = process.scope_spans.add().spans.add(
        trace_id=bytes.fromhex(sent["trace"]), span_id=bytes.fromhex(sent["id"]), name=sent["name"],
        parent_span_id=bytes.fromhex(sent["parent"]), kind=sent["kind"], start_time_unix_nano=sent["start"],
        end_time_unix_nano=sent["end"],
    )  # fmt: skip
    one.status.code, one.status.message = sent["code"], sent["message"]
    fill(one.attributes, sent["attributes"])
    for name, at, more in sent["events"]:
        fill(one.events.add(name=name, time_unix_nano=at).attributes, more)
    for span_id, more in sent["links"]:
        fill(one.links.add(trace_id=one.trace_id, span_id=bytes.fromhex(span_id)).attributes, more)
    written: bytes = asked.SerializeToString()
    return written


def fill(attributes: Any, given: dict[str, Any]) -> None:
    for key, value in given.items():
        fill_value(attributes.add(key=key).value, value)


def fill_value(into: Any, value: Any) -> None:
    match value:
        case None:
            into.SetInParent()
        case bool():
            into.bool_value = value
        case int():
            into.int_value = value
        case float():
            into.double_value = value
        case str():
            into.string_value = value
        case bytes():
            into.bytes_value = value
        case dict():
            into.kvlist_value.SetInParent()
            fill(into.kvlist_value.values, value)
        case _:
            into.array_value.SetInParent()
            for part in value:
                fill_value(into.array_value.values.add(), part)


@given(sent_spans())
def test_both_ways_of_writing_a_span_say_the_same(sent: dict[str, Any]):
    pytest.importorskip("opentelemetry.proto")
    assert spans_of_json(in_json(sent)) == spans_of_protobuf(in_protobuf(sent))


@given(sent_spans())
def test_what_clients_read_in_protocol_buffers_is_the_span_that_is_stored(sent: dict[str, Any]):
    json_format = pytest.importorskip("google.protobuf.json_format")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    (stored,) = spans_of_json(in_json(sent))
    asked = ExportTraceServiceRequest()
    json_format.ParseDict(span_shape(stored), asked.resource_spans.add().scope_spans.add().spans.add())
    (read,) = spans_of_protobuf(asked.SerializeToString())
    assert read == replace(stored, resource={})


@given(sent_spans())
def test_a_file_of_spans_is_read_as_the_spans_it_was_written_from(sent: dict[str, Any]):
    (stored,) = spans_of_json(in_json(sent))
    (read,) = spans_of_file(stored.trace_id, file_of_spans([stored]))
    assert read.attributes.pop("mlflow.traceRequestId") == stored.trace_id
    stored.attributes.pop("mlflow.traceRequestId", None)
    assert read == replace(stored, resource={}, kind=0)


@given(st.integers(-(10**14), 10**14))
def test_a_duration_is_read_as_it_was_written(milliseconds: int):
    assert _milliseconds(duration_text(milliseconds)) == milliseconds


def test_events_and_links_are_compared_by_these_laws():
    (stored,) = spans_of_json(in_json({
        "trace": "1" * 32, "id": "2" * 16, "parent": "", "name": "n", "kind": 1, "start": 1, "end": 2, "attributes": {},
        "code": 1, "message": "", "events": [("e", 3, {"a": 1})], "links": [("4" * 16, {"b": [b"x"]})], "resource": {},
    }))  # fmt: skip
    assert stored.events == (SpanEvent("e", 3, {"a": 1}),)
    assert stored.links == (SpanLink("tr-" + "1" * 32, "4" * 16, {"b": ["eA=="]}),)
