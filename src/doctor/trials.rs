//! The trials of what a relay does: the ordering lock, a write, the epoch, the doorbell.

use std::time::Duration;

use super::checks::Check;
use super::finding::Notes;
use crate::database::doctor::{
    HostLook, LockTrial, LogPlace, Trouble, WriteTrial, hear_rings, log_place, queue_usage,
    try_lock, try_write,
};
use crate::database::{Connector, Session};

/// A queue of notifications this full (80 MB) is being held back, unless it shrinks at once.
const QUEUE_IS_HELD: f64 = 0.01;
/// The pause between two looks at a queue that is not empty.
const QUEUE_PAUSE: Duration = Duration::from_millis(500);

/// Takes the ordering lock, and stores an event.
pub(super) async fn check_writing(session: &Session, look: &HostLook, notes: &Notes) {
    match try_lock(session).await {
        Ok(LockTrial::Granted(waited)) => {
            notes.right(Check::Lock, format!("the ordering lock was granted in {}", millis(waited)))
        }
        Ok(LockTrial::Held(holders)) => {
            let names: Vec<_> = holders
                .iter()
                .map(|holder| {
                    format!("pid {} ({:?}, role {})", holder.pid, holder.application, holder.role)
                })
                .collect();
            let commands: Vec<_> = holders
                .iter()
                .map(|holder| format!("SELECT pg_terminate_backend({});", holder.pid))
                .collect();
            notes.wrong(
                Check::Lock,
                format!(
                    "no event can be stored: the ordering lock is held by {}",
                    names.join(", ")
                ),
                format!("-- end that session, or:\n{}", commands.join("\n")),
            );
            notes.unknown(Check::Write, "not tried: the ordering lock is held");
            return;
        }
        Err(trouble) => notes.wrong(
            Check::Lock,
            format!("the ordering lock cannot be taken: {trouble}"),
            "progress-relay migrate   # or grant the role what the message names",
        ),
    }
    match try_write(session).await {
        Ok(WriteTrial::Stored) => notes.right(Check::Write, "an event was stored, and undone"),
        Ok(WriteTrial::Unordered) => notes.wrong(
            Check::Write,
            "an event was stored without the ordering lock: dashboards will miss events",
            "see the finding about the triggers",
        ),
        Ok(WriteTrial::Waited) => notes.wrong(
            Check::Write,
            "an event was not stored within 2 s: another session holds a lock",
            "see the finding about transactions",
        ),
        Err(trouble @ Trouble::Denied(_)) => notes.wrong(
            Check::Write,
            format!("events cannot be stored: {trouble}"),
            format!("progress-relay migrate --grant {}   # as the owner of the tables", look.role),
        ),
        Err(trouble) => notes.wrong(
            Check::Write,
            format!("events cannot be stored: {trouble}"),
            "correct what the message names; every POST is answered 503 until then",
        ),
    }
}

/// Computes the epoch. Returns it with the place of the log.
pub(super) async fn check_epoch(session: &Session, notes: &Notes) -> Option<LogPlace> {
    let place = match log_place(session, None).await {
        Ok(place) => place,
        Err(trouble) => {
            notes.wrong(
                Check::Epoch,
                format!("the epoch cannot be computed, and no event can be read: {trouble}"),
                "INSERT INTO progress_log DEFAULT VALUES;   -- if the row is missing; and then:\n\
                 progress-relay migrate --new-epoch",
            );
            return None;
        }
    };
    if place.is_known && !place.is_same_place {
        notes.remark(
            Check::Epoch,
            format!(
                "{}: the log was restored or copied to this place; the next relay that connects \
                 begins a new epoch",
                place.epoch
            ),
            "progress-relay migrate --new-epoch   # or start a relay",
        );
    } else if place.is_known && !place.is_same_timeline {
        notes.remark(
            Check::Epoch,
            format!("{}: the server was promoted, and no relay has connected since", place.epoch),
            "start a relay: it begins a new epoch",
        );
    } else if place.timeline.is_empty() {
        notes.remark(
            Check::Epoch,
            format!(
                "{}: the server does not tell the timeline of its WAL, so a promotion does not \
                 change the epoch",
                place.epoch
            ),
            "-- for the owner of the tables, if the server can; otherwise after each failover that \
             may have lost events: progress-relay migrate --new-epoch\n\
             GRANT EXECUTE ON FUNCTION pg_walfile_name(pg_lsn), pg_current_wal_insert_lsn() TO …;",
        );
    } else if !place.is_known {
        notes.right(Check::Epoch, format!("{}; no relay has served it yet", place.epoch));
    } else {
        notes.right(
            Check::Epoch,
            format!("{}, in schema {}, in which it began", place.epoch, place.schema),
        );
    }
    Some(place)
}

/// Proves that notifications arrive, and looks at their queue.
pub(super) async fn check_bell(
    connector: &Connector,
    host: usize,
    ringer: &Session,
    notes: &Notes,
) {
    check_queue(ringer, notes).await;
    match hear_rings(connector, host, ringer).await {
        Ok((arrived, rings, slowest)) if arrived == rings => notes.right(
            Check::Listen,
            format!("{arrived} of {rings} rings arrived, the slowest after {}", millis(slowest)),
        ),
        Ok((arrived, rings, _)) => notes.wrong(
            Check::Listen,
            format!(
                "{arrived} of {rings} rings arrived: LISTEN succeeds, and notifications are lost \
                     on \
                 the way"
            ),
            "--listen-url postgres://…   # the database directly, past any pooler",
        ),
        Err(trouble) => notes.wrong(
            Check::Listen,
            format!("LISTEN could not be proven: {trouble}"),
            "--listen-url must lead to the primary directly, and the role needs some connections",
        ),
    }
}

async fn check_queue(session: &Session, notes: &Notes) {
    let mut usage = queue_usage(session).await;
    if usage.as_ref().is_ok_and(|usage| *usage >= QUEUE_IS_HELD) {
        tokio::time::sleep(QUEUE_PAUSE).await;
        usage = queue_usage(session).await;
    }
    match usage {
        Ok(usage) if usage < QUEUE_IS_HELD => {
            notes.right(Check::ListenQueue, format!("{:.1} % full", usage * 100.0));
        }
        Ok(usage) => notes.wrong(
            Check::ListenQueue,
            format!(
                "the server's queue of notifications is {:.1} % full and does not get shorter: a \
                 session listens inside an open transaction. When it is full, every event is \
                 refused",
                usage * 100.0
            ),
            "-- the oldest of these is the most likely one; end it, or: \
             SELECT pg_terminate_backend(PID);\n\
             SELECT pid, datname, usename, application_name, xact_start FROM pg_stat_activity \
             WHERE state = 'idle in transaction' ORDER BY xact_start;",
        ),
        Err(trouble) => notes.trouble(Check::ListenQueue, &trouble),
    }
}

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
