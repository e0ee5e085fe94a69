//! The race between the hosts of a connection string, and between the addresses of a host.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::timeout;

use crate::database::errors::ConnectError;

/// After this time without an answer from one host or address, the next is tried beside it.
const STAGGER: Duration = Duration::from_secs(1);

/// The first success among hosts, or among the addresses of one. Each is asked when the one before
/// it has failed, or has not answered for [`STAGGER`].
///
/// While one of them does not answer, those that have refused are asked again. In mid-failover the
/// standby refuses until it is promoted, and the old primary may be silent: the relay would not
/// learn of the promotion before the time of the silent one is over.
///
/// # Errors
/// The latest error of each, if none succeeds.
pub(super) async fn first_success<'a, K: Copy, T>(
    order: impl IntoIterator<Item = K>,
    ask: impl Fn(K) -> BoxFuture<'a, Result<T, ConnectError>>,
) -> Result<T, Vec<ConnectError>> {
    let mut untried = order.into_iter().peekable();
    let mut running = FuturesUnordered::new();
    // How many have not answered yet.
    let mut unanswered = 0;
    let mut failed = Vec::new();
    let begin = |key: K, is_first: bool| ask(key).map(move |answer| (key, is_first, answer));
    loop {
        if let Some(key) = untried.next() {
            running.push(begin(key, true));
            unanswered += 1;
        }
        match timeout(STAGGER, running.next()).await {
            Ok(Some((_, _, Ok(success)))) => return Ok(success),
            Ok(Some((key, is_first, Err(error)))) => {
                unanswered -= usize::from(is_first);
                failed.push((key, error));
            }
            Err(_) if untried.peek().is_none() && unanswered > 0 => {
                let (lasting, passing): (Vec<_>, _) =
                    failed.into_iter().partition(|(_, error)| error.is_permanent());
                running.extend(passing.into_iter().map(|(key, _)| begin(key, false)));
                failed = lasting;
            }
            Ok(None) | Err(_) => {}
        }
        if running.is_empty() && untried.peek().is_none() {
            return Err(failed.into_iter().map(|(_, error)| error).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{Instant, sleep};

    use super::*;

    fn refused(server: usize, permanent: bool) -> ConnectError {
        let (server, reason) = (server.to_string(), String::new());
        ConnectError::Refused { server, reason, permanent, code: None }
    }

    /// The first host is silent for 5 s. The second is a standby that is promoted after 2.5 s.
    #[tokio::test(start_paused = true)]
    async fn a_standby_is_asked_again_while_another_host_is_silent() {
        let begin = Instant::now();
        let found = first_success(0..2, |host| {
            let answer = async move {
                if host == 0 {
                    sleep(Duration::from_secs(5)).await;
                }
                let promoted = host == 1 && begin.elapsed() > Duration::from_millis(2_500);
                if promoted { Ok(host) } else { Err(refused(host, false)) }
            };
            answer.boxed()
        });
        assert_eq!(found.await.expect("the new primary"), 1);
        assert_eq!(begin.elapsed(), Duration::from_secs(3));
    }

    /// Nobody succeeds: one error of each, within the time of the silent one. What lasts is not
    /// asked again.
    #[tokio::test(start_paused = true)]
    async fn each_fails_once() {
        let (begin, asked) = (Instant::now(), AtomicUsize::new(0));
        let found = first_success(0..3, |host| {
            if host == 1 {
                asked.fetch_add(1, Ordering::Relaxed);
            }
            let answer = async move {
                if host == 0 {
                    sleep(Duration::from_secs(5)).await;
                }
                Err::<(), _>(refused(host, host == 1))
            };
            answer.boxed()
        });
        let mut failed: Vec<String> =
            found.await.expect_err("none").iter().map(ToString::to_string).collect();
        failed.sort();
        assert_eq!(failed, [0, 1, 2].map(|host| refused(host, false).to_string()));
        assert_eq!((begin.elapsed(), asked.into_inner()), (Duration::from_secs(5), 1));
    }
}
