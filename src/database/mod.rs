//! The database: connections, and the statements that run on them.
//!
//! - `url`: parses a connection string into a `target`; `tls`: how its connections are encrypted;
//!   `connect`: makes connections to the primary; `room`, `allowance`: the server's room
//!   for them
//! - `session`: one connection and the task that drives it; `settings`: what a session sets;
//!   `errors`: PostgreSQL's errors, classified by SQLSTATE
//! - `log`: the header and the events of one read; `identity`: whether ids still mean the same
//!   events
//! - `pages`: the pool on which history is read; `readers`: its sessions; `pooled_client`: the
//!   clean-up after a read that was given up; `history`, `moments`, `rejected`, `audit`: the
//!   API's reads on the pool
//! - `snapshot`: the snapshots of class state; `election`: the lock of the leader; `scan`,
//!   `class_events`: the classes with new events, and the events of one; `log_version`: the epoch
//!   and the number of deletions, held still by a transaction
//! - `doctor`: the statements that try a deployment
//! - `privileges`: the grants that a running relay needs
//! - `sign_in`: the key of browsers' sessions, and the one-time links
//! - `doorbell`: the channel of the doorbell; `lock_wait`: the sessions that block writers;
//!   `waiting`: those that block a command; `survey`: whether a host is the primary; `types`:
//!   PostgreSQL's binary format

mod allowance;
mod audit;
mod class_events;
mod connect;
pub(crate) mod doctor;
mod doorbell;
mod election;
mod errors;
mod history;
mod identity;
mod key_file;
mod lock_wait;
mod log;
mod log_version;
mod moments;
mod pages;
mod pooled_client;
mod privileges;
mod readers;
mod rejected;
mod room;
mod scan;
mod session;
mod settings;
mod sign_in;
mod snapshot;
mod survey;
mod target;
mod tls;
mod types;
mod url;
mod waiting;

pub(crate) use allowance::check_allowance;
pub(crate) use audit::{AuditEntry, AuditFilter, NewAuditEntry, prune_audit};
pub(crate) use class_events::class_events;
pub use connect::Connector;
pub(crate) use doorbell::{listen_statement, notification_queue_usage, notify};
pub(crate) use election::{
    LEADER_SILENCE, SilentLeader, end_silent_leader, prepare_leader, send_keepalive, silent_leader,
    try_elect,
};
pub use errors::ConnectError;
pub(crate) use errors::{
    OLDEST_POSTGRES, Verdict, explain, is_connection_lost, is_lock_timeout, is_read_only, verdict,
};
pub use history::history_statements;
pub(crate) use identity::{HomeCheck, check_home, deleted_classes, mend_sequence, renew_nonce};
pub(crate) use lock_wait::{Blocker, BlockerWatch, is_active, terminate};
pub(crate) use log::{Header, LogRow, current_epoch};
pub use log::{LogReader, READ_SETTINGS};
pub(crate) use log_version::{LogVersion, begin_version_without, hold_log};
pub(crate) use moments::IdRange;
pub use pages::Pages;
pub(crate) use pages::{MOST_SESSIONS, PageError};
pub use privileges::{LEFT_OUT, NEEDS, Names, Object, PrivilegeError, listed};
pub(crate) use privileges::{check_privileges, grant_privileges, lacking_privileges, may_migrate};
pub(crate) use rejected::RejectedCount;
pub(crate) use room::ESSENTIAL_SESSIONS;
pub use scan::scan_statement;
pub(crate) use scan::{classes_behind, classes_with_events};
pub(crate) use session::Session;
pub(crate) use sign_in::NewLink;
pub(crate) use snapshot::{
    CellKey, Changes, SnapshotStatements, StoredSnapshot, StudentCellKey, at_one_moment,
    classes_with_snapshots, complete_through, delete_void_rows, lock_class_rows, read_in,
    set_complete_through,
};
pub use snapshot::{
    CellRow, ClassRow, LastRunColumns, LessonColumns, LessonRow, MinuteRow, Snapshot, StreakColumn,
    StudentCellRow, StudentRow, TopError, select_statements,
};
pub(crate) use survey::Surveyed;
pub use target::Target;
pub use tls::Verification;
pub(crate) use types::{PgMicros, RawJson};
pub use url::{Environment, UrlError};
pub(crate) use waiting::naming_blockers;
