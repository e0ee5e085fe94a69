//! A hub that lies about its users, or does its worst: the relay concludes nothing from it, lets
//! nobody in, and neither waits nor reads without a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use progress_relay::client::http::{Connection, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Database, Relay, data_folder, event, within};

/// A hub whose answer the token chooses.
struct LyingHub {
    url: String,
    asked: Arc<AtomicUsize>,
    /// How often something was asked for to which a redirect leads.
    followed: Arc<AtomicUsize>,
}

impl LyingHub {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hub/api", listener.local_addr().expect("an address"));
        let (asked, followed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counts = (Arc::clone(&asked), Arc::clone(&followed));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, followed) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
                tokio::spawn(async move {
                    // The relay ends connections that say too much.
                    let _ = answer(stream, &asked, &followed).await;
                });
            }
        });
        Self { url, asked, followed }
    }
}

fn user() -> Value {
    json!({
        "kind": "user", "name": "ada", "groups": ["algebra"],
        "scopes": ["access:services!service=relay"],
    })
}

async fn answer(
    mut stream: TcpStream,
    asked: &AtomicUsize,
    followed: &AtomicUsize,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    asked.fetch_add(1, Ordering::Relaxed);
    if !head.starts_with("GET /hub/api/user HTTP/1.1\r\n") {
        followed.fetch_add(1, Ordering::Relaxed);
    }
    let token = head.lines().find_map(|line| line.strip_prefix("authorization: token "));
    let mut model = user();
    let mut status = "200 OK";
    match token.unwrap_or_default() {
        "good" => {}
        "a-teachers-token" => model["groups"] = json!(["instructors-algebra"]),
        "name" => model["name"] = json!({"first": "ada"}),
        "groups" => model["groups"] = json!("algebra"),
        "scopes" => model["scopes"] = json!("access:services"),
        "page" => model = json!("<html>Sign in</html>"),
        "failure" => status = "500 Internal Server Error",
        "moved" => status = "302 Found\r\nLocation: /hub/api/elsewhere",
        "huge" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n[").await?;
            loop {
                stream.write_all(&[b' '; 64 << 10]).await?;
            }
        }
        "drip" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        "service" => model["kind"] = "service".into(),
        "elsewhere" => model["scopes"] = json!(["access:services!service=other"]),
        "nobody" => model["name"] = "a\u{7}b".into(),
        _ => status = "403 Forbidden",
    }
    let body = model.to_string();
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).await
}

async fn post(relay: &Relay, token: &str, event: &Value) -> Response {
    let mut connection = Connection::open(&relay.url).await.expect("a connection");
    let authorization = format!("token {token}");
    let headers = [("authorization", &*authorization), ("content-type", "application/json")];
    let body = event.to_string().into();
    within(token, connection.request("POST", "/student-progress", &headers, body))
        .await
        .expect("an answer")
}

/// A relay that is a service of the hub.
async fn start(database: &Database, hub: &LyingHub) -> Relay {
    let token_file = data_folder().display().to_string();
    std::fs::write(&token_file, "the-services-own").expect("a file");
    let mut flags = vec!["--hub-api-url", &hub.url, "--hub-token-file", &token_file];
    flags.extend(["--hub-service-name", "relay", "--students", "{class}"]);
    flags.extend(["--instructors", "instructors-{class}"]);
    Relay::start(database, &flags).await
}

/// The hub knows nothing of the sign-out, and its token stays good.
#[tokio::test]
async fn a_sign_out_ends_a_session_that_a_token_of_the_hub_began() {
    let database = Database::new().await;
    let hub = LyingHub::start().await;
    let relay = start(&database, &hub).await;
    let origin = format!("http://{}", relay.url.authority());
    let send = async |method: &str, path: &str, cookie: &str, body: Value| {
        let mut connection = relay.connection().await;
        let headers =
            [("origin", &*origin), ("cookie", cookie), ("content-type", "application/json")];
        let answer = connection.request(method, path, &headers, body.to_string().into()).await;
        answer.expect("an answer")
    };
    let sign_in = async || {
        let answer = send("POST", "/sign-in", "", json!({"token": "a-teachers-token"})).await;
        assert_eq!(answer.status, 303);
        let cookie = answer.header("set-cookie").expect("a cookie");
        cookie.split(';').next().expect("a pair").to_owned()
    };
    let (first, second) = (sign_in().await, sign_in().await);
    let path = "/api/class/summary?class=algebra";
    let read = async |cookie: &str| send("GET", path, cookie, Value::Null).await.status.as_u16();
    assert_eq!((read(&first).await, read(&second).await), (200, 200));
    assert_eq!(send("POST", "/sign-out", &first, Value::Null).await.status, 303);
    assert_eq!((read(&first).await, read(&second).await), (401, 200));
}

#[tokio::test]
async fn a_lying_hub_lets_nobody_in_and_costs_little() {
    let database = Database::new().await;
    let hub = LyingHub::start().await;
    let relay = start(&database, &hub).await;
    assert_eq!(post(&relay, "good", &event(0)).await.status, 200);
    for (token, status) in [
        ("name", 503),
        ("groups", 503),
        ("scopes", 503),
        ("page", 503),
        ("failure", 503),
        ("moved", 503),
        ("huge", 503),
        ("service", 401),
        ("elsewhere", 401),
        ("nobody", 403),
        ("unknown", 401),
    ] {
        let answer = post(&relay, token, &event(1)).await;
        let body = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, status, "{token}: {body}");
        assert!(!body.contains("ada") && !body.contains("Sign in"), "{token}: {body}");
        assert_eq!(answer.header("retry-after").is_some(), status == 503, "{token}");
    }
    assert_eq!(hub.followed.load(Ordering::Relaxed), 0, "no redirect is followed");
    assert!(relay.peak() < 200 << 20, "{} bytes", relay.peak());

    // A class at work does not wait for those whose tokens make the hub slow.
    let began = Instant::now();
    let drip = event(2);
    let slow = post(&relay, "drip", &drip);
    let quick = async {
        for n in 0..20 {
            assert_eq!(post(&relay, "good", &event(n)).await.status, 200);
        }
        began.elapsed()
    };
    let (slow, quick) = tokio::join!(slow, quick);
    assert_eq!(slow.status, 503);
    assert!(quick < Duration::from_secs(4) && began.elapsed() > Duration::from_secs(4));

    // Any number of requests with one token are one question.
    let before = hub.asked.load(Ordering::Relaxed);
    let again = event(3);
    let answers = join_all((0..30).map(|_| post(&relay, "another", &again))).await;
    assert!(answers.iter().all(|answer| answer.status == 401));
    assert_eq!(hub.asked.load(Ordering::Relaxed) - before, 1);
    let log = relay.log();
    assert!(log.contains("the hub's answer is not understood"), "{log}");
    assert!(!log.contains("the-services-own") && !log.contains("Sign in"), "{log}");
}
