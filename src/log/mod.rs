//! The log in memory: for each class, the newest events as ready frames. It is a cache of the end
//! of the table and does no I/O. A subscriber is a position in it.
//!
//! Invariant: every event with `floor < id <= head` is in memory. Chunks are evicted in the order
//! in which they were appended, of whichever class is next, so that one number, the floor, tells
//! which events are in memory for all classes.
//!
//! - `chunk`: ready frames, and joining the frames of several classes; `waiters`: the subscribers
//!   that are woken when events of their classes are appended

mod chunk;
mod waiters;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{ClassId, Cursor, Epoch};
use crate::metrics::Registry;

use chunk::FrameJoiner;
pub(crate) use chunk::{
    Chunk, ChunkBuilder, ChunkSet, ENVELOPE_BYTES, EncodedFrame, MAX_FRAME_BYTES,
};
pub(crate) use waiters::Subscription;
use waiters::Waiters;

/// The classes with deleted events that are stored one by one. Beyond this number all classes
/// count as having deleted events. Their subscribers are reset then, which is more than necessary
/// but never too little.
const MAX_EXPIRED: usize = 1_000;

/// The log after a subscriber's cursor.
#[derive(Debug)]
pub(crate) enum Read {
    /// Frames in the order of their ids, and the id up to which they are complete.
    Frames(Vec<EncodedFrame>, i64),
    /// No event up to this id, which is the log's head. It is below the cursor if the cursor came
    /// from a replica that is ahead of this one.
    UpToDate(i64),
    /// Events after the cursor are not in memory any more, which begins after this id. They must be
    /// read from the table.
    Behind(i64),
    /// Ids were reassigned, so the cursor has no meaning in this log, whose position this is.
    OtherEpoch(Cursor),
    /// Events of these classes were deleted after the subscriber began, and it may have received
    /// some of them. The log's position.
    Expired(Cursor),
}

/// The part of the log that is in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogSize {
    /// The bytes of all chunks.
    pub(crate) bytes: usize,
    /// Events after this id are in memory.
    pub(crate) floor: i64,
    /// Events up to this id are in memory.
    pub(crate) head: i64,
}

/// The log. A replica has one, and its tail appends to it.
#[derive(Debug)]
pub(crate) struct Log {
    /// The lock is held for a few lines and never across an await.
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
    /// The bytes that were appended since all subscribers were last woken.
    since_all_woken: usize,
    expiries: Expiries,
}

/// The classes whose events were deleted, each with the number of the deletion. A subscriber that
/// began before a deletion of its classes must be reset.
#[derive(Debug, Default)]
struct Expiries {
    /// The number of deletions so far.
    count: u64,
    /// The number of the latest deletion in all classes.
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

    /// Whether a deletion after number `known` was in one of `classes`.
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

    /// Removes all events, and continues from `at`.
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
    /// An empty log whose position is `at`, and which keeps at most `max_bytes` of chunks.
    pub(crate) fn new(at: Cursor, max_bytes: usize) -> Self {
        Self { inner: Mutex::new(Inner::empty(at)), waiters: Arc::default(), max_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code under the lock can panic between two changes.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The epoch, and the id up to which the log is complete.
    pub(crate) fn position(&self) -> Cursor {
        let inner = self.lock();
        Cursor { epoch: inner.epoch.clone(), id: inner.head }
    }

    /// The part of the log that is in memory.
    pub(crate) fn size(&self) -> LogSize {
        let inner = self.lock();
        LogSize { bytes: inner.bytes, floor: inner.floor, head: inner.head }
    }

    /// Registers the log's metrics.
    pub(crate) fn register(self: &Arc<Self>, registry: &mut Registry) {
        type ReadGauge = fn(LogSize) -> i64;
        let gauges: [(&str, &str, ReadGauge); 3] = [
            ("relay_log_bytes", "Bytes of the log in memory.", |size| size.bytes as i64),
            ("relay_log_head", "The id up to which events were read.", |size| size.head),
            ("relay_log_floor", "The id after which events are in memory.", |size| size.floor),
        ];
        for (name, help, read) in gauges {
            let log = Arc::clone(self);
            registry.gauge(name, help, move || read(log.size()));
        }
    }

    /// Appends a read of the tail: the events of all classes between the log's head and the new
    /// `head`.
    pub(crate) fn append(&self, chunks: Vec<(ClassId, Chunk)>, head: i64) {
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
            // The subscribers of a quiet class must be woken before the memory has turned over, so
            // that they move on to the log's head. Otherwise a busy class would leave their cursors
            // below the floor, and each of them would read its next event from the table.
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

    /// Removes all events and moves to `at`, in another generation of ids.
    pub(crate) fn reset(&self, at: Cursor) {
        self.lock().restart(at);
        self.waiters.wake_all();
    }

    /// Removes all events and moves to `at`, in the same epoch: events before it were deleted
    /// before the tail read them. All subscribers are reset.
    pub(crate) fn expire_all(&self, at: Cursor) {
        {
            let mut inner = self.lock();
            inner.restart(at);
            inner.expiries.note(None);
        }
        self.waiters.wake_all();
    }

    /// Notes that events of these classes (of all classes, for `None`) were deleted, so that their
    /// subscribers are reset.
    pub(crate) fn expire(&self, classes: Option<&[ClassId]>) {
        self.lock().expiries.note(classes);
        self.waiters.wake_all();
    }

    /// The number of deletions so far. A subscriber that begins now must be reset by later
    /// deletions only.
    pub(crate) fn expiry(&self) -> u64 {
        self.lock().expiries.count
    }

    /// Registers a subscriber, which is woken when events of `classes` are appended.
    pub(crate) fn subscribe(&self, classes: &[ClassId]) -> Subscription {
        Subscription::new(Arc::clone(&self.waiters), classes)
    }

    /// Reads the events after `after` in `classes`, in the order of their ids: about `max_bytes`,
    /// but at least one frame. `expiry` is the number of deletions that the subscriber knows of.
    pub(crate) fn read(
        &self,
        after: &Cursor,
        expiry: u64,
        classes: &[ClassId],
        max_bytes: usize,
    ) -> Read {
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
        // `max_bytes` may have cut off a class's chunks. The joiner stops where a class's chunks
        // end, since further events of it are not known here.
        let through = joiner.merge(sources, after.id);
        Read::Frames(joiner.finish(), through)
    }
}

/// The chunks after `after`: about `max_bytes`, but at least one chunk.
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
