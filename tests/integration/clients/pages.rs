//! Students in their pages: JupyterLab 4 and Notebook 7, in Chromium.

use serde_json::json;

use super::hand::claim;
use super::{each, runs, stored};
use crate::support::browser::Chrome;
use crate::support::kernel::Home;
use crate::support::kernel::server::{FrontEnd, Jupyter};
use crate::support::{Database, Proxy, Relay, until};

const CELLS: &[&str] = &[
    "total = 6 * 7\ntotal",
    "print('こんにちは')",
    "from IPython.display import Image\nImage(data=b'\\x89PNG\\r\\n\\x1a\\n' + b'0' * 1000)",
    "'y' * 3_000",
    "%hand 問題3",
    "%hand_button",
    "undefined_name",
];
/// How many of the cells are runs: the hand's are not.
const RUNS: usize = 5;

/// Whether the outputs of the page have this text.
fn shows(text: &str) -> String {
    format!(
        "[...document.querySelectorAll('.jp-OutputArea-output')]\
         .some((output) => output.innerText.includes({}))",
        json!(text)
    )
}

async fn a_class_in(front_end: FrontEnd) {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let road = Proxy::to(&relay.url).await;
    let home = Home::new();
    let jupyter = Jupyter::start(front_end, &home, &road.url(), CELLS).await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    // Cells that are out of sight are not in the page.
    page.size(1440, 2500, 1.0).await;
    jupyter.open(&page).await;

    jupyter.execute(&page, "notebook:run-all-cells").await;
    let rows = runs(&database, RUNS).await;
    page.until(&shows("NameError")).await;
    assert_eq!(rows.len(), RUNS, "{:?}", each(&rows, "code"));
    assert_eq!(
        each(&rows, "cellId"),
        [&json!("a0"), &json!("a1"), &json!("a2"), &json!("a3"), &json!("a6")]
    );
    assert_eq!(each(&rows, "notebookPath"), [&json!("unit1.ipynb"); RUNS], "{}", jupyter.log());
    assert_eq!(rows[0]["result"], "42");
    assert_eq!(rows[1]["result"], "こんにちは");
    assert_eq!(rows[4]["errorMessage"], "NameError: name 'undefined_name' is not defined");

    // The hand is shown below its cell, and changes there. So does the button.
    page.until(&shows("Your hand is up in class algebra.")).await;
    let claiming = async {
        loop {
            claim(&database, "ada", "Ito").await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    };
    let seen = shows("Seen: Ito is on the way.");
    tokio::select! { () = page.until(&seen) => {}, () = claiming => {} }
    let button = ".jp-OutputArea-output button";
    page.until(&format!("document.querySelector('{button}')?.innerText.includes('Lower hand')"))
        .await;
    page.click(button).await;
    page.until(&format!("document.querySelector('{button}')?.innerText.includes('Raise hand')"))
        .await;
    page.until(&shows("Your hand is down.")).await;
    until("the hand to be down", || async {
        (stored(&database, "help_stop").await.len() == 1).then_some(())
    })
    .await;

    // Run again while the relay is away, in a kernel that was restarted; the tab is closed.
    relay.kill().await;
    jupyter.restart_kernel().await;
    jupyter.idle(&page).await;
    jupyter.execute(&page, "notebook:run-all-cells").await;
    page.until(
        "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].at(-1)\
         .innerText.includes('[7]')",
    )
    .await;
    page.close().await;
    let relay = Relay::start(&database, &[]).await;
    road.lead_to(&relay.url);
    let rows = runs(&database, 2 * RUNS).await;
    assert_eq!(rows.len(), 2 * RUNS);
    assert_eq!(each(&rows[..RUNS], "code"), each(&rows[RUNS..], "code"));
    assert_eq!(rows[2 * RUNS - 1]["cellIndex"], 7, "the index in the saved notebook");
    let sessions: std::collections::BTreeSet<_> =
        each(&rows, "sessionId").iter().map(ToString::to_string).collect();
    assert_eq!(sessions.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_in_jupyterlab() {
    a_class_in(FrontEnd::Lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_in_notebook() {
    a_class_in(FrontEnd::Notebook).await;
}
