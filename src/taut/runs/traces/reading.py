"""Traces read back: rows into records, one or many at a time."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import msgspec

from taut.errors import Invalid, NotFound
from taut.ground import wire
from taut.ground.access import ANY
from taut.ground.meta import Row, Tx
from taut.home import Home, require, sight, verb
from taut.runs.rights import of_trace
from taut.runs.traces.records import (
    SIZES_KEY,
    Assessment,
    Span,
    SpanEvent,
    SpanLink,
    State,
    Trace,
    TraceDetail,
)

IDS_MAX = 500  # Of one request; SQLite binds at most 32,766 values in a statement, PostgreSQL 65,535.
PREFIX_MIN = 6
CANDIDATES_MAX = 5

COLUMNS = (
    "id, experiment_id, at_ms, duration_ms, state, name, client_request_id, request_preview, response_preview, "
    "has_spans"
)
SELECT = f"SELECT {COLUMNS} FROM trace WHERE id IN"  # noqa: S608  # Constants only.
SELECT_TAGS = "SELECT trace_id, key, value FROM trace_tag WHERE trace_id IN"
SELECT_METADATA = "SELECT trace_id, key, value FROM trace_metadata WHERE trace_id IN"
SELECT_LINKS = "SELECT trace_id, kind, target FROM trace_link WHERE kind = 'run' AND trace_id IN"
SELECT_ASSESSMENTS = "SELECT trace_id, body, valid FROM trace_assessment WHERE trace_id IN"
SELECT_SPANS = "SELECT trace_id, span_id, parent_id, name, status, start_ns, end_ns, content FROM trace_span"
# A range finds a prefix through the primary key, whatever LIKE means here.
SELECT_PREFIX = "SELECT id FROM trace WHERE id >= :prefix AND id < :past ORDER BY id LIMIT :limit"


class SpanContent(msgspec.Struct, omit_defaults=True):
    """What a span's row keeps as JSON."""

    attributes: dict[str, Any] = {}
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    resource: dict[str, Any] = {}
    message: str = ""
    kind: int = 0


@verb("trace.get", needs="run:read", on=of_trace)
def get_trace(home: Home, trace_id: str) -> Trace:
    """The trace of that id, without its spans. Raises NotFound."""
    with home.meta.read() as tx:
        return read_trace(tx, trace_id)


@verb("trace.list", needs="run:read", on=ANY)
def list_traces(home: Home, trace_ids: list[str], *, experiment_ids: list[str] | None = None) -> list[Trace]:
    """The traces of these ids that are there, in this order, of these experiments where some are named."""
    with home.meta.read() as tx:
        found = _read_checked(tx, trace_ids)
    seen = sight(home, "experiment", "run:read")
    found = [trace for trace in found if seen.sees(trace.experiment_id)]
    return [trace for trace in found if experiment_ids is None or trace.experiment_id in experiment_ids]


@verb("trace.detail", needs="run:read", on=of_trace)
def trace_detail(home: Home, trace_id: str) -> TraceDetail:
    """A trace with its spans. Raises NotFound."""
    with home.meta.read() as tx:
        return _detail(read_trace(tx, trace_id), read_spans(tx, [trace_id])[trace_id])


@verb("trace.details", needs="run:read", on=ANY)
def trace_details(home: Home, trace_ids: list[str], *, experiment_ids: list[str] | None = None) -> list[TraceDetail]:
    """The traces of these ids that are there, with their spans, in this order."""
    seen = sight(home, "experiment", "run:read")
    with home.meta.read() as tx:
        found = [trace for trace in _read_checked(tx, trace_ids) if seen.sees(trace.experiment_id)]
        chosen = [trace for trace in found if experiment_ids is None or trace.experiment_id in experiment_ids]
        spans = read_spans(tx, [trace.id for trace in chosen])
    return [_detail(trace, spans[trace.id]) for trace in chosen]


@verb("trace.resolve", needs="run:read", on=ANY)
def resolve_trace(home: Home, written: str) -> TraceDetail:
    """The trace that somebody meant, with its spans: its id, or the first letters of it where only one begins so.

    The `tr-` in front may be left out. Raises NotFound where none does, Invalid where several do or too little is
    written.
    """
    prefix = written if written.startswith("tr-") else f"tr-{written}"
    with home.meta.read() as tx:
        if not read_traces(tx, [written]):
            if len(prefix) < PREFIX_MIN:
                raise Invalid(
                    f"{written!r} is too short to name a trace; write at least {PREFIX_MIN - 3} of its digits"
                )
            past = prefix[:-1] + chr(ord(prefix[-1]) + 1)
            rows = tx.rows(SELECT_PREFIX, {"prefix": prefix, "past": past, "limit": CANDIDATES_MAX + 1})
            ids = [str(row[0]) for row in rows]
            if len(ids) > 1:
                raise Invalid(f"{written!r} begins the ids of several traces: {', '.join(ids[:CANDIDATES_MAX])}")
            if not ids:
                raise no_trace(written)
            written = ids[0]
        found = _detail(read_trace(tx, written), read_spans(tx, [written])[written])
    require(home, "run:read", verb="trace.resolve", resource=f"experiment:{found.trace.experiment_id}")
    return found


def read_trace(tx: Tx, trace_id: str) -> Trace:
    """The trace of that id inside the caller's transaction. Raises NotFound."""
    found = read_traces(tx, [trace_id])
    if not found:
        raise no_trace(trace_id)
    return found[0]


def read_traces(tx: Tx, trace_ids: Sequence[str]) -> list[Trace]:
    """The traces of these ids that are there, in this order: five statements, however many they are."""
    if not trace_ids:
        return []
    names, values = "[:ids]", {"ids": list(trace_ids)}
    rows = {str(row[0]): row for row in tx.rows(f"{SELECT} {names}", values)}
    if not rows:
        return []
    tags, metadata = _pairs(tx, SELECT_TAGS, rows), _pairs(tx, SELECT_METADATA, rows)
    runs: dict[str, list[str]] = defaultdict(list)
    for trace_id, _, target in _rows(tx, SELECT_LINKS, rows, order="trace_id, target"):
        runs[str(trace_id)].append(str(target))
    assessments: dict[str, list[Assessment]] = defaultdict(list)
    for trace_id, body, valid in _rows(tx, SELECT_ASSESSMENTS, rows, order="trace_id, created_ms, id"):
        assessments[str(trace_id)].append(assessment_of(str(body), bool(valid)))
    return [
        _trace(rows[one], metadata[one], tags[one], tuple(assessments[one]), tuple(runs[one]))
        for one in dict.fromkeys(trace_ids)
        if one in rows
    ]


def read_spans(tx: Tx, trace_ids: Sequence[str]) -> dict[str, list[Span]]:
    """The spans of these traces: the root first, then by their start."""
    spans: dict[str, list[Span]] = defaultdict(list)
    if trace_ids:
        for row in _rows(tx, f"{SELECT_SPANS} WHERE trace_id IN", trace_ids, order="trace_id, start_ns, span_id"):
            spans[str(row[0])].append(span_of(row))
    for found in spans.values():
        found.sort(key=lambda span: span.parent != "")
    return spans


def span_of(row: Row) -> Span:
    """A span from the columns of SELECT_SPANS."""
    trace_id, span_id, parent, name, status, start_ns, end_ns, content = row
    held = wire.decode(str(content), SpanContent, what=f"span {span_id}")
    return Span(
        str(trace_id), str(span_id), str(name), int(str(start_ns)), int(str(end_ns)), str(parent), held.kind,
        cast("Any", status), held.message, held.attributes, held.events, held.links, held.resource,
    )  # fmt: skip


def assessment_of(body: str, valid: bool) -> Assessment:
    """An assessment from its row."""
    return replace(wire.decode(body, Assessment, what="an assessment"), valid=valid)


def no_trace(trace_id: str) -> NotFound:
    """The error for an id that no trace has."""
    return NotFound(f"there is no trace with the id {trace_id[:80]!r}", hint="taut traces list")


def _read_checked(tx: Tx, trace_ids: Sequence[str]) -> list[Trace]:
    if len(trace_ids) > IDS_MAX:
        raise Invalid(f"at most {IDS_MAX} traces are read at once, not {len(trace_ids)}")
    return read_traces(tx, trace_ids)


def _detail(trace: Trace, spans: Sequence[Span]) -> TraceDetail:
    return TraceDetail(trace, tuple(spans), max(0, _expected(trace) - len(spans)))


def _expected(trace: Trace) -> int:
    """How many spans its client says there are; 0 where it says nothing that can be read."""
    try:
        sizes = msgspec.json.decode(trace.metadata.get(SIZES_KEY, "{}"), type=dict[str, Any])
    except msgspec.MsgspecError:
        return 0
    said = sizes.get("num_spans")
    return said if isinstance(said, int) else 0


def _pairs(tx: Tx, sql: str, trace_ids: Iterable[str]) -> dict[str, dict[str, str]]:
    pairs: dict[str, dict[str, str]] = defaultdict(dict)
    for trace_id, key, value in _rows(tx, sql, trace_ids, order="trace_id, key"):
        pairs[str(trace_id)][str(key)] = str(value)
    return pairs


def _rows(tx: Tx, sql: str, trace_ids: Iterable[str], *, order: str) -> Iterator[Row]:
    names, values = "[:ids]", {"ids": list(trace_ids)}
    yield from tx.rows(f"{sql} {names} ORDER BY {order}", values)


def _trace(
    row: Row,
    metadata: dict[str, str],
    tags: dict[str, str],
    assessments: tuple[Assessment, ...],
    runs: tuple[str, ...],
) -> Trace:
    trace_id, experiment_id, at_ms, duration_ms, state, name, client_request_id, asked, answered, has_spans = row
    return Trace(
        str(trace_id), str(experiment_id), int(str(at_ms)), None if duration_ms is None else int(str(duration_ms)),
        cast("State", state), str(name), str(client_request_id), str(asked), str(answered), bool(has_spans),
        metadata, tags, assessments, runs,
    )  # fmt: skip
