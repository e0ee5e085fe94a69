//! Each student's counts over the events of any lessons, for exports.
//!
//! What a run is, which run is another's copy, when a hand goes up and by which name a cell and a
//! notebook are known: all of that is the fold's, by the settings of the class, so that an export
//! and the dashboard never say different things. A lesson's beginning ends hands here as there; the
//! counts go on.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::mem::size_of;
use std::sync::Arc;

use super::cell::Runs;
use super::heap::Heap;
use super::lesson::Lesson;
use super::normalized_event::{EventKind, NormalizedEvent};
use super::settings::Settings;
use super::student::Student;
use crate::event::{Micros, StoredEvent};

/// Bytes that a map takes for an entry beside the entry itself, when it is half full.
const ENTRY_BYTES: usize = 64;
/// Bytes of a notebook of a student's.
const NOTEBOOK_BYTES: usize = 24;

/// The counts of each student.
#[derive(Debug)]
pub(crate) struct Tallies {
    settings: Arc<Settings>,
    lesson: Option<Lesson>,
    last_received_at: Option<Micros>,
    students: HashMap<Box<str>, StudentTally>,
    /// Each student's runs of each cell, by a hash of both: of 100,000 pairs, two have one hash
    /// with a chance of one in three billion.
    pairs: HashMap<u64, Runs>,
    /// Each student's notebooks, by a hash of both.
    notebooks: HashSet<u64>,
    bytes: usize,
}

/// One student's counts.
#[derive(Debug, Default)]
pub(crate) struct StudentTally {
    state: Student,
    /// Events of the student, without repeats.
    pub(crate) events: u64,
    /// Runs, without repeats.
    pub(crate) runs: u64,
    /// Runs that failed.
    pub(crate) failed_runs: u64,
    /// Cells that were run.
    pub(crate) cells: u64,
    /// Cells whose latest run succeeded.
    pub(crate) cells_succeeded: u64,
    /// Notebooks that the student was in.
    pub(crate) notebooks: u64,
    /// How often the hand went up.
    pub(crate) hands: u64,
    /// When the first and the last event happened.
    pub(crate) moments: Option<(Micros, Micros)>,
    /// Whether the client was not told, at some time, who its student is.
    pub(crate) is_unconfigured: bool,
}

impl StudentTally {
    /// The student's name.
    pub(crate) fn user_name(&self) -> Option<&str> {
        self.state.user_name.as_deref()
    }

    /// The student's team.
    pub(crate) fn team_name(&self) -> Option<&str> {
        self.state.team_name.as_deref()
    }

    fn add(&mut self, event: &NormalizedEvent<'_>, settings: &Settings) {
        if !self.state.is_here {
            self.state.arrive(event.received);
        }
        self.hands += u64::from(self.state.fold(event, settings.enrolled(event.student)));
        self.events += 1;
        self.is_unconfigured |= event.unconfigured;
        let moment = event.moment();
        let (first, last) = self.moments.unwrap_or((moment, moment));
        self.moments = Some((first.min(moment), last.max(moment)));
        if event.kind == EventKind::Run {
            self.runs += 1;
            self.failed_runs += u64::from(event.failed);
        }
    }
}

impl Tallies {
    /// Without any student, of a class with these settings.
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            lesson: None,
            last_received_at: None,
            students: HashMap::new(),
            pairs: HashMap::new(),
            notebooks: HashSet::new(),
            bytes: 0,
        }
    }

    /// The bytes that the counts take up in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the students, in the order of their ids.
    pub(crate) fn take(&mut self) -> Vec<(Box<str>, StudentTally)> {
        let mut all: Vec<_> = self.students.drain().collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// Counts the class's next event.
    pub(crate) fn count(&mut self, event: &StoredEvent<'_>) {
        let settings = Arc::clone(&self.settings);
        let event = NormalizedEvent::of(event, &settings);
        if event.kind != EventKind::Viewing {
            self.begin_lesson_with(&event);
            self.last_received_at = self.last_received_at.max(Some(event.received));
        }
        match event.kind {
            EventKind::Run | EventKind::Help | EventKind::HelpStop | EventKind::Other => {
                self.count_of_student(&event, &settings);
            }
            EventKind::HelpResolved => {
                if let Some(student) = self.students.get_mut(event.student) {
                    student.state.resolve();
                }
            }
            EventKind::HelpClaimed
            | EventKind::LessonStarted
            | EventKind::SettingsChanged
            | EventKind::Viewing
            | EventKind::OfTheRelay => {}
        }
    }

    fn begin_lesson_with(&mut self, event: &NormalizedEvent<'_>) {
        let goes_on = |lesson: &Lesson| !lesson.is_followed_by(event, self.last_received_at);
        if self.lesson.as_ref().is_some_and(goes_on) {
            return;
        }
        let (first, started_at) = (event.id, event.received);
        self.lesson = Some(Lesson { first, started_at, events_before: 0, title: None });
        for student in self.students.values_mut() {
            student.state.leave();
        }
    }

    fn count_of_student(&mut self, event: &NormalizedEvent<'_>, settings: &Settings) {
        let cell = event.cell.as_deref().filter(|_| event.kind == EventKind::Run);
        let pair = cell.map(|cell| hash((event.student, event.notebook.as_deref(), cell)));
        if event.kind == EventKind::Run && self.is_repeat(event, pair) {
            return;
        }
        if !self.students.contains_key(event.student) {
            self.bytes += ENTRY_BYTES + size_of::<StudentTally>() + event.student.len();
            self.students.insert(event.student.into(), StudentTally::default());
        }
        let Some(student) = self.students.get_mut(event.student) else { return };
        let before = student.state.heap();
        student.add(event, settings);
        self.bytes = (self.bytes + student.state.heap()).saturating_sub(before);
        if let Some(notebook) = event.notebook.as_deref()
            && self.notebooks.insert(hash((event.student, notebook)))
        {
            student.notebooks += 1;
            self.bytes += NOTEBOOK_BYTES;
        }
        let Some(pair) = pair else { return };
        let (runs, before) = match self.pairs.entry(pair) {
            Entry::Occupied(entry) => {
                let runs = entry.into_mut();
                let succeeded = !runs.failed;
                (runs, Some(succeeded))
            }
            Entry::Vacant(entry) => {
                student.cells += 1;
                let runs = entry.insert(Runs::new(event.moment()));
                self.bytes += ENTRY_BYTES + size_of::<Runs>();
                (runs, None)
            }
        };
        let heap = runs.heap();
        runs.add(event);
        self.bytes = (self.bytes + runs.heap()).saturating_sub(heap);
        student.cells_succeeded += u64::from(!runs.failed);
        student.cells_succeeded -= u64::from(before == Some(true));
    }

    /// Whether the run is the student's last run of its cell in this lesson, sent again.
    fn is_repeat(&self, event: &NormalizedEvent<'_>, pair: Option<u64>) -> bool {
        let Some(pair) = pair else {
            let student = self.students.get(event.student);
            return student.is_some_and(|student| student.state.is_repeat(event));
        };
        let runs = self
            .pairs
            .get(&pair)
            .filter(|runs| self.lesson.as_ref().is_some_and(|lesson| runs.event >= lesson.first));
        runs.is_some_and(|runs| runs.is_repeat(event))
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
