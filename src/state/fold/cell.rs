//! One cell's state over all students, and one student's runs of it.

use std::collections::BTreeSet;
use std::mem::size_of;
use std::sync::Arc;

use super::heap::{Heap, text_bytes};
use super::names::message_key;
use super::normalized_event::NormalizedEvent;
use super::student::is_repeat_of;
use crate::event::{EventId, Micros};

/// Messages stored of a cell. A new one takes the place of the rarest; of equally rare ones, of the
/// one that was counted longest ago.
pub(crate) const MAX_MESSAGES: usize = 20;

/// The state of a cell.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Cell {
    /// The cell's place in its notebook, as the last run that named one had it.
    pub(crate) cell_index: Option<i64>,
    /// Runs, without repeats.
    pub(crate) runs: i64,
    /// Runs that failed.
    pub(crate) failed_runs: i64,
    /// Students of whom a run is stored.
    pub(crate) students: i64,
    /// Students of whom a failed run is stored.
    pub(crate) failing_students: i64,
    /// Error messages, the commonest first; of equally common ones the one counted last first.
    pub(crate) messages: Vec<MessageCount>,
}

/// An error message as it first came, and how often runs of the cell failed with it. Messages that
/// differ only in what differs from run to run are counted as one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MessageCount {
    pub(crate) message: Box<str>,
    pub(crate) count: i64,
}

impl Cell {
    /// Counts a message. Returns whether it is a new one.
    pub(in crate::state) fn add_message(&mut self, message: &str) -> bool {
        let key = message_key(message);
        let known = self.messages.iter().position(|other| message_key(&other.message) == key);
        let mut counted = match known {
            Some(at) => self.messages.remove(at),
            None => {
                self.messages.truncate(MAX_MESSAGES - 1);
                MessageCount { message: message.into(), count: 0 }
            }
        };
        counted.count += 1;
        let at = self.messages.partition_point(|other| other.count > counted.count);
        self.messages.insert(at, counted);
        known.is_none()
    }
}

/// A cell of a class in memory: its state, its number, and the students whose runs are stored.
#[derive(Debug, Default)]
pub(in crate::state) struct NumberedCell {
    pub(in crate::state) number: u64,
    pub(in crate::state) state: Cell,
    /// The students' numbers.
    pub(in crate::state) students: BTreeSet<u64>,
    /// Bytes of the messages.
    message_bytes: usize,
}

impl NumberedCell {
    pub(in crate::state) fn new(number: u64, state: Cell) -> Self {
        let mut cell = Self { number, state, ..Self::default() };
        cell.count_message_bytes();
        cell
    }

    pub(in crate::state) fn add_message(&mut self, message: &str) {
        if self.state.add_message(message) {
            self.count_message_bytes();
        }
    }

    fn count_message_bytes(&mut self) {
        let messages = &self.state.messages;
        let texts: usize = messages.iter().map(|counted| text_bytes(&counted.message)).sum();
        // A grown list may have twice the capacity that it needs.
        self.message_bytes = texts + 2 * messages.len() * size_of::<MessageCount>();
    }
}

impl Heap for NumberedCell {
    fn heap(&self) -> usize {
        self.message_bytes
    }
}

/// A student and a cell, by the numbers that they have while the class is in memory. A number is
/// never given twice, so a pair names the same student and cell for as long as it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::state) struct Pair {
    pub(in crate::state) student: u64,
    pub(in crate::state) cell: u64,
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

/// The names of a pair's student and cell, which share their texts with the student's and the
/// cell's own keys.
#[derive(Debug, Clone)]
pub(in crate::state) struct PairNames {
    pub(in crate::state) student: Arc<str>,
    pub(in crate::state) cell: Arc<str>,
}

/// A student's runs of a cell, with both names.
#[derive(Debug)]
pub(in crate::state) struct PairRuns {
    pub(in crate::state) names: PairNames,
    pub(in crate::state) runs: Runs,
}

impl Heap for PairRuns {
    fn heap(&self) -> usize {
        self.runs.heap()
    }
}

/// A student's runs of a cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Runs {
    pub(crate) runs: i64,
    /// Runs that failed.
    pub(crate) failed_runs: i64,
    /// Whether the latest run failed.
    pub(crate) failed: bool,
    /// The latest run's moment.
    pub(crate) at: Micros,
    /// The latest run's time by the client's clock, by which its repeats are known, with the
    /// kernel's count and the session.
    pub(crate) time: Micros,
    pub(crate) execution_count: Option<i64>,
    pub(crate) session: Option<Box<str>>,
    /// The latest run's event.
    pub(crate) event: EventId,
}

impl Runs {
    /// No runs so far; the first will be of `moment`.
    pub(in crate::state) fn new(moment: Micros) -> Self {
        Self {
            runs: 0,
            failed_runs: 0,
            failed: false,
            at: moment,
            time: moment,
            execution_count: None,
            session: None,
            event: EventId::NONE,
        }
    }

    pub(super) fn add(&mut self, event: &NormalizedEvent<'_>) {
        self.runs += 1;
        self.failed_runs += i64::from(event.failed);
        // A late run does not become the latest.
        if event.moment() >= self.at {
            (self.failed, self.at, self.time) = (event.failed, event.moment(), event.time);
            (self.execution_count, self.event) = (event.execution_count, event.id);
            if self.session.as_deref() != event.session.as_deref() {
                self.session = event.session.as_deref().map(Into::into);
            }
        }
    }

    /// The bytes that they hold on the heap.
    pub(in crate::state) fn heap(&self) -> usize {
        self.session.as_deref().map_or(0, text_bytes)
    }

    /// Whether the event repeats the latest run.
    pub(super) fn is_repeat(&self, event: &NormalizedEvent<'_>) -> bool {
        is_repeat_of(event, self.execution_count, self.session.as_deref(), self.time)
    }
}

/// Stands between the notebook and the cell in a cell's name; no text of an event contains it.
const SEPARATOR: char = '\0';

/// A cell's name among a class's cells: notebook and cell.
pub(in crate::state) fn cell_name(notebook: Option<&str>, cell: &str) -> String {
    let mut name = String::with_capacity(notebook.map_or(0, str::len) + 1 + cell.len());
    write_cell_name(notebook, cell, &mut name);
    name
}

/// The notebook (empty when there is none) and the cell of a cell's name.
pub(in crate::state) fn cell_parts(name: &str) -> (&str, &str) {
    name.split_once(SEPARATOR).unwrap_or(("", name))
}

/// Writes a cell's name into `out`, in place of its text.
pub(in crate::state) fn write_cell_name(notebook: Option<&str>, cell: &str, out: &mut String) {
    out.clear();
    out.push_str(notebook.unwrap_or_default());
    out.push(SEPARATOR);
    out.push_str(cell);
}
