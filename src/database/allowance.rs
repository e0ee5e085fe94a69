//! How many connections the server lets the relay's role have, compared with what a relay needs.

use tokio_postgres::Error;

use super::errors::ConnectError;
use super::pages::MOST_SESSIONS;
use super::room::{ESSENTIAL_SESSIONS, HELD_SESSIONS};
use super::session::Session;

/// The smallest limit on the connections of the session's role, and what sets it. The reservation
/// for other roles exists from PostgreSQL 16 on. A superuser has no limit but the server's.
const LIMIT: &str = "\
    SELECT allowed, name FROM ( \
        SELECT rolconnlimit::bigint AS allowed, \
            format('the CONNECTION LIMIT of role %I', rolname) AS name \
        FROM pg_catalog.pg_roles WHERE rolname = session_user AND NOT rolsuper \
      UNION ALL SELECT datconnlimit, format('the CONNECTION LIMIT of database %I', datname) \
        FROM pg_catalog.pg_database WHERE datname = current_database() AND NOT \
            (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user) \
      UNION ALL SELECT current_setting('max_connections')::bigint \
            - current_setting('superuser_reserved_connections')::bigint \
            - coalesce(current_setting('reserved_connections', true), '0')::bigint, \
            'max_connections less the reserved ones' \
    ) AS limits WHERE allowed >= 0 ORDER BY allowed LIMIT 1";

/// The connections that a role may have at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// How many.
    pub(crate) allowed: i64,
    /// What sets the limit, as an operator knows it.
    pub(crate) by: String,
}

impl Allowance {
    /// Asks the server; `None` if nothing limits the role.
    ///
    /// # Errors
    /// If the connection is lost.
    pub(crate) async fn ask(client: &tokio_postgres::Client) -> Result<Option<Self>, Error> {
        let row = client.query_opt(LIMIT, &[]).await?;
        row.map(|row| Ok(Self { allowed: row.try_get(0)?, by: row.try_get(1)? })).transpose()
    }

    /// Whether the role may not have this many.
    pub(crate) fn is_below(&self, needed: usize) -> bool {
        usize::try_from(self.allowed).is_ok_and(|allowed| allowed < needed)
    }
}

/// Makes sure that the role may have the connections that writing and listening need. Warns if
/// readers would have to wait.
///
/// # Errors
/// If it may not, or the server cannot be asked.
pub(crate) async fn check_allowance(session: &Session) -> Result<(), ConnectError> {
    let asked = Allowance::ask(&session.client).await.map_err(|error| session.refused(&error))?;
    let Some(Allowance { allowed, by }) =
        asked.filter(|allowance| allowance.is_below(MOST_SESSIONS))
    else {
        tracing::debug!("a relay takes up to {MOST_SESSIONS} connections");
        return Ok(());
    };
    let need = format!(
        "a relay takes {ESSENTIAL_SESSIONS} connections to write and to listen, and up to {} more \
         to read history; {by} is {allowed}",
        MOST_SESSIONS - ESSENTIAL_SESSIONS
    );
    if usize::try_from(allowed).unwrap_or(0) < HELD_SESSIONS {
        return Err(ConnectError::NoRoom { need });
    }
    tracing::warn!("{need}: readers may have to wait, raise it to {MOST_SESSIONS} for each relay");
    Ok(())
}
