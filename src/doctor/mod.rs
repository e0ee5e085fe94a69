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
use crate::database::doctor::{HostLook, LogPlace, log_place, shares_connections};
use crate::database::{Connector, Session};

use checks::{Check, Scope};
use finding::Notes;
use hosts::PrimaryHost;
pub(crate) use report::Report;

/// How long the checks of one URL may take. Each has a shorter limit; a server that answers none of
/// them ends the whole.
const URL_DEADLINE: Duration = Duration::from_secs(25);

/// A pooler in session mode has the connections of a session that has ended ready after this.
const POOLER_PAUSE: Duration = Duration::from_millis(200);

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
    // Where the database is not known, the relays are compared with the first of them.
    let first = relays.iter().find_map(|(_, epoch)| epoch.as_deref());
    let expected = direct.map(|place| &*place.epoch).or(first.filter(|_| relays.len() > 1));
    for (notes, epoch) in &relays {
        compare_epochs(expected, epoch.as_deref(), notes);
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
    let Some(primary) = &hosts::look(&url.connector, notes).await else {
        return (None, "no single primary was reached");
    };
    let PrimaryHost { host, session, look } = primary;
    let (is_shared, ringer) = match try_pooler(&url.connector, primary).await {
        Ok(found) => found,
        Err(reason) => {
            notes.wrong(
                Check::Connections,
                format!("there is no second session: {reason}"),
                "raise the limit that the message names, or end other sessions",
            );
            return (None, "the database takes no second session");
        }
    };
    note_pooler(url, is_shared, ringer.as_ref(), notes);
    if !url.is_direct {
        return (log_place(session, Some(&url.connector)).await.ok(), "");
    }
    let Some((ringer, _)) = ringer else {
        return (None, "a pooler would keep what is set on the session");
    };
    if !settings::check(&url.connector, session, look, notes).await {
        return (None, "the relay's settings were refused");
    }
    if !schema::check_migrations(session, notes).await {
        server::check(session, look, notes).await;
        return (None, "the relay's tables are not there");
    }
    // The bell needs sessions of its own. The other checks go on beside it.
    let bell = trials::check_bell(&url.connector, *host, &ringer, notes);
    let rest = async {
        schema::check_tables(session, notes).await;
        trials::check_writing(session, look, notes).await;
        let place = trials::check_epoch(session, notes).await;
        replication::check(session, notes).await;
        server::check(session, look, notes).await;
        sessions::check(session, notes).await;
        place
    };
    let ((), place) = join(bell, rest).await;
    (place, "")
}

/// Looks whether two sessions share connections to the server. If they do not, it opens one more,
/// once those of a pooler in session mode are free again.
async fn try_pooler(
    connector: &Connector,
    primary: &PrimaryHost,
) -> Result<(bool, Option<(Session, HostLook)>), String> {
    let PrimaryHost { host, session, .. } = primary;
    let is_shared = shares_connections(connector, *host, session).await;
    if is_shared.map_err(|trouble| trouble.to_string())? {
        return Ok((true, None));
    }
    tokio::time::sleep(POOLER_PAUSE).await;
    let opened = connector.look_in(*host).await;
    Ok((false, Some(opened.map_err(|error| error.to_string())?)))
}

fn note_pooler(
    url: &DatabaseUrl,
    is_shared: bool,
    second: Option<&(Session, HostLook)>,
    notes: &Notes,
) {
    let is_reused = second.is_some_and(|(_, look)| look.is_reused);
    match (is_shared, url.is_direct) {
        (false, true) if is_reused => notes.remark(
            Check::Pooler,
            "a pooler in session mode: it works, and each session of a relay takes one of the \
             pooler's connections to the server",
            "--listen-url postgres://…   # the database directly, or enough connections in the \
                 pool",
        ),
        (false, _) => notes.right(Check::Pooler, "a session keeps its connection to the server"),
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
fn compare_epochs(expected: Option<&str>, epoch: Option<&str>, notes: &Notes) {
    match (expected, epoch) {
        (Some(expected), Some(epoch)) if expected == epoch => {
            notes.right(Check::RelayEpoch, format!("it serves epoch {epoch}, as it must"));
        }
        (Some(expected), Some(epoch)) => notes.wrong(
            Check::RelayEpoch,
            format!("it serves epoch {epoch}, and the database has {expected}"),
            "give the relay and this command the same --database-url; if it is the same, restart \
             the relay",
        ),
        _ => notes.untried(Scope::Relay, "the epoch of the database or of the relay is not known"),
    }
}
