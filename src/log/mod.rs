//! The log in memory: per class, the newest chunks of ready frames. A cache of the table's end,
//! without I/O; a subscriber is a position in it.
//!
//! Invariant: every event with `floor < id <= head` is here. Chunks are let go of in the order they
//! came, whatever their class, so that one number says what is still here.

mod chunk;
mod waiters;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{ClassId, Cursor, Epoch};
use crate::metrics::Registry;

use chunk::FrameJoiner;
pub use chunk::{Chunk, ChunkBuilder, ChunkSet, ENVELOPE_BYTES, Frame, MAX_FRAME_BYTES};
pub use waiters::Subscription;
use waiters::Waiters;

/// Classes of which it is known singly that their events were deleted. Beyond it all count as such:
/// their subscribers are reset, which is more than needed and never less.
const MAX_EXPIRED: usize = 1_000;

/// What a subscriber finds behind its cursor.
#[derive(Debug)]
pub enum Read {
    /// Frames in order, and the id up to which they are complete.
    Frames(Vec<Frame>, i64),
    /// Nothing; complete up to this id. It is below the cursor when another replica is ahead of
    /// this one.
    UpToDate(i64),
    /// The cursor lies before what is in memory, which begins after this id: the table has it.
    Behind(i64),
    /// Ids were issued anew: nothing follows from this cursor. The log's own position instead.
    OtherEpoch(Cursor),
    /// Events of these classes were deleted since: what the subscriber was given is no longer what
    /// there is. The log's own position instead.
    Expired(Cursor),
}

/// How much of the log is in memory.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Of all chunks.
    pub bytes: usize,
    /// Events after this id are in memory.
    pub floor: i64,
    /// Events up to this id are.
    pub head: i64,
}

/// The log. One in a replica, fed by the tail.
#[derive(Debug)]
pub struct Log {
    /// Held for a few lines; never across an await.
    inner: Mutex<Inner>,
    waiters: Arc<Waiters>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Inner {
    epoch: Epoch,
    floor: i64,
    head: i64,
    classes: HashMap<ClassId, VecDeque<Arc<Chunk>>>,
    /// The class of every chunk, oldest first.
    order: VecDeque<ClassId>,
    bytes: usize,
    /// Bytes appended since every subscriber was woken.
    since_all_woken: usize,
    expiries: Expiries,
}

/// Classes whose events were deleted under their subscribers, and when, counted in deletions.
#[derive(Debug, Default)]
struct Expiries {
    count: u64,
    /// All classes expired at this count.
    all: u64,
    classes: HashMap<ClassId, u64>,
}

impl Expiries {
    fn note(&mut self, classes: Option<&[ClassId]>) {
        self.count += 1;
        match classes {
            Some(classes) if self.classes.len() + classes.len() <= MAX_EXPIRED => {
                self.classes.extend(classes.iter().map(|class| (class.clone(), self.count)));
            }
            _ => {
                self.all = self.count;
                self.classes.clear();
            }
        }
    }

    /// Whether one of `classes` has expired after `known`.
    fn since(&self, known: u64, classes: &[ClassId]) -> bool {
        self.count > known
            && (self.all > known
                || classes
                    .iter()
                    .any(|class| self.classes.get(class).is_some_and(|&at| at > known)))
    }
}

impl Inner {
    fn empty(at: Cursor) -> Self {
        Self {
            epoch: at.epoch,
            floor: at.id,
            head: at.id,
            classes: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            since_all_woken: 0,
            expiries: Expiries::default(),
        }
    }

    /// Empties it, to go on from `at`.
    fn restart(&mut self, at: Cursor) {
        let expiries = std::mem::take(&mut self.expiries);
        *self = Self { expiries, ..Self::empty(at) };
    }

    fn evict(&mut self, max_bytes: usize) {
        while self.bytes > max_bytes {
            let Some(class) = self.order.pop_front() else { break };
            let Some(chunks) = self.classes.get_mut(&class) else { continue };
            if let Some(chunk) = chunks.pop_front() {
                self.bytes -= chunk.weight();
                self.floor = self.floor.max(chunk.last());
            }
            if chunks.is_empty() {
                self.classes.remove(&class);
            }
        }
    }
}

impl Log {
    /// An empty log that stands at `at` and keeps at most `max_bytes` of chunks.
    pub fn new(at: Cursor, max_bytes: usize) -> Self {
        Self { inner: Mutex::new(Inner::empty(at)), waiters: Arc::default(), max_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in the critical sections leaves the structure half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The epoch, and the id up to which the log is complete.
    pub fn position(&self) -> Cursor {
        let inner = self.lock();
        Cursor { epoch: inner.epoch.clone(), id: inner.head }
    }

    /// How much of the log is in memory.
    pub fn size(&self) -> Size {
        let inner = self.lock();
        Size { bytes: inner.bytes, floor: inner.floor, head: inner.head }
    }

    /// Registers the log's metrics.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        type Read = fn(Size) -> i64;
        let gauges: [(&str, &str, Read); 3] = [
            ("relay_log_bytes", "Bytes of the log in memory.", |size| size.bytes as i64),
            ("relay_log_head", "The id up to which events were read.", |size| size.head),
            ("relay_log_floor", "The id after which events are in memory.", |size| size.floor),
        ];
        for (name, help, read) in gauges {
            let log = Arc::clone(self);
            registry.gauge(name, help, move || read(log.size()));
        }
    }

    /// Adds what the tail read: all events in `(head before, head]`, of every class.
    pub fn append(&self, chunks: Vec<(ClassId, Chunk)>, head: i64) {
        let mut rung = Vec::with_capacity(chunks.len());
        let all = {
            let mut inner = self.lock();
            for (class, chunk) in chunks {
                inner.bytes += chunk.weight();
                inner.since_all_woken += chunk.weight();
                inner.order.push_back(class.clone());
                if rung.last() != Some(&class) {
                    rung.push(class.clone());
                }
                inner.classes.entry(class).or_default().push_back(Arc::new(chunk));
            }
            inner.head = inner.head.max(head);
            inner.evict(self.max_bytes);
            // A quiet class's subscribers are woken before the memory has turned over, to move on
            // to its head: else a busy class would leave them behind it, and send each to the table
            // for its next event.
            let all = inner.since_all_woken > self.max_bytes / 2;
            if all {
                inner.since_all_woken = 0;
            }
            all
        };
        if all {
            self.waiters.wake_all();
        } else {
            self.waiters.wake(&rung);
        }
    }

    /// Forgets everything and stands at `at`: its ids are of another issue.
    pub fn reset(&self, at: Cursor) {
        self.lock().restart(at);
        self.waiters.wake_all();
    }

    /// Forgets everything and stands at `at`, in the same epoch: what lay before was deleted
    /// unread.
    pub fn expire_all(&self, at: Cursor) {
        {
            let mut inner = self.lock();
            inner.restart(at);
            inner.expiries.note(None);
        }
        self.waiters.wake_all();
    }

    /// Events of these classes (of all, for `None`) were deleted: their subscribers are to be
    /// reset.
    pub fn expire(&self, classes: Option<&[ClassId]>) {
        self.lock().expiries.note(classes);
        self.waiters.wake_all();
    }

    /// How often events were deleted. A subscriber that begins now has to be told of later ones
    /// only.
    pub fn expiry(&self) -> u64 {
        self.lock().expiries.count
    }

    /// Registers a subscriber of `classes`, to be woken when something of them comes.
    pub fn subscribe(&self, classes: &[ClassId]) -> Subscription {
        Subscription::new(Arc::clone(&self.waiters), classes)
    }

    /// What follows `after` in `classes`, in id order, of about `max_bytes` (one frame at least),
    /// for a subscriber that knows of deletions up to the count `expiry`.
    pub fn read(&self, after: &Cursor, expiry: u64, classes: &[ClassId], max_bytes: usize) -> Read {
        let (sources, epoch, head) = {
            let inner = self.lock();
            if after.epoch != inner.epoch {
                return Read::OtherEpoch(Cursor { epoch: inner.epoch.clone(), id: inner.head });
            }
            if inner.expiries.since(expiry, classes) {
                return Read::Expired(Cursor { epoch: inner.epoch.clone(), id: inner.head });
            }
            if after.id < inner.floor {
                return Read::Behind(inner.floor);
            }
            let sources: Vec<Vec<Arc<Chunk>>> = classes
                .iter()
                .filter_map(|class| inner.classes.get(class))
                .map(|chunks| following(chunks, after.id, max_bytes))
                .filter(|chunks| !chunks.is_empty())
                .collect();
            (sources, inner.epoch.clone(), inner.head)
        };
        if sources.is_empty() {
            return Read::UpToDate(head);
        }
        let mut joiner = FrameJoiner::new(epoch, max_bytes);
        // A class whose chunks were cut off by `max_bytes` is not known beyond its last one.
        let through = joiner.merge(sources, after.id);
        Read::Frames(joiner.finish(), through)
    }
}

/// The chunks after `after`, of about `max_bytes`, one at least.
fn following(chunks: &VecDeque<Arc<Chunk>>, after: i64, max_bytes: usize) -> Vec<Arc<Chunk>> {
    let from = chunks.partition_point(|chunk| chunk.last() <= after);
    let mut bytes = 0;
    let mut taken = Vec::new();
    for chunk in chunks.range(from..) {
        if bytes >= max_bytes {
            break;
        }
        bytes += chunk.text_len();
        taken.push(Arc::clone(chunk));
    }
    taken
}

#[cfg(test)]
mod tests;
