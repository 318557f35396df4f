"""A trace and what it is made of: spans with events and links, and the assessments that people and judges add."""

from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["OK", "ERROR", "IN_PROGRESS", "STATE_UNSPECIFIED"]
SpanStatus = Literal["UNSET", "OK", "ERROR"]
AssessmentKind = Literal["feedback", "expectation", "issue"]
STATES: tuple[State, ...] = ("OK", "ERROR", "IN_PROGRESS", "STATE_UNSPECIFIED")

NAME_TAG = "mlflow.traceName"  # MLflow keeps the name of a trace among its tags.
SESSION_KEY = "mlflow.trace.session"
USER_KEY = "mlflow.trace.user"
RUN_KEY = "mlflow.sourceRun"
SIZES_KEY = "mlflow.trace.sizeStats"


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened at one moment of a span, as an exception."""

    name: str
    at_ns: int
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A span of another trace that this one has to do with."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """One step of a trace; the root has no parent, and `end_ns` is 0 while it runs. Times are nanoseconds since 1970.

    `trace_id` is `tr-` and 32 hexadecimal digits, `id` and `parent` are 16. Values of attributes are plain JSON.
    `resource` describes the process that it ran in.
    """

    trace_id: str
    id: str
    name: str
    start_ns: int
    end_ns: int = 0
    parent: str = ""
    kind: int = 0
    status: SpanStatus = "UNSET"
    message: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    resource: dict[str, Any] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """What kind of step it is, as LLM or TOOL."""
        said = self.attributes.get("mlflow.spanType")
        return said if isinstance(said, str) and said else "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Assessment:
    """What somebody thinks of a trace (feedback), or what it should have answered (expectation), or an issue it shows.

    `content` is the value in MLflow's shape: `{"value": 0.9}`, with an `error` instead where a judge failed. One that
    another `overrides` is not `valid` any more.
    """

    id: str
    trace_id: str
    name: str
    kind: AssessmentKind
    content: dict[str, Any]
    source_type: str = ""
    source_id: str = ""
    rationale: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    span_id: str = ""
    created_ms: int = 0
    updated_ms: int = 0
    overrides: str = ""
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Trace:
    """What an application did for one request: when, for how long, how it ended, what was asked and answered.

    `has_spans` says whether spans of it are stored; `runs` are those it was linked to, beside the one of its metadata.
    """

    id: str
    experiment_id: str
    at_ms: int
    duration_ms: int | None = None
    state: State = "IN_PROGRESS"
    name: str = ""
    client_request_id: str = ""
    request_preview: str = ""
    response_preview: str = ""
    has_spans: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    assessments: tuple[Assessment, ...] = ()
    runs: tuple[str, ...] = ()

    @property
    def artifact_root(self) -> str:
        """Where attachments of it lie."""
        return trace_root(self.experiment_id, self.id)


@dataclass(frozen=True, slots=True)
class TraceDetail:
    """A trace with its spans: the root first, then by their start. `missing` are spans that are known to come still."""

    trace: Trace
    spans: tuple[Span, ...]
    missing: int = 0


@dataclass(frozen=True, slots=True)
class TracePage:
    """Traces without their spans; `next_page` is empty on the last page."""

    traces: tuple[Trace, ...]
    next_page: str = ""


def trace_root(experiment_id: str, trace_id: str) -> str:
    """Where a trace keeps its files."""
    return f"{experiment_id}/traces/{trace_id}/artifacts"
