//! The requests whose events wait to be written, in the order in which they came, within bounds of
//! rows and bytes.
//!
//! A full queue has hysteresis. Requests are of any size, so a queue is hardly ever exactly full:
//! there is nearly always room for a small request and none for a large one. Without hysteresis
//! every request that does not fit would be read and parsed before it is refused, and under
//! overload that work takes the processor from the writer. So once a request was refused, all
//! requests are refused unread until a sixteenth of both bounds is free: the low-water mark.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::event::{Epoch, Event};

/// After a refusal, one part in this many of both bounds must be free before requests are read
/// again.
const LOW_WATER_PART: usize = 16;

/// The result for one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Committed, under this id.
    Stored(i64),
    /// The event was there already.
    Duplicate,
    /// The database cannot take the event's values, now or ever; its error.
    Rejected(String),
    /// The database does not store the event, while it stores others; its error. The reason may be
    /// an operator's constraint or trigger, and may be mended.
    Failed(String),
}

/// The results for a request's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// For each event in order.
    pub outcomes: Vec<Outcome>,
    /// The epoch that the ids belong to.
    pub epoch: Epoch,
}

/// The queue's bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueLimits {
    /// Events that may wait or be under way.
    pub rows: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// The queue is at its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue to the database is full")]
pub(crate) struct QueueFull;

/// The events of one request, written together or not at all in one statement.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) events: Vec<Event>,
    /// At this time the client is told to send the events again. A submission that is still queued
    /// then is dropped.
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Written>,
    room: Room,
}

/// Room in the queue. It is given back when the submission is dropped, answered or not.
#[derive(Debug)]
struct Room {
    queue: Arc<Queue>,
    rows: usize,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut used = self.queue.lock_used();
        used.rows -= self.rows;
        used.bytes -= self.bytes;
    }
}

#[derive(Debug, Default)]
struct Used {
    rows: usize,
    bytes: usize,
    /// Whether a request was refused since the queue was last below its low-water mark.
    refusing: bool,
}

impl Used {
    /// Whether more than one part in [`LOW_WATER_PART`] of both bounds is free. An empty queue is
    /// below the mark whatever its bounds are.
    fn is_below_low_water(&self, limits: QueueLimits) -> bool {
        let below = |used: usize, limit: usize| used < limit - limit / LOW_WATER_PART;
        self.rows == 0 || below(self.rows, limits.rows) && below(self.bytes, limits.bytes)
    }
}

/// The queue itself.
#[derive(Debug)]
pub(super) struct Queue {
    /// The waiting submissions, oldest first. The lock is held for a push or a pop.
    waiting: Mutex<VecDeque<Submission>>,
    /// The room of the submissions that wait or are being written. It has a lock apart from
    /// `waiting`, since a submission that is dropped under that lock gives its room back.
    used: Mutex<Used>,
    limits: QueueLimits,
    bell: Notify,
}

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            used: Mutex::default(),
            limits,
            bell: Notify::new(),
        })
    }

    fn lock_waiting(&self) -> MutexGuard<'_, VecDeque<Submission>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows that wait or are under way.
    pub(super) fn rows(&self) -> usize {
        self.lock_used().rows
    }

    /// Adds a request's events, or refuses them at once.
    pub(super) fn submit(
        self: &Arc<Self>,
        events: Vec<Event>,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Written>, QueueFull> {
        let rows = events.len();
        let bytes = events.iter().map(Event::weight).sum();
        let room = self
            .reserve(rows, bytes)
            .or_else(|QueueFull| {
                // Expired submissions must not take space from requests that are still waiting.
                self.drop_expired();
                self.reserve(rows, bytes)
            })
            .inspect_err(|_| self.lock_used().refusing = true)?;
        let (reply, receiver) = oneshot::channel();
        self.lock_waiting().push_back(Submission { events, deadline, reply, room });
        self.bell.notify_one();
        Ok(receiver)
    }

    /// Whether requests are refused unread: from a refusal until the queue is below its low-water
    /// mark.
    pub(super) fn is_refusing(&self) -> bool {
        let refuses = || {
            let mut used = self.lock_used();
            used.refusing &= !used.is_below_low_water(self.limits);
            used.refusing
        };
        refuses() && {
            self.drop_expired();
            refuses()
        }
    }

    fn reserve(self: &Arc<Self>, rows: usize, bytes: usize) -> Result<Room, QueueFull> {
        let mut used = self.lock_used();
        // An empty queue takes any one request: its own bounds (--max-body) have let it pass.
        let fits = used.rows + rows <= self.limits.rows && used.bytes + bytes <= self.limits.bytes;
        if !fits && used.rows > 0 {
            return Err(QueueFull);
        }
        used.rows += rows;
        used.bytes += bytes;
        Ok(Room { queue: Arc::clone(self), rows, bytes })
    }

    /// Takes the oldest submissions, up to the bounds of one statement but one at least. Waits
    /// while the queue is empty.
    pub(super) async fn take(&self, max_rows: usize, max_bytes: usize) -> Vec<Submission> {
        loop {
            let (taken, more) = self.take_waiting(max_rows, max_bytes);
            if more {
                self.bell.notify_one();
            }
            if !taken.is_empty() {
                return taken;
            }
            self.bell.notified().await;
        }
    }

    fn take_waiting(&self, max_rows: usize, max_bytes: usize) -> (Vec<Submission>, bool) {
        let now = Instant::now();
        let (mut rows, mut bytes) = (0, 0);
        let mut taken = Vec::new();
        let mut waiting = self.lock_waiting();
        while let Some(next) = waiting.front() {
            if next.deadline <= now {
                waiting.pop_front();
                continue;
            }
            if !taken.is_empty()
                && (rows + next.room.rows > max_rows || bytes + next.room.bytes > max_bytes)
            {
                break;
            }
            rows += next.room.rows;
            bytes += next.room.bytes;
            taken.extend(waiting.pop_front());
        }
        (taken, !waiting.is_empty())
    }

    /// Puts submissions that could not be written back in front, so that they are taken first.
    pub(super) fn put_back(&self, submissions: Vec<Submission>) {
        let mut waiting = self.lock_waiting();
        for submission in submissions.into_iter().rev() {
            waiting.push_front(submission);
        }
        drop(waiting);
        self.bell.notify_one();
    }

    /// Drops the submissions whose deadline has passed. They are in front, since all have the same
    /// time to wait.
    pub(super) fn drop_expired(&self) {
        let now = Instant::now();
        let mut waiting = self.lock_waiting();
        while waiting.front().is_some_and(|submission| submission.deadline <= now) {
            waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{Limits, parse_body};

    fn events(count: usize) -> Vec<Event> {
        let one = r#"{"eventId":"9f582f0c-d406-435e-866c-7bbfe15dc8cd","eventType":"help",
            "eventTime":"2026-11-23T15:36:03Z","userId":"s"}"#;
        let limits = Limits { max_batch: count, max_field: 1024 };
        let body = format!("[{}]", vec![one; count].join(","));
        let batch = parse_body(body.as_bytes(), None, limits).expect("valid");
        batch.events.into_iter().map(|(_, event)| event).collect()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn requests_stay_whole_and_in_order() {
        let queue = Queue::new(QueueLimits { rows: 100, bytes: usize::MAX });
        let _replies: Vec<_> =
            [3, 4, 9, 1].map(|count| queue.submit(events(count), soon()).expect("room")).into();
        let sizes = |taken: &[Submission]| taken.iter().map(|s| s.events.len()).collect::<Vec<_>>();
        let first = queue.take(8, usize::MAX).await;
        assert_eq!(sizes(&first), [3, 4]);
        queue.put_back(first);
        assert_eq!(sizes(&queue.take(4, usize::MAX).await), [3]);
        assert_eq!(sizes(&queue.take(6, usize::MAX).await), [4]);
        // One larger than a statement's bound goes alone.
        assert_eq!(sizes(&queue.take(5, usize::MAX).await), [9]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_room_comes_back() {
        let queue = Queue::new(QueueLimits { rows: 5, bytes: usize::MAX });
        let _first = queue.submit(events(4), soon()).expect("room");
        assert!(!queue.is_refusing(), "there is room for one");
        assert!(queue.submit(events(2), soon()).is_err());
        assert!(!queue.is_refusing(), "for one there still is");
        let taken = queue.take(10, usize::MAX).await;
        assert!(queue.submit(events(2), soon()).is_err(), "under way counts too");
        drop(taken);
        assert_eq!(queue.rows(), 0);
        let _large = queue.submit(events(9), soon()).expect("an empty queue takes any one request");
    }

    #[tokio::test]
    async fn after_a_refusal_all_are_refused_until_the_low_water_mark() {
        let queue = Queue::new(QueueLimits { rows: 100, bytes: usize::MAX });
        let _most = queue.submit(events(90), soon()).expect("room");
        assert!(queue.submit(events(50), soon()).is_err(), "it is too large");
        assert!(!queue.is_refusing(), "others may fit");
        let _more = queue.submit(events(8), soon()).expect("room");
        assert!(!queue.is_refusing(), "no request was refused since");
        assert!(queue.submit(events(3), soon()).is_err());
        assert!(queue.is_refusing(), "the next is not read");
        drop(queue.take(10, usize::MAX).await);
        assert!(!queue.is_refusing(), "90 have gone");
        let _again = queue.submit(events(50), soon()).expect("room");
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_submission_makes_room() {
        let queue = Queue::new(QueueLimits { rows: 5, bytes: usize::MAX });
        let _old = queue.submit(events(5), soon()).expect("room");
        assert!(queue.submit(events(1), soon()).is_err());
        assert!(queue.is_refusing());
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(!queue.is_refusing());
        let _new = queue.submit(events(1), soon()).expect("room");
        let taken = queue.take(10, usize::MAX).await;
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].events.len(), 1);
    }
}
