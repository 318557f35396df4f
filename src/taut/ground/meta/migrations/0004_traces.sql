-- Traces: what an application did for one request, as a tree of spans. A row of a trace holds what lists and searches
-- show; `finalized` says that its client has described it, so that spans that come later change none of it.

CREATE TABLE trace (
    id TEXT PRIMARY KEY,
    experiment_id TEXT NOT NULL REFERENCES experiment (id),
    at_ms BIGINT NOT NULL,
    duration_ms BIGINT,
    state TEXT NOT NULL,
    name TEXT NOT NULL,
    client_request_id TEXT NOT NULL,
    request_preview TEXT NOT NULL,
    response_preview TEXT NOT NULL,
    finalized BIGINT NOT NULL,
    has_spans BIGINT NOT NULL
);
CREATE INDEX trace_by_experiment ON trace (experiment_id, at_ms, id);

-- An index holds only the start of a value: PostgreSQL refuses to index long ones.
CREATE TABLE trace_tag (
    trace_id TEXT NOT NULL REFERENCES trace (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (trace_id, key)
);
CREATE INDEX trace_tag_by_value ON trace_tag (key, substr(value, 1, 64), trace_id);

CREATE TABLE trace_metadata (
    trace_id TEXT NOT NULL REFERENCES trace (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (trace_id, key)
);
CREATE INDEX trace_metadata_by_value ON trace_metadata (key, substr(value, 1, 64), trace_id);

-- One row a span, so that spans come one by one, in any order and twice. `content` is JSON: attributes, events, links.
CREATE TABLE trace_span (
    trace_id TEXT NOT NULL REFERENCES trace (id),
    span_id TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    start_ns BIGINT NOT NULL,
    end_ns BIGINT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (trace_id, span_id)
);
CREATE INDEX trace_span_by_name ON trace_span (substr(name, 1, 64), trace_id);

-- A run or a prompt that a trace belongs to (`kind`); it may be said before the trace itself has come.
CREATE TABLE trace_link (
    trace_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (trace_id, kind, target)
);
CREATE INDEX trace_link_by_target ON trace_link (kind, target, trace_id);

-- What somebody thinks of a trace. `word` and `number` are its value for searches; `session` is set where it speaks of
-- all traces of one.
CREATE TABLE trace_assessment (
    id TEXT PRIMARY KEY,
    trace_id TEXT NOT NULL REFERENCES trace (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    valid BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    word TEXT NOT NULL,
    number DOUBLE PRECISION,
    session TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX trace_assessment_by_trace ON trace_assessment (trace_id, created_ms, id);
CREATE INDEX trace_assessment_by_name ON trace_assessment (name, kind, trace_id);
