-- Who is told of changes: URLs with the events they ask for, how far the ledger was read, and what is still to be sent.

CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    description TEXT NOT NULL,
    secret TEXT NOT NULL,
    status TEXT NOT NULL,
    from_seq BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);

-- The last entry of the ledger that was turned into deliveries; its one row is locked by whoever does so.
CREATE TABLE webhook_cursor (one BIGINT PRIMARY KEY, seq BIGINT NOT NULL);
INSERT INTO webhook_cursor (one, seq) VALUES (1, 0);

-- One event for one webhook. `status` is due, done or failed; a claim that has run out may be taken over.
CREATE TABLE webhook_delivery (
    id TEXT PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhook (id),
    seq BIGINT NOT NULL,
    event TEXT NOT NULL,
    payload TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    claimed_until_ms BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    answer TEXT NOT NULL
);
-- A webhook hears things in their order: only the first that is due of each is ever looked for.
CREATE UNIQUE INDEX webhook_delivery_next ON webhook_delivery (webhook_id, status, seq);
