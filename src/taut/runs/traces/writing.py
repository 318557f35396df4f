"""Traces written down: spans as they come, in any order and more than once, and what a client says of the whole."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from taut.errors import Invalid
from taut.ground import wire
from taut.ground.meta import Tx
from taut.home import Home, verb
from taut.runs.experiments import read_experiment
from taut.runs.names import TAG_VALUE_MAX, check_key
from taut.runs.rights import of_experiment, of_owner, of_trace
from taut.runs.traces.assessing import insert_assessment
from taut.runs.traces.reading import SpanContent, no_trace, read_trace
from taut.runs.traces.records import (
    NAME_TAG,
    SESSION_KEY,
    STATES,
    USER_KEY,
    Span,
    State,
    Trace,
)

TRACE_ID = re.compile(r"[A-Za-z0-9][\w-]{0,127}")
OF_SPANS = re.compile(r"tr-[0-9a-f]{32}")
SPAN_ID = re.compile(r"[0-9a-f]{16}")
NS_MAX = 2**63 - 1
PREVIEW_MAX = 10_000  # MLflow's clients cut their own at 1,000; a longer one was written by hand.
DERIVED_PREVIEW_MAX = 1000

# Where the request and the answer stand in the attributes of a root span: MLflow's, OpenInference's, OpenTelemetry's.
REQUESTS = ("mlflow.spanInputs", "input.value", "gen_ai.input.messages")
RESPONSES = ("mlflow.spanOutputs", "output.value", "gen_ai.output.messages")
SESSIONS = ("session.id", "gen_ai.conversation.id")
TAG_ATTRIBUTE = "mlflow.traceTag."
# What MLflow keeps among the tags and taut knows by itself; nobody sets it.
COMPUTED_TAGS = frozenset({"mlflow.artifactLocation", "mlflow.trace.spansLocation"})

# `has_spans` is changed by whoever writes spans, and so the row is locked until the transaction ends.
LOCK = "UPDATE trace SET has_spans = CASE WHEN :has_spans = 1 THEN 1 ELSE has_spans END WHERE id = :id"
INSERT = """
INSERT INTO trace (id, experiment_id, at_ms, duration_ms, state, name, client_request_id, request_preview,
    response_preview, finalized, has_spans)
VALUES (:id, :experiment_id, :at_ms, :duration_ms, :state, :name, :client_request_id, :request_preview,
    :response_preview, :finalized, :has_spans)
ON CONFLICT (id) DO NOTHING
"""
UPDATE = """
UPDATE trace SET experiment_id = :experiment_id, at_ms = :at_ms, duration_ms = :duration_ms, state = :state,
    name = :name, client_request_id = :client_request_id, request_preview = :request_preview,
    response_preview = :response_preview, finalized = :finalized
WHERE id = :id
"""
SELECT_FRAME = """
SELECT experiment_id, at_ms, duration_ms, state, name, client_request_id, request_preview, response_preview, finalized
FROM trace WHERE id = :id
"""
# A span that has ended is never replaced by what was known while it ran.
UPSERT_SPAN = """
INSERT INTO trace_span (trace_id, span_id, parent_id, name, type, status, start_ns, end_ns, content)
VALUES (:trace_id, :span_id, :parent_id, :name, :type, :status, :start_ns, :end_ns, :content)
ON CONFLICT (trace_id, span_id) DO UPDATE SET parent_id = excluded.parent_id, name = excluded.name,
    type = excluded.type, status = excluded.status, start_ns = excluded.start_ns, end_ns = excluded.end_ns,
    content = excluded.content
WHERE trace_span.end_ns = 0 OR excluded.end_ns > 0
"""
UPSERT_TAG = """
INSERT INTO trace_tag (trace_id, key, value) VALUES (:trace_id, :key, :value)
ON CONFLICT (trace_id, key) DO UPDATE SET value = excluded.value
"""
KEEP_TAG = """
INSERT INTO trace_tag (trace_id, key, value) VALUES (:trace_id, :key, :value) ON CONFLICT (trace_id, key) DO NOTHING
"""
UPSERT_METADATA = """
INSERT INTO trace_metadata (trace_id, key, value) VALUES (:trace_id, :key, :value)
ON CONFLICT (trace_id, key) DO UPDATE SET value = excluded.value
"""
KEEP_METADATA = """
INSERT INTO trace_metadata (trace_id, key, value) VALUES (:trace_id, :key, :value)
ON CONFLICT (trace_id, key) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Logged:
    """How much of what was sent is stored now: traces and spans."""

    traces: int
    spans: int


@verb("trace.log", needs="run:write", on=of_experiment)
def log_spans(home: Home, experiment_id: str, spans: list[Span]) -> Logged:
    """Store spans, all or none; sent again, they are stored once. A trace that is not there yet is made of them.

    Until a client describes the trace (`start_trace`), its time, state, name and previews are those of its spans.
    Raises NotFound for the experiment of a new trace, Invalid where it is deleted or a span is not whole.
    """
    for span in spans:
        check_span(span)
    by_trace: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        by_trace[span.trace_id].append(span)
    if not by_trace:
        return Logged(0, 0)
    with home.meta.transaction() as tx:
        for trace_id in sorted(
            by_trace
        ):  # In one order, so that two who write the same traces do not wait in a circle.
            _log_trace(tx, experiment_id, trace_id, by_trace[trace_id])
        subject = f"trace:{spans[0].trace_id}" if len(by_trace) == 1 else f"experiment:{experiment_id}"
        home.append(tx, "trace.logged", subject=subject, body={"traces": len(by_trace), "spans": len(spans)})
    return Logged(len(by_trace), len(spans))


@verb("trace.start", needs="run:write", on=of_owner)
def start_trace(home: Home, trace: Trace) -> Trace:
    """Describe a whole trace; that stands against what its spans tell, before and after. Said twice is said once.

    Tags, metadata and assessments are added to those that are there; `has_spans` and `runs` are not taken from it.
    Raises NotFound for the experiment, Invalid where it is deleted or the description cannot be kept.
    """
    _check_trace(trace)
    with home.meta.transaction() as tx:
        _check_place(tx, trace.experiment_id)
        frame = _frame(trace, finalized=1)
        if not tx.execute(INSERT, {**frame, "has_spans": 0}):
            tx.execute(LOCK, {"id": trace.id, "has_spans": 0})
            tx.execute(UPDATE, _merged(tx, trace, frame))
        write_tags(tx, trace.id, trace.tags)
        write_metadata(tx, trace.id, trace.metadata)
        for number, assessment in enumerate(trace.assessments):
            # The same description again must not assess twice, and clients give no ids.
            told = wire.encode([trace.id, number, replace(assessment, id="", trace_id=trace.id)])
            assessment_id = assessment.id or f"a-{hashlib.sha256(told).hexdigest()[:32]}"
            insert_assessment(home, tx, replace(assessment, id=assessment_id, trace_id=trace.id), again=True)
        home.append(tx, "trace.started", subject=f"trace:{trace.id}", body={"experiment_id": trace.experiment_id})
        return read_trace(tx, trace.id)


@verb("trace.end", needs="run:write", on=of_trace)
def end_trace(
    home: Home,
    trace_id: str,
    *,
    ended_ms: int,
    state: State,
    metadata: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
) -> Trace:
    """End a trace that was begun without its spans, as MLflow's clients before 3.0 do. Raises NotFound."""
    with home.meta.transaction() as tx:
        if not tx.execute(LOCK, {"id": trace_id, "has_spans": 0}):
            raise no_trace(trace_id)
        begun = read_trace(tx, trace_id)
        ended = replace(begun, state=state, duration_ms=ended_ms - begun.at_ms)
        _check_trace(replace(ended, metadata=metadata or {}, tags=tags or {}))
        tx.execute(UPDATE, _frame(replace(ended, name=(tags or {}).get(NAME_TAG, ended.name)), finalized=1))
        write_tags(tx, trace_id, tags or {})
        write_metadata(tx, trace_id, metadata or {})
        home.append(tx, "trace.ended", subject=f"trace:{trace_id}", body={"state": state})
        return read_trace(tx, trace_id)


def write_tags(tx: Tx, trace_id: str, tags: Mapping[str, str], *, sql: str = UPSERT_TAG) -> None:
    """Set tags inside the caller's transaction; the name of the trace and what taut computes are left out."""
    kept = {key: value for key, value in tags.items() if key not in COMPUTED_TAGS and key != NAME_TAG}
    if kept:
        tx.executemany(sql, _pairs(trace_id, kept))


def write_metadata(tx: Tx, trace_id: str, metadata: Mapping[str, str], *, sql: str = UPSERT_METADATA) -> None:
    """Set metadata inside the caller's transaction."""
    if metadata:
        tx.executemany(sql, _pairs(trace_id, metadata))


def check_span(span: Span) -> None:
    """Raises Invalid where a span has no place: ids that are none, or times past what can be stored."""
    if not is_trace(span.trace_id):
        raise Invalid(f"{span.trace_id[:80]!r} is no id of a trace: tr- and 32 hexadecimal digits, not all 0")
    if not is_span(span.id):
        raise Invalid(f"{span.id[:80]!r} is no id of a span: 16 hexadecimal digits, not all 0")
    if span.parent and not is_span(span.parent):
        raise Invalid(f"{span.parent[:80]!r} is no id of a parent of span {span.id}: 16 hexadecimal digits")
    if not all(0 <= at_ns <= NS_MAX for at_ns in (span.start_ns, span.end_ns, *(one.at_ns for one in span.events))):
        raise Invalid(f"span {span.id} has a time that is none: {span.start_ns} to {span.end_ns}")
    if not all(is_trace(link.trace_id) and is_span(link.span_id) for link in span.links):
        raise Invalid(f"span {span.id} has a link to what can be no span")


def is_trace(trace_id: str) -> bool:
    """Whether this is the id of a trace as OpenTelemetry has them.

    >>> is_trace("tr-" + "ab" * 16), is_trace("tr-" + "00" * 16)
    (True, False)
    """
    return OF_SPANS.fullmatch(trace_id) is not None and bool(trace_id[3:].strip("0"))


def is_span(span_id: str) -> bool:
    """Whether this is the id of a span as OpenTelemetry has them."""
    return SPAN_ID.fullmatch(span_id) is not None and bool(span_id.strip("0"))


def _log_trace(tx: Tx, experiment_id: str, trace_id: str, spans: Sequence[Span]) -> None:
    derived = _derived(experiment_id, trace_id, spans)
    made = 0
    if not tx.execute(LOCK, {"id": trace_id, "has_spans": 1}):
        _check_place(tx, experiment_id)
        made = tx.execute(INSERT, {**_frame(derived, finalized=0), "has_spans": 1})
        if not made:  # Somebody else was faster by a moment.
            tx.execute(LOCK, {"id": trace_id, "has_spans": 1})
    tx.executemany(UPSERT_SPAN, [_row(span) for span in spans])
    if not made:
        _widen(tx, derived)
    root = next((span for span in spans if not span.parent), None)
    if root is not None or made:
        write_tags(tx, trace_id, _resource_tags(root or spans[0]), sql=KEEP_TAG)
    if root is not None:
        write_tags(tx, trace_id, _tags_of(root.attributes), sql=KEEP_TAG)
    write_metadata(tx, trace_id, derived.metadata, sql=KEEP_METADATA)


def _derived(experiment_id: str, trace_id: str, spans: Sequence[Span]) -> Trace:
    """What these spans tell of their trace."""
    start_ns = min(span.start_ns for span in spans)
    end_ns = max(span.end_ns for span in spans)
    root = next((span for span in spans if not span.parent), None)
    metadata = {
        SESSION_KEY: _first(spans, SESSIONS),
        USER_KEY: _first(spans, ("user.id",)),
    }
    trace = Trace(
        trace_id, experiment_id, start_ns // 1_000_000,
        end_ns // 1_000_000 - start_ns // 1_000_000 if end_ns >= start_ns else None,
        metadata={key: value for key, value in metadata.items() if value},
    )  # fmt: skip
    if root is None:
        return trace
    return replace(
        trace, state=_state(root), name=root.name, request_preview=_preview(root.attributes, REQUESTS),
        response_preview=_preview(root.attributes, RESPONSES),
    )  # fmt: skip


def _widen(tx: Tx, derived: Trace) -> None:
    """Let further spans tell more of a trace: all where its client has not described it, else what it left out."""
    row = tx.row(SELECT_FRAME, {"id": derived.id})
    assert row is not None, derived.id
    experiment_id, at_ms, duration_ms, state, name, client_request_id, asked, answered, finalized = row
    said: dict[str, Any] = {
        "name": str(name),
        "client_request_id": str(client_request_id),
        "request_preview": str(asked),
        "response_preview": str(answered),
    }
    told: dict[str, Any] = {key: getattr(derived, key) for key in said}
    before = int(str(at_ms))
    if finalized:
        if all(value or not told[key] for key, value in said.items()):
            return
        filled = {key: value or told[key] for key, value in said.items()}
        described = replace(
            derived, experiment_id=str(experiment_id), at_ms=before, state=_as_state(str(state)),
            duration_ms=None if duration_ms is None else int(str(duration_ms)), **filled,
        )  # fmt: skip
        tx.execute(UPDATE, _frame(described, finalized=1))
        return
    start_ms = min(before, derived.at_ms)
    ends = [one for one in (
        None if duration_ms is None else before + int(str(duration_ms)),
        None if derived.duration_ms is None else derived.at_ms + derived.duration_ms,
    ) if one is not None]  # fmt: skip
    known = replace(
        derived, experiment_id=str(experiment_id), at_ms=start_ms, duration_ms=max(ends) - start_ms if ends else None,
        state=derived.state if derived.state != "IN_PROGRESS" else _as_state(str(state)),
        **{key: told[key] or value for key, value in said.items()},
    )  # fmt: skip
    tx.execute(UPDATE, _frame(known, finalized=0))


def _merged(tx: Tx, trace: Trace, frame: dict[str, Any]) -> dict[str, Any]:
    """The frame of a trace that was there: what its client leaves out stays as the spans told it."""
    row = tx.row(SELECT_FRAME, {"id": trace.id})
    assert row is not None, trace.id
    return {
        **frame, "name": frame["name"] or row[4], "client_request_id": frame["client_request_id"] or row[5],
        "request_preview": frame["request_preview"] or row[6], "response_preview": frame["response_preview"] or row[7],
    }  # fmt: skip


def _frame(trace: Trace, *, finalized: int) -> dict[str, Any]:
    return {
        "id": trace.id, "experiment_id": trace.experiment_id, "at_ms": trace.at_ms, "duration_ms": trace.duration_ms,
        "state": trace.state, "name": _plain(trace.tags.get(NAME_TAG, trace.name))[:TAG_VALUE_MAX],
        "client_request_id": trace.client_request_id, "request_preview": _plain(trace.request_preview)[:PREVIEW_MAX],
        "response_preview": _plain(trace.response_preview)[:PREVIEW_MAX], "finalized": finalized,
    }  # fmt: skip


def _check_place(tx: Tx, experiment_id: str) -> None:
    if read_experiment(tx, experiment_id).lifecycle != "active":
        raise Invalid(f"experiment {experiment_id} is deleted; restore it before you trace into it")


def _check_trace(trace: Trace) -> None:
    if not TRACE_ID.fullmatch(trace.id):
        raise Invalid(f"{trace.id[:80]!r} cannot be the id of a trace: letters, digits, _ and -, at most 128")
    if trace.state not in STATES:
        raise Invalid(f"a trace cannot be {trace.state!r}; it is one of {', '.join(STATES)}")
    if len(trace.client_request_id) > 1000:
        raise Invalid(f"a client's id of a request has at most 1000 characters, this {len(trace.client_request_id)}")
    for of, pairs in (("tag", trace.tags), ("piece of metadata", trace.metadata)):
        for key in pairs:
            check_key(key, of=of)


def _pairs(trace_id: str, pairs: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"trace_id": trace_id, "key": key, "value": value[:TAG_VALUE_MAX]} for key, value in sorted(pairs.items())]


def _row(span: Span) -> dict[str, str | int]:
    content = SpanContent(span.attributes, span.events, span.links, span.resource, span.message, span.kind)
    return {
        "trace_id": span.trace_id, "span_id": span.id, "parent_id": span.parent, "name": _plain(span.name),
        "type": _plain(span.type), "status": span.status, "start_ns": span.start_ns, "end_ns": span.end_ns,
        "content": wire.text(content),
    }  # fmt: skip


def _resource_tags(span: Span) -> dict[str, str]:
    """What a trace says of the process it ran in; SDKs' own words and a service that nobody named are left out."""
    said = {key: _words(value) for key, value in span.resource.items() if not key.startswith(("telemetry.", "mlflow."))}
    if said.get("service.name", "").startswith("unknown_service"):
        del said["service.name"]
    return {key: value for key, value in said.items() if _is_key(key)}


def _tags_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Tags that an exporter wrote into the attributes of a root span."""
    named = {key.removeprefix(TAG_ATTRIBUTE): one for key, one in attributes.items() if key.startswith(TAG_ATTRIBUTE)}
    return {key: _words(value) for key, value in named.items() if _is_key(key)}


def _is_key(key: str) -> bool:
    try:
        check_key(key, of="tag")
    except Invalid:
        return False
    return True


def _first(spans: Iterable[Span], keys: Sequence[str]) -> str:
    for span in spans:
        for key in keys:
            if span.attributes.get(key):
                return _words(span.attributes[key])
    return ""


def _preview(attributes: Mapping[str, Any], keys: Sequence[str]) -> str:
    found = next((attributes[key] for key in keys if attributes.get(key) is not None), None)
    if found is None:
        return ""
    said = _words(found)
    return said if len(said) <= DERIVED_PREVIEW_MAX else said[: DERIVED_PREVIEW_MAX - 3] + "..."


def _state(root: Span) -> State:
    if not root.end_ns:
        return "IN_PROGRESS"
    return "ERROR" if root.status == "ERROR" else "OK"


def _as_state(written: str) -> State:
    return next(state for state in STATES if state == written)


def _words(value: Any) -> str:
    """A value as text: text as it is, all else as JSON."""
    return _plain(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _plain(text: str) -> str:
    """Text for a column: PostgreSQL knows no character NUL."""
    return text.replace("\0", "\ufffd")
