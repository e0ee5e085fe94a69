//! Reading the log: the statement that the tail runs, and what stands above every read.

use std::ops::ControlFlow;
use std::pin::pin;

use futures::{Stream, TryStreamExt};
use tokio_postgres::{Error, Row, Statement};

use super::connect::Session;
use super::log_version::current_epoch;
use super::types::{PgMicros, RawJson};
use crate::event::{ClassId, Epoch, Micros, StoredEvent};

/// What a connection that reads the log is set to. On a table that was never analysed, PostgreSQL
/// would read all of it, or all of a class, and sort: the index in the order that is asked for is
/// the only right way, whatever the statistics say.
pub const SETTINGS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET \
     enable_sort = off; \
     SET enable_incremental_sort = off; SET plan_cache_mode = force_generic_plan; \
     SET max_parallel_workers_per_gather = 0; SET jit = off";

/// [`SETTINGS`], for one transaction of a connection that also writes.
pub(super) fn local_settings() -> String {
    SETTINGS.replace("SET ", "SET LOCAL ")
}

/// The largest id, for [`header`].
pub(super) const NEWEST: &str = "(SELECT coalesce(max(id), 0) FROM progress_event)";

/// The columns of [`Header`], and as many empty ones as an event has.
pub(super) fn header(newest: &str) -> String {
    format!(
        "SELECT progress_epoch(nonce), (SELECT last_value FROM progress_event_id_seq), pruned_id, \
         {newest}::bigint, clock_timestamp(), deletions, home_table = \
         'progress_event'::regclass::oid, \
         NULL::bigint, NULL::text, NULL::text, NULL::timestamptz, NULL::json FROM progress_log"
    )
}

/// As many empty columns as [`Header`] has, and an event's.
pub(super) const EVENT: &str = "NULL::text, NULL::bigint, NULL::bigint, NULL::bigint, \
     NULL::timestamptz, \
     NULL::bigint, NULL::boolean, id, class_id, student_id, received_at, body";
/// How many columns the header has: an event's come after them.
const HEADER_COLUMNS: usize = 7;

/// What a read says of the log as a whole, from the same snapshot as its rows.
#[derive(Debug, Clone)]
pub struct Header {
    /// The issue of ids.
    pub epoch: Epoch,
    /// The last id ever allocated.
    pub sequence: i64,
    /// Ids up to here may have been pruned.
    pub pruned: i64,
    /// The largest id that was visible, 0 when the table is empty. `None` where the tail follows:
    /// to look it up is to read the newest event once more.
    pub newest: Option<i64>,
    /// The database's clock when it was read.
    pub clock: Micros,
    /// How many statements have deleted events.
    pub deletions: i64,
    /// Whether the table is the one that the log was begun in. A dump that was restored is another.
    pub at_home: bool,
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
            deletions: row.try_get(5)?,
            at_home: row.try_get::<_, Option<bool>>(6)?.unwrap_or(false),
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
        let row =
            self.session.client.query_opt(&self.end, &[]).await?.ok_or(ReadError::NoHeader)?;
        Header::of(&row)?.ok_or(ReadError::NoHeader)
    }

    /// The statement: `$1` the id after which, `$2` how many.
    pub fn statement() -> String {
        let header = header("NULL");
        format!(
            "{header} UNION ALL (SELECT {EVENT} FROM progress_event WHERE id > $1 ORDER BY id \
                 LIMIT $2)"
        )
    }

    /// Reads up to `limit` events after `after`, handing the header and then each event to `each`
    /// as they arrive: never more than a few rows are held here.
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

/// Renews the log's nonce, so that the epoch changes; if `seen` is given, only while the epoch is
/// still that one: of several relays that find the same, one does it. The log is at home where it
/// is now.
pub async fn renew_nonce(session: &Session, seen: Option<&Epoch>) -> Result<(), Error> {
    const RENEW: &str = "\
        UPDATE progress_log SET nonce = left(replace(gen_random_uuid()::text, '-', ''), 12), \
            home = progress_home(), home_table = 'progress_event'::regclass::oid, \
            timeline = progress_epoch('') \
        WHERE $1::text IS NULL OR starts_with($1, nonce)";
    session.client.execute(RENEW, &[&seen.map(Epoch::to_string)]).await.map(|_| ())
}

/// Renews the nonce as [`renew_nonce`] does, and raises the sequence above every id there is, and
/// above those that were pruned. Ids that were not given out by the sequence (logical replication
/// does not carry it over; a restore of data alone does not set it) would be given out again
/// otherwise.
pub async fn mend_sequence(session: &Session, seen: &Epoch) -> Result<(), Error> {
    const MEND: &str = "\
        BEGIN; SELECT progress_event_lock(); \
        SELECT setval('progress_event_id_seq', newest) FROM ( \
            SELECT greatest((SELECT max(id) FROM progress_event), pruned_id) AS newest FROM \
            progress_log) AS ids \
            WHERE newest > (SELECT last_value FROM progress_event_id_seq); \
        COMMIT";
    session.client.batch_execute(MEND).await?;
    renew_nonce(session, Some(seen)).await
}

/// Makes sure that the log is where its nonce was made: in this cluster, database and table, and on
/// this timeline. If it is elsewhere ids may have been reassigned, and the nonce is renewed.
///
/// After a promotion alone, the snapshots stay right: they are as the events in the same WAL made
/// them. They are stamped with the new nonce then. The ordering lock keeps the log still meanwhile.
///
/// # Errors
/// The database's.
pub async fn settle_home(session: &Session) -> Result<Homecoming, Error> {
    const LOOK: &str = "\
        SELECT home IS NOT NULL, \
            (home, home_table) IS NOT DISTINCT FROM (progress_home(), \
            'progress_event'::regclass::oid), \
            timeline IS NOT DISTINCT FROM progress_epoch('') FROM progress_log";
    const ADOPT: &str = "\
        BEGIN; SELECT progress_event_lock(); \
        WITH old AS (SELECT nonce FROM progress_log WHERE timeline <> progress_epoch('') FOR \
        UPDATE), \
        new AS (UPDATE progress_log SET nonce = left(replace(gen_random_uuid()::text, '-', ''), \
        12), \
                timeline = progress_epoch('') FROM old RETURNING progress_log.nonce), \
        classes AS (UPDATE class_state SET nonce = new.nonce FROM old, new WHERE \
        class_state.nonce = old.nonce) \
        UPDATE state_through SET nonce = new.nonce FROM old, new WHERE state_through.nonce = \
        old.nonce; \
        COMMIT";
    const MOVE_IN: &str = "\
        UPDATE progress_log SET home = progress_home(), home_table = \
        'progress_event'::regclass::oid, \
            timeline = progress_epoch('') WHERE home IS NULL";
    let row = session.client.query_one(LOOK, &[]).await?;
    let (known, same, timeline): (bool, bool, bool) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if !known {
        session.client.execute(MOVE_IN, &[]).await?;
        return Ok(Homecoming::AtHome);
    }
    if !same {
        let epoch = current_epoch(&session.client).await?;
        renew_nonce(session, Some(&epoch)).await?;
        return Ok(Homecoming::Moved);
    }
    if !timeline {
        session.client.batch_execute(ADOPT).await?;
        return Ok(Homecoming::Promoted);
    }
    Ok(Homecoming::AtHome)
}

/// Where a log was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Homecoming {
    /// Where its nonce was made.
    AtHome,
    /// On another timeline: a standby was promoted. The nonce was renewed.
    Promoted,
    /// In another cluster, database or table: a dump was restored. The nonce was renewed.
    Moved,
}

/// The classes in which statements after the deletion `known` have deleted events; `None` for all.
///
/// # Errors
/// The database's.
pub async fn deleted_classes(
    session: &Session,
    known: i64,
    now: i64,
) -> Result<Option<Vec<ClassId>>, Error> {
    const DELETED: &str = "\
        SELECT class_id FROM progress_deletion WHERE deletion > $1 GROUP BY class_id";
    const COUNTED: &str = "SELECT count(DISTINCT deletion) FROM progress_deletion WHERE deletion \
         > $1 AND deletion <= $2";
    let counted: i64 = session.client.query_one(COUNTED, &[&known, &now]).await?.try_get(0)?;
    if counted != now - known {
        // Some are not kept any more, or the counter was set back.
        return Ok(None);
    }
    let rows = session.client.query(DELETED, &[&known]).await?;
    let mut classes = Vec::with_capacity(rows.len());
    for row in rows {
        let class: &str = row.try_get(0)?;
        if class.is_empty() {
            return Ok(None);
        }
        classes.push(ClassId::stored(class));
    }
    Ok(Some(classes))
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
        let event = event(&row, HEADER_COLUMNS)?;
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
    #[error(
        "progress_log is empty: restore its one row, or apply the migrations to a fresh database"
    )]
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
