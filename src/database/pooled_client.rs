//! A connection of the pool during a read, and its clean-up afterwards.
//!
//! A reader may disappear at any time: its client hung up, or its deadline passed. The statement
//! that it has sent goes on in the server. So the statement is cancelled, and the connection
//! counts as in use until the server has really ended it. Otherwise each read that is given up
//! while a lock is held would leave a backend behind, until the server accepts no more
//! connections.

use std::pin::Pin;
use std::time::Duration;

use futures::TryStreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, RowStream};

use super::readers::{Object, Reader};
use crate::event::Epoch;

/// How long the remaining rows of an answer are received before their statement is cancelled. Most
/// of them are on their way already, and a connection whose statement was cancelled too late
/// cannot be used again.
const REST_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a statement that was given up has to end by itself.
const END_TIMEOUT: Duration = Duration::from_millis(20);
/// How often a cancellation is sent again. One that arrives before its statement, or between two
/// statements, ends nothing.
const CANCEL_RETRY: Duration = Duration::from_secs(1);
/// How long a backend may take to end.
const BACKEND_END_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a statement that was given up keeps its connection in use. The server ends the
/// statement sooner by itself (`statement_timeout`); a server that has not by now does not answer
/// at all.
const CLEAN_UP_DEADLINE: Duration = Duration::from_secs(40);
/// The same once the epoch has changed: the connection may lead to the wrong server by now.
const OTHER_EPOCH_DEADLINE: Duration = Duration::from_secs(2);

/// The state in which a read has left its connection.
pub(super) enum Leftover {
    /// The whole answer was received.
    Nothing,
    /// The reader ended before the last row of this answer.
    Rows(Pin<Box<RowStream>>),
    /// The answer was of another epoch than the tail's: the connection may lead to another server.
    OtherEpoch,
}

/// A connection of the pool while a read is under way. When it is dropped, the statement under way
/// is cancelled.
pub(super) struct PooledClient {
    client: Option<Object>,
    epoch: watch::Receiver<Option<Epoch>>,
}

impl PooledClient {
    /// Takes `client` out of the pool. The clean-up is shorter once `epoch` has changed.
    pub(super) fn new(client: Object, epoch: watch::Receiver<Option<Epoch>>) -> Self {
        Self { client: Some(client), epoch }
    }

    /// The connection.
    pub(super) fn client(&mut self) -> Option<&mut Object> {
        self.client.as_mut()
    }

    /// Returns the connection to the pool after a read that was not given up.
    pub(super) fn give_back(mut self, leftover: Leftover) {
        let Some(client) = self.client.take() else { return };
        match leftover {
            Leftover::Nothing => drop(client),
            Leftover::Rows(rows) => {
                drop(tokio::spawn(receive_rest(client, rows, self.epoch.clone())));
            }
            Leftover::OtherEpoch => drop(Object::take(client)),
        }
    }
}

impl Drop for PooledClient {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(end_statement(client, self.epoch.clone()))),
            Err(_) => drop(Object::take(client)),
        }
    }
}

/// Receives the remaining rows of an answer, or cancels their statement, so that the connection
/// can be used again. The connection counts as in use until then.
async fn receive_rest(
    client: Object,
    mut rows: Pin<Box<RowStream>>,
    epoch: watch::Receiver<Option<Epoch>>,
) {
    let received = async {
        while let Some(_row) = rows.try_next().await? {}
        Ok::<_, Error>(())
    };
    let (outcome, cancelled) = cancel_until(&client, received, REST_TIMEOUT, epoch).await;
    let is_clean = match outcome {
        // A cancellation that arrives after the statement's end would end the next statement.
        Some(Ok(())) => !cancelled,
        Some(Err(error)) => cancelled && error.code() == Some(&SqlState::QUERY_CANCELED),
        None => false,
    };
    if !is_clean {
        end_backend(client).await;
    }
}

/// Cancels the statement that was given up, and closes the connection once the server has ended
/// it. After a cancellation the connection is not used again: nothing tells whether the
/// cancellation has ended that statement or has yet to arrive.
async fn end_statement(client: Object, epoch: watch::Receiver<Option<Epoch>>) {
    // The server answers this statement after all earlier ones.
    let ended = async { client.batch_execute("").await };
    let (outcome, cancelled) = cancel_until(&client, ended, END_TIMEOUT, epoch).await;
    if cancelled || !matches!(outcome, Some(Ok(()))) {
        end_backend(client).await;
    }
}

/// Closes a connection. It counts as in use until its backend has ended, since the server closes
/// the connection as the backend's last act.
async fn end_backend(client: Object) {
    const END: &str = "SELECT pg_terminate_backend(pg_backend_pid())";
    let gone = async {
        let _ = client.batch_execute(END).await;
        client.batch_execute("").await
    };
    // If the server does not answer, or refuses, the relay closes its end of the connection.
    let _ = timeout(BACKEND_END_TIMEOUT, gone).await;
    drop(Object::take(client));
}

/// Waits for `ended`; after `wait` it sends a cancellation, and repeats it. Returns the outcome,
/// `None` if it did not come within the deadline, and whether a cancellation was sent.
async fn cancel_until<T>(
    client: &Reader,
    ended: impl Future<Output = T>,
    wait: Duration,
    mut epoch: watch::Receiver<Option<Epoch>>,
) -> (Option<T>, bool) {
    let mut ended = std::pin::pin!(ended);
    let mut deadline = Instant::now() + CLEAN_UP_DEADLINE;
    let mut cancelled = false;
    loop {
        let pause = if cancelled { CANCEL_RETRY } else { wait };
        tokio::select! {
            outcome = &mut ended => return (Some(outcome), cancelled),
            () = sleep(pause) => {}
            Ok(()) = epoch.changed() => {
                deadline = deadline.min(Instant::now() + OTHER_EPOCH_DEADLINE);
            }
        }
        if Instant::now() >= deadline {
            return (None, cancelled);
        }
        cancelled = true;
        client.cancel().await;
    }
}
