//! A class's place among those in use.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::live::Live;
use super::load::LoadError;
use crate::event::{Micros, StoredEvent};

/// Bytes of events put by while a class joins the tail. A join lasts a few milliseconds; beyond
/// this it begins again.
const MAX_PUT_BY: usize = 32 << 20;

/// Bytes of classes in memory beyond which the one not asked for longest is let go, and none is
/// brought in.
pub(super) const MAX_BYTES: usize = 512 << 20;

/// A class's place.
#[derive(Debug)]
pub(super) struct Slot {
    /// Held while an event is folded, or a few rows are copied for a picture.
    phase: Mutex<Phase>,
    /// Changes once, when the phase is no longer [`Phase::Loading`] or [`Phase::Joining`].
    pub(super) ready: watch::Sender<Option<Result<(), LoadError>>>,
    used: Mutex<Instant>,
    /// What it takes up of the memory of all.
    weight: AtomicUsize,
    memory: Arc<Memory>,
}

/// What the classes in use take up together.
#[derive(Debug, Default)]
pub(super) struct Memory {
    bytes: AtomicUsize,
    /// There is more than there should be.
    pub(super) full: Notify,
}

impl Memory {
    /// Bytes of all classes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes() > MAX_BYTES
    }
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
    pub(super) fn new(memory: &Arc<Memory>) -> Self {
        Self {
            phase: Mutex::new(Phase::Loading),
            ready: watch::channel(None).0,
            used: Mutex::new(Instant::now()),
            weight: AtomicUsize::new(0),
            memory: Arc::clone(memory),
        }
    }

    /// It takes up so many bytes now.
    pub(super) fn weigh(&self, bytes: usize) {
        let before = self.weight.swap(bytes, Ordering::Relaxed);
        let all = &self.memory.bytes;
        if bytes <= before {
            all.fetch_sub(before - bytes, Ordering::Relaxed);
        } else if all.fetch_add(bytes - before, Ordering::Relaxed) + bytes - before > MAX_BYTES {
            self.memory.full.notify_one();
        }
    }

    /// Lets go of the class. What is returned is to be dropped where that holds nobody up.
    pub(super) fn close(&self) -> Phase {
        let phase = std::mem::replace(&mut *self.lock(), Phase::Gone);
        self.weigh(0);
        phase
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
            Phase::Live(live) => drop(live.fold(event).map(|weight| self.weigh(weight))),
            Phase::Joining(put_by) => put_by.add(event),
            _ => {}
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.weigh(0);
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
