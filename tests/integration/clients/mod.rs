//! The project's own clients, in the programs that students use.

// The hand that a student raises, and what the student sees of it.
mod hand;
// The client of a student of a JupyterHub.
mod hub;
// Kernels: what is recorded, and what is not disturbed.
mod lesson;
// What is lost when something fails: nothing.
mod losses;
// The package: how it is built and installed.
mod package;
// JupyterLab and Notebook, in a browser.
mod pages;
// The kernel as VS Code drives it.
mod vscode;

use std::time::Duration;

use serde_json::Value;

use crate::support::kernel::Kernel;
use crate::support::{Database, until};

/// The bodies of the stored events of this type, in the order of ids.
async fn stored(database: &Database, kind: &str) -> Vec<Value> {
    let client = database.client().await;
    let query = "SELECT body::text FROM progress_event WHERE body->>'eventType' = $1 ORDER BY id";
    let rows = client.query(query, &[&kind]).await.expect("rows");
    let bodies = rows.iter().map(|row| serde_json::from_str(row.get(0)).expect("JSON"));
    bodies.collect()
}

/// The stored runs, once there are as many as this.
async fn runs(database: &Database, count: usize) -> Vec<Value> {
    until(&format!("{count} runs"), || async {
        let runs = stored(database, "cell_executed").await;
        (runs.len() >= count).then_some(runs)
    })
    .await
}

/// A member of each event.
fn each<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().map(|event| &event[name]).collect()
}

/// Waits until `%progress` has this text.
async fn reported(kernel: &mut Kernel, text: &str) -> String {
    let mut report = String::new();
    for _ in 0..1500 {
        report = kernel.progress().await;
        if report.contains(text) {
            return report;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no {text}: {report}");
}
