-- The versions behind a revision of a deployment beside the live one, which stands in its own row.
CREATE TABLE deployment_backend (
    name TEXT NOT NULL,
    revision BIGINT NOT NULL,
    place BIGINT NOT NULL,
    model TEXT NOT NULL,
    number BIGINT NOT NULL,
    weight DOUBLE PRECISION NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (name, revision, place)
);
-- Why a revision was made, in somebody's own words, or in those of what rolled back; empty for older ones.
ALTER TABLE deployment ADD COLUMN reason TEXT NOT NULL DEFAULT '';

-- What is known of a canary under way: its counts and the evidence against it, one row from its first revision on.
CREATE TABLE rollout (
    name TEXT NOT NULL,
    began BIGINT NOT NULL,
    state TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (name, began)
);
