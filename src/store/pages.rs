//! Pages of a few classes' history, for subscribers that are behind the log in memory.
//!
//! A reader may go at any time: its client hung up, or its deadline passed. What it had asked of
//! the server does not end by that, so it is cancelled, and the connection counts as in use until
//! the server has really ended the statement. Otherwise each request that is given up while a lock
//! is held would leave a backend behind, until the server takes no connection.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::{
    ConfigConnectImpl, Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError,
    RecyclingMethod, Runtime, Timeouts,
};
use futures::TryStreamExt;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, NoTls, RowStream};

use super::connect::Connector;
use super::read::{EVENT, Extent, Header, NEWEST, ReadError, SETTINGS, consume, header};
use super::snapshot::{StoredSnapshot, read_snapshot};
use crate::event::{ClassId, Epoch, StoredEvent};

/// Connections that pages are read on. After a restart every dashboard may be behind at once: they
/// take turns.
const POOL_SIZE: usize = 4;
/// Longest wait for one of them, the attempts to make a new one included.
const POOL_WAIT: Duration = Duration::from_secs(10);
/// Longest that making one may take.
const CREATE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts while the server has no room for a connection.
const ROOM_RETRY: Duration = Duration::from_millis(100);
/// Longest a page may take.
const PAGE_DEADLINE: Duration = Duration::from_secs(30);
/// How long the rest of an answer is taken before it is cancelled: most of it is on its way
/// already, and a connection whose statement was cancelled too late is of no use any more.
const REST_PATIENCE: Duration = Duration::from_millis(500);
/// How long a statement that was given up has to end by itself.
const END_PATIENCE: Duration = Duration::from_millis(20);
/// How often a cancellation is sent again. One that comes before its statement, or between two,
/// ends nothing.
const CANCEL_RETRY: Duration = Duration::from_secs(1);
/// Longest that a cancellation may take to be sent.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest that a backend may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest that a statement which was given up keeps its connection in use. The server ends it
/// sooner by itself ([`SESSION`]); a server that has not by now does not answer at all.
const CLEAN_UP_DEADLINE: Duration = Duration::from_secs(40);
/// The same once the epoch has changed: the connection may lead to a server that is no longer the
/// right one.
const OTHER_EPOCH_DEADLINE: Duration = Duration::from_secs(2);

/// What the server keeps to by itself, whatever the role or the database has set otherwise: a
/// little more than [`PAGE_DEADLINE`] for a statement, less for a lock, so that the reader hears
/// what was in the way.
const SESSION: &str = "SET statement_timeout = '31s'; SET lock_timeout = '20s'; \
     SET idle_in_transaction_session_timeout = '60s'; SET idle_session_timeout = 0; \
     SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = on";
/// A backend whose client vanished ends within this, also in the middle of a statement. Not every
/// platform can.
const CHECK_CLIENT: &str = "SET client_connection_check_interval = '2s'";

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// No connection.
    #[error("no connection to read history on: {}", explain_pool(.0))]
    Pool(#[from] PoolError),
    /// All connections are in use.
    #[error("all {POOL_SIZE} connections that read history were in use for \
         {} s", POOL_WAIT.as_secs())]
    Busy,
    /// The read itself.
    #[error("reading history: {0}")]
    Read(#[from] ReadError),
    /// Not in time.
    #[error("reading history took over {} s", PAGE_DEADLINE.as_secs())]
    Slow,
    /// The ids were reassigned, or the connection leads to another server than the tail's.
    #[error("the database has changed to another generation of ids")]
    OtherEpoch,
}

impl From<Error> for PageError {
    fn from(error: Error) -> Self {
        Self::Read(error.into())
    }
}

fn explain_pool(error: &PoolError) -> String {
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            super::explain(error)
        }
        other => other.to_string(),
    }
}

/// Whether the server had no room for a connection, was just starting or stopping, or slow: soon it
/// may do.
fn may_have_room_soon(error: &PoolError) -> bool {
    match error {
        PoolError::Timeout(_) => true,
        PoolError::Backend(error) => {
            let state = error.code();
            state == Some(&SqlState::TOO_MANY_CONNECTIONS)
                || state == Some(&SqlState::CANNOT_CONNECT_NOW)
        }
        _ => false,
    }
}

/// What a read has left on its connection.
pub(super) enum Left {
    /// Nothing: the answer was taken whole.
    Nothing,
    /// The rest of an answer of which the reader had enough.
    Rest(Pin<Box<RowStream>>),
    /// Something of another epoch than the one expected: the connection may lead to another server.
    OtherEpoch,
}

/// A connection of the pool's while a read is under way. If the read is given up, the statement
/// under way is cancelled.
struct Borrowed {
    client: Option<Object>,
    epoch: watch::Receiver<Option<Epoch>>,
}

impl Borrowed {
    /// The read has ended, and left this.
    fn give_back(mut self, left: Left) {
        let Some(client) = self.client.take() else { return };
        match left {
            Left::Nothing => drop(client),
            Left::Rest(rest) => drop(tokio::spawn(take_rest(client, rest, self.epoch.clone()))),
            Left::OtherEpoch => drop(Object::take(client)),
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(end_statement(client, self.epoch.clone()))),
            Err(_) => drop(Object::take(client)),
        }
    }
}

/// Takes the rest of an answer, or cancels it, so that the connection can be used again. It is in
/// use until then.
async fn take_rest(
    client: Object,
    mut rest: Pin<Box<RowStream>>,
    epoch: watch::Receiver<Option<Epoch>>,
) {
    let taken = async {
        while let Some(_row) = rest.try_next().await? {}
        Ok::<_, Error>(())
    };
    let (outcome, cancelled) = cancel_until(&client, taken, REST_PATIENCE, epoch).await;
    let is_clean = match outcome {
        // A cancellation that came too late for this statement would end the next one.
        Some(Ok(())) => !cancelled,
        Some(Err(error)) => cancelled && error.code() == Some(&SqlState::QUERY_CANCELED),
        None => false,
    };
    if !is_clean {
        end_backend(client).await;
    }
}

/// Cancels the statement that was given up, and closes the connection once the server has ended it.
/// The connection is not used again: nothing tells whether the cancellation ended that statement or
/// is still to come.
async fn end_statement(client: Object, epoch: watch::Receiver<Option<Epoch>>) {
    // Answered after whatever was asked before.
    let ended = async { client.batch_execute("").await };
    let (outcome, cancelled) = cancel_until(&client, ended, END_PATIENCE, epoch).await;
    if cancelled || !matches!(outcome, Some(Ok(()))) {
        end_backend(client).await;
    }
}

/// Closes a connection, which is in use until its backend is gone: the server closes it last of
/// all.
async fn end_backend(client: Object) {
    const END: &str = "SELECT pg_terminate_backend(pg_backend_pid())";
    let gone = async {
        let _ = client.batch_execute(END).await;
        client.batch_execute("").await
    };
    // Without an answer, or without the right to, it is closed from here.
    let _ = timeout(END_TIMEOUT, gone).await;
    drop(Object::take(client));
}

/// Waits for `ended`, after `patience` with a cancellation now and again; whether one was sent.
/// `None`: it did not end in time.
async fn cancel_until<T>(
    client: &Client,
    ended: impl Future<Output = T>,
    patience: Duration,
    mut epoch: watch::Receiver<Option<Epoch>>,
) -> (Option<T>, bool) {
    let mut ended = std::pin::pin!(ended);
    let mut deadline = Instant::now() + CLEAN_UP_DEADLINE;
    let mut cancelled = false;
    loop {
        let pause = if cancelled { CANCEL_RETRY } else { patience };
        tokio::select! {
            outcome = &mut ended => return (Some(outcome), cancelled),
            () = sleep(pause) => {}
            Ok(()) = epoch.changed() => deadline = deadline.min(Instant::now() + OTHER_EPOCH_DEADLINE),
        }
        if Instant::now() >= deadline {
            return (None, cancelled);
        }
        cancelled = true;
        let _ = timeout(CANCEL_TIMEOUT, client.cancel_token().cancel_query(NoTls)).await;
    }
}

/// Reads pages by way of the pool.
#[derive(Debug, Clone)]
pub struct Pages {
    pool: Pool,
    /// The epoch that the tail reads, once it is known; shared by all pools of a relay.
    epoch: watch::Sender<Option<Epoch>>,
    /// The epoch under which the pool's idle connections were made.
    pool_epoch: Arc<Mutex<Option<Epoch>>>,
}

/// Connects to the host that is known as the primary by now. The one that was it when the pool was
/// made may be gone, or a standby.
struct ToPrimary {
    connector: Connector,
    name: String,
    by: ConfigConnectImpl<NoTls>,
}

impl Connect for ToPrimary {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        self.by.connect(&self.connector.named(&self.name))
    }
}

impl Pages {
    /// A pool over `connector`, which must lead to the database directly: its sessions are set up
    /// as the tail's is, since here too the planner must not be led astray (on a table that was
    /// never analysed it read a class by the identity's index and sorted it, a quarter of a second
    /// a page).
    pub fn new(connector: &Connector) -> Result<Self, deadpool_postgres::BuildError> {
        Self::with_epoch(connector, "pages", watch::Sender::new(None))
    }

    /// Another pool over `connector` that follows the same epoch; `name` shows in
    /// `pg_stat_activity`.
    ///
    /// # Errors
    /// As [`Pages::new`].
    pub fn beside(
        &self,
        connector: &Connector,
        name: &str,
    ) -> Result<Self, deadpool_postgres::BuildError> {
        Self::with_epoch(connector, name, self.epoch.clone())
    }

    fn with_epoch(
        connector: &Connector,
        name: &str,
        epoch: watch::Sender<Option<Epoch>>,
    ) -> Result<Self, deadpool_postgres::BuildError> {
        let connect = ToPrimary {
            connector: connector.clone(),
            name: name.to_owned(),
            by: ConfigConnectImpl { tls: NoTls },
        };
        let manager = Manager::from_connect(
            connector.named(name),
            connect,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let timeouts =
            Timeouts { wait: None, create: Some(CREATE_TIMEOUT), recycle: Some(CREATE_TIMEOUT) };
        let settle = Hook::async_fn(|client, _| {
            Box::pin(async move {
                client.batch_execute(SETTINGS).await.map_err(HookError::Backend)?;
                client.batch_execute(SESSION).await.map_err(HookError::Backend)?;
                match client.batch_execute(CHECK_CLIENT).await {
                    Err(error) if error.code() != Some(&SqlState::INVALID_PARAMETER_VALUE) => {
                        Err(HookError::Backend(error))
                    }
                    _ => Ok(()),
                }
            })
        });
        let pool = Pool::builder(manager)
            .max_size(POOL_SIZE)
            .runtime(Runtime::Tokio1)
            .timeouts(timeouts)
            .post_create(settle)
            .build()?;
        Ok(Self { pool, epoch, pool_epoch: Arc::default() })
    }

    /// From now on pages are of this epoch, the tail's. Connections that were made before are not
    /// used again: they may lead to a server that is no longer the right one, or that does not
    /// answer.
    pub fn expect(&self, epoch: &Epoch) {
        self.epoch.send_if_modified(|expected| {
            let is_other = expected.as_ref() != Some(epoch);
            if is_other {
                *expected = Some(epoch.clone());
            }
            is_other
        });
    }

    /// Whether this is the epoch that is expected, or none is yet.
    fn is_expected(&self, epoch: &Epoch) -> bool {
        self.epoch.borrow().as_ref().is_none_or(|expected| expected == epoch)
    }

    /// Fails if the connection reads another epoch than the one expected.
    pub(super) async fn check_epoch(&self, client: &Object) -> Result<(), PageError> {
        let statement =
            client.prepare_cached("SELECT progress_epoch(nonce) FROM progress_log").await?;
        let row = client.query_opt(&statement, &[]).await?.ok_or(ReadError::NoHeader)?;
        if self.is_expected(&Epoch::new(row.try_get(0)?)) {
            Ok(())
        } else {
            Err(PageError::OtherEpoch)
        }
    }

    /// The statement: `$1` the classes, `$2` the id after which, `$3` how many.
    ///
    /// The row comparison and the order by both columns leave the planner one way: the index on
    /// both, a class at a time.
    pub fn statement() -> String {
        let header = header(NEWEST);
        format!(
            "{header} UNION ALL (SELECT {EVENT} FROM unnest($1::text[]) AS wanted(class) CROSS \
                 JOIN LATERAL (\
               SELECT id, class_id, student_id, received_at, body FROM progress_event \
               WHERE (class_id, id) > (wanted.class, $2) AND (class_id, id) <= (wanted.class, \
               9223372036854775807) \
               ORDER BY class_id, id LIMIT $3) AS run ORDER BY id LIMIT $3)"
        )
    }

    /// Reads at most `max_rows` events that follow `after` in `classes`, handing the header and
    /// then each event to `each` as they arrive, until it breaks off. Whether the header's epoch is
    /// the caller's, the caller sees.
    pub async fn read(
        &self,
        classes: &[ClassId],
        after: i64,
        max_rows: usize,
        each: impl FnMut(&Header, Option<&StoredEvent<'_>>) -> ControlFlow<()>,
    ) -> Result<Extent, PageError> {
        let classes: Vec<&str> = classes.iter().map(ClassId::as_str).collect();
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        self.run(async |client| {
            let statement = client.prepare_cached(&Self::statement()).await?;
            let parameters: [&(dyn ToSql + Sync); 3] = [&classes, &after, &limit];
            let mut rows = Box::pin(client.query_raw(&statement, parameters).await?);
            let extent = consume(rows.as_mut(), after, each).await?;
            let left = if !self.is_expected(&extent.header.epoch) {
                Left::OtherEpoch
            } else if extent.broken_off {
                Left::Rest(rows)
            } else {
                Left::Nothing
            };
            Ok((extent, left))
        })
        .await
    }

    /// Runs `read` on a connection, within the deadline. It says what it has left there.
    pub(super) async fn run<T>(
        &self,
        read: impl AsyncFnOnce(&mut Object) -> Result<(T, Left), PageError>,
    ) -> Result<T, PageError> {
        let mut epoch = self.epoch.subscribe();
        let client = self.acquire().await?;
        // Of its own copy the change that ends this read is unseen, and shortens the clean-up.
        let mut borrowed = Borrowed { client: Some(client), epoch: epoch.clone() };
        let Some(client) = &mut borrowed.client else { return Err(PageError::Busy) };
        let outcome = tokio::select! {
            outcome = timeout(PAGE_DEADLINE, read(client)) => outcome,
            // The server that this connection leads to may never answer.
            Ok(()) = epoch.changed() => return Err(PageError::OtherEpoch),
        };
        match outcome {
            Ok(Ok((answer, left))) => {
                borrowed.give_back(left);
                Ok(answer)
            }
            Ok(Err(PageError::OtherEpoch)) => {
                borrowed.give_back(Left::OtherEpoch);
                Err(PageError::OtherEpoch)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(PageError::Slow),
        }
    }

    /// A connection, waited for: while all are in use, and while the server has no room for one
    /// more.
    async fn acquire(&self) -> Result<Object, PageError> {
        {
            let mut pool_epoch = self.pool_epoch.lock().unwrap_or_else(PoisonError::into_inner);
            let expected = self.epoch.borrow();
            if *pool_epoch != *expected {
                pool_epoch.clone_from(&expected);
                let _ = self.pool.retain(|_, _| false);
            }
        }
        let deadline = Instant::now() + POOL_WAIT;
        loop {
            match timeout_at(deadline, self.pool.get()).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) if may_have_room_soon(&error) => {
                    let pause = ROOM_RETRY.mul_f64(0.5 + fastrand::f64());
                    if Instant::now() + pause >= deadline {
                        return Err(error.into());
                    }
                    sleep(pause).await;
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err(PageError::Busy),
            }
        }
    }

    /// A class's snapshot; `None` if `progress_log` is empty. Of which epoch it is, the caller
    /// sees.
    ///
    /// # Errors
    /// If it cannot be read in time.
    pub(crate) async fn snapshot(
        &self,
        class: &ClassId,
    ) -> Result<Option<StoredSnapshot>, PageError> {
        self.run(async |client| {
            let stored = read_snapshot(client, class).await?;
            let is_odd =
                stored.as_ref().is_some_and(|stored| !self.is_expected(&stored.version.epoch));
            Ok((stored, if is_odd { Left::OtherEpoch } else { Left::Nothing }))
        })
        .await
    }
}
