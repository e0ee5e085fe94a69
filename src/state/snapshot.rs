//! Between the state in memory and its snapshot's rows.

use std::sync::Arc;

use super::cell::{cell_name, cell_parts, runs_name, runs_parts};
use super::class::ClassState;
use super::{cell, student};
use crate::store::{Changes, ClassRow, Snapshot};

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
        for (name, event, state) in snapshot.students {
            class.students.restore(&name, event, student::Kept { state, ..Default::default() });
        }
        for (notebook, id, event, state) in snapshot.cells {
            let kept = cell::Kept { state, ..Default::default() };
            class.cells.restore(&cell_name(Some(&notebook), &id), event, kept);
        }
        for (student, notebook, id, event, runs) in snapshot.runs {
            let cell = cell_name(Some(&notebook), &id);
            class.runs.restore(&runs_name(&student, &cell), event, runs);
            let student_name = class.students.name(&student);
            let cell_name = class.cells.name(&cell);
            if let (Some(student), Some(name)) = (class.students.peek_mut(&student), &cell_name) {
                student.cells.insert(Arc::clone(name));
            }
            if let (Some(cell), Some(name)) = (class.cells.peek_mut(&cell), &student_name) {
                cell.students.insert(Arc::clone(name));
            }
        }
        for (start, minute) in snapshot.minutes {
            class.activity.restore(start, minute);
        }
        self
    }

    /// From now on what changes is remembered for [`ClassState::take_changes`], or no longer.
    pub fn remember(&mut self, on: bool) {
        self.students.remember(on);
        self.cells.remember(on);
        self.runs.remember(on);
        self.activity.remember(on);
    }

    /// What has changed since it was last asked for, as of an id up to which all of the class's events are folded.
    pub fn take_changes(&mut self, through: i64) -> Changes {
        let mut changes = Changes {
            rows: Snapshot { class: self.row(through), ..Default::default() },
            ..Default::default()
        };
        for name in self.students.take_changed() {
            match self.students.entry(&name) {
                Some(entry) => {
                    changes.rows.students.push((boxed(&name), entry.last_event, entry.value.state.clone()));
                }
                None => changes.gone_students.push(boxed(&name)),
            }
        }
        for name in self.cells.take_changed() {
            let (notebook, id) = cell_parts(&name);
            let (notebook, id) = (notebook.into(), id.into());
            match self.cells.entry(&name) {
                Some(entry) => {
                    changes.rows.cells.push((notebook, id, entry.last_event, entry.value.state.clone()));
                }
                None => changes.gone_cells.push((notebook, id)),
            }
        }
        for name in self.runs.take_changed() {
            let (student, cell) = runs_parts(&name);
            let (notebook, id) = cell_parts(cell);
            let (student, notebook, id) = (student.into(), notebook.into(), id.into());
            match self.runs.entry(&name) {
                Some(entry) => {
                    changes.rows.runs.push((student, notebook, id, entry.last_event, entry.value.clone()));
                }
                None => changes.gone_runs.push((student, notebook, id)),
            }
        }
        let changed = self.activity.take_changed();
        let minutes = changed.into_iter().filter_map(|start| Some((start, self.activity.get(start)?)));
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
            snapshot.cells.push((notebook.into(), id.into(), entry.last_event, entry.value.state.clone()));
        }
        for (name, entry) in self.runs.entries() {
            let (student, cell) = runs_parts(name);
            let (notebook, id) = cell_parts(cell);
            snapshot.runs.push((
                student.into(),
                notebook.into(),
                id.into(),
                entry.last_event,
                entry.value.clone(),
            ));
        }
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

fn boxed(name: &Arc<str>) -> Box<str> {
    Box::from(&**name)
}
