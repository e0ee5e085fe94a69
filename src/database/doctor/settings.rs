//! The settings of a session and of the server.

use serde::Deserialize;
use tokio::time::timeout;

use super::ask::{ANSWER_TIMEOUT, Trouble, row, rows};
use crate::database::connect::Connector;
use crate::database::session::Session;
use crate::database::settings::settle;

/// A setting that `ALTER ROLE` or `ALTER DATABASE` has made for this role in this database.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RoleSetting {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: String,
    /// The statement that takes it back.
    pub(crate) reset: String,
}

/// The settings that were made for this role or this database.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn role_settings(session: &Session) -> Result<Vec<RoleSetting>, Trouble> {
    const MADE: &str = "\
        SELECT split_part(setting, '=', 1) AS name, \
            substr(setting, strpos(setting, '=') + 1) AS value, \
            CASE WHEN setrole = 0 AND setdatabase = 0 THEN 'ALTER ROLE ALL' \
                WHEN setrole = 0 THEN format('ALTER DATABASE %I', current_database()) \
                WHEN setdatabase = 0 THEN format('ALTER ROLE %I', session_user) \
                ELSE format('ALTER ROLE %I IN DATABASE %I', session_user, current_database()) \
            END || format(' RESET %I', split_part(setting, '=', 1)) AS reset \
        FROM pg_db_role_setting CROSS JOIN LATERAL unnest(setconfig) AS setting \
        WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) \
          AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))";
    rows(session, MADE).await
}

/// Makes the settings of a relay's session.
///
/// # Errors
/// If one is refused, or there is no such schema.
pub(crate) async fn apply_relay_settings(
    connector: &Connector,
    session: &Session,
) -> Result<(), Trouble> {
    match timeout(ANSWER_TIMEOUT, settle(&session.client, connector.schema())).await {
        Ok(settled) => settled.map_err(|error| Trouble::Refused(error.to_string())),
        Err(_) => {
            session.cancel().await;
            Err(Trouble::Late)
        }
    }
}

/// The settings that are in effect on a session, as text; empty where the server has none of this
/// name.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(crate) struct Effective {
    /// These would end a statement or a session of the relay.
    pub(crate) statement_timeout: String,
    pub(crate) lock_timeout: String,
    pub(crate) idle_session_timeout: String,
    pub(crate) idle_in_transaction_session_timeout: String,
    pub(crate) transaction_timeout: String,
    /// Order and writing depend on these.
    pub(crate) transaction_isolation: String,
    pub(crate) transaction_read_only: String,
    /// What a commit waits for.
    pub(crate) synchronous_commit: String,
    pub(crate) fsync: String,
    pub(crate) full_page_writes: String,
    /// What the server writes into its log.
    pub(crate) log_statement: String,
    pub(crate) log_min_duration_statement: String,
    pub(crate) log_min_duration_sample: String,
    pub(crate) log_statement_sample_rate: String,
    pub(crate) log_transaction_sample_rate: String,
    pub(crate) log_parameter_max_length: String,
    pub(crate) log_parameter_max_length_on_error: String,
    #[serde(rename = "auto_explain.log_min_duration")]
    pub(crate) auto_explain: String,
    #[serde(rename = "auto_explain.log_parameter_max_length")]
    pub(crate) auto_explain_length: String,
}

/// The settings in effect on this session.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn effective(session: &Session) -> Result<Effective, Trouble> {
    const NAMES: [&str; 19] = [
        "statement_timeout",
        "lock_timeout",
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
        "transaction_timeout",
        "transaction_isolation",
        "transaction_read_only",
        "synchronous_commit",
        "fsync",
        "full_page_writes",
        "log_statement",
        "log_min_duration_statement",
        "log_min_duration_sample",
        "log_statement_sample_rate",
        "log_transaction_sample_rate",
        "log_parameter_max_length",
        "log_parameter_max_length_on_error",
        "auto_explain.log_min_duration",
        "auto_explain.log_parameter_max_length",
    ];
    let columns: Vec<String> = NAMES
        .iter()
        .map(|name| format!("coalesce(current_setting('{name}', true), '') AS \"{name}\""))
        .collect();
    row(session, &format!("SELECT {}", columns.join(", "))).await
}
