//! The survey of a host: whether it is a primary at this moment, and the state of this replica's
//! backends there.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Error, SimpleQueryMessage, SimpleQueryRow};

use super::connect::Connector;
use super::errors::explain;
use super::settings::{is_settled, settling};
use crate::agreement::{Backend, Primary};
use crate::event::Epoch;

/// How long one host may take to answer. A later answer would be out of date.
const SURVEY_TIMEOUT: Duration = Duration::from_secs(3);

/// The answer of a primary.
#[derive(Debug, Clone)]
pub(crate) struct Surveyed {
    /// Its epoch and server.
    pub(crate) primary: Primary,
    /// The states of the watched backends.
    pub(crate) backends: HashMap<i32, Backend>,
}

impl Connector {
    /// Makes a new connection to one host of the URL. `None` if the host does not answer in time,
    /// or is no primary.
    pub(crate) async fn survey(&self, host: usize, watched: &[i32]) -> Option<Surveyed> {
        match timeout(SURVEY_TIMEOUT, ask(self, host, question(self.schema(), watched))).await {
            Ok(Ok(surveyed)) => surveyed,
            Ok(Err(reason)) => {
                tracing::debug!("a host was not surveyed: {reason}");
                None
            }
            Err(_) => None,
        }
    }
}

async fn ask(
    connector: &Connector,
    host: usize,
    question: String,
) -> Result<Option<Surveyed>, String> {
    let session = connector.open(host, "prober").await;
    let session = session.map_err(|error| error.to_string())?;
    let rows = session.client.simple_query(&question).await.map_err(|error| explain(&error))?;
    surveyed(connector.host_server(host), &rows).map_err(|error| explain(&error))
}

/// The statements of a survey, in one round trip. The function is what the view pg_stat_activity
/// shows, which some servers hide. They change no setting that outlives their
/// transaction, since the connection may lead through a pooler.
fn question(schema: Option<&str>, watched: &[i32]) -> String {
    let mut pids = String::from("0");
    for pid in watched {
        // Numbers need no quotes.
        let _ = write!(pids, ",{pid}");
    }
    let settling = settling(schema, true);
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED NOT DEFERRABLE; SET LOCAL statement_timeout = 0; \
         SET LOCAL jit = off; {settling}; \
         SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE progress_epoch() END; \
         SELECT pid, coalesce(state, ''), coalesce(wait_event, ''), \
         coalesce((extract(epoch FROM clock_timestamp() - state_change) * 1000)::bigint, 0) FROM \
         pg_stat_get_activity(NULL) WHERE pid IN ({pids}); COMMIT"
    )
}

fn surveyed(server: &str, messages: &[SimpleQueryMessage]) -> Result<Option<Surveyed>, Error> {
    let mut rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let text =
        |row: &SimpleQueryRow, at: usize| row.try_get(at).map(|text| text.map(str::to_owned));
    let Some(schema) = rows.next() else { return Ok(None) };
    if !is_settled(schema)? {
        return Ok(None);
    }
    let Some(first) = rows.next() else { return Ok(None) };
    let Some(epoch) = text(first, 0)? else { return Ok(None) };
    let mut backends = HashMap::new();
    for row in rows {
        let Some(pid) = text(row, 0)?.and_then(|pid| pid.parse().ok()) else { continue };
        let (state, wait) = (text(row, 1)?.unwrap_or_default(), text(row, 2)?.unwrap_or_default());
        let in_state = text(row, 3)?.and_then(|millis| millis.parse().ok()).unwrap_or(0);
        backends.insert(pid, Backend { state, wait, in_state: Duration::from_millis(in_state) });
    }
    let primary = Primary { epoch: Epoch::new(&epoch), server: server.to_owned() };
    Ok(Some(Surveyed { primary, backends }))
}
