//! Replication: whether commits are confirmed, how late the standbys are, and the slots.

use super::checks::Check;
use super::finding::Notes;
use super::trials::millis;
use crate::database::Session;
use crate::database::doctor::{Slot, Standby, confirmed_commit, slots, standbys, synchronous};

/// A standby that is this late, or lacks this much WAL, is worth a remark.
const LATE_SECONDS: f64 = 10.0;
const BEHIND_BYTES: i64 = 16 << 20;

/// Looks at standbys and slots, and commits something.
pub(super) async fn check(session: &Session, notes: &Notes) {
    check_confirmed(session, notes).await;
    match standbys(session).await {
        Ok(standbys) => judge_standbys(&standbys, notes),
        Err(trouble) => notes.trouble(Check::Standbys, &trouble),
    }
    match slots(session).await {
        Ok(slots) => judge_slots(&slots, notes),
        Err(trouble) => notes.trouble(Check::Slots, &trouble),
    }
}

async fn check_confirmed(session: &Session, notes: &Notes) {
    let configured = match synchronous(session).await {
        Ok(configured) => configured,
        Err(trouble) => return notes.trouble(Check::Confirmed, &trouble),
    };
    if configured.names.is_empty() && configured.streaming > 0 {
        return notes.remark(
            Check::Confirmed,
            "no commit waits for a standby: a failover may lose acknowledged events, which is then \
             announced",
            "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)';\nSELECT pg_reload_conf();",
        );
    }
    if configured.names.is_empty() {
        return notes.right(Check::Confirmed, "no synchronous standby is configured");
    }
    match confirmed_commit(session).await {
        Ok(Some(waited)) => {
            notes.right(Check::Confirmed, format!("a standby confirmed in {}", millis(waited)));
        }
        Ok(None) => notes.wrong(
            Check::Confirmed,
            format!(
                "commits wait for a standby of {:?}, and none confirms; {} stream. Every POST is \
                 answered 503",
                configured.names, configured.streaming
            ),
            "-- start the standby; or, and then a failover may lose events:\n\
             ALTER SYSTEM SET synchronous_standby_names = '';\nSELECT pg_reload_conf();",
        ),
        Err(trouble) => notes.trouble(Check::Confirmed, &trouble),
    }
}

fn judge_standbys(standbys: &[Standby], notes: &Notes) {
    if standbys.is_empty() {
        return notes.right(Check::Standbys, "no standby streams from this server");
    }
    if standbys.iter().all(|standby| standby.sync.is_none()) {
        return notes.unknown(
            Check::Standbys,
            format!(
                "{} standbys stream; how late they are is not visible to this role",
                standbys.len()
            ),
        );
    }
    for standby in standbys {
        let (behind, late) = (standby.behind.unwrap_or(0), standby.late.unwrap_or(0.0));
        let sync = standby.sync.as_deref().unwrap_or("unknown");
        let what = format!("{} ({sync}): {behind} bytes, {late:.1} s behind", standby.name);
        if behind >= BEHIND_BYTES || late >= LATE_SECONDS {
            notes.remark(
                Check::Standbys,
                what,
                "look at the standby's disk and network, and for queries or pg_wal_replay_pause() \
                 that hold its replay back: after a failover it needs this long to take writes",
            );
        } else {
            notes.right(Check::Standbys, what);
        }
    }
}

fn judge_slots(slots: &[Slot], notes: &Notes) {
    let mut is_good = true;
    for slot in slots {
        let held = slot.held.unwrap_or(0) >> 20;
        let status = slot.wal_status.as_deref().unwrap_or("unknown");
        let drop = format!("SELECT pg_drop_replication_slot('{}');", slot.name.replace('\'', "''"));
        match (slot.active, status) {
            (true, "reserved") => {}
            (_, "lost") => {
                is_good = false;
                notes.wrong(
                    Check::Slots,
                    format!("{}: its WAL is gone, and its standby cannot continue", slot.name),
                    format!("-- make the standby again from a base backup, and:\n{drop}"),
                );
            }
            (false, "extended" | "unreserved") => {
                is_good = false;
                notes.wrong(
                    Check::Slots,
                    format!(
                        "{}: nobody reads it, and it holds {held} MB of WAL back, more than \
                         max_wal_size: the server's disk fills",
                        slot.name
                    ),
                    format!("-- start what reads it, or:\n{drop}"),
                );
            }
            _ => {
                is_good = false;
                let reads = if slot.active { "its reader is late" } else { "nobody reads it" };
                notes.remark(
                    Check::Slots,
                    format!("{}: {reads}, and it holds {held} MB of WAL back", slot.name),
                    format!("-- start what reads it, or:\n{drop}"),
                );
            }
        }
    }
    if is_good {
        notes.right(Check::Slots, format!("{} slots, none holds WAL back", slots.len()));
    }
}
