"""Traces of the server itself in OpenTelemetry, where an endpoint for them is set; nothing is imported before."""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from taut.errors import UsageError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

Scope = Mapping[str, Any]  # As ASGI defines it.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
FLUSHED_WITHIN_MS = 5_000


class Tracing:
    """Begins a span for each request, as a child of the caller's where it sent a `traceparent` (W3C Trace Context)."""

    def __init__(self, exporter: "SpanExporter", tracer: str = "taut.faces.http") -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        from taut import __version__

        named = {"service.name": "taut", "service.version": __version__}
        self._provider = TracerProvider(resource=Resource.create(named))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer: Tracer = self._provider.get_tracer(tracer, __version__)
        self._context = TraceContextTextMapPropagator()
        self._kind = SpanKind.SERVER
        self._error = StatusCode.ERROR

    def begin(self, scope: Scope) -> "Traced":
        """A span for this request."""
        carrier = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in TRACE_HEADERS}
        context = self._context.extract(carrier) if carrier else None
        attributes = {"http.request.method": scope["method"], "url.path": scope["path"], "url.scheme": scope["scheme"]}
        span = self._tracer.start_span(scope["method"], context=context, kind=self._kind, attributes=attributes)
        return Traced(span)

    def note(
        self, name: str, headers: Mapping[bytes, bytes], *, took_s: float, status: int, attributes: Mapping[str, Any]
    ) -> None:
        """A span of a request that was just answered, begun `took_s` ago."""
        context = None
        if b"traceparent" in headers:
            carrier = {one.decode(): headers[one].decode("latin-1") for one in TRACE_HEADERS if one in headers}
            context = self._context.extract(carrier)
        ended_ns = time.time_ns()
        span = self._tracer.start_span(
            name, context=context, kind=self._kind, attributes=attributes, start_time=ended_ns - int(took_s * 1e9)
        )
        if status >= 500:
            span.set_status(self._error)
        span.end(ended_ns)

    def close(self) -> None:
        """Send what is left."""
        self._provider.force_flush(FLUSHED_WITHIN_MS)
        self._provider.shutdown()


TRACE_HEADERS = frozenset({b"traceparent", b"tracestate"})


class Traced:
    """The span of one request."""

    def __init__(self, span: "Span") -> None:
        self._span = span

    def end(self, scope: Scope, status: int) -> None:
        """End it, under the name of its route; an answer of 500 and above is an error (HTTP semantic conventions)."""
        from opentelemetry.trace import StatusCode

        span: Any = self._span
        route = scope.get("taut.route", "")
        if route:
            span.update_name(f"{scope['method']} {route}")
            span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()


def tracing_of_environment(tracer: str = "taut.faces.http") -> Tracing | None:
    """Tracing to where OpenTelemetry's own variables say, None where they name no endpoint or switch it off.

    Raises UsageError where they ask for it and the extra is not installed.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or not any(map(os.environ.get, ENDPOINTS)):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise UsageError(f"{ENDPOINTS[1]} is set, but not what it needs", hint="pip install 'taut[otel]'") from None
    return Tracing(OTLPSpanExporter(), tracer)
