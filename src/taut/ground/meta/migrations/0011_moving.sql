-- The latest values of metrics that are still written to. `newest` is 2 for these, and the index of values leaves them
-- out; it is 1 again once their run has ended.
CREATE INDEX series_moving ON series (experiment_id, key, id) WHERE newest = 2;
