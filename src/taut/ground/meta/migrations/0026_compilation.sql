-- Whether a model version may be served as a compiled graph: the newest verdict on it.
CREATE TABLE compilation (
    model TEXT NOT NULL,
    number BIGINT NOT NULL,
    digest TEXT NOT NULL,
    graph TEXT NOT NULL,
    reason TEXT NOT NULL,
    rows TEXT NOT NULL,
    gap DOUBLE PRECISION NOT NULL,
    tolerance DOUBLE PRECISION NOT NULL,
    versions TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (model, number)
);
