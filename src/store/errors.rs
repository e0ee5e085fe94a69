//! The errors of connections and statements, and what they mean to the relay.

use tokio_postgres::error::{Error, SqlState};

use crate::error::chain;

/// Oldest major release of PostgreSQL that the SQL here is for (`pg_locks.waitstart`).
pub const OLDEST_POSTGRES: u32 = 14;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be used.
    #[error("{0}")]
    Url(String),
    /// The server was not reached, or refused.
    #[error("cannot connect to PostgreSQL at {place}: {reason}")]
    Refused {
        /// Host, port and database.
        place: String,
        /// What the system or the server said.
        reason: String,
        /// Whether another attempt can only fail too: password, role or database wrong.
        permanent: bool,
    },
    /// Not every text would fit, and not every text that is there could be read.
    #[error(
        "the database at {place} is encoded in {found}; the relay needs UTF8: CREATE DATABASE … \
         ENCODING 'UTF8' TEMPLATE template0"
    )]
    Encoding {
        /// Host, port and database.
        place: String,
        /// The database's encoding.
        found: String,
    },
    /// Older than [`OLDEST_POSTGRES`].
    #[error("PostgreSQL at {place} is release {found}; the relay needs {OLDEST_POSTGRES} or newer")]
    TooOld {
        /// Host, port and database.
        place: String,
        /// The server's release.
        found: String,
    },
}

impl ConnectError {
    /// What several hosts said; one of them alone is its own error.
    pub(super) fn of_all(mut refused: Vec<Self>, place: &str) -> Self {
        if refused.len() == 1
            && let Some(only) = refused.pop()
        {
            return only;
        }
        let permanent = !refused.is_empty() && refused.iter().all(Self::is_permanent);
        let said: Vec<String> = refused
            .iter()
            .map(|error| match error {
                Self::Refused { place, reason, .. } => format!("{place}: {reason}"),
                other => other.to_string(),
            })
            .collect();
        Self::Refused { place: place.to_owned(), reason: said.join("; "), permanent }
    }

    /// Whether trying again is of no use until a person has done something.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::Refused { permanent: false, .. })
    }
}

/// What an error of a statement means for what it carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The connection is gone, or the server is starting or stopping.
    Lost,
    /// The server or the session is at fault, whatever the statement carried: a lock or a deadline
    /// was in the way, the server is read-only or full, a right is missing.
    Server,
    /// One of the rows may be at fault, or all would be: only another statement can tell.
    Doubtful,
}

/// Judges an error of an INSERT. The classes are those of the manual's appendix "PostgreSQL Error
/// Codes".
pub fn verdict(error: &Error) -> Verdict {
    if is_connection_lost(error) {
        return Verdict::Lost;
    }
    // Without a code it is the driver's: a value that it cannot send or read, or a broken
    // connection.
    let Some(state) = error.code() else { return Verdict::Lost };
    // These forbid a row where row-level security is on, and everything where it is not.
    if *state == SqlState::INSUFFICIENT_PRIVILEGE {
        return Verdict::Doubtful;
    }
    match state.code().get(..2) {
        // Data exception; integrity constraint; a view's check option; program limit exceeded (also
        // a full NOTIFY queue); a trigger's RAISE; what a trigger does may not be supported or not
        // be defined.
        Some("22" | "23" | "44" | "54" | "P0" | "0A" | "42") => Verdict::Doubtful,
        _ => Verdict::Server,
    }
}

/// Whether a lock was not to be had in time: nothing is wrong with the connection.
pub fn is_lock_timeout(error: &Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// Whether the connection is gone, or the server is starting or stopping: what was asked may be
/// asked again on another.
pub fn is_connection_lost(error: &Error) -> bool {
    let state = error.code().map(SqlState::code);
    error.is_closed()
        || state.is_some_and(|state| state.starts_with("57P0") || state.starts_with("08"))
}

/// An error with its causes and, from the server, its code: tokio-postgres's own text is just "db
/// error".
pub fn explain(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => chain(error),
    }
}
