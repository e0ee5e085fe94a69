//! `progress-relay doctor`: tries a deployment and says what is right, what is wrong, and what to
//! do.
//!
//! Each check tries something against the deployment: it connects to every host, takes the ordering
//! lock, stores an event and undoes it, rings the doorbell. Nothing that it does disturbs a relay
//! that runs: transactions are rolled back, a lock is held for one round trip, and every wait is
//! bounded. It needs no more rights than a relay. Where it would, it says what it cannot see.
//!
//! - `checks`: the table of every check; `finding`: what a check finds; `report`: how it is shown
//! - `hosts`, `settings`, `schema`, `trials`, `replication`, `server`, `sessions`: a group of
//!   checks each, of one URL
//! - `relays`: running relays

mod checks;
mod finding;
mod hosts;
mod relays;
mod replication;
mod report;
mod schema;
mod server;
mod sessions;
mod settings;
mod trials;

use std::time::Duration;

use futures::future::{join, join_all};
use tokio::time::timeout;

use crate::client::BaseUrl;
use crate::database::Connector;
use crate::database::doctor::{LogPlace, log_place, shares_connections};

use checks::{Check, Scope};
use finding::Notes;
use hosts::PrimaryHost;
pub(crate) use report::Report;

/// How long the checks of one URL may take. Each has a shorter limit; a server that answers none of
/// them ends the whole.
const URL_DEADLINE: Duration = Duration::from_secs(25);

/// A deployment.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// The URLs of the database.
    pub(crate) databases: Vec<DatabaseUrl>,
    /// The relays that are asked.
    pub(crate) relays: Vec<BaseUrl>,
}

/// One URL of the database.
#[derive(Debug)]
pub(crate) struct DatabaseUrl {
    /// The flag that gave it.
    pub(crate) flag: &'static str,
    /// Connects to it.
    pub(crate) connector: Connector,
    /// Whether the relay listens, writes and locks by it. The other URL may lead through a pooler.
    pub(crate) is_direct: bool,
}

/// Tries everything.
pub(crate) async fn examine(deployment: &Deployment) -> Report {
    let databases = join_all(deployment.databases.iter().map(|url| async move {
        let notes = Notes::about(url.flag.to_owned());
        let place = examine_database(url, &notes).await;
        (url, notes, place)
    }));
    let relays = join_all(deployment.relays.iter().map(|relay| async move {
        let notes = Notes::about(relay.to_string());
        let epoch = relays::examine(relay, &notes).await;
        (notes, epoch)
    }));
    let (databases, relays) = join(databases, relays).await;
    let direct = databases.iter().find(|(url, ..)| url.is_direct);
    let direct = direct.and_then(|(_, _, place)| place.as_ref());
    let mut findings = Vec::new();
    for (url, notes, place) in &databases {
        if !url.is_direct {
            compare_databases(direct, place.as_ref(), notes);
        }
        findings.extend(notes.findings());
    }
    for (notes, epoch) in &relays {
        compare_epochs(direct, epoch.as_deref(), notes);
        findings.extend(notes.findings());
    }
    Report::of(findings)
}

/// Tries one URL. Returns the place of the log that it leads to.
async fn examine_database(url: &DatabaseUrl, notes: &Notes) -> Option<LogPlace> {
    let (place, reason) = match timeout(URL_DEADLINE, try_database(url, notes)).await {
        Ok((place, reason)) => (place, reason),
        Err(_) => (None, "the database did not answer in time"),
    };
    notes.untried(Scope::Host, reason);
    if url.is_direct {
        notes.untried(Scope::Direct, reason);
    }
    place
}

/// Tries one URL. Returns the place of its log, and why the rest was not tried.
async fn try_database(url: &DatabaseUrl, notes: &Notes) -> (Option<LogPlace>, &'static str) {
    let Some(primary) = hosts::look(&url.connector, notes).await else {
        return (None, "no single primary was reached");
    };
    let PrimaryHost { host, session, look } = &primary;
    let is_shared = match shares_connections(&url.connector, *host, session).await {
        Ok(is_shared) => is_shared,
        Err(trouble) => {
            notes.trouble(Check::Pooler, &trouble);
            return (None, "the database takes no second session");
        }
    };
    note_pooler(url, is_shared, notes);
    if !url.is_direct {
        return (log_place(session).await.ok(), "");
    }
    if is_shared {
        return (None, "a pooler would keep what is set on the session");
    }
    settings::check(&url.connector, session, notes).await;
    if !schema::check_migrations(session, notes).await {
        server::check(session, look, notes).await;
        return (None, "the relay's tables are not there");
    }
    // The trials need a second session. The others go on beside them.
    let trials = async {
        match url.connector.look_in(*host).await {
            Ok((ringer, _)) => trials::check_bell(&url.connector, *host, &ringer, notes).await,
            Err(error) => notes.wrong(
                Check::Listen,
                format!("there is no second session: {error}"),
                "raise the limit that the message names",
            ),
        }
    };
    let rest = async {
        schema::check_tables(session, notes).await;
        trials::check_writing(session, notes).await;
        let place = trials::check_epoch(session, notes).await;
        replication::check(session, notes).await;
        server::check(session, look, notes).await;
        sessions::check(session, notes).await;
        place
    };
    let ((), place) = join(trials, rest).await;
    (place, "")
}

fn note_pooler(url: &DatabaseUrl, is_shared: bool, notes: &Notes) {
    match (is_shared, url.is_direct) {
        (false, _) => {
            notes.right(Check::Pooler, "a session keeps its connection to the server");
        }
        (true, true) => notes.wrong(
            Check::Pooler,
            "a pooler gives each transaction another connection: LISTEN, locks and settings are \
             lost, or stay behind on a connection that others use",
            "--listen-url postgres://…   # the database directly, past the pooler",
        ),
        (true, false) => notes.right(
            Check::Pooler,
            "a pooler gives each transaction another connection; --listen-url leads past it",
        ),
    }
}

/// Both URLs must lead to the same log.
fn compare_databases(direct: Option<&LogPlace>, other: Option<&LogPlace>, notes: &Notes) {
    match (direct, other) {
        (Some(direct), Some(other))
            if (&direct.home, &direct.nonce) == (&other.home, &other.nonce) =>
        {
            notes.right(Check::SameDatabase, "leads to the same log as --listen-url");
        }
        (Some(direct), Some(other)) => notes.wrong(
            Check::SameDatabase,
            format!(
                "leads to another log than --listen-url: epoch {} there, {} here",
                direct.epoch, other.epoch
            ),
            "name the same database, and the same schema, in both URLs",
        ),
        _ => notes.unknown(Check::SameDatabase, "not tried: one of the two logs was not read"),
    }
}

/// A relay must serve the log that the URL leads to.
fn compare_epochs(direct: Option<&LogPlace>, epoch: Option<&str>, notes: &Notes) {
    match (direct, epoch) {
        (Some(direct), Some(epoch)) if direct.epoch == epoch => {
            notes.right(Check::RelayEpoch, format!("it serves epoch {epoch}, as the database"));
        }
        (Some(direct), Some(epoch)) => notes.wrong(
            Check::RelayEpoch,
            format!("it serves epoch {epoch}, and the database has {}", direct.epoch),
            "give the relay and this command the same --database-url; if it is the same, restart \
             the relay",
        ),
        _ => notes.untried(Scope::Relay, "the epoch of the database or of the relay is not known"),
    }
}
