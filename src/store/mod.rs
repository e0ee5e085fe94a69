//! The database: connections, the statements that read the log, and what PostgreSQL's errors mean
//! to the relay.

mod connect;
mod doorbell;
mod errors;
mod history;
mod keeping;
mod pages;
mod read;
mod refused;
mod rows;
mod session;
mod snapshot;
mod survey;
mod types;
mod watch;

pub use crate::agreement::{Agreement, Backend, DISPUTE_PATIENCE, Primary};
pub use connect::Connector;
pub use doorbell::{CHANNEL, notification_queue_usage, notify};
pub use errors::{
    ConnectError, OLDEST_POSTGRES, Verdict, explain, is_connection_lost, is_lock_timeout, verdict,
};
pub use history::{ListedClass, Listing, history_statements};
pub use keeping::{
    EventRow, LEADER_SILENCE, LogVersion, SilentLeader, class_events, classes_behind, classes_kept,
    classes_with_events, current_epoch, end_silent_leader, hold_log, kept_through, prepare_leader,
    remove_void, replace_class, say_something, scan_statement, set_kept_through, silent_leader,
    standing_snapshots, try_elect,
};
pub use pages::{PageError, Pages};
pub use read::{
    Extent, Header, Homecoming, LogReader, ReadError, SETTINGS as READ_SETTINGS, deleted_classes,
    mend_sequence, renew_nonce, settle_home,
};
pub use refused::{Refused, RefusedCount};
pub use rows::{
    Cell, CellRow, Changes, ClassRow, LastRun, Minute, Runs, RunsRow, Snapshot, Student, StudentRow,
};
pub use session::Session;
pub use snapshot::{
    SnapshotStatements, SnapshotWriter, StoredSnapshot, at_one_moment, read_in, read_snapshot,
    select_statements,
};
pub use survey::Surveyed;
pub use types::{PgMicros, RawJson};
pub use watch::{Blocker, LONG_WAIT, blocker, is_active, terminate};
