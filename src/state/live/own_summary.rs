//! A student's own summary: that of the class as if the student were alone in it.
//!
//! With the class's lock held, the student's rows are copied: one row, and the cells that it ran.
//! Without the lock they become a state of one student, and that state is rendered as any other.
//! So nothing of another student can be in the answer. A class keeps error messages and activity
//! for all students together; a student's own summary has neither.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::classes::Classes;
use super::load_error::LoadError;
use super::rendered_rows::RenderedRows;
use super::rendered_summary::{ClassMembers, RenderedSummary, SummaryHead};
use crate::event::{ClassId, EventId, StudentId};
use crate::state::fold::cell::{Cell, NumberedCell, Pair, PairNames, PairRuns, Runs};
use crate::state::fold::class::ClassState;
use crate::state::fold::student::{NumberedStudent, Student};
use crate::state::view::SummaryParts;

impl Classes {
    /// The summary of the class as if this student were alone in it, without activity.
    ///
    /// # Errors
    /// If the class cannot be loaded.
    pub(crate) async fn own_summary(
        &self,
        class: &ClassId,
        student: &StudentId,
        parts: SummaryParts,
    ) -> Result<RenderedSummary, LoadError> {
        let read = self.read(class, |state, cursor, now| {
            let (class, cursor, last_event) = (class.clone(), cursor.clone(), state.last_event());
            let members = ClassMembers {
                settings: Arc::new(state.settings.without_names()),
                minutes: Vec::new(),
                ..ClassMembers::of(state)
            };
            let head = SummaryHead { class, cursor, last_event, now, members };
            (OwnRows::copy(state, student.as_str()), head)
        });
        let (own, head) = read.await?;
        let mut alone = own.map(OwnRows::alone).unwrap_or_default();
        let mut rows = RenderedRows::default();
        while !rows.copy(&mut alone, usize::MAX) {}
        rows.render();
        Ok(RenderedSummary::render(&mut rows, head, parts))
    }
}

/// The rows of a class that are about one student.
struct OwnRows {
    name: Arc<str>,
    state: Student,
    /// Each cell that the student ran, by its name, with its place in the notebook.
    cells: Vec<(Arc<str>, Option<i64>, Runs)>,
}

impl OwnRows {
    /// `None` if the class has no such student.
    fn copy(class: &ClassState, student: &str) -> Option<Self> {
        let name = class.students.key(student)?;
        let found = class.students.get(student)?;
        let cells = found.cells.iter().filter_map(|&cell| {
            let pair = class.pairs.get(&Pair { student: found.number, cell })?;
            let index = class.cells.get(&*pair.names.cell)?.state.cell_index;
            Some((Arc::clone(&pair.names.cell), index, pair.runs.clone()))
        });
        Some(Self { name, state: found.state.clone(), cells: cells.collect() })
    }

    /// A class in which the student is alone.
    fn alone(self) -> ClassState {
        let Self { name, state, cells } = self;
        let mut class = ClassState::default();
        let student = 0;
        let mut numbers = BTreeSet::new();
        for (number, (cell, cell_index, runs)) in (1..).zip(cells) {
            let last_event = EventId(number as i64);
            let state = Cell {
                cell_index,
                runs: runs.runs,
                failed_runs: runs.failed_runs,
                students: 1,
                failing_students: i64::from(runs.failed_runs > 0),
                messages: Vec::new(),
            };
            class.cells.restore(Arc::clone(&cell), last_event, NumberedCell::new(number, state));
            let names = PairNames { student: Arc::clone(&name), cell };
            let pair = Pair { student, cell: number };
            class.pairs.restore(pair, last_event, PairRuns { names, runs });
            numbers.insert(number);
        }
        let alone = NumberedStudent { number: student, state, cells: numbers };
        class.students.restore(name, EventId::NONE, alone);
        class
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::{Micros, StoredEvent};
    use crate::state::write_summary;

    fn summary(class: &mut ClassState) -> Value {
        let mut out = String::from("{");
        let parts = SummaryParts { cells: true, grid: true, ..SummaryParts::default() };
        write_summary(class, Micros(20), parts, &mut out);
        out.push('}');
        serde_json::from_str(&out).expect("JSON")
    }

    /// The class of all students, and the class that only the events of `alone` made.
    fn folded(alone: &str) -> (ClassState, ClassState) {
        let (mut class, mut expected) = (ClassState::default(), ClassState::default());
        for id in 1..=12 {
            let student = ["a", "b", "secret"][id as usize % 3];
            let (cell, failed) = (id % 4, id % 2 == 0);
            let body = json!({
                "eventType": "cell_executed", "notebookPath": "n.ipynb",
                "cellId": format!("c{cell}"), "cellIndex": cell, "executionCount": id,
                "hasError": failed,
                "userName": format!("name of {student}"),
            });
            let body = body.to_string();
            let event =
                StoredEvent { id, class: "c", student, received_at: Micros(id), body: &body };
            class.fold(&event);
            if student == alone {
                expected.fold(&event);
            }
        }
        (class, expected)
    }

    #[test]
    fn a_student_sees_the_class_as_if_it_were_alone() {
        for student in ["a", "b", "secret"] {
            let (class, mut expected) = folded(student);
            let mut own = OwnRows::copy(&class, student).expect("a student").alone();
            // The lesson is the class's: it is copied beside the rows.
            expected.lesson = None;
            assert_eq!(summary(&mut own), summary(&mut expected));
        }
        let (class, _) = folded("nobody");
        assert!(OwnRows::copy(&class, "nobody").is_none());
        let mut nobody = ClassState::default();
        assert_eq!(summary(&mut nobody)["metrics"]["students"], 0);
    }
}
