-- What Prometheus is told of a deployment beside what its endpoint counts: noted by whoever watches it, once a round.
CREATE TABLE deployment_figures (
    deployment TEXT PRIMARY KEY,
    families TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);
