-- oldest-release: 0.1.0
--
-- Keeps the log true under faults: every writer is durable, a retry waits as its row did, deletions
-- are announced, and a log knows the place that it was made in.

ALTER TABLE progress_log
    -- How many statements have deleted events. A relay that sees another number than it knows looks
    -- into progress_deletion for the classes concerned.
    ADD COLUMN deletions  bigint NOT NULL DEFAULT 0,
    -- Where the ids were given out: the cluster and the database, the table, and the WAL's
    -- timeline. A dump carries these values with it, and does not fit the place that it is restored
    -- to: the nonce is renewed then. NULL until a relay has looked.
    ADD COLUMN home       text,
    ADD COLUMN home_table oid,
    ADD COLUMN timeline   text;

-- The classes in which a statement deleted events, by its number; an empty class stands for all of
-- them. The newest deletions are kept: a relay that is further behind takes all classes for
-- concerned.
CREATE TABLE progress_deletion (
    deletion bigint NOT NULL,
    class_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (deletion, class_id)
);

-- The cluster and the database. The system identifier is not readable everywhere: where it is not,
-- the rest counts.
CREATE FUNCTION progress_home() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    cluster text;
BEGIN
    BEGIN
        SELECT system_identifier::text INTO cluster FROM pg_catalog.pg_control_system();
    EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
        cluster := 'unknown';
    END;
    RETURN cluster || '/'
        || (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database());
END
$$;

-- A writer with synchronous_commit off could have its ids given out a second time after a crash, to
-- other events, when dashboards have seen them already. The order trigger therefore raises it for
-- the transaction.
CREATE OR REPLACE FUNCTION progress_event_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_catalog.current_setting('synchronous_commit') = 'off' THEN
        PERFORM pg_catalog.set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock(1886545776, (TG_RELID::bigint - 2147483648)::int);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION progress_event_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('progress_event', '') FROM inserted LIMIT 1;
    IF NOT FOUND THEN
        -- Every row was there already. A commit that has written nothing waits for no standby, and
        -- the row that was there may not have reached one yet. A message in the WAL makes this
        -- commit wait as the row's own did.
        PERFORM pg_catalog.pg_logical_emit_message(true, 'progress_event', '');
    END IF;
    RETURN NULL;
END
$$;

-- Events that are deleted by SQL: ids up to the last of them cannot be resumed from any more, the
-- snapshots of the classes concerned are void, and every relay is told. It runs as its owner, since
-- a role that may delete events need not have rights on these tables. Retention keeps the state
-- that the events led to: it sets progress_relay.pruning = on, and then only pruned_id moves.
CREATE FUNCTION progress_event_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    -- How many deletions are kept.
    kept CONSTANT bigint := 1000;
    last   bigint;
    number bigint;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        SELECT last_value INTO last FROM progress_event_id_seq WHERE is_called;
    ELSE
        SELECT max(id) INTO last FROM deleted;
    END IF;
    IF last IS NULL THEN
        RETURN NULL;
    END IF;
    IF coalesce(pg_catalog.current_setting('progress_relay.pruning', true), '') = 'on'
        AND TG_OP = 'DELETE' THEN
        UPDATE progress_log SET pruned_id = greatest(pruned_id, last);
    ELSE
        UPDATE progress_log SET pruned_id = greatest(pruned_id, last), deletions = deletions + 1
            RETURNING deletions INTO number;
        IF TG_OP = 'TRUNCATE' THEN
            INSERT INTO progress_deletion VALUES (number, '');
            DELETE FROM class_state;
        ELSE
            INSERT INTO progress_deletion SELECT DISTINCT number, class_id FROM deleted;
            DELETE FROM class_state USING progress_deletion AS concerned
                WHERE concerned.deletion = number AND class_state.class_id = concerned.class_id;
        END IF;
        DELETE FROM progress_deletion WHERE deletion <= number - kept;
        -- Without its own row a class counts as complete up to this id: that holds no longer.
        UPDATE state_through SET through_id = 0, nonce = '';
    END IF;
    PERFORM pg_catalog.pg_notify('progress_event', '');
    RETURN NULL;
END
$$;

-- After TRUNCATE … RESTART IDENTITY ids are given out a second time: that is another epoch, which
-- begins at 0.
CREATE FUNCTION progress_event_truncated() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    last bigint;
BEGIN
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO last FROM progress_event_id_seq;
    UPDATE progress_log
        SET pruned_id = 0, nonce = left(replace(gen_random_uuid()::text, '-', ''), 12)
        WHERE pruned_id > last;
    RETURN NULL;
END
$$;

CREATE TRIGGER progress_event_deleted AFTER DELETE ON progress_event
    REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION progress_event_deleted();
-- Before, when the sequence still says how far the ids went.
CREATE TRIGGER progress_event_emptied BEFORE TRUNCATE ON progress_event
    FOR EACH STATEMENT EXECUTE FUNCTION progress_event_deleted();
CREATE TRIGGER progress_event_truncated AFTER TRUNCATE ON progress_event
    FOR EACH STATEMENT EXECUTE FUNCTION progress_event_truncated();
ALTER TABLE progress_event ENABLE ALWAYS TRIGGER progress_event_deleted;
ALTER TABLE progress_event ENABLE ALWAYS TRIGGER progress_event_emptied;
ALTER TABLE progress_event ENABLE ALWAYS TRIGGER progress_event_truncated;
