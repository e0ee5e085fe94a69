//! The hosts of a URL: whether each is reached, its release, encoding and role, and whether the
//! connection is encrypted.

use futures::future::join_all;

use super::checks::Check;
use super::finding::Notes;
use crate::database::doctor::HostLook;
use crate::database::{ConnectError, Connector, Session, Verification};

/// The primary of a URL.
pub(super) struct PrimaryHost {
    /// Its position in the URL.
    pub(super) host: usize,
    /// A session on it, on which nothing was set.
    pub(super) session: Session,
    /// The server, as it describes itself.
    pub(super) look: HostLook,
}

/// Looks at every host at the same time. Returns the primary, if there is exactly one.
pub(super) async fn look(connector: &Connector, notes: &Notes) -> Option<PrimaryHost> {
    let looks = (0..connector.host_count()).map(|host| connector.look_in(host));
    let looks = join_all(looks).await;
    let mut primaries = Vec::new();
    let (mut reached, mut standbys) = (0, 0);
    for (host, look) in looks.into_iter().enumerate() {
        match look {
            Ok((session, look)) => {
                reached += 1;
                note_host(notes, &session.server, &look);
                note_tls(connector, notes, &session.server, &look);
                if look.in_recovery {
                    standbys += 1;
                } else {
                    primaries.push(PrimaryHost { host, session, look });
                }
            }
            Err(error) => note_error(notes, &error),
        }
    }
    match primaries.len() {
        1 => notes.right(Check::HostPrimary, format!("one primary, {standbys} standbys")),
        0 if reached == 0 => notes.unknown(Check::HostPrimary, "no host was reached"),
        0 => notes.wrong(
            Check::HostPrimary,
            format!("none of the {reached} servers that were reached is a primary"),
            "name the primary in the URL too, or promote a standby: SELECT pg_promote();",
        ),
        _ => {
            let names: Vec<_> = primaries.iter().map(|primary| &*primary.session.server).collect();
            notes.wrong(
                Check::HostPrimary,
                format!(
                    "{} hosts are primaries at the same time: {}",
                    names.len(),
                    names.join("; ")
                ),
                "stop the old primary now, and make it a standby with pg_rewind: what one of them \
                 stores, the other does not have",
            );
            return None;
        }
    }
    primaries.pop()
}

fn note_host(notes: &Notes, server: &str, look: &HostLook) {
    let kind = if look.in_recovery { "a standby" } else { "a primary" };
    notes.right(Check::HostReached, format!("{server}: {kind}, as role {}", look.role));
    notes.right(Check::HostRelease, format!("{server}: PostgreSQL {}", look.release));
    notes.right(Check::HostEncoding, format!("{server}: UTF8"));
}

fn note_tls(connector: &Connector, notes: &Notes, server: &str, look: &HostLook) {
    let how =
        if look.tls { format!("encrypted ({})", look.cipher) } else { "not encrypted".to_owned() };
    let what = format!("{server}: {how}");
    if look.is_this_machine() {
        return notes.right(Check::Tls, format!("{what}, within this machine"));
    }
    if !look.tls {
        let to_do = "set ssl = on at the server, and sslmode=require in the URL, or \
                     sslmode=verify-full with sslrootcert=FILE";
        let what = format!("{what}, and on another machine");
        return if look.has_password {
            let what = format!("{what}: the password and the students' data travel in clear");
            notes.wrong(Check::Tls, what, to_do);
        } else {
            notes.remark(Check::Tls, format!("{what}: the students' data travel in clear"), to_do);
        };
    }
    match connector.verification() {
        Ok(Verification::AuthorityAndName(by)) => {
            notes.right(
                Check::Tls,
                format!("{what}; {by} has signed the certificate for this host"),
            );
        }
        Ok(Verification::Authority(by)) => notes.remark(
            Check::Tls,
            format!("{what}; {by} has signed the certificate, for whichever host"),
            "sslmode=verify-full in the URL",
        ),
        Ok(Verification::Nothing(_)) => notes.remark(
            Check::Tls,
            format!("{what}; any certificate is accepted, also that of an attacker"),
            "sslmode=verify-full and sslrootcert=FILE (or sslrootcert=system) in the URL",
        ),
        Err(error) => notes.unknown(Check::Tls, error.to_string()),
    }
}

fn note_error(notes: &Notes, error: &ConnectError) {
    let what = error.to_string();
    match error {
        ConnectError::TooOld { .. } => notes.wrong(
            Check::HostRelease,
            what,
            "upgrade the server: pg_upgrade, or a dump that is restored into a newer one",
        ),
        ConnectError::Encoding { .. } => notes.wrong(
            Check::HostEncoding,
            what,
            "CREATE DATABASE progress ENCODING 'UTF8' TEMPLATE template0; and name it in the URL",
        ),
        ConnectError::Refused { permanent: true, .. } => notes.wrong(
            Check::HostReached,
            what,
            "correct what the message names, in the URL or at the server; psql with the same URL \
                 must \
             succeed from this machine",
        ),
        _ => notes.wrong(
            Check::HostReached,
            what,
            "start the server, and look at its listen_addresses, at pg_hba.conf and at firewalls: \
             psql with the same URL must succeed from this machine",
        ),
    }
}
