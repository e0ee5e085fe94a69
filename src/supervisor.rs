//! Critical tasks: the tail, the listener, the writer, the accept loop.
//!
//! A critical task runs for as long as the relay does. One that ends by itself has panicked. A
//! relay that went on without its tail would answer `/readyz` with 200 and push nothing, so the
//! supervisor reports the panic and the relay ends; the service manager starts a whole one.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Starts critical tasks, and reports when one of them has panicked. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Supervisor {
    failed: CancellationToken,
}

impl Supervisor {
    /// Starts a task that is aborted when the handle is dropped. `name` stands in the log.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortOnDropHandle<()> {
        let failed = self.failed.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            // The process ends after a panic, so no state that the task left half changed is used.
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(
                    task = name,
                    "a critical task has panicked, which is a fault of the relay: the relay ends"
                );
                failed.cancel();
            }
        }))
    }

    /// Resolves when a critical task has panicked.
    pub(crate) async fn failed(&self) {
        self.failed.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_reported_and_an_end_is_not() {
        let supervisor = Supervisor::default();
        let ended = supervisor.spawn("ends", async {});
        ended.await.expect("the task ended");
        assert!(futures::poll!(Box::pin(supervisor.failed())).is_pending());
        let _failed = supervisor.spawn("fails", async { panic!("the test wants it") });
        supervisor.failed().await;
    }
}
