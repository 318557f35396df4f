-- What was moved in from another store: where a thing of theirs is here, and what of it was read there. `mark` is the
-- fingerprint that it had there when the last of it was stored here, empty before that; `tally` is JSON.

CREATE TABLE moved (
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    theirs TEXT NOT NULL,
    ours TEXT NOT NULL,
    mark TEXT NOT NULL,
    tally TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (source, kind, theirs)
);
