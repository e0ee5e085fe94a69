-- oldest-release: 0.1.0
--
-- Who signed in, opened a class or a student, exported or acted, and whom the relay refused. Only
-- replicas that know their callers write here, a moment after the request; what is recorded never
-- delays it. docs/audit.md has the actions.

CREATE TABLE audit_entry (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The time of the request, by the database's clock.
    at         timestamptz NOT NULL,
    action     text COLLATE "C" NOT NULL,
    -- Who called; NULL where that is not known.
    subject    text COLLATE "C",
    role       text COLLATE "C",
    -- How the caller is known: token, session, proxy or link.
    source     text COLLATE "C",
    class_id   text COLLATE "C",
    student_id text COLLATE "C",
    address    inet NOT NULL,
    -- More about the action, by a word: the format of an export, the reason of a refusal.
    detail     text COLLATE "C"
);
CREATE INDEX audit_entry_at ON audit_entry (at);
CREATE INDEX audit_entry_class ON audit_entry (class_id, id);
CREATE INDEX audit_entry_subject ON audit_entry (subject, id);

-- Deletes some of the oldest entries that are older than this age, and returns their number. It has
-- its owner's rights: a role that may only run the relay can neither change an entry nor delete one
-- of the last day.
CREATE FUNCTION progress_audit_prune(age_seconds bigint, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    deleted integer;
BEGIN
    -- The function has its owner's rights, so it looks itself whether the caller keeps the audit.
    IF NOT has_table_privilege(session_user, 'audit_entry', 'INSERT')
        AND NOT has_column_privilege(session_user, 'audit_entry', 'action', 'INSERT') THEN
        RAISE insufficient_privilege USING MESSAGE = 'permission denied for table audit_entry';
    END IF;
    DELETE FROM audit_entry WHERE id IN (
        SELECT id FROM audit_entry
        WHERE at < now() - make_interval(secs => greatest(age_seconds, 86400))
        ORDER BY at LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
