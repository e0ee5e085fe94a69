//! Waiting between attempts: exponential, with full jitter, so that many who lost the same thing do
//! not come back at once.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::metrics::{CounterBy, Registry};
use crate::repeated::Repeated;

/// The waits between attempts at one thing.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    /// The first wait is up to `base`, each further one up to twice as much, none over `cap`.
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, attempts: 0 }
    }

    /// The next wait: anything from nothing to the attempt's bound.
    pub fn next_wait(&mut self) -> Duration {
        let bound = self.base.saturating_mul(1 << self.attempts.min(16)).min(self.cap);
        self.attempts = self.attempts.saturating_add(1);
        bound.mul_f64(fastrand::f64())
    }

    /// Waits until the next attempt is due.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_wait()).await;
    }

    /// To be called once an attempt has succeeded in full.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// A connection to the database is tried again this soon after its loss, and then ever more slowly.
const RECONNECT_BASE: Duration = Duration::from_millis(20);
/// Clients' own retries are spent within seconds: an outage's end must be noticed well within one.
const RECONNECT_CAP: Duration = Duration::from_millis(400);
/// The parts that keep a connection up.
const PARTS: &[&str] = &["listener", "state", "tail", "writer"];
/// How often each part has connected again; a process has one relay.
static RECONNECTS: LazyLock<CounterBy> = LazyLock::new(|| CounterBy::new("part", PARTS));

/// Registers the count of reconnects.
pub fn register_reconnects(registry: &mut Registry) {
    registry.counter_by(
        "relay_reconnects_total",
        "Attempts to connect again after a failure, by part.",
        &RECONNECTS,
    );
}

/// A connection to the database that is kept up: waits between attempts, and writes a line about
/// each cause of a failure when it begins, and then now and then.
#[derive(Debug)]
pub struct Reconnect {
    what: &'static str,
    backoff: Backoff,
    since: Option<Instant>,
    said: Repeated,
}

impl Reconnect {
    /// `what` names the connection in the log.
    pub fn new(what: &'static str) -> Self {
        let backoff = Backoff::new(RECONNECT_BASE, RECONNECT_CAP);
        Self { what, backoff, since: None, said: Repeated::new() }
    }

    /// It failed: says so, and waits until the next attempt is due.
    pub async fn failed(&mut self, reason: &str) {
        self.say(reason);
        RECONNECTS.inc(self.what);
        self.backoff.wait().await;
    }

    /// It failed, and the connection stands: says so.
    pub fn say(&mut self, reason: &str) {
        // Numbers differ from time to time: a process, a port, a block of a file.
        let mut cause = String::with_capacity(reason.len());
        for c in reason.chars() {
            let c = if c.is_ascii_digit() { '#' } else { c };
            if c != '#' || !cause.ends_with('#') {
                cause.push(c);
            }
        }
        if let Some(due) = self.said.met(&cause) {
            self.since.get_or_insert_with(Instant::now);
            tracing::warn!(connection = self.what, "it fails, and is tried again{due}: {reason}");
        }
    }

    /// It did what it is there for: the next attempt comes soon again.
    pub fn succeeded(&mut self) {
        self.backoff.reset();
        if let Some(since) = self.since.take() {
            let seconds = since.elapsed().as_secs_f32();
            tracing::info!(connection = self.what, "it works again after {seconds:.1} s");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
        for bound in [10, 20, 40, 80, 100, 100] {
            assert!(backoff.next_wait() <= Duration::from_millis(bound));
        }
        assert!((0..10_000).all(|_| backoff.next_wait() <= Duration::from_millis(100)));
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(10));
    }
}
