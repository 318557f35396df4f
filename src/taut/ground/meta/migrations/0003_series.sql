-- Metrics as series: one row for each metric of a run, its newest points as rows, all older ones packed into chunks.
-- Params and tags learn their run's experiment, so that an index can serve a search within one experiment.

-- A metric of a run, measured on one logged model and dataset where these were named. `step`, `at_ms` and `value` are
-- its latest point; `newest` is 1 for the series that holds the latest point of the run's metric, whatever it was
-- measured on. `tail` points are rows of `point`, those up to `sealed_step`, `sealed_ms` are in chunks.
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES run (id),
    key TEXT NOT NULL,
    model_id TEXT NOT NULL,
    dataset_name TEXT NOT NULL,
    dataset_digest TEXT NOT NULL,
    experiment_id TEXT NOT NULL,
    step BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    value DOUBLE PRECISION,
    newest BIGINT NOT NULL,
    points BIGINT NOT NULL,
    tail BIGINT NOT NULL,
    sealed_step BIGINT,
    sealed_ms BIGINT
);

CREATE TABLE point (
    series INTEGER NOT NULL,
    step BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    value DOUBLE PRECISION
);

-- Points of one series in order of step and time; no two chunks of a series overlap. `part` tells chunks that begin at
-- the same place. `summary` holds the lowest and highest point of each few hundred, for a chart that reads no body.
CREATE TABLE chunk (
    series INTEGER NOT NULL,
    first_step BIGINT NOT NULL,
    first_ms BIGINT NOT NULL,
    part BIGINT NOT NULL,
    last_step BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    points BIGINT NOT NULL,
    summary BYTEA NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (series, first_step, first_ms, part)
);

INSERT INTO series (id, run_id, key, model_id, dataset_name, dataset_digest, experiment_id, step, at_ms, value, newest,
    points, tail, sealed_step, sealed_ms)
SELECT ROW_NUMBER() OVER (ORDER BY ranked.run_id, ranked.key, ranked.model_id), ranked.run_id, ranked.key,
    ranked.model_id, '', '', run.experiment_id, ranked.step, ranked.at_ms, ranked.value,
    CASE WHEN ranked.place = 1 THEN 1 ELSE 0 END, ranked.points, ranked.points, NULL, NULL
FROM (
    SELECT run_id, key, model_id, step, at_ms, value,
        ROW_NUMBER() OVER (
            PARTITION BY run_id, key
            ORDER BY step DESC, at_ms DESC, CASE WHEN value IS NULL THEN 1 ELSE 0 END, value DESC, model_id
        ) AS place,
        ROW_NUMBER() OVER (
            PARTITION BY run_id, key, model_id
            ORDER BY step DESC, at_ms DESC, CASE WHEN value IS NULL THEN 1 ELSE 0 END, value DESC
        ) AS own_place,
        COUNT(*) OVER (PARTITION BY run_id, key, model_id) AS points
    FROM metric
) AS ranked JOIN run ON run.id = ranked.run_id
WHERE ranked.own_place = 1;

INSERT INTO point (series, step, at_ms, value)
SELECT series.id, metric.step, metric.at_ms, metric.value FROM metric
JOIN series ON series.run_id = metric.run_id AND series.key = metric.key AND series.model_id = metric.model_id;

CREATE UNIQUE INDEX series_by_run ON series (run_id, key, model_id, dataset_name, dataset_digest);
CREATE INDEX series_by_value ON series (experiment_id, key, value) WHERE newest = 1;
CREATE INDEX series_by_model ON series (model_id) WHERE model_id <> '';
CREATE INDEX point_by_series ON point (series, step, at_ms);

DROP TABLE metric;
DROP TABLE metric_latest;

ALTER TABLE param ADD COLUMN experiment_id TEXT NOT NULL DEFAULT '';
ALTER TABLE run_tag ADD COLUMN experiment_id TEXT NOT NULL DEFAULT '';
UPDATE param SET experiment_id = (SELECT run.experiment_id FROM run WHERE run.id = param.run_id);
UPDATE run_tag SET experiment_id = (SELECT run.experiment_id FROM run WHERE run.id = run_tag.run_id);
-- A whole value may be longer than an index of PostgreSQL holds.
CREATE INDEX param_by_value ON param (experiment_id, key, substr(value, 1, 200){plain}, run_id);
CREATE INDEX run_tag_by_value ON run_tag (experiment_id, key, substr(value, 1, 200){plain}, run_id);

CREATE INDEX run_newest ON run (experiment_id, lifecycle, started_ms DESC, id{plain});
CREATE INDEX run_newest_of_all ON run (lifecycle, started_ms DESC, id{plain});
