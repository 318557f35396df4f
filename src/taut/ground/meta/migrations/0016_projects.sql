-- Projects, each a home of its own beside this one, and the roles that accounts are bound to in them.

-- `default` is this home itself. An id is never given twice, so whoever takes an old name inherits nothing.
CREATE TABLE project (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    deleted_ms BIGINT
);
CREATE UNIQUE INDEX project_by_name ON project (name) WHERE deleted_ms IS NULL;
INSERT INTO project (id, name, description, created_ms) VALUES ('default', 'default', '', 0);

-- In a project the accounts stand in another store, so what is granted there names them by number alone.
CREATE TABLE grant_set_now (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    account_id BIGINT UNIQUE
);
CREATE TABLE grant_row_now (
    id BIGINT PRIMARY KEY,
    set_id BIGINT NOT NULL REFERENCES grant_set_now (id),
    kind TEXT NOT NULL,
    resource TEXT NOT NULL,
    level TEXT NOT NULL,
    UNIQUE (set_id, kind, resource)
);
CREATE TABLE grant_holder_now (
    id BIGINT PRIMARY KEY,
    set_id BIGINT NOT NULL REFERENCES grant_set_now (id),
    account_id BIGINT NOT NULL,
    UNIQUE (set_id, account_id)
);
INSERT INTO grant_set_now (id, name, description, account_id) SELECT id, name, description, account_id FROM grant_set;
INSERT INTO grant_row_now (id, set_id, kind, resource, level) SELECT id, set_id, kind, resource, level FROM grant_row;
INSERT INTO grant_holder_now (id, set_id, account_id) SELECT id, set_id, account_id FROM grant_holder;
DROP TABLE grant_row;
DROP TABLE grant_holder;
DROP TABLE grant_set;
ALTER TABLE grant_set_now RENAME TO grant_set;
ALTER TABLE grant_row_now RENAME TO grant_row;
ALTER TABLE grant_holder_now RENAME TO grant_holder;
CREATE INDEX grant_row_by_resource ON grant_row (kind, resource);
CREATE INDEX grant_holder_by_account ON grant_holder (account_id);

-- `project` is the id of one, or * for the server itself: there somebody is its owner or its admin.
CREATE TABLE binding (
    id BIGINT PRIMARY KEY,
    account_id BIGINT NOT NULL,
    project TEXT NOT NULL,
    role TEXT NOT NULL,
    UNIQUE (account_id, project, role)
);
CREATE INDEX binding_by_project ON binding (project);

-- Until now an account had one role for everything: an owner's is the server's, every other one is bound to this home.
INSERT INTO binding (id, account_id, project, role)
SELECT id, id, CASE WHEN role = 'owner' THEN '*' ELSE 'default' END, role FROM account;
ALTER TABLE account DROP COLUMN role;
ALTER TABLE account ADD COLUMN disabled_ms BIGINT;

ALTER TABLE token ADD COLUMN project TEXT NOT NULL DEFAULT 'default';
UPDATE token SET project = '*' WHERE role = 'owner';
