-- What the ledger is signed with and what was anchored: `key` is the public key of this home, as C2SP signed notes write it.
CREATE TABLE ledger_key (
    one BIGINT PRIMARY KEY,
    origin TEXT NOT NULL,
    key TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);

-- The digests of rows that changed between two anchors: `seq` is the entry of the later one, which names the hash of `body`.
CREATE TABLE ledger_state (
    seq BIGINT NOT NULL,
    scope TEXT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (seq, scope)
);

-- Checkpoints of other homes, kept for them.
CREATE TABLE ledger_kept (
    origin TEXT NOT NULL,
    size BIGINT NOT NULL,
    note TEXT NOT NULL,
    key TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (origin, size)
);
