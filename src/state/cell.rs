//! One cell's state over all students, and one student's runs of it.

use std::collections::BTreeSet;
use std::mem::size_of;
use std::sync::Arc;

use super::kept::{Heap, text_bytes};
pub use crate::store::{Cell, Runs};

/// Messages kept of a cell; the rarest gives way, of equally rare ones the one that was not seen
/// for longest.
pub const MAX_MESSAGES: usize = 20;

impl Cell {
    /// Counts a message. Whether it is one that was not known.
    pub(super) fn add_message(&mut self, message: &str) -> bool {
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
        known.is_none()
    }
}

/// A cell in a class: the state, and the students whose runs are kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) number: u64,
    pub(super) state: Cell,
    /// By number.
    pub(super) students: BTreeSet<u64>,
    /// Bytes of the messages.
    messages: usize,
}

impl Kept {
    pub(super) fn new(number: u64, state: Cell) -> Self {
        let mut kept = Self { number, state, ..Self::default() };
        kept.count_messages();
        kept
    }

    pub(super) fn add_message(&mut self, message: &str) {
        if self.state.add_message(message) {
            self.count_messages();
        }
    }

    fn count_messages(&mut self) {
        let texts: usize = self.state.messages.iter().map(|(text, _)| text_bytes(text)).sum();
        // A list that grew has room for as many again.
        self.messages = texts + 2 * self.state.messages.len() * size_of::<(Box<str>, i64)>();
    }
}

impl Heap for Kept {
    fn heap(&self) -> usize {
        self.messages
    }
}

/// A student and a cell, by the numbers that they have in a class while it is in memory. No number
/// is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) student: u64,
    pub(super) cell: u64,
}

impl From<&Pair> for Pair {
    fn from(pair: &Pair) -> Self {
        *pair
    }
}

impl Heap for Pair {
    fn heap(&self) -> usize {
        0
    }
}

/// A student's runs of a cell, and both names, which are the ones by which student and cell are
/// kept.
#[derive(Debug)]
pub(super) struct PairRuns {
    pub(super) student: Arc<str>,
    pub(super) cell: Arc<str>,
    pub(super) runs: Runs,
}

impl Heap for PairRuns {
    fn heap(&self) -> usize {
        0
    }
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
    let mut name = String::with_capacity(notebook.map_or(0, str::len) + 1 + cell.len());
    write_cell_name(notebook, cell, &mut name);
    name
}

/// Notebook (empty when there is none) and cell.
pub(super) fn cell_parts(name: &str) -> (&str, &str) {
    name.split_once(SEPARATOR).unwrap_or(("", name))
}

/// Writes a cell's name into `out`.
pub(super) fn write_cell_name(notebook: Option<&str>, cell: &str, out: &mut String) {
    out.clear();
    out.push_str(notebook.unwrap_or_default());
    out.push(SEPARATOR);
    out.push_str(cell);
}
