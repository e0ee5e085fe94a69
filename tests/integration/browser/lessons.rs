//! Lessons that begin, settings that change, hands that are claimed: what instructors do is seen on
//! every open page.

use serde_json::{Value, json};

use crate::support::browser::{Chrome, MARK, MARKED, Page, counts, event, page_of, run, says};
use crate::support::{Database, Relay};

/// Makes a request as the page would, and returns its status.
async fn request(page: &Page, method: &str, path: &str, body: &Value) -> Value {
    let init = json!({ "method": method, "body": body.to_string() });
    page.value(&format!("fetch({}, {init}).then((answer) => answer.status)", json!(path))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_seen_on_every_page() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    relays[0].post(&json!([run("c", "s1", 1, None), run("c", "s2", 1, None)])).await;
    let chrome = Chrome::start().await;
    let there = chrome.open(&page_of(&relays[1], "c")).await;
    let here = chrome.open(&page_of(&relays[0], "c")).await;
    let until_stop = json!({ "until": "help_stop" });
    relays[0].post(&json!([event("c", "s1", "help", &until_stop)])).await;
    for page in [&here, &there] {
        page.until(&counts("#help .help-item", 1)).await;
    }
    // Nobody has signed in: the page asks who goes.
    here.click("#help .help-claim").await;
    here.until("document.querySelector('#own-name')?.checkVisibility()").await;
    here.value("document.querySelector('#own-name').value = 'Ito'").await;
    here.click("#help .page-dialog .primary-button").await;
    let claimed = |text: &str| {
        format!("document.querySelector('#help .help-claimed').textContent.startsWith('{text}')")
    };
    here.until(&claimed("You are going")).await;
    there.until(&claimed("Ito is going")).await;
    // A page that is opened later knows it from its summary.
    let later = chrome.open(&page_of(&relays[1], "c")).await;
    later.until(&claimed("Ito is going")).await;
    here.click("#help .help-release").await;
    for page in [&here, &there, &later] {
        page.until("document.querySelector('#help .help-claimed').hidden").await;
    }
    // The second time the name is known. The claim ends with the hand.
    here.click("#help .help-claim").await;
    there.until(&claimed("Ito is going")).await;
    there.value("document.querySelector('#help .help-actions .primary-button').click()").await;
    for page in [&here, &there, &later] {
        page.until(&counts("#help .help-item", 0)).await;
        assert_eq!(page.complaints(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_lessons_are_followed() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&json!([run("c", "s1", 1, None), run("c", "s2", 1, Some("NameError: x"))])).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.until(&says("#grid .card-count", "2")).await;
    page.value(MARK).await;

    let roster = json!([{ "id": "s1", "name": "Ann" }, { "id": "s9", "name": "Zoe" }]);
    let settings = json!({ "stuckAfter": 1, "roster": roster });
    let path = "api/class/settings?class=c";
    assert_eq!(request(&page, "PUT", path, &settings).await, 200);
    page.until(&says(".attendance", "2 of 3 here")).await;
    page.until(&says("#absent .student-name", "Zoe")).await;
    page.until(&says("#stuck .student-name", "Name of s2")).await;

    assert_eq!(request(&page, "POST", "api/class/lessons?class=c", &json!({})).await, 200);
    page.until(&says(".attendance", "0 of 2 here")).await;
    page.until(&counts("#stuck .stuck-item", 0)).await;
    page.until(&says("#absent .card-count", "2")).await;

    relay.post(&json!([run("c", "s1", 2, None), event("c", "s1", "help", &json!({}))])).await;
    page.until(&says(".attendance", "1 of 2 here")).await;
    page.until(&says("#help .student-name", "Ann")).await;
    page.until(&says("#grid .card-count", "1")).await;
    assert_eq!(page.value(MARKED).await, true);
    assert_eq!(page.complaints(), [""; 0]);
}
