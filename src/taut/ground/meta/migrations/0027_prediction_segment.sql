-- Answers that were sealed into an object, Parquet with a row for each predicted row. `secret` is its key, sealed by the
-- home's, empty for an object in the open; `given` counts requests whose id the caller chose; `filter` finds ids.
CREATE TABLE prediction_segment (
    deployment TEXT NOT NULL,
    number BIGINT NOT NULL,
    oid TEXT NOT NULL,
    secret TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    given BIGINT NOT NULL,
    first_event_ms BIGINT NOT NULL,
    last_event_ms BIGINT NOT NULL,
    first_at_ms BIGINT NOT NULL,
    last_at_ms BIGINT NOT NULL,
    versions TEXT NOT NULL,
    filter BYTEA NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (deployment, number)
);
CREATE INDEX prediction_segment_by_event ON prediction_segment (deployment, last_event_ms);

-- Up to which byte each journal of some machine lies in segments; forgotten when the journal is removed.
CREATE TABLE prediction_journal (
    deployment TEXT NOT NULL,
    name TEXT NOT NULL,
    sealed BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (deployment, name)
);
