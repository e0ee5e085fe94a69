//! The version of the log, on which snapshots depend.

use tokio_postgres::{Error, GenericClient, Transaction};

use crate::event::{ClassId, Epoch};

/// The log's version. A snapshot may be written only under the version that its events were read
/// under: under another, ids may mean other events, or events may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogVersion {
    /// The generation of ids.
    pub(crate) epoch: Epoch,
    /// How many statements have deleted events.
    pub(crate) deletions: i64,
}

/// Holds the log at a version until the transaction ends: meanwhile the nonce cannot be renewed,
/// and events cannot be deleted. Returns the nonce, to stamp snapshots with; `None` if the version
/// is another by now.
///
/// This is the first statement of every transaction that writes snapshots. All of its other locks
/// are taken after this one, so that two such transactions cannot wait for each other.
///
/// # Errors
/// If the lock is not granted in time, or the connection is lost.
pub(crate) async fn hold_log(
    transaction: &impl GenericClient,
    version: &LogVersion,
) -> Result<Option<String>, Error> {
    const HOLD: &str = "SELECT nonce FROM progress_log WHERE progress_epoch(nonce) = $1 AND \
         deletions = $2 FOR SHARE";
    let row =
        transaction.query_opt(HOLD, &[&version.epoch.to_string(), &version.deletions]).await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// Begins another version of the log, as if events of the class had been deleted, and rings. Every
/// replica then drops the class from memory and loads it again, and the leader's round under the
/// version before can no longer be written. Returns the nonce; `None` if the version is another by
/// now.
///
/// # Errors
/// If the lock is not granted in time, or the connection is lost.
pub(crate) async fn begin_version_without(
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
    // The trigger on DELETE keeps the same number of rows.
    transaction
        .execute("DELETE FROM progress_deletion WHERE deletion <= $1::bigint - 1000", &[&deletions])
        .await?;
    transaction.execute("SELECT pg_notify(progress_channel(), '')", &[]).await?;
    row.try_get(0).map(Some)
}
