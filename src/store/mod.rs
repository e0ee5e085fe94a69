//! The database: connections, the statements that read the log, and what PostgreSQL's errors mean to the relay.

mod connect;
mod history;
mod keeping;
mod pages;
mod read;
mod rows;
mod snapshot;
mod types;
mod watch;

pub use connect::{ConnectError, Connector, Session};
pub use history::{ListedClass, Listing, history_statements};
pub use keeping::{
    EventRow, LEADER_SILENCE, LogVersion, SilentLeader, class_events, classes_behind, classes_kept,
    classes_with_events, end_silent_leader, hold_log, kept_through, prepare_leader, remove_void,
    replace_class, say_something, scan_statement, set_kept_through, silent_leader, standing_snapshots,
    try_elect,
};
pub use pages::{PageError, Pages};
pub use read::{Extent, Header, LogReader, ReadError, SETTINGS as READ_SETTINGS, mend_sequence, renew_nonce};
pub use rows::{
    Cell, CellRow, Changes, ClassRow, LastRun, Minute, Runs, RunsRow, Snapshot, Student, StudentRow,
};
pub use snapshot::{
    SnapshotStatements, SnapshotWriter, StoredSnapshot, at_one_moment, read_in, read_snapshot,
    select_statements,
};
pub use types::{PgMicros, RawJson};
pub use watch::{Blocker, LONG_WAIT, blocker, notify};

use tokio_postgres::error::{Error, SqlState};

/// The channel that the doorbell rings on.
pub const CHANNEL: &str = "progress_event";

/// Oldest major release of PostgreSQL that the SQL here is for (`pg_locks.waitstart`).
pub const OLDEST_POSTGRES: u32 = 14;

/// What an error of a statement means for what it carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The database cannot take these values, now or ever: one of the rows is at fault.
    Data,
    /// It may work later or elsewhere: the connection is gone, a lock or a deadline was in the way, the server is
    /// starting, stopping, read-only, full, or not as it should be.
    Retry,
}

/// Judges an error. The classes are those of the manual's appendix "PostgreSQL Error Codes".
pub fn verdict(error: &Error) -> Verdict {
    let Some(state) = error.code() else { return Verdict::Retry };
    // An event that is there already is no error: these are ids given out twice, or none left. No event is at fault.
    if matches!(*state, SqlState::UNIQUE_VIOLATION | SqlState::SEQUENCE_GENERATOR_LIMIT_EXCEEDED) {
        return Verdict::Retry;
    }
    match state.code().get(..2) {
        // Data exception; integrity constraint; program limit exceeded (an index entry too large, a stack too deep);
        // a trigger's RAISE.
        Some("22" | "23" | "54" | "P0") => Verdict::Data,
        _ => Verdict::Retry,
    }
}

/// Whether a lock was not to be had in time: nothing is wrong with the connection.
pub fn is_lock_timeout(error: &Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// Whether the connection is gone, or the server is starting or stopping: what was asked may be asked again on another.
pub fn is_connection_lost(error: &Error) -> bool {
    let state = error.code().map(SqlState::code);
    error.is_closed() || state.is_some_and(|state| state.starts_with("57P0") || state.starts_with("08"))
}

/// An error with its causes and, from the server, its code: tokio-postgres's own text is just "db error".
pub fn explain(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => crate::error::chain(error),
    }
}
