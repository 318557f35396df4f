-- Whom the signed words of another server stand for: machines that are trusted here, and people who log in elsewhere.

-- A token of `issuer` for `audience` whose subject fits the pattern and whose claims are these is worth `role` in `project`.
CREATE TABLE trust (
    id TEXT PRIMARY KEY,
    issuer TEXT NOT NULL,
    audience TEXT NOT NULL,
    subject TEXT NOT NULL,
    claims TEXT NOT NULL,
    project TEXT NOT NULL,
    role TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    made_by TEXT NOT NULL
);
CREATE INDEX trust_by_issuer ON trust (issuer);

-- What was shown and counts no second time, until it would not count anyway.
CREATE TABLE shown_token (
    hash TEXT PRIMARY KEY,
    ends_ms BIGINT NOT NULL
);
CREATE INDEX shown_token_by_end ON shown_token (ends_ms);

-- Which account somebody elsewhere is. A name proves nothing: only issuer and subject do.
CREATE TABLE account_link (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    account_id BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX account_link_by_account ON account_link (account_id);

-- What a group of the provider is worth here; `project` is an id.
CREATE TABLE group_role (
    name TEXT NOT NULL,
    project TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (name, project, role)
);

-- Whether a binding follows the groups of its holder, and ends with them; all others were made by hand and stay.
ALTER TABLE binding ADD COLUMN of_groups BIGINT NOT NULL DEFAULT 0;
