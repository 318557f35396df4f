"""Traces and spans in MLflow's and OpenTelemetry's JSON: what clients read, and the file they may upload instead."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from taut.errors import Invalid
from taut.faces.mlflow.shapes import SCHEME, Json, pairs_shape
from taut.ground.clock import iso
from taut.runs.traces import (
    NAME_TAG,
    Assessment,
    Span,
    SpanEvent,
    SpanLink,
    SpanStatus,
    Trace,
    TraceDetail,
    is_span,
    is_trace,
)

TRACES_FILE = "traces.json"
JSON_FORMAT = "JSON_FORMAT"  # The one way in which an expectation is written as a text.
LOCATION_TAG = "mlflow.artifactLocation"
SPANS_TAG = "mlflow.trace.spansLocation"
REQUEST_ID = "mlflow.traceRequestId"
INT64 = range(-(2**63), 2**63)
DEPTH_MAX = 64  # Of a value in an attribute; protocol buffers themselves stop at 100.
SPAN_STATUSES: dict[str, SpanStatus] = {
    "STATUS_CODE_UNSET": "UNSET", "STATUS_CODE_OK": "OK", "STATUS_CODE_ERROR": "ERROR",
    "UNSET": "UNSET", "OK": "OK", "ERROR": "ERROR",
}  # fmt: skip


class FileEvent(msgspec.Struct):
    """An event in traces.json."""

    name: str
    time_unix_nano: int
    attributes: dict[str, Any] | None = None


class FileLink(msgspec.Struct):
    """A link in traces.json."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any] | None = None


class FileStatus(msgspec.Struct):
    """How a span ended, in traces.json."""

    code: str
    message: str | None = ""


class FileSpan(msgspec.Struct):
    """A span in traces.json: ids in base64, the values of attributes as JSON in text."""

    trace_id: str
    span_id: str
    name: str
    start_time_unix_nano: int
    status: FileStatus
    attributes: dict[str, Any]
    parent_span_id: str | None = None
    end_time_unix_nano: int | None = None
    events: list[FileEvent] = []
    links: list[FileLink] = []


class File(msgspec.Struct):
    """traces.json."""

    spans: list[FileSpan]


def trace_shape(trace: Trace) -> Json:
    """A trace without its spans."""
    shape: Json = {
        "trace_id": trace.id, "trace_location": location_shape(trace.experiment_id), "request_time": iso(trace.at_ms),
        "state": trace.state, "trace_metadata": trace.metadata, "tags": tags_shape(trace),
        "assessments": [assessment_shape(one) for one in trace.assessments],
    }  # fmt: skip
    if trace.duration_ms is not None:
        shape["execution_duration"] = duration_text(trace.duration_ms)
    told = ("client_request_id", "request_preview", "response_preview")
    return {**shape, **{name: getattr(trace, name) for name in told if getattr(trace, name)}}


def old_trace_shape(trace: Trace) -> Json:
    """A trace without its spans, for clients before 3.0."""
    state = "TRACE_STATUS_UNSPECIFIED" if trace.state == "STATE_UNSPECIFIED" else trace.state
    shape: Json = {
        "request_id": trace.id, "experiment_id": trace.experiment_id, "timestamp_ms": trace.at_ms, "status": state,
        "request_metadata": pairs_shape(trace.metadata), "tags": pairs_shape(tags_shape(trace)),
    }  # fmt: skip
    return shape if trace.duration_ms is None else {**shape, "execution_time_ms": trace.duration_ms}


def tags_shape(trace: Trace) -> dict[str, str]:
    """The tags of a trace with those that MLflow keeps there and taut knows by itself.

    A client that finds no place of spans uploads them as a file, and looks for that file when it reads.
    """
    known = {LOCATION_TAG: SCHEME + trace.artifact_root}
    if trace.name:
        known[NAME_TAG] = trace.name
    if trace.has_spans:
        known[SPANS_TAG] = "TRACKING_STORE"
    return {**trace.tags, **known}


def location_shape(experiment_id: str) -> Json:
    """Where a trace is."""
    return {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}


def assessment_shape(assessment: Assessment) -> Json:
    """An assessment."""
    shape: Json = {
        "assessment_id": assessment.id, "assessment_name": assessment.name, "trace_id": assessment.trace_id,
        "source": {"source_type": assessment.source_type, "source_id": assessment.source_id},
        "create_time": iso(assessment.created_ms), "last_update_time": iso(assessment.updated_ms),
        assessment.kind: _content_shape(assessment), "metadata": assessment.metadata, "valid": assessment.valid,
    }  # fmt: skip
    told = ("span_id", "rationale", "overrides")
    return {**shape, **{name: getattr(assessment, name) for name in told if getattr(assessment, name)}}


def _content_shape(assessment: Assessment) -> Json:
    """What an assessment says; MLflow writes the value of an expectation as a text where it is a list or an object."""
    value = assessment.content.get("value")
    if assessment.kind != "expectation" or not isinstance(value, list | dict):
        return assessment.content
    written = msgspec.json.encode(value).decode()
    return {"serialized_value": {"serialization_format": JSON_FORMAT, "value": written}}


def detail_shape(detail: TraceDetail) -> Json:
    """A trace with its spans, as protocol buffers write them in JSON."""
    return {"trace_info": trace_shape(detail.trace), "spans": [span_shape(span) for span in detail.spans]}


def span_shape(span: Span) -> Json:
    """A span as OpenTelemetry's protocol buffer writes it in JSON: ids in base64."""
    shape: Json = {
        "trace_id": _base64(span.trace_id.removeprefix("tr-")), "span_id": _base64(span.id), "name": span.name,
        "kind": span.kind, "start_time_unix_nano": span.start_ns, "end_time_unix_nano": span.end_ns,
        "status": {"code": f"STATUS_CODE_{span.status}", "message": span.message},
        "attributes": _keyed(span.attributes),
        "events": [
            {"name": one.name, "time_unix_nano": one.at_ns, "attributes": _keyed(one.attributes)} for one in span.events
        ],
        "links": [
            {
                "trace_id": _base64(one.trace_id.removeprefix("tr-")), "span_id": _base64(one.span_id),
                "attributes": _keyed(one.attributes),
            }
            for one in span.links
        ],
    }  # fmt: skip
    return {**shape, "parent_span_id": _base64(span.parent)} if span.parent else shape


def file_of_spans(spans: Sequence[Span]) -> bytes:
    """traces.json: the spans as clients that keep them as a file read them."""
    return msgspec.json.encode({"spans": [_file_span(span) for span in spans]})


def spans_of_file(trace_id: str, data: bytes) -> list[Span]:
    """The spans of a traces.json. Raises Invalid where it is none of today's, or of another trace."""
    try:
        file = msgspec.json.decode(data, type=File, strict=False)
        spans = [_span_of(one) for one in file.spans]
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        raise Invalid(f"{TRACES_FILE} cannot be read: {problem}") from None
    if any(span.trace_id != trace_id for span in spans):
        raise Invalid(f"{TRACES_FILE} has spans of another trace than {trace_id}")
    return spans


def duration_text(milliseconds: int) -> str:
    """A duration as protocol buffers write it.

    >>> duration_text(1234), duration_text(-5)
    ('1.234s', '-0.005s')
    """
    sign = "-" if milliseconds < 0 else ""
    return f"{sign}{abs(milliseconds) // 1000}.{abs(milliseconds) % 1000:03d}s"


def checked_depth(value: Any, depth: int = 0) -> Any:
    """A value of an attribute as it is. Raises Invalid where it is nested too deep."""
    if depth > DEPTH_MAX:
        raise Invalid(f"the value of an attribute is nested deeper than {DEPTH_MAX}")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        checked_depth(part, depth + 1)
    return value


def _keyed(attributes: Mapping[str, Any]) -> list[Json]:
    return [{"key": key, "value": _any_value(value)} for key, value in attributes.items()]


def _any_value(value: Any) -> Json:
    """A plain value as OpenTelemetry's AnyValue."""
    match value:
        case None:
            return {}
        case bool():
            return {"bool_value": value}
        case int():
            return {"int_value": value} if value in INT64 else {"string_value": str(value)}
        case float():
            return {"double_value": value}
        case str():
            return {"string_value": value}
        case dict():
            return {"kvlist_value": {"values": _keyed(value)}}
        case _:
            return {"array_value": {"values": [_any_value(part) for part in value]}}


def _file_span(span: Span) -> Json:
    attributes = {key: msgspec.json.encode(value).decode() for key, value in span.attributes.items()}
    attributes[REQUEST_ID] = msgspec.json.encode(span.trace_id).decode()
    return {
        "trace_id": _base64(span.trace_id.removeprefix("tr-")), "span_id": _base64(span.id),
        "parent_span_id": _base64(span.parent) if span.parent else None, "name": span.name,
        "start_time_unix_nano": span.start_ns, "end_time_unix_nano": span.end_ns,
        "status": {"code": f"STATUS_CODE_{span.status}", "message": span.message}, "attributes": attributes,
        "events": [
            {"name": one.name, "time_unix_nano": one.at_ns, "attributes": one.attributes} for one in span.events
        ],
        "links": [
            {"trace_id": one.trace_id, "span_id": one.span_id, "attributes": one.attributes} for one in span.links
        ],
    }  # fmt: skip


def _span_of(sent: FileSpan) -> Span:
    if sent.status.code not in SPAN_STATUSES:
        raise ValueError(f"a span cannot have ended as {sent.status.code[:40]!r}")
    return Span(
        f"tr-{_hex(sent.trace_id)}", _hex(sent.span_id), sent.name, sent.start_time_unix_nano,
        sent.end_time_unix_nano or 0, _hex(sent.parent_span_id or ""), 0, SPAN_STATUSES[sent.status.code],
        sent.status.message or "", {key: _loaded(value) for key, value in sent.attributes.items()},
        tuple(SpanEvent(one.name, one.time_unix_nano, checked_depth(one.attributes or {})) for one in sent.events),
        tuple(link for one in sent.links if (link := _link_of(one)) is not None),
    )  # fmt: skip


def _link_of(sent: FileLink) -> SpanLink | None:
    """A link; None for one to ids that are wider than OpenTelemetry's, which clients leave out too."""
    trace_id = sent.trace_id.rpartition("/")[2].removeprefix("tr-").rjust(32, "0")
    link = SpanLink(f"tr-{trace_id}", sent.span_id.rjust(16, "0"), checked_depth(sent.attributes or {}))
    return link if is_trace(link.trace_id) and is_span(link.span_id) else None


def _loaded(written: Any) -> Any:
    """The value of an attribute in traces.json: JSON in text, or what it is."""
    if isinstance(written, str):
        try:
            return checked_depth(msgspec.json.decode(written))
        except msgspec.DecodeError:
            return written
    return checked_depth(written)


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def _hex(written: str) -> str:
    """The hexadecimal digits of an id in base64, or of one that is written so: 3.5 had its own way."""
    plain = written.removeprefix("tr-")
    if len(plain) in {16, 32} and not plain.strip("0123456789abcdef"):
        return plain
    return base64.b64decode(written, validate=True).hex()
