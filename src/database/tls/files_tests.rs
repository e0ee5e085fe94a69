//! The files that the settings name: what is wrong with them is told, and what changes is read
//! again; and the attempts that the settings lead to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::plan::{TlsPlan, client_config};
use super::tests::authority::{Form, key, openssl, text};
use super::tests::{fixture, issued, settings, trusting};
use super::{TlsFiles, Verification};
use crate::database::target::{Place, TlsMode, TlsSettings};

/// Each error names the parameter, the file and what to do.
#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = &fixture().folder.clone();
    let own = issued("client", "/CN=relay", "extendedKeyUsage=clientAuth");
    let other = key(folder, "client-other", "P-256");
    let encrypted = folder.join("client-encrypted.key");
    openssl(&[
        "pkey",
        "-in",
        text(&own.key),
        "-aes256",
        "-passout",
        "pass:secret",
        "-out",
        text(&encrypted),
    ]);
    let open = folder.join("client-open.key");
    fs::copy(&own.key, &open).expect("a copy");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("permissions");
    let empty = folder.join("empty.pem");
    fs::write(&empty, "nothing\n").expect("a file");
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o600)).expect("permissions");
    let missing = folder.join("missing.pem");
    let client = |certificate: &Path, key: &Path| TlsSettings {
        client: Some((certificate.to_owned(), key.to_owned())),
        ..settings(TlsMode::Require, None)
    };
    let revoked = TlsSettings { revoked: Some(missing.clone()), ..trusting(TlsMode::VerifyCa) };
    let rows = [
        (client(&own.certificate, &other), "is not the key of the first certificate"),
        (client(&own.certificate, &encrypted), "openssl pkey -in"),
        (client(&own.certificate, &open), "chmod 600"),
        (client(&own.certificate, &missing), "does not exist"),
        (client(&own.certificate, &empty), "has no private key"),
        (client(&empty, &own.key), "sslcert: "),
        (settings(TlsMode::Require, Some(&empty)), "sslrootcert: "),
        (settings(TlsMode::VerifyCa, Some(&missing)), "does not exist"),
        (settings(TlsMode::VerifyFull, None), "set sslrootcert"),
        (revoked, "sslcrl: "),
    ];
    for (settings, expected) in rows {
        let error = TlsPlan::of(&Arc::new(settings)).expect_err(expected);
        assert!(error.contains(expected), "{error}");
    }
    // As in libpq, a file that is not there is done without where the mode allows it.
    let without = TlsPlan::of(&Arc::new(client(&missing, &missing)));
    assert!(without.is_ok());
    let roots = TlsPlan::of(&Arc::new(settings(TlsMode::Require, Some(&missing)))).expect("a plan");
    assert_eq!(*roots.verification(), Verification::Nothing(Some(missing)));
}

#[test]
fn keys_are_read_in_every_form() {
    let folder = &fixture().folder.clone();
    let own = issued("forms", "/CN=relay", "extendedKeyUsage=clientAuth");
    let rsa = key(folder, "forms-rsa", "RSA");
    let form = Form { subject: "/CN=relay", extensions: "", days: None };
    let by_rsa = fixture().intermediate.issue_for("forms-rsa", &form, rsa);
    let convert = |from: &Path, name: &str, how: &[&str]| {
        let to = folder.join(name);
        openssl(&[&["pkey", "-in", text(from), "-out", text(&to)], how].concat());
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("permissions");
        to
    };
    let keys = [
        (&own, convert(&own.key, "forms-sec1.key", &["-traditional"])),
        (&by_rsa, convert(&by_rsa.key, "forms-pkcs1.key", &["-traditional"])),
        (&own, convert(&own.key, "forms.der", &["-outform", "DER"])),
        (&by_rsa, by_rsa.key.clone()),
    ];
    for (certificate, key) in keys {
        let client = Some((certificate.certificate.clone(), key.clone()));
        let settings = TlsSettings { client, ..settings(TlsMode::Require, None) };
        assert!(TlsPlan::of(&Arc::new(settings)).is_ok(), "{}", key.display());
    }
}

#[test]
fn the_attempts_are_those_of_libpq() {
    use tokio_postgres::config::{SslMode, SslNegotiation};
    let tcp = Place::Tcp { name: Some("db.example".to_owned()), address: None };
    let rows: &[(TlsMode, &[SslMode])] = &[
        (TlsMode::Disable, &[SslMode::Disable]),
        (TlsMode::Allow, &[SslMode::Disable, SslMode::Require]),
        (TlsMode::Prefer, &[SslMode::Prefer, SslMode::Disable]),
        (TlsMode::Require, &[SslMode::Require]),
        (TlsMode::VerifyCa, &[SslMode::Require]),
        (TlsMode::VerifyFull, &[SslMode::Require]),
    ];
    for (mode, expected) in rows {
        let plan = TlsPlan::of(&Arc::new(trusting(*mode))).expect("a plan");
        let modes = |place: &Place| -> Vec<SslMode> {
            let attempts = plan.attempts(place).expect("attempts");
            attempts.iter().map(|attempt| attempt.ssl_mode).collect()
        };
        assert_eq!(modes(&tcp), *expected, "{mode}");
        assert_eq!(modes(&Place::Unix("/tmp".into())), [SslMode::Disable], "{mode}");
    }
    let direct = TlsSettings { direct: true, ..trusting(TlsMode::Require) };
    let plan = TlsPlan::of(&Arc::new(direct.clone())).expect("a plan");
    let attempts = plan.attempts(&tcp).expect("attempts");
    assert_eq!(attempts[0].ssl_negotiation, SslNegotiation::Direct);
    // PostgreSQL refuses a direct handshake that does not name its protocol.
    let (config, _) = client_config(&direct).expect("a configuration");
    assert_eq!(config.alpn_protocols, [b"postgresql"]);
    let full = TlsPlan::of(&Arc::new(trusting(TlsMode::VerifyFull))).expect("a plan");
    let nameless = Place::Tcp { name: None, address: Some([127, 0, 0, 1].into()) };
    assert!(full.attempts(&nameless).is_err_and(|error| error.contains("hostaddr")));
}

#[test]
fn files_that_change_are_read_again() {
    let file = fixture().folder.join("rotating.crt");
    fs::copy(fixture().root.certificate(), &file).expect("a copy");
    let files = TlsFiles::read(settings(TlsMode::VerifyCa, Some(&file))).expect("a plan");
    let first = files.plan().expect("a plan");
    assert!(Arc::ptr_eq(&first, &files.plan().expect("a plan")), "nothing has changed");
    let next = fixture().folder.join("rotating.new");
    fs::copy(fixture().other.certificate(), &next).expect("a copy");
    fs::rename(&next, &file).expect("a renewal");
    let second = files.plan().expect("a plan");
    assert!(!Arc::ptr_eq(&first, &second), "the file was read again");
    fs::remove_file(&file).expect("removed");
    assert!(files.plan().is_err_and(|error| error.contains("does not exist")));
}
