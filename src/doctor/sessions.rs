//! The other sessions of the database: transactions that are left open, and the relays.

use std::collections::BTreeMap;
use std::time::Duration;

use super::checks::Check;
use super::finding::Notes;
use crate::database::Session;
use crate::database::doctor::{RelaySession, installations, leader, relays, transactions};

/// A transaction that is open for this many seconds is looked at; without a lock that events wait
/// for, it is worth a remark only later.
const OPEN_SECONDS: u32 = 5;
const REMARK_SECONDS: f64 = 60.0;
/// An election takes less than this.
const ELECTION: Duration = Duration::from_secs(3);
/// The part of a relay that it has once.
const ONCE: &str = "listener";

/// Looks at the other sessions.
pub(super) async fn check(session: &Session, notes: &Notes) {
    check_transactions(session, notes).await;
    check_replicas(session, notes).await;
}

async fn check_transactions(session: &Session, notes: &Notes) {
    let (open, hidden) = match transactions(session, OPEN_SECONDS).await {
        Ok(found) => found,
        Err(trouble) => return notes.trouble(Check::Transactions, &trouble),
    };
    let mut is_good = true;
    for row in &open {
        let what = format!(
            "pid {} ({:?}, role {}) has been in a transaction for {:.0} s ({})",
            row.pid, row.application, row.role, row.open, row.state
        );
        let end = format!("-- end it there, or:\nSELECT pg_terminate_backend({});", row.pid);
        if row.blocks {
            is_good = false;
            let what = format!("{what}, and holds a lock for which every event waits");
            notes.wrong(Check::Transactions, what, end);
        } else if row.open >= REMARK_SECONDS {
            is_good = false;
            let what = format!("{what}: vacuum cannot remove what it may still see");
            notes.remark(Check::Transactions, what, end);
        }
    }
    if is_good && hidden == 0 {
        notes.right(Check::Transactions, "none is left open");
    } else if is_good {
        notes.unknown(
            Check::Transactions,
            format!("{hidden} sessions of other roles are not visible to this role"),
        );
    }
}

async fn check_replicas(session: &Session, notes: &Notes) {
    let found = match relays(session).await {
        Ok(found) => found,
        Err(trouble) => return notes.trouble(Check::Replicas, &trouble),
    };
    let running = found.iter().filter(|session| session.part == ONCE).count();
    let mut leads = leader(session).await;
    if running > 0 && matches!(leads, Ok(None)) {
        tokio::time::sleep(ELECTION).await;
        leads = leader(session).await;
    }
    let leads = match leads {
        Ok(leads) => leads,
        Err(trouble) => return notes.trouble(Check::Replicas, &trouble),
    };
    let places = places(&found);
    match leads {
        Some(leads) if !leads.application.starts_with("progress-relay ") => notes.wrong(
            Check::Replicas,
            format!(
                "pid {} ({:?}) holds the leader's lock and is no relay: no snapshot is written",
                leads.pid, leads.application
            ),
            format!("SELECT pg_terminate_backend({});", leads.pid),
        ),
        None if running > 0 && installations(session).await.is_ok_and(|count| count > 1) => notes
            .remark(
                Check::Replicas,
                format!(
                    "no relay leads this schema; the relays of all schemas of the database: \
                     {running} ({places})"
                ),
                "progress-relay serve   # if none of them is of this schema",
            ),
        None if running > 0 => notes.wrong(
            Check::Replicas,
            format!("connected relays: {running} ({places}); none of them leads"),
            "look into the relays' logs for `leader`: without one, no snapshot is written",
        ),
        None => notes.remark(Check::Replicas, "no relay is connected", "progress-relay serve"),
        Some(leads) => {
            let at = if leads.address.is_empty() {
                String::new()
            } else {
                format!(" at {}", leads.address)
            };
            notes.right(
                Check::Replicas,
                format!("connected relays: {running} ({places}); pid {}{at} leads", leads.pid),
            );
        }
    }
}

/// How many sessions of relays come from each address.
fn places(found: &[RelaySession]) -> String {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for session in found {
        *places.entry(&session.address).or_default() += 1;
    }
    let places: Vec<_> = places
        .into_iter()
        .map(|(place, count)| match place {
            "" => format!("{count} sessions"),
            place => format!("{count} sessions from {place}"),
        })
        .collect();
    places.join(", ")
}
