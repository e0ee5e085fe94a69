-- oldest-release: 0.1.0
--
-- Keeps the log correct under faults: the durability of every writer, the waits of retries, the
-- announcement of deletions, and the place in which a log was begun.

ALTER TABLE progress_log
    -- The number of statements that have deleted events. A relay that reads a new number looks into
    -- progress_deletion for the classes concerned.
    ADD COLUMN deletions  bigint NOT NULL DEFAULT 0,
    -- The place in which the ids were allocated: the cluster and the database, the table, and the
    -- timeline of the WAL. A dump contains these values, and they do not match the place in which
    -- it is restored: the nonce is renewed then. NULL until a relay has looked.
    ADD COLUMN home       text,
    ADD COLUMN home_table oid,
    ADD COLUMN timeline   text;

-- The classes in which each numbered statement has deleted events; an empty class stands for all
-- classes. Only the newest deletions are kept. A relay that is further behind treats all classes as
-- concerned.
CREATE TABLE progress_deletion (
    deletion bigint NOT NULL,
    class_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (deletion, class_id)
);

-- The cluster and the database. Where the system identifier cannot be read, only the database's oid
-- is compared.
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

-- With synchronous_commit off, a crash may lose a transaction whose events dashboards have already
-- received, and its ids are then allocated to other events. So the order trigger raises the setting
-- for the transaction.
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
        -- Every row existed already. A commit that has written nothing does not wait for a standby,
        -- and the existing row may not have reached the standby yet. A message in the WAL makes
        -- this commit wait as the commit of the row did.
        PERFORM pg_catalog.pg_logical_emit_message(true, 'progress_event', '');
    END IF;
    RETURN NULL;
END
$$;

-- Events were deleted by SQL. Subscribers cannot resume before the last of them any more, the
-- snapshots of the classes concerned are void, and every relay is told. The function runs with the
-- rights of its owner, since a role that may delete events need not have rights on these tables.
-- Retention keeps the state that was derived from the events, so it sets progress_relay.pruning =
-- on: only pruned_id changes then.
CREATE FUNCTION progress_event_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    -- The number of deletions that are kept.
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
        -- A class without a row counts as complete up to through_id, which does not hold for the
        -- classes whose rows were just deleted.
        UPDATE state_through SET through_id = 0, nonce = '';
    END IF;
    PERFORM pg_catalog.pg_notify('progress_event', '');
    RETURN NULL;
END
$$;

-- After TRUNCATE … RESTART IDENTITY ids are allocated a second time, so a new epoch begins, at id
-- 0.
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
-- BEFORE, since the sequence must still have the last id.
CREATE TRIGGER progress_event_emptied BEFORE TRUNCATE ON progress_event
    FOR EACH STATEMENT EXECUTE FUNCTION progress_event_deleted();
CREATE TRIGGER progress_event_truncated AFTER TRUNCATE ON progress_event
    FOR EACH STATEMENT EXECUTE FUNCTION progress_event_truncated();
ALTER TABLE progress_event ENABLE ALWAYS TRIGGER progress_event_deleted;
ALTER TABLE progress_event ENABLE ALWAYS TRIGGER progress_event_emptied;
ALTER TABLE progress_event ENABLE ALWAYS TRIGGER progress_event_truncated;
