//! Connections by TLS, each asked of psql and of the relay's connector: on one server, with the
//! same connection string and the same files. Both must come to the same end, and be encrypted or
//! not.

use std::path::{Path, PathBuf};

use futures::{StreamExt, stream};

use crate::support::authority::{Form, Issued, joined, openssl, text};
use crate::support::run;
use crate::support::stage::DATABASE;
use crate::support::tls::{EITHER, HOST, Outcome, PLAIN, TlsServer, by_psql, by_relay};

/// Connections at a time.
const AT_ONCE: usize = 4;

/// The rows in which the relay is to differ from libpq, each with the reason.
const DEVIATIONS: &[(&str, &str)] = &[
    (
        "right; roots damaged; prefer",
        "libpq goes on in clear, although somebody has given it authorities",
    ),
    ("a wrong password; prefer", "libpq tries once more in clear"),
    (
        "certificate of Ed25519; prefer",
        "libpq fails when a certificate's signature names no digest; the relay does not bind",
    ),
    (
        "/CN=server DNS:DB.Example: db.example.",
        "libpq compares the dot by which a name is absolute; it is the same host",
    ),
    ("/CN=::1 : 0::1", "libpq compares the letters; it is the same address"),
    (
        "certificate of ECDSA by SHA-512; require",
        "the driver does not bind to a certificate that is signed so; it refuses the login",
    ),
];

/// Asks both about each row, and returns the rows with what the relay said.
pub(super) async fn compare(rows: Vec<(String, String)>) -> Vec<(String, Outcome, String)> {
    let asked = rows.into_iter().map(|(row, url)| async move {
        let ((libpq, said), (relay, reason)) = tokio::join!(by_psql(&url), by_relay(&url));
        (row, libpq, said, relay, reason)
    });
    let answers: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    let unexpected = answers.iter().filter(|(row, libpq, _, relay, _)| {
        (libpq != relay) != DEVIATIONS.iter().any(|(known, _)| row == known)
    });
    let unexpected: Vec<String> = unexpected
        .map(|(row, libpq, said, relay, reason)| {
            format!("{row}: libpq {libpq:?} ({said}), relay {relay:?} ({reason})")
        })
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    answers.into_iter().map(|(row, _, _, relay, reason)| (row, relay, reason)).collect()
}

/// The files of authorities that a row names. Those that are the same for every certificate stand
/// with the first one only.
fn roots(
    server: &TlsServer,
    certificate: &str,
    own: &Path,
) -> Vec<(&'static str, Option<PathBuf>)> {
    let mut roots = vec![
        ("none", None),
        ("right", Some(server.root.certificate())),
        ("wrong", Some(server.other.certificate())),
    ];
    match certificate {
        "right" => roots.extend([
            ("absent", Some(server.folder.join("absent.crt"))),
            ("damaged", Some(server.folder.join("server.key"))),
            ("expired", Some(server.root.outdated())),
        ]),
        "chain" => roots.push(("intermediate", Some(server.intermediate.certificate()))),
        _ => {}
    }
    if ["self-signed", "version 1", "right"].contains(&certificate) {
        roots.push(("own", Some(own.to_owned())));
    }
    roots
}

pub(super) fn parameter(name: &str, file: Option<&Path>) -> String {
    file.map(|file| format!(" {name}={}", text(file))).unwrap_or_default()
}

/// Each mode, certificate of the server and file of authorities.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_and_certificate_ends_as_by_libpq() {
    let server = TlsServer::start().await;
    let plain = |name: &str, subject: &str, extensions: &str| {
        server.certificate_of(name, &Form { subject, extensions, days: None })
    };
    let dated = |name: &str, days| {
        let extensions = "subjectAltName=DNS:db.example";
        server.certificate_of(name, &Form { subject: "/CN=server", extensions, days: Some(days) })
    };
    let revoked = server.certificate("revoked", "subjectAltName=DNS:db.example");
    server.root.revoke(&revoked);
    let list = joined(
        &server.folder.join("lists.crl"),
        &[&server.root.list("root", false), &server.intermediate.list("middle", false)],
    );
    let marked = "basicConstraints=CA:TRUE\nsubjectAltName=DNS:db.example";
    let certificates: &[(&str, PathBuf, &str, Option<&Path>)] = &[
        ("right", server.folder.join("right.crt"), HOST, None),
        ("chain", server.chain("chain"), HOST, None),
        ("chain and list", server.folder.join("chain.chain"), HOST, Some(&list)),
        ("wrong name", server.certificate("wrong", "subjectAltName=DNS:other.example"), HOST, None),
        ("wildcard", server.certificate("wildcard", "subjectAltName=DNS:*.example"), HOST, None),
        (
            "address",
            server.certificate("address", "subjectAltName=IP:127.0.0.1"),
            "127.0.0.1",
            None,
        ),
        ("address, no name", server.folder.join("right.crt"), "127.0.0.1", None),
        ("common name", plain("common", "/CN=db.example", "keyUsage=digitalSignature"), HOST, None),
        ("version 1", plain("version-1", "/CN=db.example", ""), HOST, None),
        ("version 1, wrong name", server.folder.join("version-1.crt"), "other.example", None),
        ("expired", dated("expired", ("20200101", "20210101")), HOST, None),
        ("early", dated("early", ("20900101", "20910101")), HOST, None),
        ("self-signed", server.self_signed("self"), HOST, None),
        ("revoked", revoked.clone(), HOST, Some(&list)),
        ("revoked, no list", revoked.clone(), HOST, None),
        ("marked", plain("marked", "/CN=server", marked), HOST, None),
        ("for clients", server.certificate("purpose", "extendedKeyUsage=clientAuth"), HOST, None),
        ("for signing", server.certificate("usage", "keyUsage=keyCertSign"), HOST, None),
    ];
    let mut all = Vec::new();
    for (certificate, file, host, list) in certificates {
        server.present(file).await;
        let mut rows = Vec::new();
        for (roots, file) in roots(&server, certificate, file) {
            for mode in ["allow", "prefer", "require", "verify-ca", "verify-full"] {
                // Refused before anything is sent, or the same as `require`.
                let is_known = (roots == "none" && mode.starts_with("verify")) || mode == "allow";
                if is_known && *certificate != "right" {
                    continue;
                }
                let files = parameter("sslrootcert", file.as_deref()) + &parameter("sslcrl", *list);
                let url = format!("host={host} sslmode={mode}{files}");
                let name = format!("{certificate}; roots {roots}; {mode}");
                // The weak modes go on without TLS where the server lets them.
                let database = if mode == "prefer" { EITHER } else { DATABASE };
                rows.push((name, server.url("postgres", database, &url)));
            }
        }
        all.extend(compare(rows).await);
    }
    let outcome = |row: &str| {
        let found = all.iter().find(|(name, ..)| name == row);
        found.unwrap_or_else(|| panic!("a row {row}")).1
    };
    // Both could be wrong alike. These are the promises.
    let encrypted = [
        "right; roots right; verify-full",
        "right; roots none; require",
        "right; roots right; allow",
        "chain and list; roots right; verify-full",
        "wildcard; roots right; verify-full",
        "address; roots right; verify-full",
        "common name; roots right; verify-full",
        "version 1; roots right; verify-full",
        "self-signed; roots own; verify-full",
        "wrong name; roots right; verify-ca",
        "expired; roots none; require",
        "revoked, no list; roots right; verify-full",
    ];
    let refused = [
        "right; roots wrong; require",
        "right; roots wrong; verify-ca",
        "right; roots none; verify-ca",
        "right; roots absent; verify-full",
        "wrong name; roots right; verify-full",
        "version 1, wrong name; roots right; verify-full",
        "address, no name; roots right; verify-full",
        "expired; roots right; require",
        "early; roots right; verify-ca",
        "revoked; roots right; require",
        "self-signed; roots right; verify-ca",
        "for clients; roots right; verify-ca",
        "for signing; roots right; verify-ca",
        "right; roots expired; verify-ca",
        "chain; roots intermediate; verify-ca",
    ];
    assert_eq!(encrypted.map(outcome), [Outcome::Encrypted; 12]);
    assert_eq!(refused.map(outcome), [Outcome::Refused; 15]);
    assert_eq!(outcome("right; roots wrong; prefer"), Outcome::Clear, "prefer goes on in clear");
    reasons_are_for_people(&all);
}

/// Each refusal says what is wrong, and with which file or name.
fn reasons_are_for_people(all: &[(String, Outcome, String)]) {
    let expected = [
        ("right; roots wrong; require", "is not signed by an authority of"),
        ("wrong name; roots right; verify-full", "is for other.example"),
        ("expired; roots right; verify-full", "expired on 2021-01-01"),
        ("early; roots right; verify-full", "is not valid before 2090-01-01"),
        ("revoked; roots right; verify-full", "is revoked"),
        ("for clients; roots right; verify-full", "extendedKeyUsage"),
        ("right; roots expired; verify-full", "the authority that has signed it has expired"),
        ("right; roots damaged; require", "has no certificate"),
    ];
    for (row, words) in expected {
        let found = all.iter().find(|(name, ..)| name == row);
        let reason = &found.unwrap_or_else(|| panic!("a row {row}")).2;
        assert!(reason.contains(words), "{row}: {reason}");
    }
}

/// Each mode on a server or a database that does not encrypt, or does only that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_goes_on_without_tls_as_libpq_does() {
    let server = TlsServer::start().await;
    let rows = |databases: &[&str]| -> Vec<(String, String)> {
        let mut rows = Vec::new();
        for database in databases {
            for mode in ["disable", "allow", "prefer", "require", "verify-full"] {
                let roots = parameter("sslrootcert", Some(&server.root.certificate()));
                let url = format!("host={HOST} sslmode={mode}{roots}");
                let name = format!("{database}; {mode}");
                rows.push((name, server.url("postgres", database, &url)));
            }
        }
        rows
    };
    let with = compare(rows(&[DATABASE, EITHER, PLAIN])).await;
    let outcome = |row: &str| with.iter().find(|(name, ..)| name == row).map(|found| found.1);
    assert_eq!(outcome("progress; disable"), Some(Outcome::Refused));
    assert_eq!(outcome("progress; allow"), Some(Outcome::Encrypted));
    assert_eq!(outcome("either; allow"), Some(Outcome::Clear));
    assert_eq!(outcome("either; prefer"), Some(Outcome::Encrypted));
    assert_eq!(outcome("plain; prefer"), Some(Outcome::Clear));
    assert_eq!(outcome("plain; require"), Some(Outcome::Refused));
    server.cluster.set("ssl_max_protocol_version", "TLSv1.2").await;
    let versions =
        ["ssl_min_protocol_version=TLSv1.3", "ssl_max_protocol_version=TLSv1.2", "sslsni=0"];
    let versions = compare(
        versions
            .map(|version| {
                let rest = format!("host={HOST} sslmode=require {version}");
                (version.to_owned(), server.url("postgres", DATABASE, &rest))
            })
            .into(),
    );
    let versions = versions.await;
    let find = |row: &str| versions.iter().find(|(name, ..)| name.starts_with(row)).expect("a row");
    assert!(find("ssl_min").2.contains("version of TLS"), "{}", find("ssl_min").2);
    assert_eq!(find("ssl_max").1, Outcome::Encrypted);
    assert_eq!(find("sslsni").1, Outcome::Encrypted);
    server.cluster.set("ssl", "off").await;
    let without = compare(rows(&[EITHER])).await;
    let find = |row: &str| without.iter().find(|(name, ..)| name == row).expect("a row");
    assert_eq!(find("either; prefer").1, Outcome::Clear);
    let (_, outcome, reason) = find("either; require");
    assert_eq!(*outcome, Outcome::Refused);
    assert!(reason.contains("does not speak TLS"), "{reason}");
}

/// Certificates of clients: as the only login, and beside another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_certificate_ends_as_by_libpq() {
    let server = TlsServer::start().await;
    let expired = Form {
        subject: "/CN=by_certificate",
        extensions: "",
        days: Some(("20200101", "20210101")),
    };
    let open = server.client(&server.root, "open", "by_certificate");
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&open.key, readable).expect("permissions");
    let right = server.client(&server.root, "client", "by_certificate");
    let with_key = |key: &Path| Some(Issued { key: key.to_owned(), ..right.clone() });
    let of_key = |name: &str, how: &[&str]| {
        let key = server.folder.join(name);
        openssl(&[&["pkey", "-in", text(&right.key), "-out", text(&key)], how].concat());
        with_key(&key)
    };
    let clients = [
        ("key in DER", of_key("der.key", &["-outform", "DER"])),
        ("key in PKCS#1 or SEC1", of_key("traditional.key", &["-traditional"])),
        ("key encrypted", of_key("encrypted.key", &["-aes256", "-passout", "pass:secret"])),
        ("key of another", with_key(&server.client(&server.root, "third", "by_name").key)),
        ("key absent", with_key(&server.folder.join("absent.key"))),
        ("key is a folder", with_key(&server.folder)),
        ("right", Some(right.clone())),
        ("for by_name", Some(server.client(&server.root, "named", "by_name"))),
        ("below", Some(server.client(&server.intermediate, "below", "by_certificate"))),
        ("of another authority", Some(server.client(&server.other, "stray", "by_certificate"))),
        ("expired", Some(server.root.issue("old", &expired))),
        ("open to others", Some(open)),
        ("none", None),
    ];
    let mut rows = Vec::new();
    for (client, files) in &clients {
        for role in ["by_certificate", "by_name", "postgres"] {
            for mode in ["prefer", "require"] {
                let files = files.as_ref().map(|files| {
                    parameter("sslcert", Some(&files.certificate))
                        + &parameter("sslkey", Some(&files.key))
                });
                let rest = format!("host={HOST} sslmode={mode}{}", files.unwrap_or_default());
                let name = format!("{client}; {role}; {mode}");
                rows.push((name, server.url(role, DATABASE, &rest)));
            }
        }
    }
    let all = compare(rows).await;
    let find = |row: &str| all.iter().find(|(name, ..)| name == row).expect("a row");
    assert_eq!(find("right; by_certificate; require").1, Outcome::Encrypted);
    assert_eq!(find("right; by_name; require").1, Outcome::Refused);
    assert_eq!(find("for by_name; by_name; require").1, Outcome::Encrypted);
    assert_eq!(find("none; by_certificate; require").1, Outcome::Refused);
    let (_, outcome, reason) = find("of another authority; by_certificate; require");
    assert_eq!(*outcome, Outcome::Refused);
    assert!(reason.contains("refuses the client certificate"), "{reason}");
    let (_, _, reason) = find("expired; by_certificate; require");
    assert!(reason.contains("it has expired"), "{reason}");
}

/// SCRAM bound to the TLS connection, with each kind of certificate that it can be bound to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channel_binding_ends_as_by_libpq() {
    let server = TlsServer::start().await;
    let mut rows = Vec::new();
    for binding in ["disable", "prefer", "require"] {
        for mode in ["disable", "prefer", "require"] {
            for (role, database) in
                [("by_password", EITHER), ("by_password", PLAIN), ("postgres", DATABASE)]
            {
                let rest =
                    format!("host={HOST} sslmode={mode} channel_binding={binding} password=secret");
                let name = format!("{role}; {database}; {mode}; {binding}");
                rows.push((name, server.url(role, database, &rest)));
            }
        }
    }
    let unbound = format!("host={HOST} sslmode=require channel_binding=require");
    rows.push(("no password; require".to_owned(), server.url("postgres", DATABASE, &unbound)));
    let wrong = format!("host={HOST} password=wrong sslmode=");
    for mode in ["prefer", "require"] {
        let url = server.url("by_both", EITHER, &format!("{wrong}{mode}"));
        rows.push((format!("a wrong password; {mode}"), url));
    }
    let all = compare(rows).await;
    let find = |row: &str| all.iter().find(|(name, ..)| name == row).expect("a row").1;
    assert_eq!(find("a wrong password; prefer"), Outcome::Refused);
    assert_eq!(find("by_password; either; require; require"), Outcome::Encrypted);
    assert_eq!(find("by_password; either; disable; require"), Outcome::Refused);
    assert_eq!(find("by_password; either; disable; prefer"), Outcome::Clear);
    assert_eq!(find("postgres; progress; require; require"), Outcome::Refused, "no password");
    let said = all.iter().find(|(row, ..)| row == "no password; require").expect("a row");
    assert!(said.2.contains("channel_binding=require demands"), "{}", said.2);
}

/// A certificate whose signature the password exchange cannot be bound to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channel_binding_depends_on_the_signature_of_the_certificate() {
    let server = TlsServer::start().await;
    let mut all = Vec::new();
    for (name, kind, digest) in [
        ("Ed25519", "ED25519", "-sha256"),
        ("ECDSA by SHA-384", "P-384", "-sha384"),
        ("ECDSA by SHA-512", "P-256", "-sha512"),
        ("RSA by SHA-512", "RSA", "-sha512"),
    ] {
        server.present_self_signed(&name.replace(' ', "-"), kind, digest).await;
        let row = |binding: &str| {
            let rest =
                format!("host={HOST} sslmode=require channel_binding={binding} password=secret");
            let row = format!("certificate of {name}; {binding}");
            (row, server.url("by_password", DATABASE, &rest))
        };
        all.extend(compare(["disable", "prefer", "require"].map(row).into()).await);
    }
    let find = |row: &str| {
        let row = format!("certificate of {row}");
        all.iter().find(|(name, ..)| *name == row).expect("a row").1
    };
    // The deviations, of which each is on the safe side: a demand is never dropped.
    assert_eq!(find("Ed25519; prefer"), Outcome::Encrypted);
    assert_eq!(find("Ed25519; require"), Outcome::Refused);
    assert_eq!(find("ECDSA by SHA-512; require"), Outcome::Refused);
    assert_eq!(find("ECDSA by SHA-384; require"), Outcome::Encrypted);
}

/// `sslrootcert=system`, which psql has from release 16 on: here psql gets the same file by name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authorities_of_the_system_are_used() {
    let server = TlsServer::start().await;
    let (root, other) = (server.root.certificate(), server.other.certificate());
    let empty = server.folder.join("empty.crt");
    std::fs::write(&empty, "").expect("a file");
    let rows = [
        (&root, HOST, None),
        (&root, "other.example", Some("is for db.example")),
        (&other, HOST, Some("is not signed by an authority of the system")),
        (&empty, HOST, Some("SSL_CERT_FILE")),
    ];
    for (store, host, expected) in rows {
        let url = |roots: &str| {
            let rest = format!("host={host} sslmode=verify-full sslrootcert={roots}");
            server.url("postgres", DATABASE, &rest)
        };
        let (libpq, said) = by_psql(&url(text(store))).await;
        let arguments = ["migrate", "--database-url", &url("system")];
        // Some machines set the second variable.
        let variables = [("SSL_CERT_FILE", text(store)), ("SSL_CERT_DIR", "/nonexistent")];
        let ended = run(&arguments, &variables).await;
        assert_eq!(libpq == Outcome::Encrypted, expected.is_none(), "{said}");
        assert_eq!(ended.code == Some(0), expected.is_none(), "{}", ended.stderr);
        assert!(ended.stderr.contains(expected.unwrap_or_default()), "{}", ended.stderr);
    }
}
