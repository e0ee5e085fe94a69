//! The beginnings of a class's state: a lesson's, and the settings'.
//!
//! A lesson begins with one of its events, before that event is folded. Counts, cells and hands
//! then begin with nothing, and the students are remembered. Changed settings make void what was
//! folded of the lesson: it begins with nothing too, and its events are folded again.

use std::sync::Arc;

use super::class::ClassState;
use super::lesson::{EndedLesson, Lesson, ListedLesson};
use super::lru_map::Consumer;
use super::normalized_event::{EventKind, NormalizedEvent};
use super::settings::Settings;
use crate::event::EventId;

impl ClassState {
    /// Whether the settings have changed, so that the lesson has to be folded again.
    pub fn needs_refold(&self) -> bool {
        self.needs_refold
    }

    /// Begins to fold the lesson again. Returns the id after which its events follow.
    pub fn begin_refold(&mut self) -> EventId {
        self.needs_refold = false;
        if let Some(lesson) = &self.lesson {
            self.last_event = EventId(lesson.first.0 - 1);
            self.events = lesson.events_before;
        }
        self.clear();
        self.last_event
    }

    /// Begins a lesson if one begins with the event.
    pub(super) fn begin_lesson_with(&mut self, event: &NormalizedEvent<'_>) {
        let begins = match &self.lesson {
            None => true,
            // The lesson is folded again.
            Some(lesson) if lesson.first == event.id => false,
            // An earlier lesson is folded apart from the class.
            Some(_) if self.settings_event == EventId::MAX => false,
            Some(lesson) => lesson.is_followed_by(event, self.last_received_at),
        };
        if !begins {
            return;
        }
        if let Some(lesson) = self.lesson.take() {
            let ended = self.ended(&lesson);
            self.lessons.add(lesson.first, ended);
        }
        self.lesson = Some(Lesson {
            first: event.id,
            started_at: event.received,
            events_before: self.events,
            title: match event.kind {
                EventKind::LessonStarted => event.title.as_deref().map(Into::into),
                _ => None,
            },
        });
        self.clear();
    }

    /// The lesson, as it is when another one begins.
    fn ended(&self, lesson: &Lesson) -> EndedLesson {
        let (students, runs) = self.attendance();
        EndedLesson {
            last: self.last_event,
            started_at: lesson.started_at,
            ended_at: self.last_received_at.unwrap_or(lesson.started_at),
            students,
            runs,
            title: lesson.title.clone(),
        }
    }

    /// The lessons that there were, the newest first.
    pub(crate) fn lessons_listed(&self) -> Vec<ListedLesson> {
        let current = self.lesson.as_ref().map(|lesson| {
            let EndedLesson { last, started_at, students, runs, title, .. } = self.ended(lesson);
            let first = lesson.first;
            ListedLesson { first, last, started_at, ended_at: None, students, runs, title }
        });
        let ended = self.lessons.iter().rev().map(|(first, lesson)| {
            let EndedLesson { last, started_at, ended_at, students, runs, title } = lesson.clone();
            let ended_at = Some(ended_at);
            ListedLesson { first, last, started_at, ended_at, students, runs, title }
        });
        current.into_iter().chain(ended).collect()
    }

    /// How many students are here, and their runs.
    pub(in crate::state) fn attendance(&self) -> (i64, i64) {
        let here = self.students.entries().map(|(_, entry)| &entry.value.state);
        here.filter(|student| student.is_here)
            .fold((0, 0), |(students, runs), student| (students + 1, runs + student.cells_executed))
    }

    /// Counts, cells, hands and failures in a row begin with nothing. The students are remembered.
    fn clear(&mut self) {
        if self.pairs.tracks_changes(Consumer::Snapshot) {
            let names = self.pairs.entries().map(|(_, entry)| entry.value.names.clone());
            self.evicted_pairs.extend(names);
        }
        self.pairs.clear();
        self.cells.clear();
        self.students.change_all(|student| {
            student.state.leave();
            student.cells.clear();
        });
        self.activity.clear();
    }

    pub(super) fn change_settings(&mut self, event: &NormalizedEvent<'_>) {
        if event.id <= self.settings_event {
            return;
        }
        // Another instructor has changed them meanwhile.
        if event.replaces.is_some_and(|replaced| self.settings_event > replaced) {
            return;
        }
        self.settings = Arc::new(Settings::parse(event.settings.unwrap_or("{}")));
        self.settings_event = event.id;
        // Of a lesson that begins with the change, nothing was folded yet.
        self.needs_refold = self.lesson.as_ref().is_some_and(|lesson| lesson.first != event.id);
    }

    /// The settings, and the event that made them.
    pub(crate) fn settings(&self) -> (&Arc<Settings>, EventId) {
        (&self.settings, self.settings_event)
    }

    /// The name of a notebook by the class's settings.
    pub(crate) fn notebook_name(&self, path: &str) -> Option<String> {
        self.settings.notebook_name(path)
    }
}
