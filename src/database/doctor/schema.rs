//! The table of events as the server has it: its triggers, indexes and sequence.

use serde::Deserialize;

use super::ask::{Trouble, row, rows};
use crate::database::session::Session;

/// A trigger of the table of events.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TriggerRow {
    /// Its name.
    pub(crate) name: String,
    /// When it fires, as `pg_trigger` has it: `A` is always.
    pub(crate) enabled: String,
    /// The function that it calls.
    pub(crate) function: String,
    /// The table, in full.
    pub(crate) table: String,
}

/// The triggers of the table of events.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn trigger_rows(session: &Session) -> Result<Vec<TriggerRow>, Trouble> {
    const TRIGGERS: &str = "\
        SELECT tgname::text AS name, tgenabled::text AS enabled, proname::text AS function, \
            format('%I.%I', nspname, relname) AS table \
        FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid \
            JOIN pg_class ON pg_class.oid = tgrelid \
            JOIN pg_namespace ON pg_namespace.oid = relnamespace \
        WHERE tgrelid = 'progress_event'::regclass AND NOT tgisinternal";
    rows(session, TRIGGERS).await
}

/// An index of a table of the relay.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct IndexRow {
    /// Its name.
    pub(crate) name: String,
    /// Its schema and name.
    pub(crate) full_name: String,
    /// Whether the server uses and maintains it.
    pub(crate) is_valid: bool,
}

/// The indexes of the relay's tables.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn index_rows(session: &Session) -> Result<Vec<IndexRow>, Trouble> {
    const INDEXES: &str = "\
        SELECT class.relname::text AS name, indisvalid AND indisready AS is_valid, \
            format('%I.%I', nspname, class.relname) AS full_name \
        FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid \
            JOIN pg_namespace ON pg_namespace.oid = class.relnamespace \
            JOIN pg_class AS indexed ON indexed.oid = indrelid \
        WHERE indexed.relnamespace = \
                (SELECT relnamespace FROM pg_class WHERE oid = 'progress_event'::regclass) \
          AND indexed.relname IN ('progress_event', 'progress_log', 'progress_deletion', \
            'class_state', 'state_through', 'student_state', 'cell_state', 'student_cell_state', \
            'activity_state', 'lesson_state', 'refused_event', 'sign_in_key', 'sign_in_link', \
            'sign_out', 'audit_entry')";
    rows(session, INDEXES).await
}

/// The sequence of ids, and the column that it serves.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SequenceRow {
    /// The sequence's schema and name.
    pub(crate) name: String,
    /// The table's schema and name.
    pub(crate) table: String,
    /// `a` for GENERATED ALWAYS, `d` for BY DEFAULT.
    pub(crate) identity: String,
    /// The ids that a session takes at once.
    pub(crate) cache: i64,
    /// The distance of two ids.
    pub(crate) increment: i64,
    /// Whether it begins again at its end.
    pub(crate) cycles: bool,
    /// The id that it allocated last; 0 before the first.
    pub(crate) last: i64,
    /// The largest id of the table, or that may have been pruned.
    pub(crate) newest: i64,
    /// The largest id that it can allocate.
    pub(crate) limit: i64,
}

/// The sequence of ids.
///
/// # Errors
/// If the server does not tell, or there is no such sequence.
pub(crate) async fn sequence_row(session: &Session) -> Result<SequenceRow, Trouble> {
    // The sequence is read first. An id that is allocated in between is then larger than `last`
    // only if it is the table's, so the two are read in one statement of one snapshot; the sequence
    // itself is outside of snapshots, and is at least as new.
    const SEQUENCE: &str = "\
        SELECT format('%I.%I', nspname, class.relname) AS name, attidentity::text AS identity, \
            (SELECT format('%I.%I', nspname, relname) FROM pg_class AS events \
                JOIN pg_namespace ON pg_namespace.oid = events.relnamespace \
                WHERE events.oid = attrelid) AS table, \
            seqcache AS cache, seqincrement AS increment, seqcycle AS cycles, seqmax AS limit, \
            (SELECT CASE WHEN is_called THEN last_value ELSE 0 END \
                FROM progress_event_id_seq) AS last, \
            greatest((SELECT coalesce(max(id), 0) FROM progress_event), \
                (SELECT coalesce(max(pruned_id), 0) FROM progress_log)) AS newest \
        FROM pg_attribute JOIN pg_sequence ON seqrelid = 'progress_event_id_seq'::regclass \
            JOIN pg_class AS class ON class.oid = seqrelid \
            JOIN pg_namespace ON pg_namespace.oid = class.relnamespace \
        WHERE attrelid = 'progress_event'::regclass AND attname = 'id'";
    row(session, SEQUENCE).await
}
