//! A class's place among those in use.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::live::Live;
use super::load::LoadError;
use crate::event::{Micros, StoredEvent};

/// Bytes of events put by while a class joins the tail. A join lasts a few milliseconds; beyond this it begins again.
const MAX_PUT_BY: usize = 32 << 20;

/// A class's place.
#[derive(Debug)]
pub(super) struct Slot {
    /// Held while an event is folded or a picture made.
    phase: Mutex<Phase>,
    /// Changes once, when the phase is no longer [`Phase::Loading`] or [`Phase::Joining`].
    pub(super) ready: watch::Sender<Option<Result<(), LoadError>>>,
    used: Mutex<Instant>,
}

/// What becomes of a class.
#[derive(Debug)]
pub(super) enum Phase {
    /// Its past is being read; the tail passes it by.
    Loading,
    /// The last of its past is being read; the tail puts its events by.
    Joining(PutBy),
    Live(Box<Live>),
    /// Let go.
    Gone,
}

/// Events that came while a class joins.
#[derive(Debug, Default)]
pub(super) struct PutBy {
    pub(super) events: Vec<(i64, Micros, Box<str>, Box<str>)>,
    bytes: usize,
    pub(super) overflowed: bool,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            phase: Mutex::new(Phase::Loading),
            ready: watch::channel(None).0,
            used: Mutex::new(Instant::now()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(super) fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `with` on the class if it lives.
    pub(super) fn live<T>(&self, with: impl FnOnce(&mut Live) -> T) -> Option<T> {
        match &mut *self.lock() {
            Phase::Live(live) => Some(with(live)),
            _ => None,
        }
    }

    pub(super) fn fold(&self, event: &StoredEvent<'_>) {
        match &mut *self.lock() {
            Phase::Live(live) => live.state.fold(event),
            Phase::Joining(put_by) => put_by.add(event),
            _ => {}
        }
    }
}

impl PutBy {
    fn add(&mut self, event: &StoredEvent<'_>) {
        self.bytes += event.body.len() + event.student.len();
        if self.overflowed || self.bytes > MAX_PUT_BY {
            self.overflowed = true;
            self.events = Vec::new();
            return;
        }
        self.events.push((event.id, event.received_at, event.student.into(), event.body.into()));
    }
}
