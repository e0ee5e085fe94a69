-- oldest-release: 0.1.0
--
-- The events that ingest rejected, counted by cause, so that an instructor whose students' events
-- do not arrive learns why, at any replica. Replicas add to it every few seconds. Rows older than a
-- week are deleted, and all but the newest 10,000.

CREATE TABLE refused_event (
    class_id text COLLATE "C" NOT NULL,
    -- The field at fault, 'body' for a request that was refused as a whole, or 'other'.
    field    text COLLATE "C" NOT NULL,
    reason   text COLLATE "C" NOT NULL,
    -- How often since first_at; after six hours without one the count starts again.
    count    bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    PRIMARY KEY (class_id, field, reason)
);
CREATE INDEX refused_event_age ON refused_event (last_at);
