//! A class's rows as JSON, of which its summaries are made: copied out of the state, and rendered.
//!
//! The tail waits for the class's lock with every event, and the largest class takes a tenth of a
//! second to render. So with the lock held, only the rows that have changed are copied, a few
//! hundred at a time. Rendering and everything else happens without the lock. A row that changes
//! between two portions is among the changed rows again. When a portion has taken the last of them,
//! the copy is the state as it is at that moment, and the cursor that is read with it, under the
//! same lock, is the copy's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::size_of;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::state::fold::cell::{Cell, MessageCount, Pair, Runs, cell_parts};
use crate::state::fold::class::ClassState;
use crate::state::fold::heap::Heap;
use crate::state::fold::lru_map::Consumer;
use crate::state::fold::student::Student;
use crate::state::view;

/// A class's rendered rows.
#[derive(Debug, Default)]
pub(in crate::state) struct RenderedRows {
    /// Whether anything was copied yet.
    has_begun: bool,
    /// The students' numbers by name, in the order in which they are written.
    students: BTreeMap<Arc<str>, u64>,
    student_rows: HashMap<u64, RenderedStudent>,
    cells: HashMap<Arc<str>, u64>,
    cell_rows: HashMap<u64, RenderedCell>,
    /// `None` once the order has changed.
    order: Option<CellOrder>,
    /// Rows that were copied and are not rendered yet.
    copied_students: Vec<u64>,
    copied_cells: Vec<u64>,
    /// Students whose row of the grid is to be rendered.
    stale_grid: BTreeSet<u64>,
    /// The bytes of all texts here.
    bytes: usize,
    /// The rows before, if all of them were copied again: they are dropped without the class's
    /// lock.
    before: Option<Box<RenderedRows>>,
    /// Rendering took so long that the next one has to wait.
    rest_until: Option<Instant>,
}

/// The order in which cells are written.
#[derive(Debug)]
struct CellOrder {
    numbers: Vec<u64>,
    /// Each number's index among them.
    indices: HashMap<u64, usize>,
}

/// A student's rendered row.
#[derive(Debug, Default)]
pub(in crate::state) struct RenderedStudent {
    pub(in crate::state) name: Arc<str>,
    /// The student's state, until it is rendered.
    copied: Option<Student>,
    /// The state without its texts: the status and the counts are made of it.
    pub(in crate::state) state: Student,
    /// The members that time does not change, without the closing brace.
    pub(in crate::state) members: String,
    /// By the cell's number.
    runs: BTreeMap<u64, Runs>,
    /// The row of the grid; `None` without runs, and until it is rendered.
    pub(in crate::state) grid: Option<String>,
}

/// A cell's rendered row.
#[derive(Debug)]
pub(in crate::state) struct RenderedCell {
    name: Arc<str>,
    index: Option<i64>,
    /// The cell's state, until it is rendered.
    copied: Option<Cell>,
    pub(in crate::state) text: String,
}

impl RenderedRows {
    /// When the rows may be rendered again.
    pub(in crate::state) fn rest_until(&self) -> Instant {
        self.rest_until.unwrap_or_else(Instant::now)
    }

    /// The rows are not rendered again for so long.
    pub(in crate::state) fn rest(&mut self, rest: Duration) {
        self.rest_until = Some(Instant::now() + rest);
    }

    /// The bytes that the rows take up in memory.
    pub(in crate::state) fn weight(&self) -> usize {
        // The names are in a tree and a map, whose nodes and buckets are half full at worst.
        const NAMED: usize = 2 * 2 * size_of::<(Arc<str>, u64)>();
        self.bytes
            + self.student_rows.capacity() * 8 / 7 * (size_of::<(u64, RenderedStudent)>() + 1)
            + self.cell_rows.capacity() * 8 / 7 * (size_of::<(u64, RenderedCell)>() + 1)
            + (self.student_rows.len() + self.cell_rows.len()) * NAMED
    }

    /// Copies at most about `rows` of the rows that have changed. Returns whether these were the
    /// last: then the rows are those of `state` as it is now. The class's lock must be held.
    pub(in crate::state) fn copy(&mut self, state: &mut ClassState, rows: usize) -> bool {
        let consumer = Consumer::Rendering;
        let knows_all_changes = state.students.tracks_changes(consumer)
            && state.cells.tracks_changes(consumer)
            && state.pairs.tracks_changes(consumer);
        if !(self.has_begun && knows_all_changes) {
            self.before = Some(Box::new(std::mem::take(self)));
            self.has_begun = true;
            state.students.track_all_as_changed(consumer);
            state.cells.track_all_as_changed(consumer);
            // With a student that is new here, all of the student's runs are copied.
            state.pairs.track_changes(consumer, true);
        }
        let mut copied = 0;
        while copied < rows {
            // The students first: a pair's runs are copied into its student's row.
            if let Some(name) = state.students.next_changed(consumer) {
                copied += 1 + self.copy_student(state, &name);
            } else if let Some(name) = state.cells.next_changed(consumer) {
                copied += 1;
                self.copy_cell(state, &name);
            } else if let Some(pair) = state.pairs.next_changed(consumer) {
                copied += 1;
                let runs = state.pairs.get(&pair).map(|pair| pair.runs.clone());
                self.set_runs(pair.student, pair.cell, runs);
            } else {
                return true;
            }
        }
        false
    }

    /// Copies a student, and the runs of one that is new. Returns how many runs these were.
    fn copy_student(&mut self, state: &ClassState, name: &Arc<str>) -> usize {
        let found = state.students.get(name);
        let known = self.students.get(name).copied();
        if let Some(number) =
            known.filter(|&number| found.is_none_or(|found| found.number != number))
        {
            // The student was evicted. A later event may have made a new one of the same name.
            self.students.remove(name);
            if let Some(row) = self.student_rows.remove(&number) {
                self.bytes -= row.bytes();
            }
            self.stale_grid.remove(&number);
        }
        let Some(found) = found else { return 0 };
        let is_new = known != Some(found.number);
        let row = self.student_rows.entry(found.number).or_default();
        self.bytes -= row.bytes();
        row.copied = Some(found.state.clone());
        let mut copied = 0;
        if is_new {
            row.name = Arc::clone(name);
            self.students.insert(Arc::clone(name), found.number);
            for &cell in &found.cells {
                let pair = Pair { student: found.number, cell };
                if let Some(pair) = state.pairs.get(&pair) {
                    row.runs.insert(cell, pair.runs.clone());
                    copied += 1;
                }
            }
            self.stale_grid.insert(found.number);
        }
        self.bytes += row.bytes();
        self.copied_students.push(found.number);
        copied
    }

    fn copy_cell(&mut self, state: &ClassState, name: &Arc<str>) {
        let found = state.cells.get(name);
        let known = self.cells.get(name).copied();
        if let Some(number) =
            known.filter(|&number| found.is_none_or(|found| found.number != number))
        {
            self.cells.remove(name);
            if let Some(row) = self.cell_rows.remove(&number) {
                self.bytes -= row.bytes();
            }
            self.forget_order();
        }
        let Some(found) = found else { return };
        let index = found.state.cell_index;
        let before = self.cell_rows.insert(
            found.number,
            RenderedCell {
                name: Arc::clone(name),
                index,
                copied: Some(found.state.clone()),
                text: String::new(),
            },
        );
        self.bytes -= before.as_ref().map_or(0, RenderedCell::bytes);
        if before.is_none_or(|before| before.index != index) {
            self.cells.insert(Arc::clone(name), found.number);
            self.forget_order();
        }
        self.bytes += self.cell_rows.get(&found.number).map_or(0, RenderedCell::bytes);
        self.copied_cells.push(found.number);
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

    /// The cells' indices have changed, and with them every row of the grid.
    fn forget_order(&mut self) {
        if self.order.take().is_some() {
            self.stale_grid.extend(self.student_rows.keys());
        }
    }

    /// Renders the students and the cells that were copied.
    pub(in crate::state) fn render(&mut self) {
        self.before = None;
        for number in std::mem::take(&mut self.copied_students) {
            let Some(row) = self.student_rows.get_mut(&number) else { continue };
            self.bytes -= row.bytes();
            if let Some(state) = row.copied.take() {
                row.members = match state.is_here {
                    true => view::student_members(&row.name, &state),
                    false => String::new(),
                };
                row.members.shrink_to_fit();
                row.state = without_texts(&state);
            }
            self.bytes += row.bytes();
        }
        for number in std::mem::take(&mut self.copied_cells) {
            let Some(row) = self.cell_rows.get_mut(&number) else { continue };
            let Some(state) = row.copied.take() else { continue };
            self.bytes -= row.bytes();
            row.text = view::cell_text(&row.name, &state);
            row.text.shrink_to_fit();
            self.bytes += row.bytes();
        }
    }

    /// Puts the cells in order: by notebook, by their index in it (those without one last), by id.
    fn order_cells(&mut self) {
        let rows = &self.cell_rows;
        self.order.get_or_insert_with(|| {
            let mut cells: Vec<_> = rows
                .iter()
                .map(|(&number, row)| {
                    (cell_parts(&row.name), row.index.unwrap_or(i64::MAX), number)
                })
                .collect();
            cells.sort_unstable_by_key(|&((path, cell), index, _)| (path, index, cell));
            let numbers: Vec<u64> = cells.into_iter().map(|(_, _, number)| number).collect();
            let indices = numbers.iter().enumerate().map(|(index, &number)| (number, index));
            CellOrder { indices: indices.collect(), numbers }
        });
    }

    /// The cells in order, of one notebook or all.
    pub(in crate::state) fn cells(
        &mut self,
        notebook: Option<&str>,
    ) -> impl Iterator<Item = &RenderedCell> {
        self.order_cells();
        let numbers = self.order.as_ref().map_or(&[][..], |order| &order.numbers);
        let rows = numbers.iter().filter_map(|number| self.cell_rows.get(number));
        rows.filter(move |row| notebook.is_none_or(|wanted| cell_parts(&row.name).0 == wanted))
    }

    /// The students by name.
    pub(in crate::state) fn students(&self) -> impl Iterator<Item = &RenderedStudent> {
        self.students.values().filter_map(|number| self.student_rows.get(number))
    }

    /// The student of this name.
    pub(in crate::state) fn student(&self, name: &str) -> Option<&RenderedStudent> {
        self.students.get(name).and_then(|number| self.student_rows.get(number))
    }

    /// About how many bytes the students take on the wire.
    pub(in crate::state) fn students_len(&self) -> usize {
        self.students().map(|row| row.members.len() + 80).sum()
    }

    /// Renders the rows of the grid that have changed.
    pub(in crate::state) fn render_grid(&mut self) {
        self.order_cells();
        let Some(CellOrder { indices, .. }) = &self.order else { return };
        for number in std::mem::take(&mut self.stale_grid) {
            let Some(row) = self.student_rows.get_mut(&number) else { continue };
            self.bytes -= row.bytes();
            let placed =
                row.runs.iter().filter_map(|(cell, runs)| Some((*indices.get(cell)?, runs)));
            let mut placed: Vec<(usize, &Runs)> = placed.collect();
            placed.sort_unstable_by_key(|&(index, _)| index);
            row.grid = (!placed.is_empty()).then(|| {
                let mut text = view::grid_row(&row.name, &placed);
                text.shrink_to_fit();
                text
            });
            self.bytes += row.bytes();
        }
    }
}

impl RenderedStudent {
    fn bytes(&self) -> usize {
        // The tree's nodes are half full at worst.
        let sessions: usize = self.runs.values().map(Runs::heap).sum();
        let runs = self.runs.len() * 2 * size_of::<(u64, Runs)>() + sessions;
        let copied = self.copied.as_ref().map_or(0, Heap::heap);
        copied
            + self.state.heap()
            + self.members.capacity()
            + runs
            + self.grid.as_ref().map_or(0, String::capacity)
    }
}

impl RenderedCell {
    fn bytes(&self) -> usize {
        let messages = self.copied.as_ref().map(|state| &state.messages).into_iter().flatten();
        let copied: usize =
            messages.map(|counted| counted.message.len() + size_of::<MessageCount>()).sum();
        copied + self.text.capacity()
    }
}

/// The part of a student's state that the status, the counts over students and the list of those
/// who are not here are made of.
fn without_texts(state: &Student) -> Student {
    let (user_name, team_name) = match state.is_here {
        true => (None, None),
        false => (state.user_name.clone(), state.team_name.clone()),
    };
    Student {
        is_here: state.is_here,
        user_name,
        team_name,
        last_received_at: state.last_received_at,
        cells_executed: state.cells_executed,
        error_count: state.error_count,
        streaks: state.streaks.without_texts(),
        help_since: state.help_since,
        last_help_at: state.last_help_at,
        help_until_stop: state.help_until_stop,
        ..Student::default()
    }
}
