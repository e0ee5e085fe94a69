//! A class's state: the fold over its events in id order.

use super::activity::Activity;
use super::cell::{self, Runs, runs_name, runs_parts, write_runs_name};
use super::kept::Kept;
use super::observed::{Kind, Observed};
use super::student;
use crate::event::StoredEvent;
use crate::store::ClassRow;

/// Students kept of a class. The one of whom nothing came for longest gives way to a new one, and comes back as new.
pub const MAX_STUDENTS: usize = 10_000;
/// Cells kept of a class. Students add cells of their own: the one not run for longest gives way.
pub const MAX_CELLS: usize = 5_000;
/// Pairs of student and cell kept of a class, likewise; a cell's students are counted over these.
pub const MAX_RUNS: usize = 100_000;

/// A class as its events have made it; nothing in it depends on when or in what portions they came.
#[derive(Debug)]
pub struct ClassState {
    pub(super) students: Kept<student::Kept>,
    pub(super) cells: Kept<cell::Kept>,
    pub(super) runs: Kept<Runs>,
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
            activity: Activity::default(),
            events: 0,
            last_received_at: i64::MIN,
            last_event: 0,
            scratch: String::new(),
        }
    }

    /// Folds the class's next event; one that is folded already changes nothing, so that a read may be repeated.
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
            if let Some(student) = self.students.change(event.student)
                && student.state.resolve()
            {
                student.written = None;
            }
            return;
        }
        let make = || student::Kept { state: student::Student::new(event.received), ..Default::default() };
        let touched = self.students.touch(event.student, event.id, make, |student, _| {
            if event.kind == Kind::Run && student.state.has_seen(event) {
                return None;
            }
            student.written = None;
            Some(student.state.fold(event))
        });
        let Some((seen, evicted)) = touched else { return };
        if let Some((name, student)) = evicted {
            self.forget_student(&name, &student);
        }
        if event.kind == Kind::Run {
            self.run(event);
        } else if seen.raised
            && let Some(minute) = self.activity.at(event.received)
        {
            minute.help += 1;
        }
    }

    fn run(&mut self, event: &Observed<'_>) {
        if let Some(minute) = self.activity.at(event.received) {
            minute.runs += 1;
            minute.errors += i64::from(event.failed);
        }
        let Some(id) = event.cell.as_deref() else { return };
        let mut pair = std::mem::take(&mut self.scratch);
        let at = write_runs_name(event.student, event.notebook.as_deref(), id, &mut pair);
        self.cell_run(&pair, &pair[at..], event);
        self.scratch = pair;
    }

    /// `pair` is the name of the student's runs of the cell, `cell_name` the cell's own.
    fn cell_run(&mut self, pair: &str, cell_name: &str, event: &Observed<'_>) {
        let touched = self.cells.touch(cell_name, event.id, cell::Kept::default, |cell, _| {
            let state = &mut cell.state;
            state.cell_index = event.cell_index.or(state.cell_index);
            state.runs += 1;
            state.failed_runs += i64::from(event.failed);
            if let Some(message) = event.message.as_deref() {
                state.add_message(message);
            }
            Some(())
        });
        if let Some(((), Some((name, cell)))) = touched {
            self.forget_cell(&name, &cell);
        }
        let make = || Runs::new(event.moment());
        let touched = self.runs.touch(pair, event.id, make, |runs, is_new| {
            let failing = runs.failed_runs > 0;
            runs.add(event.failed, event.moment());
            Some((is_new, event.failed && !failing))
        });
        let Some(((is_new, fails_now), evicted)) = touched else { return };
        if let Some((pair, runs)) = evicted {
            self.forget_runs(&pair, &runs);
        }
        // Both were touched above: they are among the changed already.
        if fails_now && let Some(cell) = self.cells.peek_mut(cell_name) {
            cell.state.failing_students += 1;
        }
        if is_new
            && let (Some(student), Some(name)) =
                (self.students.name(event.student), self.cells.name(cell_name))
        {
            if let Some(cell) = self.cells.peek_mut(cell_name) {
                cell.state.students += 1;
                cell.students.insert(student);
            }
            if let Some(student) = self.students.peek_mut(event.student) {
                student.cells.insert(name);
            }
        }
    }

    /// A student gave way: so do the student's runs, and cells count one less.
    fn forget_student(&mut self, name: &str, student: &student::Kept) {
        for cell in &student.cells {
            if let Some(runs) = self.runs.remove(&runs_name(name, cell)) {
                self.discount(name, cell, &runs);
            }
        }
    }

    fn forget_cell(&mut self, name: &str, cell: &cell::Kept) {
        for student in &cell.students {
            self.runs.remove(&runs_name(student, name));
            if let Some(student) = self.students.peek_mut(student) {
                student.cells.remove(name);
            }
        }
    }

    fn forget_runs(&mut self, pair: &str, runs: &Runs) {
        let (student, cell) = runs_parts(pair);
        self.discount(student, cell, runs);
        if let Some(student) = self.students.peek_mut(student) {
            student.cells.remove(cell);
        }
    }

    fn discount(&mut self, student: &str, cell: &str, runs: &Runs) {
        let Some(cell) = self.cells.change(cell) else { return };
        cell.students.remove(student);
        cell.state.students -= 1;
        cell.state.failing_students -= i64::from(runs.failed_runs > 0);
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

    /// What the class's list says of it.
    pub fn listed(&self) -> ClassRow {
        self.row(self.last_event)
    }

    /// A student, if it is kept.
    pub fn student(&self, name: &str) -> Option<&student::Student> {
        self.students.get(name).map(|student| &student.state)
    }

    /// About what it takes up in memory, in bytes.
    pub fn weight(&self) -> usize {
        // Entry, name, place in the order, texts, what is written: measured on simulated classes.
        const STUDENT: usize = 1_600;
        const CELL: usize = 1_000;
        const RUNS: usize = 500;
        1_000 + self.students.len() * STUDENT + self.cells.len() * CELL + self.runs.len() * RUNS
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
        let cell = &class.cells.get(&cell_name(None, cell))?.state;
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
