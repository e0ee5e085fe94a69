//! The JSON of the state: each student, cell, row of the grid and minute as it is on the wire.

use std::fmt::Write as _;

use super::fold::activity::{MINUTE, Minute};
use super::fold::cell::{Cell, Runs, cell_parts};
use super::fold::student::{Status, Student};
use crate::event::{Micros, ObjectWriter};

/// Writes `[a,b,…]`, each element by `each`.
pub(super) fn array<T>(
    out: &mut String,
    elements: impl IntoIterator<Item = T>,
    mut each: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        each(out, element);
    }
    out.push(']');
}

/// The members of a student that time does not change, without the closing brace.
/// [`finish_student`] writes the others.
pub(super) fn student_members(name: &str, student: &Student) -> String {
    let mut out = String::with_capacity(512);
    let mut object = ObjectWriter::begin(&mut out);
    object.text("studentId", name);
    object.opt_text("userName", student.user_name.as_deref());
    object.opt_text("teamName", student.team_name.as_deref());
    object.opt_text("notebookPath", student.notebook_path.as_deref());
    object.opt_text("cellId", student.cell_id.as_deref());
    object.opt_json("cellIndex", student.cell_index);
    object.opt_text("lastEventType", student.last_event_type.as_deref());
    object.time("lastEventTime", student.last_event_time);
    object.time("lastReceivedAt", student.last_received_at);
    object.json("cellsExecuted", student.cells_executed);
    object.json("errorCount", student.error_count);
    object.json("consecutiveErrors", student.consecutive_errors);
    object.opt_text("streakCell", student.streak_cell.as_deref());
    if let Some(run) = &student.last_run {
        let mut last = ObjectWriter::begin(object.key("lastRun"));
        last.opt_text("sessionId", run.session_id.as_deref());
        last.opt_text("notebookPath", run.notebook_path.as_deref());
        last.opt_text("cellId", run.cell_id.as_deref());
        last.opt_json("executionCount", run.execution_count);
        last.time("at", run.at);
        last.time("receivedAt", run.received_at);
        last.end();
    }
    object.opt_time("helpSince", student.help_since);
    object.opt_time("lastHelpAt", student.last_help_at);
    object.json("handClosed", student.hand_closed);
    object.opt_time("handLoweredAt", student.hand_lowered_at);
    out
}

/// Writes the members of a student that time changes, and the closing brace.
pub(super) fn finish_student(status: Status, until: Option<Micros>, out: &mut String) {
    let _ = write!(out, ",\"status\":\"{}\"", status.as_str());
    if let Some(until) = until {
        let _ = write!(out, ",\"statusUntil\":\"{}\"", until.to_rfc3339());
    }
    out.push('}');
}

/// The counts over a class's students, written as `"metrics":{…}`.
#[derive(Default)]
pub(super) struct Metrics {
    students: i64,
    by_status: [i64; STATUSES.len()],
    cells_executed: i64,
    error_count: i64,
}

/// In the order in which they are written.
const STATUSES: [Status; 5] =
    [Status::Active, Status::Idle, Status::Error, Status::Stuck, Status::Help];

impl Metrics {
    /// Counts a student, whose status is `status`.
    pub(super) fn add(&mut self, student: &Student, status: Status) {
        self.students += 1;
        if let Some(at) = STATUSES.iter().position(|&other| other == status) {
            self.by_status[at] += 1;
        }
        self.cells_executed += student.cells_executed;
        self.error_count += student.error_count;
    }

    pub(super) fn write(&self, out: &mut String) {
        out.push_str("\"metrics\":");
        let mut metrics = ObjectWriter::begin(out);
        metrics.json("students", self.students);
        for (status, &count) in STATUSES.iter().zip(&self.by_status) {
            metrics.json(status.as_str(), count);
        }
        metrics.json("cellsExecuted", self.cells_executed);
        metrics.json("errorCount", self.error_count);
        metrics.end();
    }
}

/// The parts that a summary is asked to have beside the students.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SummaryParts {
    /// Each cell with its counts and most frequent errors.
    pub cells: bool,
    /// Each student's runs of the cells.
    pub grid: bool,
    /// The counts of each minute.
    pub activity: bool,
}

/// The JSON text of a cell.
pub(super) fn cell_text(name: &str, cell: &Cell) -> String {
    let (path, id) = cell_parts(name);
    let mut out = String::with_capacity(128 + name.len());
    let mut object = ObjectWriter::begin(&mut out);
    object.opt_text("notebookPath", Some(path));
    object.text("cellId", id);
    object.opt_json("cellIndex", cell.cell_index);
    object.json("runs", cell.runs);
    object.json("students", cell.students);
    object.json("failedRuns", cell.failed_runs);
    object.json("failingStudents", cell.failing_students);
    array(object.key("topErrors"), &cell.messages, |out, counted| {
        let mut error = ObjectWriter::begin(out);
        error.text("message", &counted.message);
        error.json("count", counted.count);
        error.end();
    });
    object.end();
    out
}

/// A student's row of the grid, `{"studentId":…,"runs":[[cell,runs,failedRuns,failed,at],…]}`.
/// `runs` has each cell's index among the cells as they are written, in the order of the indices.
pub(super) fn grid_row(student: &str, runs: &[(usize, &Runs)]) -> String {
    let mut out = String::with_capacity(32 + student.len() + 56 * runs.len());
    let mut object = ObjectWriter::begin(&mut out);
    object.text("studentId", student);
    array(object.key("runs"), runs, |out, (index, runs)| {
        let (failed, at) = (runs.failed, runs.at.to_rfc3339());
        let _ = write!(out, "[{index},{},{},{failed},\"{at}\"]", runs.runs, runs.failed_runs);
    });
    object.end();
    out
}

/// Writes an array of every minute from `first` to `last`, also those in which nothing happened.
/// `minutes` are those in which something did, in order.
pub(crate) fn buckets(minutes: &[(Micros, Minute)], first: Micros, last: Micros, out: &mut String) {
    let mut minutes = minutes.iter().peekable();
    let starts = (first.0..=last.0).step_by(MINUTE.as_micros() as usize).map(Micros);
    array(out, starts, |out, start| {
        while minutes.next_if(|&&(other, _)| other < start).is_some() {}
        let minute = minutes.next_if(|&&(other, _)| other == start);
        write_minute(out, start, minute.map_or_else(Minute::default, |&(_, minute)| minute));
    });
}

pub(super) fn write_minute(out: &mut String, start: Micros, minute: Minute) {
    let mut object = ObjectWriter::begin(out);
    object.time("start", start);
    object.json("runs", minute.runs);
    object.json("errors", minute.errors);
    object.json("help", minute.help);
    object.end();
}
