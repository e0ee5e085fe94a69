//! A class's state: the fold over its events in id order.

use std::mem::size_of;
use std::sync::Arc;

use super::activity::{Activity, Minute};
use super::cell::{self, Pair, PairRuns, Runs, write_cell_name};
use super::kept::{Asker, Kept};
use super::observed::{Kind, Observed};
use super::student;
use crate::event::StoredEvent;
use crate::store::ClassRow;

/// Students kept of a class. The one of whom nothing came for longest gives way to a new one, and
/// comes back as new.
pub const MAX_STUDENTS: usize = 10_000;
/// Cells kept of a class. Students add cells of their own: the one not run for longest gives way.
pub const MAX_CELLS: usize = 5_000;
/// Pairs of student and cell kept of a class, likewise; a cell's students are counted over these.
pub const MAX_RUNS: usize = 100_000;

/// A class as its events have made it; nothing in it depends on when or in what portions they came.
#[derive(Debug)]
pub struct ClassState {
    pub(super) students: Kept<Arc<str>, student::Kept>,
    pub(super) cells: Kept<Arc<str>, cell::Kept>,
    pub(super) runs: Kept<Pair, PairRuns>,
    /// Student and cell of the pairs that gave way since they were last taken, while somebody takes
    /// them.
    pub(super) gone_runs: Vec<(Arc<str>, Arc<str>)>,
    /// The next number of a student or a cell.
    pub(super) next_number: u64,
    pub(super) activity: Activity,
    /// Events folded, all kinds, repeats too.
    pub(super) events: i64,
    /// When the newest was received, by the database's clock; `i64::MIN` before any.
    pub(super) last_received_at: i64,
    /// The last event folded; 0 before any.
    pub(super) last_event: i64,
    /// For names, so that an event makes none of its own.
    scratch: String,
}

impl Default for ClassState {
    fn default() -> Self {
        Self::bounded(MAX_STUDENTS, MAX_CELLS, MAX_RUNS)
    }
}

impl ClassState {
    /// With bounds of a test's own.
    pub(super) fn bounded(students: usize, cells: usize, runs: usize) -> Self {
        Self {
            students: Kept::new(students),
            cells: Kept::new(cells),
            runs: Kept::new(runs),
            gone_runs: Vec::new(),
            next_number: 0,
            activity: Activity::default(),
            events: 0,
            last_received_at: i64::MIN,
            last_event: 0,
            scratch: String::new(),
        }
    }

    /// Folds the class's next event; one that is folded already changes nothing, so that a read may
    /// be repeated.
    pub fn fold(&mut self, event: &StoredEvent<'_>) {
        if event.id > self.last_event {
            self.observe(&Observed::of(event));
        }
    }

    fn observe(&mut self, event: &Observed<'_>) {
        self.events += 1;
        self.last_event = event.id;
        self.last_received_at = self.last_received_at.max(event.received);
        if event.kind == Kind::HelpResolved {
            self.students.change(event.student, |student| student.state.resolve().then_some(()));
            return;
        }
        let number = self.next_number;
        let make = || student::Kept {
            number,
            state: student::Student::new(event.received),
            ..Default::default()
        };
        let touched = self.students.touch(event.student, event.id, make, |student, is_new| {
            if event.kind == Kind::Run && student.state.has_seen(event) {
                return None;
            }
            Some((student.state.fold(event), student.number, is_new))
        });
        let Some(((seen, student, is_new), evicted)) = touched else { return };
        self.next_number += u64::from(is_new);
        if let Some((_, evicted)) = evicted {
            self.forget_student(&evicted);
        }
        if event.kind == Kind::Run {
            self.run(event, student);
        } else if seen.raised
            && let Some(minute) = self.activity.at(event.received)
        {
            minute.help += 1;
        }
    }

    /// `student` is the number of the event's student.
    fn run(&mut self, event: &Observed<'_>, student: u64) {
        if let Some(minute) = self.activity.at(event.received) {
            minute.runs += 1;
            minute.errors += i64::from(event.failed);
        }
        let Some(id) = event.cell.as_deref() else { return };
        let mut name = std::mem::take(&mut self.scratch);
        write_cell_name(event.notebook.as_deref(), id, &mut name);
        self.cell_run(student, &name, event);
        self.scratch = name;
    }

    /// `student` is the student's number, `cell_name` the cell's name.
    fn cell_run(&mut self, student: u64, cell_name: &str, event: &Observed<'_>) {
        let number = self.next_number;
        let make = || cell::Kept::new(number, cell::Cell::default());
        let touched = self.cells.touch(cell_name, event.id, make, |cell, is_new| {
            let state = &mut cell.state;
            state.cell_index = event.cell_index.or(state.cell_index);
            state.runs += 1;
            state.failed_runs += i64::from(event.failed);
            if let Some(message) = event.message.as_deref() {
                cell.add_message(message);
            }
            Some((cell.number, is_new))
        });
        let Some(((cell, is_new), evicted)) = touched else { return };
        self.next_number += u64::from(is_new);
        if let Some((_, evicted)) = evicted {
            self.forget_cell(&evicted);
        }
        let pair = Pair { student, cell };
        let (students, cells) = (&self.students, &self.cells);
        let make = || PairRuns {
            student: students.key(event.student).unwrap_or_else(|| event.student.into()),
            cell: cells.key(cell_name).unwrap_or_else(|| cell_name.into()),
            runs: Runs::new(event.moment()),
        };
        let touched = self.runs.touch(&pair, event.id, make, |pair, is_new| {
            let failing = pair.runs.failed_runs > 0;
            pair.runs.add(event.failed, event.moment());
            Some((is_new, event.failed && !failing))
        });
        let Some(((is_new, fails_now), evicted)) = touched else { return };
        if let Some((pair, evicted)) = evicted {
            self.forget_runs(pair, &evicted);
        }
        // Both were touched above: they are among the changed already.
        if let Some(kept) = self.cells.peek_mut(cell_name).filter(|_| fails_now || is_new) {
            kept.state.failing_students += i64::from(fails_now);
            if is_new {
                kept.state.students += 1;
                kept.students.insert(student);
            }
        }
        if is_new && let Some(kept) = self.students.peek_mut(event.student) {
            kept.cells.insert(cell);
        }
    }

    /// A student gave way: so do the student's runs, and cells count one less.
    fn forget_student(&mut self, student: &student::Kept) {
        for &cell in &student.cells {
            let pair = Pair { student: student.number, cell };
            if let Some(runs) = self.runs.remove(&pair) {
                self.discount(pair, &runs);
                self.note_gone(&runs);
            }
        }
    }

    fn forget_cell(&mut self, cell: &cell::Kept) {
        for &student in &cell.students {
            let Some(runs) = self.runs.remove(&Pair { student, cell: cell.number }) else {
                continue;
            };
            if let Some(student) = self.students.peek_mut(&*runs.student) {
                student.cells.remove(&cell.number);
            }
            self.note_gone(&runs);
        }
    }

    fn forget_runs(&mut self, pair: Pair, runs: &PairRuns) {
        self.discount(pair, runs);
        if let Some(student) = self.students.peek_mut(&*runs.student) {
            student.cells.remove(&pair.cell);
        }
        self.note_gone(runs);
    }

    fn discount(&mut self, pair: Pair, runs: &PairRuns) {
        self.cells.change(&*runs.cell, |cell| {
            cell.students.remove(&pair.student);
            cell.state.students -= 1;
            cell.state.failing_students -= i64::from(runs.runs.failed_runs > 0);
            Some(())
        });
    }

    /// A pair's number says nothing of it any more: its names are kept for the snapshot.
    fn note_gone(&mut self, runs: &PairRuns) {
        if self.runs.remembers(Asker::Snapshot) {
            self.gone_runs.push((Arc::clone(&runs.student), Arc::clone(&runs.cell)));
        }
    }

    /// The last event folded; 0 before any.
    pub fn last_event(&self) -> i64 {
        self.last_event
    }

    /// Events folded.
    pub fn events(&self) -> i64 {
        self.events
    }

    /// When the newest event was received, by the database's clock; `i64::MIN` before any.
    pub fn last_received_at(&self) -> i64 {
        self.last_received_at
    }

    /// The minutes that end after `from` and in which there was something, in order.
    pub fn minutes_since(&self, from: i64) -> Vec<(i64, Minute)> {
        self.activity.since(from).collect()
    }

    /// What the class's list says of it.
    pub fn listed(&self) -> ClassRow {
        self.row(self.last_event)
    }

    /// A student, if it is kept.
    pub fn student(&self, name: &str) -> Option<&student::Student> {
        self.students.get(name).map(|student| &student.state)
    }

    /// Students, cells and pairs.
    pub(super) fn rows(&self) -> usize {
        self.students.len() + self.cells.len() + self.runs.len()
    }

    /// Bytes of names and texts.
    #[cfg(test)]
    pub(super) fn heap(&self) -> [usize; 3] {
        [self.students.heap(), self.cells.heap(), self.runs.heap()]
    }

    /// What it takes up in memory, in bytes.
    pub fn weight(&self) -> usize {
        // A pair's numbers in two sets, whose nodes are half full at worst, and what a set has
        // beside them.
        const NUMBERS: usize = 2 * 2 * (size_of::<u64>() + 2);
        const SET: usize = 32;
        // The tree of minutes, half full.
        const MINUTES: usize = 2 * size_of::<(i64, Minute)>();
        size_of::<Self>()
            + self.students.bytes()
            + self.cells.bytes()
            + self.runs.bytes()
            + self.runs.len() * NUMBERS
            + (self.students.len() + self.cells.len()) * SET
            + self.gone_runs.capacity() * size_of::<(Arc<str>, Arc<str>)>()
            + self.activity.len() * MINUTES
            + self.scratch.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::cell_name;
    use super::*;
    use crate::event::Micros;

    /// `student`'s run of `cell`, as the class's event `id`.
    fn run(class: &mut ClassState, id: i64, student: &str, cell: &str, failed: bool) {
        let body = format!(
            r#"{{"eventType":"cell_executed","cellId":"{cell}","executionCount":{id},"hasError":{failed}}}"#
        );
        let received_at = Micros(1_775_034_000_000_000 + id * 1_000_000);
        class.fold(&StoredEvent { id, class: "c", student, received_at, body: &body });
    }

    fn counts(class: &ClassState, cell: &str) -> Option<(i64, i64, i64)> {
        let cell = &class.cells.get(&*cell_name(None, cell))?.state;
        Some((cell.runs, cell.students, cell.failing_students))
    }

    #[test]
    fn a_new_student_takes_the_place_of_the_most_silent() {
        let mut class = ClassState::bounded(2, 10, 10);
        run(&mut class, 1, "a", "x", true);
        run(&mut class, 2, "b", "x", false);
        run(&mut class, 3, "a", "y", false);
        run(&mut class, 4, "c", "x", false);
        assert!(class.student("b").is_none());
        assert_eq!(counts(&class, "x"), Some((3, 2, 1)));
        run(&mut class, 5, "d", "z", false);
        assert!(class.student("a").is_none());
        assert_eq!(counts(&class, "x"), Some((3, 1, 0)));
        assert_eq!(counts(&class, "y"), Some((1, 0, 0)));
        assert_eq!(class.runs.len(), 2);
    }

    #[test]
    fn a_new_cell_takes_the_place_of_the_least_recent() {
        let mut class = ClassState::bounded(10, 2, 10);
        run(&mut class, 1, "a", "x", true);
        run(&mut class, 2, "a", "y", false);
        run(&mut class, 3, "b", "x", false);
        run(&mut class, 4, "b", "z", false);
        assert_eq!(counts(&class, "y"), None);
        assert_eq!(class.runs.len(), 3);
        run(&mut class, 5, "a", "y", true);
        assert_eq!(counts(&class, "x"), None);
        assert_eq!(counts(&class, "y"), Some((1, 1, 1)), "begins anew");
        assert_eq!(class.student("a").map(|student| student.cells_executed), Some(3));
    }

    #[test]
    fn runs_are_bounded_too() {
        let mut class = ClassState::bounded(10, 10, 2);
        run(&mut class, 1, "a", "x", true);
        run(&mut class, 2, "b", "x", false);
        run(&mut class, 3, "a", "y", false);
        assert_eq!(counts(&class, "x"), Some((2, 1, 0)));
        run(&mut class, 4, "a", "x", true);
        assert_eq!(counts(&class, "x"), Some((3, 1, 1)));
        assert_eq!(class.runs.len(), 2);
    }
}
