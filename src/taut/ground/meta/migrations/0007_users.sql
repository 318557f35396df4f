-- People, the named sets of grants that they hold, and the one row that says that something of it changed.

-- `version` is raised in the transaction of every change of who may do what, so whoever remembers an answer compares it.
-- It also numbers the rows below: no number comes twice, so nothing that is made anew inherits old rights.
-- `logins` counts the tokens and users ever made: once it is past 0, nobody passes unasked again.
CREATE TABLE access_state (one BIGINT PRIMARY KEY, version BIGINT NOT NULL, logins BIGINT NOT NULL);
INSERT INTO access_state (one, version, logins) SELECT 1, COUNT(*), COUNT(*) FROM token;

CREATE TABLE account (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL,
    role TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);

-- A named set of grants. What is granted to one person alone stands in a set of their own: `account_id` names them.
CREATE TABLE grant_set (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    account_id BIGINT UNIQUE REFERENCES account (id)
);

-- `kind` is experiment, model or home; `resource` an experiment's id, a model's name, or * for all of the kind.
CREATE TABLE grant_row (
    id BIGINT PRIMARY KEY,
    set_id BIGINT NOT NULL REFERENCES grant_set (id),
    kind TEXT NOT NULL,
    resource TEXT NOT NULL,
    level TEXT NOT NULL,
    UNIQUE (set_id, kind, resource)
);
CREATE INDEX grant_row_by_resource ON grant_row (kind, resource);

CREATE TABLE grant_holder (
    id BIGINT PRIMARY KEY,
    set_id BIGINT NOT NULL REFERENCES grant_set (id),
    account_id BIGINT NOT NULL REFERENCES account (id),
    UNIQUE (set_id, account_id)
);
CREATE INDEX grant_holder_by_account ON grant_holder (account_id);
