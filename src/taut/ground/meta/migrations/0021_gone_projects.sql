-- A project that ended can be had back until it is condemned: then its stores are removed, and once none is left it is gone.
ALTER TABLE project ADD COLUMN condemned_ms BIGINT;
ALTER TABLE project ADD COLUMN gone_ms BIGINT;

-- Tokens are forgotten some time after they ended.
CREATE INDEX token_by_end ON token (COALESCE(revoked_ms, expires_ms));
