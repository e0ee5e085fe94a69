//! The log in memory: per class, the newest chunks of ready frames. A cache of the table's end, without I/O; a subscriber
//! is a position in it.
//!
//! Invariant: every event with `floor < id <= head` is here. Chunks are let go of in the order they came, whatever their
//! class, so that one number says what is still here.

mod chunk;
mod waiters;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{ClassId, Cursor, Epoch};

use chunk::FrameJoiner;
pub use chunk::{Chunk, ChunkBuilder, ChunkSet, ENVELOPE_BYTES, Frame, MAX_FRAME_BYTES};
pub use waiters::Subscription;
use waiters::Waiters;

/// What a subscriber finds behind its cursor.
#[derive(Debug)]
pub enum Read {
    /// Frames in order, and the id up to which they are complete.
    Frames(Vec<Frame>, i64),
    /// Nothing; complete up to this id. It is below the cursor when another replica is ahead of this one.
    UpToDate(i64),
    /// The cursor lies before what is in memory, which begins after this id: the table has it.
    Behind(i64),
    /// Ids were issued anew: nothing follows from this cursor. The log's own position instead.
    OtherEpoch(Cursor),
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
        }
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
            // A quiet class's subscribers are woken before the memory has turned over, to move on to its head: else a busy
            // class would leave them behind it, and send each to the table for its next event.
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
        *self.lock() = Inner::empty(at);
        self.waiters.wake_all();
    }

    /// Registers a subscriber of `classes`, to be woken when something of them comes.
    pub fn subscribe(&self, classes: &[ClassId]) -> Subscription {
        Subscription::new(Arc::clone(&self.waiters), classes)
    }

    /// What follows `after` in `classes`, in id order, of about `max_bytes` (one frame at least).
    pub fn read(&self, after: &Cursor, classes: &[ClassId], max_bytes: usize) -> Read {
        let (sources, epoch, head) = {
            let inner = self.lock();
            if after.epoch != inner.epoch {
                return Read::OtherEpoch(Cursor { epoch: inner.epoch.clone(), id: inner.head });
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
