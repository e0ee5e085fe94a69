//! The sessions of a pool of readers, as deadpool makes and reuses them.

use std::ops::{Deref, DerefMut};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::error::SqlState;

use super::connect::Connector;
use super::errors::ConnectError;
use super::log::READ_SETTINGS;
use super::session::Cancelling;
use super::settings::POOL_SETTINGS;

/// A backend whose client has vanished ends within this time, also in the middle of a statement.
/// Not every platform supports it.
const CHECK_CLIENT: &str = "SET client_connection_check_interval = '2s'";

pub(super) type Pool = managed::Pool<Readers>;
pub(super) type Object = managed::Object<Readers>;
pub(super) type PoolError = managed::PoolError<ConnectError>;

/// Makes the sessions of one pool. Each leads to the primary of the time at which it is made.
#[derive(Debug)]
pub(super) struct Readers {
    connector: Connector,
    /// Their name in `pg_stat_activity`.
    name: String,
}

/// One session of a pool, with its prepared statements.
#[derive(Debug)]
pub(super) struct Reader {
    client: ClientWrapper,
    cancelling: Cancelling,
}

impl Readers {
    pub(super) fn new(connector: &Connector, name: &str) -> Self {
        Self { connector: connector.clone(), name: name.to_owned() }
    }
}

impl managed::Manager for Readers {
    type Type = Reader;
    type Error = ConnectError;

    async fn create(&self) -> Result<Reader, ConnectError> {
        let session = self.connector.connect_reader(&self.name).await?;
        for settings in [READ_SETTINGS, POOL_SETTINGS] {
            let set = session.client.batch_execute(settings).await;
            set.map_err(|error| session.refused(&error))?;
        }
        match session.client.batch_execute(CHECK_CLIENT).await {
            Err(error) if error.code() != Some(&SqlState::INVALID_PARAMETER_VALUE) => {
                return Err(session.refused(&error));
            }
            _ => {}
        }
        let (client, driver, cancelling) = session.into_parts();
        Ok(Reader { client: ClientWrapper::new(client, driver), cancelling })
    }

    async fn recycle(&self, reader: &mut Reader, _: &Metrics) -> RecycleResult<ConnectError> {
        if reader.is_closed() {
            return Err(RecycleError::message("the connection has ended"));
        }
        Ok(())
    }
}

impl Reader {
    /// Asks the server to cancel the statement under way. The request may be lost.
    pub(super) async fn cancel(&self) {
        self.cancelling.cancel(&self.client).await;
    }
}

impl Deref for Reader {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        &mut self.client
    }
}
