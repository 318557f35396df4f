"""OpenTelemetry's protocol over HTTP (OTLP 1.x): spans in protocol buffers or JSON, as they are or compressed."""

import math
import zlib
from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from taut.errors import Invalid
from taut.faces.http.reading import BODY_BYTES_MAX, read_body
from taut.faces.mlflow.errors import coded_answer
from taut.faces.mlflow.spans import DEPTH_MAX
from taut.home import Home
from taut.runs.experiments import DEFAULT_ID
from taut.runs.traces import Span, SpanEvent, SpanLink, SpanStatus, link_traces, log_spans

PROTOBUF, JSON = "application/x-protobuf", "application/json"
KINDS = range(6)  # Of spans, in OpenTelemetry's order: unspecified, internal, server, client, producer, consumer.
STATUSES: dict[int, SpanStatus] = {1: "OK", 2: "ERROR"}
# MLflow's clients look for the first words; they keep the spans as a file then.
NO_PROTOBUF = "REST OTLP span logging is not supported in protocol buffers here: pip install 'taut[mlflow]'"


class AnyValue(msgspec.Struct, rename="camel"):
    """A value in OTLP/JSON: one of these is set, or none."""

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | str | None = None
    bytes_value: str | None = None
    array_value: "ArrayValue | None" = None
    kvlist_value: "KeyValueList | None" = None


class KeyValue(msgspec.Struct):
    """An attribute."""

    key: str
    value: AnyValue | None = None


class ArrayValue(msgspec.Struct):
    """Values."""

    values: list[AnyValue] = []


class KeyValueList(msgspec.Struct):
    """Named values."""

    values: list[KeyValue] = []


class Event(msgspec.Struct, rename="camel"):
    """An event of a span."""

    name: str = ""
    time_unix_nano: int = 0
    attributes: list[KeyValue] = []


class Link(msgspec.Struct, rename="camel"):
    """A link of a span."""

    trace_id: str
    span_id: str
    attributes: list[KeyValue] = []


class Status(msgspec.Struct):
    """How a span ended."""

    code: int = 0
    message: str = ""


class SentSpan(msgspec.Struct, rename="camel"):
    """A span; ids are hexadecimal, in either case."""

    trace_id: str
    span_id: str
    parent_span_id: str = ""
    name: str = ""
    kind: int = 0
    start_time_unix_nano: int = 0
    end_time_unix_nano: int = 0
    attributes: list[KeyValue] = []
    events: list[Event] = []
    links: list[Link] = []
    status: Status = msgspec.field(default_factory=Status)


class Scope(msgspec.Struct):
    """The library that made spans."""

    name: str = ""
    version: str = ""


class ScopeSpans(msgspec.Struct, rename="camel"):
    """Spans of one library."""

    spans: list[SentSpan] = []
    scope: Scope = msgspec.field(default_factory=Scope)


class Resource(msgspec.Struct):
    """The process that spans come from."""

    attributes: list[KeyValue] = []


class ResourceSpans(msgspec.Struct, rename="camel"):
    """Spans of one process."""

    scope_spans: list[ScopeSpans] = []
    resource: Resource = msgspec.field(default_factory=Resource)


class ExportRequest(msgspec.Struct, rename="camel"):
    """ExportTraceServiceRequest."""

    resource_spans: list[ResourceSpans] = []


async def export(home: Home, request: Request) -> Response:
    """Store spans; `x-mlflow-experiment-id` says where, else they go where clients log that chose nothing."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (PROTOBUF, JSON):
        raise Invalid(f"spans come as {PROTOBUF} or {JSON}, not as {media_type[:80]!r}")
    body = await read_body(request)
    if media_type == PROTOBUF and not _has_protobuf():
        return coded_answer("NOT_IMPLEMENTED", NO_PROTOBUF, 501)
    experiment_id = request.headers.get("x-mlflow-experiment-id", DEFAULT_ID)
    run_id = request.headers.get("x-mlflow-run-id", "")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    await run_in_threadpool(_take, home, body, encoding, media_type, experiment_id, run_id)
    # An ExportTraceServiceResponse that has nothing to say is empty, in both ways of writing it.
    return Response(b"" if media_type == PROTOBUF else b"{}", media_type=media_type)


def _take(home: Home, body: bytes, encoding: str, media_type: str, experiment_id: str, run_id: str) -> None:
    data = _decompressed(body, encoding)
    spans = spans_of_json(data) if media_type == JSON else spans_of_protobuf(data)
    log_spans(home, experiment_id, spans)
    if run_id:
        roots = list(dict.fromkeys(span.trace_id for span in spans if not span.parent))
        for start in range(0, len(roots), 100):
            link_traces(home, roots[start : start + 100], run_id)


def spans_of_json(data: bytes) -> list[Span]:
    """The spans of a request in OTLP/JSON. Raises Invalid."""
    try:
        asked = msgspec.json.decode(data, type=ExportRequest, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        raise Invalid(f"the spans cannot be read as OTLP/JSON: {problem}") from None
    return _spans(asked.resource_spans, _id_of_text, _value_of_json)


def spans_of_protobuf(data: bytes) -> list[Span]:
    """The spans of a request in protocol buffers. Raises Invalid."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    asked = ExportTraceServiceRequest()
    try:
        asked.ParseFromString(data)
    except DecodeError:
        raise Invalid("the spans cannot be read as an ExportTraceServiceRequest of protocol buffers") from None
    return _spans(asked.resource_spans, bytes.hex, _value_of_protobuf)


def _has_protobuf() -> bool:
    from importlib.util import find_spec

    try:
        return find_spec("opentelemetry.proto.collector.trace.v1") is not None
    except ModuleNotFoundError:
        return False


def _decompressed(body: bytes, encoding: str) -> bytes:
    """The body of a request. Raises Invalid for what cannot be unpacked, and for more than a body may be."""
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "deflate"):
        raise Invalid(f"spans may be compressed by gzip or deflate, not by {encoding[:40]!r}")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # Either kind of head is found.
    try:
        data = unpacker.decompress(body, BODY_BYTES_MAX + 1)
    except zlib.error:
        raise Invalid(f"the body is not compressed by {encoding}") from None
    if len(data) > BODY_BYTES_MAX:
        raise Invalid(f"the spans are larger than {BODY_BYTES_MAX} bytes", hint="send fewer at once")
    if not unpacker.eof or unpacker.unused_data:
        raise Invalid(f"the body is cut off or has more than one part: it must be one stream of {encoding}")
    return data


def _spans(sent: Iterable[Any], id_of: Any, value_of: Any) -> list[Span]:
    """The records of spans that were sent; both ways of writing them have the same fields."""
    spans = []
    for process in sent:
        resource = _attributes(process.resource.attributes, value_of)
        for library in process.scope_spans:
            made_by = {
                key: one
                for key, one in (("otel.scope.name", library.scope.name), ("otel.scope.version", library.scope.version))
                if one
            }
            spans += [_span(one, resource, made_by, id_of, value_of) for one in library.spans]
    return spans


def _span(one: Any, resource: dict[str, Any], made_by: dict[str, str], id_of: Any, value_of: Any) -> Span:
    code, parent = one.status.code, id_of(one.parent_span_id)
    return Span(
        f"tr-{id_of(one.trace_id)}", id_of(one.span_id), one.name, one.start_time_unix_nano, one.end_time_unix_nano,
        parent if parent.strip("0") else "", one.kind if one.kind in KINDS else 0, STATUSES.get(code, "UNSET"),
        one.status.message, {**_attributes(one.attributes, value_of), **made_by},
        tuple(
            SpanEvent(event.name, event.time_unix_nano, _attributes(event.attributes, value_of)) for event in one.events
        ),
        tuple(
            SpanLink(f"tr-{id_of(link.trace_id)}", id_of(link.span_id), _attributes(link.attributes, value_of))
            for link in one.links
        ),
        resource,
    )  # fmt: skip


def _attributes(pairs: Iterable[Any], value_of: Any) -> dict[str, Any]:
    return {pair.key: value_of(pair.value, 0) for pair in pairs}


def _id_of_text(written: str) -> str:
    return written.lower()


def _value_of_json(value: AnyValue | None, depth: int) -> Any:
    """The plain value that was sent; bytes stay in base64."""
    _check_depth(depth)
    if value is None:
        return None
    if value.array_value is not None:
        return [_value_of_json(part, depth + 1) for part in value.array_value.values]
    if value.kvlist_value is not None:
        return {pair.key: _value_of_json(pair.value, depth + 1) for pair in value.kvlist_value.values}
    if value.double_value is not None:
        try:
            return _number(float(value.double_value))
        except ValueError:
            raise Invalid(f"{str(value.double_value)[:40]!r} is no doubleValue") from None
    plain = (value.string_value, value.bool_value, value.int_value, value.bytes_value)
    return next((one for one in plain if one is not None), None)


def _value_of_protobuf(value: Any, depth: int) -> Any:
    _check_depth(depth)
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return None
        case "array_value":
            return [_value_of_protobuf(part, depth + 1) for part in value.array_value.values]
        case "kvlist_value":
            return {pair.key: _value_of_protobuf(pair.value, depth + 1) for pair in value.kvlist_value.values}
        case "bytes_value":
            import base64

            return base64.b64encode(value.bytes_value).decode()
        case "double_value":
            return _number(value.double_value)
        case _:
            return getattr(value, kind, None)


def _check_depth(depth: int) -> None:
    if depth > DEPTH_MAX:
        raise Invalid(f"the value of an attribute is nested deeper than {DEPTH_MAX}")


def _number(value: float) -> float | str:
    """A number, as the word for it where JSON has none."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
