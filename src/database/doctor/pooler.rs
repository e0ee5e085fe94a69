//! Whether a pooler between here and the server gives each transaction another connection.

use super::ask::{Trouble, bounded, first_values};
use crate::database::connect::Connector;
use crate::database::session::Session;

/// How many times the second session looks. A pooler may hand out the same connection by chance.
const LOOKS: usize = 3;

/// Whether two sessions share connections to the server. While the second one is in a transaction,
/// a pooler has to give the first one another connection, or has given the first one's connection
/// to the second. The transaction is read-only, and rolled back.
///
/// # Errors
/// If the server refuses a second session.
pub(crate) async fn shares_connections(
    connector: &Connector,
    host: usize,
    session: &Session,
) -> Result<bool, Trouble> {
    let other = connector.open_again(host, |_| {}).await?;
    for _ in 0..LOOKS {
        let before = pid(session, "SELECT pg_backend_pid()").await?;
        let beside = pid(&other, "BEGIN READ ONLY; SELECT pg_backend_pid()").await?;
        let after = pid(session, "SELECT pg_backend_pid()").await?;
        pid(&other, "ROLLBACK").await?;
        if beside == before || after != before {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn pid(session: &Session, sql: &str) -> Result<Option<String>, Trouble> {
    let messages = bounded(session, session.client.simple_query(sql)).await?;
    Ok(first_values(&messages).pop())
}
