//! The other sessions of the database: long transactions, and the relays.

use serde::Deserialize;

use super::ask::{Trouble, rows};
use crate::database::election;
use crate::database::session::Session;

/// A session in a transaction.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TransactionRow {
    /// The server's process.
    pub(crate) pid: i32,
    /// Its `application_name`.
    pub(crate) application: String,
    /// Its role.
    pub(crate) role: String,
    /// `active`, `idle in transaction` …
    pub(crate) state: String,
    /// How many seconds the transaction has been open.
    pub(crate) open: f64,
    /// Whether it holds a lock for which an INSERT of events waits.
    pub(crate) blocks: bool,
}

/// The sessions of this database that have been in a transaction for over `seconds`, the oldest
/// first, and the sessions of other roles whose transactions this role may not see.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn transactions(
    session: &Session,
    seconds: u32,
) -> Result<(Vec<TransactionRow>, usize), Trouble> {
    let open = format!(
        "SELECT activity.pid, coalesce(application_name, '') AS application, \
            coalesce(usename, '') AS role, coalesce(state, '') AS state, \
            extract(epoch FROM clock_timestamp() - xact_start)::float8 AS open, \
            EXISTS (SELECT FROM pg_locks WHERE pg_locks.pid = activity.pid AND granted \
                AND (relation = 'progress_event'::regclass AND mode IN ('ShareLock', \
                        'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') \
                    OR locktype = 'advisory' AND classid = 1886545776 AND objsubid = 2 \
                        AND objid = ('progress_event'::regclass::oid::bigint - 2147483648 \
                            & 4294967295)::oid)) AS blocks \
        FROM pg_stat_activity AS activity \
        WHERE datname = current_database() AND activity.pid <> pg_backend_pid() \
            AND backend_type = 'client backend' \
            AND xact_start < clock_timestamp() - make_interval(secs => {seconds}) \
        ORDER BY xact_start LIMIT 5"
    );
    const HIDDEN: &str = "\
        SELECT pid FROM pg_stat_activity \
        WHERE datname = current_database() AND state IS NULL AND backend_type IS NULL";
    #[derive(Deserialize)]
    struct Hidden {
        #[serde(rename = "pid")]
        _pid: i32,
    }
    let open = rows(session, &open).await?;
    let hidden: Vec<Hidden> = rows(session, HIDDEN).await?;
    Ok((open, hidden.len()))
}

/// A session of a relay.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RelaySession {
    /// The part of the relay that has it.
    pub(crate) part: String,
    /// The address of its machine; empty on a Unix socket, and for a role that may not know it.
    pub(crate) address: String,
}

/// The sessions of running relays on this database.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn relays(session: &Session) -> Result<Vec<RelaySession>, Trouble> {
    const RELAYS: &str = "\
        SELECT substr(application_name, length('progress-relay ') + 1) AS part, \
            coalesce(host(client_addr), '') AS address \
        FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name LIKE 'progress-relay %' \
          AND application_name <> 'progress-relay doctor'";
    rows(session, RELAYS).await
}

/// How many installations the database has, each in its schema. A session does not show to which
/// of them it belongs.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn installations(session: &Session) -> Result<usize, Trouble> {
    const TABLES: &str =
        "SELECT oid::bigint FROM pg_class WHERE relname = 'relay_migration' AND relkind = 'r'";
    #[derive(Deserialize)]
    struct Table {
        #[serde(rename = "oid")]
        _oid: i64,
    }
    Ok(rows::<Table>(session, TABLES).await?.len())
}

/// The session that holds the leader's lock.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LeaderRow {
    /// The server's process.
    pub(crate) pid: i32,
    /// Its `application_name`.
    pub(crate) application: String,
    /// The address of its machine; empty on a Unix socket, and for a role that may not know it.
    pub(crate) address: String,
}

/// The session that holds the leader's lock, if there is one.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn leader(session: &Session) -> Result<Option<LeaderRow>, Trouble> {
    let is_held = election::IS_HELD;
    let leader = format!(
        "SELECT pid, coalesce(application_name, '') AS application, \
            coalesce(host(client_addr), '') AS address \
        FROM pg_locks LEFT JOIN pg_stat_activity USING (pid) WHERE {is_held}"
    );
    Ok(rows(session, &leader).await?.pop())
}
