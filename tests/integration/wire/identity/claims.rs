//! Tokens: in no log and no metric; roles and classes as their claims have them.

use bytes::Bytes;
use progress_relay::client::query;
use progress_relay::client::ws::{Frame, Subscriber};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::tokens::{Keys, argument, claims, signed_with, token_of};
use crate::support::{Database, Relay, event_of, handshake_with, masked, read_frame, within};

/// How a token reaches the relay.
#[derive(Debug, Clone, Copy)]
enum Way {
    Bearer,
    TokenScheme,
    Query,
}

const WAYS: [Way; 3] = [Way::Bearer, Way::TokenScheme, Way::Query];

impl Way {
    fn target(self, path: &str, token: &str) -> String {
        match self {
            Self::Query => {
                let separator = if path.contains('?') { '&' } else { '?' };
                format!("{path}{separator}{}", query([("token", token)]))
            }
            _ => path.to_owned(),
        }
    }

    fn authorization(self, token: &str) -> Option<String> {
        match self {
            Self::Bearer => Some(format!("Bearer {token}")),
            Self::TokenScheme => Some(format!("token {token}")),
            Self::Query => None,
        }
    }
}

/// The status of a request with a token, and the end of its problem's type.
async fn ask(
    relay: &Relay,
    way: Way,
    (method, path): (&str, &str),
    token: &str,
    body: &Value,
) -> (u16, String) {
    let authorization = way.authorization(token);
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
    let body = if method == "POST" { Bytes::from(body.to_string()) } else { Bytes::new() };
    let mut connection = relay.connection().await;
    let target = way.target(path, token);
    let answer = connection.request(method, &target, &headers, body).await.expect("an answer");
    let problem = answer.json::<Value>().unwrap_or_default();
    let shown = String::from_utf8_lossy(&answer.body);
    assert!(!shown.contains(token) || token.len() < 8, "the problem repeats the token: {shown}");
    if answer.status == 401 {
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"progress-relay\""));
    }
    let name = problem["type"].as_str().unwrap_or_default();
    (answer.status.as_u16(), name.rsplit(':').next().unwrap_or_default().to_owned())
}

/// The status of a stream's answer.
async fn stream_status(relay: &Relay, way: Way, token: &str) -> u16 {
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let header = way.authorization(token).map(|value| format!("Authorization: {value}\r\n"));
    let request = format!(
        "GET {} HTTP/1.0\r\nHost: localhost\r\n{}\r\n",
        way.target("/api/class/stream?class=algebra", token),
        header.unwrap_or_default()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = [0; 12];
    within("the answer", stream.read_exact(&mut head)).await.expect("a status");
    String::from_utf8_lossy(&head[9..]).parse().expect("a status")
}

/// The first frame of a WebSocket, or the code and the reason of its close.
async fn socket(relay: &Relay, way: Way, token: &str) -> Result<(), (u16, String)> {
    let authorization = way.authorization(token);
    let headers: Vec<_> =
        authorization.iter().map(|value| ("authorization", value.as_str())).collect();
    let query = way.target("?class=algebra", token);
    let connected = Subscriber::connect_to(&relay.url, &query[1..], &headers).await;
    match within("a frame", connected.expect("a socket").next()).await.expect("a frame") {
        Frame::Closed { code, reason } => Err((code.unwrap_or_default(), reason)),
        _ => Ok(()),
    }
}

/// The same by the first message: a page of a browser has no headers, and keeps the token out of
/// the URL.
async fn first_message(relay: &Relay, token: &str) -> Result<(), (u16, String)> {
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    handshake_with(&mut stream, relay, "?class=algebra", "").await;
    let text = json!({"type": "auth", "token": token}).to_string();
    stream.write_all(&masked(text.as_bytes())).await.expect("sent");
    match within("a frame", read_frame(&mut stream)).await.expect("a frame") {
        (0x88, payload) => {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            Err((code, String::from_utf8_lossy(&payload[2..]).into_owned()))
        }
        _ => Ok(()),
    }
}

fn strict_flags(keys: &Keys) -> Vec<String> {
    let mut flags = keys.flags();
    let jwks = keys.path("jwks");
    flags.extend(["--jwt-keys".to_owned(), argument(&jwks).to_owned()]);
    flags
}

/// The most talkative log, of every library too, has no token, and nothing that a student wrote;
/// the metrics have no token either.
#[tokio::test]
async fn no_log_has_a_token() {
    let database = Database::new().await;
    let keys = Keys::new();
    let flags = keys.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).chain(["--log", "trace"]).collect();
    let relay = Relay::start(&database, &flags).await;
    let good = token_of("operator", "o", &[]);
    let wrong = signed_with(&[7; 32], &json!({"alg": "HS256"}), &claims("operator", "o", &[]));
    let mut body = event_of("algebra", 1);
    body["code"] = "what_a_student_wrote = 1".into();
    for token in [&good, &wrong] {
        for way in WAYS {
            ask(&relay, way, ("POST", "/student-progress?class=algebra"), token, &body).await;
            ask(&relay, way, ("GET", "/api/class/events?class=algebra"), token, &body).await;
            ask(&relay, way, ("GET", "/nowhere"), token, &body).await;
            stream_status(&relay, way, token).await;
            let _ = socket(&relay, way, token).await;
        }
        let _ = first_message(&relay, token).await;
    }
    let headers = [("authorization", &*format!("Bearer {good}"))];
    let mut connection = relay.connection().await;
    let metrics = connection.request("GET", "/metrics", &headers, Bytes::new()).await;
    let metrics = metrics.expect("an answer");
    let (log, metrics) = (relay.log(), String::from_utf8_lossy(&metrics.body).into_owned());
    assert!(log.contains("DEBUG") && metrics.contains("relay_connections"), "{log}");
    for token in [&good, &wrong] {
        // The signature alone would be enough to know that it was seen.
        let (_, signature) = token.rsplit_once('.').expect("parts");
        for part in [token.as_str(), signature] {
            assert!(!metrics.contains(part), "{metrics}");
            let line = log.lines().find(|line| line.contains(part));
            assert_eq!(line, None);
        }
    }
    let line = log.lines().find(|line| line.contains("what_a_student_wrote"));
    assert_eq!(line, None);
}

/// Keys of each kind, from a file; roles and classes as the claims have them.
#[tokio::test]
async fn roles_and_classes_are_the_claims() {
    let database = Database::new().await;
    let keys = Keys::new();
    let signers = ["RSA", "EC", "ED25519"].map(|kind| keys.key(&format!("k-{kind}"), kind));
    let set = json!({"keys": signers.iter().map(|key| key.jwk()).collect::<Vec<_>>()});
    keys.write("jwks", &set.to_string());
    let flags = strict_flags(&keys);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let relay = Relay::start(&database, &flags).await;
    let body = event_of("algebra", 1);
    for signer in &signers {
        for (role, class, post, read) in [
            ("writer", "algebra", 200, 403),
            ("writer", "alge*", 200, 403),
            ("writer", "physics", 403, 403),
            ("student", "algebra", 200, 200),
            // Into its own class, whatever the event says.
            ("student", "physics", 200, 403),
            ("instructor", "algebra", 403, 200),
            ("instructor", "physics", 403, 403),
            ("operator", "physics", 200, 200),
        ] {
            let token = signer.token(&claims(role, "s1", &[class]));
            let case = format!("{} {role} of {class}", signer.algorithm);
            let posted =
                ask(&relay, Way::Bearer, ("POST", "/student-progress"), &token, &body).await;
            assert_eq!(posted.0, post, "{case} posts: {posted:?}");
            // A student reads its own events.
            let events = ("GET", "/api/class/events?class=algebra");
            let answer = ask(&relay, Way::Bearer, events, &token, &body).await;
            assert_eq!(answer.0, read, "{case} reads: {answer:?}");
        }
    }
}

/// With a source of callers, the relay may listen beyond loopback.
#[tokio::test]
async fn without_a_source_only_loopback_is_served() {
    let refused = crate::support::run(&["serve", "--bind", "0.0.0.0:0"], &[]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    for flag in ["--jwt-secret-file", "--insecure"] {
        assert!(refused.stderr.contains(flag), "{}", refused.stderr);
    }
    let database = Database::new().await;
    let keys = Keys::new();
    let flags = keys.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).chain(["--bind", "0.0.0.0:0"]).collect();
    let relay = Relay::begin(&[&["--database-url", &database.url()], &flags[..]].concat()).await;
    assert!(relay.url.to_string().starts_with("http://0.0.0.0:"), "{}", relay.url);
}
