//! The stop of a replica, in the opposite order of the start: readiness, accepting, requests and
//! subscribers, the last commits, the last snapshot, and finally the private PostgreSQL. Each step
//! has a deadline, so that a stop always ends; a second signal skips the remaining steps.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::config::StopConfig;
use super::postgres::PostgresSupervisor;
use super::signals::Signals;
use super::start::Tasks;
use crate::error::Failure;
use crate::http::Relay;

/// The time that the last commits and the last snapshot have beyond the drain.
const LAST_COMMITS: Duration = Duration::from_secs(5);
/// The time that the last read of the table has, and the last counts of rejected events, and the
/// last entries of the audit.
const LAST_READ: Duration = Duration::from_secs(1);

/// Stops the replica. Returns whether a second signal came, so that the rest was skipped.
///
/// # Errors
/// The private PostgreSQL's, if it does not end.
pub(super) async fn stop(
    config: StopConfig,
    relay: Arc<Relay>,
    tasks: Tasks,
    accepting: AbortOnDropHandle<()>,
    private: Option<PostgresSupervisor>,
    signals: &mut Signals,
) -> Result<bool, Failure> {
    let StopConfig { delay, drain } = config;
    tracing::info!(?delay, ?drain, "the relay drains; a second signal ends it at once");
    let Tasks { writer, housekeeping, others } = tasks;
    relay.drain.announce();
    let draining = async {
        sleep(delay).await;
        relay.drain.close();
        let deadline = Instant::now() + drain;
        let requests = async { tokio::join!(accepting, relay.drain.sessions_ended()) };
        if timeout_at(deadline, requests).await.is_err() {
            tracing::warn!("the drain has reached its deadline: open requests are cut off");
        }
        let deadline = deadline.max(Instant::now()) + LAST_COMMITS;
        writer.drain(deadline).await;
        let _ = timeout(LAST_READ, relay.rejections.write(&relay.pages)).await;
        let _ = timeout(LAST_READ, relay.audit.write(&relay.pages)).await;
        // The last snapshot must hold the events that were just committed. If the tail does not
        // read them in time, the next leader adds them.
        let _ = relay.tail.position(LAST_READ).await;
        housekeeping.stop(deadline).await;
    };
    let at_once = tokio::select! {
        () = draining => false,
        () = signals.next() => true,
    };
    // Every connection is closed before the private PostgreSQL is stopped: it would wait for them.
    drop((relay, others));
    match private {
        Some(private) if at_once => private.abandon().await,
        Some(private) => private.stop().await?,
        None => {}
    }
    Ok(at_once)
}
