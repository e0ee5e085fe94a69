//! The doorbell's channel, and a ring by hand.

use tokio_postgres::Error;

use super::session::Session;

/// The channel that the doorbell rings on.
pub const CHANNEL: &str = "progress_event";

/// Rings with `payload`; the relay's own bells have none.
pub async fn notify(session: &Session, payload: &str) -> Result<(), Error> {
    session.client.execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &payload]).await.map(|_| ())
}
