//! Whether a connection keeps its server process.
//!
//! Behind a pooler in transaction mode each transaction runs on another connection to the server.
//! LISTEN then hears nothing, and a lock or a setting of a session is left behind on a connection
//! that other applications use. Nothing in the protocol names such a pooler, so it is tried, before
//! anything is set or locked: while a second connection holds a transaction open, the first must
//! still have its process, and the second must have another one. Both transactions only read.

use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// How often it is tried. Other clients of a busy pooler may take the connection that the second
/// one would have got.
const ROUNDS: usize = 3;
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the first connection's answer may take while the second one is in a transaction. All
/// rounds together must fit into the time of one address.
const TURN_TIMEOUT: Duration = Duration::from_millis(600);

/// What was seen of two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::database) enum Sharing {
    /// Each keeps its own server process.
    Own,
    /// Transactions take turns on the server's processes.
    Shared,
    /// There was no answer in time.
    Unknown,
}

/// Tries whether `first` keeps its server process while `second` is in a transaction.
///
/// # Errors
/// If a connection is lost.
pub(in crate::database) async fn sharing(
    first: &Client,
    second: &Client,
) -> Result<Sharing, Error> {
    let Ok(own) = timeout(ANSWER_TIMEOUT, pid(first, PID)).await else {
        return Ok(Sharing::Unknown);
    };
    let own = own?;
    let mut waited = 0;
    for _ in 0..ROUNDS {
        match round(first, second, own).await? {
            Round::Apart => {}
            Round::Mixed => return Ok(Sharing::Shared),
            Round::Silent => return Ok(Sharing::Unknown),
            Round::Waited => waited += 1,
        }
    }
    // A slow server may answer late once; to wait for the other's transaction each time is the mark
    // of a pooler with a single connection to the server.
    Ok(match waited {
        0 => Sharing::Own,
        ROUNDS => Sharing::Shared,
        _ => Sharing::Unknown,
    })
}

// The role's settings are not overridden yet: its transactions may wait for those of other
// applications, and its deadlines be too short for a busy server.
const PID: &str = "SET LOCAL TRANSACTION ISOLATION LEVEL READ COMMITTED NOT DEFERRABLE; \
     SET LOCAL statement_timeout = 0; SELECT pg_catalog.pg_backend_pid()";
const BEGIN_AND_PID: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY NOT DEFERRABLE; \
     SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
     SELECT pg_catalog.pg_backend_pid()";

enum Round {
    /// Each had its own process.
    Apart,
    /// One had the other's process, or another one than before.
    Mixed,
    /// The first one's answer came only when the second one's transaction had ended.
    Waited,
    /// No answer came.
    Silent,
}

async fn round(first: &Client, second: &Client, own: i32) -> Result<Round, Error> {
    let other = pid(second, BEGIN_AND_PID);
    let other = match timeout(ANSWER_TIMEOUT, other).await {
        Ok(Ok(other)) => other,
        // A pooler in statement mode refuses a transaction of several statements. Any other error
        // is the server's, and says nothing of a pooler.
        Ok(Err(error)) if refuses_transactions(&error) => return Ok(Round::Mixed),
        Ok(Err(error)) => return Err(error),
        Err(_) => return Ok(Round::Silent),
    };
    let mut answer = pin!(pid(first, PID));
    let in_time = timeout(TURN_TIMEOUT, &mut answer).await;
    match timeout(ANSWER_TIMEOUT, second.batch_execute("ROLLBACK")).await {
        Ok(ended) => ended?,
        Err(_) => return Ok(Round::Silent),
    }
    match in_time {
        Ok(again) => {
            let is_apart = again? == own && other != own;
            Ok(if is_apart { Round::Apart } else { Round::Mixed })
        }
        Err(_) => match timeout(ANSWER_TIMEOUT, answer).await {
            Ok(again) => again.map(|_| Round::Waited),
            Err(_) => Ok(Round::Silent),
        },
    }
}

/// Whether a pooler has refused a transaction: PgBouncer by the code of all its errors.
fn refuses_transactions(error: &Error) -> bool {
    let codes = [SqlState::PROTOCOL_VIOLATION, SqlState::FEATURE_NOT_SUPPORTED];
    error.code().is_some_and(|code| codes.contains(code))
}

/// The server process that answers; 0 if the answer is not a number.
async fn pid(client: &Client, question: &str) -> Result<i32, Error> {
    let answer = client.simple_query(question).await?;
    let pid = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    Ok(pid.unwrap_or_default())
}
