//! The settings of a session, by which the relay does not depend on what a role, a database or the
//! server has set for other applications.
//!
//! The first of them is the schema. Every statement of the relay names its tables and functions
//! without a schema, and means those of one installation. [`settle`] finds the installation's
//! schema and makes it the only one on the session's `search_path`, before temporary tables. So a
//! name never means another schema's table, whatever the role's `search_path` is.

use tokio_postgres::error::Error;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::errors::explain;

/// The settings of every session. No deadlines of the server's; READ COMMITTED, which the order of
/// ids depends on; read-write; texts of values in one format; the index scans and nested loops
/// that the relay's statements are written for; and keepalives by which the server detects that
/// this machine is gone. No statement's values go to the server's log when it fails: they are
/// students' work. `row_security = off` would turn a policy of the operator's into an error.
///
/// They are the first that a session sends, since the role's deadlines may be too short for any
/// query: the estimates of never-analysed tables are so high that the server compiles a statement
/// for half a second and more. SET looks up no name, so no `search_path` misleads it.
const SESSION_SETTINGS: &str = "\
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_session_timeout = 0; \
    SET idle_in_transaction_session_timeout = 0; SET jit = off; \
    SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; \
    SET default_transaction_deferrable = off; SET client_min_messages = notice; \
    SET exit_on_error = off; SET row_security = on; SET log_parameter_max_length_on_error = 0; \
    SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; \
    SET extra_float_digits = 1; SET bytea_output = 'hex'; SET standard_conforming_strings = on; \
    SET enable_indexscan = on; SET enable_indexonlyscan = on; SET enable_nestloop = on; \
    SET plan_cache_mode = auto; \
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 2; \
    SET tcp_user_timeout = 20000";

/// The settings that depend on the server's, once names mean those of the relay's schema. A commit
/// waits for the disk and, where one is configured, for the synchronous standby; this is set even
/// if it is so already, so that a reload of the server's settings does not change it.
/// `transaction_timeout` exists in PostgreSQL 17 and newer.
const DEPENDENT_SETTINGS: &str = "\
    SELECT set_config('transaction_timeout', '0', false) \
        WHERE current_setting('transaction_timeout', true) IS NOT NULL; \
    SELECT set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') \
        IN ('off', 'local') THEN 'on' ELSE current_setting('synchronous_commit') END, false)";

/// The settings of a session of the pool that reads history, after [`settle`]. The server
/// ends a statement soon after the reader's deadline of 30 s. It gives up a lock before the
/// deadline, so that the reader's error names the lock.
pub(super) const POOL_SETTINGS: &str = "\
    SET statement_timeout = '31s'; SET lock_timeout = '20s'; \
    SET idle_in_transaction_session_timeout = '60s'; SET default_transaction_read_only = on";

/// Why a session cannot be settled in its schema.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettleError {
    /// The statement failed.
    #[error("{}", explain(.0))]
    Database(Error),
    /// There is no such schema.
    #[error("{0}")]
    Schema(String),
}

// #[from] would make the error the source as well, and the message would have its text twice.
impl From<Error> for SettleError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// Gives a new session its settings, and makes the installation's schema the only one on its
/// `search_path`. The schema is `schema`, or else the first one on the role's `search_path` that
/// has the relay's tables, or else the first one there in which the role may create them. If the
/// role may use none, the path stays as it is; the look at the privileges names what is missing.
///
/// # Errors
/// If the schema that the connection string names does not exist, or the connection is lost.
pub(super) async fn settle(client: &Client, schema: Option<&str>) -> Result<(), SettleError> {
    let rows = client.simple_query(&session_settings(schema)).await?;
    let found = rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(is_settled(row)),
        _ => None,
    });
    match schema {
        Some(schema) if !found.transpose()?.unwrap_or(false) => {
            let schema = format!("\"{}\"", schema.replace('"', "\"\""));
            Err(SettleError::Schema(format!(
                "the database has no schema {schema}, which the connection string names: CREATE \
                 SCHEMA {schema}"
            )))
        }
        _ => Ok(()),
    }
}

/// The statements of [`settle`].
pub(super) fn session_settings(schema: Option<&str>) -> String {
    let settling = settling(schema, false);
    // The role's default may be a transaction that a standby refuses, or one that waits.
    format!(
        "{SESSION_SETTINGS}; BEGIN ISOLATION LEVEL READ COMMITTED NOT DEFERRABLE; {settling}; \
         {DEPENDENT_SETTINGS}; COMMIT"
    )
}

/// The statement by which [`settle`] sets the `search_path`; with `local`, until the end of the
/// transaction. It returns one row: the new `search_path`, which is NULL if there is no schema.
///
/// The statement runs on the role's `search_path`, on which the schemas of other roles may come
/// before PostgreSQL's own. So it names everything in full, operators and types too.
pub(super) fn settling(schema: Option<&str>, local: bool) -> String {
    let chosen = match schema {
        // A longer name would be cut by a cast to `name`.
        Some(schema) => {
            format!("nspname::pg_catalog.text OPERATOR(pg_catalog.=) {}", literal(schema))
        }
        None => "nspname OPERATOR(pg_catalog.=) (\
            SELECT path.name \
            FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) \
                WITH ORDINALITY AS path (name, place) \
            WHERE NOT pg_catalog.starts_with(path.name::pg_catalog.text, 'pg_') \
            ORDER BY EXISTS (\
                SELECT FROM pg_catalog.pg_class AS relation, pg_catalog.pg_namespace AS space \
                WHERE relation.relname OPERATOR(pg_catalog.=) 'relay_migration' \
                    AND relation.relnamespace OPERATOR(pg_catalog.=) space.oid \
                    AND space.nspname OPERATOR(pg_catalog.=) path.name) DESC, \
                pg_catalog.has_schema_privilege(path.name::pg_catalog.text, 'CREATE') DESC, \
                path.place LIMIT 1)"
            .to_owned(),
    };
    format!(
        "SELECT CASE WHEN nspname IS NOT NULL THEN pg_catalog.set_config('search_path', \
             pg_catalog.format('%I, pg_temp', nspname), {local}) END \
         FROM (SELECT) AS always LEFT JOIN pg_catalog.pg_namespace ON {chosen}"
    )
}

/// Whether the statement [`settling`], which has returned this row, has found a schema.
pub(super) fn is_settled(row: &SimpleQueryRow) -> Result<bool, Error> {
    Ok(row.try_get(0)?.is_some())
}

/// A text as SQL has it, whatever `standard_conforming_strings` is.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted() {
        assert_eq!(literal(r"a'b\c"), r"E'a''b\\c'");
    }
}
