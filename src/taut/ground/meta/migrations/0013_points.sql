-- On SQLite the rows of points are one tree in the order in which they are read, where there were a table and an index.
-- `nth` tells points of one series, step and time apart, which have different values; of most there is one, the 0th.

{only sqlite} CREATE TABLE placed (
    series INTEGER NOT NULL,
    step BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    nth BIGINT NOT NULL DEFAULT 0,
    value DOUBLE PRECISION,
    PRIMARY KEY (series, step, at_ms, nth)
) WITHOUT ROWID;
{only sqlite} INSERT INTO placed (series, step, at_ms, nth, value)
    SELECT series, step, at_ms, ROW_NUMBER() OVER (PARTITION BY series, step, at_ms ORDER BY value) - 1, value
    FROM point ORDER BY series, step, at_ms;
{only sqlite} DROP TABLE point;
{only sqlite} ALTER TABLE placed RENAME TO point;
{only postgresql} ALTER TABLE point ADD COLUMN nth BIGINT NOT NULL DEFAULT 0;

-- Runs that metrics are written to: their latest values are in no index of values before they settle. Searches look at
-- the series of these runs one by one, so no index holds what moves.
{only sqlite} CREATE TABLE moving_run (
    experiment_id TEXT NOT NULL,
    first BIGINT NOT NULL,
    run_id TEXT NOT NULL UNIQUE,
    PRIMARY KEY (experiment_id, first)
) WITHOUT ROWID;
{only postgresql} CREATE TABLE moving_run (
    experiment_id TEXT NOT NULL,
    first BIGINT NOT NULL,
    run_id TEXT NOT NULL UNIQUE,
    PRIMARY KEY (experiment_id, first)
);
INSERT INTO moving_run (experiment_id, first, run_id)
    SELECT experiment_id, MIN(id), run_id FROM series WHERE newest = 2 GROUP BY experiment_id, run_id;
DROP INDEX series_moving;
