//! Running relays: whether each lives and is ready, its release, epoch and clock.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use time::PrimitiveDateTime;
use time::macros::format_description;
use tokio::time::timeout;

use super::checks::{Check, Scope};
use super::finding::Notes;
use super::server::judge_clock;
use crate::client::BaseUrl;
use crate::client::http::{Connection, Response};
use crate::client::ws::{Frame, Subscriber};
use crate::migrate::RELEASE;

/// How long a relay may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The class that is subscribed to. It has no events.
const CLASS: &str = "progress-relay doctor";
/// A `Date` header has whole seconds.
const DATE_ERROR: f64 = 1.0;

#[derive(Deserialize)]
struct Health {
    release: String,
}

#[derive(Deserialize)]
struct Readiness {
    ready: bool,
    #[serde(default)]
    draining: bool,
    checks: Map<String, Value>,
}

/// Asks a relay. Returns the epoch that it serves.
pub(super) async fn examine(relay: &BaseUrl, notes: &Notes) -> Option<String> {
    let mut connection = match timeout(ANSWER_TIMEOUT, Connection::open(relay)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            unreached(notes, &error.to_string());
            return None;
        }
        Err(_) => {
            unreached(notes, "no answer");
            return None;
        }
    };
    connection.set_answer_timeout(ANSWER_TIMEOUT);
    match health(&mut connection).await {
        Ok((health, answer)) => {
            notes.right(Check::RelayReached, "/healthz answers");
            note_release(&health.release, notes);
            note_clock(&answer, notes);
        }
        Err(reason) => {
            unreached(notes, &reason);
            return None;
        }
    }
    match readiness(&mut connection).await {
        Ok(readiness) => note_readiness(&readiness, notes),
        Err(reason) => notes.wrong(
            Check::RelayReady,
            format!("/readyz: {reason}"),
            "look into the relay's log",
        ),
    }
    epoch(relay, notes).await
}

fn unreached(notes: &Notes, reason: &str) {
    notes.wrong(
        Check::RelayReached,
        format!("no relay answers: {reason}"),
        "start it, or correct --url: the relay's own http://HOST:PORT, from its line `listening \
             on`",
    );
    notes.untried(Scope::Relay, "no relay answers");
}

async fn health(connection: &mut Connection) -> Result<(Health, Response), String> {
    let answer = connection.get("/healthz").await.map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("/healthz was answered {}", answer.status));
    }
    let health = answer.json().map_err(|error| format!("/healthz: {error}"))?;
    Ok((health, answer))
}

async fn readiness(connection: &mut Connection) -> Result<Readiness, String> {
    let answer = connection
        .request("GET", "/readyz", &[], Bytes::new())
        .await
        .map_err(|error| error.to_string())?;
    answer.json().map_err(|error| error.to_string())
}

fn note_release(release: &str, notes: &Notes) {
    if release == RELEASE {
        notes.right(Check::RelayRelease, format!("release {release}"));
    } else {
        notes.remark(
            Check::RelayRelease,
            format!("release {release}; this command is of release {RELEASE}"),
            "upgrade the older of the two",
        );
    }
}

fn note_clock(answer: &Response, notes: &Notes) {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = answer.header("date").and_then(|date| PrimitiveDateTime::parse(date, format).ok());
    let here = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    match (date, here) {
        (Some(date), Ok(here)) => {
            // The header has whole seconds.
            #[expect(clippy::cast_precision_loss, reason = "exact for 285 million years")]
            let there = date.assume_utc().unix_timestamp() as f64 + 0.5;
            let ahead = there - here.as_secs_f64();
            judge_clock(Check::RelayClock, "the relay's clock", ahead, DATE_ERROR, notes);
        }
        _ => notes.unknown(Check::RelayClock, "the answer has no Date"),
    }
}

fn note_readiness(readiness: &Readiness, notes: &Notes) {
    let faults: Vec<_> = readiness
        .checks
        .iter()
        .filter(|(_, state)| state.as_str() != Some("ok"))
        .map(|(name, state)| format!("{name}: {}", state.as_str().unwrap_or_default()))
        .collect();
    let faults = faults.join("; ");
    if readiness.draining {
        notes.remark(Check::RelayReady, "it ends: it has received SIGTERM", "start another one");
    } else if !readiness.ready {
        notes.wrong(
            Check::RelayReady,
            format!("it is not ready: {faults}"),
            "correct what it names; a balancer sends it nothing until then",
        );
    } else if faults.is_empty() {
        notes.right(Check::RelayReady, "it is ready");
    } else {
        notes.remark(
            Check::RelayReady,
            format!("it is ready, and says: {faults}"),
            "correct what it names",
        );
    }
}

/// Subscribes as a dashboard does, and takes the epoch from the first cursor.
async fn epoch(relay: &BaseUrl, notes: &Notes) -> Option<String> {
    let subscribed = async {
        let classes = [CLASS.to_owned()];
        let mut subscriber =
            Subscriber::connect(relay, &classes, None).await.map_err(|error| error.to_string())?;
        loop {
            match subscriber.next().await {
                Ok(Frame::Live { cursor } | Frame::Mark { cursor }) => return Ok(cursor),
                Ok(Frame::Closed { reason, .. }) => return Err(format!("it closed: {reason}")),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    };
    let failed = match timeout(ANSWER_TIMEOUT, subscribed).await {
        Ok(Ok(cursor)) => return cursor.split('.').next().map(str::to_owned),
        Ok(Err(reason)) => reason,
        Err(_) => "no cursor in time".to_owned(),
    };
    notes.wrong(
        Check::RelayEpoch,
        format!("a dashboard cannot subscribe: {failed}"),
        "a proxy must let HTTP upgrades through; otherwise look into the relay's log",
    );
    None
}
