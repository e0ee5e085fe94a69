//! The slot of a class in memory: its phase, from the moment it is first asked for until it is
//! evicted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::live_class::LiveClass;
use super::load_error::LoadError;
use crate::event::{EventId, Micros, StoredEvent};

/// Bytes of events that are buffered while a class joins the tail. A join lasts a few milliseconds;
/// beyond this it begins again.
const MAX_JOIN_BUFFER: usize = 32 << 20;

/// Bytes of classes in memory. Beyond this, the class not asked for longest is evicted, and no
/// class is loaded.
pub(super) const MAX_BYTES: usize = 512 << 20;

/// The slot of a class.
#[derive(Debug)]
pub(super) struct Slot {
    /// The class's lock. It is held while one event is folded, or a few hundred rows are copied.
    phase: Mutex<Phase>,
    /// How the load ended; `None` while the phase is [`Phase::Loading`] or [`Phase::Joining`].
    pub(super) loaded: watch::Sender<Option<Result<(), LoadError>>>,
    used: Mutex<Instant>,
    /// The bytes of this class that are counted in `memory`.
    weight: AtomicUsize,
    memory: Arc<Memory>,
}

/// The bytes that all classes in memory take up together.
#[derive(Debug, Default)]
pub(super) struct Memory {
    bytes: AtomicUsize,
    /// Rings when there are more than [`MAX_BYTES`].
    pub(super) full: Notify,
}

impl Memory {
    pub(super) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > MAX_BYTES
    }
}

/// The phase of a slot.
#[derive(Debug)]
pub(super) enum Phase {
    /// The class's past is being read. The tail does nothing with its events.
    Loading,
    /// The last part of its past is being read. The tail buffers its events.
    Joining(JoinBuffer),
    /// The class is in memory. The tail folds its events.
    Live(Box<LiveClass>),
    /// The class was evicted, or dropped since the log has changed.
    Gone,
}

/// The events of a class that arrived while it joined the tail.
#[derive(Debug, Default)]
pub(super) struct JoinBuffer {
    pub(super) events: Vec<BufferedEvent>,
    bytes: usize,
    pub(super) overflowed: bool,
}

/// An event of a [`JoinBuffer`].
#[derive(Debug)]
pub(super) struct BufferedEvent {
    pub(super) id: EventId,
    pub(super) received_at: Micros,
    pub(super) student: Box<str>,
    pub(super) body: Box<str>,
}

impl Slot {
    pub(super) fn new(memory: &Arc<Memory>) -> Self {
        Self {
            phase: Mutex::new(Phase::Loading),
            loaded: watch::channel(None).0,
            used: Mutex::new(Instant::now()),
            weight: AtomicUsize::new(0),
            memory: Arc::clone(memory),
        }
    }

    /// The class takes up so many bytes now.
    pub(super) fn set_weight(&self, bytes: usize) {
        let before = self.weight.swap(bytes, Ordering::Relaxed);
        let all = &self.memory.bytes;
        if bytes <= before {
            all.fetch_sub(before - bytes, Ordering::Relaxed);
        } else if all.fetch_add(bytes - before, Ordering::Relaxed) + bytes - before > MAX_BYTES {
            self.memory.full.notify_one();
        }
    }

    /// Drops the class. The phase before is returned, to be dropped by [`drop_on_another_thread`].
    pub(super) fn close(&self) -> Phase {
        let phase = std::mem::replace(&mut *self.lock(), Phase::Gone);
        self.set_weight(0);
        phase
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The class was asked for just now.
    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// When the class was last asked for.
    pub(super) fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `with` on the class if it is live.
    pub(super) fn live<T>(&self, with: impl FnOnce(&mut LiveClass) -> T) -> Option<T> {
        match &mut *self.lock() {
            Phase::Live(live) => Some(with(live)),
            _ => None,
        }
    }

    /// Takes an event of the tail's. Returns whether the class was dropped: the event has changed
    /// its settings, so that its lesson has to be read and folded again.
    pub(super) fn fold(&self, event: &StoredEvent<'_>) -> bool {
        let mut phase = self.lock();
        match &mut *phase {
            Phase::Live(live) => {
                if let Some(weight) = live.fold(event) {
                    self.set_weight(weight);
                }
                if live.state.needs_refold() {
                    drop(phase);
                    drop_on_another_thread(vec![self.close()]);
                    return true;
                }
            }
            Phase::Joining(buffer) => buffer.add(event),
            Phase::Loading | Phase::Gone => {}
        }
        false
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.set_weight(0);
    }
}

impl JoinBuffer {
    fn add(&mut self, event: &StoredEvent<'_>) {
        self.bytes += event.body.len() + event.student.len();
        if self.overflowed || self.bytes > MAX_JOIN_BUFFER {
            self.overflowed = true;
            self.events = Vec::new();
            return;
        }
        self.events.push(BufferedEvent {
            id: EventId(event.id),
            received_at: event.received_at,
            student: event.student.into(),
            body: event.body.into(),
        });
    }
}

/// Drops classes on another thread: the largest take so long that requests would wait.
pub(super) fn drop_on_another_thread(closed: Vec<Phase>) {
    if closed.is_empty() {
        return;
    }
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn_blocking(|| drop(closed));
    }
}
