//! The relay's tables: migrations, triggers, indexes, the sequence.

use super::checks::Check;
use super::finding::Notes;
use crate::database::doctor::{
    IndexRow, SequenceRow, TriggerRow, Trouble, index_rows, sequence_row, trigger_rows,
};
use crate::database::{Session, explain, lacking_privileges};
use crate::migrate::{self, MigrateError};

/// The triggers of the table of events, each with its function: without each of them, something
/// that is promised does not hold.
const TRIGGERS: [(&str, &str); 5] = [
    ("progress_event_order", "progress_event_order"),
    ("progress_event_ring", "progress_event_ring"),
    ("progress_event_deleted", "progress_event_deleted"),
    ("progress_event_emptied", "progress_event_deleted"),
    ("progress_event_truncated", "progress_event_truncated"),
];
/// The indexes without which statements fail or read whole tables.
const INDEXES: [&str; 12] = [
    "progress_event_pkey",
    "progress_event_identity",
    "progress_event_class",
    "refused_event_age",
    "sign_in_link_pkey",
    "sign_in_link_subject",
    "sign_out_pkey",
    "sign_out_age",
    "audit_entry_pkey",
    "audit_entry_at",
    "audit_entry_class",
    "audit_entry_subject",
];
/// The fewest ids that must be left: a thousand years at ten million a second. No sequence that
/// counts to the end of bigint has fewer.
const MIN_IDS_LEFT: i64 = 1 << 40;

/// Compares the migrations. Returns whether the tables can be looked at.
pub(super) async fn check_migrations(session: &Session, notes: &Notes) -> bool {
    match migrate::verify(&session.client).await {
        Ok(()) => {
            notes.right(Check::Migrations, "every migration of this release is applied");
            true
        }
        Err(error @ MigrateError::Missing(_)) => {
            notes.wrong(
                Check::Migrations,
                error.to_string(),
                "progress-relay migrate   # with the same --database-url and --listen-url",
            );
            // Where the first migration is applied, the others are looked at.
            trigger_rows(session).await.is_ok()
        }
        Err(error @ MigrateError::TooNew { .. }) => {
            notes.wrong(
                Check::Migrations,
                error.to_string(),
                "run this command, and the relays, from that release",
            );
            true
        }
        Err(error) => {
            check_rights(session, notes).await;
            notes.wrong(
                Check::Migrations,
                error.to_string(),
                "let the role read relay_migration, or run progress-relay migrate as its owner",
            );
            false
        }
    }
}

/// Looks at the role's rights.
async fn check_rights(session: &Session, notes: &Notes) {
    match lacking_privileges(&session.client).await {
        Ok(None) => notes.right(Check::Privileges, "the role has what a relay needs"),
        Ok(Some(lacking)) => {
            // The message ends with what to do.
            let text = lacking.to_string();
            let (what, to_do) = text.split_once(": run ").unwrap_or((&text, "grant it"));
            notes.wrong(Check::Privileges, what, to_do);
        }
        Err(error) => notes.unknown(Check::Privileges, explain(&error)),
    }
}

/// Looks at the role's rights, and at triggers, indexes and sequence.
pub(super) async fn check_tables(session: &Session, notes: &Notes) {
    check_rights(session, notes).await;
    match trigger_rows(session).await {
        Ok(rows) => judge_triggers(&rows, notes),
        Err(trouble) => notes.trouble(Check::Triggers, &trouble),
    }
    match index_rows(session).await {
        Ok(rows) => judge_indexes(&rows, notes),
        Err(trouble) => notes.trouble(Check::Indexes, &trouble),
    }
    match sequence_row(session).await {
        Ok(row) => judge_sequence(&row, notes),
        Err(trouble @ Trouble::Refused(_)) => notes.wrong(
            Check::Sequence,
            format!("ids cannot be allocated: {trouble}"),
            "restore the tables from a dump: the column id of progress_event has no sequence",
        ),
        Err(trouble) => notes.trouble(Check::Sequence, &trouble),
    }
}

fn judge_triggers(rows: &[TriggerRow], notes: &Notes) {
    let mut faults = Vec::new();
    let mut commands = Vec::new();
    for (name, function) in TRIGGERS {
        let Some(row) = rows.iter().find(|row| row.name == name && row.function == function) else {
            faults.push(format!("{name} is missing"));
            commands.push(format!(
                "-- create {name} again as sql/ of this release's source does, ENABLE ALWAYS too"
            ));
            continue;
        };
        if row.enabled != "A" {
            faults.push(format!("{name} is not ENABLE ALWAYS"));
            commands.push(format!("ALTER TABLE {} ENABLE ALWAYS TRIGGER {name};", row.table));
        }
    }
    let is_known = |row: &&TriggerRow| TRIGGERS.iter().any(|(name, _)| *name == row.name);
    let further: Vec<_> = rows.iter().filter(|row| !is_known(row)).map(|row| &*row.name).collect();
    if !faults.is_empty() {
        notes.wrong(
            Check::Triggers,
            format!(
                "{}: ids are not in the order of commits, or events and deletions are not \
                     announced",
                faults.join(", ")
            ),
            commands.join("\n"),
        );
    } else if further.is_empty() {
        notes.right(Check::Triggers, format!("all {} fire always", TRIGGERS.len()));
    } else {
        notes.remark(
            Check::Triggers,
            format!("all fire always; there are others too: {}", further.join(", ")),
            "make sure that these neither change nor drop events: the relay does not know them",
        );
    }
}

fn judge_indexes(rows: &[IndexRow], notes: &Notes) {
    let missing: Vec<_> =
        INDEXES.iter().filter(|name| !rows.iter().any(|row| row.name == **name)).collect();
    let invalid: Vec<_> = rows.iter().filter(|row| !row.is_valid).collect();
    if missing.is_empty() && invalid.is_empty() {
        notes.right(Check::Indexes, format!("all {} are valid", rows.len()));
        return;
    }
    let mut faults: Vec<_> = missing.iter().map(|name| format!("{name} is missing")).collect();
    faults.extend(invalid.iter().map(|row| format!("{} is not valid", row.full_name)));
    let mut commands: Vec<_> = missing
        .iter()
        .map(|name| format!("-- create {name} again, CONCURRENTLY, as sql/ of the source does"))
        .collect();
    commands
        .extend(invalid.iter().map(|row| format!("REINDEX INDEX CONCURRENTLY {};", row.full_name)));
    notes.wrong(
        Check::Indexes,
        format!(
            "{}: events are refused, stored twice or read slowly, and so are links and the audit",
            faults.join(", ")
        ),
        commands.join("\n"),
    );
}

fn judge_sequence(row: &SequenceRow, notes: &Notes) {
    let mut faults = Vec::new();
    let mut commands = Vec::new();
    if row.identity != "a" {
        faults.push("the column id is not GENERATED ALWAYS: ids can be given by hand".to_owned());
        commands.push(format!("ALTER TABLE {} ALTER COLUMN id SET GENERATED ALWAYS;", row.table));
    }
    if row.cache != 1 {
        faults.push(format!("CACHE {}: ids are not in the order of commits", row.cache));
        commands.push(format!("ALTER SEQUENCE {} CACHE 1;", row.name));
    }
    if row.increment != 1 || row.cycles {
        faults.push("it does not count upwards by one".to_owned());
        commands.push(format!("ALTER SEQUENCE {} INCREMENT BY 1 NO CYCLE;", row.name));
    }
    if row.last < row.newest {
        faults.push(format!(
            "its last id is {} and the table has {}: ids would be allocated twice",
            row.last, row.newest
        ));
        commands.push(format!(
            "SELECT setval('{}', {});   -- and then: progress-relay migrate --new-epoch",
            row.name, row.newest
        ));
    }
    if row.limit.saturating_sub(row.last) < MIN_IDS_LEFT {
        faults.push(format!("it ends at {}", row.limit));
        commands.push(format!("ALTER SEQUENCE {} NO MAXVALUE;", row.name));
    }
    if faults.is_empty() {
        notes.right(Check::Sequence, format!("{}: last id {}", row.name, row.last));
    } else {
        let what = format!("{}: {}", row.name, faults.join("; "));
        notes.wrong(Check::Sequence, what, commands.join("\n"));
    }
}
