//! A simulated dashboard: it receives events, counts them, and checks their order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

use super::report::latencies;
use super::run::Run;
use super::scan;
use crate::backoff::Backoff;
use crate::client::ws::Subscriber;
use crate::client::{ClientError, reconnect_backoff};

/// The number of latest ids by which repeats are found. A repeat of one of them counts as a
/// duplicate; a lower id counts as out of order.
const REMEMBERED_IDS: usize = 1024;

/// The counts of one dashboard.
#[derive(Debug)]
pub(super) struct Tally {
    /// Events, without duplicates.
    pub(super) count: u64,
    /// The wrapping sum of their ids.
    pub(super) sum: u64,
    pub(super) duplicated: u64,
    pub(super) out_of_order: u64,
    pub(super) reconnects: u64,
    pub(super) resets: u64,
    /// The moments of the first and the last frame after the warm-up, in nanoseconds since the
    /// run's start.
    pub(super) window: Option<(u64, u64)>,
    /// The events in the frames after that first frame.
    pub(super) counted: u64,
    /// The time from POST to frame, in microseconds, if this dashboard decodes events.
    pub(super) latency: Option<Histogram<u64>>,
    /// Why the dashboard stopped, if it did.
    pub(super) failure: Option<String>,
    last: i64,
    recent: VecDeque<i64>,
}

impl Tally {
    fn new(decodes: bool) -> Self {
        Self {
            count: 0,
            sum: 0,
            duplicated: 0,
            out_of_order: 0,
            reconnects: 0,
            resets: 0,
            window: None,
            counted: 0,
            latency: decodes.then(latencies),
            failure: None,
            last: 0,
            recent: VecDeque::new(),
        }
    }

    fn take(&mut self, id: i64) {
        if id <= self.last {
            if self.recent.binary_search(&id).is_ok() {
                self.duplicated += 1;
                return;
            }
            self.out_of_order += 1;
        } else {
            self.last = id;
            if self.recent.len() == REMEMBERED_IDS {
                self.recent.pop_front();
            }
            self.recent.push_back(id);
        }
        self.count += 1;
        self.sum = self.sum.wrapping_add(id.cast_unsigned());
    }

    fn frame(&mut self, now: u64, events: usize, counted_from: u64) {
        if now < counted_from {
            return;
        }
        match &mut self.window {
            Some((_, last)) => {
                *last = now;
                self.counted += events as u64;
            }
            None => self.window = Some((now, now)),
        }
    }
}

/// A dashboard's tally, and the task that fills it.
pub(super) struct Dashboard {
    tally: Arc<Mutex<Tally>>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Dashboard {
    /// Subscribes, and starts to receive events.
    pub(super) async fn open(
        run: &Arc<Run>,
        index: usize,
        decodes: bool,
    ) -> Result<Self, ClientError> {
        let classes = [run.class.clone()];
        let subscriber = Subscriber::connect(run.url(index), &classes, None).await?;
        let tally = Arc::new(Mutex::new(Tally::new(decodes)));
        let receiver = Receiver {
            run: Arc::clone(run),
            tally: Arc::clone(&tally),
            decodes,
            cursor: String::new(),
            starts: Vec::new(),
            index,
        };
        let task = tokio::spawn(receiver.follow(subscriber, classes));
        Ok(Self { tally, _task: tokio_util::task::AbortOnDropHandle::new(task) })
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }
}

/// Locks a tally. The lock is held for one frame and never across an await.
fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Receiver {
    run: Arc<Run>,
    tally: Arc<Mutex<Tally>>,
    decodes: bool,
    cursor: String,
    starts: Vec<(i64, usize)>,
    index: usize,
}

impl Receiver {
    /// Receives events. When it is disconnected, it resumes after its cursor at the next relay, as
    /// a dashboard does.
    async fn follow(mut self, mut subscriber: Subscriber, classes: [String; 1]) {
        let mut backoff = reconnect_backoff();
        loop {
            let mut ended = self.receive(&mut subscriber, &mut backoff).await;
            loop {
                if !ended.is_transient() {
                    lock(&self.tally).failure = Some(ended.to_string());
                    return;
                }
                tokio::time::sleep(backoff.next_wait()).await;
                self.index += 1;
                let cursor = (!self.cursor.is_empty()).then_some(&*self.cursor);
                match Subscriber::connect(self.run.url(self.index), &classes, cursor).await {
                    Ok(connected) => {
                        subscriber = connected;
                        lock(&self.tally).reconnects += 1;
                        break;
                    }
                    Err(error) => ended = error,
                }
            }
        }
    }

    async fn receive(&mut self, subscriber: &mut Subscriber, backoff: &mut Backoff) -> ClientError {
        loop {
            let text = match subscriber.next_text().await {
                Ok(text) => text,
                Err(error) => return error,
            };
            backoff.reset();
            if let Err(error) = self.frame(&text) {
                return error;
            }
        }
    }

    fn frame(&mut self, text: &str) -> Result<(), ClientError> {
        let now = self.run.now();
        if let Some((cursor, events)) = scan::progress(text)
            && scan::starts(cursor, events, &mut self.starts)
        {
            self.cursor.clear();
            self.cursor.push_str(cursor);
            let starts = &self.starts;
            let ends = starts.iter().skip(1).map(|&(_, start)| start).chain([events.len()]);
            self.events(
                now,
                starts.len(),
                starts.iter().zip(ends).map(|(&(id, start), end)| (id, &events[start..end])),
            );
            return Ok(());
        }
        let (cursor, events) = scan::parse(text)?;
        match events {
            Some(events) => {
                self.events(now, events.len(), events.iter().map(|(id, event)| (*id, &**event)))
            }
            None if text.contains("\"reset\"") => lock(&self.tally).resets += 1,
            None => {}
        }
        if !cursor.is_empty() {
            self.cursor = cursor;
        }
        Ok(())
    }

    fn events<'a>(&self, now: u64, count: usize, events: impl Iterator<Item = (i64, &'a str)>) {
        let counted_from = self.run.counted_from();
        let mut tally = lock(&self.tally);
        tally.frame(now, count, counted_from);
        if !self.decodes {
            return events.for_each(|(id, _)| tally.take(id));
        }
        // The order of the two locks: the tally first, then the ledger.
        let mut ledger = self.run.ledger();
        for (id, event) in events {
            tally.take(id);
            let Some((sequence, sent)) = scan::stamp(event, &self.run.marker) else {
                ledger.see_other(id);
                continue;
            };
            ledger.see(sequence, id);
            if let Some(latency) = tally.latency.as_mut().filter(|_| sent >= counted_from) {
                latency.saturating_record(now.saturating_sub(sent) / 1000);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_and_disorder_are_distinguished() {
        let mut tally = Tally::new(false);
        for id in [5, 6, 8, 6, 8, 7, 9] {
            tally.take(id);
        }
        assert_eq!((tally.count, tally.sum, tally.duplicated, tally.out_of_order), (5, 35, 2, 1));
    }
}
