//! Parts of the tests in a real browser: Chromium, a lesson to show, and events as the page's
//! students send them.

mod chrome;
pub mod classroom;
pub mod scenes;
mod site;
mod tasks;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use chrome::{Chrome, Page};
pub use site::Site;

use super::{Database, Relay};

/// A relay with a class of one student, who has run a cell, and a browser.
pub async fn class_of_one(class: &str) -> (Database, Relay, Chrome) {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&json!([run(class, "s1", 1, None)])).await;
    (database, relay, Chrome::start().await)
}

/// The page of a class.
pub fn page_of(relay: &Relay, class: &str) -> String {
    let mut url = url::Url::parse(&relay.url.to_string()).expect("a URL");
    url.query_pairs_mut().append_pair("class", class);
    url.to_string()
}

/// An event that happens now, of a student of a class.
pub fn event(class: &str, student: &str, kind: &str, more: &Value) -> Value {
    let now = OffsetDateTime::now_utc().format(&Rfc3339).expect("a time");
    let mut event = json!({
        "eventId": uuid::Uuid::new_v4().to_string(),
        "eventType": kind,
        "eventTime": now,
        "classId": class,
        "userId": student,
        "userName": format!("Name of {student}"),
        "notebookPath": "lesson1.ipynb",
    });
    for (key, value) in more.as_object().expect("an object") {
        event[key] = value.clone();
    }
    event
}

/// A run of a cell.
pub fn run(class: &str, student: &str, cell: u32, error: Option<&str>) -> Value {
    let mut more = json!({
        "cellId": format!("cell-{cell}"),
        "cellIndex": cell,
        "hasError": error.is_some(),
        "code": format!("cell {cell}"),
    });
    if let Some(error) = error {
        more["errorMessage"] = error.into();
    }
    event(class, student, "cell_executed", &more)
}

/// Marks a page, so that a reload would be noticed.
pub const MARK: &str = "window.marked = true";
/// Whether it is still the page that was marked.
pub const MARKED: &str = "window.marked === true";

/// Whether a selector's first element has exactly this text.
pub fn says(selector: &str, text: &str) -> String {
    format!("document.querySelector({})?.textContent === {}", json!(selector), json!(text))
}

/// Whether as many elements are found by a selector.
pub fn counts(selector: &str, count: usize) -> String {
    format!("document.querySelectorAll({}).length === {count}", json!(selector))
}

/// Gives an input of the page a file, as if it had been chosen.
pub async fn choose_file(page: &Page, input: &str, name: &str, content: &str) {
    page.until(&format!("document.querySelector({}) !== null", json!(input))).await;
    page.value(&format!(
        "{{ const input = document.querySelector({input}); const files = new DataTransfer(); \
         files.items.add(new File([{content}], {name})); input.files = files.files; \
         input.dispatchEvent(new Event('change')); }}",
        input = json!(input),
        content = json!(content),
        name = json!(name),
    ))
    .await;
}
