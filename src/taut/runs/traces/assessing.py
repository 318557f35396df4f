"""Assessments of traces: what people, judges and code think of them, kept with what they said before."""

from dataclasses import replace
from typing import Any

import msgspec

from taut.errors import Conflict, Invalid, NotFound
from taut.ground import wire
from taut.ground.clock import new_id
from taut.ground.meta import Tx, Value
from taut.home import Home, verb
from taut.runs.names import KEY_MAX, check_key
from taut.runs.rights import of_assessed, of_trace
from taut.runs.traces.reading import assessment_of, no_trace
from taut.runs.traces.records import SESSION_KEY, Assessment

BODY_MAX = 1 << 20  # Characters of one assessment: a rationale is a page at most, a stack trace some.

# Locked, so that a trace that is being deleted gets no assessment that would hold it back.
LOCK_TRACE = "UPDATE trace SET has_spans = has_spans WHERE id = :id"
SELECT_TRACE = "SELECT 1 FROM trace WHERE id = :id"
SELECT_ONE = "SELECT body, valid FROM trace_assessment WHERE id = :id AND trace_id = :trace_id"
INSERT = """
INSERT INTO trace_assessment (id, trace_id, name, kind, valid, created_ms, word, number, session, body)
VALUES (:id, :trace_id, :name, :kind, :valid, :created_ms, :word, :number, :session, :body)
ON CONFLICT (id) DO NOTHING
"""
UPDATE = """
UPDATE trace_assessment SET name = :name, word = :word, number = :number, session = :session, body = :body
WHERE id = :id
"""
SET_VALID = "UPDATE trace_assessment SET valid = :valid WHERE id = :id AND trace_id = :trace_id"
DELETE = "DELETE FROM trace_assessment WHERE id = :id"


@verb("assessment.create", needs="run:write", on=of_assessed)
def assess_trace(home: Home, assessment: Assessment) -> Assessment:
    """Assess a trace; one that it overrides is not valid any more. Raises NotFound, Invalid.

    The id and the times are given here where they are empty; an id that is there already raises Conflict.
    """
    made = replace(assessment, id=assessment.id or f"a-{new_id()}")
    with home.meta.transaction() as tx:
        if not tx.execute(LOCK_TRACE, {"id": made.trace_id}):
            raise no_trace(made.trace_id)
        insert_assessment(home, tx, made)
        home.append(tx, "assessment.created", subject=f"trace:{made.trace_id}", body={"id": made.id, "name": made.name})
        return _read(tx, made.trace_id, made.id)


@verb("assessment.get", needs="run:read", on=of_trace)
def get_assessment(home: Home, trace_id: str, assessment_id: str) -> Assessment:
    """One assessment of a trace. Raises NotFound."""
    with home.meta.read() as tx:
        return _read(tx, trace_id, assessment_id)


@verb("assessment.update", needs="run:write", on=of_trace)
def update_assessment(
    home: Home,
    trace_id: str,
    assessment_id: str,
    *,
    name: str | None = None,
    kind: str | None = None,
    content: dict[str, Any] | None = None,
    rationale: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Assessment:
    """Change what an assessment says; what is None stays, and metadata is added to.

    `kind` says what `content` is the value of; feedback stays feedback. Raises NotFound, Invalid.
    """
    with home.meta.transaction() as tx:
        tx.execute(LOCK_TRACE, {"id": trace_id})
        known = _read(tx, trace_id, assessment_id)
        if kind is not None and kind != known.kind:
            raise Invalid(f"assessment {assessment_id} is {_said(known.kind)}; it cannot become {_said(kind)}")
        changed = replace(
            known, name=known.name if name is None else name,
            content=known.content if content is None else content,
            rationale=known.rationale if rationale is None else rationale,
            metadata={**known.metadata, **(metadata or {})}, updated_ms=home.clock.now_ms(),
        )  # fmt: skip
        _check(changed)
        tx.execute(UPDATE, {key: one for key, one in _row(changed).items() if key not in FIXED})
        home.append(tx, "assessment.updated", subject=f"trace:{trace_id}", body={"id": assessment_id})
        return _read(tx, trace_id, assessment_id)


@verb("assessment.delete", needs="run:write", on=of_trace)
def delete_assessment(home: Home, trace_id: str, assessment_id: str) -> None:
    """Take an assessment away; one that it overrode is valid again. Deleting twice is deleting once.

    Raises NotFound for the trace.
    """
    with home.meta.transaction() as tx:
        if not tx.execute(LOCK_TRACE, {"id": trace_id}):
            raise no_trace(trace_id)
        row = tx.row(SELECT_ONE, {"id": assessment_id, "trace_id": trace_id})
        if row is None:
            return
        overrides = assessment_of(str(row[0]), bool(row[1])).overrides
        if overrides:
            tx.execute(SET_VALID, {"id": overrides, "trace_id": trace_id, "valid": 1})
        tx.execute(DELETE, {"id": assessment_id})
        home.append(tx, "assessment.deleted", subject=f"trace:{trace_id}", body={"id": assessment_id})


FIXED = frozenset({"trace_id", "kind", "valid", "created_ms"})


def insert_assessment(home: Home, tx: Tx, assessment: Assessment, *, again: bool = False) -> None:
    """Write a new assessment inside the caller's transaction; an old one stays where `again` is set."""
    at_ms = home.clock.now_ms()
    made = replace(
        assessment, created_ms=assessment.created_ms or at_ms, updated_ms=assessment.updated_ms or at_ms,
    )  # fmt: skip
    _check(made)
    if not tx.execute(INSERT, _row(made)):
        if again:
            return
        raise Conflict(f"trace {made.trace_id} has an assessment {made.id[:80]!r} already")
    if made.overrides and not tx.execute(SET_VALID, {"id": made.overrides, "trace_id": made.trace_id, "valid": 0}):
        raise no_assessment(made.trace_id, made.overrides)


def no_assessment(trace_id: str, assessment_id: str) -> NotFound:
    """The error for an assessment that a trace has not."""
    return NotFound(f"trace {trace_id} has no assessment {assessment_id[:80]!r}")


def _read(tx: Tx, trace_id: str, assessment_id: str) -> Assessment:
    row = tx.row(SELECT_ONE, {"id": assessment_id, "trace_id": trace_id})
    if row is not None:
        return assessment_of(str(row[0]), bool(row[1]))
    raise (
        no_trace(trace_id) if tx.row(SELECT_TRACE, {"id": trace_id}) is None else no_assessment(trace_id, assessment_id)
    )


def _check(assessment: Assessment) -> None:
    if not 1 <= len(assessment.name) <= KEY_MAX or "\0" in assessment.name:
        raise Invalid(f"the name of an assessment has 1 to {KEY_MAX} characters, this has {len(assessment.name)}")
    if not 1 <= len(assessment.id) <= KEY_MAX or assessment.id == assessment.overrides:
        raise Invalid(
            f"{assessment.id[:80]!r} cannot be the id of an assessment that overrides {assessment.overrides[:80]!r}"
        )
    for key in assessment.metadata:
        check_key(key, of="piece of metadata")
    size = len(wire.text(assessment))
    if size > BODY_MAX:
        raise Invalid(
            f"an assessment has at most {BODY_MAX} characters with all it says, {assessment.name!r} has {size}"
        )


def _row(assessment: Assessment) -> dict[str, Value]:
    word, number = _searched(assessment)
    return {
        "id": assessment.id, "trace_id": assessment.trace_id, "name": assessment.name, "kind": assessment.kind,
        "valid": int(assessment.valid), "created_ms": assessment.created_ms, "word": word, "number": number,
        "session": assessment.metadata.get(SESSION_KEY, ""), "body": wire.text(assessment),
    }  # fmt: skip


def _searched(assessment: Assessment) -> tuple[str, float | None]:
    """The value as a search finds it: as text, and as a number where it is one."""
    value = assessment.content.get("value", assessment.content.get("serialized_value"))
    if isinstance(value, str):
        return value.replace("\0", "\ufffd"), None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return str(value), None
        return (str(int(number)) if number.is_integer() else repr(number)), number
    return msgspec.json.encode(value).decode(), None


def _said(kind: str) -> str:
    return "an " + kind if kind[:1] in "aeiou" else kind
