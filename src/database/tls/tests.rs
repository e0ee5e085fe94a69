//! Handshakes between the relay's configuration and a server in the same process, by certificates
//! that the `openssl` command has made.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConnection, Error, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use super::plan::client_config;
use crate::cryptography::crypto_provider;
use crate::database::target::{Roots, TlsMode, TlsSettings};

#[path = "../../../tests/integration/support/authority.rs"]
#[allow(dead_code, unreachable_pub, reason = "the integration tests use all of it")]
pub(super) mod authority;

use authority::{Authority, Form, Issued, joined, key, self_signed};

/// The certificates of all tests. They are made once, and removed when the last test ends.
pub(super) struct Fixture {
    pub(super) folder: PathBuf,
    pub(super) root: Authority,
    pub(super) other: Authority,
    pub(super) intermediate: Authority,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The fixture. The thread of a test holds it until the test ends.
pub(super) fn fixture() -> Arc<Fixture> {
    static CURRENT: Mutex<(usize, Weak<Fixture>)> = Mutex::new((0, Weak::new()));
    thread_local! {
        static HELD: OnceCell<Arc<Fixture>> = const { OnceCell::new() };
    }
    let current = || {
        let mut current = CURRENT.lock().expect("no panic");
        if let Some(fixture) = current.1.upgrade() {
            return fixture;
        }
        current.0 += 1;
        let name = format!("tls-unit-{}-{}", std::process::id(), current.0);
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a folder");
        let root = Authority::root(&folder, "root");
        let other = Authority::root(&folder, "other");
        let intermediate = root.intermediate("intermediate");
        let fixture = Arc::new(Fixture { folder, root, other, intermediate });
        current.1 = Arc::downgrade(&fixture);
        fixture
    };
    HELD.with(|held| Arc::clone(held.get_or_init(current)))
}

/// A server's certificate that the root has signed.
pub(super) fn issued(name: &str, subject: &str, extensions: &str) -> Issued {
    fixture().root.issue(name, &Form { subject, extensions, days: None })
}

pub(super) fn settings(mode: TlsMode, roots: Option<&Path>) -> TlsSettings {
    TlsSettings {
        mode,
        roots: roots.map_or(Roots::None, |file| Roots::File(file.to_owned())),
        client: None,
        revoked: None,
        only_tls13: false,
        only_tls12: false,
        send_name: true,
        direct: false,
    }
}

/// Settings that trust the root.
pub(super) fn trusting(mode: TlsMode) -> TlsSettings {
    settings(mode, Some(&fixture().root.certificate()))
}

fn server_key(file: &Path) -> Arc<dyn rustls::sign::SigningKey> {
    let key = PrivateKeyDer::from_pem_file(file).expect("a key");
    crypto_provider().key_provider.load_private_key(key).expect("a key")
}

/// A handshake with a server that has this certificate. Returns the client's error.
fn handshake_by(
    settings: &TlsSettings,
    host: &str,
    server: &Issued,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<(), Error> {
    let (config, _) = client_config(settings).expect("a configuration");
    let chain = CertificateDer::pem_file_iter(&server.certificate).expect("a file");
    let chain = chain.map(|der| der.expect("a certificate")).collect();
    let own = SingleCertAndKey::from(CertifiedKey::new(chain, server_key(&server.key)));
    let accepting = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(own));
    let host = ServerName::try_from(host.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), host).expect("a client");
    let mut server = ServerConnection::new(Arc::new(accepting)).expect("a server");
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("memory");
        server.read_tls(&mut bytes.as_slice()).expect("memory");
        server.process_new_packets().expect("a client of rustls");
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).expect("memory");
        client.read_tls(&mut bytes.as_slice()).expect("memory");
        client.process_new_packets()?;
    }
    Ok(())
}

fn handshake(settings: &TlsSettings, host: &str, server: &Issued) -> Result<(), Error> {
    handshake_by(settings, host, server, &[&TLS13])
}

/// The refusal of a certificate; `None` if it is accepted.
fn refusal(settings: &TlsSettings, host: &str, server: &Issued) -> Option<CertificateError> {
    match handshake(settings, host, server) {
        Ok(()) => None,
        Err(Error::InvalidCertificate(reason)) => Some(reason),
        Err(error) => panic!("{error}"),
    }
}

fn is_wrong_name(settings: &TlsSettings, host: &str, server: &Issued) -> bool {
    let reason = refusal(settings, host, server);
    matches!(reason, Some(CertificateError::NotValidForNameContext { .. }))
}

/// libpq verifies the chain whenever there is a file of roots, in any mode.
#[test]
fn a_chain_is_verified_whenever_there_are_roots() {
    let server = issued("chain", "/CN=db.example", "subjectAltName=DNS:db.example");
    for mode in [TlsMode::Allow, TlsMode::Prefer, TlsMode::Require, TlsMode::VerifyCa] {
        assert_eq!(refusal(&trusting(mode), "elsewhere.example", &server), None, "{mode}");
        let wrong = settings(mode, Some(&fixture().other.certificate()));
        let reason = refusal(&wrong, "db.example", &server);
        assert_eq!(reason, Some(CertificateError::UnknownIssuer), "{mode}");
    }
    let full = trusting(TlsMode::VerifyFull);
    assert_eq!(refusal(&full, "db.example", &server), None);
    assert!(is_wrong_name(&full, "elsewhere.example", &server));
    let nothing = settings(TlsMode::Require, None);
    assert_eq!(refusal(&nothing, "elsewhere.example", &server), None);
}

/// The name is looked at after the chain. A wrong name must not hide that the authority is wrong.
#[test]
fn a_wrong_name_does_not_excuse_a_wrong_authority() {
    let server = issued("excuse", "/CN=db.example", "subjectAltName=DNS:db.example");
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let wrong = settings(mode, Some(&fixture().other.certificate()));
        let reason = refusal(&wrong, "elsewhere.example", &server);
        assert_eq!(reason, Some(CertificateError::UnknownIssuer), "{mode}");
    }
}

#[test]
fn names_are_compared_by_the_rules_of_libpq() {
    let full = trusting(TlsMode::VerifyFull);
    /// A certificate's file, subject and extensions; the hosts that it is for, and others.
    type Row = (
        &'static str,
        &'static str,
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    );
    let rows: &[Row] = &[
        (
            "wild",
            "/CN=other",
            "subjectAltName=DNS:*.example",
            &["db.example", "DB.Example", "a.example"],
            &["example", "a.b.example", "other"],
        ),
        ("inner", "/CN=other", "subjectAltName=DNS:db*.example", &[], &["db1.example"]),
        ("common", "/CN=db.example", "keyUsage=digitalSignature", &["db.example"], &["other"]),
        ("wild-common", "/CN=*.example", "keyUsage=digitalSignature", &["a.example"], &["example"]),
        // A name of the kind that is looked for hides the common name; another does not.
        (
            "hidden",
            "/CN=db.example",
            "subjectAltName=DNS:a.example",
            &["a.example"],
            &["db.example"],
        ),
        (
            "not-hidden",
            "/CN=db.example",
            "subjectAltName=IP:127.0.0.1",
            &["db.example", "127.0.0.1"],
            &["127.0.0.2"],
        ),
        ("address", "/CN=127.0.0.2", "subjectAltName=IP:127.0.0.1", &["127.0.0.1"], &["127.0.0.2"]),
        ("address-6", "/CN=x", "subjectAltName=IP:::1", &["::1"], &["127.0.0.1"]),
        ("address-text", "/CN=x", "subjectAltName=DNS:127.0.0.1", &["127.0.0.1"], &["127.0.0.2"]),
        ("email", "/CN=db.example", "subjectAltName=email:a@db.example", &["db.example"], &["a"]),
    ];
    for (name, subject, extensions, right, wrong) in rows {
        let server = issued(name, subject, extensions);
        for host in *right {
            assert_eq!(refusal(&full, host, &server), None, "{name} {host}");
        }
        for host in *wrong {
            assert!(is_wrong_name(&full, host, &server), "{name} {host}");
        }
    }
}

/// `db.example` and a zero byte before `.attacker.example`: a reader in C sees the first part only.
#[test]
fn a_name_with_a_zero_byte_is_refused() {
    let name = b"db.example\0.attacker.example";
    let length = u8::try_from(name.len()).expect("short");
    // A sequence of one dNSName.
    let names = [&[0x30, length + 2, 0x82, length], &name[..]].concat();
    let hex: Vec<_> = names.iter().map(|byte| format!("{byte:02X}")).collect();
    let server = issued("zero", "/CN=x", &format!("2.5.29.17=DER:{}", hex.join(":")));
    let full = trusting(TlsMode::VerifyFull);
    assert_eq!(refusal(&full, "db.example", &server), Some(CertificateError::BadEncoding));
}

/// A certificate as in PostgreSQL's manual, in each version of TLS.
#[test]
fn a_certificate_of_version_1_is_verified() {
    let server = issued("version-1", "/CN=db.example", "");
    for versions in [[&TLS12], [&TLS13]] {
        let modes = [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull];
        for mode in modes {
            let accepted = handshake_by(&trusting(mode), "db.example", &server, &versions);
            assert_eq!(accepted, Ok(()), "{mode}");
            let wrong = settings(mode, Some(&fixture().other.certificate()));
            let refused = handshake_by(&wrong, "db.example", &server, &versions);
            assert_eq!(refused, Err(CertificateError::UnknownIssuer.into()), "{mode}");
        }
        let nothing = settings(TlsMode::Require, None);
        assert_eq!(handshake_by(&nothing, "db.example", &server, &versions), Ok(()));
    }
    assert!(is_wrong_name(&trusting(TlsMode::VerifyFull), "elsewhere.example", &server));
}

/// An authority of the same name with another key must not pass for the root.
#[test]
fn the_signature_of_a_certificate_of_version_1_is_verified() {
    let folder = fixture().folder.join("forged");
    fs::create_dir(&folder).expect("a folder");
    let forger = Authority::root(&folder, "root");
    let form = Form { subject: "/CN=db.example", extensions: "", days: None };
    let server = forger.issue("server", &form);
    let reason = refusal(&trusting(TlsMode::VerifyCa), "db.example", &server);
    assert_eq!(reason, Some(CertificateError::BadSignature));
}

/// Without roots any certificate is accepted, but not from a server without its key.
#[test]
fn a_server_must_have_the_key_of_its_certificate() {
    let certificates = [
        issued("no-key-3", "/CN=db.example", "subjectAltName=DNS:db.example"),
        issued("no-key-1", "/CN=db.example", ""),
    ];
    let stranger = key(&fixture().folder, "stranger", "P-256");
    for server in certificates {
        let server = Issued { key: stranger.clone(), ..server };
        for versions in [[&TLS12], [&TLS13]] {
            let nothing = settings(TlsMode::Require, None);
            let refused = handshake_by(&nothing, "db.example", &server, &versions);
            assert_eq!(refused, Err(CertificateError::BadSignature.into()));
        }
    }
}

#[test]
fn every_kind_of_key_works_in_both_versions() {
    for kind in ["P-256", "P-384", "P-521", "RSA", "ED25519"] {
        let own = key(&fixture().folder, &format!("kind-{kind}"), kind);
        let folder = fixture().folder.join(format!("of-{kind}"));
        fs::create_dir(&folder).expect("a folder");
        let root = Authority::root(&folder, "root");
        let form = Form { subject: "/CN=db.example", extensions: "", days: None };
        let server = root.issue_for("server", &form, own);
        for versions in [[&TLS12], [&TLS13]] {
            let full = settings(TlsMode::VerifyFull, Some(&root.certificate()));
            let accepted = handshake_by(&full, "db.example", &server, &versions);
            assert_eq!(accepted, Ok(()), "{kind}");
        }
    }
}

#[test]
fn a_self_signed_certificate_is_its_own_root() {
    let own = key(&fixture().folder, "alone", "P-256");
    let server = self_signed(&fixture().folder, "alone", "db.example", own, "-sha256");
    let itself = |mode| settings(mode, Some(&server.certificate));
    assert_eq!(refusal(&itself(TlsMode::VerifyCa), "x", &server), None);
    assert_eq!(refusal(&itself(TlsMode::VerifyFull), "db.example", &server), None);
    assert!(is_wrong_name(&itself(TlsMode::VerifyFull), "x", &server));
    let reason = refusal(&trusting(TlsMode::VerifyCa), "db.example", &server);
    assert_eq!(reason, Some(CertificateError::UnknownIssuer));
    // Another one of the same subject is not it.
    let folder = fixture().folder.join("twin");
    fs::create_dir(&folder).expect("a folder");
    let own = key(&folder, "twin", "P-256");
    let twin = self_signed(&folder, "twin", "db.example", own, "-sha256");
    let reason = refusal(&itself(TlsMode::VerifyCa), "db.example", &twin);
    assert!(reason.is_some());
}

#[test]
fn a_chain_needs_its_intermediate_and_ends_at_a_root() {
    let form =
        Form { subject: "/CN=db.example", extensions: "subjectAltName=DNS:db.example", days: None };
    let alone = fixture().intermediate.issue("below", &form);
    let sent = joined(
        &fixture().folder.join("below.chain"),
        &[&alone.certificate, &fixture().intermediate.certificate()],
    );
    let whole = Issued { certificate: sent, key: alone.key.clone() };
    let full = trusting(TlsMode::VerifyFull);
    assert_eq!(refusal(&full, "db.example", &whole), None);
    let unknown = Some(CertificateError::UnknownIssuer);
    assert_eq!(refusal(&full, "db.example", &alone), unknown);
    // As in OpenSSL, an intermediate authority in the file completes a chain, and ends none.
    let middle = fixture().intermediate.certificate();
    let both =
        joined(&fixture().folder.join("both.crt"), &[&middle, &fixture().root.certificate()]);
    let both = settings(TlsMode::VerifyFull, Some(&both));
    assert_eq!(refusal(&both, "db.example", &alone), None);
    let only = settings(TlsMode::VerifyFull, Some(&middle));
    assert_eq!(refusal(&only, "db.example", &whole), unknown);
}

#[test]
fn certificates_out_of_date_are_refused() {
    let past = Some(("20200101", "20210101"));
    let future = Some(("20900101", "20910101"));
    for (name, extensions) in [("v3", "subjectAltName=DNS:db.example"), ("v1", "")] {
        let form = |days| Form { subject: "/CN=db.example", extensions, days };
        let expired = fixture().other.issue(&format!("expired-{name}"), &form(past));
        let early = fixture().other.issue(&format!("early-{name}"), &form(future));
        let trusting = settings(TlsMode::VerifyCa, Some(&fixture().other.certificate()));
        let reason = refusal(&trusting, "db.example", &expired);
        assert!(matches!(reason, Some(CertificateError::ExpiredContext { .. })), "{name}");
        let reason = refusal(&trusting, "db.example", &early);
        assert!(matches!(reason, Some(CertificateError::NotValidYetContext { .. })), "{name}");
        let nothing = settings(TlsMode::Require, None);
        assert_eq!(refusal(&nothing, "db.example", &expired), None, "{name}");
    }
}

/// webpki does not look at the dates of a root, OpenSSL does.
#[test]
fn a_root_out_of_date_signs_nothing() {
    let folder = fixture().folder.join("old-root");
    fs::create_dir(&folder).expect("a folder");
    let root = Authority::root(&folder, "root");
    let form =
        Form { subject: "/CN=db.example", extensions: "subjectAltName=DNS:db.example", days: None };
    let server = root.issue("server", &form);
    let old = root.outdated();
    let current = settings(TlsMode::VerifyFull, Some(&root.certificate()));
    assert_eq!(refusal(&current, "db.example", &server), None);
    let expired = settings(TlsMode::VerifyFull, Some(&old));
    assert!(matches!(refusal(&expired, "db.example", &server), Some(CertificateError::Other(_))));
    // A renewed root of the same key in the same file is used.
    let both = joined(&folder.join("both.crt"), &[&old, &root.certificate()]);
    let both = settings(TlsMode::VerifyFull, Some(&both));
    assert_eq!(refusal(&both, "db.example", &server), None);
}

#[test]
fn a_certificate_for_clients_serves_nobody() {
    let server = issued("purpose", "/CN=db.example", "extendedKeyUsage=clientAuth");
    assert!(refusal(&trusting(TlsMode::VerifyCa), "db.example", &server).is_some());
    let server = issued("usage", "/CN=db.example", "keyUsage=keyCertSign");
    assert!(refusal(&trusting(TlsMode::VerifyCa), "db.example", &server).is_some());
    let marked = "basicConstraints=CA:TRUE\nextendedKeyUsage=clientAuth";
    let server = issued("purpose-marked", "/CN=db.example", marked);
    assert!(refusal(&trusting(TlsMode::VerifyCa), "db.example", &server).is_some());
    let marked = "basicConstraints=CA:TRUE\nsubjectAltName=DNS:db.example";
    let server = issued("marked", "/CN=db.example", marked);
    assert_eq!(refusal(&trusting(TlsMode::VerifyFull), "db.example", &server), None);
}

#[test]
fn revoked_certificates_are_refused() {
    let folder = fixture().folder.join("revoking");
    fs::create_dir(&folder).expect("a folder");
    let root = Authority::root(&folder, "root");
    let form =
        Form { subject: "/CN=db.example", extensions: "subjectAltName=DNS:db.example", days: None };
    let good = root.issue("good", &form);
    let bad = root.issue("bad", &form);
    root.revoke(&bad.certificate);
    let by = |list: PathBuf| TlsSettings {
        revoked: Some(list),
        ..settings(TlsMode::VerifyFull, Some(&root.certificate()))
    };
    let current = by(root.list("current", false));
    assert_eq!(refusal(&current, "db.example", &good), None);
    assert_eq!(refusal(&current, "db.example", &bad), Some(CertificateError::Revoked));
    let expired = refusal(&by(root.list("expired", true)), "db.example", &good);
    assert!(matches!(expired, Some(CertificateError::ExpiredRevocationListContext { .. })));
    let strange = refusal(&by(fixture().other.list("strange", false)), "db.example", &good);
    assert_eq!(strange, Some(CertificateError::UnknownRevocationStatus));
    // A list cannot be compared with a certificate that webpki does not read.
    let plain = root.issue("plain", &Form { extensions: "", ..form });
    assert!(matches!(refusal(&current, "db.example", &plain), Some(CertificateError::Other(_))));
}
