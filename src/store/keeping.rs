//! Who keeps the snapshots, under which version of the log they are written, and which classes have
//! to be brought up to date.

use std::time::Duration;

use futures::{Stream, TryStreamExt};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, GenericClient, Row, Transaction};

use super::doorbell::CHANNEL;
use super::errors::explain;
use super::log::{READ_SETTINGS, event};
use super::session::Session;
use super::snapshot::STATE_TABLES;
use crate::event::{ClassId, Epoch, StoredEvent};

/// The key of the advisory lock of the one replica that writes snapshots: a constant of this
/// project's.
const LOCK: i64 = 0x7072_6f67_7374_6174;
/// Classes looked at in one statement.
const SCAN_CLASSES: i64 = 1_000;
/// Classes whose void rows are removed in one statement.
const VOID_CLASSES: i64 = 50;

/// What the leader's session is set to, so that the server itself ends it soon after its process
/// froze or its machine vanished: only then is the lock free. A rest is never this long; a
/// statement may be, and is ended by its own limit. The TCP settings have no effect on a Unix
/// socket, where a process that ends always closes its end.
///
/// Snapshots need not wait for the disk. A crash of the server loses the newest of them, but WAL is
/// lost from its end: a snapshot that is left was written after the events in it, so these are left
/// too.
const LEADER_SETTINGS: &str = "\
    SET idle_session_timeout = '15s'; SET idle_in_transaction_session_timeout = '10s'; \
    SET lock_timeout = '10s'; SET statement_timeout = '60s'; \
    SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3; \
    SET tcp_user_timeout = '14s'; SET synchronous_commit = off";
/// Notices a peer that is gone while a statement runs. Not every system that PostgreSQL runs on
/// can.
const LEADER_CHECK: &str = "SET client_connection_check_interval = '2s'";

/// The log as far as snapshots depend on it: with another version, what was read before may hold no
/// longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogVersion {
    /// The generation of ids.
    pub epoch: Epoch,
    /// How many statements have deleted events.
    pub deletions: i64,
}

/// Sets up a session that asks to be elected, and writes once it is.
///
/// # Errors
/// The database's.
pub async fn prepare_leader(session: &Session) -> Result<(), Error> {
    session.client.batch_execute(LEADER_SETTINGS).await?;
    if let Err(error) = session.client.batch_execute(LEADER_CHECK).await {
        tracing::debug!("the server does not look for lost clients: {}", explain(&error));
    }
    Ok(())
}

/// Asks to be the one that writes snapshots. It is for as long as the session lasts: whoever writes
/// on it is that one.
///
/// # Errors
/// The database's.
pub async fn try_elect(session: &Session) -> Result<bool, Error> {
    session.client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?.try_get(0)
}

/// Says something, so that the server does not take the session for abandoned.
///
/// # Errors
/// The database's.
pub async fn say_something(session: &Session) -> Result<(), Error> {
    session.client.batch_execute("SELECT").await
}

/// A leader that waits for its client: the server's process, and when that began to do what it does
/// now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentLeader {
    /// As `pg_terminate_backend` knows it.
    pub pid: i32,
    since: String,
}

/// The session that holds the leader's lock while the server waits for its client to send or to
/// take something. Only one of this role's own; `$1` is the lock's key.
const SILENT: &str = "\
    FROM pg_locks JOIN pg_stat_activity AS activity USING (pid) \
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
      AND classid = ($1::bigint >> 32)::oid AND objid = ($1::bigint & 4294967295)::oid \
      AND usename = current_user AND wait_event_type = 'Client'";

/// The leader, if the server waits for it at this moment.
///
/// # Errors
/// The database's.
pub async fn silent_leader(session: &Session) -> Result<Option<SilentLeader>, Error> {
    let sql = format!("SELECT activity.pid, concat(backend_start, ' ', state_change) {SILENT}");
    let row = session.client.query_opt(&sql, &[&LOCK]).await?;
    row.map(|row| Ok(SilentLeader { pid: row.try_get(0)?, since: row.try_get(1)? })).transpose()
}

/// Ends the leader's session, if the server still waits for it since the same moment; whether it
/// did.
///
/// # Errors
/// The database's.
pub async fn end_silent_leader(session: &Session, leader: &SilentLeader) -> Result<bool, Error> {
    // The condition first: of one WHERE any part may be looked at first.
    let sql = format!(
        "WITH silent AS MATERIALIZED (SELECT activity.pid {SILENT} AND activity.pid = $2 \
         AND concat(backend_start, ' ', state_change) = $3) SELECT pg_terminate_backend(pid) FROM \
         silent"
    );
    let ended = session.client.query_opt(&sql, &[&LOCK, &leader.pid, &leader.since]).await?;
    ended.map_or(Ok(false), |row| row.try_get(0))
}

/// How long a leader may say nothing while the server waits for it, before whoever waits to be
/// elected ends its session.
pub const LEADER_SILENCE: Duration = Duration::from_secs(15);

/// For one transaction what [`READ_SETTINGS`] is for a session: this connection writes, too.
fn local_settings() -> String {
    READ_SETTINGS.replace("SET ", "SET LOCAL ")
}

/// The statement that finds classes with events that their snapshots do not hold: from class to
/// class by the index, `$1` the class after which, `$2` the id after which events count for a class
/// without a row, `$3` how many. The order by both columns leaves the planner that one index: by
/// the identity's it read a whole class to find that nothing in it was new.
pub fn scan_statement() -> &'static str {
    "WITH RECURSIVE class (class_id) AS (\
       (SELECT class_id FROM progress_event WHERE class_id > $1 ORDER BY class_id, id LIMIT 1) \
       UNION ALL \
       SELECT (SELECT class_id FROM progress_event WHERE class_id > class.class_id ORDER BY \
       class_id, id LIMIT 1) \
       FROM class WHERE class.class_id IS NOT NULL) \
     SELECT class_id, (SELECT true FROM progress_event AS newer \
       WHERE (newer.class_id, newer.id) > (class.class_id, greatest($2, \
     (SELECT through_id FROM class_state AS kept JOIN progress_log USING (nonce) WHERE \
     kept.class_id = class.class_id))) \
     AND (newer.class_id, newer.id) <= (class.class_id, 9223372036854775807) \
       ORDER BY newer.class_id, newer.id LIMIT 1) IS NOT NULL \
     FROM class WHERE class_id IS NOT NULL LIMIT $3"
}

/// The classes with events that their snapshots do not hold, if each snapshot is complete up to
/// `through`; 0 if that is not known of any.
///
/// # Errors
/// The database's.
pub async fn classes_behind(client: &mut Client, through: i64) -> Result<Vec<ClassId>, Error> {
    let mut found = Vec::new();
    scan(client, through, |class, is_behind| found.extend(is_behind.then_some(class))).await?;
    Ok(found)
}

/// Every class that has events.
///
/// # Errors
/// The database's.
pub async fn classes_with_events(client: &mut Client) -> Result<Vec<ClassId>, Error> {
    let mut found = Vec::new();
    scan(client, i64::MAX, |class, _| found.push(class)).await?;
    Ok(found)
}

async fn scan(
    client: &mut Client,
    through: i64,
    mut each: impl FnMut(ClassId, bool),
) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(&local_settings()).await?;
    let statement = transaction.prepare(scan_statement()).await?;
    let mut after = String::new();
    loop {
        let rows = transaction.query(&statement, &[&after, &through, &SCAN_CLASSES]).await?;
        for row in &rows {
            after = row.try_get(0)?;
            each(ClassId::stored(&after), row.try_get(1)?);
        }
        if rows.len() < SCAN_CLASSES as usize {
            return transaction.commit().await;
        }
    }
}

/// Holds the log at a version until the transaction ends: nobody renews the nonce or deletes events
/// meanwhile, so that what is written belongs to it. The nonce, to stamp snapshots with; `None` if
/// the version is another by now. The first statement of every transaction that writes snapshots,
/// whose locks are all taken after this one.
///
/// # Errors
/// The database's.
pub async fn hold_log(
    transaction: &impl GenericClient,
    version: &LogVersion,
) -> Result<Option<String>, Error> {
    const HOLD: &str = "SELECT nonce FROM progress_log WHERE progress_epoch(nonce) = $1 AND \
         deletions = $2 FOR SHARE";
    let row =
        transaction.query_opt(HOLD, &[&version.epoch.to_string(), &version.deletions]).await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// The id up to which every class's snapshot of this nonce is complete; `None` if that is not
/// known.
///
/// # Errors
/// The database's.
pub async fn kept_through(client: &impl GenericClient, nonce: &str) -> Result<Option<i64>, Error> {
    let row = client
        .query_opt("SELECT through_id FROM state_through WHERE nonce = $1", &[&nonce])
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// Every class's snapshot of this nonce is complete up to `id`; whether that was written. It is not
/// if what stands there is no longer `standing`, from where the classes that had to be written were
/// found.
///
/// # Errors
/// The database's.
pub async fn set_kept_through(
    transaction: &impl GenericClient,
    nonce: &str,
    standing: Option<i64>,
    id: i64,
) -> Result<bool, Error> {
    const SET: &str = "UPDATE state_through SET through_id = $1, nonce = $2 \
         WHERE CASE WHEN $3::bigint IS NULL THEN nonce <> $2 ELSE nonce = $2 AND through_id = $3 \
         END";
    Ok(transaction.execute(SET, &[&id, &nonce, &standing]).await? == 1)
}

/// How far the snapshots of these classes go, of those that have one of this nonce. They are held
/// until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn standing_snapshots(
    transaction: &impl GenericClient,
    classes: &[ClassId],
    nonce: &str,
) -> Result<Vec<(ClassId, i64)>, Error> {
    const STANDING: &str = "SELECT class_id, through_id FROM class_state WHERE class_id = ANY($1) \
         AND nonce = $2 FOR UPDATE";
    let names: Vec<&str> = classes.iter().map(ClassId::as_str).collect();
    let rows = transaction.query(STANDING, &[&names, &nonce]).await?;
    rows.iter().map(|row| Ok((ClassId::stored(row.try_get(0)?), row.try_get(1)?))).collect()
}

/// Removes rows that belong to no snapshot of this nonce, of a few classes: of another generation
/// of ids, or of a class whose events were deleted. How many; 0 once there are none.
///
/// # Errors
/// The database's.
pub async fn remove_void(transaction: &Transaction<'_>, nonce: &str) -> Result<u64, Error> {
    transaction.batch_execute(&local_settings()).await?;
    let void = format!(
        "DELETE FROM class_state WHERE class_id IN (SELECT class_id FROM class_state WHERE nonce \
         <> $1 LIMIT {VOID_CLASSES})"
    );
    let mut removed = transaction.execute(&void, &[&nonce]).await?;
    for table in STATE_TABLES {
        // From class to class by the index, as in [`scan_statement`].
        let orphans = format!(
            "DELETE FROM {table} WHERE class_id = ANY(ARRAY( \
               WITH RECURSIVE class (class_id) AS (\
             (SELECT class_id FROM {table} ORDER BY class_id LIMIT 1) \
             UNION ALL \
             SELECT (SELECT class_id FROM {table} WHERE class_id > class.class_id ORDER BY \
             class_id LIMIT 1) \
             FROM class WHERE class.class_id IS NOT NULL) \
               SELECT class_id FROM class WHERE class_id IS NOT NULL \
             AND NOT EXISTS (SELECT FROM class_state AS kept WHERE kept.class_id = \
             class.class_id) \
               LIMIT {VOID_CLASSES}))"
        );
        removed += transaction.execute(&orphans, &[]).await?;
    }
    Ok(removed)
}

/// Begins another version of the log in which a class's snapshot is written anew, and rings: every
/// replica reads the class anew, and the leader writes nothing that it had in mind before. The
/// nonce; `None` if the version is another by now.
///
/// # Errors
/// The database's.
pub async fn replace_class(
    transaction: &Transaction<'_>,
    version: &LogVersion,
    class: &ClassId,
) -> Result<Option<String>, Error> {
    const NEXT: &str = "UPDATE progress_log SET deletions = deletions + 1 \
         WHERE progress_epoch(nonce) = $1 AND deletions = $2 RETURNING nonce, deletions";
    let epoch = version.epoch.to_string();
    let Some(row) = transaction.query_opt(NEXT, &[&epoch, &version.deletions]).await? else {
        return Ok(None);
    };
    let deletions: i64 = row.try_get(1)?;
    transaction
        .execute("INSERT INTO progress_deletion VALUES ($1, $2)", &[&deletions, &class.as_str()])
        .await?;
    // As many are kept as the trigger on DELETE keeps.
    transaction
        .execute("DELETE FROM progress_deletion WHERE deletion <= $1::bigint - 1000", &[&deletions])
        .await?;
    transaction.execute("SELECT pg_notify($1, '')", &[&CHANNEL]).await?;
    row.try_get(0).map(Some)
}

/// Every class that has a snapshot.
///
/// # Errors
/// The database's.
pub async fn classes_kept(client: &impl GenericClient) -> Result<Vec<ClassId>, Error> {
    let rows = client.query("SELECT class_id FROM class_state ORDER BY class_id", &[]).await?;
    rows.iter().map(|row| row.try_get(0).map(ClassId::stored)).collect()
}

/// A row of [`class_events`].
#[derive(Debug)]
pub struct EventRow(Row);

impl EventRow {
    /// The event in it.
    ///
    /// # Errors
    /// If the row is none.
    pub fn event(&self) -> Result<StoredEvent<'_>, Error> {
        event(&self.0, 0)
    }
}

/// A class's events after `after` and up to `through`, in order, as they arrive.
///
/// # Errors
/// The database's.
pub async fn class_events(
    transaction: &Transaction<'_>,
    class: &ClassId,
    after: i64,
    through: i64,
) -> Result<impl Stream<Item = Result<EventRow, Error>>, Error> {
    const EVENTS: &str = "SELECT id, class_id, student_id, received_at, body FROM progress_event \
         WHERE (class_id, id) > ($1, $2) AND (class_id, id) <= ($1, $3) ORDER BY class_id, id";
    transaction.batch_execute(&local_settings()).await?;
    let statement = transaction.prepare(EVENTS).await?;
    let class = class.as_str();
    let parameters: [&(dyn ToSql + Sync); 3] = [&class, &after, &through];
    Ok(transaction.query_raw(&statement, parameters).await?.map_ok(EventRow))
}
