-- The secrets of clients that were made for this server at a provider of logins, sealed; `method` is how each is shown.
CREATE TABLE oidc_client (
    issuer TEXT NOT NULL,
    client_id TEXT NOT NULL,
    secret TEXT NOT NULL,
    method TEXT NOT NULL,
    set_ms BIGINT NOT NULL,
    set_by TEXT NOT NULL,
    PRIMARY KEY (issuer, client_id)
);
