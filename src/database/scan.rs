//! Finding classes in the table, from class to class by its index.

use tokio_postgres::{Client, Error};

use super::log::local_settings;
use crate::event::{ClassId, EventId};

/// Classes looked at in one statement.
const SCAN_CLASSES: i64 = 1_000;

/// The statement that finds classes with events that their snapshots do not hold. It goes from
/// class to class by the index: `$1` is the class after which it begins, `$2` the id after which
/// events count for a class without a row, `$3` the number of classes. The order by both columns
/// leaves the planner only that index. With the identity's index, it read a whole class to find
/// that it had no new event.
pub fn scan_statement() -> &'static str {
    "WITH RECURSIVE class (class_id) AS (\
       (SELECT class_id FROM progress_event WHERE class_id > $1 ORDER BY class_id, id LIMIT 1) \
       UNION ALL \
       SELECT (SELECT class_id FROM progress_event WHERE class_id > class.class_id ORDER BY \
       class_id, id LIMIT 1) \
       FROM class WHERE class.class_id IS NOT NULL) \
     SELECT class_id, (SELECT true FROM progress_event AS newer \
       WHERE (newer.class_id, newer.id) > (class.class_id, greatest($2, \
         (SELECT through_id FROM class_state AS stored JOIN progress_log USING (nonce) WHERE \
         stored.class_id = class.class_id))) \
         AND (newer.class_id, newer.id) <= (class.class_id, 9223372036854775807) \
       ORDER BY newer.class_id, newer.id LIMIT 1) IS NOT NULL \
     FROM class WHERE class_id IS NOT NULL LIMIT $3"
}

/// The classes with events that their snapshots do not hold, when every snapshot is complete up to
/// `through`.
///
/// # Errors
/// If the table cannot be read.
pub(crate) async fn classes_behind(
    client: &mut Client,
    through: EventId,
) -> Result<Vec<ClassId>, Error> {
    let mut found = Vec::new();
    scan(client, through, |class, is_behind| found.extend(is_behind.then_some(class))).await?;
    Ok(found)
}

/// Every class that has events.
///
/// # Errors
/// If the table cannot be read.
pub(crate) async fn classes_with_events(client: &mut Client) -> Result<Vec<ClassId>, Error> {
    let mut found = Vec::new();
    scan(client, EventId::MAX, |class, _| found.push(class)).await?;
    Ok(found)
}

async fn scan(
    client: &mut Client,
    through: EventId,
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
