//! The epoch, and whether the log is in the place in which its nonce was made.

use serde::Deserialize;

use super::ask::{Trouble, local_row, row};
use crate::database::connect::Connector;
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
    /// The timeline of the WAL; empty if the server does not tell it.
    pub(crate) timeline: String,
    /// The schema of the installation, as SQL names it.
    pub(crate) schema: String,
}

/// The log's row. With a connector, the session has no settings, and gets the schema for this
/// question alone.
///
/// # Errors
/// If the server refuses it, or there is not exactly one row.
pub(crate) async fn log_place(
    session: &Session,
    connector: Option<&Connector>,
) -> Result<LogPlace, Trouble> {
    const PLACE: &str = "\
        SELECT progress_epoch(nonce) AS epoch, nonce, home IS NOT NULL AS is_known, \
            (home, home_table) \
                IS NOT DISTINCT FROM (progress_home(), 'progress_event'::regclass::oid) \
                AS is_same_place, \
            timeline IS NOT DISTINCT FROM progress_epoch('') AS is_same_timeline, \
            progress_home() AS home, progress_epoch('') AS timeline, \
            quote_ident(current_schema()) AS schema \
        FROM progress_log";
    match connector {
        None => row(session, PLACE).await,
        Some(connector) => local_row(session, connector.schema(), PLACE).await,
    }
}
