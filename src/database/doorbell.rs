//! The doorbell: the channel on which every replica of an installation is told of new events, a
//! ring by hand, and the server's queue of notifications.

use tokio_postgres::Error;

use super::session::Session;

/// The statement by which a session listens on the channel of its installation.
pub(crate) async fn listen_statement(session: &Session) -> Result<String, Error> {
    const CHANNEL: &str = "SELECT quote_ident(progress_channel())";
    let statement = session.client.query_typed(CHANNEL, &[]).await?;
    let channel: String =
        statement.first().map_or_else(|| Ok(String::new()), |row| row.try_get(0))?;
    Ok(format!("LISTEN {channel}"))
}

/// Rings the doorbell with a payload. A ring that announces events has an empty one.
pub(crate) async fn notify(session: &Session, payload: &str) -> Result<(), Error> {
    const RING: &str = "SELECT pg_notify(progress_channel(), $1)";
    session.client.execute(RING, &[&payload]).await.map(|_| ())
}

/// How full the server's queue of notifications is, from 0 to 1.
///
/// To ask also shortens the queue. PostgreSQL removes the notifications that every listener has
/// received only when a notification is added, or when this is asked. A queue that is full takes no
/// notification, so without the question it would stay full, and every event would be refused, long
/// after the session that had filled it is gone.
pub(crate) async fn notification_queue_usage(session: &Session) -> Result<f64, Error> {
    session.client.query_one("SELECT pg_notification_queue_usage()", &[]).await?.try_get(0)
}
