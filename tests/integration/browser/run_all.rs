//! A lesson as real clients report it: what they sent, and then a notebook that is run as a whole
//! and fails, four times.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::support::browser::{Chrome, counts, page_of, says};
use crate::support::captures::{Captured, captured, replay};
use crate::support::{Database, Relay};

const NEW_CLIENT: &str = include_str!("../../captures/cell-monitor-1.1.4.jsonl");
const OLD_CLIENT: &str = include_str!("../../captures/cell-monitor-0.1.0.jsonl");

/// The events of a request; none if it is of another kind.
fn events(request: &Captured) -> Vec<Value> {
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    body.as_array().cloned().unwrap_or_default()
}

/// The captured request that ran the cell, as the client sends it for another cell: `change`
/// changes its event.
fn like(requests: &[Captured], change: impl Fn(&mut Value)) -> Captured {
    let is_run = |request: &&Captured| {
        let events = events(request);
        let is_of_cell =
            |event: &Value| event["eventType"] == "cell_executed" && event["cellId"] == "c-ok";
        request.method == "POST" && events.first().is_some_and(is_of_cell)
    };
    let mut request = requests.iter().find(is_run).expect("a run").clone();
    let mut event = events(&request)[0].clone();
    event["eventId"] = uuid::Uuid::new_v4().to_string().into();
    change(&mut event);
    request.body = json!([event]).to_string();
    request
}

/// One Run All of a notebook whose second cell fails: the clients report also the cells that are
/// text, are empty, or did not run any more.
fn run_all(requests: &[Captured], round: i64) -> Vec<Captured> {
    let now = OffsetDateTime::now_utc() + Duration::milliseconds(round);
    let cells = [
        ("c-text", 0, "markdown", None, None),
        ("c-first", 1, "code", Some(10 * round + 1), None),
        ("c-fails", 2, "code", Some(10 * round + 2), Some("NameError: name 'x' is not defined")),
        ("c-never", 3, "code", None, None),
        ("c-empty", 4, "code", None, None),
    ];
    let run = |(id, index, kind, count, error): (&str, i64, &str, Option<i64>, Option<&str>)| {
        like(requests, |event| {
            let time = now + Duration::microseconds(index);
            event["eventTime"] = time.format(&Rfc3339).expect("a time").into();
            (event["cellId"], event["cellIndex"]) = (id.into(), index.into());
            (event["cellType"], event["hasError"]) = (kind.into(), error.is_some().into());
            event["result"] = error.unwrap_or_default().into();
            event["errorMessage"] = error.unwrap_or_default().into();
            let members = event.as_object_mut().expect("an event");
            match count {
                Some(count) => members.insert("executionCount".to_owned(), count.into()),
                None => members.remove("executionCount"),
            };
        })
    };
    cells.map(run).into()
}

async fn four_failing_run_alls(capture: &str, repeats: usize) {
    let requests = captured(capture);
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let mut connection = relay.connection().await;
    let rounds = (1..=4).flat_map(|round| run_all(&requests, round));
    let again = |request: Captured| {
        // The old client sends each run twice, with another id.
        let events = events(&request).into_iter().map(|mut event| {
            event["eventId"] = uuid::Uuid::new_v4().to_string().into();
            event
        });
        let body = Value::Array(events.collect()).to_string();
        std::iter::repeat_n(Captured { body, ..request.clone() }, repeats - 1).chain([request])
    };
    for request in requests.iter().cloned().chain(rounds.flat_map(again)) {
        let answer = replay(&mut connection, &request).await;
        assert!(answer.status.is_success(), "{} {}", request.path, answer.status);
    }
    let path = "/api/class/summary?class=default&include=cells,grid";
    let summary: Value = relay
        .connection()
        .await
        .get(path)
        .await
        .expect(
            "an \
         answer",
        )
        .json()
        .expect("JSON");
    let student = &summary["students"][0];
    assert_eq!(
        (&student["consecutiveErrors"], &student["streakCell"]),
        (&4.into(), &"c-fails".into())
    );
    let cells = summary["cells"].as_array().expect("cells");
    let ran: Vec<(&str, i64)> = cells
        .iter()
        .map(|cell| (cell["cellId"].as_str().expect("an id"), cell["runs"].as_i64().expect("runs")))
        .filter(|(id, _)| ["c-text", "c-first", "c-fails", "c-never", "c-empty"].contains(id))
        .collect();
    assert_eq!(ran, [("c-first", 4), ("c-fails", 4)]);

    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "default")).await;
    page.until(&says("#grid .card-count", "1")).await;
    page.value("document.querySelectorAll('#grid .card-controls .icon-button')[1].click()").await;
    let columns = cells.len();
    page.until(&counts(".grid-table thead button", columns)).await;
    page.until(&counts(".grid-table tbody .grid-run", columns)).await;
    let failed = cells.iter().filter(|cell| cell["failingStudents"] == 1).count();
    page.until(&counts(".grid-table tbody .outcome-failed", failed)).await;
    page.until(&counts(".grid-table tbody .outcome-ok", columns - failed)).await;
    // A hand that was captured may still be up, which is more urgent.
    let listed = "document.querySelector('#stuck .stuck-item, #help .help-streak')?.textContent";
    page.until(&format!("{listed}?.includes('4')")).await;
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_failing_run_alls_of_the_new_client_are_stuck() {
    four_failing_run_alls(NEW_CLIENT, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_failing_run_alls_of_the_old_client_are_stuck() {
    four_failing_run_alls(OLD_CLIENT, 2).await;
}
