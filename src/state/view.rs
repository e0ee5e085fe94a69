//! The state as it is written on the wire.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::activity::Minute;
use super::cell::{cell_parts, runs_name};
use super::class::ClassState;
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
fn array<T>(out: &mut String, elements: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut String, T)) {
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
fn student_members(name: &str, student: &Student) -> String {
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

/// Students by name, and the counts over them: `"metrics":{…},"students":[…]`. Returns until when they hold if nothing
/// comes.
fn students(class: &mut ClassState, now: i64, out: &mut String) -> i64 {
    const STATUSES: [Status; 5] = [Status::Active, Status::Idle, Status::Error, Status::Stuck, Status::Help];
    let mut names: Vec<Arc<str>> = class.students.iter().map(|(name, _)| Arc::clone(name)).collect();
    names.sort_unstable();
    let mut counts = [0i64; STATUSES.len()];
    let (mut executed, mut errors, mut holds) = (0, 0, i64::MAX);
    let mut written = String::with_capacity(names.len() * 640);
    array(&mut written, &names, |out, name| {
        let Some(student) = class.students.peek_mut(name) else { return };
        let members =
            student.written.get_or_insert_with(|| student_members(name, &student.state).into_boxed_str());
        out.push_str(members);
        let (status, until) = student.state.status(now);
        let _ = write!(out, ",\"status\":\"{}\"", status.as_str());
        if let Some(until) = until {
            let _ = write!(out, ",\"statusUntil\":\"{}\"", rfc3339(until));
            holds = holds.min(until);
        }
        out.push('}');
        if let Some(at) = STATUSES.iter().position(|&other| other == status) {
            counts[at] += 1;
        }
        executed += student.state.cells_executed;
        errors += student.state.error_count;
    });
    out.push_str("\"metrics\":");
    let mut metrics = Object::begin(out);
    metrics.number("students", names.len() as i64);
    for (status, count) in STATUSES.iter().zip(counts) {
        metrics.number(status.as_str(), count);
    }
    metrics.number("cellsExecuted", executed);
    metrics.number("errorCount", errors);
    metrics.end();
    out.push_str(",\"students\":");
    out.push_str(&written);
    holds
}

/// The cells' names in the order in which they are written: by notebook, place in it (those without one last), id.
fn ordered_cells<'a>(class: &'a ClassState, notebook: Option<&str>) -> Vec<&'a Arc<str>> {
    let mut cells: Vec<_> = class
        .cells
        .iter()
        .map(|(name, cell)| (cell_parts(name), cell.state.cell_index.unwrap_or(i64::MAX), name))
        .filter(|((path, _), _, _)| notebook.is_none_or(|wanted| *path == wanted))
        .collect();
    cells.sort_unstable_by_key(|&((path, cell), index, _)| (path, index, cell));
    cells.into_iter().map(|(_, _, name)| name).collect()
}

/// What a summary is asked to hold beside the students.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Parts {
    /// The cells, as [`cells`] writes them.
    pub cells: bool,
    /// Each student's runs of them.
    pub grid: bool,
    /// The minutes.
    pub activity: bool,
}

/// Writes the members of a summary that follow `now`, with a comma between but none around; returns until when they hold
/// if nothing comes, by the database's clock.
pub fn summary(class: &mut ClassState, now: i64, parts: Parts, out: &mut String) -> i64 {
    let holds = students(class, now, out);
    if parts.cells || parts.grid {
        out.push(',');
        cells(class, None, out);
    }
    if parts.grid {
        out.push(',');
        grid(class, None, out);
    }
    if parts.activity {
        out.push(',');
        activity(class, i64::MIN, out);
    }
    holds
}

/// Writes `"cells":[…]`, of one notebook or all.
pub fn cells(class: &ClassState, notebook: Option<&str>, out: &mut String) {
    out.push_str("\"cells\":");
    array(out, ordered_cells(class, notebook), |out, name| {
        let Some(cell) = class.cells.get(name) else { return };
        let ((path, id), cell) = (cell_parts(name), &cell.state);
        let mut object = Object::begin(out);
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
    });
}

/// Writes `"grid":[{"studentId":…,"runs":[[cell,runs,failedRuns,failed,at],…]},…]`; `cell` counts the cells as [`cells`]
/// writes them.
pub fn grid(class: &ClassState, notebook: Option<&str>, out: &mut String) {
    let cells = ordered_cells(class, notebook);
    let places: HashMap<&str, usize> =
        cells.iter().enumerate().map(|(place, name)| (&***name, place)).collect();
    let mut students: Vec<_> =
        class.students.iter().filter(|(_, student)| !student.cells.is_empty()).collect();
    students.sort_unstable_by_key(|&(name, _)| name);
    let rows = students.into_iter().filter_map(|(name, student)| {
        let mut runs: Vec<_> = student
            .cells
            .iter()
            .filter_map(|cell| Some((*places.get(&**cell)?, class.runs.get(&runs_name(name, cell))?)))
            .collect();
        runs.sort_unstable_by_key(|&(place, _)| place);
        (!runs.is_empty()).then_some((name, runs))
    });
    out.push_str("\"grid\":");
    array(out, rows, |out, (name, runs)| {
        let mut object = Object::begin(out);
        object.text("studentId", name);
        array(object.key("runs"), runs, |out, (place, runs)| {
            let (failed, at) = (runs.failed, rfc3339(runs.at));
            let _ = write!(out, "[{place},{},{},{failed},\"{at}\"]", runs.runs, runs.failed_runs);
        });
        object.end();
    });
}

/// Writes `"activity":[…]`, the minutes that end after `from` and in which there was something.
pub fn activity(class: &ClassState, from: i64, out: &mut String) {
    out.push_str("\"activity\":");
    array(out, class.activity.since(from), |out, (start, minute)| write_minute(out, start, minute));
}

/// Writes an array of every minute from `first` to `last`, also those in which there was nothing.
pub fn buckets(class: &ClassState, first: i64, last: i64, out: &mut String) {
    const MINUTE: usize = 60_000_000;
    let minutes = (first..=last).step_by(MINUTE);
    array(out, minutes, |out, start| {
        write_minute(out, start, class.activity.get(start).unwrap_or_default());
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
