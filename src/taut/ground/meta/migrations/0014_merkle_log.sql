-- The ledger as a Merkle log: a row of an entry holds its hash, `leaf`; full tiles of hashes stand beside. Of a body that
-- was erased only the `commitment` is left, which is what the leaf was made of.

ALTER TABLE ledger RENAME TO ledger_chain;
DROP INDEX ledger_by_kind;
DROP INDEX ledger_by_subject;

-- In SQLite a key of this kind is the place of the row itself, and needs no index.
{only sqlite} CREATE TABLE ledger (
    seq INTEGER PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT,
    salt BYTEA,
    commitment BYTEA,
    leaf BYTEA NOT NULL
);
{only postgresql} CREATE TABLE ledger (
    seq BIGINT PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT,
    salt BYTEA,
    commitment BYTEA,
    leaf BYTEA NOT NULL
);

CREATE TABLE ledger_tile (
    level BIGINT NOT NULL,
    place BIGINT NOT NULL,
    hashes BYTEA NOT NULL,
    PRIMARY KEY (level, place)
);

{python merkle_log};

-- Nearly all entries of a busy home are of the one kind that the index by kind leaves out.
CREATE INDEX ledger_by_kind ON ledger (kind, seq) WHERE kind <> 'run.logged';
CREATE INDEX ledger_by_subject ON ledger (subject, seq);

DROP TABLE ledger_chain;
DROP TABLE ledger_head;
