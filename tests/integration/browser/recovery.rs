//! What becomes of an open page when the relay, or its log, is another.

use serde_json::json;

use super::chrome::{Chrome, Page};
use super::{MARK, MARKED, classroom, event, page_of, run, says};
use crate::support::{Database, Relay, run as run_program};

async fn runs(page: &Page, count: &str) {
    page.until(&format!(
        "document.querySelector('.class-totals')?.textContent.includes('{count} runs')"
    ))
    .await;
}

/// The relay is killed under an open page, events are stored meanwhile, another one begins: nothing
/// is missing, nothing is counted twice, and the page is the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_restarted_leaves_no_gap() {
    let database = Database::migrated().await;
    let first = Relay::start(&database, &[]).await;
    let second = Relay::start(&database, &[]).await;
    first.post(&json!([run("c", "s1", 1, None)])).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&first, "c")).await;
    page.until("document.querySelector('.class-totals')?.textContent.includes('1 run ')").await;
    page.value(MARK).await;
    let url = url::Url::parse(&first.url.to_string()).expect("a URL");
    let bind = format!("127.0.0.1:{}", url.port().expect("a port"));
    first.kill().await;
    page.until("document.documentElement.dataset.connection === 'offline'").await;
    page.until("!document.querySelector('.connection-banner').hidden").await;
    for cell in 2..=9 {
        second.post(&json!([run("c", "s1", cell, None), run("c", "s2", cell, None)])).await;
    }
    second.post(&json!([event("c", "s2", "help", &json!({}))])).await;
    let again = Relay::start(&database, &["--bind", &bind]).await;
    page.until("document.documentElement.dataset.connection === 'live'").await;
    runs(&page, "17").await;
    page.until(&says("#help .student-name", "Name of s2")).await;
    page.until("document.querySelector('.connection-banner').hidden").await;
    again.post(&json!([run("c", "s3", 1, None)])).await;
    runs(&page, "18").await;
    assert_eq!(page.value(MARKED).await, true);
    // Asked for once, when the page was opened.
    let asked = "performance.getEntriesByType('resource').filter((r) => \
         r.name.includes('/class/summary')).length";
    assert_eq!(page.value(asked).await, 1);
}

/// Ids may have been issued anew: the page reads the class again and goes on, without a reload.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_begins_anew() {
    let database = Database::migrated().await;
    classroom::fill(&database, "c", &classroom::lesson(20, 3)).await;
    let relay = Relay::start(&database, &[]).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.until(&says("#grid .card-count", "20")).await;
    page.value(MARK).await;
    let url = database.url();
    let renewed = run_program(&["migrate", "--new-epoch", "--database-url", &url], &[]).await;
    assert_eq!(renewed.code, Some(0), "{}", renewed.stderr);
    relay.post(&json!([run("c", "new", 1, None)])).await;
    page.until(&says("#grid .card-count", "21")).await;
    page.until("document.documentElement.dataset.connection === 'live'").await;
    relay.post(&json!([run("c", "newer", 1, None)])).await;
    page.until(&says("#grid .card-count", "22")).await;
    assert_eq!(page.value(MARKED).await, true);
    let asked = "performance.getEntriesByType('resource').filter((r) => \
         r.name.includes('/class/summary')).length";
    assert!(page.value(asked).await.as_i64() >= Some(2));
    assert_eq!(page.complaints(), [""; 0]);
}

/// Draining is no reason for a page to say that anything is wrong for long: it goes elsewhere at
/// once.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_followed_promptly() {
    let database = Database::migrated().await;
    let mut relay = Relay::start(&database, &[]).await;
    relay.post(&json!([run("c", "s1", 1, None)])).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.value("window.states = []; new MutationObserver(() => \
         states.push(document.documentElement.dataset.connection)).observe(document.documentElement, { attributes: true })").await;
    let url = url::Url::parse(&relay.url.to_string()).expect("a URL");
    let bind = format!("127.0.0.1:{}", url.port().expect("a port"));
    relay.signal(nix::sys::signal::Signal::SIGTERM);
    relay.ended(crate::support::PATIENCE).await;
    let again = Relay::start(&database, &["--bind", &bind]).await;
    page.until(
        "document.documentElement.dataset.connection === 'live' && \
         window.states.includes('offline')",
    )
    .await;
    again.post(&json!([run("c", "s2", 1, None)])).await;
    page.until(&says("#grid .card-count", "2")).await;
}

/// A relay that says nothing at all any more, with the connection still there: the page asks, and
/// does not wait for ever.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 45 s: cargo test -- --ignored a_relay_that_hangs"]
async fn a_relay_that_hangs_is_noticed() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&json!([run("c", "s1", 1, None)])).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    relay.signal(nix::sys::signal::Signal::SIGSTOP);
    let offline = "new Promise((done) => { const look = () => \
         document.documentElement.dataset.connection === 'offline' ? done(true) : \
         setTimeout(look, 100); look(); })";
    // Twice: an answer is waited for no longer than 30 s.
    let soon = format!("Promise.race([{offline}, new Promise((done) => setTimeout(done, 25000))])");
    let noticed = page.value(&soon).await == true || page.value(&soon).await == true;
    relay.signal(nix::sys::signal::Signal::SIGCONT);
    assert!(noticed);
    page.until("document.documentElement.dataset.connection === 'live'").await;
    relay.post(&json!([run("c", "s2", 1, None)])).await;
    page.until(&says("#grid .card-count", "2")).await;
}
