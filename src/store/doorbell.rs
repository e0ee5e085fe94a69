//! The doorbell: the channel on which every replica is told of new events.

use tokio_postgres::Error;

use super::session::Session;

/// The channel on which the doorbell rings.
pub(crate) const CHANNEL: &str = "progress_event";

/// Rings the doorbell with a payload. A ring that announces events has an empty one.
pub(crate) async fn notify(session: &Session, payload: &str) -> Result<(), Error> {
    session.client.execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &payload]).await.map(|_| ())
}
