//! The server around the relay: replication, clock, disk, connections, vacuum.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::ask::{Trouble, row, rows};
use crate::database::session::Session;

/// The synchronous replication that is configured.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Synchronous {
    /// `synchronous_standby_names`; empty if no commit waits.
    pub(crate) names: String,
    /// The standbys that stream now.
    pub(crate) streaming: i64,
}

/// The synchronous replication that is configured.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn synchronous(session: &Session) -> Result<Synchronous, Trouble> {
    const NAMES: &str = "\
        SELECT current_setting('synchronous_standby_names') AS names, \
            (SELECT count(*) FROM pg_stat_replication) AS streaming";
    row(session, NAMES).await
}

/// A standby that streams.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Standby {
    /// Its name.
    pub(crate) name: String,
    /// `async`, `sync`, `quorum` …; `None` if this role may not know.
    pub(crate) sync: Option<String>,
    /// The WAL in bytes that it has not replayed.
    pub(crate) behind: Option<i64>,
    /// The seconds by which its replay is late.
    pub(crate) late: Option<f64>,
}

/// The standbys that stream from this server.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn standbys(session: &Session) -> Result<Vec<Standby>, Trouble> {
    const STANDBYS: &str = "\
        SELECT application_name AS name, sync_state AS sync, \
            CASE WHEN replay_lsn IS NOT NULL THEN \
                pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint END AS behind, \
            extract(epoch FROM replay_lag)::float8 AS late \
        FROM pg_stat_replication ORDER BY 1";
    rows(session, STANDBYS).await
}

/// A replication slot.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Slot {
    /// Its name.
    pub(crate) name: String,
    /// Whether someone streams from it.
    pub(crate) active: bool,
    /// `reserved`, `extended` (beyond max_wal_size), `unreserved`, `lost`.
    pub(crate) wal_status: Option<String>,
    /// The WAL in bytes that it holds back.
    pub(crate) held: Option<i64>,
}

/// The replication slots of the server.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn slots(session: &Session) -> Result<Vec<Slot>, Trouble> {
    const SLOTS: &str = "\
        SELECT slot_name::text AS name, active, wal_status, \
            pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS held \
        FROM pg_replication_slots ORDER BY 1";
    rows(session, SLOTS).await
}

/// By how many seconds the server's clock is ahead of this machine's (negative if it is behind),
/// and how wrong that may be, which is half of the round trip.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn clock(session: &Session) -> Result<(f64, f64), Trouble> {
    #[derive(Deserialize)]
    struct Now {
        now: f64,
    }
    const CLOCK: &str = "SELECT extract(epoch FROM pg_catalog.clock_timestamp())::float8 AS now";
    let before = seconds();
    let Now { now } = row(session, CLOCK).await?;
    let after = seconds();
    Ok((now - (before + after) / 2.0, (after - before) / 2.0))
}

fn seconds() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.as_ref().map_or(0.0, Duration::as_secs_f64)
}

/// The database's size, and the server's folder.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Disk {
    /// The database's size in bytes.
    pub(crate) bytes: i64,
    /// The server's folder, if this role may know it.
    pub(crate) folder: Option<String>,
}

/// The database's size and the server's folder.
///
/// # Errors
/// If the server does not tell the size.
pub(crate) async fn disk(session: &Session) -> Result<Disk, Trouble> {
    const DISK: &str = "\
        SELECT pg_database_size(current_database()) AS bytes, \
            (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS folder";
    row(session, DISK).await
}

/// How many connections the server, the database and the role take, and how many are in use.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Connections {
    /// Of the server for ordinary roles, and in use.
    pub(crate) server: i64,
    pub(crate) server_used: i64,
    /// Of the database; -1 without a limit.
    pub(crate) database: i64,
    pub(crate) database_used: i64,
    /// Of the role; -1 without a limit.
    pub(crate) role: i64,
    pub(crate) role_used: i64,
    /// Whether limits do not hold for the role.
    pub(crate) superuser: bool,
    /// The sessions of this command, which end with it.
    pub(crate) own: i64,
    /// The sessions of the relays that run.
    pub(crate) relays: i64,
}

/// The limits of connections.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn connections(session: &Session) -> Result<Connections, Trouble> {
    const LIMITS: &str = "\
        SELECT current_setting('max_connections')::bigint \
                - current_setting('superuser_reserved_connections')::bigint \
                - coalesce(current_setting('reserved_connections', true), '0')::bigint AS server, \
            (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL \
                AND coalesce(backend_type, 'client backend') = 'client backend') AS server_used, \
            datconnlimit::bigint AS database, \
            (SELECT count(*) FROM pg_stat_activity WHERE datid = pg_database.oid \
                AND coalesce(backend_type, 'client backend') = 'client backend') AS database_used, \
            rolconnlimit::bigint AS role, \
            (SELECT count(*) FROM pg_stat_activity WHERE usesysid = pg_roles.oid \
                AND datid IS NOT NULL) AS role_used, \
            (SELECT count(*) FROM pg_stat_activity \
                WHERE application_name = 'progress-relay doctor' \
                    AND datid = pg_database.oid) AS own, \
            (SELECT count(*) FROM pg_stat_activity \
                WHERE application_name LIKE 'progress-relay %' \
                    AND application_name <> 'progress-relay doctor' \
                    AND datid = pg_database.oid) AS relays, \
            rolsuper AS superuser \
        FROM pg_database CROSS JOIN pg_roles \
        WHERE datname = current_database() AND rolname = session_user";
    row(session, LIMITS).await
}

/// What vacuum does for the database and the table of events.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Vacuum {
    /// Whether autovacuum runs, which needs the counts of rows.
    pub(crate) is_on: bool,
    /// The tables for which it is switched off.
    pub(crate) excluded: Vec<String>,
    /// The transactions since the oldest that is not frozen.
    pub(crate) age: i64,
    /// The age at which the server freezes by force.
    pub(crate) freeze_age: i64,
    /// The table with the most dead rows, how many, and how many live.
    pub(crate) table: Option<String>,
    pub(crate) dead: Option<i64>,
    pub(crate) live: Option<i64>,
}

/// What vacuum does.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn vacuum(session: &Session) -> Result<Vacuum, Trouble> {
    const VACUUM: &str = "\
        SELECT current_setting('autovacuum')::bool AND current_setting('track_counts')::bool \
                AS is_on, \
            (SELECT coalesce(json_agg(format('%I.%I', nspname, relname)), '[]') FROM pg_class \
                JOIN pg_namespace ON pg_namespace.oid = relnamespace \
                WHERE relnamespace = (SELECT relnamespace FROM pg_class \
                        WHERE oid = 'progress_event'::regclass) \
                  AND (relname ~ '^progress_' OR relname ~ '_state$') \
                  AND EXISTS (SELECT FROM unnest(reloptions) AS option \
                        WHERE option ~* '^autovacuum_enabled=(off|false|no|0)')) AS excluded, \
            age(datfrozenxid)::bigint AS age, \
            current_setting('autovacuum_freeze_max_age')::bigint AS freeze_age, \
            relname AS table, n_dead_tup AS dead, n_live_tup AS live \
        FROM pg_database LEFT JOIN (SELECT * FROM pg_stat_user_tables \
                WHERE schemaname = (SELECT nspname FROM pg_class JOIN pg_namespace \
                        ON pg_namespace.oid = relnamespace \
                        WHERE pg_class.oid = 'progress_event'::regclass) \
                ORDER BY n_dead_tup DESC LIMIT 1) AS tables ON true \
        WHERE datname = current_database()";
    row(session, VACUUM).await
}
