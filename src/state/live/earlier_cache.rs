//! The summaries of earlier lessons that are cached.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rendered_summary::RenderedSummary;
use crate::event::{ClassId, Cursor, EventId};
use crate::state::view::SummaryParts;

/// Summaries of earlier lessons that are cached, and the bytes that they may take up.
const MAX_CACHED: usize = 64;
const MAX_CACHED_BYTES: usize = 32 << 20;

/// A lesson's summary depends on these. Under another epoch ids may mean other events; once events
/// were deleted by SQL, some of the lesson's may be gone, an erased student's among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) class: ClassId,
    pub(super) first: EventId,
    pub(super) last: Cursor,
    /// How many statements had deleted events when the lesson was found.
    pub(super) deletions: i64,
    /// The event that made the settings by which it was folded.
    pub(super) settings_event: EventId,
    pub(super) parts: SummaryParts,
}

/// The summaries that were folded, the one that was asked for last at the end.
#[derive(Debug, Default)]
pub(super) struct EarlierLessons(Mutex<VecDeque<(Key, Arc<RenderedSummary>)>>);

impl EarlierLessons {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Key, Arc<RenderedSummary>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<RenderedSummary>> {
        let mut cached = self.lock();
        let at = cached.iter().position(|(other, _)| other == key)?;
        let found = cached.remove(at)?;
        let summary = Arc::clone(&found.1);
        cached.push_back(found);
        Some(summary)
    }

    pub(super) fn put(&self, key: Key, summary: &Arc<RenderedSummary>) {
        let mut cached = self.lock();
        cached.push_back((key, Arc::clone(summary)));
        let bytes = |cached: &VecDeque<(Key, Arc<RenderedSummary>)>| {
            cached.iter().map(|(_, summary)| summary.weight()).sum::<usize>()
        };
        while cached.len() > MAX_CACHED || bytes(&cached) > MAX_CACHED_BYTES {
            cached.pop_front();
        }
    }
}
