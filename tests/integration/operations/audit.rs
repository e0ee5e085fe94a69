//! The audit: what is recorded, by whom it can be read, and how long it is kept.

use bytes::Bytes;
use futures::SinkExt;
use progress_relay::client::http::Response;
use progress_relay::client::ws::Subscriber;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::described::assert_described;
use crate::support::{Database, Issuer, Relay, event_of, text, until};

/// Sends a request with a token, and compares the answer with `/openapi.json`.
async fn ask(relay: &Relay, method: &str, target: &str, token: &str) -> Response {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", &*bearer)];
    let mut connection = relay.connection().await;
    let answer = connection.request(method, target, &headers, Bytes::new()).await;
    let answer = answer.expect("an answer");
    assert_described(relay, (method, target), &answer).await;
    answer
}

/// A page of the audit.
async fn page(relay: &Relay, query: &str, token: &str) -> Value {
    let answer = ask(relay, "GET", &format!("/api/audit{query}"), token).await;
    assert_eq!(answer.status, 200, "{query}: {}", String::from_utf8_lossy(&answer.body));
    answer.json().expect("JSON")
}

/// The entries as lines, oldest first, once there are `count` of them.
async fn entries(relay: &Relay, query: &str, token: &str, count: usize) -> Vec<String> {
    until("the entries", async || {
        let page = page(relay, query, token).await;
        let entries = page["entries"].as_array().expect("entries");
        let line = |entry: &Value| {
            let names = ["action", "subject", "role", "source", "classId", "studentId", "detail"];
            let values = names.map(|name| entry[name].as_str().unwrap_or("-"));
            assert_eq!(text(entry, "address"), "127.0.0.1");
            values.join(" ")
        };
        (entries.len() >= count).then(|| entries.iter().rev().map(line).collect())
    })
    .await
}

/// Opens a class by a WebSocket whose first message has the token.
async fn introduce(relay: &Relay, class: &str, token: &str) {
    let stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let url = format!("ws://{}/ws/connect?class={class}", relay.url.authority());
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("a WebSocket");
    let introduction = json!({"type": "auth", "token": token}).to_string();
    socket.send(Message::text(introduction)).await.expect("sent");
    let answer = futures::StreamExt::next(&mut socket).await.expect("an answer");
    answer.expect("a message");
}

#[tokio::test]
async fn what_callers_do_is_recorded() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let mut help = event_of("a", 1);
    (help["eventType"], help["userId"]) = ("help".into(), "s 1".into());
    issuer.post(&relay, &json!([help, event_of("b", 1)])).await;
    let ann = issuer.token("ann", "instructor", &["a"]);
    let student = issuer.token("s 1", "student", &["a"]);
    let root = issuer.token("root", "operator", &[]);

    for _ in 0..2 {
        assert_eq!(ask(&relay, "GET", "/api/class/summary?class=a", &ann).await.status, 200);
        ask(&relay, "GET", "/api/class/events?class=a&student=s+1", &ann).await;
        ask(&relay, "GET", "/api/class/export?class=a&format=ndjson", &ann).await;
    }
    // What a student reads and follows of itself.
    introduce(&relay, "a", &student).await;
    assert_eq!(ask(&relay, "GET", "/api/class/events?class=a", &student).await.status, 200);
    let resolve = "/api/class/students/s%201/help/resolve?class=a";
    let claim = resolve.replace("resolve", "claim");
    for method in ["POST", "DELETE"] {
        assert_eq!(ask(&relay, method, &claim, &ann).await.status, 200);
    }
    // The second one finds the hand down, and nothing is done.
    for _ in 0..2 {
        assert_eq!(ask(&relay, "POST", resolve, &ann).await.status, 200);
    }
    assert_eq!(ask(&relay, "POST", "/api/class/lessons?class=a", &ann).await.status, 200);
    assert_eq!(ask(&relay, "GET", "/api/class/cells?class=b", &ann).await.status, 403);
    assert_eq!(ask(&relay, "GET", "/api/audit", &ann).await.status, 403);
    assert_eq!(ask(&relay, "GET", "/api/class/summary?class=a", "a.wrong.token").await.status, 401);
    assert_eq!(relay.connection().await.get("/api/classes").await.expect("401").status, 401);
    introduce(&relay, "b", &root).await;
    introduce(&relay, "b", "wrong").await;
    let expected = [
        "class-opened ann instructor token a - -",
        "student-opened ann instructor token a s 1 -",
        "exported ann instructor token a - ndjson",
        "exported ann instructor token a - ndjson",
        "hand-claimed ann instructor token a s 1 -",
        "hand-claimed ann instructor token a s 1 released",
        "hand-lowered ann instructor token a s 1 -",
        "lesson-begun ann instructor token a - -",
        "not-allowed ann instructor token b - -",
        "not-allowed ann instructor token default - -",
        "credential-refused - - - - - invalid",
        "class-opened root operator token b - -",
    ];
    let recorded = entries(&relay, "", &root, expected.len()).await;
    assert_eq!(recorded[..expected.len()], expected);
    let opened = entries(&relay, "?class=a&subject=ann&action=class-opened", &root, 1).await;
    assert_eq!(opened, [expected[0]]);

    // By pages.
    let first = page(&relay, "?limit=4", &root).await;
    let next = format!("?limit=1000&before={}", first["next"]);
    let second = page(&relay, &next, &root).await;
    assert_eq!(second["next"], Value::Null);
    let ids = |page: &Value| -> Vec<i64> {
        let entries = page["entries"].as_array().expect("entries");
        entries.iter().map(|entry| entry["id"].as_i64().expect("an id")).collect()
    };
    let ids = [ids(&first), ids(&second)].concat();
    assert!(ids.len() >= expected.len() && ids.is_sorted_by(|newer, older| newer > older));
    for wrong in ["?action=made-up", "?limit=0", "?before=x", "?class=", "?subject=%00"] {
        let answer = ask(&relay, "GET", &format!("/api/audit{wrong}"), &root).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

/// The key of a cookie that an answer sets: `name=value`.
fn cookie(answer: &Response) -> String {
    let set = answer.header("set-cookie").expect("a cookie");
    set.split(';').next().expect("a pair").to_owned()
}

#[tokio::test]
async fn sign_ins_are_recorded() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let ann = issuer.token("ann", "instructor", &["a"]);
    let origin = format!("http://{}", relay.url.authority());
    let sign = async |path: &str, cookie: &str, body: Value| {
        let headers =
            [("origin", &*origin), ("cookie", cookie), ("content-type", "application/json")];
        let mut connection = relay.connection().await;
        let body = Bytes::from(body.to_string());
        connection.request("POST", path, &headers, body).await.expect("an answer")
    };
    let signed_in = sign("/sign-in", "", json!({"token": ann})).await;
    assert_eq!(signed_in.status, 303);
    let session = cookie(&signed_in);
    assert_eq!(sign("/sign-in", "", json!({"token": "wrong"})).await.status, 401);
    let link: Value = sign("/sign-in/link", &session, json!({})).await.json().expect("a link");
    let code = text(&link, "path").split_once('#').expect("a code").1.to_owned();
    for status in [303, 401] {
        assert_eq!(sign("/sign-in", "", json!({"code": code})).await.status, status);
    }
    sign("/sign-out", &session, json!({})).await;
    let expected = [
        "signed-in ann instructor session - - -",
        "sign-in-refused - - - - - invalid",
        "link-made ann instructor session - - -",
        "link-used ann instructor link - - -",
        "signed-in ann instructor session - - -",
        "signed-out ann instructor session - - -",
    ];
    let root = issuer.token("root", "operator", &[]);
    assert_eq!(entries(&relay, "", &root, expected.len()).await[..expected.len()], expected);
    let rows = database.client().await;
    let rows = rows.query("SELECT row_to_json(audit_entry)::text FROM audit_entry", &[]).await;
    for row in rows.expect("the table") {
        let row: String = row.get(0);
        for secret in [&ann, &code, session.split_once('=').expect("a value").1] {
            assert!(!row.contains(secret), "{row}");
        }
    }
}

#[tokio::test]
async fn a_request_does_not_wait_for_the_audit() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let ann = issuer.token("ann", "instructor", &["*"]);
    let client = database.client().await;
    client.batch_execute("BEGIN; LOCK TABLE audit_entry").await.expect("locked");
    for class in ["a", "b", "c"] {
        let target = format!("/api/class/summary?class={class}");
        assert_eq!(ask(&relay, "GET", &target, &ann).await.status, 200);
    }
    until("the warning", async || {
        relay.log().contains("the audit cannot be written").then_some(())
    })
    .await;
    client.batch_execute("ROLLBACK").await.expect("unlocked");
    let root = issuer.token("root", "operator", &[]);
    let kept = entries(&relay, "?action=class-opened", &root, 3).await;
    assert_eq!(kept.len(), 3, "none is lost, none comes twice: {kept:?}");
}

#[tokio::test]
async fn old_entries_are_deleted() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let fill = "INSERT INTO audit_entry (at, action, address) \
         SELECT now() - make_interval(days => n, hours => 1), 'exported', '::1' \
         FROM generate_series(0, 39) AS n, generate_series(1, 100)";
    client.batch_execute(fill).await.expect("filled");
    let _relay = Relay::start(&database, &["--audit-retain", "30d"]).await;
    let count = async |what: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM audit_entry WHERE {what}");
        client.query_one(&sql, &[]).await.expect("a count").get(0)
    };
    until("the deletion", async || {
        (count("at < now() - interval '30 days'").await == 0).then_some(())
    })
    .await;
    assert_eq!(count("true").await, 3_000);
    // Not even the owner's function deletes those of the last day.
    client.batch_execute("SELECT progress_audit_prune(0, 10000)").await.expect("pruned");
    assert_eq!(count("true").await, 100);
    for wrong in ["0d", "180", "1h", "-1d"] {
        let arguments = ["serve", "--audit-retain", wrong];
        assert_eq!(crate::support::run(&arguments, &[]).await.code, Some(2), "{wrong}");
    }
}

#[tokio::test]
async fn an_open_relay_records_nothing() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&event_of("a", 1)).await;
    let mut connection = relay.connection().await;
    for target in ["/api/class/summary?class=a", "/api/class/export?class=a"] {
        assert_eq!(connection.get(target).await.expect("an answer").status, 200);
    }
    drop(Subscriber::connect(&relay.url, &["a".to_owned()], None).await.expect("a subscription"));
    // The stop writes what waits.
    let mut relay = relay;
    relay.signal(nix::sys::signal::Signal::SIGTERM);
    relay.ended(crate::support::PATIENCE).await;
    let count = database.client().await.query_one("SELECT count(*) FROM audit_entry", &[]).await;
    assert_eq!(count.expect("a count").get::<_, i64>(0), 0);
}
