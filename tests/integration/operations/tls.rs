//! A relay on a server that accepts encrypted connections only.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::authority::{Form, Issued, text};
use crate::support::stage::{Cluster, DATABASE, Netns};
use crate::support::tls::{HOST, TlsServer};
use crate::support::{Follower, Relay, event, run, until};

/// The sessions of relays: name, whether encrypted, and the serial number of the client's
/// certificate.
async fn sessions(cluster: &Cluster) -> Vec<(String, bool, Option<String>)> {
    let sql = "SELECT application_name, ssl, client_serial::text FROM pg_stat_activity \
         JOIN pg_stat_ssl USING (pid) WHERE application_name LIKE 'progress-relay %'";
    let rows = cluster.session(DATABASE).await.query(sql, &[]).await.expect("the sessions");
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// Ends the sessions of all relays.
async fn end_sessions(cluster: &Cluster) {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE application_name LIKE 'progress-relay %'";
    cluster.session(DATABASE).await.query(sql, &[]).await.expect("their ends");
}

/// Waits until a statement of the relay's readers runs, or none does.
async fn readers_are(cluster: &Cluster, running: bool) {
    let sql = "SELECT count(*) > 0 FROM pg_stat_activity \
         WHERE application_name = 'progress-relay pages' AND state = 'active'";
    until("the readers", async || {
        let row = cluster.session(DATABASE).await.query_one(sql, &[]).await.expect("an answer");
        (row.get::<_, bool>(0) == running).then_some(())
    })
    .await;
}

/// Everything works where only encrypted connections are accepted: writing, listening, reading,
/// the leader, the prober, and requests to cancel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_is_encrypted() {
    let server = TlsServer::start().await;
    let url = server.relay_url("postgres", &server.root.certificate());
    let relay = Relay::serve(&["--database-url", &url]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
    assert_eq!(follower.take(1).await.len(), 1);
    for path in ["/api/class/summary", "/api/class/events", "/api/classes"] {
        let answer = relay.connection().await.get(path).await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
    }
    let expected = ["writer", "tail", "listener", "prover", "pages"];
    let seen = until("the sessions of every part", async || {
        assert_eq!(relay.log().matches("is not encrypted").count(), 0);
        let seen = sessions(&server.cluster).await;
        let names: BTreeSet<_> = seen.iter().map(|(name, ..)| name.as_str()).collect();
        let has = |part: &&str| names.contains(format!("progress-relay {part}").as_str());
        expected.iter().all(has).then_some(seen)
    })
    .await;
    assert!(seen.iter().all(|(_, is_encrypted, _)| *is_encrypted), "{seen:?}");
    assert_eq!(relay.terms_as_leader(), 1);

    // A request to cancel needs the connection's own TLS: the driver sends none without.
    let mut holder = server.cluster.session(DATABASE).await;
    let lock = holder.transaction().await.expect("a transaction");
    lock.batch_execute("LOCK TABLE progress_event IN ACCESS EXCLUSIVE MODE").await.expect("a lock");
    let mut reader = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let request = "GET /api/class/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    reader.write_all(request.as_bytes()).await.expect("sent");
    readers_are(&server.cluster, true).await;
    drop(reader);
    let began = Instant::now();
    readers_are(&server.cluster, false).await;
    // The server itself would end it after 31 s; the lock is given up after 20 s.
    assert!(began.elapsed() < Duration::from_secs(15), "the statement was cancelled");
    lock.rollback().await.expect("no lock");
}

/// Replaces a file as a renewal does: at once.
fn replace(file: &Path, by: &Path) {
    let new = file.with_extension("new");
    fs::copy(by, &new).expect("a copy");
    fs::rename(&new, file).expect("a renewal");
}

/// A certificate is the relay's only login. Then the server gets a certificate of another authority
/// and the relay a new one of its own, and a relay that is not restarted connects again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_certificates_are_taken_up() {
    let server = TlsServer::start().await;
    let mounted = server.folder.join("mounted");
    fs::create_dir(&mounted).expect("a folder");
    let files = ["root.crt", "client.crt", "client.key"].map(|name| mounted.join(name));
    let renew = |root: &Path, client: &Issued| {
        for (file, by) in files.iter().zip([root, &client.certificate, &client.key]) {
            replace(file, by);
        }
    };
    let first = server.client(&server.root, "first", "by_certificate");
    let second = server.client(&server.root, "second", "by_certificate");
    renew(&server.root.certificate(), &first);
    let [root, certificate, key] = &files;
    let own = format!(" sslcert={} sslkey={}", text(certificate), text(key));
    let url = server.relay_url("by_certificate", root) + &own;
    let relay = Relay::serve(&["--database-url", &url]).await;
    assert_eq!(relay.post(&event(1)).await["accepted"], 1);
    let serials = || async {
        let seen = sessions(&server.cluster).await;
        seen.into_iter().map(|(_, _, serial)| serial.expect("one")).collect::<BTreeSet<_>>()
    };
    let before = serials().await;
    assert_eq!(before.len(), 1, "{before:?}");

    let form = Form { subject: "/CN=db.example", extensions: "", days: None };
    let own_key = server.folder.join("server.key");
    let renewed = server.other.issue_for("renewed", &form, own_key).certificate;
    server.present(&renewed).await;
    end_sessions(&server.cluster).await;
    until("the reason why it does not connect", async || {
        relay.log().contains("is not signed by an authority of").then_some(())
    })
    .await;
    renew(&server.other.certificate(), &second);
    relay.ready().await;
    assert_eq!(relay.post(&event(2)).await["accepted"], 1);
    let after = serials().await;
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
}

/// No operator waits for a start that cannot succeed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_ends_at_once_where_the_server_cannot_be_verified() {
    let server = TlsServer::start().await;
    let (root, other) = (server.root.certificate(), server.other.certificate());
    let wrong_name = server.relay_url("postgres", &root).replace(HOST, "other.example");
    for (url, reason) in [
        (server.relay_url("postgres", &other), "is not signed by an authority of"),
        (wrong_name, "is for db.example"),
        (server.url("postgres", DATABASE, "sslmode=disable"), "28000"),
    ] {
        let began = Instant::now();
        let flags = ["serve", "--bind", "127.0.0.1:0", "--database-url", &url];
        let ended = run(&[&flags[..], &["--start-patience", "forever"]].concat(), &[]).await;
        assert_ne!(ended.code, Some(0));
        assert!(ended.stderr.contains(reason), "{}", ended.stderr);
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

/// A password in clear to another machine is warned of once, however many connections there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_in_clear_to_another_machine_is_warned_of_once() {
    let Some(host) = Netns::new() else { return };
    let away = Cluster::primary_on("away", host).await;
    let warnings = |relay: &Relay| relay.log().matches("is not encrypted").count();
    let relay = Relay::serve(&["--database-url", &format!("{} password=x", away.url())]).await;
    relay.post(&event(1)).await;
    assert_eq!(warnings(&relay), 1, "{}", relay.log());
    // Within this machine nobody listens in.
    let near = Cluster::primary("near").await;
    let relay = Relay::serve(&["--database-url", &format!("{} password=x", near.url())]).await;
    relay.post(&event(1)).await;
    assert_eq!(warnings(&relay), 0, "{}", relay.log());
}
