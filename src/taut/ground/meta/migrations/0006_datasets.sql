-- Evaluation datasets: what an application is asked and what it should answer, kept as records.

-- `changes` counts what was done to it and makes its digest; `next_number` is the place of the next record.
CREATE TABLE evaluation_dataset (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    tags TEXT NOT NULL,
    columns TEXT NOT NULL,
    changes BIGINT NOT NULL,
    next_number BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    updated_by TEXT NOT NULL
);

CREATE TABLE evaluation_record (
    id TEXT PRIMARY KEY,
    dataset_id TEXT NOT NULL REFERENCES evaluation_dataset (id),
    number BIGINT NOT NULL,
    input_hash TEXT NOT NULL,
    inputs TEXT NOT NULL,
    outputs TEXT NOT NULL,
    expectations TEXT NOT NULL,
    tags TEXT NOT NULL,
    source TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    updated_by TEXT NOT NULL,
    UNIQUE (dataset_id, number),
    UNIQUE (dataset_id, input_hash)
);

CREATE TABLE evaluation_experiment (
    dataset_id TEXT NOT NULL REFERENCES evaluation_dataset (id),
    experiment_id TEXT NOT NULL REFERENCES experiment (id),
    PRIMARY KEY (dataset_id, experiment_id)
);
