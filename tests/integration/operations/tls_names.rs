//! The names that certificates have, asked for by names and by addresses, of psql and of the relay.

use super::tls_table::{compare, parameter};
use crate::support::authority::Form;
use crate::support::stage::DATABASE;
use crate::support::tls::{HOST, Outcome, TlsServer};

/// The names of certificates: the subject, the extension, and the hosts that are asked for.
const NAMES: &[(&str, &str, &[&str])] = &[
    ("/CN=server", "DNS:DB.Example", &[HOST, "DB.EXAMPLE", "db.example.", "db.examples"]),
    ("/CN=server", "DNS:*.example", &["a.db.example", ".example", "example", "DB.EXAMPLE"]),
    ("/CN=server", "DNS:*", &[HOST, "localhost"]),
    ("/CN=server", "DNS:*.*.example", &["a.db.example", HOST]),
    ("/CN=server", "DNS:d*.example", &[HOST]),
    ("/CN=server", "DNS:*.db.example", &[HOST, "a.db.example"]),
    ("/CN=server", "DNS:my_db", &["my_db"]),
    ("/CN=server", "IP:0:0:0:0:0:0:0:1", &["::1", "0:0::1", "::2", "127.0.0.1"]),
    ("/CN=server", "IP:127.0.0.1,DNS:db.example", &["127.0.0.1", "127.0.0.2", HOST]),
    ("/CN=server", "DNS:127.0.0.1", &["127.0.0.1"]),
    ("/CN=server", "DNS:*.0.0.1", &["127.0.0.1"]),
    ("/CN=127.0.0.1", "DNS:other.example", &["127.0.0.1"]),
    ("/CN=127.0.0.1", "IP:127.0.0.2", &["127.0.0.1", "127.0.0.2"]),
    ("/CN=127.0.0.1", "", &["127.0.0.1"]),
    ("/CN=::1", "", &["::1", "0::1"]),
    ("/CN=db.example", "DNS:other.example", &[HOST, "other.example"]),
    ("/CN=db.example", "IP:127.0.0.1", &[HOST, "127.0.0.1"]),
    ("/CN=db.example", "email:ada@db.example", &[HOST]),
    ("/CN=*.example", "", &[HOST, "a.db.example"]),
    ("/CN=first.example/CN=db.example", "", &["first.example", HOST]),
    ("/O=db.example", "", &[HOST]),
];

/// Each kind of name in a certificate, asked for by names and by addresses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_name_of_a_certificate_ends_as_by_libpq() {
    let server = TlsServer::start().await;
    let roots = parameter("sslrootcert", Some(&server.root.certificate()));
    let mut all = Vec::new();
    for (at, (subject, names, hosts)) in NAMES.iter().enumerate() {
        let mut extensions = "extendedKeyUsage=serverAuth".to_owned();
        if !names.is_empty() {
            extensions.push_str(&format!("\nsubjectAltName={names}"));
        }
        let form = Form { subject, extensions: &extensions, days: None };
        server.present(&server.certificate_of(&format!("name-{at}"), &form)).await;
        let rows = hosts.iter().map(|host| {
            let rest = format!("host={host} sslmode=verify-full{roots}");
            (format!("{subject} {names}: {host}"), server.url("postgres", DATABASE, &rest))
        });
        all.extend(compare(rows.collect()).await);
    }
    let find = |row: &str| all.iter().find(|(name, ..)| name == row).expect("a row").1;
    assert_eq!(find("/CN=server IP:0:0:0:0:0:0:0:1: ::1"), Outcome::Encrypted);
    assert_eq!(find("/CN=server IP:0:0:0:0:0:0:0:1: ::2"), Outcome::Refused);
    assert_eq!(find("/CN=server DNS:*.example: a.db.example"), Outcome::Refused);
    assert_eq!(find("/CN=db.example DNS:other.example: db.example"), Outcome::Refused);
}
