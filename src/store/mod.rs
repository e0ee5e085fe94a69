//! The database: connections, the statements that read the log, and what PostgreSQL's errors mean
//! to the relay.

mod agreement;
mod class_events;
mod connect;
mod election;
mod history;
mod log_version;
mod pages;
mod read;
mod refused;
mod scan;
mod snapshot;
mod survey;
mod types;
mod watch;

pub use agreement::{Agreement, Backend, DISPUTE_PATIENCE, Primary};
pub(crate) use class_events::class_events;
pub use connect::{ConnectError, Connector, Session};
pub(crate) use election::{
    LEADER_SILENCE, SilentLeader, end_silent_leader, prepare_leader, send_keepalive, silent_leader,
    try_elect,
};
pub use history::history_statements;
pub(crate) use log_version::{LogVersion, begin_version_without, current_epoch, hold_log};
pub use pages::{PageError, Pages};
pub use read::{
    Extent, Header, Homecoming, LogReader, ReadError, SETTINGS as READ_SETTINGS, deleted_classes,
    mend_sequence, renew_nonce, settle_home,
};
pub use refused::{Refused, RefusedCount};
pub use scan::scan_statement;
pub(crate) use scan::{classes_behind, classes_with_events};
pub(crate) use snapshot::{
    CellKey, Changes, SnapshotStatements, StoredSnapshot, StudentCellKey, at_one_moment,
    classes_with_snapshots, complete_through, delete_void_rows, lock_class_rows, read_in,
    set_complete_through,
};
pub use snapshot::{
    CellRow, ClassRow, LastRunColumns, MinuteRow, Snapshot, StudentCellRow, StudentRow, TopError,
    select_statements,
};
pub use survey::Surveyed;
pub use types::{PgMicros, RawJson};
pub use watch::{Blocker, LONG_WAIT, blocker, is_active, notify, terminate};

use tokio_postgres::error::{Error, SqlState};

/// The channel that the doorbell rings on.
pub const CHANNEL: &str = "progress_event";

/// Oldest major release of PostgreSQL that the SQL here is for (`pg_locks.waitstart`).
pub const OLDEST_POSTGRES: u32 = 14;

/// What an error of a statement means for what it carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The connection is gone, or the server is starting or stopping.
    Lost,
    /// The server or the session is at fault, whatever the statement carried: a lock or a deadline
    /// was in the way, the server is read-only or full, a right is missing.
    Server,
    /// One of the rows may be at fault, or all would be: only another statement can tell.
    Doubtful,
}

/// Judges an error of an INSERT. The classes are those of the manual's appendix "PostgreSQL Error
/// Codes".
pub fn verdict(error: &Error) -> Verdict {
    if is_connection_lost(error) {
        return Verdict::Lost;
    }
    // Without a code it is the driver's: a value that it cannot send or read, or a broken
    // connection.
    let Some(state) = error.code() else { return Verdict::Lost };
    // These forbid a row where row-level security is on, and everything where it is not.
    if *state == SqlState::INSUFFICIENT_PRIVILEGE {
        return Verdict::Doubtful;
    }
    match state.code().get(..2) {
        // Data exception; integrity constraint; a view's check option; program limit exceeded (also
        // a full NOTIFY queue); a trigger's RAISE; what a trigger does may not be supported or not
        // be defined.
        Some("22" | "23" | "44" | "54" | "P0" | "0A" | "42") => Verdict::Doubtful,
        _ => Verdict::Server,
    }
}

/// Whether a lock was not to be had in time: nothing is wrong with the connection.
pub fn is_lock_timeout(error: &Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// Whether the connection is gone, or the server is starting or stopping: what was asked may be
/// asked again on another.
pub fn is_connection_lost(error: &Error) -> bool {
    let state = error.code().map(SqlState::code);
    error.is_closed()
        || state.is_some_and(|state| state.starts_with("57P0") || state.starts_with("08"))
}

/// An error with its causes and, from the server, its code: tokio-postgres's own text is just "db
/// error".
pub fn explain(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => crate::error::chain(error),
    }
}
