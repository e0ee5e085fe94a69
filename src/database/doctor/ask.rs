//! One bounded question to the server.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, SimpleQueryMessage};

use crate::database::errors::explain;
use crate::database::session::Session;
use crate::database::settings::settling;

/// How long the server may take to answer a question.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// Why a question has no answer.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// The role may not know it.
    Denied(String),
    /// The server refused the statement.
    Refused(String),
    /// The server did not answer in time.
    Late,
}

impl Trouble {
    pub(super) fn of(error: &Error) -> Self {
        match error.code() {
            Some(state) if *state == SqlState::INSUFFICIENT_PRIVILEGE => {
                Self::Denied(explain(error))
            }
            _ => Self::Refused(explain(error)),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why) => write!(f, "not visible to this role: {why}"),
            Self::Refused(why) => f.write_str(why),
            Self::Late => write!(f, "no answer within {} s", ANSWER_TIMEOUT.as_secs()),
        }
    }
}

/// Waits for an answer within the time limit. A statement that is late is cancelled.
pub(super) async fn bounded<T>(
    session: &Session,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Trouble> {
    match timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(|error| Trouble::of(&error)),
        Err(_) => {
            session.cancel().await;
            Err(Trouble::Late)
        }
    }
}

/// The rows of a query, each read by the names of its columns. The simple protocol needs no
/// prepared statement, which a pooler may not know.
pub(super) async fn rows<T: DeserializeOwned>(
    session: &Session,
    query: &str,
) -> Result<Vec<T>, Trouble> {
    let sql = format!("SELECT coalesce(json_agg(found), '[]')::text FROM ({query}) AS found");
    let messages = bounded(session, session.client.simple_query(&sql)).await?;
    let text = first_values(&messages).into_iter().next().unwrap_or_default();
    serde_json::from_str(&text).map_err(|error| Trouble::Refused(format!("{error} in {text}")))
}

/// The only row of a query.
pub(super) async fn row<T: DeserializeOwned>(session: &Session, query: &str) -> Result<T, Trouble> {
    let mut rows = rows(session, query).await?;
    match rows.pop() {
        Some(row) if rows.is_empty() => Ok(row),
        Some(_) => Err(Trouble::Refused(format!("{} rows instead of one", rows.len() + 1))),
        None => Err(Trouble::Refused("no row instead of one".to_owned())),
    }
}

/// The only row of a query on a session without settings: the installation's schema and the
/// deadlines are those of the transaction alone.
pub(super) async fn local_row<T: DeserializeOwned>(
    session: &Session,
    schema: Option<&str>,
    query: &str,
) -> Result<T, Trouble> {
    let settling = settling(schema, true);
    let sql = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY NOT DEFERRABLE; \
         SET LOCAL statement_timeout = '3s'; {settling}; \
         SELECT coalesce(json_agg(found), '[]')::text FROM ({query}) AS found; COMMIT"
    );
    let messages = bounded(session, session.client.simple_query(&sql)).await?;
    let text = first_values(&messages).pop().unwrap_or_default();
    let mut rows: Vec<T> =
        serde_json::from_str(&text).map_err(|error| Trouble::Refused(format!("{error}")))?;
    rows.pop().ok_or_else(|| Trouble::Refused("no row instead of one".to_owned()))
}

/// The first column of each row of an answer, as text; an empty text for NULL.
pub(super) fn first_values(messages: &[SimpleQueryMessage]) -> Vec<String> {
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.try_get(0).ok().flatten().unwrap_or_default()),
        _ => None,
    });
    rows.map(str::to_owned).collect()
}
