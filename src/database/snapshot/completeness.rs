//! Up to where snapshots are complete, and the deletion of rows that belong to none.

use std::collections::HashMap;

use tokio_postgres::{Error, GenericClient, Transaction};

use super::tables::STATE_TABLES;
use crate::database::log::local_settings;
use crate::event::{ClassId, EventId};

/// Classes whose void rows are deleted in one statement.
const VOID_CLASSES: i64 = 50;

/// The id up to which every class's snapshot of this nonce is complete; `None` if that is not
/// known.
///
/// # Errors
/// If it cannot be read.
pub(crate) async fn complete_through(
    client: &impl GenericClient,
    nonce: &str,
) -> Result<Option<EventId>, Error> {
    let row = client
        .query_opt("SELECT through_id FROM state_through WHERE nonce = $1", &[&nonce])
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// Writes that every class's snapshot of this nonce is complete up to `id`, if the id there is
/// still `before`: the classes that had to be written were those with events after that id. Returns
/// whether it was.
///
/// # Errors
/// If it cannot be written.
pub(crate) async fn set_complete_through(
    transaction: &impl GenericClient,
    nonce: &str,
    before: Option<EventId>,
    id: EventId,
) -> Result<bool, Error> {
    const SET: &str = "UPDATE state_through SET through_id = $1, nonce = $2 \
         WHERE CASE WHEN $3::bigint IS NULL THEN nonce <> $2 ELSE nonce = $2 AND through_id = $3 \
         END";
    Ok(transaction.execute(SET, &[&id, &nonce, &before]).await? == 1)
}

/// Locks the rows of these classes until the transaction ends, and returns up to where each one's
/// snapshot goes; a class without a snapshot of this nonce is left out.
///
/// # Errors
/// If the lock is not to be had in time, or the connection is lost.
pub(crate) async fn lock_class_rows(
    transaction: &impl GenericClient,
    classes: &[ClassId],
    nonce: &str,
) -> Result<HashMap<ClassId, EventId>, Error> {
    const LOCK: &str = "SELECT class_id, through_id FROM class_state WHERE class_id = ANY($1) \
         AND nonce = $2 FOR UPDATE";
    let names: Vec<&str> = classes.iter().map(ClassId::as_str).collect();
    let rows = transaction.query(LOCK, &[&names, &nonce]).await?;
    rows.iter().map(|row| Ok((ClassId::stored(row.try_get(0)?), row.try_get(1)?))).collect()
}

/// Deletes rows of a few classes that belong to no snapshot of this nonce: they are of another
/// generation of ids, or of a class whose events were deleted. Returns how many rows; 0 once there
/// are none.
///
/// # Errors
/// If they cannot be deleted.
pub(crate) async fn delete_void_rows(
    transaction: &Transaction<'_>,
    nonce: &str,
) -> Result<u64, Error> {
    transaction.batch_execute(&local_settings()).await?;
    let void = format!(
        "DELETE FROM class_state WHERE class_id IN (SELECT class_id FROM class_state WHERE nonce \
             <> $1 LIMIT {VOID_CLASSES})"
    );
    let mut deleted = transaction.execute(&void, &[&nonce]).await?;
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
                 AND NOT EXISTS (SELECT FROM class_state AS stored WHERE stored.class_id = \
                 class.class_id) \
               LIMIT {VOID_CLASSES}))"
        );
        deleted += transaction.execute(&orphans, &[]).await?;
    }
    Ok(deleted)
}

/// Every class that has a snapshot.
///
/// # Errors
/// If they cannot be read.
pub(crate) async fn classes_with_snapshots(
    client: &impl GenericClient,
) -> Result<Vec<ClassId>, Error> {
    let rows = client.query("SELECT class_id FROM class_state ORDER BY class_id", &[]).await?;
    rows.iter().map(|row| row.try_get(0).map(ClassId::stored)).collect()
}
