//! The errors of connections and statements, classified by SQLSTATE.

use tokio_postgres::error::{Error, SqlState};

use crate::error::{WrongUsage, chain};

/// The oldest major release of PostgreSQL that the relay can use.
pub(crate) const OLDEST_POSTGRES: u32 = 14;

/// Why a connection cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be used.
    #[error("{0}")]
    Url(String),
    /// The server was not reached, or refused the connection.
    #[error("cannot connect to PostgreSQL at {server}: {reason}")]
    Refused {
        /// Host, port and database.
        server: String,
        /// The system's or the server's reason.
        reason: String,
        /// Whether another attempt will fail as well: the password, role or database is wrong.
        permanent: bool,
        /// The SQLSTATE, if the server gave one.
        code: Option<SqlState>,
    },
    /// The URL leads through a pooler that gives each transaction another connection.
    #[error("{0}")]
    Pooler(#[source] WrongUsage),
    /// The role may have fewer connections than a relay cannot do without.
    #[error("{need}: raise it, or use another role")]
    NoRoom {
        /// The numbers, and what sets the limit.
        need: String,
    },
    /// The database cannot store every text, or has text that cannot be read as UTF-8.
    #[error(
        "the database at {server} is encoded in {found}; the relay needs UTF8: CREATE DATABASE … \
         ENCODING 'UTF8' TEMPLATE template0"
    )]
    Encoding {
        /// Host, port and database.
        server: String,
        /// The database's encoding.
        found: String,
    },
    /// The server is older than [`OLDEST_POSTGRES`].
    #[error(
        "PostgreSQL at {server} is release {found}; \
         the relay needs {OLDEST_POSTGRES} or newer"
    )]
    TooOld {
        /// Host, port and database.
        server: String,
        /// The server's release.
        found: String,
    },
}

impl ConnectError {
    /// The error of a URL that leads through a pooler in transaction or statement mode.
    pub(super) fn pooler(server: &str) -> Self {
        Self::Pooler(WrongUsage::new(format!(
            "{server} is a pooler in transaction or statement mode: LISTEN, locks and settings of \
             a session do not work through it. Give the relay the database's own address with \
             --listen-url (RELAY_LISTEN_URL), or use a pooler in session mode; nothing was changed"
        )))
    }

    /// The error of all hosts together; of a single host, its own error.
    pub(super) fn of_all(mut refused: Vec<Self>, server: &str) -> Self {
        if refused.len() == 1
            && let Some(only) = refused.pop()
        {
            return only;
        }
        let permanent = !refused.is_empty() && refused.iter().all(Self::is_permanent);
        let code = refused.iter().find_map(|error| match error {
            Self::Refused { code, .. } => code.clone(),
            _ => None,
        });
        let reasons: Vec<String> = refused
            .iter()
            .map(|error| match error {
                Self::Refused { server, reason, .. } => format!("{server}: {reason}"),
                other => other.to_string(),
            })
            .collect();
        Self::Refused { server: server.to_owned(), reason: reasons.join("; "), permanent, code }
    }

    /// Whether the server, the database or the role has no room for a connection.
    pub(crate) fn is_for_want_of_room(&self) -> bool {
        matches!(self, Self::Refused { code: Some(SqlState::TOO_MANY_CONNECTIONS), .. })
    }

    /// Whether the server is starting or stopping.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self, Self::Refused { code: Some(SqlState::CANNOT_CONNECT_NOW), .. })
    }

    /// Whether trying again is of no use until an operator has acted.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::Refused { permanent: false, .. })
    }
}

/// Whether a statement's error is the fault of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The connection was lost, or the server is starting or stopping.
    Lost,
    /// The server or the session is at fault, not the rows: a lock was held, a deadline passed, the
    /// server is read-only or full.
    Server,
    /// One of the rows may be at fault, or the server may refuse all rows. Another statement with
    /// fewer rows tells which.
    Doubtful,
}

/// Classifies the error of an INSERT by its SQLSTATE. The classes are those of the appendix
/// "PostgreSQL Error Codes" of PostgreSQL's manual.
pub(crate) fn verdict(error: &Error) -> Verdict {
    if is_connection_lost(error) {
        return Verdict::Lost;
    }
    // An error without a code is the driver's: it cannot send or read a value, or the connection
    // is broken.
    let Some(state) = error.code() else { return Verdict::Lost };
    // Row-level security refuses single rows with this code; a missing right refuses all.
    if *state == SqlState::INSUFFICIENT_PRIVILEGE {
        return Verdict::Doubtful;
    }
    match state.code().get(..2) {
        // Data exception; integrity constraint; a view's check option; program limit exceeded (also
        // a full NOTIFY queue); a trigger's RAISE; a trigger's use of a feature that is not
        // supported, or of a name that is not defined.
        Some("22" | "23" | "44" | "54" | "P0" | "0A" | "42") => Verdict::Doubtful,
        _ => Verdict::Server,
    }
}

/// Whether a lock was not available in time. The connection can be used again.
pub(crate) fn is_lock_timeout(error: &Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// Whether the server or the transaction is read-only: a failover is under way, for instance.
pub(crate) fn is_read_only(error: &Error) -> bool {
    error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
}

/// Whether the connection was lost, or the server is starting or stopping. The statement may be
/// sent again on another connection.
pub(crate) fn is_connection_lost(error: &Error) -> bool {
    let state = error.code().map(SqlState::code);
    error.is_closed()
        || state.is_some_and(|state| state.starts_with("57P0") || state.starts_with("08"))
}

/// The text of an error: the server's message with its code, or the driver's with its causes. The
/// text that tokio-postgres gives is just "db error".
pub(crate) fn explain(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => chain(error),
    }
}
