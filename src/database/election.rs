//! The election of the one replica that does the housekeeping.
//!
//! The leader is the replica whose session holds an advisory lock. The lock ends with the session,
//! and the leader writes on that session alone: statements of a leader whose session has ended
//! never reach the database. So at no time do two replicas write as leaders.
//!
//! A leader whose process froze, or whose machine vanished, still holds its lock until the server
//! ends the session. The session's own settings make the server do that soon
//! (`LEADER_SETTINGS`). They do not see a leader that froze in the middle of a message, which the
//! server waits for without a limit. A replica that waits to be elected sees it, and ends that
//! session ([`end_silent_leader`]).

use std::time::Duration;

use tokio_postgres::Error;

use super::errors::explain;
use super::session::Session;

/// The first key of the leader's advisory lock: a constant of this project's. The second is the
/// table's oid, as in progress_event_lock() of sql/, so that each installation of a database has a
/// leader.
const LOCK: i32 = 1_886_547_044;
/// The second key.
const TABLE: &str = "('progress_event'::regclass::oid::bigint - 2147483648)::int";
/// The lock by which replicas of release 0.1.0 elect one leader of all installations in a database.
/// A leader holds it together with other leaders, so that no such replica leads beside it.
const FORMER_LOCK: i64 = 0x7072_6f67_7374_6174;

/// The settings of the leader's session, by which the server ends it soon after the leader's
/// process froze or its machine vanished: only then is the lock free. The leader is never silent
/// for this long while it lives. A statement may take longer, and has a separate limit. The TCP
/// settings have no effect on a Unix socket, where a process that ends always closes its end.
///
/// Snapshots need not wait for the disk. A crash of the server loses the newest of them, but WAL is
/// lost from its end: a snapshot that is left was written after the events in it, so these are left
/// too.
const LEADER_SETTINGS: &str = "\
    SET idle_session_timeout = '15s'; SET idle_in_transaction_session_timeout = '10s'; \
    SET lock_timeout = '10s'; SET statement_timeout = '60s'; \
    SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3; \
    SET tcp_user_timeout = '14s'; SET synchronous_commit = off";
/// Makes the server notice a peer that is gone while a statement runs. Not every system that
/// PostgreSQL runs on can.
const LEADER_CHECK: &str = "SET client_connection_check_interval = '2s'";

/// Sets up a session that asks to be elected.
///
/// # Errors
/// If the connection is lost, or a setting is refused.
pub(crate) async fn prepare_leader(session: &Session) -> Result<(), Error> {
    session.client.batch_execute(LEADER_SETTINGS).await?;
    if let Err(error) = session.client.batch_execute(LEADER_CHECK).await {
        tracing::debug!("the server does not look for lost clients: {}", explain(&error));
    }
    Ok(())
}

/// Asks for the leader's lock; returns whether the session has it now. It has it until it ends.
///
/// # Errors
/// If the connection is lost.
pub(crate) async fn try_elect(session: &Session) -> Result<bool, Error> {
    let client = &session.client;
    let sql = format!("SELECT pg_try_advisory_lock($1, {TABLE})");
    if !client.query_one(&sql, &[&LOCK]).await?.try_get::<_, bool>(0)? {
        return Ok(false);
    }
    const FORMER: &str = "SELECT pg_try_advisory_lock_shared($1)";
    if client.query_one(FORMER, &[&FORMER_LOCK]).await?.try_get(0)? {
        return Ok(true);
    }
    let sql = format!("SELECT pg_advisory_unlock($1, {TABLE})");
    client.execute(&sql, &[&LOCK]).await?;
    Ok(false)
}

/// Sends an empty statement, so that the server does not take the session for abandoned.
///
/// # Errors
/// If the connection is lost.
pub(crate) async fn send_keepalive(session: &Session) -> Result<(), Error> {
    session.client.batch_execute("SELECT").await
}

/// A leader that the server waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SilentLeader {
    /// The server's process, as `pg_terminate_backend` knows it.
    pub(crate) pid: i32,
    /// When that process began to wait.
    since: String,
}

/// The condition that a row of `pg_locks` is the leader's lock. The keys are those of [`LOCK`] and
/// [`TABLE`], as the view shows them.
pub(super) const IS_HELD: &str = "\
    locktype = 'advisory' AND granted AND objsubid = 2 AND classid = 1886547044 \
      AND objid = ('progress_event'::regclass::oid::bigint - 2147483648 & 4294967295)::oid \
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// The session that holds the leader's lock, if the server waits for its client to send or to take
/// bytes. Only a session of this role is found. It follows [`IS_HELD`]. The functions are asked of
/// which the views pg_locks and pg_stat_activity are made, since some servers hide the views.
const SILENT: &str = "AND pg_get_userbyid(usesysid) = current_user AND wait_event_type = 'Client'";

/// The leader, if the server waits for it at this moment.
///
/// # Errors
/// If the connection is lost.
pub(crate) async fn silent_leader(session: &Session) -> Result<Option<SilentLeader>, Error> {
    let sql = format!(
        "SELECT activity.pid, concat(backend_start, ' ', state_change) \
         FROM pg_lock_status() JOIN pg_stat_get_activity(NULL) AS activity USING (pid) \
         WHERE {IS_HELD} {SILENT}"
    );
    let row = session.client.query_opt(&sql, &[]).await?;
    row.map(|row| Ok(SilentLeader { pid: row.try_get(0)?, since: row.try_get(1)? })).transpose()
}

/// Ends the leader's session if the server has waited for it since the same moment; returns whether
/// it did.
///
/// # Errors
/// If the connection is lost, or the role may not end that session.
pub(crate) async fn end_silent_leader(
    session: &Session,
    leader: &SilentLeader,
) -> Result<bool, Error> {
    // The conditions stand in a separate statement: within one WHERE, PostgreSQL may call
    // pg_terminate_backend before it looks at them.
    let sql = format!(
        "WITH silent AS MATERIALIZED (SELECT activity.pid \
         FROM pg_lock_status() JOIN pg_stat_get_activity(NULL) AS activity USING (pid) \
         WHERE {IS_HELD} {SILENT} \
         AND activity.pid = $1 AND concat(backend_start, ' ', state_change) = $2) \
         SELECT pg_terminate_backend(pid) FROM silent"
    );
    let ended = session.client.query_opt(&sql, &[&leader.pid, &leader.since]).await?;
    ended.map_or(Ok(false), |row| row.try_get(0))
}

/// How long the server may wait for a leader before a replica that waits to be elected ends the
/// leader's session.
pub(crate) const LEADER_SILENCE: Duration = Duration::from_secs(15);
