//! Pages of a few classes' history, for subscribers that are behind the log in memory.

use std::ops::ControlFlow;
use std::time::Duration;

use deadpool_postgres::{
    ConfigConnectImpl, Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError,
    RecyclingMethod, Runtime, Timeouts,
};
use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls};

use super::connect::Connector;
use super::read::{EVENT, Extent, Header, NEWEST, ReadError, SETTINGS, consume, header};
use super::snapshot::{StoredSnapshot, read_snapshot};
use crate::event::{ClassId, Epoch, StoredEvent};

/// Connections that pages are read on. After a restart every dashboard may be behind at once: they take turns.
const POOL_SIZE: usize = 4;
/// Longest wait for one of them, and for a new one to be made.
const POOL_WAIT: Duration = Duration::from_secs(10);
/// Longest a page may take.
const PAGE_DEADLINE: Duration = Duration::from_secs(30);

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// No connection.
    #[error("no connection to read history on: {0}")]
    Pool(#[from] PoolError),
    /// The read itself.
    #[error("reading history: {0}")]
    Read(#[from] ReadError),
    /// Not in time.
    #[error("reading history took over {} s", PAGE_DEADLINE.as_secs())]
    Slow,
}

/// A connection of the pool's, given back only if its answer was read to the end: what is still on its way, be it that the reader
/// had enough, failed, or was itself given up, would keep the next reader waiting. Ending the connection is cheaper.
struct Borrowed {
    client: Option<Object>,
    whole: bool,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(client) = self.client.take().filter(|_| !self.whole) {
            drop(Object::take(client));
        }
    }
}

/// Reads pages by way of the pool.
#[derive(Debug, Clone)]
pub struct Pages {
    pool: Pool,
}

/// Connects to the host that is known as the primary by now. The one that was it when the pool was made
/// may be gone, or a standby.
struct ToPrimary {
    connector: Connector,
    by: ConfigConnectImpl<NoTls>,
}

impl Connect for ToPrimary {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        self.by.connect(&self.connector.named("pages"))
    }
}

impl Pages {
    /// A pool over `connector`, which must lead to the database directly: its sessions are set up as the tail's is, since
    /// here too the planner must not be led astray (on a table that was never analysed it read a class by the identity's
    /// index and sorted it, a quarter of a second a page).
    pub fn new(connector: &Connector) -> Result<Self, deadpool_postgres::BuildError> {
        let manager = Manager::from_connect(
            connector.named("pages"),
            ToPrimary { connector: connector.clone(), by: ConfigConnectImpl { tls: NoTls } },
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let timeouts = Timeouts { wait: Some(POOL_WAIT), create: Some(POOL_WAIT), recycle: Some(POOL_WAIT) };
        let settle = Hook::async_fn(|client, _| {
            Box::pin(async move { client.batch_execute(SETTINGS).await.map_err(HookError::Backend) })
        });
        let pool = Pool::builder(manager)
            .max_size(POOL_SIZE)
            .runtime(Runtime::Tokio1)
            .timeouts(timeouts)
            .post_create(settle)
            .build()?;
        Ok(Self { pool })
    }

    /// The statement: `$1` the classes, `$2` the id after which, `$3` how many.
    ///
    /// The row comparison and the order by both columns leave the planner one way: the index on both, a class at a time.
    pub fn statement() -> String {
        let header = header(NEWEST);
        format!(
            "{header} UNION ALL (SELECT {EVENT} FROM unnest($1::text[]) AS wanted(class) CROSS JOIN LATERAL (\
               SELECT id, class_id, student_id, received_at, body FROM progress_event \
               WHERE (class_id, id) > (wanted.class, $2) AND (class_id, id) <= (wanted.class, 9223372036854775807) \
               ORDER BY class_id, id LIMIT $3) AS run ORDER BY id LIMIT $3)"
        )
    }

    /// Reads at most `max_rows` events that follow `after` in `classes`, handing the header and then each event to `each`
    /// as they arrive, until it breaks off.
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
            let extent = consume(client.query_raw(&statement, parameters).await?, after, each).await?;
            let whole = !extent.broken_off;
            Ok((extent, whole))
        })
        .await
    }

    /// Runs `read` on a connection, within the deadline. It says whether it has taken its answer whole.
    pub(super) async fn run<T>(
        &self,
        read: impl AsyncFnOnce(&mut Object) -> Result<(T, bool), ReadError>,
    ) -> Result<T, PageError> {
        let mut borrowed = Borrowed { client: Some(self.pool.get().await?), whole: false };
        let Some(client) = &mut borrowed.client else { return Err(PageError::Slow) };
        let outcome = tokio::time::timeout(PAGE_DEADLINE, read(client)).await;
        let (answer, whole) = outcome.map_err(|_| PageError::Slow)??;
        borrowed.whole = whole;
        Ok(answer)
    }

    /// A class's snapshot; `None` if `progress_log` is empty. A connection that leads to a log of another
    /// epoch than `wanted` is not kept: it may lead to a server that was left behind, for as long as that lives.
    ///
    /// # Errors
    /// If it cannot be read in time.
    pub async fn snapshot(
        &self,
        class: &ClassId,
        wanted: &Epoch,
    ) -> Result<Option<StoredSnapshot>, PageError> {
        self.run(async |client| {
            let stored = read_snapshot(client, class).await?;
            let same = stored.as_ref().is_some_and(|stored| stored.version.epoch == *wanted);
            Ok((stored, same))
        })
        .await
    }
}
