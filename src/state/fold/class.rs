//! A class's state: the fold over its events in the order of their ids.

use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

use super::activity::{Activity, Minute};
use super::cell::{
    Cell, NumberedCell, Pair, PairNames, PairRuns, Runs, cell_name, cell_parts, write_cell_name,
};
use super::lesson::{Lesson, Lessons};
use super::lru_map::{Consumer, Evicted, LruMap};
use super::normalized_event::{EventKind, NormalizedEvent};
use super::settings::Settings;
use super::student::{NumberedStudent, Student};
use crate::event::{EventId, Micros, StoredEvent, StudentId};

/// Students stored of a class. A new one takes the place of the one of whom no event came for
/// longest, who counts as a new student at the next event.
pub(crate) const MAX_STUDENTS: usize = 10_000;
/// Cells stored of a class. Students may add any number of cells: the one not run for longest is
/// evicted.
pub(crate) const MAX_CELLS: usize = 5_000;
/// Pairs of student and cell stored of a class, evicted likewise. A cell's students are counted
/// over these.
pub(crate) const MAX_RUNS: usize = 100_000;

/// A class as the events of its current lesson have made it. Nothing in it depends on when the
/// events came, or in what portions.
///
/// The whole lesson is folded by the class's newest settings. So an event that changes them makes
/// the lesson's state void. [`Self::needs_refold`] says so, and no further event is folded before
/// [`Self::begin_refold`] is called and the lesson's events are folded again from its first one on.
#[derive(Debug)]
pub struct ClassState {
    pub(in crate::state) settings: Arc<Settings>,
    /// The event that made these settings. Earlier changes do not count any more.
    pub(in crate::state) settings_event: EventId,
    pub(super) needs_refold: bool,
    /// `None` before the first event.
    pub(in crate::state) lesson: Option<Lesson>,
    pub(in crate::state) lessons: Lessons,
    /// Those who are here, and those who were there in earlier lessons.
    pub(in crate::state) students: LruMap<Arc<str>, NumberedStudent>,
    pub(in crate::state) cells: LruMap<Arc<str>, NumberedCell>,
    pub(in crate::state) pairs: LruMap<Pair, PairRuns>,
    /// The pairs that were evicted since these were last taken, while changes are tracked.
    pub(in crate::state) evicted_pairs: Vec<PairNames>,
    /// The number of the next student or cell.
    pub(in crate::state) next_number: u64,
    pub(in crate::state) activity: Activity,
    /// Events folded, of any kind, repeats included.
    pub(in crate::state) events: i64,
    /// When the newest event was received, by the database's clock.
    pub(in crate::state) last_received_at: Option<Micros>,
    /// The last event that was folded.
    pub(in crate::state) last_event: EventId,
    /// For cells' names, so that an event allocates none.
    scratch: String,
}

impl Default for ClassState {
    fn default() -> Self {
        Self::bounded(MAX_STUDENTS, MAX_CELLS, MAX_RUNS)
    }
}

impl ClassState {
    /// A class with other bounds than the usual, for tests.
    pub(in crate::state) fn bounded(students: usize, cells: usize, pairs: usize) -> Self {
        Self {
            settings: Arc::default(),
            settings_event: EventId::NONE,
            needs_refold: false,
            lesson: None,
            lessons: Lessons::default(),
            students: LruMap::new(students),
            cells: LruMap::new(cells),
            pairs: LruMap::new(pairs),
            evicted_pairs: Vec::new(),
            next_number: 0,
            activity: Activity::default(),
            events: 0,
            last_received_at: None,
            last_event: EventId::NONE,
            scratch: String::new(),
        }
    }

    /// A class that has nothing but an earlier lesson, from this event on: its events make no other
    /// lesson, and its settings are these.
    pub(in crate::state) fn of_lesson(
        first: EventId,
        started_at: Micros,
        settings: Arc<Settings>,
    ) -> Self {
        let lesson = Lesson { first, started_at, events_before: 0, title: None };
        Self {
            settings,
            settings_event: EventId::MAX,
            lesson: Some(lesson),
            last_event: EventId(first.0 - 1),
            ..Self::default()
        }
    }

    /// Folds the class's next event. An event that is folded already changes nothing, so a read may
    /// be repeated.
    pub fn fold(&mut self, event: &StoredEvent<'_>) {
        if EventId(event.id) > self.last_event && !self.needs_refold {
            let settings = Arc::clone(&self.settings);
            self.fold_next(&NormalizedEvent::of(event, &settings));
        }
    }

    fn fold_next(&mut self, event: &NormalizedEvent<'_>) {
        if event.kind != EventKind::Viewing {
            self.begin_lesson_with(event);
            self.last_received_at = self.last_received_at.max(Some(event.received));
        }
        self.events += 1;
        self.last_event = event.id;
        match event.kind {
            EventKind::Viewing | EventKind::OfTheRelay | EventKind::LessonStarted => {}
            EventKind::SettingsChanged => self.change_settings(event),
            EventKind::HelpResolved => {
                self.students
                    .change(event.student, |student| student.state.resolve().then_some(()));
            }
            EventKind::HelpClaimed => {
                self.students
                    .change(event.student, |student| student.state.claim(event).then_some(()));
            }
            EventKind::Run | EventKind::Help | EventKind::HelpStop | EventKind::Other => {
                self.fold_of_student(event);
            }
        }
    }

    /// The latest run of a cell by each student, or by one, as events, the newest first. `path` is
    /// that of the cell's notebook; without one, the cells of this name in all notebooks are one.
    pub(crate) fn latest_runs(
        &self,
        path: Option<&str>,
        cell: &str,
        student: Option<&StudentId>,
    ) -> Vec<EventId> {
        let mut latest: HashMap<u64, (Micros, EventId)> = HashMap::new();
        for cell in self.cells_named(path, cell) {
            let pairs = cell.students.iter().map(|&student| Pair { student, cell: cell.number });
            for pair in pairs {
                let Some(PairRuns { names, runs }) = self.pairs.get(&pair) else { continue };
                if student.is_some_and(|student| student.as_str() != &*names.student) {
                    continue;
                }
                let run = (runs.at, runs.event);
                let known = latest.entry(pair.student).or_insert(run);
                *known = run.max(*known);
            }
        }
        let mut events: Vec<EventId> = latest.into_values().map(|(_, event)| event).collect();
        events.sort_unstable_by(|a, b| b.cmp(a));
        events
    }

    fn cells_named(&self, path: Option<&str>, cell: &str) -> Vec<&NumberedCell> {
        if let Some(path) = path {
            let notebook = self.notebook_name(path);
            return self.cells.get(&*cell_name(notebook.as_deref(), cell)).into_iter().collect();
        }
        let cells = self.cells.entries().filter(|(name, _)| cell_parts(name).1 == cell);
        cells.map(|(_, entry)| &entry.value).collect()
    }

    fn fold_of_student(&mut self, event: &NormalizedEvent<'_>) {
        if event.kind == EventKind::Run && self.is_repeat(event) {
            return;
        }
        let number = self.next_number;
        let make = || NumberedStudent {
            number,
            state: Student::new(event.received),
            ..Default::default()
        };
        let settings = Arc::clone(&self.settings);
        let enrolled = settings.enrolled(event.student);
        let touched = self.students.touch(event.student, event.id, make, |student, is_new| {
            if !student.state.is_here {
                student.state.arrive(event.received);
            }
            Some((student.state.fold(event, enrolled), student.number, is_new))
        });
        let Some(((hand_went_up, student, is_new), evicted)) = touched else { return };
        self.next_number += u64::from(is_new);
        if let Some(Evicted { value: evicted, .. }) = evicted {
            self.evict_pairs_of_student(&evicted);
        }
        if event.kind == EventKind::Run {
            self.fold_run(event, student);
        } else if hand_went_up && let Some(minute) = self.activity.at(event.received) {
            minute.help += 1;
        }
    }

    /// Whether the run is the student's last run of its cell, sent again.
    fn is_repeat(&mut self, event: &NormalizedEvent<'_>) -> bool {
        let Some(student) = self.students.get(event.student) else { return false };
        let Some(id) = event.cell.as_deref() else { return student.state.is_repeat(event) };
        if event.execution_count.is_none() {
            return false;
        }
        let mut name = std::mem::take(&mut self.scratch);
        write_cell_name(event.notebook.as_deref(), id, &mut name);
        let cell = self.cells.get(&*name).map(|cell| cell.number);
        self.scratch = name;
        cell.and_then(|cell| self.pairs.get(&Pair { student: student.number, cell }))
            .is_some_and(|pair| pair.runs.is_repeat(event))
    }

    /// Folds a run that is no repeat. `student` is the number of the event's student.
    fn fold_run(&mut self, event: &NormalizedEvent<'_>, student: u64) {
        if let Some(minute) = self.activity.at(event.received) {
            minute.runs += 1;
            minute.errors += i64::from(event.failed);
        }
        let Some(id) = event.cell.as_deref() else { return };
        let mut name = std::mem::take(&mut self.scratch);
        write_cell_name(event.notebook.as_deref(), id, &mut name);
        self.fold_cell_run(student, &name, event);
        self.scratch = name;
    }

    /// Folds a run of a cell that has an id. `student` is the student's number.
    fn fold_cell_run(&mut self, student: u64, cell_name: &str, event: &NormalizedEvent<'_>) {
        let number = self.next_number;
        let make = || NumberedCell::new(number, Cell::default());
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
        if let Some(Evicted { value: evicted, .. }) = evicted {
            self.evict_pairs_of_cell(&evicted);
        }
        let pair = Pair { student, cell };
        let (students, cells) = (&self.students, &self.cells);
        let make = || PairRuns {
            names: PairNames {
                student: students.key(event.student).unwrap_or_else(|| event.student.into()),
                cell: cells.key(cell_name).unwrap_or_else(|| cell_name.into()),
            },
            runs: Runs::new(event.moment()),
        };
        let touched = self.pairs.touch(&pair, event.id, make, |pair, is_new| {
            let failing = pair.runs.failed_runs > 0;
            pair.runs.add(event);
            Some((is_new, event.failed && !failing))
        });
        let Some(((is_new, fails_now), evicted)) = touched else { return };
        if let Some(Evicted { key, value }) = evicted {
            self.note_pair_evicted(key, &value);
        }
        // Student and cell were touched above: both are among the changed entries already.
        if let Some(cell) = self.cells.peek_mut(cell_name).filter(|_| fails_now || is_new) {
            cell.state.failing_students += i64::from(fails_now);
            if is_new {
                cell.state.students += 1;
                cell.students.insert(student);
            }
        }
        if is_new && let Some(student) = self.students.peek_mut(event.student) {
            student.cells.insert(cell);
        }
    }

    /// A student was evicted: so are the student's pairs, and each of their cells counts one
    /// student less.
    fn evict_pairs_of_student(&mut self, student: &NumberedStudent) {
        for &cell in &student.cells {
            let pair = Pair { student: student.number, cell };
            if let Some(runs) = self.pairs.remove(&pair) {
                self.uncount_student(pair, &runs);
                self.note_for_snapshot(&runs);
            }
        }
    }

    /// A cell was evicted: so are its pairs.
    fn evict_pairs_of_cell(&mut self, cell: &NumberedCell) {
        for &student in &cell.students {
            let Some(runs) = self.pairs.remove(&Pair { student, cell: cell.number }) else {
                continue;
            };
            if let Some(student) = self.students.peek_mut(&*runs.names.student) {
                student.cells.remove(&cell.number);
            }
            self.note_for_snapshot(&runs);
        }
    }

    /// A pair was evicted; its student and its cell are still there.
    fn note_pair_evicted(&mut self, pair: Pair, runs: &PairRuns) {
        self.uncount_student(pair, runs);
        if let Some(student) = self.students.peek_mut(&*runs.names.student) {
            student.cells.remove(&pair.cell);
        }
        self.note_for_snapshot(runs);
    }

    /// A pair's cell counts one student less.
    fn uncount_student(&mut self, pair: Pair, runs: &PairRuns) {
        self.cells.change(&*runs.names.cell, |cell| {
            cell.students.remove(&pair.student);
            cell.state.students -= 1;
            cell.state.failing_students -= i64::from(runs.runs.failed_runs > 0);
            Some(())
        });
    }

    /// Notes the names of an evicted pair, by which the snapshot's row is deleted: its numbers mean
    /// nothing any more.
    fn note_for_snapshot(&mut self, runs: &PairRuns) {
        if self.pairs.tracks_changes(Consumer::Snapshot) {
            self.evicted_pairs.push(runs.names.clone());
        }
    }

    /// The last event that was folded.
    pub(crate) fn last_event(&self) -> EventId {
        self.last_event
    }

    /// Events folded.
    pub(crate) fn events(&self) -> i64 {
        self.events
    }

    /// When the newest event was received, by the database's clock.
    pub(crate) fn last_received_at(&self) -> Option<Micros> {
        self.last_received_at
    }

    /// The minutes in which something happened and that end after `from`, by their start, in order.
    pub(crate) fn minutes_since(&self, from: Micros) -> Vec<(Micros, Minute)> {
        self.activity.since(from).collect()
    }

    /// The student of this id, if there is one.
    pub(crate) fn student(&self, name: &str) -> Option<&Student> {
        self.students.get(name).map(|student| &student.state)
    }

    /// How many students, cells and pairs there are.
    pub(in crate::state) fn rows(&self) -> usize {
        self.students.len() + self.cells.len() + self.pairs.len()
    }

    /// The bytes of names and texts.
    #[cfg(test)]
    pub(in crate::state) fn heap(&self) -> [usize; 3] {
        [self.students.heap(), self.cells.heap(), self.pairs.heap()]
    }

    /// The bytes that the class takes up in memory.
    pub(in crate::state) fn weight(&self) -> usize {
        // A pair's numbers are in two sets, whose nodes are half full at worst; a set has a few
        // bytes beside its nodes.
        const NUMBERS: usize = 2 * 2 * (size_of::<u64>() + 2);
        const SET: usize = 32;
        // The tree of minutes, half full.
        const MINUTES: usize = 2 * size_of::<(Micros, Minute)>();
        size_of::<Self>()
            + self.students.bytes()
            + self.cells.bytes()
            + self.pairs.bytes()
            + self.pairs.len() * NUMBERS
            + (self.students.len() + self.cells.len()) * SET
            + self.evicted_pairs.capacity() * size_of::<PairNames>()
            + self.activity.len() * MINUTES
            + self.scratch.capacity()
            + self.settings.heap()
            + self.lesson.as_ref().map_or(0, Lesson::heap)
            + self.lessons.heap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `student`'s run of `cell`, as the class's event `id`.
    fn run(class: &mut ClassState, id: i64, student: &str, cell: &str, failed: bool) {
        let body = format!(
            r#"{{"eventType":"cell_executed","cellId":"{cell}","executionCount":{id},
                "hasError":{failed}}}"#
        );
        let received_at = Micros(1_775_034_000_000_000 + id * 1_000_000);
        class.fold(&StoredEvent { id, class: "c", student, received_at, body: &body });
    }

    fn counts(class: &ClassState, cell: &str) -> Option<(i64, i64, i64)> {
        let cell = &class.cells.get(&*cell_name(None, cell))?.state;
        Some((cell.runs, cell.students, cell.failing_students))
    }

    #[test]
    fn a_new_student_takes_the_place_of_the_one_without_events_for_longest() {
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
        assert_eq!(class.pairs.len(), 2);
    }

    #[test]
    fn a_new_cell_takes_the_place_of_the_one_not_run_for_longest() {
        let mut class = ClassState::bounded(10, 2, 10);
        run(&mut class, 1, "a", "x", true);
        run(&mut class, 2, "a", "y", false);
        run(&mut class, 3, "b", "x", false);
        run(&mut class, 4, "b", "z", false);
        assert_eq!(counts(&class, "y"), None);
        assert_eq!(class.pairs.len(), 3);
        run(&mut class, 5, "a", "y", true);
        assert_eq!(counts(&class, "x"), None);
        assert_eq!(counts(&class, "y"), Some((1, 1, 1)), "it begins with nothing");
        assert_eq!(class.student("a").map(|student| student.cells_executed), Some(3));
    }

    #[test]
    fn pairs_are_bounded_too() {
        let mut class = ClassState::bounded(10, 10, 2);
        run(&mut class, 1, "a", "x", true);
        run(&mut class, 2, "b", "x", false);
        run(&mut class, 3, "a", "y", false);
        assert_eq!(counts(&class, "x"), Some((2, 1, 0)));
        run(&mut class, 4, "a", "x", true);
        assert_eq!(counts(&class, "x"), Some((3, 1, 1)));
        assert_eq!(class.pairs.len(), 2);
    }
}
