//! Tasks that the relay cannot be without: the tail, the listener, the writer, the accept loop.
//! None of them ends by itself; one that does has panicked, and a relay that goes on without it
//! would tell a lie at /readyz.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Starts vital tasks, and knows when one of them has failed. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Vital {
    failed: CancellationToken,
}

impl Vital {
    /// Starts a task that ends with the handle.
    pub fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortOnDropHandle<()> {
        let failed = self.failed.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            // What it shared is not looked at again: the process ends.
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(
                    task = name,
                    "a vital task has failed: this is a mistake in the relay; it ends"
                );
                failed.cancel();
            }
        }))
    }

    /// Resolves when one has failed.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_heard_of_and_an_end_is_not() {
        let vital = Vital::default();
        let ended = vital.spawn("ends", async {});
        ended.await.expect("it ended");
        assert!(futures::poll!(Box::pin(vital.failed())).is_pending());
        let _failed = vital.spawn("fails", async { panic!("as a test has it") });
        vital.failed().await;
    }
}
