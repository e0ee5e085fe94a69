//! Snapshots of class state: how they are read and written.

mod read;
mod tables;
mod write;

pub use read::{StoredSnapshot, at_one_moment, read_in, read_snapshot, select_statements};
pub(super) use tables::STATE_TABLES;
pub use write::{SnapshotStatements, SnapshotWriter};
