//! One cell's state over all students, and one student's runs of it.

use std::collections::BTreeSet;
use std::sync::Arc;

pub use crate::store::{Cell, Runs};

/// Messages kept of a cell; the rarest gives way, of equally rare ones the one that was not seen for longest.
pub const MAX_MESSAGES: usize = 20;

impl Cell {
    pub(super) fn add_message(&mut self, message: &str) {
        let known = self.messages.iter().position(|(other, _)| **other == *message);
        let (text, count) = match known {
            Some(at) => self.messages.remove(at),
            None => {
                self.messages.truncate(MAX_MESSAGES - 1);
                (message.into(), 0)
            }
        };
        let count = count + 1;
        let at = self.messages.partition_point(|&(_, other)| other > count);
        self.messages.insert(at, (text, count));
    }
}

/// A cell in a class: the state, and the students whose runs are kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) state: Cell,
    pub(super) students: BTreeSet<Arc<str>>,
}

impl Runs {
    /// None so far; the first will be of `moment`.
    pub(super) fn new(moment: i64) -> Self {
        Self { runs: 0, failed_runs: 0, failed: false, at: moment }
    }

    pub(super) fn add(&mut self, failed: bool, moment: i64) {
        self.runs += 1;
        self.failed_runs += i64::from(failed);
        // A late run turns nothing back.
        if moment >= self.at {
            (self.failed, self.at) = (failed, moment);
        }
    }
}

/// Between the parts of a name that is made of several; no text of an event contains it.
const SEPARATOR: char = '\0';

/// A cell's name among a class's cells: notebook and cell.
pub(super) fn cell_name(notebook: Option<&str>, cell: &str) -> String {
    let notebook = notebook.unwrap_or_default();
    let mut name = String::with_capacity(notebook.len() + 1 + cell.len());
    name.push_str(notebook);
    name.push(SEPARATOR);
    name.push_str(cell);
    name
}

/// Notebook (empty when there is none) and cell.
pub(super) fn cell_parts(name: &str) -> (&str, &str) {
    name.split_once(SEPARATOR).unwrap_or(("", name))
}

/// The name of a student's runs of a cell among all of a class's.
pub(super) fn runs_name(student: &str, cell_name: &str) -> String {
    let mut name = String::with_capacity(student.len() + 1 + cell_name.len());
    name.push_str(student);
    name.push(SEPARATOR);
    name.push_str(cell_name);
    name
}

/// Writes the name of a student's runs of a cell into `out`; returns where the cell's own begins.
pub(super) fn write_runs_name(student: &str, notebook: Option<&str>, cell: &str, out: &mut String) -> usize {
    out.clear();
    out.push_str(student);
    out.push(SEPARATOR);
    let at = out.len();
    out.push_str(notebook.unwrap_or_default());
    out.push(SEPARATOR);
    out.push_str(cell);
    at
}

/// Student, and the cell's name.
pub(super) fn runs_parts(name: &str) -> (&str, &str) {
    name.split_once(SEPARATOR).unwrap_or(("", name))
}
