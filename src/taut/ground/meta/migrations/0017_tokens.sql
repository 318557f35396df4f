-- Whose a token is. `service` stands for itself in its project; `own` and `session` stand for an account, with what that has
-- at the moment of use, and `role` then says what of it the token was made for, empty for all of it.
ALTER TABLE token ADD COLUMN kind TEXT NOT NULL DEFAULT 'service';
ALTER TABLE token ADD COLUMN account_id BIGINT;
ALTER TABLE token ADD COLUMN made_by TEXT NOT NULL DEFAULT '';
ALTER TABLE token ADD COLUMN used_ms BIGINT;
CREATE INDEX token_by_account ON token (account_id);
