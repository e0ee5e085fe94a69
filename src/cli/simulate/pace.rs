//! The moments at which POSTs are due, at a given rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::run::Run;

/// Releases POSTs when they are due. A thread waits for each moment, since the runtime's timers
/// have a resolution of a millisecond.
#[derive(Debug)]
pub(super) struct Pace {
    due: Semaphore,
    taken: AtomicU64,
    begin: u64,
    interval: f64,
    /// The POSTs that are due at one instant. Then none is due for as many intervals.
    burst: u64,
    total: u64,
}

impl Pace {
    /// Starts to release `posts_per_second` from `begin` to `end`, for `connections` callers of
    /// [`Pace::next`].
    pub(super) fn start(
        run: &Arc<Run>,
        posts_per_second: f64,
        begin: u64,
        end: u64,
        connections: usize,
        burst: u64,
    ) -> std::io::Result<Arc<Self>> {
        let interval = 1e9 / posts_per_second;
        let total = (end.saturating_sub(begin) as f64 / interval) as u64;
        let (due, taken) = (Semaphore::new(0), AtomicU64::new(0));
        let pace = Arc::new(Self { due, taken, begin, interval, burst, total });
        let (run, paced) = (Arc::clone(run), Arc::clone(&pace));
        std::thread::Builder::new()
            .name("pace".to_owned())
            .spawn(move || paced.release(&run, connections))?;
        Ok(pace)
    }

    fn at(&self, index: u64) -> u64 {
        self.begin + ((index - index % self.burst) as f64 * self.interval) as u64
    }

    fn release(&self, run: &Run, connections: usize) {
        let mut released = 0;
        while released < self.total {
            let now = run.now();
            let mut ready = 0;
            while released < self.total && self.at(released) <= now {
                ready += 1;
                released += 1;
            }
            self.due.add_permits(ready);
            std::thread::sleep(Duration::from_nanos(self.at(released).saturating_sub(run.now())));
        }
        // Each connection must learn that no further POST is due.
        self.due.add_permits(connections);
    }

    /// Waits until the next POST is due, and returns that moment; `None` after the last.
    pub(super) async fn next(&self) -> Option<u64> {
        self.due.acquire().await.ok()?.forget();
        let index = self.taken.fetch_add(1, Ordering::Relaxed);
        (index < self.total).then(|| self.at(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn posts_are_due_one_by_one_or_in_bursts() {
        let due = async |burst| {
            let run = Arc::new(Run::new(Vec::new(), String::new()));
            let pace = Pace::start(&run, 1e6, 1000, 7000, 1, burst).expect("a thread");
            let mut all = Vec::new();
            while let Some(due) = pace.next().await {
                all.push(due);
            }
            all
        };
        assert_eq!(due(1).await, [1000, 2000, 3000, 4000, 5000, 6000]);
        assert_eq!(due(3).await, [1000, 1000, 1000, 4000, 4000, 4000]);
    }
}
