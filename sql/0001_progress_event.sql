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
    -- The database's clock, read under the ordering lock. It increases with the ids, unless the
    -- database's clock is set back.
    received_at timestamptz NOT NULL DEFAULT clock_timestamp() CHECK (isfinite(received_at)),
    -- json, not jsonb: it is delivered as it was written, and costs a quarter less to insert.
    body        json NOT NULL CHECK (json_typeof(body) = 'object')
);

-- The identity of an event: a retry repeats all four columns. The class and the student come first,
-- so that inserts go to a few hot pages (a unique index on the random event_id alone writes four
-- times the WAL). They are part of the identity so that an event of one class never counts as a
-- repetition of another class's event.
CREATE UNIQUE INDEX progress_event_identity
    ON progress_event (class_id, student_id, occurred_at, event_id);

-- The events of a class, in order.
CREATE INDEX progress_event_class ON progress_event (class_id, id);

-- The ordering lock. An INSERT takes it before any id is allocated, and holds it until the end of
-- its transaction. So ids are in the order of commits: a reader that sees id n sees every smaller
-- id that will ever be committed. Without the lock a reader could pass an id whose transaction
-- commits later, and would never deliver that event. Any other transaction that must stop the log
-- for a moment calls this function first, before it takes another lock.
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

-- The doorbell: one NOTIFY for each statement, with an empty payload. It tells a replica to look;
-- the events are read from the table.
CREATE FUNCTION progress_event_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A statement trigger also fires for zero rows (if all are duplicates). The doorbell does not
    -- ring then.
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
-- The triggers must also fire in a session with session_replication_role = replica. Its ids would
-- otherwise not be in the order of commits.
ALTER TABLE progress_event ENABLE ALWAYS TRIGGER progress_event_order;
ALTER TABLE progress_event ENABLE ALWAYS TRIGGER progress_event_ring;

-- The state of the log that cursors depend on. The table has one row.
CREATE TABLE progress_log (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    -- Renewed when ids may have been reassigned (a restored backup): see progress_epoch().
    nonce     text NOT NULL DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 12)
              CHECK (nonce ~ '^[0-9a-f]{12}$'),
    -- Every id up to this one may have been pruned: a cursor below it cannot be resumed.
    pruned_id bigint NOT NULL DEFAULT 0
);
INSERT INTO progress_log DEFAULT VALUES;

-- The epoch, which names the generation of ids: the nonce, and the timeline of the WAL that is
-- being written, which a promotion changes. The function fails on a standby. That is intended,
-- since a standby may lack events that the primary has acknowledged.
CREATE FUNCTION progress_epoch() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT nonce || ltrim(left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), '0')
        FROM progress_log
$$;
