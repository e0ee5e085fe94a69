//! Waits between attempts. They grow exponentially and have full jitter, so that many clients that
//! have lost the same server do not return at once.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::metrics::{CounterBy, Registry};
use crate::repeated::Repeated;

/// The waits between the attempts at one task.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    /// The first wait is at most `base`, each further one at most twice as long, and none over
    /// `cap`.
    pub(crate) fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, attempts: 0 }
    }

    /// The next wait: a random time from zero to the attempt's bound.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let bound = self.base.saturating_mul(1 << self.attempts.min(16)).min(self.cap);
        self.attempts = self.attempts.saturating_add(1);
        bound.mul_f64(fastrand::f64())
    }

    /// Waits until the next attempt is due.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next_wait()).await;
    }

    /// Starts again with the first wait. To be called once an attempt has succeeded completely.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// The first wait before a lost connection to the database is made again.
const RECONNECT_BASE: Duration = Duration::from_millis(20);
/// The longest such wait. Clients give up their retries within seconds, so the relay must notice
/// the end of an outage in well under one.
const RECONNECT_CAP: Duration = Duration::from_millis(400);
/// The parts that keep a connection to the database.
const PARTS: &[&str] = &["listener", "state", "tail", "writer"];
/// How often each part has connected again. It is one for the process, which has one relay.
static RECONNECTS: LazyLock<CounterBy> = LazyLock::new(|| CounterBy::new("part", PARTS));

/// Registers the count of reconnects.
pub(crate) fn register_reconnects(registry: &mut Registry) {
    registry.counter_by(
        "relay_reconnects_total",
        "Attempts to connect again after a failure, by part.",
        &RECONNECTS,
    );
}

/// The attempts of one part to keep a connection to the database. It waits between them, and logs
/// each cause of a failure: at once, and then now and then while it lasts.
#[derive(Debug)]
pub(crate) struct Reconnect {
    part: &'static str,
    backoff: Backoff,
    since: Option<Instant>,
    logged: Repeated,
}

impl Reconnect {
    /// `part` names the connection in the log.
    pub(crate) fn new(part: &'static str) -> Self {
        let backoff = Backoff::new(RECONNECT_BASE, RECONNECT_CAP);
        Self { part, backoff, since: None, logged: Repeated::new() }
    }

    /// Logs that the connection failed, and waits until the next attempt is due.
    pub(crate) async fn failed(&mut self, reason: &str) {
        self.log("connection failed", reason);
        RECONNECTS.inc(self.part);
        self.backoff.wait().await;
    }

    /// Logs that a statement failed although the connection stands.
    pub(crate) fn statement_failed(&mut self, reason: &str) {
        self.log("statement failed", reason);
    }

    fn log(&mut self, failure: &str, reason: &str) {
        // Numbers in a reason (a pid, a port, a block of a file) differ between occurrences of one
        // cause.
        let mut cause = String::with_capacity(reason.len());
        for c in reason.chars() {
            let c = if c.is_ascii_digit() { '#' } else { c };
            if c != '#' || !cause.ends_with('#') {
                cause.push(c);
            }
        }
        if let Some(due) = self.logged.met(&cause) {
            self.since.get_or_insert_with(Instant::now);
            let part = self.part;
            tracing::warn!(
                connection = part,
                "the {part}'s {failure}, trying again{due}: {reason}"
            );
        }
    }

    /// Notes that the connection has served its purpose, so that the next wait is short again.
    pub(crate) fn succeeded(&mut self) {
        self.backoff.reset();
        if let Some(since) = self.since.take() {
            let seconds = since.elapsed().as_secs_f32();
            let part = self.part;
            tracing::info!(
                connection = part,
                "the {part}'s connection works again after {seconds:.1} s"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_start_again_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
        for bound in [10, 20, 40, 80, 100, 100] {
            assert!(backoff.next_wait() <= Duration::from_millis(bound));
        }
        assert!((0..10_000).all(|_| backoff.next_wait() <= Duration::from_millis(100)));
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(10));
    }
}
