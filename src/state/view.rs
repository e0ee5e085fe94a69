//! The JSON of the state: each student, cell, row of the grid and minute as it is on the wire.

use std::fmt::Write as _;

use super::fold::activity::{MINUTE, Minute};
use super::fold::cell::{Cell, Runs, cell_parts};
use super::fold::lesson::Lesson;
use super::fold::student::{Status, Student};
use crate::event::{Micros, ObjectWriter, json};

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
    let streak = student.streaks.last();
    object.json("consecutiveErrors", streak.map_or(0, |streak| streak.failures));
    object.opt_text("streakCell", streak.and_then(|streak| streak.cell_id.as_deref()));
    array(object.key("streaks"), student.streaks.iter(), |out, streak| {
        let mut object = ObjectWriter::begin(out);
        object.opt_text("notebookPath", streak.notebook_path.as_deref());
        object.opt_text("cellId", streak.cell_id.as_deref());
        object.opt_json("cellIndex", streak.cell_index);
        object.json("failures", streak.failures);
        object.time("failedAt", streak.failed_at);
        object.end();
    });
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
    object.opt_text("helpMessage", student.help_message.as_deref());
    flag(&mut object, "helpUntilStop", student.help_until_stop);
    if let Some(claim) = &student.claim {
        object.text("helpClaimedBy", &claim.by);
        object.time("helpClaimedAt", claim.at);
    }
    object.json("handClosed", student.hand_closed);
    object.opt_time("handLoweredAt", student.hand_lowered_at);
    flag(&mut object, "unconfigured", student.is_unconfigured);
    out
}

/// Writes a member only if it is true.
fn flag(object: &mut ObjectWriter<'_>, name: &str, value: bool) {
    if value {
        object.json(name, true);
    }
}

/// A student who is not here: `last_received_at` is when an event of the student's was last
/// received, in an earlier lesson.
pub(super) struct Absent<'a> {
    pub(super) student: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) team: Option<&'a str>,
    pub(super) last_received_at: Option<Micros>,
}

/// Writes a student who is not here.
pub(super) fn write_absent(out: &mut String, absent: &Absent<'_>) {
    let mut object = ObjectWriter::begin(out);
    object.text("studentId", absent.student);
    object.opt_text("userName", absent.name);
    object.opt_text("teamName", absent.team);
    object.opt_time("lastReceivedAt", absent.last_received_at);
    object.end();
}

/// Writes `"lesson":{…},`, if there is a lesson. By `lastReceivedAt`, when the class's newest event
/// was received, a page knows when the next lesson begins.
pub(super) fn write_lesson(
    out: &mut String,
    lesson: Option<&Lesson>,
    last_received_at: Option<Micros>,
) {
    let Some(lesson) = lesson else { return };
    out.push_str("\"lesson\":");
    let mut object = ObjectWriter::begin(out);
    object.text("id", &lesson.first.0.to_string());
    object.time("startedAt", lesson.started_at);
    object.opt_time("lastReceivedAt", last_received_at);
    object.opt_text("title", lesson.title.as_deref());
    object.end();
    out.push(',');
}

/// Writes the members of a student that time changes, and the closing brace.
pub(super) fn finish_student(
    status: Status,
    until: Option<Micros>,
    on_roster: bool,
    out: &mut String,
) {
    if on_roster {
        out.push_str(",\"onRoster\":true");
    }
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
    absent: i64,
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

    /// Counts the students who are not here.
    pub(super) fn add_absent(&mut self, count: usize) {
        self.absent += count as i64;
    }

    pub(super) fn write(&self, out: &mut String) {
        out.push_str("\"metrics\":");
        let mut metrics = ObjectWriter::begin(out);
        metrics.json("students", self.students);
        metrics.json("absent", self.absent);
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
    /// The settings of the class.
    pub settings: bool,
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

/// A student's row of the grid, `{"studentId":…,"sessions":[…],"runs":[[…],…]}`. An element of
/// `runs` is `[cell,runs,failedRuns,failed,at,executionCount,session,time]`: the cell's index among
/// the cells as they are written, in the order of the indices, and the latest run's session by its
/// index in `sessions`. The last three are `null` if they are absent, and `time` if it equals `at`.
pub(super) fn grid_row(student: &str, runs: &[(usize, &Runs)]) -> String {
    let mut out = String::with_capacity(64 + student.len() + 64 * runs.len());
    let mut object = ObjectWriter::begin(&mut out);
    object.text("studentId", student);
    let mut sessions: Vec<&str> = Vec::new();
    let indices: Vec<Option<usize>> = runs
        .iter()
        .map(|(_, runs)| {
            let session = runs.session.as_deref()?;
            // A student has one session at a time, and few in a lesson.
            let known = sessions.iter().rposition(|&other| other == session);
            Some(known.unwrap_or_else(|| {
                sessions.push(session);
                sessions.len() - 1
            }))
        })
        .collect();
    array(object.key("sessions"), &sessions, |out, session| json::write_string(session, out));
    array(object.key("runs"), runs.iter().zip(indices), |out, ((index, runs), session)| {
        let Runs { runs: count, failed_runs, failed, at, time, execution_count, .. } = runs;
        let _ = write!(out, "[{index},{count},{failed_runs},{failed},\"{}\"", at.to_rfc3339());
        write_or_null(out, *execution_count);
        write_or_null(out, session);
        match time == at {
            true => out.push_str(",null]"),
            false => drop(write!(out, ",\"{}\"]", time.to_rfc3339())),
        }
    });
    object.end();
    out
}

fn write_or_null(out: &mut String, value: Option<impl std::fmt::Display>) {
    match value {
        Some(value) => drop(write!(out, ",{value}")),
        None => out.push_str(",null"),
    }
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
