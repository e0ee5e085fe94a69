//! Classes as they are met in a school, each to be looked at on the page.

use bytes::Bytes;
use serde_json::{Value, json};

use super::classroom::{self, NOTEBOOK, Past};
use super::{event, run};
use crate::support::{Database, Relay};

/// The morning after a lesson of 200 students: 30 of them are here today.
pub const MORNING: &str = "morning";
/// Notebooks whose cells have ids of their own, before and after cells are matched by position.
pub const OWN_IDS: &str = "own-ids";
pub const BY_POSITION: &str = "by-position";
/// 30 students who have not said who they are.
pub const UNCONFIGURED: &str = "unconfigured";
/// A class of 25 with an outline, a roster, and cells that students have added.
pub const OUTLINE: &str = "outline";
/// 200 students in the middle of a lesson.
pub const LARGE: &str = "python-101";
/// Two instructors, hands, and one who goes to one of them.
pub const ASSISTED: &str = "assisted";
/// What real extensions have sent.
pub const RECORDED: &str = "default";

const DAY: f64 = 20.0 * 3_600.0;
const CAPTURES: &[&str] = &[
    include_str!("../../../captures/cell-monitor-0.1.0.jsonl"),
    include_str!("../../../captures/cell-monitor-1.1.4.jsonl"),
    include_str!("../../../captures/jupyter-analytics-5.1.1.jsonl"),
    include_str!("../../../captures/jupyterlab-pioneer-1.7.3.jsonl"),
];

/// Fills all classes that are made of past events: before a relay is started.
pub async fn fill(database: &Database) {
    let yesterday = classroom::lesson(200, 7).into_iter().map(|past| ago(past, DAY));
    let today = classroom::lesson(30, 9);
    classroom::fill(database, MORNING, &yesterday.chain(today).collect::<Vec<_>>()).await;
    for class in [OWN_IDS, BY_POSITION] {
        let lesson = classroom::lesson(40, 5).into_iter().map(with_own_ids);
        classroom::fill(database, class, &lesson.collect::<Vec<_>>()).await;
    }
    let unconfigured = classroom::lesson(30, 4).into_iter().map(without_a_name);
    classroom::fill(database, UNCONFIGURED, &unconfigured.collect::<Vec<_>>()).await;
    classroom::fill(database, OUTLINE, &classroom::lesson(25, 3)).await;
    classroom::fill(database, LARGE, &classroom::lesson(200, 7)).await;
    classroom::fill(database, ASSISTED, &classroom::lesson(60, 11)).await;
}

/// Does what instructors do in those classes.
pub async fn act(relay: &Relay) {
    put_settings(relay, BY_POSITION, &json!({ "cellsBy": "position" })).await;
    let roster: Vec<Value> =
        (0..28).map(|number| json!({ "id": classroom::student(number) })).collect();
    let outline = json!({ "roster": roster, "outline": [classroom::outline()] });
    put_settings(relay, OUTLINE, &outline).await;
    let mut added = Vec::new();
    for number in [3, 5, 8] {
        let mut own = run(OUTLINE, &classroom::student(number), 9, None);
        own["cellId"] = format!("added-{number}").into();
        own["notebookPath"] = NOTEBOOK.into();
        own["userName"] = classroom::name(number).into();
        added.push(own);
    }
    relay.post(&json!(added)).await;
    let raised = [4, 9, 17].map(|number| {
        let mut hand = event(
            ASSISTED,
            &classroom::student(number),
            "help",
            &json!({ "until": "help_stop", "notebookPath": NOTEBOOK }),
        );
        hand["userName"] = classroom::name(number).into();
        hand
    });
    relay.post(&json!(raised)).await;
    let claim = format!(
        "/api/class/students/{}/help/claim?class={ASSISTED}",
        classroom::student(9).replace('@', "%40")
    );
    ask(relay, "POST", &claim, &json!({ "by": "Ito" })).await;
    for line in CAPTURES.iter().flat_map(|capture| capture.lines()) {
        let request: Value = serde_json::from_str(line).expect("a captured request");
        if request["method"] != "POST" {
            continue;
        }
        let body = Bytes::from(request["body"].as_str().expect("a body").to_owned());
        let headers = [("content-type", "application/json")];
        let path = request["path"].as_str().expect("a path");
        let mut connection = relay.connection().await;
        connection.request("POST", path, &headers, body).await.expect("an answer");
    }
}

async fn put_settings(relay: &Relay, class: &str, settings: &Value) {
    ask(relay, "PUT", &format!("/api/class/settings?class={class}"), settings).await;
}

async fn ask(relay: &Relay, method: &str, path: &str, content: &Value) {
    let headers = [("content-type", "application/json")];
    let body = Bytes::from(content.to_string());
    let mut connection = relay.connection().await;
    let answer = connection.request(method, path, &headers, body).await.expect("an answer");
    assert!(answer.status.is_success(), "{path}: {}", String::from_utf8_lossy(&answer.body));
}

fn ago(mut past: Past, seconds: f64) -> Past {
    past.before += seconds;
    past
}

fn with_own_ids(mut past: Past) -> Past {
    if let Some(index) = past.event["cellIndex"].as_u64() {
        let student = past.event["emailAddress"].as_str().expect("a student");
        past.event["cellId"] = format!("{student}-{index}").into();
    }
    past
}

/// As the relay stores an event of somebody whose address is still that of the example.
fn without_a_name(mut past: Past) -> Past {
    let session = past.event["sessionId"].as_str().expect("a session").to_owned();
    past.event["emailAddress"] = format!("student001@example.com#{session}").into();
    past.event["userName"] = "Student 001".into();
    past.event["teamName"] = "Team A".into();
    past.event["unconfigured"] = true.into();
    past
}
