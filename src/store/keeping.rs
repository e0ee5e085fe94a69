//! Who keeps the snapshots, and which classes have to be brought up to date.

use futures::{Stream, TryStreamExt};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, GenericClient, Row, Transaction};

use super::connect::Session;
use super::read::{SETTINGS, event};
use crate::event::{ClassId, Epoch, StoredEvent};

/// The key of the advisory lock of the one replica that writes snapshots: a constant of this project's.
const LOCK: i64 = 0x7072_6f67_7374_6174;
/// Classes looked at in one statement.
const SCAN_CLASSES: i64 = 1_000;

/// Asks to be the one that writes snapshots. It is for as long as the session lasts: whoever writes on it is that one.
///
/// # Errors
/// The database's.
pub async fn try_elect(session: &Session) -> Result<bool, Error> {
    session.client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?.try_get(0)
}

/// For one transaction what [`SETTINGS`] is for a session: this connection writes, too.
fn local_settings() -> String {
    SETTINGS.replace("SET ", "SET LOCAL ")
}

/// The statement that finds classes with events: from class to class by the index, `$1` the class after which, `$2` the id
/// after which events count, `$3` how many classes. The order by both columns leaves the planner that one index: by the
/// identity's it read a whole class to find that nothing in it was new.
pub fn scan_statement() -> &'static str {
    "WITH RECURSIVE class (class_id) AS (\
       (SELECT class_id FROM progress_event WHERE class_id > $1 ORDER BY class_id, id LIMIT 1) \
       UNION ALL \
       SELECT (SELECT class_id FROM progress_event WHERE class_id > class.class_id ORDER BY class_id, id LIMIT 1) \
       FROM class WHERE class.class_id IS NOT NULL) \
     SELECT class_id, (SELECT true FROM progress_event AS newer \
       WHERE (newer.class_id, newer.id) > (class.class_id, $2) \
         AND (newer.class_id, newer.id) <= (class.class_id, 9223372036854775807) \
       ORDER BY newer.class_id, newer.id LIMIT 1) IS NOT NULL \
     FROM class WHERE class_id IS NOT NULL LIMIT $3"
}

/// The classes that have events after `id`; all of them for 0.
///
/// # Errors
/// The database's.
pub async fn classes_after(client: &mut Client, id: i64) -> Result<Vec<ClassId>, Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(&local_settings()).await?;
    let statement = transaction.prepare(scan_statement()).await?;
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let rows = transaction.query(&statement, &[&after, &id, &SCAN_CLASSES]).await?;
        for row in &rows {
            after = row.try_get(0)?;
            if row.try_get(1)? {
                found.push(ClassId::stored(&after));
            }
        }
        if rows.len() < SCAN_CLASSES as usize {
            transaction.commit().await?;
            return Ok(found);
        }
    }
}

/// The id up to which every class's snapshot is complete; 0 if that is not known.
///
/// # Errors
/// The database's.
pub async fn kept_through(client: &impl GenericClient) -> Result<i64, Error> {
    let row = client
        .query_one(
            "SELECT coalesce((SELECT through_id FROM state_through JOIN progress_log USING (nonce)), 0)",
            &[],
        )
        .await?;
    row.try_get(0)
}

/// Every class's snapshot is complete up to `id`.
///
/// # Errors
/// The database's.
pub async fn set_kept_through(client: &impl GenericClient, id: i64) -> Result<(), Error> {
    const SET: &str =
        "UPDATE state_through SET through_id = $1, nonce = progress_log.nonce FROM progress_log";
    client.execute(SET, &[&id]).await.map(drop)
}

/// The issue of ids.
///
/// # Errors
/// The database's.
pub async fn current_epoch(client: &impl GenericClient) -> Result<Epoch, Error> {
    let row = client.query_one("SELECT progress_epoch()", &[]).await?;
    Ok(Epoch::new(row.try_get(0)?))
}

/// Holds a class's snapshot still until the transaction ends: its writer waits.
///
/// # Errors
/// The database's.
pub async fn hold_class(transaction: &impl GenericClient, class: &ClassId) -> Result<(), Error> {
    const HOLD: &str = "\
        INSERT INTO class_state (class_id, through_id, nonce, events, students, last_event_id) \
        SELECT $1, 0, nonce, 0, 0, 0 FROM progress_log \
        ON CONFLICT (class_id) DO UPDATE SET class_id = EXCLUDED.class_id";
    transaction.execute(HOLD, &[&class.as_str()]).await.map(drop)
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
