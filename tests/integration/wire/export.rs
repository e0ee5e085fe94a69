//! Exports, as the programs that open them read them.

use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use progress_relay::client::http::Response;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::class::random_event;
use crate::support::{Database, Relay, event_of};

async fn export(relay: &Relay, parameters: &str) -> Response {
    let target = format!("/api/class/export?class=a&{parameters}");
    let mut connection = relay.connection().await;
    let response = connection.request("GET", &target, &[], Bytes::new()).await.expect("an answer");
    let body = String::from_utf8_lossy(&response.body);
    assert_eq!(response.status, 200, "{parameters}: {body}");
    response
}

async fn text(relay: &Relay, parameters: &str) -> String {
    String::from_utf8(export(relay, parameters).await.body.to_vec()).expect("UTF-8")
}

async fn lines(relay: &Relay, parameters: &str) -> Vec<Value> {
    let text = text(relay, parameters).await;
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The rows of CSV, by the rules of RFC 4180.
fn rows(csv: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut chars, mut is_quoted) = (csv.chars().peekable(), false);
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut field)),
            '\r' if !is_quoted => {
                assert_eq!(chars.next(), Some('\n'));
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            c => field.push(c),
        }
    }
    assert!(field.is_empty() && row.is_empty() && !is_quoted, "the last row is not whole");
    rows
}

/// The field of a row in the column of this name.
fn field<'a>(rows: &'a [Vec<String>], row: usize, column: &str) -> &'a str {
    let at = rows[0].iter().position(|name| name == column).expect("a column");
    &rows[row][at]
}

#[tokio::test]
async fn an_export_has_every_event() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    // Several pages.
    for _ in 0..3 {
        let events: Vec<Value> = (0..400).map(|_| random_event("a", 20)).collect();
        relay.post(&events.into()).await;
    }
    let response = export(&relay, "format=ndjson").await;
    assert!(response.header("content-disposition").expect("a header").contains("a.ndjson"));
    let ids: Vec<Value> =
        lines(&relay, "format=ndjson").await.iter().map(|event| event["id"].clone()).collect();
    assert_eq!(json!(ids), json!((1..=1200).collect::<Vec<_>>()));
    let csv = text(&relay, "").await;
    let rows = rows(csv.trim_start_matches('\u{feff}'));
    let ids: Vec<&str> = (1..rows.len()).map(|row| field(&rows, row, "id")).collect();
    assert_eq!(ids, (1..=1200).map(|id| id.to_string()).collect::<Vec<_>>());
    let nothing = text(&relay, "to=2001-01-01T00:00:00Z").await;
    assert_eq!(nothing.lines().count(), 1, "the names of the columns");
}

#[tokio::test]
async fn csv_opens_in_spreadsheets_as_it_was_meant() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let ids = ["73928e05", "0012345", "2026001", "=1+1", "＝1+1", "学生;-1"];
    let events: Vec<Value> = ids
        .iter()
        .map(|id| {
            let mut event = event_of("a", 1);
            event["userId"] = (*id).into();
            event["eventTime"] = "2026-01-02T15:04:05.678Z".into();
            event["code"] = "print(\"=\")\n@x".into();
            event["result"] = "x".repeat(40_000).into();
            event
        })
        .collect();
    relay.post(&json!(events)).await;
    let csv = text(&relay, "utcOffset=%2B09:00").await;
    let csv = csv.strip_prefix('\u{feff}').expect("a byte order mark");
    assert!(!csv.replace("\r\n", "").contains('\r'));
    let rows = rows(csv);
    assert_eq!(rows.len(), 7);
    let found: Vec<&str> = (1..7).map(|row| field(&rows, row, "studentId")).collect();
    assert_eq!(found, ["'73928e05", "'0012345", "2026001", "'=1+1", "'＝1+1", "学生;'-1"]);
    for row in 1..7 {
        assert_eq!(field(&rows, row, "time (UTC+09:00)"), "2026-01-03 00:04:05");
        assert_eq!(field(&rows, row, "eventTime"), "2026-01-02T15:04:05.678000Z");
        assert_eq!(field(&rows, row, "code"), "print(\"'=\")\n'@x");
        assert_eq!(field(&rows, row, "result").len(), 32_767);
        assert_eq!(field(&rows, row, "truncated"), "result");
    }
    // A plus sign that is not encoded arrives as a blank.
    assert!(text(&relay, "utcOffset=+09:00").await.contains("time (UTC+09:00)"));
}

#[tokio::test]
async fn a_span_of_time_has_its_events_alone() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    for round in 0..40 {
        relay.post(&random_event("a", 5)).await;
        // Other classes' events lie between.
        if round % 3 == 0 {
            relay.post(&random_event("b", 5)).await;
        }
    }
    let all = lines(&relay, "format=ndjson").await;
    assert_eq!(all.len(), 40);
    let time = |event: &Value| event["receivedAt"].as_str().expect("a time").to_owned();
    for (from, to) in [(0, 40), (7, 23), (0, 1), (39, 40), (20, 20)] {
        let mut parameters = format!("format=ndjson&from={}", time(&all[from]));
        if let Some(end) = all.get(to) {
            parameters += &format!("&to={}", time(end));
        }
        assert_eq!(lines(&relay, &parameters).await, all[from..to], "{from} {to}");
    }
    for parameters in
        ["format=ndjson&to=2001-01-01T00:00:00Z", "format=ndjson&from=2999-01-01T00:00:00Z"]
    {
        assert_eq!(lines(&relay, parameters).await, [] as [Value; 0], "{parameters}");
    }
    // The same moment in another zone.
    let moment = format!("{}%2B00:00", time(&all[7]).trim_end_matches('Z'));
    assert_eq!(lines(&relay, &format!("format=ndjson&from={moment}")).await, all[7..]);
    // Every form has the span.
    let span = format!("from={}&to={}", time(&all[3]), time(&all[8]));
    assert_eq!(rows(&text(&relay, &span).await).len(), 6);
    let students = text(&relay, &format!("rows=students&{span}")).await;
    let counted: u64 =
        rows(&students)[1..].iter().map(|row| row[9].parse::<u64>().expect("events")).sum();
    assert!((1..=5).contains(&counted), "{students}");
}

#[tokio::test]
async fn every_student_has_a_row() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    // More than one page of events.
    for page in 0..3 {
        let events: Vec<Value> = (0..400)
            .map(|n| {
                let mut event = event_of("a", 1);
                event["userId"] = format!("s{:03}", n % 100).into();
                event["userName"] = format!("name {}", n % 100).into();
                event["eventType"] = "cell_executed".into();
                event["notebookPath"] = "n.ipynb".into();
                event["cellId"] = format!("c{}", n / 100).into();
                event["cellType"] = "code".into();
                event["executionCount"] = (page * 400 + n).into();
                event["hasError"] = (page == 0 && n < 200).into();
                event
            })
            .collect();
        relay.post(&json!(events)).await;
    }
    let response = export(&relay, "rows=students").await;
    let disposition = response.header("content-disposition").expect("a name");
    assert!(disposition.contains("a-students.csv"), "{disposition}");
    let csv = String::from_utf8(response.body.to_vec()).expect("UTF-8");
    let rows = rows(csv.strip_prefix('\u{feff}').expect("a byte order mark"));
    assert_eq!(rows.len(), 101);
    for (n, row) in rows[1..].iter().enumerate() {
        let expected = [
            &*format!("s{n:03}"),
            &format!("name {n}"),
            "",
            "12",
            "2",
            "4",
            "4",
            "1",
            "0",
            "12",
            "",
        ];
        assert_eq!(row[..11], expected);
    }
    let nobody = text(&relay, "rows=students&to=2001-01-01T00:00:00Z").await;
    assert_eq!(nobody.lines().count(), 1, "the names of the columns");
}

/// An event of a notebook whose cells have new ids at each student's.
fn run_of(student: &str, cell: usize, count: usize, failed: bool) -> Value {
    let mut event = event_of("a", count);
    event["userId"] = student.into();
    event["sessionId"] = format!("kernel of {student}").into();
    event["notebookPath"] = format!("RTC:home/{student}/lesson-Copy1.ipynb").into();
    event["cellId"] = format!("{cell} of {student}, {count}").into();
    event["cellIndex"] = cell.into();
    event["cellType"] = "code".into();
    event["executionCount"] = count.into();
    event["hasError"] = failed.into();
    event
}

/// The counts of the dashboard and of the export are the same, by the settings of the class.
#[tokio::test]
async fn a_class_that_is_matched_by_position_is_counted_as_on_the_dashboard() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let settings = json!({
        "cellsBy": "position", "notebooksBy": "name",
        "roster": [{"id": "s1", "name": "Ada L", "team": "blue"}],
    });
    let mut connection = relay.connection().await;
    let headers = [("content-type", "application/json")];
    let path = "/api/class/settings?class=a";
    let body = settings.to_string().into();
    let changed = connection.request("PUT", path, &headers, body).await.expect("an answer");
    assert_eq!(changed.status, 200);
    let mut aborted = run_of("s1", 9, 9, false);
    aborted.as_object_mut().expect("an event").remove("executionCount");
    // The same run, sent twice; the ids of cells do not count.
    let mut again = run_of("s1", 0, 1, true);
    again["cellId"] = "another id".into();
    let mut help = run_of("s2", 0, 1, false);
    help["eventType"] = "help".into();
    let mut other_place = run_of("s2", 3, 4, false);
    other_place["notebookPath"] = "./copies/lesson.ipynb".into();
    relay
        .post(&json!([
            run_of("s1", 0, 1, true),
            again,
            run_of("s1", 0, 2, false),
            run_of("s1", 1, 3, true),
            aborted,
            run_of("s2", 0, 1, false),
            run_of("s2", 3, 3, true),
            other_place,
            help,
        ]))
        .await;

    let summary = "/api/class/summary?class=a&include=grid";
    let summary: Value =
        connection.get(summary).await.expect("an answer").json().expect("a summary");
    let students = summary["students"].as_array().expect("students");
    let grid = summary["grid"].as_array().expect("rows");
    let on_the_page: Vec<Vec<String>> = students
        .iter()
        .map(|student| {
            let row = grid.iter().find(|row| row["studentId"] == student["studentId"]);
            let runs = row.expect("a row")["runs"].as_array().expect("runs");
            // [index, runs, failed runs, whether the latest failed, …]
            let succeeded = runs.iter().filter(|run| run[3] == 0 || run[3] == false).count();
            let text = |name: &str| student[name].as_str().unwrap_or_default().to_owned();
            let counts = [student["cellsExecuted"].to_string(), student["errorCount"].to_string()];
            let cells = [runs.len().to_string(), succeeded.to_string(), "1".to_owned()];
            let hand = u8::from(student["helpSince"].is_string()).to_string();
            let names = [text("studentId"), text("userName"), text("teamName")];
            [&names[..], &counts, &cells, &[hand]].concat()
        })
        .collect();
    let exported = text(&relay, "rows=students").await;
    let mut exported = rows(exported.strip_prefix('\u{feff}').unwrap_or(&exported));
    exported.iter_mut().for_each(|row| row.truncate(9));
    let mut on_the_page = on_the_page;
    on_the_page.sort();
    assert_eq!(exported[1..], on_the_page);
    let expected = ["s1", "Ada L", "blue", "3", "2", "2", "1", "1", "0"];
    assert_eq!(exported[1], expected);
    assert_eq!(exported[2], ["s2", "", "", "3", "1", "2", "2", "1", "1"]);
}

/// The statements of an export, which a learning record store's validator has accepted.
async fn statements(relay: &Relay, parameters: &str) -> Vec<Value> {
    let text = text(relay, parameters).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(
        folder.join("node_modules/@learninglocker").exists(),
        "the validator is missing: scripts/setup node"
    );
    let mut validator = Command::new("node")
        .arg(folder.join("tests/xapi/check.js"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node");
    let mut input = validator.stdin.take().expect("an input");
    input.write_all(text.as_bytes()).await.expect("statements");
    drop(input);
    let output = validator.wait_with_output().await.expect("an end");
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{found}");
    let statements: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(found.contains(&format!("{} statements", statements.len())), "{found}");
    statements
}

/// The requests of clients in the field, unusual names, and an instructor's act.
async fn recorded(relay: &Relay) {
    for file in ["cell-monitor-0.1.0.jsonl", "cell-monitor-1.1.4.jsonl"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(file);
        for line in std::fs::read_to_string(path).expect("a capture").lines() {
            let request: Value = serde_json::from_str(line).expect("JSON");
            if request["method"] == "POST" && request["path"] != "/cell-monitor" {
                let body = request["body"].as_str().expect("a body");
                let mut events: Value = serde_json::from_str(body).expect("JSON");
                events[0]["classId"] = "a".into();
                relay.post(&events).await;
            }
        }
    }
    let mut odd = event_of("a", 1);
    odd["userId"] = "a b/<é>#日本".into();
    odd["teamName"] = "チーム \"B\"".into();
    odd["sessionId"] = "no uuid".into();
    odd["eventType"] = "slide shown".into();
    odd["cellIndex"] = 3.into();
    odd["notebookPath"] = "dir/ノート 1.ipynb".into();
    relay.post(&json!([odd, random_event("a", 1), random_event("a", 1)])).await;
    let path = "/api/class/students/s001%40example.com/help/resolve?class=a";
    let mut connection = relay.connection().await;
    connection.request("POST", path, &[], Bytes::new()).await.expect("an answer");
}

#[tokio::test]
async fn statements_are_those_of_the_experience_api() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    recorded(&relay).await;
    let page = "homePage=https://hub.example.org/";
    let found = statements(&relay, &format!("format=xapi-ndjson&{page}")).await;
    let events = lines(&relay, "format=ndjson").await;
    let acts = events.iter().filter(|event| event["eventType"] == "help_resolved").count();
    assert_eq!((found.len(), acts), (events.len() - 1, 1), "an act is no student's statement");
    let run = found.iter().find(|statement| statement["result"]["success"] == false);
    let run = run.expect("a run that failed");
    assert_eq!(run["actor"]["account"]["name"], "s001@example.com");
    assert_eq!(run["actor"]["account"]["homePage"], "https://hub.example.org/");
    assert_eq!(run["verb"]["id"], "http://adlnet.gov/expapi/verbs/attempted");
    assert_eq!(run["object"]["id"], "urn:progress-relay:cell:a:lesson1.ipynb:c-err");
    assert_eq!(run["result"]["response"], "ZeroDivisionError: division by zero");
    assert_eq!(run["result"]["extensions"]["urn:progress-relay:extension:code"], "1/0");
    assert_eq!(run["timestamp"], "2026-11-23T16:15:52.037000Z");
    assert_eq!(
        run["context"]["contextActivities"]["parent"][0]["id"],
        "urn:progress-relay:notebook:a:lesson1.ipynb"
    );
    // A statement has the same id in every export, and no two have one.
    let again = statements(&relay, &format!("format=xapi-ndjson&{page}")).await;
    assert_eq!(again, found);
    let mut ids: Vec<&Value> = found.iter().map(|statement| &statement["id"]).collect();
    ids.sort_by_key(|id| id.to_string());
    ids.dedup();
    assert_eq!(ids.len(), found.len());
    // The other form is an array of the same.
    let array: Value = serde_json::from_str(&text(&relay, &format!("format=xapi&{page}")).await)
        .expect("an array");
    assert_eq!(array, json!(found));
    let none = text(&relay, "format=xapi&to=2001-01-01T00:00:00Z").await;
    assert_eq!(serde_json::from_str::<Value>(&none).expect("an array"), json!([]));
    // What a URL may not hold is written as URLs have it.
    let odd = statements(&relay, "format=xapi-ndjson&homePage=https://b%C3%BCcher.example/a%20b");
    let home_page = &odd.await[0]["actor"]["account"]["homePage"].clone();
    assert_eq!(home_page, "https://xn--bcher-kva.example/a%20b");
    let own = statements(&relay, "format=xapi-ndjson").await;
    assert_eq!(own[0]["actor"]["account"]["homePage"], format!("{}/", relay.url));
}
