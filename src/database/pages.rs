//! The pool of connections on which history is read, and the pages of events that subscribers read
//! on it when they are behind the log in memory.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{BuildError, Timeouts};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use super::connect::Connector;
use super::log::{EVENT, Extent, LogRow, NEWEST, ReadError, consume, header};
use super::pooled_client::{Leftover, PooledClient};
use super::readers::{Object, Pool, PoolError, Readers};
use super::room::ESSENTIAL_SESSIONS;
use super::snapshot::{StoredSnapshot, read_snapshot};
use crate::event::{ClassId, Epoch};

/// Connections of one pool. After a restart every dashboard may be behind at once; they take turns
/// then.
const POOL_SIZE: usize = 4;
/// The sessions that a replica has at most: those for writing and listening, and its two pools.
pub(crate) const MOST_SESSIONS: usize = ESSENTIAL_SESSIONS + 2 * POOL_SIZE;
/// How long a read waits for one of them, including the attempts to make a new one.
const POOL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to make a connection.
const CREATE_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause between two attempts while the server has no room for a connection.
const ROOM_RETRY: Duration = Duration::from_millis(100);
/// How long a read may take.
const READ_DEADLINE: Duration = Duration::from_secs(30);

/// Why a read on the pool failed.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// There is no connection, and none can be made.
    #[error("no connection to read history on: {}", explain_pool(.0))]
    Pool(#[from] PoolError),
    /// All connections are in use.
    #[error(
        "all {POOL_SIZE} connections that read history were in use for {} s",
        POOL_TIMEOUT.as_secs()
    )]
    Busy,
    /// The statement failed, or its rows were wrong.
    #[error("reading history: {0}")]
    Read(#[from] ReadError),
    /// The answer did not come within the deadline.
    #[error("reading history took over {} s", READ_DEADLINE.as_secs())]
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
        PoolError::Backend(error) if error.is_for_want_of_room() => format!(
            "{error}; readers wait while writing and listening have no more than they need. A \
             relay takes up to {MOST_SESSIONS} connections: raise the CONNECTION LIMIT of the role \
             or of the database, or max_connections"
        ),
        PoolError::Backend(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// Whether the server had no room for a connection, was starting or stopping, or was slow: another
/// attempt may succeed soon.
fn may_have_room_soon(error: &PoolError) -> bool {
    match error {
        PoolError::Timeout(_) => true,
        PoolError::Backend(error) => error.is_for_want_of_room() || error.is_starting(),
        _ => false,
    }
}

/// Reads history on a pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pages {
    pool: Pool,
    /// The tail's epoch, once it is known. All pools of a replica share it.
    epoch: watch::Sender<Option<Epoch>>,
    /// The epoch under which the pool's idle connections were made.
    pool_epoch: Arc<Mutex<Option<Epoch>>>,
}

impl Pages {
    /// A pool over `connector`, which must lead to the database directly. Its sessions have the
    /// tail's settings for the planner: on a table that was never analysed it read a class by the
    /// index of the primary key and sorted it, which took a quarter of a second a page.
    pub fn new(connector: &Connector) -> Result<Self, BuildError> {
        Self::with_epoch(connector, "pages", watch::Sender::new(None))
    }

    /// Another pool over `connector` that follows the same epoch; `name` shows in
    /// `pg_stat_activity`.
    ///
    /// # Errors
    /// As [`Pages::new`].
    pub fn beside(&self, connector: &Connector, name: &str) -> Result<Self, BuildError> {
        Self::with_epoch(connector, name, self.epoch.clone())
    }

    fn with_epoch(
        connector: &Connector,
        name: &str,
        epoch: watch::Sender<Option<Epoch>>,
    ) -> Result<Self, BuildError> {
        let timeouts =
            Timeouts { wait: None, create: Some(CREATE_TIMEOUT), recycle: Some(CREATE_TIMEOUT) };
        let pool = Pool::builder(Readers::new(connector, name))
            .max_size(POOL_SIZE)
            .runtime(Runtime::Tokio1)
            .timeouts(timeouts)
            .build()?;
        let idle = pool.clone();
        connector.room().register(move || drop(idle.retain(|_, _| false)));
        Ok(Self { pool, epoch, pool_epoch: Arc::default() })
    }

    /// Sets the tail's epoch, which every later read must be of. Connections that were made under
    /// another epoch are not used again: they may lead to the wrong server by now, or to one that
    /// does not answer.
    pub fn expect(&self, epoch: &Epoch) {
        self.epoch.send_if_modified(|expected| {
            let is_other = expected.as_ref() != Some(epoch);
            if is_other {
                *expected = Some(epoch.clone());
            }
            is_other
        });
    }

    /// Whether this is the tail's epoch, or the tail's is not known yet.
    fn is_expected(&self, epoch: &Epoch) -> bool {
        self.epoch.borrow().as_ref().is_none_or(|expected| expected == epoch)
    }

    /// The epoch that the connection reads.
    ///
    /// # Errors
    /// If it is another than the tail's.
    pub(super) async fn check_epoch(&self, client: &Object) -> Result<Epoch, PageError> {
        let statement =
            client.prepare_cached("SELECT progress_epoch(nonce) FROM progress_log").await?;
        let row = client.query_opt(&statement, &[]).await?.ok_or(ReadError::NoHeader)?;
        let epoch = Epoch::new(row.try_get(0)?);
        if self.is_expected(&epoch) { Ok(epoch) } else { Err(PageError::OtherEpoch) }
    }

    /// The statement of a page: `$1` the classes, `$2` the id after which, `$3` the number of
    /// events.
    ///
    /// The row comparison and the order by both columns leave the planner one plan: the index on
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

    /// Reads at most `max_rows` events that follow `after` in `classes`, and hands each row to
    /// `each` when it arrives, until `each` breaks off. The caller compares the header's epoch
    /// with its own.
    ///
    /// # Errors
    /// If there is no connection, or the answer does not come in time.
    pub(crate) async fn read(
        &self,
        classes: &[ClassId],
        after: i64,
        max_rows: usize,
        each: impl FnMut(LogRow<'_>) -> ControlFlow<()>,
    ) -> Result<Extent, PageError> {
        let classes: Vec<&str> = classes.iter().map(ClassId::as_str).collect();
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        self.run(async |client| {
            let statement = client.prepare_cached(&Self::statement()).await?;
            let parameters: [&(dyn ToSql + Sync); 3] = [&classes, &after, &limit];
            let mut rows = Box::pin(client.query_raw(&statement, parameters).await?);
            let extent = consume(rows.as_mut(), after, each).await?;
            let leftover = if !self.is_expected(&extent.header.epoch) {
                Leftover::OtherEpoch
            } else if extent.broken_off {
                Leftover::Rows(rows)
            } else {
                Leftover::Nothing
            };
            Ok((extent, leftover))
        })
        .await
    }

    /// Runs `read` on a connection, within the deadline. `read` returns its answer and the state in
    /// which it leaves the connection.
    pub(super) async fn run<T>(
        &self,
        read: impl AsyncFnOnce(&mut Object) -> Result<(T, Leftover), PageError>,
    ) -> Result<T, PageError> {
        let mut epoch = self.epoch.subscribe();
        let client = self.acquire().await?;
        // A change of the epoch that ends this read must also shorten the clean-up. So the clean-up
        // has a copy of the receiver, in which the change is still unseen.
        let mut pooled = PooledClient::new(client, epoch.clone());
        let Some(client) = pooled.client() else { return Err(PageError::Busy) };
        let outcome = tokio::select! {
            outcome = timeout(READ_DEADLINE, read(client)) => outcome,
            // The server that this connection leads to may never answer.
            Ok(()) = epoch.changed() => return Err(PageError::OtherEpoch),
        };
        match outcome {
            Ok(Ok((answer, leftover))) => {
                pooled.give_back(leftover);
                Ok(answer)
            }
            Ok(Err(PageError::OtherEpoch)) => {
                pooled.give_back(Leftover::OtherEpoch);
                Err(PageError::OtherEpoch)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(PageError::Slow),
        }
    }

    /// Takes a connection. Waits while all are in use, and while the server has no room for one
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
        let deadline = Instant::now() + POOL_TIMEOUT;
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

    /// Reads a class's snapshot; `None` if `progress_log` is empty. The caller compares its epoch
    /// with its own.
    ///
    /// # Errors
    /// If there is no connection, or the answer does not come in time.
    pub(crate) async fn snapshot(
        &self,
        class: &ClassId,
    ) -> Result<Option<StoredSnapshot>, PageError> {
        self.run(async |client| {
            let stored = read_snapshot(client, class).await?;
            let is_other =
                stored.as_ref().is_some_and(|stored| !self.is_expected(&stored.version.epoch));
            Ok((stored, if is_other { Leftover::OtherEpoch } else { Leftover::Nothing }))
        })
        .await
    }
}
