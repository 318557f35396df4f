-- Batch jobs: which model version scored which rows to where. The ids of its predictions are `ID.PART.ROW`, or rows' own.
CREATE TABLE batch_job (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    number BIGINT NOT NULL,
    deployment TEXT NOT NULL,
    source TEXT NOT NULL,
    output TEXT NOT NULL,
    plan TEXT NOT NULL,
    files BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    data TEXT NOT NULL,
    status TEXT NOT NULL,
    parts BIGINT NOT NULL,
    scored BIGINT NOT NULL,
    nulled BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    manifest TEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    ended_ms BIGINT NOT NULL,
    actor TEXT NOT NULL
);
CREATE INDEX batch_job_by_start ON batch_job (started_ms, id);
