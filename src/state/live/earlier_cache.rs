//! What is cached of earlier lessons: summaries, and states of which a cell's runs were asked for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::rendered_summary::RenderedSummary;
use crate::event::{ClassId, Cursor, EventId};
use crate::state::fold::class::ClassState;
use crate::state::view::SummaryParts;

/// Summaries, or states, that are cached, and the bytes that they may take up.
const MAX_CACHED: usize = 64;
const MAX_CACHED_BYTES: usize = 32 << 20;

/// A lesson as it is folded. Under another epoch ids may mean other events; once events were
/// deleted by SQL, some of the lesson's may be gone, an erased student's among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) class: ClassId,
    pub(super) first: EventId,
    pub(super) last: Cursor,
    /// How many statements had deleted events when the lesson was found.
    pub(super) deletions: i64,
    /// The event that made the settings by which it was folded.
    pub(super) settings_event: EventId,
}

/// What is cached of earlier lessons.
#[derive(Debug, Default)]
pub(super) struct EarlierLessons {
    pub(super) summaries: Recent<(Key, SummaryParts), RenderedSummary>,
    pub(super) states: Recent<Key, ClassState>,
}

/// What takes up memory.
pub(super) trait Weighed {
    /// In bytes.
    fn weight(&self) -> usize;
}

impl Weighed for RenderedSummary {
    fn weight(&self) -> usize {
        Self::weight(self)
    }
}

impl Weighed for ClassState {
    fn weight(&self) -> usize {
        Self::weight(self)
    }
}

/// The values that were asked for lately, the one that was asked for last at the end.
#[derive(Debug)]
pub(super) struct Recent<K, V>(Mutex<VecDeque<(K, Arc<V>)>>);

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq, V: Weighed> Recent<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = cached.iter().position(|(other, _)| other == key)?;
        let found = cached.remove(at)?;
        let value = Arc::clone(&found.1);
        cached.push_back(found);
        Some(value)
    }

    pub(super) fn put(&self, key: K, value: &Arc<V>) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.push_back((key, Arc::clone(value)));
        let bytes = |cached: &VecDeque<(K, Arc<V>)>| {
            cached.iter().map(|(_, value)| value.weight()).sum::<usize>()
        };
        while cached.len() > MAX_CACHED || bytes(&cached) > MAX_CACHED_BYTES {
            cached.pop_front();
        }
    }
}
