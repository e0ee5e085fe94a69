//! A relay at debug level is given tokens, cookies and students' code in every place and makes
//! errors of each kind. Then nothing of them stands in its log, its metrics, its answers, the
//! audit, or PostgreSQL's log with its default settings. Every other test's relay is looked at as
//! well, when it ends: see `support::secrecy`.

use futures::{SinkExt, StreamExt};
use progress_relay::client::http::Response;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::{GUARDED, forged, send, sign_in};
use crate::support::secrecy::secrets_in;
use crate::support::{Database, Issuer, Relay, event_of, text, until, within};

/// A part of a student's code.
const CODE: &str = "the-code-of-a-student-81f3";
/// Routes that need no right, and one that does not exist.
const OPEN: [(&str, &str); 9] = [
    ("GET", "/"),
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("POST", "/sign-in/link"),
    ("POST", "/sign-out"),
    ("POST", "/cell-monitor"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/no/such/path"),
];

/// The secrets of the test.
struct Secrets(Vec<String>);

impl Secrets {
    fn assert_absent(&self, what: &str, text: &str) {
        for secret in &self.0 {
            assert!(!text.contains(secret), "{what} has {secret}: {text}");
        }
    }

    /// Looks at an answer; data is where data belongs.
    fn assert_absent_in(&self, what: &str, answer: &Response) {
        for (name, value) in &answer.headers {
            if name != "set-cookie" {
                self.assert_absent(what, &String::from_utf8_lossy(value.as_bytes()));
            }
        }
        let body = String::from_utf8_lossy(&answer.body);
        self.assert_absent(what, &body);
        if answer.status != 200 {
            assert!(!body.contains(CODE), "{what} has a student's code: {body}");
        }
    }
}

/// Bodies that cannot be stored, each for another reason, all with code.
fn bad_bodies() -> Vec<String> {
    let good = event_of("a", 1);
    let with = |name: &str, value: Value| {
        let mut event = good.clone();
        event["code"] = CODE.into();
        event[name] = value;
        event.to_string()
    };
    vec![
        format!("{{\"code\":\"{CODE}"),
        format!("[\"{CODE}\"]"),
        format!("{{\"code\":\"{CODE}\"}}"),
        with("eventTime", CODE.into()),
        with("eventType", Value::Null),
        with("code", json!({ "code": CODE })),
        with("executionCount", CODE.into()),
        with("classId", format!("{CODE}\u{1}").into()),
        format!("{{\"code\":\"{CODE}\",\"pad\":\"{}\"}}", "x".repeat(20 << 20)),
    ]
}

/// Sends messages to a WebSocket, and reads until it ends or answers.
async fn socket(relay: &Relay, query: &str, messages: &[Message]) {
    let stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let url = format!("ws://{}/ws/connect{query}", relay.url.authority());
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("a WebSocket");
    for message in messages {
        let _ = socket.send(message.clone()).await;
    }
    let _ = tokio::time::timeout(std::time::Duration::from_millis(300), async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(Some(frame)) = message {
                assert_eq!(secrets_in(&frame.reason), [""; 0]);
                return;
            }
        }
    })
    .await;
}

/// Has the database refuse a statement, in words that an operator chose.
async fn refused_by_the_database(database: &Database, relay: &Relay, path: &str, body: &str) {
    let client = database.client().await;
    let rule = "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN RAISE EXCEPTION 'no events today'; END$$; \
         CREATE TRIGGER no BEFORE INSERT ON progress_event FOR EACH ROW EXECUTE FUNCTION no()";
    client.batch_execute(rule).await.expect("a rule");
    let headers = [("content-type", "application/json")];
    let answer = send(relay, ("POST", path), &headers, body.to_owned()).await;
    assert_eq!(answer.status, 503);
    assert!(!String::from_utf8_lossy(&answer.body).contains(CODE));
    client.batch_execute("DROP TRIGGER no ON progress_event").await.expect("no rule");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_leaves_the_relay() {
    let database = Database::migrated().await;
    let name = database.name();
    let settings = format!(
        "ALTER DATABASE {name} SET log_min_messages = warning; \
         ALTER DATABASE {name} SET log_min_error_statement = error"
    );
    database.admin().await.batch_execute(&settings).await.expect("PostgreSQL's defaults");
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &["--log", "debug"]).await;
    let ann = issuer.token("ann", "instructor", &["a"]);
    let root = issuer.token("root", "operator", &[]);
    let feed = issuer.token("feed", "writer", &["a"]);
    let cookie = sign_in(&relay, &ann, "").await;
    let session = cookie.split_once('=').expect("a pair").1.to_owned();
    let wrong = forged("mallory");
    let odd = "not-a-token-but-secret-5c1".to_owned();
    let secrets =
        Secrets(vec![ann.clone(), root.clone(), feed.clone(), session, wrong.clone(), odd.clone()]);

    let ways: Vec<(String, Vec<(&str, String)>)> = vec![
        (String::new(), vec![("authorization", format!("Bearer {root}"))]),
        (format!("token={root}"), vec![]),
        (String::new(), vec![("cookie", cookie.clone())]),
        (String::new(), vec![("authorization", format!("Bearer {wrong}"))]),
        (String::new(), vec![("authorization", format!("Basic {odd}"))]),
        (format!("token={wrong}"), vec![("referer", format!("http://x/?token={ann}"))]),
        (format!("token={odd}&class=%00"), vec![]),
        (format!("class=a&token={ann}&token={odd}&limit=x"), vec![]),
        (String::new(), vec![("cookie", format!("progress-relay={odd}"))]),
    ];
    for (_, path) in GUARDED.iter().chain(&OPEN) {
        for method in ["GET", "POST", "PUT", "OPTIONS"] {
            for (query, headers) in &ways {
                if (method, *path) == ("GET", "/api/class/stream") && headers.is_empty() {
                    continue;
                }
                let target = format!("{path}?{query}");
                let headers: Vec<_> =
                    headers.iter().map(|(name, value)| (*name, &**value)).collect();
                let mut connection = relay.connection().await;
                let body = format!("{{\"code\":\"{CODE}\",\"token\":\"{wrong}\"}}");
                let headers = [&headers[..], &[("content-type", "application/json")]].concat();
                let asked = connection.request(method, &target, &headers, body.into());
                // A stream does not end.
                let half = std::time::Duration::from_millis(500);
                let Ok(answer) = tokio::time::timeout(half, asked).await else { continue };
                let what = format!("{method} {target}");
                secrets.assert_absent_in(&what, &answer.expect("an answer"));
            }
        }
    }

    let path = format!("/student-progress?token={feed}");
    let headers = [("content-type", "application/json")];
    let mut good = event_of("a", 1);
    good["code"] = CODE.into();
    assert_eq!(send(&relay, ("POST", &path), &headers, good.to_string()).await.status, 200);
    for body in bad_bodies() {
        let mut connection = relay.connection().await;
        // The relay may close the connection while a body that is too large is being sent.
        if let Ok(answer) = connection.request("POST", &path, &headers, body.into()).await {
            assert!(answer.status.as_u16() >= 400);
            secrets.assert_absent_in("a bad body", &answer);
        }
    }
    let encoded = [("content-type", "text/plain"), ("content-encoding", "gzip")];
    let answer = send(&relay, ("POST", &path), &encoded, CODE).await;
    secrets.assert_absent_in("an encoded body", &answer);
    good["eventId"] = uuid::Uuid::new_v4().to_string().into();
    refused_by_the_database(&database, &relay, &path, &good.to_string()).await;

    let auth = |token: &str| Message::text(json!({"type": "auth", "token": token}).to_string());
    socket(&relay, "?class=a", &[auth(&wrong)]).await;
    socket(&relay, "?class=a", &[auth(&odd)]).await;
    socket(&relay, &format!("?class=a&token={wrong}"), &[]).await;
    socket(&relay, &format!("?class=b&token={ann}"), &[]).await;
    socket(&relay, &format!("?class=a&token={ann}"), &[auth(&ann), Message::text(CODE)]).await;
    socket(&relay, &format!("?class=a&token={ann}"), &[Message::binary(odd.clone())]).await;
    let long = Message::text(format!("{CODE}{}", "x".repeat(100_000)));
    socket(&relay, &format!("?class=a&token={ann}"), &[long]).await;

    let bearer = [("authorization", format!("Bearer {root}"))];
    let bearer = bearer.each_ref().map(|(name, value)| (*name, &**value));
    let metrics = send(&relay, ("GET", "/metrics"), &bearer, "").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("relay_accepted_events_total 1"), "{metrics}");
    let audit = until("the audit", async || {
        let answer = send(&relay, ("GET", "/api/audit?limit=1000"), &bearer, "").await;
        let page = String::from_utf8_lossy(&answer.body).into_owned();
        page.contains("credential-refused").then_some(page)
    })
    .await;
    let log = relay.log();
    assert!(log.contains("DEBUG") && log.contains("a subscriber is refused"), "{log}");
    let admin = database.client().await;
    let sql = "SELECT string_agg(pg_read_file('log/' || name), '') FROM pg_ls_logdir()";
    let postgres: String = within("the log", admin.query_one(sql, &[])).await.expect("it").get(0);
    assert!(postgres.contains("no events today"), "PostgreSQL has logged the refusal");
    let table = "SELECT coalesce(string_agg(entry::text, ' '), '') FROM audit_entry AS entry";
    let table: String = admin.query_one(table, &[]).await.expect("the table").get(0);
    for (what, text) in [
        ("the log", &log),
        ("/metrics", &metrics),
        ("/api/audit", &audit),
        ("the table of the audit", &table),
        ("PostgreSQL's log", &postgres),
    ] {
        secrets.assert_absent(what, text);
        assert!(!text.contains(CODE), "{what} has a student's code");
    }
    // Every relay's end is looked at as this one was.
    let answers = relay.answers();
    for told in ["events-rejected", "unauthorized", "class-not-allowed", "not-committed-in-time"] {
        assert!(answers.contains(told), "{told} is not among the answers: {answers}");
    }
    assert!(relay.last_metrics().expect("metrics").contains("relay_accepted_events_total 1"));
    // The code is there where it belongs.
    let events = send(&relay, ("GET", "/api/class/events?class=a"), &bearer, "").await;
    let events: Value = events.json().expect("events");
    assert_eq!(text(&events["events"][0], "code"), CODE);
}
