//! Snapshots of class state: the rows of their tables, and how these are read and written.

mod completeness;
mod read;
mod rows;
mod tables;
mod write;

pub(crate) use completeness::{
    classes_with_snapshots, complete_through, delete_void_rows, lock_class_rows,
    set_complete_through,
};
pub use read::select_statements;
pub(crate) use read::{StoredSnapshot, at_one_moment, read_in, read_snapshot};
pub(crate) use rows::{CellKey, Changes, StudentCellKey};
pub use rows::{
    CellRow, ClassRow, LastRunColumns, LessonColumns, LessonRow, MinuteRow, Snapshot, StreakColumn,
    StudentCellRow, StudentRow, TopError,
};
pub(crate) use write::SnapshotStatements;
