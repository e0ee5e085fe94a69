//! Reading the log: the statement that the tail runs, and what stands above every read.

use std::ops::ControlFlow;
use std::pin::pin;

use futures::{Stream, TryStreamExt};
use tokio_postgres::{Error, Row, Statement};

use super::connect::Session;
use super::types::{PgMicros, RawJson};
use crate::event::{Epoch, Micros, StoredEvent};

/// What a connection that reads the log is set to. On a table that was never analysed, PostgreSQL would read all of it, or all
/// of a class, and sort: the index in the order that is asked for is the only right way, whatever the statistics say.
pub const SETTINGS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; \
     SET enable_incremental_sort = off; SET plan_cache_mode = force_generic_plan; \
     SET max_parallel_workers_per_gather = 0; SET jit = off";

/// The largest id, for [`header`].
pub(super) const NEWEST: &str = "(SELECT coalesce(max(id), 0) FROM progress_event)";

/// The columns of [`Header`], and as many empty ones as an event has.
pub(super) fn header(newest: &str) -> String {
    format!(
        "SELECT progress_epoch(nonce), (SELECT last_value FROM progress_event_id_seq), pruned_id, \
         {newest}::bigint, clock_timestamp(), \
         NULL::bigint, NULL::text, NULL::text, NULL::timestamptz, NULL::json FROM progress_log"
    )
}

/// As many empty columns as [`Header`] has, and an event's.
pub(super) const EVENT: &str = "NULL::text, NULL::bigint, NULL::bigint, NULL::bigint, NULL::timestamptz, id, class_id, student_id, received_at, body";

/// What a read says of the log as a whole, from the same snapshot as its rows.
#[derive(Debug, Clone)]
pub struct Header {
    /// The issue of ids.
    pub epoch: Epoch,
    /// The last id ever allocated.
    pub sequence: i64,
    /// Ids up to here may have been pruned.
    pub pruned: i64,
    /// The largest id that was visible, 0 when the table is empty. `None` where the tail follows: to look it up is to read
    /// the newest event once more.
    pub newest: Option<i64>,
    /// The database's clock when it was read.
    pub clock: Micros,
}

impl Header {
    /// The first row of a read; `None` when it is an event's.
    pub(super) fn of(row: &Row) -> Result<Option<Self>, Error> {
        let Some(epoch) = row.try_get::<_, Option<&str>>(0)? else { return Ok(None) };
        Ok(Some(Self {
            epoch: Epoch::new(epoch),
            sequence: row.try_get(1)?,
            pruned: row.try_get(2)?,
            newest: row.try_get(3)?,
            clock: row.try_get::<_, PgMicros>(4)?.0,
        }))
    }
}

/// An event whose columns begin with the row's column `first`.
pub(super) fn event(row: &Row, first: usize) -> Result<StoredEvent<'_>, Error> {
    Ok(StoredEvent {
        id: row.try_get(first)?,
        class: row.try_get(first + 1)?,
        student: row.try_get(first + 2)?,
        received_at: row.try_get::<_, PgMicros>(first + 3)?.0,
        body: row.try_get::<_, RawJson<'_>>(first + 4)?.0,
    })
}

/// Reads all classes' events in id order, on a connection of its own.
#[derive(Debug)]
pub struct LogReader {
    /// The connection; its statements may be interleaved with the reader's.
    pub session: Session,
    statement: Statement,
    end: Statement,
}

impl LogReader {
    /// Prepares `session` for reading.
    pub async fn new(session: Session) -> Result<Self, Error> {
        session.client.batch_execute(SETTINGS).await?;
        let statement = session.client.prepare(&Self::statement()).await?;
        let end = session.client.prepare(&header(NEWEST)).await?;
        Ok(Self { session, statement, end })
    }

    /// The header with the largest id.
    pub async fn end(&self) -> Result<Header, ReadError> {
        let row = self.session.client.query_opt(&self.end, &[]).await?.ok_or(ReadError::NoHeader)?;
        Header::of(&row)?.ok_or(ReadError::NoHeader)
    }

    /// The statement: `$1` the id after which, `$2` how many.
    pub fn statement() -> String {
        let header = header("NULL");
        format!("{header} UNION ALL (SELECT {EVENT} FROM progress_event WHERE id > $1 ORDER BY id LIMIT $2)")
    }

    /// Reads up to `limit` events after `after`, handing the header and then each event to `each` as they arrive: never
    /// more than a few rows are held here.
    pub async fn read(
        &self,
        after: i64,
        limit: i64,
        mut each: impl FnMut(&Header, Option<&StoredEvent<'_>>),
    ) -> Result<Extent, ReadError> {
        let rows = self.session.client.query_raw(&self.statement, [after, limit]).await?;
        consume(rows, after, |header, event| {
            each(header, event);
            ControlFlow::Continue(())
        })
        .await
    }
}

/// Renews the log's nonce, so that the epoch changes; if `seen` is given, only while the epoch is still that one: of
/// several relays that find the same, one does it.
pub async fn renew_nonce(session: &Session, seen: Option<&Epoch>) -> Result<(), Error> {
    const RENEW: &str = "UPDATE progress_log SET nonce = left(replace(gen_random_uuid()::text, '-', ''), 12) \
         WHERE $1::text IS NULL OR starts_with($1, nonce)";
    session.client.execute(RENEW, &[&seen.map(Epoch::to_string)]).await.map(|_| ())
}

/// Renews the nonce as [`renew_nonce`] does, and raises the sequence above every id there is. Ids that were not given out by
/// the sequence (logical replication does not carry it over; a restore of data alone does not set it) would be given out
/// again otherwise.
pub async fn mend_sequence(session: &Session, seen: &Epoch) -> Result<(), Error> {
    const MEND: &str = "\
        BEGIN; SELECT progress_event_lock(); \
        SELECT setval('progress_event_id_seq', newest) FROM (SELECT max(id) AS newest FROM progress_event) AS ids \
            WHERE newest > (SELECT last_value FROM progress_event_id_seq); \
        COMMIT";
    session.client.batch_execute(MEND).await?;
    renew_nonce(session, Some(seen)).await
}

/// What a read covered.
#[derive(Debug)]
pub struct Extent {
    /// Of the same snapshot.
    pub header: Header,
    /// How many events.
    pub events: usize,
    /// The last one's id; where the read began when there was none.
    pub last: i64,
    /// Whether the reader had enough before the rows ended.
    pub broken_off: bool,
}

/// Takes a read's rows as they arrive.
pub(super) async fn consume(
    rows: impl Stream<Item = Result<Row, Error>>,
    after: i64,
    mut each: impl FnMut(&Header, Option<&StoredEvent<'_>>) -> ControlFlow<()>,
) -> Result<Extent, ReadError> {
    let mut rows = pin!(rows);
    let first = rows.try_next().await?.ok_or(ReadError::NoHeader)?;
    let header = Header::of(&first)?.ok_or(ReadError::NoHeader)?;
    let mut broken_off = each(&header, None).is_break();
    let (mut last, mut events) = (after, 0);
    while !broken_off && let Some(row) = rows.try_next().await? {
        let event = event(&row, 5)?;
        if event.id <= last {
            return Err(ReadError::Order { id: event.id, last });
        }
        last = event.id;
        events += 1;
        broken_off = each(&header, Some(&event)).is_break();
    }
    Ok(Extent { header, events, last, broken_off })
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database's word.
    #[error("{}", super::explain(.0))]
    Database(#[from] Error),
    /// The table `progress_log` has lost its row, or came last.
    #[error("progress_log is empty: restore its one row, or apply the migrations to a fresh database")]
    NoHeader,
    /// Rows came in another order than asked for.
    #[error("event {id} came after {last}: the database returned rows out of order")]
    Order {
        /// The row's.
        id: i64,
        /// The one before.
        last: i64,
    },
}
