"""Traces of what applications do: spans, assessments, searches."""

from taut.runs.traces.assessing import assess_trace, delete_assessment, get_assessment, update_assessment
from taut.runs.traces.keeping import delete_traces, link_prompts, link_traces, tag_trace
from taut.runs.traces.reading import get_trace, list_traces, resolve_trace, trace_detail, trace_details
from taut.runs.traces.records import (
    NAME_TAG,
    Assessment,
    AssessmentKind,
    Span,
    SpanEvent,
    SpanLink,
    SpanStatus,
    State,
    Trace,
    TraceDetail,
    TracePage,
    trace_root,
)
from taut.runs.traces.search import page_of_traces
from taut.runs.traces.writing import Logged, end_trace, is_span, is_trace, log_spans, start_trace

__all__ = [
    "NAME_TAG",
    "Assessment",
    "AssessmentKind",
    "Logged",
    "Span",
    "SpanEvent",
    "SpanLink",
    "SpanStatus",
    "State",
    "Trace",
    "TraceDetail",
    "TracePage",
    "assess_trace",
    "delete_assessment",
    "delete_traces",
    "end_trace",
    "get_assessment",
    "get_trace",
    "is_span",
    "is_trace",
    "link_prompts",
    "link_traces",
    "list_traces",
    "log_spans",
    "page_of_traces",
    "resolve_trace",
    "start_trace",
    "tag_trace",
    "trace_detail",
    "trace_details",
    "trace_root",
    "update_assessment",
]
