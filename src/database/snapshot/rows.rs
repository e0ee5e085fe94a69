//! The rows of the tables that hold snapshots of class state, a struct a table.
//!
//! A row is not the state itself (`state::fold`): it has a table's columns, changes with a
//! migration, and knows no rule. `state::snapshot` makes the one of the other, and does not compile
//! if a field of either is forgotten.
//!
//! Every row has the id of the last event that touched it. Times are the database's unless it says
//! otherwise.

#![expect(missing_docs, reason = "a field is the column of its name")]

use std::sync::Arc;

use crate::event::{EventId, Micros};

/// A row of `student_state`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StudentRow {
    pub student_id: Box<str>,
    pub last_event: EventId,
    pub user_name: Option<Box<str>>,
    pub team_name: Option<Box<str>>,
    pub notebook_path: Option<Box<str>>,
    pub cell_id: Option<Box<str>>,
    pub cell_index: Option<i64>,
    pub last_event_type: Option<Box<str>>,
    /// The client's clock.
    pub last_event_time: Micros,
    pub last_received_at: Micros,
    pub cells_executed: i64,
    pub error_count: i64,
    pub streaks: Vec<StreakColumn>,
    pub last_run: Option<LastRunColumns>,
    pub help_since: Option<Micros>,
    pub last_help_at: Option<Micros>,
    pub hand_closed: bool,
    pub hand_lowered_at: Option<Micros>,
    pub is_here: bool,
    pub is_unconfigured: bool,
    pub help_message: Option<Box<str>>,
    pub help_until_stop: bool,
    /// The columns `claimed_by` and `claimed_at`, which are both null if nobody claims the hand.
    pub claim: Option<(Box<str>, Micros)>,
}

/// An element of the column `streaks` of `student_state`.
#[derive(Debug, Clone, PartialEq)]
pub struct StreakColumn {
    pub notebook_path: Option<Box<str>>,
    pub cell_id: Option<Box<str>>,
    pub cell_index: Option<i64>,
    pub failures: i64,
    pub failed_at: Micros,
}

/// The columns `last_run_…` of `student_state`, which are all null if there was no run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LastRunColumns {
    pub session_id: Option<Box<str>>,
    pub notebook_path: Option<Box<str>>,
    pub cell_id: Option<Box<str>>,
    pub execution_count: Option<i64>,
    /// The client's clock.
    pub at: Micros,
    pub received_at: Micros,
}

/// A row of `cell_state`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CellRow {
    /// Empty for none.
    pub notebook_path: Box<str>,
    pub cell_id: Box<str>,
    pub last_event: EventId,
    pub cell_index: Option<i64>,
    pub runs: i64,
    pub failed_runs: i64,
    pub students: i64,
    pub failing_students: i64,
    pub top_errors: Vec<TopError>,
}

/// An element of the column `top_errors` of `cell_state`.
#[derive(Debug, Clone, PartialEq)]
pub struct TopError {
    pub message: Box<str>,
    pub count: i64,
}

/// A row of `student_cell_state`. There are many, with few names between them: the texts are
/// shared.
#[derive(Debug, Clone, PartialEq)]
pub struct StudentCellRow {
    pub student_id: Arc<str>,
    /// Empty for none.
    pub notebook_path: Arc<str>,
    pub cell_id: Arc<str>,
    pub last_event: EventId,
    pub runs: i64,
    pub failed_runs: i64,
    /// Whether the last run failed.
    pub failed: bool,
    /// The lesser of the last run's two times.
    pub last_run_at: Micros,
    /// The client's clock.
    pub last_run_time: Micros,
    pub last_run_execution_count: Option<i64>,
    pub last_run_session_id: Option<Box<str>>,
    pub last_run_event: EventId,
}

/// A row of `activity_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MinuteRow {
    pub start: Micros,
    pub runs: i64,
    pub errors: i64,
    pub help: i64,
}

/// A row of `class_state`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassRow {
    /// The class's rows hold its events up to this id.
    pub through: EventId,
    pub events: i64,
    pub students: i64,
    /// When the newest event was received.
    pub last_received_at: Option<Micros>,
    /// The class's last event.
    pub last_event: EventId,
    /// The columns `lesson_…`, which are null before the class's first event.
    pub lesson: Option<LessonColumns>,
    /// An object.
    pub settings: Box<str>,
    pub settings_event: EventId,
}

/// The columns `lesson_…` of `class_state`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LessonColumns {
    pub first_event: EventId,
    pub started_at: Micros,
    pub events_before: i64,
    pub title: Option<Box<str>>,
}

/// A row of `lesson_state`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LessonRow {
    pub first_event: EventId,
    pub last_event: EventId,
    pub started_at: Micros,
    pub ended_at: Micros,
    pub students: i64,
    pub runs: i64,
    pub title: Option<Box<str>>,
}

/// All rows of a class.
#[derive(Debug, Default, PartialEq)]
pub struct Snapshot {
    pub class: ClassRow,
    pub students: Vec<StudentRow>,
    pub cells: Vec<CellRow>,
    pub student_cells: Vec<StudentCellRow>,
    pub minutes: Vec<MinuteRow>,
    pub lessons: Vec<LessonRow>,
}

impl CellRow {
    /// The row's key within the class.
    pub(crate) fn key(&self) -> (&str, &str) {
        (&self.notebook_path, &self.cell_id)
    }
}

impl StudentCellRow {
    /// The row's key within the class.
    pub(crate) fn key(&self) -> (&str, &str, &str) {
        (&self.student_id, &self.notebook_path, &self.cell_id)
    }
}

impl Snapshot {
    /// Puts the rows into the order of their keys, so that two snapshots can be compared.
    pub(crate) fn sort(&mut self) {
        self.students.sort_unstable_by(|a, b| a.student_id.cmp(&b.student_id));
        self.cells.sort_unstable_by(|a, b| a.key().cmp(&b.key()));
        self.student_cells.sort_unstable_by(|a, b| a.key().cmp(&b.key()));
        self.minutes.sort_unstable_by_key(|minute| minute.start);
        self.lessons.sort_unstable_by_key(|lesson| lesson.first_event);
    }
}

/// How a class's rows have changed since its last snapshot.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Whether `rows` is the whole class: any other row of the class is deleted.
    pub(crate) whole: bool,
    /// The rows that are new or changed, and the class's own.
    pub(crate) rows: Snapshot,
    pub(crate) deleted_students: Vec<Box<str>>,
    pub(crate) deleted_cells: Vec<CellKey>,
    pub(crate) deleted_student_cells: Vec<StudentCellKey>,
    pub(crate) deleted_minutes: Vec<Micros>,
    pub(crate) deleted_lessons: Vec<EventId>,
}

/// The key of a [`CellRow`] within its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CellKey {
    pub(crate) notebook_path: Box<str>,
    pub(crate) cell_id: Box<str>,
}

/// The key of a [`StudentCellRow`] within its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StudentCellKey {
    pub(crate) student_id: Arc<str>,
    pub(crate) notebook_path: Arc<str>,
    pub(crate) cell_id: Arc<str>,
}
