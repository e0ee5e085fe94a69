-- oldest-release: 0.1.0
--
-- Lets several installations share a database, each in a schema, and lets an installation live on a
-- server that refuses the WAL functions.
--
-- A function must mean the tables of its own schema, whatever the search_path of the session is
-- that calls it or fires its trigger. So each function here does one of three things. It names
-- everything in full, operators and types too; then it needs no setting, which costs time at every
-- call. Or its body is BEGIN ATOMIC: PostgreSQL looks the names up once, here. Or it has a fixed
-- search_path, which is that of the session that applies this file: the schema, and pg_temp last.

-- The channel on which this installation rings. For the schema public it is the name that replicas
-- of earlier releases listen to. A channel's name has at most 63 bytes.
CREATE FUNCTION progress_channel() RETURNS text LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
            WHEN nspname = 'public' THEN 'progress_event'
            WHEN octet_length(nspname::text) <= 48 THEN 'progress_event.' || nspname::text
            ELSE 'progress_event.' || md5(nspname::text)
        END
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = 'progress_event'::regclass;
END;

-- The ordering lock, for a caller with any search_path.
CREATE OR REPLACE FUNCTION progress_event_lock() RETURNS void LANGUAGE sql
BEGIN ATOMIC
    SELECT pg_advisory_xact_lock(
        1886545776, ('progress_event'::regclass::oid::bigint - 2147483648)::int);
END;

CREATE OR REPLACE FUNCTION progress_event_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off' THEN
        PERFORM pg_catalog.set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock(
        1886545776, (TG_RELID::bigint OPERATOR(pg_catalog.-) 2147483648)::int);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION progress_event_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The channel is that of progress_channel(), which cannot be called here: its schema is not
    -- known before the function runs.
    PERFORM pg_catalog.pg_notify(
        CASE
            WHEN TG_TABLE_SCHEMA OPERATOR(pg_catalog.=) 'public' THEN 'progress_event'
            WHEN pg_catalog.octet_length(TG_TABLE_SCHEMA::pg_catalog.text)
                OPERATOR(pg_catalog.<=) 48
                THEN 'progress_event.' OPERATOR(pg_catalog.||) TG_TABLE_SCHEMA::pg_catalog.text
            ELSE 'progress_event.' OPERATOR(pg_catalog.||)
                pg_catalog.md5(TG_TABLE_SCHEMA::pg_catalog.text)
        END,
        '') FROM inserted LIMIT 1;
    IF NOT FOUND THEN
        -- Every row existed already. A commit that has written nothing does not wait for a standby,
        -- and the existing row may not have reached the standby yet. A message in the WAL makes
        -- this commit wait as the commit of the row did.
        PERFORM pg_catalog.pg_logical_emit_message(true, 'progress_event', '');
    END IF;
    RETURN NULL;
END
$$;

-- As before, with a search_path in which no other schema and no temporary table comes first, and
-- with the channel of this schema. The function has its owner's rights.
CREATE OR REPLACE FUNCTION progress_event_deleted() RETURNS trigger
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
    PERFORM pg_catalog.pg_notify(progress_channel(), '');
    RETURN NULL;
END
$$;

ALTER FUNCTION progress_event_truncated() SET search_path FROM CURRENT;

-- A trigger fires without the right to execute its function. Without that right nobody can put the
-- function on another table, where it would change this installation's tables.
REVOKE EXECUTE ON FUNCTION progress_event_deleted(), progress_event_truncated() FROM PUBLIC;

-- The timeline of the WAL that is being written; empty where the server refuses to tell it. It is
-- read with the rights of the function's owner, so that replicas compute the same epoch whatever
-- their roles may do. It fails on a standby. An error by which PostgreSQL says that it lacks
-- memory or is stopping is no refusal: the epoch must not change for a moment.
CREATE FUNCTION progress_timeline() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    RETURN pg_catalog.ltrim(
        pg_catalog.left(
            pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8),
        '0');
EXCEPTION WHEN OTHERS THEN
    IF pg_catalog.pg_is_in_recovery()
        OR pg_catalog.left(SQLSTATE, 2) OPERATOR(pg_catalog.=) ANY ('{53,54,57,58}') THEN
        RAISE;
    END IF;
    RETURN '';
END
$$;

CREATE OR REPLACE FUNCTION progress_epoch(nonce text) RETURNS text LANGUAGE sql
BEGIN ATOMIC
    SELECT nonce || progress_timeline();
END;
CREATE OR REPLACE FUNCTION progress_epoch() RETURNS text LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT progress_epoch(nonce) FROM progress_log;
END;

-- The cluster and the database, with the rights of the function's owner. Where the server refuses
-- to tell the system identifier, the cluster is 'unknown'.
CREATE OR REPLACE FUNCTION progress_home() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    cluster text;
BEGIN
    BEGIN
        SELECT system_identifier::text INTO cluster FROM pg_control_system();
    EXCEPTION WHEN OTHERS THEN
        IF left(SQLSTATE, 2) IN ('53', '54', '57', '58') THEN
            RAISE;
        END IF;
        cluster := 'unknown';
    END;
    RETURN cluster || '/' || (SELECT oid FROM pg_database WHERE datname = current_database());
END
$$;
