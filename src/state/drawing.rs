//! What summaries of a class are made of: its rows, copied out of the state and rendered.
//!
//! The state's lock is what the tail waits for, and the largest class takes a tenth of a second to
//! write down. So only rows that have changed are copied under the lock, a few hundred at a time,
//! and everything else happens outside of it. Whatever changes between two portions is among the
//! changed once more; when a portion has taken the last of them, the copy is the state as it is at
//! that moment, and so is the cursor that is read with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::size_of;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::cell::{Cell, Runs, cell_parts};
use super::class::ClassState;
use super::kept::{Asker, Heap};
use super::student::{LastRun, Student};
use super::view;

/// A class's rows.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    /// Whether the state tells it of changes.
    has_begun: bool,
    /// Names to numbers, in the order in which students are written.
    students: BTreeMap<Arc<str>, u64>,
    student_rows: HashMap<u64, StudentRow>,
    cells: HashMap<Arc<str>, u64>,
    cell_rows: HashMap<u64, CellRow>,
    /// The cells' numbers in the order in which they are written, and each one's place; none once
    /// that has changed.
    order: Option<(Vec<u64>, HashMap<u64, usize>)>,
    /// Rows that were copied and are not rendered yet.
    copied_students: Vec<u64>,
    copied_cells: Vec<u64>,
    /// Students whose row of the grid is to be rendered.
    stale_grid: BTreeSet<u64>,
    /// Bytes of all texts here.
    bytes: usize,
    /// What was here before, to be let go of outside of the state's lock.
    before: Option<Box<Drawing>>,
    /// The last one took so long that the next is to wait.
    rest_until: Option<Instant>,
}

/// A student as it is written.
#[derive(Debug, Default)]
pub(super) struct StudentRow {
    name: Arc<str>,
    /// All of the state, until it is rendered.
    copied: Option<Student>,
    /// What the status and the counts need of it.
    pub(super) state: Student,
    /// But for what time changes, without the closing brace.
    pub(super) members: String,
    /// By cell.
    runs: BTreeMap<u64, Runs>,
    /// The row of the grid; none if there is none, or it is to be rendered.
    pub(super) grid: Option<String>,
}

/// A cell as it is written.
#[derive(Debug)]
pub(super) struct CellRow {
    name: Arc<str>,
    index: Option<i64>,
    /// Until it is rendered.
    state: Option<Cell>,
    pub(super) text: String,
}

impl Drawing {
    /// When it may be drawn again.
    pub(super) fn rest_until(&self) -> Instant {
        self.rest_until.unwrap_or_else(Instant::now)
    }

    /// It is not drawn again for so long.
    pub(super) fn rest(&mut self, rest: Duration) {
        self.rest_until = Some(Instant::now() + rest);
    }

    /// What it takes up in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        // Names in a tree and a map, whose nodes and buckets are half full at worst.
        const NAMED: usize = 2 * 2 * size_of::<(Arc<str>, u64)>();
        self.bytes
            + self.student_rows.capacity() * 8 / 7 * (size_of::<(u64, StudentRow)>() + 1)
            + self.cell_rows.capacity() * 8 / 7 * (size_of::<(u64, CellRow)>() + 1)
            + (self.student_rows.len() + self.cell_rows.len()) * NAMED
    }

    /// Copies at most about `rows` of the rows that have changed. Whether these were the last: then
    /// this is the class as it is in `state`. To be called with the state's lock held.
    pub(super) fn copy(&mut self, state: &mut ClassState, rows: usize) -> bool {
        let asker = Asker::Drawing;
        let knows_all = state.students.remembers(asker)
            && state.cells.remembers(asker)
            && state.runs.remembers(asker);
        if !(self.has_begun && knows_all) {
            // Of a student that is new here all runs are copied.
            self.before = Some(Box::new(std::mem::take(self)));
            self.has_begun = true;
            state.students.remember_all(asker);
            state.cells.remember_all(asker);
            state.runs.remember(asker, true);
        }
        let mut copied = 0;
        while copied < rows {
            // In this order: a pair belongs to a student that is here.
            if let Some(name) = state.students.next_changed(asker) {
                copied += 1 + self.copy_student(state, &name);
            } else if let Some(name) = state.cells.next_changed(asker) {
                copied += 1;
                self.copy_cell(state, &name);
            } else if let Some(pair) = state.runs.next_changed(asker) {
                copied += 1;
                let runs = state.runs.get(&pair).map(|pair| pair.runs.clone());
                self.set_runs(pair.student, pair.cell, runs);
            } else {
                return true;
            }
        }
        false
    }

    /// Copies a student; of one that is new also the runs. Returns how many these were.
    fn copy_student(&mut self, state: &ClassState, name: &Arc<str>) -> usize {
        let kept = state.students.get(name);
        let known = self.students.get(name).copied();
        if let Some(number) = known.filter(|&number| kept.is_none_or(|kept| kept.number != number))
        {
            // It gave way, and perhaps came back as another.
            self.students.remove(name);
            if let Some(row) = self.student_rows.remove(&number) {
                self.bytes -= row.bytes();
            }
            self.stale_grid.remove(&number);
        }
        let Some(kept) = kept else { return 0 };
        let is_new = known != Some(kept.number);
        let row = self.student_rows.entry(kept.number).or_default();
        self.bytes -= row.bytes();
        row.copied = Some(kept.state.clone());
        let mut copied = 0;
        if is_new {
            row.name = Arc::clone(name);
            self.students.insert(Arc::clone(name), kept.number);
            for &cell in &kept.cells {
                let pair = super::cell::Pair { student: kept.number, cell };
                if let Some(pair) = state.runs.get(&pair) {
                    row.runs.insert(cell, pair.runs.clone());
                    copied += 1;
                }
            }
            self.stale_grid.insert(kept.number);
        }
        self.bytes += row.bytes();
        self.copied_students.push(kept.number);
        copied
    }

    fn copy_cell(&mut self, state: &ClassState, name: &Arc<str>) {
        let kept = state.cells.get(name);
        let known = self.cells.get(name).copied();
        if let Some(number) = known.filter(|&number| kept.is_none_or(|kept| kept.number != number))
        {
            self.cells.remove(name);
            if let Some(row) = self.cell_rows.remove(&number) {
                self.bytes -= row.bytes();
            }
            self.forget_order();
        }
        let Some(kept) = kept else { return };
        let index = kept.state.cell_index;
        let before = self.cell_rows.insert(
            kept.number,
            CellRow {
                name: Arc::clone(name),
                index,
                state: Some(kept.state.clone()),
                text: String::new(),
            },
        );
        self.bytes -= before.as_ref().map_or(0, CellRow::bytes);
        if before.is_none_or(|before| before.index != index) {
            self.cells.insert(Arc::clone(name), kept.number);
            self.forget_order();
        }
        self.bytes += self.cell_rows.get(&kept.number).map_or(0, CellRow::bytes);
        self.copied_cells.push(kept.number);
    }

    fn set_runs(&mut self, student: u64, cell: u64, runs: Option<Runs>) {
        let Some(row) = self.student_rows.get_mut(&student) else { return };
        self.bytes -= row.bytes();
        match runs {
            Some(runs) => drop(row.runs.insert(cell, runs)),
            None => drop(row.runs.remove(&cell)),
        }
        row.grid = None;
        self.bytes += row.bytes();
        self.stale_grid.insert(student);
    }

    /// Cells stand elsewhere now: so does every run in the grid.
    fn forget_order(&mut self) {
        if self.order.take().is_some() {
            self.stale_grid.extend(self.student_rows.keys());
        }
    }

    /// Renders the students and the cells that were copied.
    pub(super) fn render(&mut self) {
        self.before = None;
        for number in std::mem::take(&mut self.copied_students) {
            let Some(row) = self.student_rows.get_mut(&number) else { continue };
            self.bytes -= row.bytes();
            if let Some(state) = row.copied.take() {
                row.members = view::student_members(&row.name, &state);
                row.members.shrink_to_fit();
                row.state = without_texts(&state);
            }
            self.bytes += row.bytes();
        }
        for number in std::mem::take(&mut self.copied_cells) {
            let Some(row) = self.cell_rows.get_mut(&number) else { continue };
            let Some(state) = row.state.take() else { continue };
            self.bytes -= row.bytes();
            row.text = view::cell_text(&row.name, &state);
            row.text.shrink_to_fit();
            self.bytes += row.bytes();
        }
    }

    /// Puts the cells in order: by notebook, place in it (those without one last), id.
    fn ordered(&mut self) -> &(Vec<u64>, HashMap<u64, usize>) {
        let rows = &self.cell_rows;
        self.order.get_or_insert_with(|| {
            let mut cells: Vec<_> = rows
                .iter()
                .map(|(&number, row)| {
                    (cell_parts(&row.name), row.index.unwrap_or(i64::MAX), number)
                })
                .collect();
            cells.sort_unstable_by_key(|&((path, cell), index, _)| (path, index, cell));
            let order: Vec<u64> = cells.into_iter().map(|(_, _, number)| number).collect();
            let places = order.iter().enumerate().map(|(place, &number)| (number, place)).collect();
            (order, places)
        })
    }

    /// The cells in order, of one notebook or all.
    pub(super) fn cells(&mut self, notebook: Option<&str>) -> impl Iterator<Item = &CellRow> {
        self.ordered();
        let order = self.order.as_ref().map_or(&[][..], |(order, _)| order);
        let rows = order.iter().filter_map(|number| self.cell_rows.get(number));
        rows.filter(move |row| notebook.is_none_or(|wanted| cell_parts(&row.name).0 == wanted))
    }

    /// The students by name.
    pub(super) fn students(&self) -> impl Iterator<Item = &StudentRow> {
        self.students.values().filter_map(|number| self.student_rows.get(number))
    }

    /// About how many bytes the students have when they are written.
    pub(super) fn students_len(&self) -> usize {
        self.students().map(|row| row.members.len() + 80).sum()
    }

    /// Renders the rows of the grid in which something has changed.
    pub(super) fn render_grid(&mut self) {
        self.ordered();
        let Some((_, places)) = &self.order else { return };
        for number in std::mem::take(&mut self.stale_grid) {
            let Some(row) = self.student_rows.get_mut(&number) else { continue };
            self.bytes -= row.bytes();
            let placed =
                row.runs.iter().filter_map(|(cell, runs)| Some((*places.get(cell)?, runs)));
            let mut placed: Vec<(usize, &Runs)> = placed.collect();
            placed.sort_unstable_by_key(|&(place, _)| place);
            row.grid = (!placed.is_empty()).then(|| {
                let mut text = view::grid_row(&row.name, &placed);
                text.shrink_to_fit();
                text
            });
            self.bytes += row.bytes();
        }
    }
}

impl StudentRow {
    fn bytes(&self) -> usize {
        // The tree's nodes are half full at worst.
        let runs = self.runs.len() * 2 * size_of::<(u64, Runs)>();
        let copied = self.copied.as_ref().map_or(0, Heap::heap);
        copied + self.members.capacity() + runs + self.grid.as_ref().map_or(0, String::capacity)
    }
}

impl CellRow {
    fn bytes(&self) -> usize {
        let messages = self.state.as_ref().map(|state| &state.messages).into_iter().flatten();
        let state: usize =
            messages.map(|(text, _)| text.len() + size_of::<(Box<str>, i64)>()).sum();
        state + self.text.capacity()
    }
}

/// What a student's status and the counts over students are made of.
fn without_texts(state: &Student) -> Student {
    let last_run = state
        .last_run
        .as_ref()
        .map(|run| LastRun { received_at: run.received_at, ..LastRun::default() });
    Student {
        last_received_at: state.last_received_at,
        cells_executed: state.cells_executed,
        error_count: state.error_count,
        consecutive_errors: state.consecutive_errors,
        last_run,
        help_since: state.help_since,
        last_help_at: state.last_help_at,
        ..Student::default()
    }
}
