//! Limits of rates: of a student, of an address, and of wrong credentials.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::edge::{problem, send_from};
use crate::support::stage::folder_with;
use crate::support::{
    Database, Issuer, Relay, event_of, handshake_at, handshake_with, masked, read_frame, until,
    within,
};

const PROXY: &str = "127.0.0.1";
const POST: (&str, &str) = ("POST", "/student-progress");
const SECRET: &str = "a secret of the tests, of more than 32 bytes";

/// Flags by which a test is the proxy, and names users.
const USERS: [&str; 10] = [
    "--trusted-proxy",
    PROXY,
    "--user-header",
    "X-User",
    "--groups-header",
    "X-Groups",
    "--students",
    "{class}",
    "--instructors",
    "instructors-{class}",
];

fn student(name: &str) -> [(&str, &str); 3] {
    [("x-user", name), ("x-groups", "c"), ("x-forwarded-for", "192.0.2.1")]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_runs_wild_is_told_to_wait() {
    let database = Database::migrated().await;
    let flags = [&USERS[..], &["--rate-limit-caller", "1:3"]].concat();
    let relay = Relay::start(&database, &flags).await;
    let post = async |name: &str, n: usize| {
        let body = event_of("c", n).to_string();
        send_from(&relay, PROXY, POST, &student(name), &body).await
    };
    let mut statuses = Vec::new();
    for n in 0..8 {
        statuses.push(post("sam", n).await.status().as_u16());
    }
    assert_eq!(statuses[..3], [200; 3]);
    assert!(statuses[3..].contains(&503), "{statuses:?}");
    assert_eq!(post("sue", 9).await.status(), 200, "another student");
    // A large body is read to its end before the answer, so that the client gets it.
    let large = json!([event_of("c", 10), {"x": "x".repeat(1 << 20)}]).to_string();
    let refused = loop {
        let answer = send_from(&relay, PROXY, POST, &student("sam"), &large).await;
        if answer.status() == 503 {
            break answer;
        }
    };
    assert_eq!(problem(&refused), "rate-limited");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["access-control-allow-origin"], "*");
    let path = ("GET", "/api/class/events?class=c");
    let read = loop {
        let answer = send_from(&relay, PROXY, path, &student("sam"), "").await;
        if answer.status() != 200 {
            break answer;
        }
    };
    assert_eq!((read.status().as_u16(), &*problem(&read)), (429, "too-many-requests"));
    assert_eq!(read.headers()["retry-after"], "1");
    let metrics = send_from(&relay, PROXY, ("GET", "/metrics"), &[], "").await;
    assert_eq!(metrics.status(), 401);
}

/// Every request of a class behind one address passes by the defaults, and a flood does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_behind_one_address_is_below_every_limit() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &USERS).await;
    // Six seconds of a class of 200 at its peak, all at once.
    for n in 0..420 {
        let name = format!("s{}", n % 200);
        let body = event_of("c", n).to_string();
        let answer = send_from(&relay, PROXY, POST, &student(&name), &body).await;
        assert_eq!(answer.status(), 200, "{n}");
    }
    let flags = ["--trusted-proxy", PROXY, "--rate-limit-address", "1:5"];
    let flags = [&flags[..], &["--trusted-network", "198.51.100.0/24"]].concat();
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &flags).await;
    let from = async |client: &str| {
        let mut statuses = Vec::new();
        for _ in 0..20 {
            let headers = [("x-forwarded-for", client)];
            let answer = send_from(&relay, PROXY, ("GET", "/api/classes"), &headers, "").await;
            statuses.push(answer.status().as_u16());
        }
        statuses
    };
    let flood = from("192.0.2.1").await;
    assert_eq!(flood[..5], [200; 5]);
    assert!(flood.contains(&429), "{flood:?}");
    assert_eq!(from("198.51.100.7").await, [200; 20], "a trusted network");
    let mut stream = crate::edge::connect_from(&relay, PROXY).await;
    let host = relay.url.authority();
    handshake_at(&mut stream, &host, "", "X-Forwarded-For: 192.0.2.1\r\n").await;
    let (first, payload) = read_frame(&mut stream).await.expect("a frame");
    assert_eq!((first, &payload[..2]), (0x88, &1013_u16.to_be_bytes()[..]), "try again later");
}

/// A token, signed by openssl.
fn token(subject: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time");
    let expires = (now + Duration::from_secs(600)).as_secs();
    let claims = json!({"sub": subject, "role": "student", "classes": ["c"], "exp": expires});
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", SECRET, "-binary"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl");
    openssl.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    let signature = openssl.wait_with_output().expect("a signature").stdout;
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Ten thousand wrong tokens from the address of a class do not disturb the class.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_are_limited_beside_a_class_at_work() {
    let (_folder, file) = folder_with("secret", SECRET);
    let database = Database::migrated().await;
    let secret = ["--jwt-secret-file", file.to_str().expect("UTF-8")];
    let proxy = ["--trusted-proxy", PROXY];
    // A flood that is beyond the address's own limit too, on any machine.
    let limit = ["--rate-limit-address", "500:1000"];
    let relay = Relay::start(&database, &[secret, proxy, limit].concat()).await;
    let post = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let body = event_of("c", 1).to_string();
        let headers = [("authorization", &*bearer), ("x-forwarded-for", "192.0.2.1")];
        send_from(&relay, PROXY, POST, &headers, &body).await
    };
    let (good, unseen) = (token("sam"), token("sue"));
    assert_eq!(post(&good).await.status(), 200);
    let mut connection = relay.connection().await;
    let (mut wrong, mut limited) = (0, 0);
    for n in 0..10_000 {
        let path = format!("/api/class/events?class=c&token=guess-{n}");
        let from = [("x-forwarded-for", "192.0.2.1")];
        let answer = connection.request("GET", &path, &from, Bytes::new()).await;
        match answer.expect("an answer").status.as_u16() {
            401 => wrong += 1,
            429 => limited += 1,
            status => panic!("{status}"),
        }
        if n % 1_000 == 999 {
            assert_eq!(post(&good).await.status(), 200, "the class at work");
        }
    }
    // 50 at once, and 5 a second for as long as it took.
    assert!(limited > 5_000 && wrong >= 50, "{wrong} wrong, {limited} limited");
    // Meanwhile one more may have become due.
    let refused = until("a limit", async || {
        let answer = post("one-more-guess").await;
        (answer.status() != 401).then_some(answer)
    })
    .await;
    assert_eq!((refused.status().as_u16(), &*problem(&refused)), (503, "rate-limited"));
    // From elsewhere a token that was never seen is looked at.
    let bearer = format!("Bearer {unseen}");
    let body = event_of("c", 2).to_string();
    let headers = [("authorization", &*bearer), ("x-forwarded-for", "192.0.2.2")];
    let elsewhere = send_from(&relay, PROXY, POST, &headers, &body).await;
    assert_eq!(elsewhere.status(), 200);
}

/// A caller that a first message names is counted like every other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_bring_their_token_later_count() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &["--rate-limit-caller", "1:2"]).await;
    let token = issuer.token("ann", "instructor", &["c"]);
    let introduction = json!({"type": "auth", "token": token}).to_string();
    let mut answers = Vec::new();
    for _ in 0..6 {
        let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
        handshake_with(&mut stream, &relay, "?class=c", "").await;
        stream.write_all(&masked(introduction.as_bytes())).await.expect("sent");
        let (_, payload) = within("a frame", read_frame(&mut stream)).await.expect("a frame");
        let is_live = payload.starts_with(b"{\"type\":\"live\"");
        let code = payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
        answers.push(if is_live { None } else { code });
    }
    assert_eq!(answers[..2], [None; 2]);
    assert!(answers[2..].contains(&Some(1013)), "{answers:?}");
}
