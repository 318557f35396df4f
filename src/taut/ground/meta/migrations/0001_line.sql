-- The line, from bytes to alerts. Written in the subset that SQLite and PostgreSQL share; times are UTC milliseconds.

CREATE TABLE ledger (
    seq BIGINT PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    previous TEXT NOT NULL,
    digest TEXT NOT NULL
);
CREATE INDEX ledger_by_kind ON ledger (kind, seq);
CREATE INDEX ledger_by_subject ON ledger (subject, seq);

-- The end of the chain; its one row is locked by whoever appends.
CREATE TABLE ledger_head (one BIGINT PRIMARY KEY, seq BIGINT NOT NULL, digest TEXT NOT NULL);
INSERT INTO ledger_head (one, seq, digest) VALUES (1, 0, '');

-- Arrows between points of the line; a point is written `kind:id`.
CREATE TABLE lineage (
    source TEXT NOT NULL,
    relation TEXT NOT NULL,
    target TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (source, relation, target)
);
CREATE INDEX lineage_by_target ON lineage (target, relation);

CREATE TABLE dataset_version (
    name TEXT NOT NULL,
    number BIGINT NOT NULL,
    tree TEXT NOT NULL,
    path TEXT NOT NULL,
    files BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    row_count BIGINT,
    columns TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (name, number)
);
CREATE INDEX dataset_version_by_tree ON dataset_version (tree);

CREATE TABLE experiment (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    lifecycle TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    tags TEXT NOT NULL
);

CREATE TABLE run (
    id TEXT PRIMARY KEY,
    experiment_id TEXT NOT NULL REFERENCES experiment (id),
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    actor TEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    lifecycle TEXT NOT NULL,
    cause TEXT NOT NULL,
    capture TEXT NOT NULL
);
CREATE INDEX run_by_experiment ON run (experiment_id, started_ms);

CREATE TABLE param (
    run_id TEXT NOT NULL REFERENCES run (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run_id, key)
);

CREATE TABLE run_tag (
    run_id TEXT NOT NULL REFERENCES run (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run_id, key)
);

-- NaN has no place in SQLite's numbers: `value` is NULL then. Infinities are stored as they are.
CREATE TABLE metric (
    run_id TEXT NOT NULL REFERENCES run (id),
    key TEXT NOT NULL,
    step BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    value DOUBLE PRECISION,
    model_id TEXT NOT NULL
);
CREATE INDEX metric_by_run ON metric (run_id, key, step, at_ms);

CREATE TABLE metric_latest (
    run_id TEXT NOT NULL REFERENCES run (id),
    key TEXT NOT NULL,
    step BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    value DOUBLE PRECISION,
    PRIMARY KEY (run_id, key)
);

CREATE TABLE run_input (
    run_id TEXT NOT NULL REFERENCES run (id),
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source TEXT NOT NULL,
    columns TEXT NOT NULL,
    profile TEXT NOT NULL,
    tags TEXT NOT NULL,
    PRIMARY KEY (run_id, name, digest)
);

CREATE TABLE run_output (
    run_id TEXT NOT NULL REFERENCES run (id),
    model_id TEXT NOT NULL,
    step BIGINT NOT NULL,
    PRIMARY KEY (run_id, model_id)
);

-- A name for an object: `root` is `EXPERIMENT/RUN/artifacts` or `EXPERIMENT/models/MODEL/artifacts`.
CREATE TABLE artifact (
    root TEXT NOT NULL,
    path TEXT NOT NULL,
    oid TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (root, path)
);
CREATE INDEX artifact_by_oid ON artifact (oid);

CREATE TABLE logged_model (
    id TEXT PRIMARY KEY,
    experiment_id TEXT NOT NULL REFERENCES experiment (id),
    run_id TEXT NOT NULL,
    name TEXT NOT NULL,
    model_type TEXT NOT NULL,
    status TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    params TEXT NOT NULL,
    tags TEXT NOT NULL
);
CREATE INDEX logged_model_by_experiment ON logged_model (experiment_id, created_ms);
CREATE INDEX logged_model_by_run ON logged_model (run_id);

CREATE TABLE registered_model (
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    tags TEXT NOT NULL
);

CREATE TABLE model_version (
    name TEXT NOT NULL REFERENCES registered_model (name),
    number BIGINT NOT NULL,
    source TEXT NOT NULL,
    run_id TEXT NOT NULL,
    model_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    signature TEXT NOT NULL,
    stage TEXT NOT NULL,
    status TEXT NOT NULL,
    description TEXT NOT NULL,
    actor TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    tags TEXT NOT NULL,
    PRIMARY KEY (name, number)
);

CREATE TABLE model_alias (
    name TEXT NOT NULL REFERENCES registered_model (name),
    alias TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (name, alias)
);

CREATE TABLE gate_result (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    number BIGINT NOT NULL,
    champion BIGINT,
    passed BIGINT NOT NULL,
    checks TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL
);
CREATE INDEX gate_result_by_model ON gate_result (model, number, at_ms);

CREATE TABLE deployment (
    name TEXT NOT NULL,
    revision BIGINT NOT NULL,
    model TEXT NOT NULL,
    number BIGINT NOT NULL,
    target TEXT NOT NULL,
    config TEXT NOT NULL,
    cause TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (name, revision)
);

-- What runs now, as its target last reported it; one row a deployment.
CREATE TABLE deployment_state (
    name TEXT PRIMARY KEY,
    revision BIGINT NOT NULL,
    status TEXT NOT NULL,
    url TEXT NOT NULL,
    handle TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);

-- One answered request of `row_count` rows; `inputs` and `outputs` are columns. A prediction's id is `ID.ROW`.
CREATE TABLE prediction (
    deployment TEXT NOT NULL,
    id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    model TEXT NOT NULL,
    number BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    event_ms BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    inputs TEXT NOT NULL,
    outputs TEXT NOT NULL,
    PRIMARY KEY (deployment, id)
);
CREATE INDEX prediction_by_event ON prediction (deployment, event_ms);
CREATE INDEX prediction_by_id ON prediction (id);
CREATE INDEX prediction_by_model ON prediction (model, number);

CREATE TABLE label (
    deployment TEXT NOT NULL,
    id TEXT NOT NULL,
    row_index BIGINT NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (deployment, id, row_index)
);

CREATE TABLE monitor_reference (
    deployment TEXT NOT NULL,
    number BIGINT NOT NULL,
    model TEXT NOT NULL,
    version BIGINT NOT NULL,
    from_ms BIGINT NOT NULL,
    oid TEXT NOT NULL,
    cause TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (deployment, number)
);

CREATE TABLE monitor_window (
    deployment TEXT NOT NULL,
    start_ms BIGINT NOT NULL,
    end_ms BIGINT NOT NULL,
    reference BIGINT NOT NULL,
    version BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    labelled BIGINT NOT NULL,
    measures TEXT NOT NULL,
    evidence TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (deployment, start_ms)
);

CREATE TABLE monitor_state (
    deployment TEXT PRIMARY KEY,
    reference BIGINT NOT NULL,
    state TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);

CREATE TABLE alert (
    id TEXT PRIMARY KEY,
    deployment TEXT NOT NULL,
    version BIGINT NOT NULL,
    window_start_ms BIGINT NOT NULL,
    detector TEXT NOT NULL,
    severity TEXT NOT NULL,
    feature TEXT NOT NULL,
    evidence TEXT NOT NULL,
    status TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);
CREATE INDEX alert_by_deployment ON alert (deployment, window_start_ms);

-- A durable loop's memory: each step of a plan is done once, whatever dies in between.
CREATE TABLE step (
    plan TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    body TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (plan, name)
);

CREATE TABLE token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    revoked_ms BIGINT
);
