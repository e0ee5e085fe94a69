//! Extensions of other projects, in a real JupyterLab, post to the relay.

use serde_json::{Value, json};

use crate::support::browser::Chrome;
use crate::support::lab::{Lab, SECRET, notebook};
use crate::support::{Database, Relay, until};

const CELLS: [(&str, &str, &str); 6] = [
    ("text", "markdown", "# Lesson"),
    ("value", "code", "x = 6*7\nx"),
    ("print", "code", "print('やあ')"),
    ("empty", "code", ""),
    ("error", "code", "1/0"),
    ("after", "code", "'never'"),
];

/// The configuration of docs/clients/jupyterlab-pioneer.md, with the relay's address.
fn pioneer_config(relay: &Relay) -> String {
    let page = include_str!("../../../docs/clients/jupyterlab-pioneer.md");
    let (_, config) = page.split_once("```python\n").expect("a configuration");
    let (config, _) = config.split_once("```").expect("an end");
    let config = config.replace("https://relay.example.org", &relay.url.to_string());
    config.replace("\"demo\"", "\"pioneer\"")
}

/// The address of docs/clients/jupyter-analytics.md, with the relay's.
fn endpoint(relay: &Relay) -> Value {
    let page = include_str!("../../../docs/clients/jupyter-analytics.md");
    let (_, config) = page.split_once("```json\n").expect("a configuration");
    let (config, _) = config.split_once("```").expect("an end");
    let config = config.replace("https://relay.example.org", &relay.url.to_string());
    let config: Value = serde_json::from_str(&config.replace("demo", "analytics")).expect("JSON");
    config["jupyterlab_unianalytics_telemetry:endpoint"].clone()
}

/// The events of a class.
async fn events(relay: &Relay, class: &str) -> Vec<Value> {
    let target = format!("/api/class/export?class={class}&format=ndjson");
    let answer = relay.connection().await.get(&target).await.expect("an answer");
    let text = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The cells of the events of a type, with the members that tell how they ran, in their order.
fn cells(events: &[Value], kind: &str) -> Value {
    let mut cells: Vec<Value> = events
        .iter()
        .filter(|event| event["eventType"] == kind)
        .map(|event| json!([event["cellId"], event["code"], event["hasError"], event["result"]]))
        .collect();
    cells.sort_by_key(|cell| CELLS.iter().position(|(id, ..)| cell[0] == *id));
    for cell in &mut cells {
        // A traceback, in colours.
        if cell[2] == true {
            let result = cell[3].as_str().expect("a traceback").to_owned();
            assert!(result.contains("ZeroDivisionError"), "{result}");
            cell[3] = "traceback".into();
        }
    }
    json!(cells)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_extensions_post_what_a_student_runs() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &["--log", "debug"]).await;
    let mapping: Vec<[&str; 2]> = CELLS.iter().map(|(id, ..)| [*id, *id]).collect();
    let metadata = json!({
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "unianalytics_notebook_id": "lesson-1",
        "unianalytics_cell_mapping": mapping
    });
    let settings = [
        ("jupyterlab_unianalytics_telemetry/settings", json!({"SendExtension": true})),
        ("jupyterlab_unianalytics_telemetry/endpoint", endpoint(&relay)),
    ];
    let notebook = notebook(&metadata, &CELLS);
    let lab = Lab::start("学生-7", &pioneer_config(&relay), &settings, &notebook).await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    page.go(&lab.page()).await;
    page.until("document.querySelector('[data-status=idle].jp-Notebook-ExecutionIndicator')").await;
    // Both extensions listen once they have said that the notebook is open.
    for class in ["pioneer", "analytics"] {
        until("an open notebook", async || {
            let events = events(&relay, class).await;
            events.iter().any(|event| event["eventType"] == "notebook_opened").then_some(())
        })
        .await;
    }
    page.value("jupyterapp.commands.execute('notebook:run-all-cells').then(() => true)").await;
    page.value("jupyterapp.commands.execute('docmanager:save').then(() => true)").await;
    let runs = json!([
        ["value", "x = 6*7\nx", false, "42"],
        ["print", "print('やあ')", false, "やあ\n"],
        ["error", "1/0", true, "traceback"]
    ]);
    for class in ["pioneer", "analytics"] {
        let events = until("three runs", async || {
            let events = events(&relay, class).await;
            let runs = events.iter().filter(|event| event["eventType"] == "cell_executed");
            (runs.count() == 3).then_some(events)
        })
        .await;
        assert_eq!(cells(&events, "cell_executed"), runs, "{class}");
        assert!(events.iter().all(|event| event["studentId"] == "学生-7"), "{class}: {events:?}");
    }
    let skipped = json!([
        ["text", "# Lesson", null, null],
        ["empty", null, null, null],
        ["after", "'never'", null, null]
    ]);
    until("the cells that did not run, and a saved notebook", async || {
        let events = events(&relay, "pioneer").await;
        let is_saved = events.iter().any(|event| event["eventType"] == "notebook_saved");
        (is_saved && cells(&events, "cell_skipped") == skipped).then_some(())
    })
    .await;
    // The environment of the server came, and went no further.
    for class in ["pioneer", "analytics"] {
        assert!(!json!(events(&relay, class).await).to_string().contains(SECRET), "{class}");
    }
    assert!(!relay.log().contains(SECRET));
}
