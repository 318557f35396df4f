-- When the stores of a project that ended were removed; until then it can be had back.
ALTER TABLE project ADD COLUMN gone_ms BIGINT;
