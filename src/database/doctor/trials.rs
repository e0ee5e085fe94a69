//! The trials: the ordering lock is taken, an event is stored and undone, the doorbell is rung, a
//! commit waits for a standby.

use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::ask::{ANSWER_TIMEOUT, Trouble, bounded, first_values, rows};
use super::settings::apply_relay_settings;
use crate::database::connect::Connector;
use crate::database::doorbell::{listen_statement, notification_queue_usage, notify};
use crate::database::errors::is_lock_timeout;
use crate::database::session::Session;

/// A transaction of a trial waits this long for a lock, and no statement of it runs longer.
const LIMITS: &str = "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '3s'";
/// How many rings must arrive. A pooler may deliver the first one by chance.
const RINGS: usize = 3;
/// How long a ring may take.
const RING_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a standby may take to confirm a commit.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);
/// The beginning of a payload by which a listener proves that it hears. A relay ignores the proofs
/// of others.
const PROOF: &str = "proof ";

/// The outcome of taking the ordering lock.
#[derive(Debug)]
pub(crate) enum LockTrial {
    /// It was granted after this time, and released.
    Granted(Duration),
    /// It was not granted in time.
    Held(Vec<Holder>),
}

/// A session that holds the ordering lock.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Holder {
    /// The server's process.
    pub(crate) pid: i32,
    /// Its `application_name`.
    pub(crate) application: String,
    /// The role; empty if the session has ended.
    pub(crate) role: String,
}

/// The sessions that hold the ordering lock. Its key is that of progress_event_lock() in sql/.
const HOLDERS: &str = "\
    SELECT pid, coalesce(application_name, '') AS application, coalesce(usename, '') AS role \
    FROM pg_locks LEFT JOIN pg_stat_activity USING (pid) \
    WHERE locktype = 'advisory' AND granted AND classid = 1886545776 \
      AND objid = (('progress_event'::regclass::oid::bigint - 2147483648) & 4294967295)::oid \
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Takes the ordering lock in a transaction, and releases it at once.
///
/// # Errors
/// If the server refuses it for another reason than that it is held.
pub(crate) async fn try_lock(session: &Session) -> Result<LockTrial, Trouble> {
    let begun = Instant::now();
    let sql = format!("BEGIN; {LIMITS}; SELECT progress_event_lock(); ROLLBACK");
    let tried = timeout(ANSWER_TIMEOUT, session.client.batch_execute(&sql)).await;
    let waited = begun.elapsed();
    match tried {
        Ok(Ok(())) => Ok(LockTrial::Granted(waited)),
        Ok(Err(error)) => {
            undo(session).await;
            if !is_lock_timeout(&error) {
                return Err(Trouble::of(&error));
            }
            Ok(LockTrial::Held(rows(session, HOLDERS).await?))
        }
        Err(_) => {
            session.cancel().await;
            undo(session).await;
            Err(Trouble::Late)
        }
    }
}

/// Ends a transaction in which a statement has failed.
async fn undo(session: &Session) {
    let _ = bounded(session, session.client.batch_execute("ROLLBACK")).await;
}

/// The outcome of storing an event.
#[derive(Debug)]
pub(crate) enum WriteTrial {
    /// It was stored, under the ordering lock, and undone.
    Stored,
    /// It was stored, and the ordering lock was not taken.
    Unordered,
    /// A lock on the way was not granted in time.
    Waited,
}

/// Stores an event in a transaction, looks whether that has taken the ordering lock, and undoes it.
/// An id is used up, which is as if a retry had come.
///
/// # Errors
/// If the server refuses the event.
pub(crate) async fn try_write(session: &Session) -> Result<WriteTrial, Trouble> {
    let sql = format!(
        "BEGIN; {LIMITS}; INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, \
         body) VALUES (gen_random_uuid(), 'progress-relay doctor', 'doctor', clock_timestamp(), \
         '{{}}'); SELECT count(*) FROM ({HOLDERS}) AS holders WHERE pid = pg_backend_pid(); \
         ROLLBACK"
    );
    match timeout(ANSWER_TIMEOUT, session.client.simple_query(&sql)).await {
        Ok(Ok(messages)) => {
            let is_held = first_values(&messages).iter().any(|count| count != "0");
            Ok(if is_held { WriteTrial::Stored } else { WriteTrial::Unordered })
        }
        Ok(Err(error)) => {
            undo(session).await;
            if is_lock_timeout(&error) { Ok(WriteTrial::Waited) } else { Err(Trouble::of(&error)) }
        }
        Err(_) => {
            session.cancel().await;
            undo(session).await;
            Err(Trouble::Late)
        }
    }
}

/// Listens on one session and rings from another; returns how many rings of how many arrived, and
/// the slowest. No relay looks at the table for such a ring.
///
/// # Errors
/// If a session cannot be opened, or LISTEN or NOTIFY is refused.
pub(crate) async fn hear_rings(
    connector: &Connector,
    host: usize,
    ringer: &Session,
) -> Result<(usize, usize, Duration), Trouble> {
    let (heard, mut rings) = mpsc::unbounded_channel();
    let mark = format!("{PROOF}doctor {:016x} ", fastrand::u64(..));
    let own = mark.clone();
    let notified = move |payload: &str| {
        if payload.starts_with(&own) {
            // The receiver is gone when the trial is over.
            let _ = heard.send(payload.to_owned());
        }
    };
    let listener = connector.open_again(host, notified).await?;
    apply_relay_settings(connector, &listener).await?;
    apply_relay_settings(connector, ringer).await?;
    let listen = bounded(&listener, listen_statement(&listener)).await?;
    bounded(&listener, listener.client.batch_execute(&listen)).await?;
    let (mut arrived, mut slowest) = (0, Duration::ZERO);
    for number in 0..RINGS {
        let payload = format!("{mark}{number}");
        let rung = Instant::now();
        bounded(ringer, notify(ringer, &payload)).await?;
        if timeout(RING_TIMEOUT, rings.recv()).await.ok().flatten() == Some(payload) {
            arrived += 1;
            slowest = slowest.max(rung.elapsed());
        }
    }
    bounded(&listener, listener.client.batch_execute("UNLISTEN *")).await?;
    Ok((arrived, RINGS, slowest))
}

/// How full the server's queue of notifications is, from 0 to 1. To ask also shortens it.
///
/// # Errors
/// If the server does not tell.
pub(crate) async fn queue_usage(session: &Session) -> Result<f64, Trouble> {
    bounded(session, notification_queue_usage(session)).await
}

/// Commits a message to the WAL, which changes no table, and waits until the standbys have
/// confirmed it; returns the time that it took, or `None` if they did not confirm it in time. The
/// wait is then cancelled.
///
/// # Errors
/// If the server refuses it.
pub(crate) async fn confirmed_commit(session: &Session) -> Result<Option<Duration>, Trouble> {
    const MESSAGE: &str = "SELECT pg_logical_emit_message(true, 'progress_relay', 'doctor')";
    let begun = Instant::now();
    let before = session.unconfirmed();
    let mut commit = std::pin::pin!(session.client.simple_query(MESSAGE));
    match timeout(CONFIRM_TIMEOUT, &mut commit).await {
        Ok(Ok(_)) if session.unconfirmed() == before => Ok(Some(begun.elapsed())),
        Ok(Ok(_)) => Ok(None),
        Ok(Err(error)) => Err(Trouble::of(&error)),
        Err(_) => {
            session.cancel().await;
            // The session is used again, so the answer is awaited.
            let _ = timeout(ANSWER_TIMEOUT, commit).await;
            Ok(None)
        }
    }
}
