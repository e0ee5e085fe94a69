//! Log lines about a cause that many tasks meet many times a second: one line when the cause
//! begins, then one every 30 s.
//!
//! Every request and every subscriber meets a lost database. A line for each of them would hide the
//! cause, and writing the lines would cost more than the work that failed. So the first task to
//! meet a cause writes a line, the others are counted, and each later line has their number.
//!
//! ```ignore
//! static UNREAD: Repeated = Repeated::new();
//! # let error = "the database is away";
//! if let Some(due) = UNREAD.met(error) {
//!     tracing::warn!("history cannot be read{due}: {error}");
//! }
//! ```

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a line is written while a cause lasts. A cause that is not met for this long has
/// ended.
const REMINDER: Duration = Duration::from_secs(30);
/// The causes that are distinguished at one time. Further ones count as one cause, until some of
/// these have ended.
const MAX_CAUSES: usize = 16;
/// The bytes of a cause's text that distinguish it.
const MAX_CAUSE_BYTES: usize = 256;

/// Decides which of many equal log lines are written. There is one for each kind of line, usually a
/// `static`.
#[derive(Debug)]
pub(crate) struct Repeated {
    /// The lock is held for a few lines.
    causes: Mutex<Causes>,
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Causes {
    named: Vec<Cause>,
    /// All causes beyond [`MAX_CAUSES`].
    others: Option<Cause>,
}

#[derive(Debug)]
struct Cause {
    text: Box<str>,
    began: Instant,
    /// The moment at which the cause was last met.
    met: Instant,
    /// The moment at which its last line was written.
    logged: Instant,
    /// The number of times that it was met since that line.
    unlogged: u64,
}

/// A line that must be written now. Its text is empty for the first line of a cause; later it names
/// how often and for how long the cause was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// The number of times that the cause was met since the last line, including this time.
    times: u64,
    /// How long ago the cause was first met.
    since: Duration,
}

impl Due {
    const FIRST: Self = Self { times: 1, since: Duration::ZERO };
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.since.is_zero() {
            return Ok(());
        }
        write!(f, " ({} more times; for {} s now)", self.times, self.since.as_secs())
    }
}

impl Repeated {
    /// No cause has been met yet.
    pub(crate) const fn new() -> Self {
        let causes = Causes { named: Vec::new(), others: None };
        Self { causes: Mutex::new(causes), waiting: AtomicUsize::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Causes> {
        // No code under the lock can panic between two changes.
        self.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `cause` was met. The caller writes a line if one is due: the first time, and then
    /// every 30 s. `cause` is not written; it only distinguishes causes, so it should contain
    /// nothing that differs from one task to the next, such as a name.
    pub(crate) fn met(&self, cause: &str) -> Option<Due> {
        let text = &cause[..cause.floor_char_boundary(MAX_CAUSE_BYTES)];
        let now = Instant::now();
        let mut causes = self.lock();
        if let Some(known) = causes.named.iter_mut().find(|cause| *cause.text == *text) {
            return known.met(now);
        }
        if causes.named.len() >= MAX_CAUSES {
            causes.named.retain(|cause| !cause.is_over(now));
        }
        if causes.named.len() < MAX_CAUSES {
            causes.named.push(Cause::new(text, now));
        } else if let Some(others) = &mut causes.others {
            return others.met(now);
        } else {
            causes.others = Some(Cause::new("", now));
        }
        Some(Due::FIRST)
    }

    /// Counts the caller as waiting for the cause to end, until the guard is dropped.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// The number of callers that wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Ends every cause, since the failing operation works again. The next cause is logged at once.
    /// Returns how long ago the first of them began; `None` if there was none.
    pub(crate) fn over(&self) -> Option<Duration> {
        let mut causes = self.lock();
        let others = causes.others.take();
        causes.named.drain(..).chain(others).map(|cause| cause.began.elapsed()).max()
    }
}

impl Default for Repeated {
    fn default() -> Self {
        Self::new()
    }
}

impl Cause {
    /// A cause whose first line is written now.
    fn new(text: &str, now: Instant) -> Self {
        Self { text: text.into(), began: now, met: now, logged: now, unlogged: 0 }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.met) >= REMINDER
    }

    fn met(&mut self, now: Instant) -> Option<Due> {
        if self.is_over(now) {
            let text = std::mem::take(&mut self.text);
            *self = Self { text, began: now, met: now, logged: now, unlogged: 0 };
            return Some(Due::FIRST);
        }
        self.met = now;
        self.unlogged += 1;
        if now.duration_since(self.logged) < REMINDER {
            return None;
        }
        self.logged = now;
        let times = std::mem::take(&mut self.unlogged);
        Some(Due { times, since: now.duration_since(self.began) })
    }
}

/// A caller that waits for a cause to end.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Repeated);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cause_is_logged_at_once_and_then_every_reminder() {
        let repeated = Repeated::new();
        let begin = Instant::now();
        let mut lines = Vec::new();
        // A thousand tasks that try twice a second, for 100 s.
        while begin.elapsed() < Duration::from_secs(100) {
            for _ in 0..1_000 {
                lines.extend(
                    repeated
                        .met("the database is away")
                        .map(|due| (due.times, due.since.as_secs())),
                );
            }
            sleep(Duration::from_millis(500)).await;
        }
        assert_eq!(lines, [(1, 0), (60_000, 30), (60_000, 60), (60_000, 90)]);
    }

    #[tokio::test(start_paused = true)]
    async fn causes_are_distinguished_and_one_that_ended_can_begin_again() {
        let repeated = Repeated::new();
        assert!(repeated.met("a").is_some() && repeated.met("b").is_some());
        assert!(repeated.met("a").is_none() && repeated.met("b").is_none());
        advance(REMINDER).await;
        assert_eq!(repeated.met("a"), Some(Due::FIRST), "not met for so long, it was over");
        advance(Duration::from_secs(5)).await;
        assert_eq!(repeated.over(), Some(REMINDER + Duration::from_secs(5)), "b began first");
        assert_eq!(repeated.over(), None);
        assert_eq!(repeated.met("a"), Some(Due::FIRST), "after its end it begins again");
    }

    #[tokio::test(start_paused = true)]
    async fn endless_causes_write_a_bounded_number_of_lines() {
        let repeated = Repeated::new();
        let begin = Instant::now();
        let mut lines = 0;
        let mut number = 0;
        while begin.elapsed() < REMINDER * 10 {
            for _ in 0..100 {
                number += 1;
                lines += usize::from(repeated.met(&format!("cause {number}")).is_some());
            }
            advance(Duration::from_millis(100)).await;
        }
        // In each period: a line for each cause that is distinguished, and one for all others.
        assert!((10..=(MAX_CAUSES + 1) * 11).contains(&lines), "{lines} lines");
        assert!(repeated.lock().named.len() <= MAX_CAUSES);
        let long = "é".repeat(MAX_CAUSE_BYTES);
        repeated.over();
        assert!(repeated.met(&long).is_some() && repeated.met(&format!("{long}!")).is_none());
    }

    #[test]
    fn callers_are_counted_while_they_wait() {
        let repeated = Repeated::new();
        let (one, two) = (repeated.wait(), repeated.wait());
        assert_eq!(repeated.waiting(), 2);
        drop((one, two));
        assert_eq!(repeated.waiting(), 0);
    }

    #[test]
    fn a_later_line_names_the_number_of_times() {
        assert_eq!(Due::FIRST.to_string(), "");
        let due = Due { times: 7, since: Duration::from_millis(30_200) };
        assert_eq!(due.to_string(), " (7 more times; for 30 s now)");
    }
}
