"""Assessments of traces as MLflow asks for them."""

from typing import Any

import msgspec

from taut.errors import Invalid
from taut.faces.mlflow.shapes import Json
from taut.faces.mlflow.spans import JSON_FORMAT, assessment_shape, checked_depth
from taut.ground.clock import moment_ms
from taut.home import Home
from taut.runs.traces import Assessment, AssessmentKind, assess_trace, get_assessment
from taut.runs.traces import delete_assessment as take_away
from taut.runs.traces import update_assessment as change

KINDS: tuple[AssessmentKind, ...] = ("feedback", "expectation", "issue")
CHANGEABLE = frozenset({*KINDS, "assessment_name", "rationale", "metadata"})


class Source(msgspec.Struct):
    """Who or what assesses."""

    source_type: str = ""
    source_id: str = ""


class Sent(msgspec.Struct):
    """An assessment as it is sent; one of feedback, expectation and issue is its value."""

    assessment_name: str = ""
    assessment_id: str = ""
    span_id: str = ""
    source: Source = msgspec.field(default_factory=Source)
    create_time: str = ""
    last_update_time: str = ""
    feedback: dict[str, Any] | None = None
    expectation: dict[str, Any] | None = None
    issue: dict[str, Any] | None = None
    rationale: str = ""
    metadata: dict[str, str] = {}
    overrides: str = ""
    valid: bool = True


class Create(msgspec.Struct):
    """POST traces/{trace_id}/assessments."""

    trace_id: str
    assessment: Sent


class ById(msgspec.Struct):
    """GET and DELETE traces/{trace_id}/assessments/{assessment_id}."""

    trace_id: str
    assessment_id: str


class Update(msgspec.Struct):
    """PATCH traces/{trace_id}/assessments/{assessment_id}."""

    trace_id: str
    assessment_id: str
    assessment: Sent
    update_mask: str


def create(home: Home, asked: Create) -> Json:
    """Assess a trace."""
    return {"assessment": assessment_shape(assess_trace(home, assessment_of(asked.trace_id, asked.assessment)))}


def get(home: Home, asked: ById) -> Json:
    """One assessment."""
    return {"assessment": assessment_shape(get_assessment(home, asked.trace_id, asked.assessment_id))}


def update(home: Home, asked: Update) -> Json:
    """Change what the mask names: protocol buffers write its names with capitals, people with underscores."""
    sent = asked.assessment
    named = {
        "".join(f"_{char.lower()}" if char.isupper() else char for char in name.strip())
        for name in asked.update_mask.split(",")
    }
    unknown = named - CHANGEABLE
    if unknown:
        raise Invalid(
            f"update_mask names {min(unknown)[:40]!r}; what changes is one of {', '.join(sorted(CHANGEABLE))}"
        )
    kind, content = _value_of(sent) if named & set(KINDS) else (None, None)
    if kind is not None and kind not in named:
        raise Invalid(f"update_mask names no {kind}, which is what is sent")
    changed = change(
        home, asked.trace_id, asked.assessment_id, kind=kind, content=content,
        name=sent.assessment_name if "assessment_name" in named else None,
        rationale=sent.rationale if "rationale" in named else None,
        metadata=sent.metadata if "metadata" in named else None,
    )  # fmt: skip
    return {"assessment": assessment_shape(changed)}


def delete(home: Home, asked: ById) -> Json:
    """Take one away."""
    take_away(home, asked.trace_id, asked.assessment_id)
    return {}


def assessment_of(trace_id: str, sent: Sent) -> Assessment:
    """The record of an assessment that was sent. Raises Invalid where it has no value, or two."""
    kind, content = _value_of(sent)
    return Assessment(
        sent.assessment_id, trace_id, sent.assessment_name, kind, content, sent.source.source_type,
        sent.source.source_id, sent.rationale, sent.metadata, sent.span_id,
        moment_ms(sent.create_time) if sent.create_time else 0,
        moment_ms(sent.last_update_time) if sent.last_update_time else 0, sent.overrides, sent.valid,
    )  # fmt: skip


def _value_of(sent: Sent) -> tuple[AssessmentKind, dict[str, Any]]:
    said = [(kind, content) for kind in KINDS if (content := getattr(sent, kind)) is not None]
    if len(said) != 1:
        raise Invalid(f"an assessment says one of {', '.join(KINDS)}, this {len(said)} of them")
    kind, content = said[0]
    return kind, checked_depth(_read_expectation(content) if kind == "expectation" else content)


def _read_expectation(content: dict[str, Any]) -> dict[str, Any]:
    """An expectation by its value, which clients send as JSON in a text where it is a list or an object."""
    written = content.get("serialized_value")
    if written is None:
        return content
    form = written.get("serialization_format") if isinstance(written, dict) else None
    if form != JSON_FORMAT:
        raise Invalid(f"Unknown serialization format: {str(form)[:40]}. An expectation is written as {JSON_FORMAT}.")
    try:
        return {"value": msgspec.json.decode(written.get("value", ""))}
    except (msgspec.DecodeError, TypeError, RecursionError) as problem:
        raise Invalid(f"the serialized_value of an expectation is no JSON: {problem}") from None
