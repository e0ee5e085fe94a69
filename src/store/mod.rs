//! The database: connections, and the statements that run on them.
//!
//! - `connect`: makes connections to the primary; `session`: one connection and the task that
//!   drives it; `errors`: PostgreSQL's errors, classified by SQLSTATE
//! - `log`: the header and the events of one read; `identity`: whether ids still mean the same
//!   events
//! - `pages`: the pool on which history is read; `pooled_client`: the clean-up after a read that
//!   was given up; `history`, `refused`: what the API reads on the pool
//! - `snapshot`, `rows`, `keeping`: the snapshots of class state
//! - `doorbell`: the channel of the doorbell; `lock_wait`: the sessions that block writers;
//!   `survey`: whether a host is the primary; `types`: PostgreSQL's binary format

mod connect;
mod doorbell;
mod errors;
mod history;
mod identity;
mod keeping;
mod lock_wait;
mod log;
mod pages;
mod pooled_client;
mod refused;
mod rows;
mod session;
mod snapshot;
mod survey;
mod types;

pub use crate::agreement::{Agreement, Backend, DISPUTE_PATIENCE, Primary};
pub use connect::Connector;
pub(crate) use doorbell::{CHANNEL, notification_queue_usage, notify};
pub use errors::{ConnectError, OLDEST_POSTGRES, explain};
pub(crate) use errors::{Verdict, is_connection_lost, is_lock_timeout, verdict};
pub use history::history_statements;
pub(crate) use identity::{Homecoming, deleted_classes, mend_sequence, renew_nonce, settle_home};
pub use keeping::{
    EventRow, LEADER_SILENCE, LogVersion, SilentLeader, class_events, classes_behind, classes_kept,
    classes_with_events, end_silent_leader, hold_log, kept_through, prepare_leader, remove_void,
    replace_class, say_something, scan_statement, set_kept_through, silent_leader,
    standing_snapshots, try_elect,
};
pub use lock_wait::Blocker;
pub(crate) use lock_wait::{blocker, is_active, terminate};
pub(crate) use log::{Header, LogRow, current_epoch};
pub use log::{LogReader, READ_SETTINGS, ReadError};
pub use pages::{PageError, Pages};
pub(crate) use refused::RefusedCount;
pub use rows::{
    Cell, CellRow, Changes, ClassRow, LastRun, Minute, Runs, RunsRow, Snapshot, Student, StudentRow,
};
pub use session::Session;
pub use snapshot::{
    SnapshotStatements, SnapshotWriter, StoredSnapshot, at_one_moment, read_in, read_snapshot,
    select_statements,
};
pub(crate) use survey::Surveyed;
pub(crate) use types::{PgMicros, RawJson};
