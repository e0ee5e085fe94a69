//! TLS of the relay itself: requests, WebSockets and streams over it, and certificates that are
//! renewed while it runs.

use std::net::SocketAddr;
use std::path::Path;

use nix::sys::signal::Signal;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::authority::{Authority, Form, Issued, text};
use crate::support::stage::{folder_with, port};
use crate::support::{
    Database, Relay, event_of, handshake_at, https, read_frame, run, until, within,
};

const NAME: &str = "relay.school.example";

/// Authorities, and a relay that speaks TLS with the certificate of the first.
struct Stage {
    relay: Relay,
    address: SocketAddr,
    roots: [Authority; 2],
    /// The files that the relay reads.
    files: Issued,
    _database: Database,
}

fn issue(authority: &Authority, name: &str) -> Issued {
    let extensions = format!("subjectAltName=DNS:{NAME}");
    authority.issue(name, &Form { subject: "/CN=relay", extensions: &extensions, days: None })
}

impl Stage {
    async fn start(more: &[&str]) -> Self {
        let (folder, _) = folder_with("empty", "");
        let roots = ["first", "second"].map(|name| Authority::root(&folder, name));
        let files = issue(&roots[0], "relay");
        let database = Database::migrated().await;
        let own = SocketAddr::from(([127, 0, 0, 1], port()));
        let (bind, url) = (own.to_string(), database.url());
        let origin = format!("https://{NAME}");
        let flags = [
            "--bind",
            &bind,
            "--database-url",
            &url,
            "--allow-origin",
            &origin,
            "--tls-cert",
            text(&files.certificate),
            "--tls-key",
            text(&files.key),
        ];
        let relay = Relay::begin(&[&flags, more].concat()).await;
        let stage = Self { relay, address: own, roots, files, _database: database };
        until("readiness", || async { (stage.get("/readyz").await.status() == 200).then_some(()) })
            .await;
        stage
    }

    fn authority(&self) -> std::path::PathBuf {
        self.roots[0].certificate()
    }

    async fn get(&self, path: &str) -> http::Response<bytes::Bytes> {
        let stream = https::connect(self.address, NAME, &self.authority()).await;
        https::send(stream, "GET", path, &[("host", NAME)], "").await
    }

    /// Whether a new connection is verified by this authority.
    async fn is_of(&self, authority: &Path) -> bool {
        let config = https::client_config(authority, rustls::ALL_VERSIONS);
        https::try_connect(self.address, NAME, config).await.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_sockets_and_streams_over_tls() {
    let stage = Stage::start(&[]).await;
    let page = stage.get("/").await;
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["strict-transport-security"], "max-age=31536000");
    for version in [&TLS12, &TLS13] {
        let config = https::client_config(&stage.authority(), &[version]);
        let stream = https::try_connect(stage.address, NAME, config).await.expect("a connection");
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
    }
    let mut config = (*https::client_config(&stage.authority(), rustls::ALL_VERSIONS)).clone();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let chosen = https::try_connect(stage.address, NAME, config.into()).await.expect("connected");
    assert_eq!(chosen.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));

    let mut socket = https::connect(stage.address, NAME, &stage.authority()).await;
    let origin = format!("Origin: https://{NAME}\r\n");
    handshake_at(&mut socket, NAME, "?class=c", &origin).await;
    let mut stream = https::connect(stage.address, NAME, &stage.authority()).await;
    let request = format!("GET /api/class/stream?class=c HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    // More than the buffers of TLS and of the kernel hold.
    let code = "x".repeat(1_500_000);
    for n in 0..4 {
        let mut event = event_of("c", n);
        event["code"] = code.clone().into();
        let stream = https::connect(stage.address, NAME, &stage.authority()).await;
        let headers = [("host", NAME), ("content-type", "application/json")];
        let body = json!([event]).to_string();
        let posted = https::send(stream, "POST", "/student-progress", &headers, &body).await;
        assert_eq!(posted.status(), 200);
    }
    let mut marks = Vec::new();
    while marks.len() < 4 {
        let (first, payload) = within("a frame", read_frame(&mut socket)).await.expect("a frame");
        assert_eq!(first, 0x81);
        let frame: Value = serde_json::from_slice(&payload).expect("JSON");
        let events = frame["events"].as_array().cloned().unwrap_or_default();
        assert!(events.iter().all(|event| event["code"] == *code));
        marks.extend(events.iter().filter_map(|event| event["n"].as_i64()));
    }
    assert_eq!(marks, [0, 1, 2, 3]);
    let mut read = 0;
    within("the stream", async {
        let mut buffer = vec![0; 65_536];
        while read < 4 * code.len() {
            read += stream.read(&mut buffer).await.expect("bytes");
        }
    })
    .await;
}

/// A page of another origin, and one without TLS, may not read: the scheme is known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scheme_of_an_origin_counts() {
    let stage = Stage::start(&[]).await;
    for (origin, status) in
        [("https://localhost:1", 200), ("http://localhost:1", 403), ("https://evil.example", 403)]
    {
        let stream = https::connect(stage.address, NAME, &stage.authority()).await;
        let headers = [("host", "localhost:1"), ("origin", origin)];
        let answer = https::send(stream, "GET", "/api/classes", &headers, "").await;
        assert_eq!(answer.status(), status, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_read_on_sighup() {
    let stage = Stage::start(&[]).await;
    let mut held = https::connect(stage.address, NAME, &stage.authority()).await;
    handshake_at(&mut held, NAME, "?class=c", "").await;
    let [first, second] = [0, 1].map(|index: usize| stage.roots[index].certificate());
    // A certificate that is written before its key: the last good pair is kept.
    let renewed = issue(&stage.roots[1], "renewed");
    std::fs::copy(&renewed.certificate, &stage.files.certificate).expect("a file");
    stage.relay.signal(Signal::SIGHUP);
    until("the refusal", || async {
        stage.relay.log().contains("is the key of another certificate").then_some(())
    })
    .await;
    assert!(stage.is_of(&first).await && !stage.is_of(&second).await);
    std::fs::copy(&renewed.key, &stage.files.key).expect("a file");
    stage.relay.signal(Signal::SIGHUP);
    until("the renewal", || async { stage.is_of(&second).await.then_some(()) }).await;
    assert!(!stage.is_of(&first).await);
    // Connections that are there go on.
    assert_eq!(within("a frame", read_frame(&mut held)).await.expect("a frame").0, 0x81);
}

/// A peer that speaks no TLS, or does not go on, takes a place for a bounded time only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_are_counted_and_bounded() {
    let stage = Stage::start(&["--max-connections", "8"]).await;
    let mut clear = TcpStream::connect(stage.address).await.expect("a connection");
    clear.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    let _ = within("the end", clear.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"));
    // A place of the connections before may be free a moment later only, so that one of the eight
    // was beyond the limit: another takes its place then.
    let mut silent = Vec::new();
    within("the limit to be reached", async {
        while silent.len() < 8 || stage.get("/api/classes").await.status() != 503 {
            silent.push(TcpStream::connect(stage.address).await.expect("a connection"));
        }
    })
    .await;
    assert!(silent.len() < 16, "{} connections", silent.len());
    within("the silent ones to be closed", silent[0].read_u8()).await.expect_err("the end");
    until("room", || async { (stage.get("/api/classes").await.status() == 200).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_be_used_are_named() {
    let (folder, nothing) = folder_with("nothing", "");
    let root = Authority::root(&folder, "root");
    let (one, other) = (issue(&root, "one"), issue(&root, "other"));
    for (certificate, key, wanted) in [
        (&one.certificate, &other.key, "--tls-key: "),
        (&nothing, &one.key, "--tls-cert: "),
        (&one.certificate, &nothing, "--tls-key: "),
        (&folder.join("none"), &one.key, "--tls-cert: "),
    ] {
        let flags = ["serve", "--bind", "127.0.0.1:0", "--tls-cert", text(certificate)];
        let ended = run(&[&flags[..], &["--tls-key", text(key)]].concat(), &[]).await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(wanted), "{}", ended.stderr);
    }
    let ended = run(&["serve", "--tls-cert", text(&one.certificate)], &[]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
}
