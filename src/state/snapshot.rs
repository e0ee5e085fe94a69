//! A class's state as the rows of its snapshot, and back.

use std::collections::HashMap;
use std::sync::Arc;

use super::fold::activity::Minute;
use super::fold::cell::{
    Cell, MessageCount, NumberedCell, Pair, PairNames, PairRuns, Runs, cell_name, cell_parts,
    write_cell_name,
};
use super::fold::class::ClassState;
use super::fold::lesson::{EndedLesson, Lesson};
use super::fold::lru_map::{Consumer, Entry};
use super::fold::settings::Settings;
use super::fold::streaks::{Streak, Streaks};
use super::fold::student::{Claim, LastRun, NumberedStudent, Student};
use crate::database::{
    CellKey, CellRow, Changes, ClassRow, LastRunColumns, LessonColumns, LessonRow, MinuteRow,
    Snapshot, StreakColumn, StudentCellKey, StudentCellRow, StudentRow, TopError,
};
use crate::event::{EventId, Micros};

impl ClassState {
    /// The state that a snapshot holds.
    pub fn restore(snapshot: Snapshot) -> Self {
        Self::default().filled(snapshot)
    }

    /// The same, in a class that is still empty.
    pub(super) fn filled(mut self, snapshot: Snapshot) -> Self {
        let class = snapshot.class;
        self.events = class.events;
        self.last_event = class.last_event;
        self.last_received_at = class.last_received_at;
        self.settings = Arc::new(Settings::parse(&class.settings));
        self.settings_event = class.settings_event;
        self.lesson = class.lesson.map(|lesson| {
            let LessonColumns { first_event: first, started_at, events_before, title } = lesson;
            Lesson { first, started_at, events_before, title }
        });
        for row in snapshot.lessons {
            let LessonRow { first_event, last_event, started_at, ended_at, students, runs, title } =
                row;
            let lesson =
                EndedLesson { last: last_event, started_at, ended_at, students, runs, title };
            self.lessons.restore(first_event, lesson);
        }
        for row in snapshot.students {
            self.restore_student(row);
        }
        for row in snapshot.cells {
            self.restore_cell(row);
        }
        let mut name = String::new();
        for row in snapshot.student_cells {
            write_cell_name(Some(&row.notebook_path), &row.cell_id, &mut name);
            self.restore_pair(&name, row);
        }
        for MinuteRow { start, runs, errors, help } in snapshot.minutes {
            self.activity.restore(start, Minute { runs, errors, help });
        }
        self
    }

    fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    fn restore_student(&mut self, row: StudentRow) {
        let number = self.take_number();
        let (name, last_event, state) = student_of(row);
        let student = NumberedStudent { number, state, ..Default::default() };
        self.students.restore(name.into(), last_event, student);
    }

    fn restore_cell(&mut self, row: CellRow) {
        let number = self.take_number();
        let name = cell_name(Some(&row.notebook_path), &row.cell_id).into();
        let last_event = row.last_event;
        self.cells.restore(name, last_event, NumberedCell::new(number, cell_of(row)));
    }

    /// A row whose student or cell is not there was written by hand. It is left out: nothing would
    /// ever evict the pair.
    fn restore_pair(&mut self, cell_name: &str, row: StudentCellRow) {
        let names = (self.students.key(&*row.student_id), self.cells.key(cell_name));
        let (Some(student_name), Some(cell_name)) = names else { return };
        let student = self.students.peek_mut(&*student_name);
        let (Some(student), Some(cell)) = (student, self.cells.peek_mut(&*cell_name)) else {
            return;
        };
        student.cells.insert(cell.number);
        cell.students.insert(student.number);
        let pair = Pair { student: student.number, cell: cell.number };
        let last_event = row.last_event;
        let runs = Runs {
            runs: row.runs,
            failed_runs: row.failed_runs,
            failed: row.failed,
            at: row.last_run_at,
            time: row.last_run_time,
            execution_count: row.last_run_execution_count,
            session: row.last_run_session_id,
            event: row.last_run_event,
        };
        let names = PairNames { student: student_name, cell: cell_name };
        self.pairs.restore(pair, last_event, PairRuns { names, runs });
    }

    /// From now on changes are tracked for [`Self::take_changes`], or no longer.
    pub(super) fn track_changes(&mut self, on: bool) {
        self.students.track_changes(Consumer::Snapshot, on);
        self.cells.track_changes(Consumer::Snapshot, on);
        self.pairs.track_changes(Consumer::Snapshot, on);
        self.evicted_pairs = Vec::new();
        self.activity.track_changes(on);
        self.lessons.track_changes(on);
    }

    /// The changes since this was last called. All of the class's events up to `through` are
    /// folded.
    pub(super) fn take_changes(&mut self, through: EventId) -> Changes {
        let mut changes = Changes {
            rows: Snapshot { class: self.class_row(through), ..Default::default() },
            ..Default::default()
        };
        for name in self.students.take_changed(Consumer::Snapshot) {
            match self.students.entry(&name) {
                Some(entry) => changes.rows.students.push(student_row(&name, entry)),
                None => changes.deleted_students.push(Box::from(&*name)),
            }
        }
        for name in self.cells.take_changed(Consumer::Snapshot) {
            match self.cells.entry(&name) {
                Some(entry) => changes.rows.cells.push(cell_row(&name, entry)),
                None => changes.deleted_cells.push(cell_key(&name)),
            }
        }
        let mut names = CellNames::default();
        for pair in self.pairs.take_changed(Consumer::Snapshot) {
            // Of one that was evicted the names are below.
            if let Some(entry) = self.pairs.entry(&pair) {
                changes.rows.student_cells.push(names.row(entry));
            }
        }
        for PairNames { student, cell } in std::mem::take(&mut self.evicted_pairs) {
            let (notebook_path, cell_id) = names.parts(&cell);
            let key = StudentCellKey { student_id: student, notebook_path, cell_id };
            changes.deleted_student_cells.push(key);
        }
        for start in self.activity.take_changed() {
            match self.activity.get(start) {
                Some(minute) => changes.rows.minutes.push(minute_row(start, minute)),
                None => changes.deleted_minutes.push(start),
            }
        }
        for first in self.lessons.take_changed() {
            match self.lessons.get(first) {
                Some(lesson) => changes.rows.lessons.push(lesson_row(first, lesson)),
                None => changes.deleted_lessons.push(first),
            }
        }
        changes
    }

    /// All rows, in an order that depends on nothing but the state.
    pub(super) fn snapshot(&self, through: EventId) -> Snapshot {
        let mut names = CellNames::default();
        let minutes = self.activity.since(Micros::MIN);
        let mut snapshot = Snapshot {
            class: self.class_row(through),
            students: self
                .students
                .entries()
                .map(|(name, entry)| student_row(name, entry))
                .collect(),
            cells: self.cells.entries().map(|(name, entry)| cell_row(name, entry)).collect(),
            student_cells: self.pairs.entries().map(|(_, entry)| names.row(entry)).collect(),
            minutes: minutes.map(|(start, minute)| minute_row(start, minute)).collect(),
            lessons: self.lessons.iter().map(|(first, lesson)| lesson_row(first, lesson)).collect(),
        };
        snapshot.sort();
        snapshot
    }

    /// The class's own row, when all of its events up to `through` are folded.
    pub(super) fn class_row(&self, through: EventId) -> ClassRow {
        ClassRow {
            through,
            events: self.events,
            students: self.attendance().0,
            last_received_at: self.last_received_at,
            last_event: self.last_event,
            lesson: self.lesson.clone().map(|lesson| {
                let Lesson { first: first_event, started_at, events_before, title } = lesson;
                LessonColumns { first_event, started_at, events_before, title }
            }),
            settings: self.settings.text.clone(),
            settings_event: self.settings_event,
        }
    }
}

fn student_row(name: &str, entry: &Entry<Arc<str>, NumberedStudent>) -> StudentRow {
    let Student {
        user_name,
        team_name,
        notebook_path,
        cell_id,
        cell_index,
        last_event_type,
        last_event_time,
        last_received_at,
        cells_executed,
        error_count,
        streaks,
        last_run,
        help_since,
        last_help_at,
        hand_closed,
        hand_lowered_at,
        is_here,
        is_unconfigured,
        help_message,
        help_until_stop,
        claim,
    } = entry.value.state.clone();
    StudentRow {
        student_id: name.into(),
        last_event: entry.last_event,
        user_name,
        team_name,
        notebook_path,
        cell_id,
        cell_index,
        last_event_type,
        last_event_time,
        last_received_at,
        cells_executed,
        error_count,
        streaks: streaks.iter().map(streak_column).collect(),
        last_run: last_run.map(|run| {
            let LastRun { session_id, notebook_path, cell_id, execution_count, at, received_at } =
                run;
            LastRunColumns { session_id, notebook_path, cell_id, execution_count, at, received_at }
        }),
        help_since,
        last_help_at,
        hand_closed,
        hand_lowered_at,
        is_here,
        is_unconfigured,
        help_message,
        help_until_stop,
        claim: claim.map(|Claim { by, at }| (by, at)),
    }
}

fn streak_column(streak: &Streak) -> StreakColumn {
    let Streak { notebook_path, cell_id, cell_index, failures, failed_at } = streak.clone();
    StreakColumn { notebook_path, cell_id, cell_index, failures, failed_at }
}

fn streak_of(column: StreakColumn) -> Streak {
    let StreakColumn { notebook_path, cell_id, cell_index, failures, failed_at } = column;
    Streak { notebook_path, cell_id, cell_index, failures, failed_at }
}

/// The student's name, the last event that touched it, and the state.
fn student_of(row: StudentRow) -> (Box<str>, EventId, Student) {
    let StudentRow {
        student_id,
        last_event,
        user_name,
        team_name,
        notebook_path,
        cell_id,
        cell_index,
        last_event_type,
        last_event_time,
        last_received_at,
        cells_executed,
        error_count,
        streaks,
        last_run,
        help_since,
        last_help_at,
        hand_closed,
        hand_lowered_at,
        is_here,
        is_unconfigured,
        help_message,
        help_until_stop,
        claim,
    } = row;
    let student = Student {
        user_name,
        team_name,
        notebook_path,
        cell_id,
        cell_index,
        last_event_type,
        last_event_time,
        last_received_at,
        cells_executed,
        error_count,
        streaks: Streaks::restore(streaks.into_iter().map(streak_of).collect()),
        last_run: last_run.map(|run| {
            let LastRunColumns {
                session_id,
                notebook_path,
                cell_id,
                execution_count,
                at,
                received_at,
            } = run;
            LastRun { session_id, notebook_path, cell_id, execution_count, at, received_at }
        }),
        help_since,
        last_help_at,
        hand_closed,
        hand_lowered_at,
        is_here,
        is_unconfigured,
        help_message,
        help_until_stop,
        claim: claim.map(|(by, at)| Claim { by, at }),
    };
    (student_id, last_event, student)
}

fn cell_key(name: &str) -> CellKey {
    let (notebook, cell) = cell_parts(name);
    CellKey { notebook_path: notebook.into(), cell_id: cell.into() }
}

fn cell_row(name: &str, entry: &Entry<Arc<str>, NumberedCell>) -> CellRow {
    let CellKey { notebook_path, cell_id } = cell_key(name);
    let Cell { cell_index, runs, failed_runs, students, failing_students, messages } =
        entry.value.state.clone();
    let top_errors = messages.into_iter().map(|counted| {
        let MessageCount { message, count } = counted;
        TopError { message, count }
    });
    CellRow {
        notebook_path,
        cell_id,
        last_event: entry.last_event,
        cell_index,
        runs,
        failed_runs,
        students,
        failing_students,
        top_errors: top_errors.collect(),
    }
}

fn cell_of(row: CellRow) -> Cell {
    let CellRow {
        notebook_path: _,
        cell_id: _,
        last_event: _,
        cell_index,
        runs,
        failed_runs,
        students,
        failing_students,
        top_errors,
    } = row;
    let messages = top_errors.into_iter().map(|error| {
        let TopError { message, count } = error;
        MessageCount { message, count }
    });
    let messages = messages.collect();
    Cell { cell_index, runs, failed_runs, students, failing_students, messages }
}

fn minute_row(start: Micros, minute: Minute) -> MinuteRow {
    let Minute { runs, errors, help } = minute;
    MinuteRow { start, runs, errors, help }
}

fn lesson_row(first_event: EventId, lesson: &EndedLesson) -> LessonRow {
    let EndedLesson { last, started_at, ended_at, students, runs, title } = lesson.clone();
    LessonRow { first_event, last_event: last, started_at, ended_at, students, runs, title }
}

/// The two parts of cells' names, each of which many rows share.
#[derive(Default)]
struct CellNames(HashMap<Arc<str>, (Arc<str>, Arc<str>)>);

impl CellNames {
    /// The notebook and the cell of a cell's name.
    fn parts(&mut self, name: &Arc<str>) -> (Arc<str>, Arc<str>) {
        let parts = self.0.entry(Arc::clone(name)).or_insert_with(|| {
            let (notebook, cell) = cell_parts(name);
            (notebook.into(), cell.into())
        });
        parts.clone()
    }

    fn row(&mut self, entry: &Entry<Pair, PairRuns>) -> StudentCellRow {
        let PairRuns { names, runs } = &entry.value;
        let (notebook_path, cell_id) = self.parts(&names.cell);
        let Runs { runs, failed_runs, failed, at, time, execution_count, session, event } =
            runs.clone();
        StudentCellRow {
            student_id: Arc::clone(&names.student),
            notebook_path,
            cell_id,
            last_event: entry.last_event,
            runs,
            failed_runs,
            failed,
            last_run_at: at,
            last_run_time: time,
            last_run_execution_count: execution_count,
            last_run_session_id: session,
            last_run_event: event,
        }
    }
}
