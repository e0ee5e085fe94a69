//! The state as it is written on the wire.

use std::fmt::Write as _;

use super::activity::Minute;
use super::cell::{Cell, Runs, cell_parts};
use super::class::ClassState;
use super::drawing::Drawing;
use super::observed::rfc3339;
use super::student::{Status, Student};
use crate::event::json;

/// An object that is being written.
struct Object<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, first: true }
    }

    fn key(&mut self, name: &str) -> &mut String {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
        // The names are this module's own: nothing in them needs escaping.
        let _ = write!(self.out, "\"{name}\":");
        self.out
    }

    fn text(&mut self, name: &str, text: &str) {
        json::write_string(text, self.key(name));
    }

    fn opt_text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.text(name, text);
        }
    }

    fn number(&mut self, name: &str, number: i64) {
        let _ = write!(self.key(name), "{number}");
    }

    fn opt_number(&mut self, name: &str, number: Option<i64>) {
        if let Some(number) = number {
            self.number(name, number);
        }
    }

    fn time(&mut self, name: &str, micros: i64) {
        let _ = write!(self.key(name), "\"{}\"", rfc3339(micros));
    }

    fn opt_time(&mut self, name: &str, micros: Option<i64>) {
        if let Some(micros) = micros {
            self.time(name, micros);
        }
    }

    fn end(self) {
        self.out.push('}');
    }
}

/// Writes `[a,b,…]`, each element by `each`.
fn array<T>(
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

/// A student but for what time changes, without the closing brace.
pub(super) fn student_members(name: &str, student: &Student) -> String {
    let mut out = String::with_capacity(512);
    let mut object = Object::begin(&mut out);
    object.text("studentId", name);
    object.opt_text("userName", student.user_name.as_deref());
    object.opt_text("teamName", student.team_name.as_deref());
    object.opt_text("notebookPath", student.notebook_path.as_deref());
    object.opt_text("cellId", student.cell_id.as_deref());
    object.opt_number("cellIndex", student.cell_index);
    object.opt_text("lastEventType", student.last_event_type.as_deref());
    object.time("lastEventTime", student.last_event_time);
    object.time("lastReceivedAt", student.last_received_at);
    object.number("cellsExecuted", student.cells_executed);
    object.number("errorCount", student.error_count);
    object.number("consecutiveErrors", student.consecutive_errors);
    object.opt_text("streakCell", student.streak_cell.as_deref());
    if let Some(run) = &student.last_run {
        let mut last = Object::begin(object.key("lastRun"));
        last.opt_text("sessionId", run.session_id.as_deref());
        last.opt_text("notebookPath", run.notebook_path.as_deref());
        last.opt_text("cellId", run.cell_id.as_deref());
        last.opt_number("executionCount", run.execution_count);
        last.time("at", run.at);
        last.time("receivedAt", run.received_at);
        last.end();
    }
    object.opt_time("helpSince", student.help_since);
    object.opt_time("lastHelpAt", student.last_help_at);
    object.key("handClosed").push_str(if student.hand_closed { "true" } else { "false" });
    object.opt_time("handLoweredAt", student.hand_lowered_at);
    out
}

/// The counts over students: what is written of them as `"metrics":{…}`.
#[derive(Default)]
struct Metrics {
    students: i64,
    by_status: [i64; STATUSES.len()],
    executed: i64,
    errors: i64,
}

const STATUSES: [Status; 5] =
    [Status::Active, Status::Idle, Status::Error, Status::Stuck, Status::Help];

impl Metrics {
    fn write(&self, out: &mut String) {
        out.push_str("\"metrics\":");
        let mut metrics = Object::begin(out);
        metrics.number("students", self.students);
        for (status, &count) in STATUSES.iter().zip(&self.by_status) {
            metrics.number(status.as_str(), count);
        }
        metrics.number("cellsExecuted", self.executed);
        metrics.number("errorCount", self.errors);
        metrics.end();
    }
}

/// Students by name, and the counts over them: `"metrics":{…},"students":[…]`. Returns until when
/// they hold if nothing comes.
fn students(drawing: &Drawing, now: i64, out: &mut String) -> i64 {
    let mut metrics = Metrics::default();
    let mut holds = i64::MAX;
    let mut written = String::with_capacity(drawing.students_len());
    array(&mut written, drawing.students(), |out, student| {
        out.push_str(&student.members);
        let (status, until) = student.state.status(now);
        let _ = write!(out, ",\"status\":\"{}\"", status.as_str());
        if let Some(until) = until {
            let _ = write!(out, ",\"statusUntil\":\"{}\"", rfc3339(until));
            holds = holds.min(until);
        }
        out.push('}');
        metrics.students += 1;
        if let Some(at) = STATUSES.iter().position(|&other| other == status) {
            metrics.by_status[at] += 1;
        }
        metrics.executed += student.state.cells_executed;
        metrics.errors += student.state.error_count;
    });
    metrics.write(out);
    out.push_str(",\"students\":");
    out.push_str(&written);
    holds
}

/// What a summary is asked to hold beside the students.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Parts {
    /// The cells.
    pub cells: bool,
    /// Each student's runs of them.
    pub grid: bool,
    /// The minutes.
    pub activity: bool,
}

/// Writes the members of a summary that follow `now`, with a comma between but none around; returns
/// until when they hold if nothing comes, by the database's clock.
pub fn summary(class: &mut ClassState, now: i64, parts: Parts, out: &mut String) -> i64 {
    let mut drawing = Drawing::default();
    while !drawing.copy(class, usize::MAX) {}
    drawing.render();
    let minutes = class.activity.since(i64::MIN).collect::<Vec<_>>();
    drawn_summary(&mut drawing, &minutes, now, parts, out)
}

/// The same of a class that is copied and rendered.
pub(super) fn drawn_summary(
    drawing: &mut Drawing,
    minutes: &[(i64, Minute)],
    now: i64,
    parts: Parts,
    out: &mut String,
) -> i64 {
    let holds = students(drawing, now, out);
    if parts.cells || parts.grid {
        out.push(',');
        cells(drawing, None, out);
    }
    if parts.grid {
        out.push(',');
        grid(drawing, out);
    }
    if parts.activity {
        out.push_str(",\"activity\":");
        array(out, minutes, |out, &(start, minute)| write_minute(out, start, minute));
    }
    holds
}

/// Writes `"cells":[…]`, of one notebook or all.
pub(super) fn cells(drawing: &mut Drawing, notebook: Option<&str>, out: &mut String) {
    out.push_str("\"cells\":");
    array(out, drawing.cells(notebook), |out, cell| out.push_str(&cell.text));
}

/// A cell as it is written.
pub(super) fn cell_text(name: &str, cell: &Cell) -> String {
    let (path, id) = cell_parts(name);
    let mut out = String::with_capacity(128 + name.len());
    let mut object = Object::begin(&mut out);
    object.opt_text("notebookPath", Some(path));
    object.text("cellId", id);
    object.opt_number("cellIndex", cell.cell_index);
    object.number("runs", cell.runs);
    object.number("students", cell.students);
    object.number("failedRuns", cell.failed_runs);
    object.number("failingStudents", cell.failing_students);
    array(object.key("topErrors"), &cell.messages, |out, (message, count)| {
        let mut error = Object::begin(out);
        error.text("message", message);
        error.number("count", *count);
        error.end();
    });
    object.end();
    out
}

/// Writes `"grid":[{"studentId":…,"runs":[[cell,runs,failedRuns,failed,at],…]},…]`; `cell` counts
/// the cells as [`cells`] writes them.
fn grid(drawing: &mut Drawing, out: &mut String) {
    out.push_str("\"grid\":");
    drawing.render_grid();
    array(out, drawing.students().filter_map(|student| student.grid.as_deref()), |out, row| {
        out.push_str(row)
    });
}

/// A student's row of the grid: each cell's place and the runs, in the order of the places.
pub(super) fn grid_row(student: &str, runs: &[(usize, &Runs)]) -> String {
    let mut out = String::with_capacity(32 + student.len() + 56 * runs.len());
    let mut object = Object::begin(&mut out);
    object.text("studentId", student);
    array(object.key("runs"), runs, |out, (place, runs)| {
        let (failed, at) = (runs.failed, rfc3339(runs.at));
        let _ = write!(out, "[{place},{},{},{failed},\"{at}\"]", runs.runs, runs.failed_runs);
    });
    object.end();
    out
}

/// Writes an array of every minute from `first` to `last`, also those in which there was nothing;
/// `minutes` are those in which there was something, in order.
pub fn buckets(minutes: &[(i64, Minute)], first: i64, last: i64, out: &mut String) {
    const MINUTE: usize = 60_000_000;
    let mut minutes = minutes.iter().peekable();
    array(out, (first..=last).step_by(MINUTE), |out, start| {
        while minutes.next_if(|&&(other, _)| other < start).is_some() {}
        let minute = minutes.next_if(|&&(other, _)| other == start);
        write_minute(out, start, minute.map_or_else(Minute::default, |&(_, minute)| minute));
    });
}

fn write_minute(out: &mut String, start: i64, minute: Minute) {
    let mut object = Object::begin(out);
    object.time("start", start);
    object.number("runs", minute.runs);
    object.number("errors", minute.errors);
    object.number("help", minute.help);
    object.end();
}
