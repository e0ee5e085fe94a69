//! The epoch, and whether the log is in the place in which its nonce was made.

use serde::Deserialize;

use super::ask::{Trouble, row};
use crate::database::session::Session;

/// The log's row, compared with the server.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LogPlace {
    /// The epoch, as cursors begin with it.
    pub(crate) epoch: String,
    /// The nonce alone.
    pub(crate) nonce: String,
    /// Whether a relay has noted the place.
    pub(crate) is_known: bool,
    /// Whether cluster, database and table are those in which the nonce was made.
    pub(crate) is_same_place: bool,
    /// Whether the timeline is the one that was noted.
    pub(crate) is_same_timeline: bool,
    /// The system identifier of the cluster with the database's oid, or the latter alone.
    pub(crate) home: String,
}

/// The log's row.
///
/// # Errors
/// If the server refuses it, or there is not exactly one row.
pub(crate) async fn log_place(session: &Session) -> Result<LogPlace, Trouble> {
    const PLACE: &str = "\
        SELECT progress_epoch(nonce) AS epoch, nonce, home IS NOT NULL AS is_known, \
            (home, home_table) \
                IS NOT DISTINCT FROM (progress_home(), 'progress_event'::regclass::oid) \
                AS is_same_place, \
            timeline IS NOT DISTINCT FROM progress_epoch('') AS is_same_timeline, \
            progress_home() AS home \
        FROM progress_log";
    row(session, PLACE).await
}
