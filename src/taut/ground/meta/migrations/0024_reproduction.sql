-- What came of running a run again; a run may have many, and the newest counts.
CREATE TABLE reproduction (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    verdict TEXT NOT NULL,
    detail TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL
);
CREATE INDEX reproduction_by_run ON reproduction (run_id, at_ms);
