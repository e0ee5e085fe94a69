//! The settings of the relay's sessions and of the server.

use super::checks::Check;
use super::finding::Notes;
use crate::database::doctor::{
    Effective, HostLook, apply_relay_settings, effective, role_settings,
};
use crate::database::{Connector, Session};

/// Makes the relay's settings on the session, and judges which are in effect. Returns whether they
/// could be made.
pub(super) async fn check(
    connector: &Connector,
    session: &Session,
    look: &HostLook,
    notes: &Notes,
) -> bool {
    if let Err(trouble) = apply_relay_settings(connector, session).await {
        notes.wrong(
            Check::SettingsRelay,
            format!("a setting of the relay's sessions was refused: {trouble}"),
            "correct what the message names",
        );
        return false;
    }
    check_role(session, notes).await;
    match effective(session).await {
        Ok(effective) => {
            check_relay(&effective, notes);
            check_log(&effective, look, notes);
            check_durability(&effective, notes);
        }
        Err(trouble) => {
            for check in [Check::SettingsRelay, Check::SettingsLog, Check::SettingsDurability] {
                notes.trouble(check, &trouble);
            }
        }
    }
    true
}

/// Settings that the role or the database has for every session.
async fn check_role(session: &Session, notes: &Notes) {
    // Whatever these are set to, the relay's own settings take their place.
    const MATTER: [&str; 16] = [
        "statement_timeout",
        "lock_timeout",
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
        "transaction_timeout",
        "default_transaction_isolation",
        "default_transaction_read_only",
        "default_transaction_deferrable",
        "synchronous_commit",
        "TimeZone",
        "DateStyle",
        "search_path",
        "row_security",
        "session_replication_role",
        "role",
        "log_statement",
    ];
    match role_settings(session).await {
        Ok(settings) => {
            let matter: Vec<_> = settings
                .iter()
                .filter(|setting| {
                    MATTER.iter().any(|name| name.eq_ignore_ascii_case(&setting.name))
                })
                .collect();
            if matter.is_empty() {
                notes.right(Check::SettingsRole, "none that the relay would have to override");
                return;
            }
            let list: Vec<_> = matter
                .iter()
                .map(|setting| format!("{}={}", setting.name, setting.value))
                .collect();
            let is_read_only =
                matter.iter().any(|setting| setting.name == "default_transaction_read_only");
            let writable =
                is_read_only.then(|| "SET default_transaction_read_only = off;".to_owned());
            let reset = matter.iter().map(|setting| format!("{};", setting.reset));
            let reset: Vec<_> = writable.into_iter().chain(reset).collect();
            notes.remark(
                Check::SettingsRole,
                format!(
                    "the role or the database sets {}; the relay's sessions set what they depend \
                     on themselves",
                    list.join(", ")
                ),
                reset.join("\n"),
            );
        }
        Err(trouble) => notes.trouble(Check::SettingsRole, &trouble),
    }
}

fn check_relay(effective: &Effective, notes: &Notes) {
    let is_off = |value: &str| matches!(value, "" | "0");
    let Effective { transaction_isolation, transaction_read_only, synchronous_commit, .. } =
        effective;
    let mut lost: Vec<String> = [
        ("statement_timeout", &effective.statement_timeout),
        ("lock_timeout", &effective.lock_timeout),
        ("idle_session_timeout", &effective.idle_session_timeout),
        ("idle_in_transaction_session_timeout", &effective.idle_in_transaction_session_timeout),
        ("transaction_timeout", &effective.transaction_timeout),
    ]
    .into_iter()
    .filter(|(_, value)| !is_off(value))
    .map(|(name, value)| format!("{name}={value}"))
    .collect();
    if transaction_isolation != "read committed" {
        lost.push(format!("transaction_isolation={transaction_isolation}"));
    }
    if transaction_read_only != "off" {
        lost.push(format!("transaction_read_only={transaction_read_only}"));
    }
    if matches!(&**synchronous_commit, "off" | "local") {
        lost.push(format!("synchronous_commit={synchronous_commit}"));
    }
    if lost.is_empty() {
        notes.right(Check::SettingsRelay, "the relay's own settings are in effect");
    } else {
        notes.wrong(
            Check::SettingsRelay,
            format!(
                "the relay has set its own values, and these are in effect: {}",
                lost.join(", ")
            ),
            "lead the URL to the database directly: something between here and the server changes \
             the session's settings",
        );
    }
}

/// Whether the server's log would have the parameters of the relay's statements, which are the
/// students' code.
fn check_log(effective: &Effective, look: &HostLook, notes: &Notes) {
    let has_parameters = effective.log_parameter_max_length != "0";
    let is_on = |value: &str| !matches!(value, "" | "-1");
    let mut always = Vec::new();
    let mut sometimes = Vec::new();
    if has_parameters && matches!(&*effective.log_statement, "all" | "mod") {
        always.push(format!("log_statement={}", effective.log_statement));
    }
    for (name, value, counts) in [
        ("log_min_duration_statement", &effective.log_min_duration_statement, has_parameters),
        (
            "log_min_duration_sample",
            &effective.log_min_duration_sample,
            has_parameters && effective.log_statement_sample_rate != "0",
        ),
        (
            "auto_explain.log_min_duration",
            &effective.auto_explain,
            effective.auto_explain_length != "0",
        ),
    ] {
        match &**value {
            "0" if counts => always.push(format!("{name}=0")),
            value if counts && is_on(value) => sometimes.push(format!("{name}={value}")),
            _ => {}
        }
    }
    if has_parameters && effective.log_transaction_sample_rate != "0" {
        sometimes
            .push(format!("log_transaction_sample_rate={}", effective.log_transaction_sample_rate));
    }
    if effective.log_parameter_max_length_on_error != "0" {
        sometimes.push(format!(
            "log_parameter_max_length_on_error={}",
            effective.log_parameter_max_length_on_error
        ));
    }
    let to_do = format!(
        "-- as a superuser, for the relay's role alone:\n\
         ALTER ROLE {} SET log_parameter_max_length = 0;",
        look.role
    );
    match (always.is_empty(), sometimes.is_empty()) {
        (false, _) => notes.wrong(
            Check::SettingsLog,
            format!("the server writes the students' code into its log: {}", always.join(", ")),
            to_do,
        ),
        (true, false) => notes.remark(
            Check::SettingsLog,
            format!(
                "the server writes the students' code of some statements into its log: {}",
                sometimes.join(", ")
            ),
            to_do,
        ),
        (true, true) => notes.right(Check::SettingsLog, "no students' code in the server's log"),
    }
}

fn check_durability(effective: &Effective, notes: &Notes) {
    let off: Vec<_> =
        [("fsync", &effective.fsync), ("full_page_writes", &effective.full_page_writes)]
            .into_iter()
            .filter(|(_, value)| *value == "off")
            .collect();
    if !off.is_empty() {
        let names: Vec<_> = off.iter().map(|(name, _)| format!("{name}=off")).collect();
        let commands: Vec<_> =
            off.iter().map(|(name, _)| format!("ALTER SYSTEM SET {name} = on;")).collect();
        notes.wrong(
            Check::SettingsDurability,
            format!(
                "{}: a crash of the machine loses acknowledged events, or the whole database",
                names.join(", ")
            ),
            format!("{}\nSELECT pg_reload_conf();", commands.join("\n")),
        );
        return;
    }
    match &*effective.synchronous_commit {
        "remote_write" => notes.remark(
            Check::SettingsDurability,
            "synchronous_commit=remote_write: a standby confirms before the commit is on its disk",
            "ALTER SYSTEM SET synchronous_commit = on;",
        ),
        value => notes.right(
            Check::SettingsDurability,
            format!("a commit is on the disk (synchronous_commit={value})"),
        ),
    }
}
