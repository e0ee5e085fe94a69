//! The server around the relay: clock, disk, connections, vacuum.

use nix::sys::statvfs::statvfs;

use super::checks::Check;
use super::finding::Notes;
use crate::database::doctor::{
    Connections, Disk, HostLook, Vacuum, clock, connections, disk, vacuum,
};
use crate::database::{ESSENTIAL_SESSIONS, MOST_SESSIONS, Session};

/// Clocks that differ by more seconds than these.
const CLOCK_REMARK: f64 = 1.0;
pub(super) const CLOCK_WRONG: f64 = 60.0;
/// A server's disk with fewer bytes than these.
const DISK_WRONG: u64 = 256 << 20;
const DISK_REMARK: u64 = 2 << 30;
/// The age of transactions at which the server has 300 million left before it stops.
const AGE_WRONG: i64 = 1_800_000_000;
/// Dead rows that are worth a remark, if they are more than the living.
const DEAD_ROWS: i64 = 1_000_000;

/// Looks at the server.
pub(super) async fn check(session: &Session, look: &HostLook, notes: &Notes) {
    match clock(session).await {
        Ok((ahead, error)) => {
            judge_clock(Check::Clock, "the database's clock", ahead, error, notes)
        }
        Err(trouble) => notes.trouble(Check::Clock, &trouble),
    }
    match disk(session).await {
        Ok(disk) => judge_disk(&disk, look, notes),
        Err(trouble) => notes.trouble(Check::Disk, &trouble),
    }
    match connections(session).await {
        Ok(connections) => judge_connections(&connections, look, notes),
        Err(trouble) => notes.trouble(Check::Connections, &trouble),
    }
    match vacuum(session).await {
        Ok(vacuum) => judge_vacuum(&vacuum, notes),
        Err(trouble) => notes.trouble(Check::Vacuum, &trouble),
    }
}

/// Judges a clock that is `ahead` of this machine's by so many seconds, give or take `error`.
pub(super) fn judge_clock(check: Check, name: &str, ahead: f64, error: f64, notes: &Notes) {
    let (off, way) = (ahead.abs(), if ahead < 0.0 { "behind" } else { "ahead of" });
    let what = format!("{name} is {off:.3} s {way} this machine's (± {error:.3} s)");
    let to_do = "start time synchronisation on both machines: timedatectl set-ntp true";
    let at_least = off - error;
    if at_least > CLOCK_WRONG {
        notes.wrong(check, what, to_do);
    } else if at_least > CLOCK_REMARK {
        notes.remark(check, what, to_do);
    } else {
        notes.right(check, what);
    }
}

fn judge_disk(disk: &Disk, look: &HostLook, notes: &Notes) {
    let size = format!("the database has {} MB", disk.bytes >> 20);
    let folder = disk.folder.as_deref().filter(|_| look.is_this_machine());
    let Some((folder, room)) = folder.and_then(|folder| Some((folder, statvfs(folder).ok()?)))
    else {
        return notes.unknown(Check::Disk, format!("{size}; the free space is not visible"));
    };
    let free = room.blocks_available().saturating_mul(room.fragment_size());
    let what = format!("{size}; {} MB are free at {folder}", free >> 20);
    let to_do = format!("make room: df -h {folder}; du -xhd1 {folder}");
    if free < DISK_WRONG {
        notes.wrong(
            Check::Disk,
            format!("{what}: at 0 the server stops, and no event is stored"),
            to_do,
        );
    } else if free < DISK_REMARK {
        notes.remark(Check::Disk, what, to_do);
    } else {
        notes.right(Check::Disk, what);
    }
}

fn judge_connections(found: &Connections, look: &HostLook, notes: &Notes) {
    let mut left = vec![(
        found.server - found.server_used,
        "max_connections of the server".to_owned(),
        "ALTER SYSTEM SET max_connections = 200;   -- and restart the server".to_owned(),
    )];
    // A superuser has no limit but the server's.
    for (limit, used, object) in [
        (found.database, found.database_used, format!("DATABASE {}", look.database)),
        (found.role, found.role_used, format!("ROLE {}", look.role)),
    ] {
        if limit >= 0 && !found.superuser {
            let to_do = format!("ALTER {object} CONNECTION LIMIT -1;");
            left.push((limit - used, format!("the CONNECTION LIMIT of {object}"), to_do));
        }
    }
    left.sort_unstable();
    let (left, name, to_do) = left.swap_remove(0);
    // Those of this command are free when it ends.
    let left = left + found.own;
    let [needed, most] = [ESSENTIAL_SESSIONS, MOST_SESSIONS]
        .map(|sessions| i64::try_from(sessions).unwrap_or(i64::MAX));
    let what = format!(
        "{left} connections are left by {name}, and relays have {}; a relay needs {needed}, and \
             has \
         at most {most}",
        found.relays
    );
    if left + found.relays < needed {
        notes.wrong(Check::Connections, what, to_do);
    } else if left < most {
        notes.remark(Check::Connections, what, to_do);
    } else {
        notes.right(Check::Connections, what);
    }
}

fn judge_vacuum(vacuum: &Vacuum, notes: &Notes) {
    let table = vacuum.table.as_deref().unwrap_or("");
    let (dead, live) = (vacuum.dead.unwrap_or(0), vacuum.live.unwrap_or(0));
    if !vacuum.is_on {
        notes.wrong(
            Check::Vacuum,
            "autovacuum is off: the tables of the state grow without end",
            "ALTER SYSTEM SET autovacuum = on;\nALTER SYSTEM SET track_counts = on;\n\
             SELECT pg_reload_conf();",
        );
    } else if !vacuum.excluded.is_empty() {
        let commands: Vec<_> = vacuum
            .excluded
            .iter()
            .map(|table| format!("ALTER TABLE {table} RESET (autovacuum_enabled);"))
            .collect();
        notes.wrong(
            Check::Vacuum,
            format!("autovacuum is switched off for {}", vacuum.excluded.join(", ")),
            commands.join("\n"),
        );
    } else if vacuum.age > AGE_WRONG {
        notes.wrong(
            Check::Vacuum,
            format!(
                "{} transactions are not frozen: at 2,100 million the server stops",
                vacuum.age
            ),
            "VACUUM (FREEZE, VERBOSE);   -- after ending transactions that are open for long",
        );
    } else if vacuum.age > vacuum.freeze_age.saturating_mul(2) {
        notes.remark(
            Check::Vacuum,
            format!("{} transactions are not frozen; vacuum is late", vacuum.age),
            "look for transactions that are open for long, and for slots that nobody reads",
        );
    } else if dead > DEAD_ROWS && dead > live {
        notes.remark(
            Check::Vacuum,
            format!("{table} has {dead} dead rows and {live} live ones; vacuum is late"),
            format!("VACUUM (VERBOSE, ANALYZE) {table};"),
        );
    } else {
        let million = vacuum.age / 1_000_000;
        notes.right(Check::Vacuum, format!("autovacuum runs; {million} million are not frozen"));
    }
}
