-- What was answered to requests that carry a key of their caller's, written with the change itself: asked again, they
-- are answered from here and nothing is done twice. `digest` names the request, `body` is the answer.
CREATE TABLE answered (
    actor TEXT NOT NULL,
    key TEXT NOT NULL,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (actor, key)
);
CREATE INDEX answered_by_age ON answered (at_ms);
