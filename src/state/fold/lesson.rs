//! Lessons: the parts of a class's history, of which the state is the last one's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::heap::text_bytes;
use super::normalized_event::{EventKind, NormalizedEvent};
use crate::event::{EventId, Micros};

/// An event that comes so long after the class's previous one begins a lesson.
const LESSON_GAP: Duration = Duration::from_secs(6 * 3600);
/// A lesson is no longer than this.
const LESSON_SPAN: Duration = Duration::from_secs(7 * 24 * 3600);
/// Lessons that are listed: of more, the oldest are no longer named. Their events stay.
pub(crate) const MAX_LESSONS: usize = 1_000;

/// The current lesson of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lesson {
    /// Its first event.
    pub(crate) first: EventId,
    /// When that event was received.
    pub(crate) started_at: Micros,
    /// The class's events before it.
    pub(crate) events_before: i64,
    /// As the instructor who began it called it.
    pub(crate) title: Option<Box<str>>,
}

impl Lesson {
    /// Whether an event begins another lesson, when the class's newest event before was received at
    /// `last`.
    pub(super) fn is_followed_by(&self, event: &NormalizedEvent<'_>, last: Option<Micros>) -> bool {
        event.kind == EventKind::LessonStarted
            || last.is_some_and(|last| event.received >= last + LESSON_GAP)
            || event.received >= self.started_at + LESSON_SPAN
    }

    /// The bytes that it holds on the heap.
    pub(in crate::state) fn heap(&self) -> usize {
        self.title.as_deref().map_or(0, text_bytes)
    }
}

/// A lesson that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndedLesson {
    /// Its last event.
    pub(crate) last: EventId,
    pub(crate) started_at: Micros,
    /// When its newest event was received.
    pub(crate) ended_at: Micros,
    /// Students who were there.
    pub(crate) students: i64,
    /// Runs, without repeats.
    pub(crate) runs: i64,
    pub(crate) title: Option<Box<str>>,
}

/// A lesson as it is listed.
#[derive(Debug)]
pub(crate) struct ListedLesson {
    pub(crate) first: EventId,
    /// Its last event so far.
    pub(crate) last: EventId,
    pub(crate) started_at: Micros,
    /// `None` for the current one.
    pub(crate) ended_at: Option<Micros>,
    pub(crate) students: i64,
    pub(crate) runs: i64,
    pub(crate) title: Option<Box<str>>,
}

/// The lessons that have ended, by their first events.
#[derive(Debug, Default)]
pub(in crate::state) struct Lessons {
    ended: BTreeMap<EventId, EndedLesson>,
    /// Those that were added or removed; `None` while no changes are tracked.
    changed: Option<BTreeSet<EventId>>,
}

impl Lessons {
    pub(super) fn add(&mut self, first: EventId, lesson: EndedLesson) {
        self.restore(first, lesson);
        let removed = if self.ended.len() > MAX_LESSONS { self.ended.pop_first() } else { None };
        if let Some(changed) = &mut self.changed {
            changed.insert(first);
            changed.extend(removed.map(|(first, _)| first));
        }
    }

    /// Puts back a lesson of a snapshot.
    pub(in crate::state) fn restore(&mut self, first: EventId, lesson: EndedLesson) {
        self.ended.insert(first, lesson);
    }

    /// In order.
    pub(in crate::state) fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (EventId, &EndedLesson)> {
        self.ended.iter().map(|(&first, lesson)| (first, lesson))
    }

    pub(in crate::state) fn get(&self, first: EventId) -> Option<&EndedLesson> {
        self.ended.get(&first)
    }

    /// From now on changes are noted for [`Self::take_changed`], or no longer.
    pub(in crate::state) fn track_changes(&mut self, on: bool) {
        self.changed = on.then(BTreeSet::new);
    }

    /// The first events of the lessons that were added or removed since this was last called.
    pub(in crate::state) fn take_changed(&mut self) -> BTreeSet<EventId> {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The bytes that they hold on the heap.
    pub(in crate::state) fn heap(&self) -> usize {
        let titles = self.ended.values().filter_map(|lesson| lesson.title.as_deref());
        titles.map(text_bytes).sum::<usize>()
            + 2 * self.ended.len() * size_of::<(EventId, EndedLesson)>()
    }
}
