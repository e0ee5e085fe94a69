//! Waiting between attempts: exponential, with full jitter, so that many who lost the same thing do not come back at once.

use std::time::Duration;

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
