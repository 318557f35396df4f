-- The latest values of metrics that are still written to: `newest` is 2 for these, and the index of values leaves them
-- out. Once their run has ended it is 1 again, and `stood` is the value that the index holds: a column that no point changes,
-- so that PostgreSQL need not touch any index for one.
ALTER TABLE series ADD COLUMN stood DOUBLE PRECISION;
UPDATE series SET stood = value;
DROP INDEX series_by_value;
CREATE INDEX series_by_value ON series (experiment_id, key, stood) WHERE newest = 1;
CREATE INDEX series_moving ON series (experiment_id, key, id) WHERE newest = 2;

-- Half of each page stays free: then PostgreSQL writes the next row of a series beside the last and leaves the indexes
-- alone, and takes the place of the one before.
{only postgresql} ALTER TABLE series SET (fillfactor = 50);
