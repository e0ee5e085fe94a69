//! What the tables of class state hold, a struct a row: the state in memory is made of the same.
//!
//! Times are in microseconds since 1970, by the database's clock unless it says otherwise.

use std::sync::Arc;

/// The last run, by which its repeats are known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LastRun {
    /// The session it ran in.
    pub session_id: Option<Box<str>>,
    /// Its notebook.
    pub notebook_path: Option<Box<str>>,
    /// Its cell.
    pub cell_id: Option<Box<str>>,
    /// The kernel's count.
    pub execution_count: Option<i64>,
    /// The client's clock, in microseconds.
    pub at: i64,
    /// The database's clock.
    pub received_at: i64,
}

/// What is known of a student. Times are in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Student {
    /// The last name that was not empty.
    pub user_name: Option<Box<str>>,
    /// The last team that was not empty.
    pub team_name: Option<Box<str>>,
    /// Where the student is.
    pub notebook_path: Option<Box<str>>,
    /// In that notebook.
    pub cell_id: Option<Box<str>>,
    /// Where that cell stands.
    pub cell_index: Option<i64>,
    /// Of the last event that was not late.
    pub last_event_type: Option<Box<str>>,
    /// Its time, by the client's clock.
    pub last_event_time: i64,
    /// When anything, late events too, was last received: the database's clock.
    pub last_received_at: i64,
    /// Runs, repeats left out.
    pub cells_executed: i64,
    /// Runs that failed.
    pub error_count: i64,
    /// Failures in a row on the last run's cell; 0 when the last run succeeded.
    pub consecutive_errors: i64,
    /// That cell; none when it has no id or the count is 0.
    pub streak_cell: Option<Box<str>>,
    /// The last run that was not late.
    pub last_run: Option<LastRun>,
    /// Since when the hand is up, by the database's clock; whether it still is, [`Student::status`]
    /// says.
    pub help_since: Option<i64>,
    /// When `help` was last received.
    pub last_help_at: Option<i64>,
    /// Resolved by an instructor: repeats do not raise the hand again.
    pub hand_closed: bool,
    /// The moment of the last `help_stop`.
    pub hand_lowered_at: Option<i64>,
}

/// What is known of a cell.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cell {
    /// Where it stands in its notebook: the last that was said.
    pub cell_index: Option<i64>,
    /// Runs, repeats left out.
    pub runs: i64,
    /// Those that failed.
    pub failed_runs: i64,
    /// Students of whom a run is kept.
    pub students: i64,
    /// Those with a failed one.
    pub failing_students: i64,
    /// First lines of errors, the commonest first, of equals the latest.
    pub messages: Vec<(Box<str>, i64)>,
}

/// A student's runs of a cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Runs {
    /// All of them.
    pub runs: i64,
    /// Those that failed.
    pub failed_runs: i64,
    /// Whether the latest did.
    pub failed: bool,
    /// The latest one's moment, in microseconds since 1970.
    pub at: i64,
}

/// One minute, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Minute {
    /// Runs, repeats left out.
    pub runs: i64,
    /// Those that failed.
    pub errors: i64,
    /// Hands raised.
    pub help: i64,
}

/// A student's name, the last event that touched it, and the state.
pub type StudentRow = (Box<str>, i64, Student);
/// Notebook (empty for none) and cell, the last event, and the state.
pub type CellRow = (Box<str>, Box<str>, i64, Cell);
/// Student, notebook and cell, the last event, and the runs. There are many, and their names are
/// shared.
pub type RunsRow = (Arc<str>, Arc<str>, Arc<str>, i64, Runs);

/// A class as the tables hold it. Beside each row stands the id of the last event that touched it.
#[derive(Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The class as a whole.
    pub class: ClassRow,
    /// By student.
    pub students: Vec<StudentRow>,
    /// By notebook (empty for none) and cell.
    pub cells: Vec<CellRow>,
    /// By student, notebook and cell.
    pub runs: Vec<RunsRow>,
    /// By the minute's start.
    pub minutes: Vec<(i64, Minute)>,
}

impl Snapshot {
    /// Puts the rows into the order of their keys, so that two snapshots can be compared.
    pub fn sort(&mut self) {
        self.students.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.cells.sort_unstable_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        self.runs.sort_unstable_by(|a, b| (&a.0, &a.1, &a.2).cmp(&(&b.0, &b.1, &b.2)));
        self.minutes.sort_unstable_by_key(|&(start, _)| start);
    }
}

/// A class, and how far its snapshot goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassRow {
    /// The rows hold the class's events up to this id.
    pub through: i64,
    /// Events folded.
    pub events: i64,
    /// Students kept.
    pub students: i64,
    /// When the newest event was received.
    pub last_received_at: Option<i64>,
    /// The class's last event; 0 for none.
    pub last_event: i64,
}

/// What has changed of a class since its last snapshot; what is gone is named, the rest is a
/// [`Snapshot`]'s.
#[derive(Debug, Default)]
pub struct Changes {
    /// Whether this is the whole class: what is not in it is gone.
    pub whole: bool,
    /// The rows that are new or changed, and the class's own.
    pub rows: Snapshot,
    /// Students that gave way.
    pub gone_students: Vec<Box<str>>,
    /// Cells that did: notebook and cell.
    pub gone_cells: Vec<(Box<str>, Box<str>)>,
    /// Runs that did: student, notebook, cell.
    pub gone_runs: Vec<(Arc<str>, Arc<str>, Arc<str>)>,
    /// Minutes that start before this are gone.
    pub minutes_begin: Option<i64>,
}
