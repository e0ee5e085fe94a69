//! Requests that real clients sent, replayed.

use progress_relay::client::http::Response;
use serde_json::{Value, json};

use crate::support::captures::{Captured, captured, replay};
use crate::support::{Database, Follower, Relay, Tail, event, parts, text};

/// Checks the headers without which a browser hides the answer from the client, or sends a
/// preflight before every POST.
fn assert_cors(request: &Captured, response: &Response) {
    let what = format!("{} {}", request.method, request.path);
    let origin = request.headers.get("Origin").map(|origin| origin.as_str().expect("text"));
    assert_eq!(response.header("access-control-allow-origin"), origin.or(Some("*")), "{what}");
    let credentials = response.header("access-control-allow-credentials");
    assert_eq!(credentials, origin.map(|_| "true"), "{what}");
    if request.method == "OPTIONS" {
        assert_eq!(response.status, 204, "{what}");
        assert_eq!(response.header("access-control-max-age"), Some("7200"), "{what}");
        let allowed = response.header("access-control-allow-headers").expect("a header");
        assert!(allowed.split(',').any(|name| name.trim() == "content-type"), "{what}: {allowed}");
        let methods = response.header("access-control-allow-methods").expect("a header");
        assert!(methods.split(',').any(|name| name.trim() == "POST"), "{what}: {methods}");
    }
}

/// Replays all requests twice, as a client does whose answers were lost, while `tail` follows.
async fn replay_and_follow(capture: &str, student: &str) {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let start = Follower::new(&relay.url, &["default"], None).await.cursor.expect("a cursor");
    let mut tail = Tail::start(&relay.url.to_string(), "default", &start);

    let mut connection = relay.connection().await;
    let mut sent: Vec<Value> = Vec::new();
    for request in captured(capture).iter().chain(&captured(capture)) {
        let response = replay(&mut connection, request).await;
        let what = format!("{} {} {}", request.method, request.path, request.body);
        assert!(response.status.is_success(), "{what}: {}", response.status);
        assert_cors(request, &response);
        if request.method == "OPTIONS" {
            continue;
        }
        if request.path == "/cell-monitor" {
            assert_eq!(response.status, 204, "{what}");
            continue;
        }
        let events: Vec<Value> = serde_json::from_str(&request.body).expect("an array");
        let new: Vec<&Value> = events
            .iter()
            .filter(|event| sent.iter().all(|known| known["eventId"] != event["eventId"]))
            .collect();
        let answer: Value = response.json().expect("an answer");
        assert_eq!(answer["accepted"], new.len(), "{what}");
        assert_eq!(answer["duplicates"], events.len() - new.len(), "{what}");
        assert_eq!(answer["rejected"], json!([]), "{what}");
        assert_eq!(answer.get("cursor").is_some(), !new.is_empty(), "{what}");
        let new: Vec<Value> = new.into_iter().cloned().collect();
        sent.extend(new);
    }
    assert!(sent.len() >= 3, "the capture has events");

    // Any other stored event would come before this one.
    relay.post(&event(0)).await;
    let mut lines = tail.until(0).await;
    lines.pop();
    assert_eq!(lines.len(), sent.len(), "each distinct event once, and nothing else: {lines:#?}");
    let mut last = parts(&start).1;
    for (line, event) in lines.iter().zip(&sent) {
        let (epoch, id) = parts(text(line, "cursor"));
        assert_eq!((epoch, Some(id)), (parts(&start).0, line["id"].as_i64()), "{line}");
        assert!(id > last, "{line}");
        last = id;
        assert_eq!((text(line, "classId"), text(line, "studentId")), ("default", student));
        assert!(text(line, "receivedAt").ends_with('Z'), "{line}");
        let mut body = line.as_object().expect("an object").clone();
        for added in ["id", "classId", "studentId", "receivedAt", "cursor"] {
            body.remove(added);
        }
        assert_eq!(&Value::Object(body), event);
    }
    assert_eq!(tail.interrupt().await, Some(0));
}

#[tokio::test]
async fn cell_monitor_1_1_4() {
    replay_and_follow(include_str!("../../captures/cell-monitor-1.1.4.jsonl"), "s001@example.com")
        .await;
}

#[tokio::test]
async fn cell_monitor_0_1_0() {
    replay_and_follow(include_str!("../../captures/cell-monitor-0.1.0.jsonl"), "s001").await;
}

/// Another client's bodies become events. A retry is a duplicate, and whatever else the bodies
/// carry, a whole environment among it, is neither stored nor logged, also if they are refused.
#[tokio::test]
async fn jupyterlab_pioneer() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--log", "trace"]).await;
    let mut connection = relay.connection().await;
    let mut requests = captured(include_str!("../../captures/jupyterlab-pioneer-1.7.3.jsonl"));
    let open = json!({
        "data": {
            "eventDetail": {
                "eventName": "NotebookOpenEvent",
                "eventTime": 1_795_448_170_000_i64,
                "eventInfo": {"environ": {"API_TOKEN": "a-secret"}}
            },
            "notebookState": {"sessionID": "s", "notebookPath": "lesson1.ipynb"}
        },
        "params": {"class": "demo"},
        "env": [{"JUPYTERHUB_USER": "hubuser1"}, {"JUPYTERHUB_API_TOKEN": "a-secret"}]
    });
    let mut nameless = open.clone();
    nameless["env"] = json!([{"JUPYTERHUB_API_TOKEN": "a-secret"}]);
    let mut ignored = open.clone();
    ignored["data"]["eventDetail"]["eventName"] = "NotebookScrollEvent".into();
    let bodies = [(open, 200), (nameless, 422), (ignored, 200)];
    let answers: Vec<u16> = requests.iter().map(|_| 200).collect();
    let answers = [answers, bodies.iter().map(|(_, status)| *status).collect()].concat();
    let like = requests.last().expect("a request").clone();
    requests
        .extend(bodies.iter().map(|(body, _)| Captured { body: body.to_string(), ..like.clone() }));
    for round in 0..2 {
        for (request, &status) in requests.iter().zip(&answers) {
            let response = replay(&mut connection, request).await;
            assert_eq!(response.status, status, "{}", request.body);
            let answer: Value = response.json().expect("an answer");
            if status == 422 {
                assert_eq!(answer["rejected"][0]["field"], "studentId");
                let reason = answer["rejected"][0]["reason"].as_str().expect("a reason");
                assert!(reason.contains("JUPYTERHUB_USER"), "{reason}");
                assert!(!answer.to_string().contains("a-secret"), "{answer}");
            } else if request.body.contains("Scroll") {
                assert_eq!((&answer["accepted"], &answer["ignored"]), (&0.into(), &1.into()));
            } else {
                let counts = (&answer["accepted"], &answer["duplicates"]);
                assert_eq!(counts, (&(1 - round).into(), &round.into()), "{}", request.body);
            }
        }
    }
    let rows = database
        .client()
        .await
        .query("SELECT class_id, student_id, body::text FROM progress_event ORDER BY id", &[])
        .await
        .expect("an answer");
    let bodies: Vec<String> = rows.iter().map(|row| row.get(2)).collect();
    assert_eq!(bodies.len(), 4, "{bodies:?}");
    for row in &rows {
        assert_eq!((row.get(0), row.get(1)), ("demo", "hubuser1"));
    }
    assert!(bodies[1].contains("\"code\":\"x = 6*7\\nx\""), "{bodies:?}");
    assert!(!bodies.concat().contains("a-secret") && !relay.log().contains("a-secret"));
    assert!(!relay.log().contains("hubuser1"), "the request is in the log");
    assert!(relay.log().contains("DEBUG"), "the log would have shown it");
    let summary = connection.get("/api/class/summary?class=demo").await.expect("an answer");
    let summary: Value = summary.json().expect("a summary");
    let student = &summary["students"][0];
    assert_eq!((&student["cellsExecuted"], &student["errorCount"]), (&2.into(), &1.into()));
}

/// Real bodies of the extension jupyterlab-unianalytics-telemetry, at the address that its setting
/// makes of one of the relay's: the path of its own stands in the query.
#[tokio::test]
async fn jupyter_analytics() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut connection = relay.connection().await;
    let mut posts = 0;
    for request in captured(include_str!("../../captures/jupyter-analytics-5.1.1.jsonl")) {
        for round in 0..2 {
            let response = replay(&mut connection, &request).await;
            assert_cors(&request, &response);
            if request.method == "POST" {
                let answer: Value = response.json().expect("an answer");
                let counts = (&answer["accepted"], &answer["duplicates"]);
                assert_eq!(counts, (&(1 - round).into(), &round.into()), "{}", request.body);
                posts += 1 - round;
            }
        }
    }
    let export = connection.get("/api/class/export?class=demo&format=ndjson").await;
    let export = String::from_utf8(export.expect("an answer").body.to_vec()).expect("UTF-8");
    let events: Vec<Value> =
        export.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(events.len(), posts);
    assert!(events.iter().all(|event| event["studentId"] == "hubuser1"));
    let runs: Vec<(&Value, &Value, &Value)> = events
        .iter()
        .filter(|event| event["eventType"] == "cell_executed")
        .map(|event| (&event["cellId"], &event["code"], &event["hasError"]))
        .collect();
    let expected = json!([
        ["c-ok", "x = 6*7\nx", false],
        ["c-print", "print('hello')", false],
        ["c-print", "print('hello')", false],
        ["c-ok", "x = 6*7\nx", false],
        ["c-err", "1/0", true],
        ["9e6e2a5d-7e1d-4d84-8a38-a87567840e04", "y = 1", false]
    ]);
    assert_eq!(json!(runs), expected);
}
