-- oldest-release: 0.1.0
--
-- The log of events, its ordering lock, its doorbell, and the epoch of its ids.

CREATE TABLE progress_event (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    uuid NOT NULL,
    -- The bounds keep a B-tree entry under its 2,704 bytes, for every writer.
    class_id    text COLLATE "C" NOT NULL CHECK (octet_length(class_id) BETWEEN 1 AND 200),
    student_id  text COLLATE "C" NOT NULL CHECK (octet_length(student_id) BETWEEN 1 AND 200),
    -- The client's clock.
    occurred_at timestamptz NOT NULL
                CHECK (occurred_at >= '2000-01-01T00:00:00Z'
                       AND occurred_at < '2101-01-01T00:00:00Z'),
    -- The database's clock, read under the ordering lock: it never runs against the ids
    -- unless the database's own clock does.
    received_at timestamptz NOT NULL DEFAULT clock_timestamp() CHECK (isfinite(received_at)),
    -- json, not jsonb: it is passed on as it was written, and costs a quarter less to insert.
    body        json NOT NULL CHECK (json_typeof(body) = 'object')
);

-- The identity: a retry repeats all four. The class and the student stand in front so that inserts
-- go to a few hot pages (a unique index on the random event_id alone writes four times the WAL),
-- and so that no class can swallow another's events.
CREATE UNIQUE INDEX progress_event_identity
    ON progress_event (class_id, student_id, occurred_at, event_id);

-- A class's pages, in order.
CREATE INDEX progress_event_class ON progress_event (class_id, id);

-- The ordering lock. An INSERT takes it before any id is allocated and holds it until the end of
-- the transaction, so that id order is commit order: a reader that sees id n sees every smaller id
-- that will ever commit. Any other transaction that must stop the log for a moment calls this
-- function first, before any other lock.
CREATE FUNCTION progress_event_lock() RETURNS void LANGUAGE sql AS $$
    -- 1886545776 is a constant of this project. The second key is the table's oid as an int4.
    SELECT pg_catalog.pg_advisory_xact_lock(
        1886545776, ('progress_event'::regclass::oid::bigint - 2147483648)::int)
$$;

CREATE FUNCTION progress_event_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(1886545776, (TG_RELID::bigint - 2147483648)::int);
    RETURN NULL;
END
$$;

-- One NOTIFY a statement, with nothing in it: it says "look", the table says what.
CREATE FUNCTION progress_event_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A statement trigger fires on zero rows too (all duplicates): no bell then.
    IF EXISTS (SELECT FROM inserted) THEN
        PERFORM pg_catalog.pg_notify('progress_event', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER progress_event_order BEFORE INSERT ON progress_event
    FOR EACH STATEMENT EXECUTE FUNCTION progress_event_order();
CREATE TRIGGER progress_event_ring AFTER INSERT ON progress_event
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION progress_event_ring();
-- Also for a session with session_replication_role = replica, which would skip ids otherwise.
ALTER TABLE progress_event ENABLE ALWAYS TRIGGER progress_event_order;
ALTER TABLE progress_event ENABLE ALWAYS TRIGGER progress_event_ring;

-- The state that the log's cursors depend on; one row.
CREATE TABLE progress_log (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    -- Renewed when ids may have been reassigned (a restored backup): see progress_epoch().
    nonce     text NOT NULL DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 12)
              CHECK (nonce ~ '^[0-9a-f]{12}$'),
    -- Every id up to this one may have been pruned: a cursor below it cannot be resumed.
    pruned_id bigint NOT NULL DEFAULT 0
);
INSERT INTO progress_log DEFAULT VALUES;

-- The epoch of the ids: the nonce, and the timeline of the WAL being written, which a promotion
-- changes. It fails on a standby, on purpose: a standby's ids are not yet the truth.
CREATE FUNCTION progress_epoch() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT nonce || ltrim(left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), '0')
        FROM progress_log
$$;
