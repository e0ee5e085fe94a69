//! Reading the log: the header and the events of one read, which come from one snapshot.
//!
//! Every read of the log begins with a row that describes the log as a whole: its epoch, its
//! sequence, the ids that were pruned. Header and events are one result of one statement, since
//! only then do they come from the same snapshot. With two statements the log could be restored
//! or pruned between them, and a reader would give events of one log to subscribers of another.

use std::ops::ControlFlow;
use std::pin::pin;

use futures::{Stream, TryStreamExt};
use tokio_postgres::{Error, GenericClient, Row, Statement};

use super::errors::explain;
use super::session::Session;
use super::types::{PgMicros, RawJson};
use crate::event::{Epoch, Micros, StoredEvent};

/// The settings of a connection that reads the log. They leave the planner the index in the order
/// that the statement asks for. On a table that was never analysed, PostgreSQL would otherwise
/// read the whole table, or a whole class, and sort it.
pub const READ_SETTINGS: &str = "\
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; \
    SET enable_incremental_sort = off; SET plan_cache_mode = force_generic_plan; \
    SET max_parallel_workers_per_gather = 0; SET jit = off";

/// [`READ_SETTINGS`], for one transaction of a connection that also writes.
pub(super) fn local_settings() -> String {
    READ_SETTINGS.replace("SET ", "SET LOCAL ")
}

/// The largest id, for [`header`].
pub(super) const NEWEST: &str = "(SELECT coalesce(max(id), 0) FROM progress_event)";

/// The columns of [`Header`], then an empty column for each column of an event.
pub(super) fn header(newest: &str) -> String {
    format!(
        "SELECT progress_epoch(nonce), (SELECT last_value FROM progress_event_id_seq), pruned_id, \
         {newest}::bigint, clock_timestamp(), deletions, \
         home_table = 'progress_event'::regclass::oid, \
         NULL::bigint, NULL::text, NULL::text, NULL::timestamptz, NULL::json FROM progress_log"
    )
}

/// An empty column for each column of [`Header`], then the columns of an event.
pub(super) const EVENT: &str = "\
    NULL::text, NULL::bigint, NULL::bigint, NULL::bigint, NULL::timestamptz, NULL::bigint, \
    NULL::boolean, id, class_id, student_id, received_at, body";
/// The number of the header's columns, after which an event's columns come.
const HEADER_COLUMNS: usize = 7;

/// The state of the log as a whole, from the same snapshot as the events of the read.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// The generation of ids.
    pub(crate) epoch: Epoch,
    /// The last id that the sequence has allocated.
    pub(crate) sequence: i64,
    /// Ids up to this one may have been pruned.
    pub(crate) pruned: i64,
    /// The largest id that was visible, 0 if the table is empty. `None` in the tail's reads, for
    /// which it would be the newest event read twice.
    pub(crate) newest: Option<i64>,
    /// The database's clock at the read.
    pub(crate) clock: Micros,
    /// The number of statements that have deleted events.
    pub(crate) deletions: i64,
    /// Whether the table is the one in which the log was begun. After a dump is restored, it is
    /// not.
    pub(crate) at_home: bool,
}

impl Header {
    /// Reads the first row of a read; `None` if the row is an event's.
    fn of(row: &Row) -> Result<Option<Self>, Error> {
        let Some(epoch) = row.try_get::<_, Option<&str>>(0)? else { return Ok(None) };
        Ok(Some(Self {
            epoch: Epoch::new(epoch),
            sequence: row.try_get(1)?,
            pruned: row.try_get(2)?,
            newest: row.try_get(3)?,
            clock: row.try_get::<_, PgMicros>(4)?.0,
            deletions: row.try_get(5)?,
            at_home: row.try_get::<_, Option<bool>>(6)?.unwrap_or(false),
        }))
    }
}

/// The epoch of the server that a connection leads to.
///
/// # Errors
/// The database's.
pub(crate) async fn current_epoch(client: &impl GenericClient) -> Result<Epoch, Error> {
    let row = client.query_one("SELECT progress_epoch()", &[]).await?;
    Ok(Epoch::new(row.try_get(0)?))
}

/// Reads an event whose columns begin at the row's column `first`.
pub(super) fn event(row: &Row, first: usize) -> Result<StoredEvent<'_>, Error> {
    Ok(StoredEvent {
        id: row.try_get(first)?,
        class: row.try_get(first + 1)?,
        student: row.try_get(first + 2)?,
        received_at: row.try_get::<_, PgMicros>(first + 3)?.0,
        body: row.try_get::<_, RawJson<'_>>(first + 4)?.0,
    })
}

/// A row of a read. The header comes once and first, then the events in the order of their ids.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LogRow<'a> {
    /// The state of the log, in the snapshot that the events come from.
    Header(&'a Header),
    /// The next event.
    Event(&'a StoredEvent<'a>),
}

/// Reads all classes' events in the order of their ids, on a connection that does only this.
#[derive(Debug)]
pub struct LogReader {
    /// The connection. Other statements may run on it between the reader's.
    pub(crate) session: Session,
    statement: Statement,
    end: Statement,
}

impl LogReader {
    /// Prepares `session` for reading.
    pub(crate) async fn new(session: Session) -> Result<Self, Error> {
        session.client.batch_execute(READ_SETTINGS).await?;
        let statement = session.client.prepare(&Self::statement()).await?;
        let end = session.client.prepare(&header(NEWEST)).await?;
        Ok(Self { session, statement, end })
    }

    /// Reads the header alone, with the largest id.
    pub(crate) async fn end(&self) -> Result<Header, ReadError> {
        let row =
            self.session.client.query_opt(&self.end, &[]).await?.ok_or(ReadError::NoHeader)?;
        Header::of(&row)?.ok_or(ReadError::NoHeader)
    }

    /// The statement that reads: `$1` the id after which, `$2` the number of events.
    pub fn statement() -> String {
        let header = header("NULL");
        format!(
            "{header} UNION ALL (SELECT {EVENT} FROM progress_event WHERE id > $1 ORDER BY id \
             LIMIT $2)"
        )
    }

    /// Reads up to `limit` events after `after`, and hands each row to `each` when it arrives.
    /// Only the rows that have just arrived are in memory.
    pub(crate) async fn read(
        &self,
        after: i64,
        limit: i64,
        mut each: impl FnMut(LogRow<'_>),
    ) -> Result<Extent, ReadError> {
        let rows = self.session.client.query_raw(&self.statement, [after, limit]).await?;
        consume(rows, after, |row| {
            each(row);
            ControlFlow::Continue(())
        })
        .await
    }
}

/// The part of the log that a read covered.
#[derive(Debug)]
pub(crate) struct Extent {
    /// The header, from the same snapshot as the events.
    pub(crate) header: Header,
    /// The number of events.
    pub(crate) events: usize,
    /// The id of the last event; the id that the read began after if there was no event.
    pub(crate) last: i64,
    /// Whether the caller ended the read before the rows ended.
    pub(crate) broken_off: bool,
}

/// Hands a read's rows to `each` as they arrive, until there are no more or `each` breaks off.
pub(super) async fn consume(
    rows: impl Stream<Item = Result<Row, Error>>,
    after: i64,
    mut each: impl FnMut(LogRow<'_>) -> ControlFlow<()>,
) -> Result<Extent, ReadError> {
    let mut rows = pin!(rows);
    let first = rows.try_next().await?.ok_or(ReadError::NoHeader)?;
    let header = Header::of(&first)?.ok_or(ReadError::NoHeader)?;
    let mut broken_off = each(LogRow::Header(&header)).is_break();
    let (mut last, mut events) = (after, 0);
    while !broken_off && let Some(row) = rows.try_next().await? {
        let event = event(&row, HEADER_COLUMNS)?;
        if event.id <= last {
            return Err(ReadError::Order { id: event.id, last });
        }
        last = event.id;
        events += 1;
        broken_off = each(LogRow::Event(&event)).is_break();
    }
    Ok(Extent { header, events, last, broken_off })
}

/// Why a read of the log failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database returned an error.
    #[error("{}", explain(.0))]
    Database(#[from] Error),
    /// The table `progress_log` has lost its row, or the row did not come first.
    #[error(
        "progress_log is empty: restore its one row, or apply the migrations to a fresh database"
    )]
    NoHeader,
    /// Rows came in another order than the statement asks for.
    #[error("event {id} came after {last}: the database returned rows out of order")]
    Order {
        /// The row's id.
        id: i64,
        /// The id of the row before.
        last: i64,
    },
}
