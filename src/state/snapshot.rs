//! Between the state in memory and its snapshot's rows.

use std::collections::HashMap;
use std::sync::Arc;

use super::cell::{Pair, PairRuns, cell_name, cell_parts, write_cell_name};
use super::class::ClassState;
use super::kept::{Asker, Entry};
use super::{cell, student};
use crate::store::{Changes, ClassRow, RunsRow, Snapshot};

impl ClassState {
    /// The state that a snapshot holds.
    pub fn restore(snapshot: Snapshot) -> Self {
        Self::default().filled(snapshot)
    }

    /// The same, into a class of which nothing is known yet.
    pub(super) fn filled(mut self, snapshot: Snapshot) -> Self {
        let class = &mut self;
        class.events = snapshot.class.events;
        class.last_event = snapshot.class.last_event;
        class.last_received_at = snapshot.class.last_received_at.unwrap_or(i64::MIN);
        let mut number = class.next_number..;
        let mut next = || number.next().unwrap_or_default();
        for (name, event, state) in snapshot.students {
            let kept = student::Kept { number: next(), state, ..Default::default() };
            class.students.restore(name.into(), event, kept);
        }
        for (notebook, id, event, state) in snapshot.cells {
            let name = cell_name(Some(&notebook), &id).into();
            class.cells.restore(name, event, cell::Kept::new(next(), state));
        }
        class.next_number = next();
        let mut name = String::new();
        for (student, notebook, id, event, runs) in snapshot.runs {
            write_cell_name(Some(&notebook), &id, &mut name);
            // A pair of which only one is kept was written by hand: nothing would ever let go of
            // it.
            let (Some(student_name), Some(cell_name)) =
                (class.students.key(&*student), class.cells.key(&*name))
            else {
                continue;
            };
            let (Some(student), Some(cell)) =
                (class.students.peek_mut(&*student_name), class.cells.peek_mut(&*cell_name))
            else {
                continue;
            };
            student.cells.insert(cell.number);
            cell.students.insert(student.number);
            let pair = Pair { student: student.number, cell: cell.number };
            class.runs.restore(
                pair,
                event,
                PairRuns { student: student_name, cell: cell_name, runs },
            );
        }
        for (start, minute) in snapshot.minutes {
            class.activity.restore(start, minute);
        }
        self
    }

    /// From now on what changes is remembered for [`ClassState::take_changes`], or no longer.
    pub fn remember(&mut self, on: bool) {
        self.students.remember(Asker::Snapshot, on);
        self.cells.remember(Asker::Snapshot, on);
        self.runs.remember(Asker::Snapshot, on);
        self.gone_runs = Vec::new();
        self.activity.remember(on);
    }

    /// What has changed since it was last asked for, as of an id up to which all of the class's
    /// events are folded.
    pub fn take_changes(&mut self, through: i64) -> Changes {
        let mut changes = Changes {
            rows: Snapshot { class: self.row(through), ..Default::default() },
            ..Default::default()
        };
        for name in self.students.take_changed(Asker::Snapshot) {
            match self.students.entry(&name) {
                Some(entry) => {
                    changes.rows.students.push((
                        boxed(&name),
                        entry.last_event,
                        entry.value.state.clone(),
                    ));
                }
                None => changes.gone_students.push(boxed(&name)),
            }
        }
        for name in self.cells.take_changed(Asker::Snapshot) {
            let (notebook, id) = cell_parts(&name);
            let (notebook, id) = (notebook.into(), id.into());
            match self.cells.entry(&name) {
                Some(entry) => {
                    changes.rows.cells.push((
                        notebook,
                        id,
                        entry.last_event,
                        entry.value.state.clone(),
                    ));
                }
                None => changes.gone_cells.push((notebook, id)),
            }
        }
        let mut names = CellNames::default();
        for pair in self.runs.take_changed(Asker::Snapshot) {
            // Of one that gave way the names are below.
            if let Some(entry) = self.runs.entry(&pair) {
                changes.rows.runs.push(names.row(entry));
            }
        }
        for (student, cell) in std::mem::take(&mut self.gone_runs) {
            let (notebook, id) = names.of(&cell);
            changes.gone_runs.push((student, notebook, id));
        }
        let changed = self.activity.take_changed();
        let minutes =
            changed.into_iter().filter_map(|start| Some((start, self.activity.get(start)?)));
        changes.rows.minutes.extend(minutes);
        changes.minutes_begin = self.activity.begin();
        changes
    }

    /// All of it, in an order that depends on nothing but the state.
    pub fn snapshot(&self, through: i64) -> Snapshot {
        let mut snapshot = Snapshot { class: self.row(through), ..Default::default() };
        for (name, entry) in self.students.entries() {
            snapshot.students.push((boxed(name), entry.last_event, entry.value.state.clone()));
        }
        for (name, entry) in self.cells.entries() {
            let (notebook, id) = cell_parts(name);
            snapshot.cells.push((
                notebook.into(),
                id.into(),
                entry.last_event,
                entry.value.state.clone(),
            ));
        }
        let mut names = CellNames::default();
        snapshot.runs.extend(self.runs.entries().map(|(_, entry)| names.row(entry)));
        snapshot.minutes.extend(self.activity.since(i64::MIN));
        snapshot.sort();
        snapshot
    }

    pub(super) fn row(&self, through: i64) -> ClassRow {
        ClassRow {
            through,
            events: self.events,
            students: self.students.len() as i64,
            last_received_at: (self.events > 0).then_some(self.last_received_at),
            last_event: self.last_event,
        }
    }
}

/// The parts of cells' names, each of which many rows share.
#[derive(Default)]
struct CellNames(HashMap<Arc<str>, (Arc<str>, Arc<str>)>);

impl CellNames {
    /// Notebook and cell.
    fn of(&mut self, name: &Arc<str>) -> (Arc<str>, Arc<str>) {
        let parts = self.0.entry(Arc::clone(name)).or_insert_with(|| {
            let (notebook, id) = cell_parts(name);
            (notebook.into(), id.into())
        });
        parts.clone()
    }

    fn row(&mut self, entry: &Entry<Pair, PairRuns>) -> RunsRow {
        let (notebook, id) = self.of(&entry.value.cell);
        (Arc::clone(&entry.value.student), notebook, id, entry.last_event, entry.value.runs.clone())
    }
}

fn boxed(name: &Arc<str>) -> Box<str> {
    Box::from(&**name)
}
