//! A browser signs in and out, by a token or a one-time link.

use std::time::Duration;

use serde_json::json;

use crate::support::browser::{Chrome, MARK, MARKED, Page, page_of, run, says};
use crate::support::{Database, Issuer};

/// Whether the connection of the page is in this state.
fn is(state: &str) -> String {
    format!("document.documentElement.dataset.connection === {}", json!(state))
}

/// Fills in the form of the sign-in page and sends it.
async fn give(page: &Page, token: &str) {
    page.until("document.querySelector('.sign-in #token') !== null").await;
    page.value(&format!("document.querySelector('#token').value = {}", json!(token))).await;
    page.click(".sign-in button").await;
}

/// The shown text of the sign-in page's error.
const ERROR: &str = "document.querySelector('.sign-in-error')?.innerText";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_dashboard_until_the_sign_out() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    issuer
        .post(&relay, &json!([run("algebra", "s1", 1, None), run("botany", "s9", 1, None)]))
        .await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    page.go(&page_of(&relay, "algebra")).await;
    page.until(&is("signedOut")).await;
    page.click(".sign-in-link").await;

    give(&page, "wrong").await;
    page.until(&format!("{ERROR}?.startsWith('This token is not')")).await;
    let expired = issuer.sign(&json!({ "sub": "i", "role": "instructor", "exp": 1_000_000_000 }));
    give(&page, &expired).await;
    page.until(&format!("{ERROR}?.startsWith('This token has expired')")).await;
    give(&page, &issuer.token("w", "writer", &["*"])).await;
    page.until(&format!("{ERROR}?.includes('not for the dashboard')")).await;
    give(&page, &issuer.token("ann", "instructor", &["algebra"])).await;
    page.until(&is("live")).await;
    page.until(&says("#grid .card-count", "1")).await;
    page.until(&says(".account-name", "ann")).await;
    assert_eq!(page.value("location.search").await, "?class=algebra");
    assert_eq!(page.value("document.cookie").await, "", "no script reads the cookie");
    let options =
        "[...document.querySelectorAll('#class-picker option')].map((o) => o.value).join()";
    assert_eq!(page.value(options).await, "algebra", "the caller's classes alone");

    // Another class.
    page.go(&page_of(&relay, "botany")).await;
    page.until(&is("forbidden")).await;
    page.until("document.querySelector('.connection-banner').innerText.includes('“botany”')").await;

    // Another tab is signed out with this one.
    let other = chrome.open(&page_of(&relay, "algebra")).await;
    page.go(&page_of(&relay, "algebra")).await;
    page.until(&is("live")).await;
    page.click(".sign-out").await;
    for page in [&page, &other] {
        page.until("location.pathname === '/sign-in'").await;
        page.go(&page_of(&relay, "algebra")).await;
        page.until(&is("signedOut")).await;
    }
}

/// The session ends in mid-lesson. The page keeps what it shows, and goes on from its cursor once
/// somebody has signed in in another tab.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_leaves_no_gap() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    issuer.post(&relay, &json!([run("c", "s1", 1, None)])).await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    page.go(&page_of(&relay, "c")).await;
    page.until(&is("signedOut")).await;
    page.click(".sign-in-link").await;
    let short = Duration::from_secs(4);
    give(&page, &issuer.token_for("ann", "instructor", &["c"], short)).await;
    page.until(&is("live")).await;
    page.until(&says("#grid .card-count", "1")).await;
    page.value(MARK).await;
    page.until(&is("signedOut")).await;
    page.until("document.querySelector('.connection-banner').innerText.includes('signed out')")
        .await;
    assert_eq!(page.value(says("#grid .card-count", "1").as_str()).await, true, "the view stays");
    issuer.post(&relay, &json!([run("c", "s2", 1, None), run("c", "s3", 1, None)])).await;

    let other = chrome.blank().await;
    other.go(&format!("{}sign-in?next=/%3Fclass=c", relay.url)).await;
    give(&other, &issuer.token("ann", "instructor", &["c"])).await;
    other.until(&is("live")).await;
    page.until(&is("live")).await;
    page.until(&says("#grid .card-count", "3")).await;
    assert_eq!(page.value(MARKED).await, true);
    let asked = "performance.getEntriesByType('resource').filter((r) => \
         r.name.includes('/class/summary')).length";
    assert_eq!(page.value(asked).await, 1, "it went on from its cursor");
}
