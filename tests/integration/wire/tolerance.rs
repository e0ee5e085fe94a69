//! Events of clients in the field are stored rather than refused; refused events are counted,
//! logged and shown.

use std::collections::BTreeSet;

use bytes::Bytes;
use progress_relay::client::http::Response;
use serde_json::{Value, json};

use crate::support::{Database, Follower, Relay, event_of, readiness, until};

/// The text of a new event: these members beside those of a valid event.
fn text(members: &str) -> String {
    let id = uuid::Uuid::new_v4();
    let time = "2026-11-23T15:36:11.956Z";
    format!(
        r#"{{"eventId":"{id}","eventType":"cell_executed","eventTime":"{time}","userId":"s001","#
    ) + members
        + "}"
}

async fn post(relay: &Relay, target: &str, body: impl Into<Bytes>) -> Value {
    let mut connection = relay.connection().await;
    let response = connection.post_json(target, body).await.expect("an answer");
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    response.json().expect("JSON")
}

/// The values that a known client sends. All of them arrive in one batch, and all are stored.
#[tokio::test]
async fn values_of_known_clients_are_stored() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    let cases: Vec<(&str, &str, Value)> = vec![
        ("executionDurationMs", "150.0", 150.into()),
        ("cellIndex", "3.0", 3.into()),
        ("executionCount", "1.5e2", 150.into()),
        ("hasError", "1", true.into()),
        ("hasError", "0", false.into()),
        ("code", r#"["import math\n","math.pi"]"#, "import math\nmath.pi".into()),
        ("result", "42", "42".into()),
        ("sessionId", "7", "7".into()),
        ("eventTime", "\"2026-11-23T15:36:03.5\"", "2026-11-23T15:36:03.500000Z".into()),
        ("eventTime", "\"2026-11-23 15:36:03\"", "2026-11-23T15:36:03.000000Z".into()),
        ("eventTime", "\"1970-01-01T00:00:07Z\"", "2000-01-01T00:00:00.000000Z".into()),
        ("eventTime", "\"9999-12-31T23:59:59-00:01\"", "2100-12-31T23:59:59.999999Z".into()),
        ("studentId", "20231234", "20231234".into()),
        ("emailAddress", "\"Alice@Example.COM \"", "Alice@Example.COM ".into()),
        ("score", "NaN", Value::Null),
        ("score", "[1e999,-Infinity]", json!([null, null])),
        ("cellIndex", "NaN", Value::Null),
        ("notebookPath", &format!("\"{}\"", "あ".repeat(400)), "あ".repeat(341).into()),
    ]
    .into_iter()
    .map(|(member, value, expected)| (member, &*value.to_owned().leak(), expected))
    .collect();
    let events: Vec<String> = cases
        .iter()
        .map(|(member, value, _)| {
            let text = text(&format!("\"{member}\":{value}"));
            // The last value of a repeated member counts.
            assert!(text.contains(member));
            text
        })
        .collect();
    let answer = post(&relay, "/student-progress", format!("[{}]", events.join(","))).await;
    assert_eq!(answer["accepted"], cases.len(), "{answer}");
    assert_eq!(answer["rejected"], json!([]));
    for ((member, value, expected), event) in cases.iter().zip(follower.take(cases.len()).await) {
        assert_eq!(
            event.get(*member).unwrap_or(&Value::Null),
            expected,
            "{member}: {value}: {event}"
        );
        let truncated = event.get("truncated");
        assert_eq!(
            truncated,
            (*member == "notebookPath").then_some(&json!(["notebookPath"])),
            "{event}"
        );
    }
    // The columns and the body agree, for readers that use SQL.
    let sql = "SELECT count(*) FILTER (WHERE (body->>'eventTime')::timestamptz = occurred_at), \
         count(*), \
               max(student_id) FILTER (WHERE student_id LIKE '%@%') FROM progress_event";
    let row = database.client().await.query_one(sql, &[]).await.expect("an answer");
    let counts: (i64, i64) = (row.get(0), row.get(1));
    assert_eq!(counts, (18, 18));
    assert_eq!(row.get::<_, &str>(2), "alice@example.com");
}

/// A Python client sends one NaN among fifty events. The other events are stored, and so is that
/// one unless the NaN is in a member that an event needs.
#[tokio::test]
async fn one_nan_costs_no_batch() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    let good = |n: usize| text(&format!("\"n\":{n},\"code\":\"NaN\""));
    for (round, (bad, accepted)) in [
        (text("\"n\":17,\"mean\":NaN"), 50),
        (text("\"n\":17,\"executionCount\":-Infinity"), 50),
        (text("\"n\":17,\"eventTime\":NaN"), 49),
        ("Infinity".to_owned(), 49),
    ]
    .into_iter()
    .enumerate()
    {
        let events: Vec<String> =
            (0..50).map(|n| if n == 17 { bad.clone() } else { good(n) }).collect();
        let answer = post(&relay, "/student-progress", format!("[{}]", events.join(","))).await;
        assert_eq!(answer["accepted"], accepted, "{bad}: {answer}");
        if round == 2 {
            assert_eq!(answer["rejected"][0]["index"], 17);
            assert_eq!(answer["rejected"][0]["field"], "eventTime");
        }
    }
    let events = follower.take(198).await;
    assert!(events.iter().all(|event| event["code"] == "NaN" || event["n"] == 17));
}

/// An empty class counts as missing, on every path. All spellings of a class name are one class.
#[tokio::test]
async fn an_empty_class_is_the_urls_or_the_default() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    for path in ["/student-progress", "/api/v1/events"] {
        for (query, members, class) in [
            ("?class=math", r#""classId":"""#, "math"),
            ("?class=math", r#""classId":"  ""#, "math"),
            ("?class=", r#""a":1"#, "default"),
            ("?class=", r#""classId":"""#, "default"),
            ("?class=&class=math", r#""classId":null"#, "math"),
            ("?class=+math%20", r#""a":1"#, "math"),
            ("", r#""classId":"e\u0301cole ""#, "école"),
            ("?class=e%CC%81cole", r#""a":1"#, "école"),
            ("?class=math", r#""classId":101"#, "101"),
        ] {
            post(&relay, &format!("{path}{query}"), text(members)).await;
            let sql = "SELECT class_id FROM progress_event ORDER BY id DESC LIMIT 1";
            let row = database.client().await.query_one(sql, &[]).await.expect("an event");
            assert_eq!(row.get::<_, &str>(0), class, "{path}{query} {members}");
        }
    }
    // A reader finds the class under every spelling.
    for class in ["e%CC%81cole", "%C3%A9cole", "+%C3%A9cole+"] {
        let target = format!("/api/class/summary?class={class}");
        let response = relay.connection().await.get(&target).await.expect("an answer");
        let summary: Value = response.json().expect("a summary");
        assert_eq!(summary["classId"], "école", "{class}");
        assert_eq!(summary["students"].as_array().map(Vec::len), Some(1), "{class}");
    }
}

/// Twelve students with the placeholder name are twelve students, and each raised hand belongs to
/// one of them.
#[tokio::test]
async fn unconfigured_students_are_told_apart() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let events: Vec<Value> = (0..24)
        .map(|n| {
            let mut event = event_of("c", n);
            event["userId"] = "student001@example.com".into();
            event["sessionId"] = format!("session-{}", n % 12).into();
            event["eventType"] = if n < 12 { "cell_executed" } else { "help" }.into();
            event["unconfigured"] = false.into();
            event
        })
        .collect();
    let mut follower = Follower::new(&relay.url, &["c"], None).await;
    relay.post(&json!(events)).await;
    let delivered: BTreeSet<(String, bool)> = follower
        .take(24)
        .await
        .iter()
        .map(|event| {
            (event["studentId"].as_str().expect("text").to_owned(), event["unconfigured"] == true)
        })
        .collect();
    let expected: BTreeSet<(String, bool)> =
        (0..12).map(|n| (format!("student001@example.com#session-{n}"), true)).collect();
    assert_eq!(delivered, expected);
    let response =
        relay.connection().await.get("/api/class/summary?class=c").await.expect("an answer");
    let summary: Value = response.json().expect("a summary");
    assert_eq!(summary["students"].as_array().map(Vec::len), Some(12));
    // A teacher can help such a student like any other.
    let path = "/api/class/students/student001%40example.com%23session-3/help/resolve?class=c";
    let response =
        relay.connection().await.request("POST", path, &[], Bytes::new()).await.expect("an answer");
    assert_eq!(response.json::<Value>().expect("an answer")["resolved"], true);
}

/// A request's method, path, headers and body, and the status of its answer.
type Asked<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, u16);

/// Any page may read any answer of ingest, errors included, even if its browser sent credentials.
#[tokio::test]
async fn every_answer_names_the_origin() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--max-body", "4KiB", "--commit-timeout", "1s"]).await;
    const JSON: (&str, &str) = ("content-type", "application/json");
    let good = text("\"n\":1");
    let large = "x".repeat(5000);
    let requests: [Asked<'_>; 15] = [
        ("POST", "/student-progress", &[JSON], &good, 200),
        ("POST", "/api/v1/events", &[JSON], "[]", 200),
        ("POST", "/student-progress", &[JSON], "{", 400),
        ("POST", "/student-progress", &[JSON], "{}", 422),
        ("POST", "/student-progress", &[JSON], &large, 413),
        ("POST", "/student-progress", &[("content-type", "text/html")], "[]", 415),
        ("GET", "/student-progress", &[], "", 405),
        ("PUT", "/api/v1/events", &[JSON], "[]", 405),
        ("GET", "/cell-monitor", &[], "", 405),
        ("POST", "/cell-monitor", &[JSON], "[]", 204),
        ("POST", "/student-progress/", &[JSON], "[]", 200),
        ("POST", "/student-progress/x", &[JSON], "[]", 404),
        ("POST", "/api/v1/event", &[JSON], "[]", 404),
        ("OPTIONS", "/api/v1/event", &[], "", 204),
        (
            "OPTIONS",
            "/cell-monitor",
            &[("access-control-request-headers", "content-type")],
            "",
            204,
        ),
    ];
    let check = |response: &Response, origin: Option<&str>, what: &str| {
        assert_eq!(response.header("access-control-allow-origin"), origin.or(Some("*")), "{what}");
        assert_eq!(
            response.header("access-control-allow-credentials"),
            origin.map(|_| "true"),
            "{what}"
        );
        assert!(response.header("vary").is_some_and(|vary| vary.contains("Origin")), "{what}");
        assert!(response.header("access-control-expose-headers").is_some(), "{what}");
    };
    for origin in [None, Some("https://hub.example"), Some("null")] {
        for (method, path, headers, body, status) in &requests {
            let headers: Vec<(&str, &str)> =
                headers.iter().copied().chain(origin.map(|origin| ("origin", origin))).collect();
            let mut connection = relay.connection().await;
            let body = Bytes::from((*body).to_owned());
            let response =
                connection.request(method, path, &headers, body).await.expect("an answer");
            let what = format!("{method} {path} of {origin:?}");
            assert_eq!(response.status, *status, "{what}");
            check(&response, origin, &what);
        }
    }
    // A preflight answer repeats the requested headers: with credentials, `*` would be the name of
    // a header.
    let headers = [
        ("origin", "https://hub.example"),
        ("access-control-request-headers", "content-type, x-a"),
    ];
    let mut connection = relay.connection().await;
    let response = connection
        .request("OPTIONS", "/student-progress", &headers, Bytes::new())
        .await
        .expect("an answer");
    assert_eq!(response.header("access-control-allow-headers"), Some("content-type, x-a"));
    // Now the database does not answer.
    let client = database.client().await;
    client.batch_execute("BEGIN; SELECT progress_event_lock()").await.expect("the lock");
    let headers = [JSON, ("origin", "https://hub.example")];
    let response =
        connection.request("POST", "/student-progress", &headers, text("\"n\":2").into()).await;
    let response = response.expect("an answer");
    assert_eq!(response.status, 503);
    check(&response, Some("https://hub.example"), "503");
}

fn metric(metrics: &str, field: &str) -> u64 {
    let name = format!("relay_rejected_events_total{{field=\"{field}\"}} ");
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(&name))
        .unwrap_or_else(|| panic!("no {name}"));
    line.parse().expect("a number")
}

async fn refused(relay: &Relay, class: &str) -> Vec<Value> {
    let target = format!("/api/class/refused?class={class}");
    let response = relay.connection().await.get(&target).await.expect("an answer");
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    response.json::<Value>().expect("JSON")["refused"].as_array().expect("an array").clone()
}

/// Waits until the causes of a class are these, each `(field, count)`, in any order.
async fn until_refused(relay: &Relay, class: &str, expected: &[(&str, u64)]) {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    until(&format!("{expected:?}"), || async {
        let rows = refused(relay, class).await;
        let mut found: Vec<(&str, u64)> = rows
            .iter()
            .map(|row| {
                (row["field"].as_str().expect("text"), row["count"].as_u64().expect("a count"))
            })
            .collect();
        found.sort_unstable();
        (found == expected).then_some(())
    })
    .await;
}

/// A rejected event is counted in the metrics of its replica, logged once, and shown by every
/// replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_events_are_counted_logged_and_shown() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    let mut connection = relays[0].connection().await;
    let bad =
        || text(r#""classId":"c","eventTime":"yesterday","code":"SECRET","userName":"Alice""#);
    for _ in 0..50 {
        let response = connection.post_json("/student-progress", bad()).await.expect("an answer");
        assert_eq!(response.status, 422);
    }
    // In a batch beside a valid event; with an unknown member; not an object; of another class.
    let deep = format!("\"classId\":\"c\",\"mine\":{}{}", "[".repeat(65), "]".repeat(65));
    let batch = format!(
        "[{},{},{},7,{}]",
        text(r#""classId":"c""#),
        bad(),
        text(&deep),
        r#"{"classId":"d"}"#
    );
    assert_eq!(post(&relays[0], "/student-progress?class=c", batch).await["accepted"], 1);
    // Whole requests: not JSON, another content type, too many events.
    for (body, status) in [("{".to_owned(), 400), (format!("[{}]", ["7"; 1001].join(",")), 413)] {
        let response =
            connection.post_json("/student-progress?class=c", body).await.expect("an answer");
        assert_eq!(response.status, status);
    }
    let headers = [("content-type", "text/html")];
    let target = "/api/v1/events?class=c&token=SECRET";
    let response =
        connection.request("POST", target, &headers, "[]".into()).await.expect("an answer");
    assert_eq!(response.status, 415);

    let metrics = connection.get("/metrics").await.expect("an answer");
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for (field, count) in
        [("eventTime", 51), ("eventId", 1), ("other", 1), ("body", 4), ("userId", 0)]
    {
        assert_eq!(metric(&metrics, field), count, "{field}");
    }
    assert!(metrics.contains("# TYPE relay_rejected_events_total counter"));

    let log = relays[0].log();
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("events are rejected")).collect();
    assert_eq!(lines.iter().filter(|line| line.contains("eventTime")).count(), 1, "{lines:#?}");
    assert_eq!(lines.len(), 7, "one a cause: {lines:#?}");
    assert!(
        !log.contains("SECRET") && !log.contains("Alice") && !log.contains("yesterday"),
        "{log}"
    );

    let expected =
        [("eventTime", 51), ("other", 1), ("body", 1), ("body", 1), ("body", 1), ("body", 1)];
    until_refused(&relays[1], "c", &expected).await;
    until_refused(&relays[1], "d", &[("eventId", 1)]).await;
    assert_eq!(refused(&relays[1], "e").await, [json!(null); 0]);
    let rows = refused(&relays[0], "c").await;
    let row = rows.iter().find(|row| row["field"] == "eventTime").expect("a row");
    assert!(row["reason"].as_str().is_some_and(|reason| reason.contains("RFC 3339")), "{row}");
    assert!(row["firstAt"].as_str() <= row["lastAt"].as_str(), "{row}");
    // Both replicas add to one row.
    assert_eq!(
        relays[1]
            .connection()
            .await
            .post_json("/student-progress", bad())
            .await
            .expect("an answer")
            .status,
        422
    );
    let expected =
        [("eventTime", 52), ("other", 1), ("body", 1), ("body", 1), ("body", 1), ("body", 1)];
    until_refused(&relays[0], "c", &expected).await;
}

/// Without the table of rejections nothing else fails, and no rejection is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_table_of_rejections_harms_nothing() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let client = database.client().await;
    client.batch_execute("ALTER TABLE refused_event RENAME TO away").await.expect("renamed");
    let bad = || text(r#""classId":"c","eventTime":"yesterday""#);
    for round in 0..40 {
        let body = format!("[{},{}]", text(r#""classId":"c""#), bad());
        assert_eq!(post(&relay, "/student-progress", body).await["accepted"], 1, "{round}");
    }
    until("a line about it", || async { relay.log().contains("cannot be written").then_some(()) })
        .await;
    assert_eq!(readiness(&relay).await.0, 200);
    let asked =
        relay.connection().await.get("/api/class/refused?class=c").await.expect("an answer");
    assert_eq!(asked.status, 503);
    client.batch_execute("ALTER TABLE away RENAME TO refused_event").await.expect("renamed");
    until_refused(&relay, "c", &[("eventTime", 40)]).await;

    // Another session has locked the table, and a POST does not wait for the lock.
    client.batch_execute("BEGIN; LOCK TABLE refused_event").await.expect("locked");
    let body = format!("[{},{}]", text(r#""classId":"c""#), bad());
    assert_eq!(post(&relay, "/student-progress", body).await["accepted"], 1);
    client.batch_execute("COMMIT").await.expect("unlocked");
    until_refused(&relay, "c", &[("eventTime", 41)]).await;
}

/// Rows are removed after a week, and all but the newest 10,000. After a pause of six hours the
/// count starts again.
#[tokio::test]
async fn the_table_of_rejections_is_bounded() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let fill = "INSERT INTO refused_event \
        SELECT 'c' || n, 'userId', 'is required', 1, now() - interval '1 day', now() - n * \
        interval '1 second' \
        FROM generate_series(1, 12000) AS n; \
        INSERT INTO refused_event VALUES \
        ('old', 'userId', 'is required', 5, now() - interval '9 days', now() - interval '8 days'), \
        ('c', 'eventId', 'is required', 5, now() - interval '1 day', now() - interval '7 hours')";
    client.batch_execute(fill).await.expect("rows");
    let relay = Relay::start(&database, &[]).await;
    assert_eq!(relay.try_post(&json!([{ "classId": "c" }])).await.status, 422);
    until_refused(&relay, "c", &[("eventId", 1)]).await;
    until("what is old to go", || async {
        let count =
            client.query_one("SELECT count(*) FROM refused_event", &[]).await.expect("a count");
        (count.get::<_, i64>(0) == 10_000).then_some(())
    })
    .await;
    assert_eq!(refused(&relay, "old").await, [json!(null); 0]);
    assert_eq!(refused(&relay, "c1").await.len(), 1);
}
