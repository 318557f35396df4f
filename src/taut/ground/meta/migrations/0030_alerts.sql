-- What a closed window counted, with the settings that its detectors had, so that an alert can be replayed: `counts` is
-- compressed MessagePack, `checks` how often each detector has looked by then, `state` a digest of what they remembered.
CREATE TABLE monitor_counts (
    deployment TEXT NOT NULL,
    start_ms BIGINT NOT NULL,
    reference BIGINT NOT NULL,
    counts BYTEA NOT NULL,
    settings TEXT NOT NULL,
    checks TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (deployment, start_ms)
);

-- The life of an alert. `last_ms` is the newest window in alarm, `closed_event_ms` the end of the windows that were
-- known when it was closed: cool-downs run in the time of events.
ALTER TABLE alert ADD COLUMN reference BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN last_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN windows BIGINT NOT NULL DEFAULT 1;
ALTER TABLE alert ADD COLUMN peak DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN features TEXT NOT NULL DEFAULT '[]';
ALTER TABLE alert ADD COLUMN follows TEXT NOT NULL DEFAULT '';
ALTER TABLE alert ADD COLUMN closed_event_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN closed_at_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alert ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE alert ADD COLUMN story TEXT NOT NULL DEFAULT '';

-- Who is to be told of which change of an alert: `place` orders what one receiver hears of one alert.
CREATE TABLE notice (
    id TEXT PRIMARY KEY,
    alert_id TEXT NOT NULL,
    change TEXT NOT NULL,
    place BIGINT NOT NULL,
    receiver TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    claimed_until_ms BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    ended_ms BIGINT NOT NULL,
    answer TEXT NOT NULL
);
CREATE INDEX notice_by_alert ON notice (alert_id, receiver, place);
CREATE INDEX notice_by_status ON notice (status, due_ms);
