-- Who has to agree before a version goes live: how many people a model asks for, what was requested, and who decided.

-- Fewer than before is only `asked` for, and becomes so when somebody else agrees.
CREATE TABLE approval_policy (
    model TEXT PRIMARY KEY,
    needed BIGINT NOT NULL,
    asked BIGINT,
    asked_by TEXT NOT NULL
);

-- A request speaks of these very bytes and this very verdict: `digest` is the model's, `evidence` that of the gate's report.
CREATE TABLE promotion (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    number BIGINT NOT NULL,
    digest TEXT NOT NULL,
    gate TEXT NOT NULL,
    evidence TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);
CREATE INDEX promotion_by_version ON promotion (model, number, at_ms);

-- One decision a person, however many tokens they have.
CREATE TABLE decision (
    promotion TEXT NOT NULL REFERENCES promotion (id),
    person TEXT NOT NULL,
    actor TEXT NOT NULL,
    approves BIGINT NOT NULL,
    reason TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (promotion, person)
);
