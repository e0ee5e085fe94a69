//! Whether a pooler between here and the server gives each transaction another connection.

use super::ask::Trouble;
use crate::database::connect::{Connector, Sharing, sharing};
use crate::database::session::Session;

/// Whether two sessions share connections to the server. Nothing is set or locked.
///
/// # Errors
/// If the server refuses a second session, or does not answer.
pub(crate) async fn shares_connections(
    connector: &Connector,
    host: usize,
    session: &Session,
) -> Result<bool, Trouble> {
    let other = connector.open_again(host, |_| {}).await?;
    match sharing(&session.client, &other.client).await {
        Ok(Sharing::Own) => Ok(false),
        Ok(Sharing::Shared) => Ok(true),
        Ok(Sharing::Unknown) => Err(Trouble::Late),
        Err(error) => Err(Trouble::of(&error)),
    }
}
