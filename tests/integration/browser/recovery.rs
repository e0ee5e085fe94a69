//! An open page when the relay, or its log, is replaced.

use serde_json::json;

use crate::support::browser::{
    Chrome, MARK, MARKED, Page, class_of_one, classroom, counts, event, page_of, run, says,
};
use crate::support::{Database, Relay, run as run_program};

async fn runs(page: &Page, count: &str) {
    page.until(&format!(
        "document.querySelector('.class-totals')?.textContent.includes('{count} runs')"
    ))
    .await;
}

/// The relay under an open page is killed, events are stored meanwhile, and another relay starts.
/// Nothing is missing, nothing is counted twice, and the page was not reloaded.
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
    // It promises no more than it can know: extensions in the field give up after seconds.
    let banner = page.value("document.querySelector('.connection-banner p').textContent").await;
    let banner = banner.as_str().expect("a text");
    let known = "What it has stored since then follows; what students’ extensions give up sending \
                 does not.";
    assert!(banner.contains(known), "{banner}");
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
    // The page requests the summary once, when it is opened.
    let asked = "performance.getEntriesByType('resource').filter((r) => \
         r.name.includes('/class/summary')).length";
    assert_eq!(page.value(asked).await, 1);
}

/// Ids may have been assigned to other events. The page reads the class again and continues without
/// a reload.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_starts_again() {
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

/// Events of a student are deleted: what an open drawer showed of them goes.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_shown_no_longer() {
    let (database, relay, chrome) = class_of_one("c").await;
    relay.post(&json!([run("c", "s2", 2, None)])).await;
    let page = chrome.open(&format!("{}&student=s1", page_of(&relay, "c"))).await;
    page.until(&says(".drawer .run-code", "cell 1")).await;
    page.until(&counts(".timeline > li", 1)).await;
    let client = database.client().await;
    let deleted = "DELETE FROM progress_event WHERE student_id = 's1'";
    client.batch_execute(deleted).await.expect("deleted");
    page.until(&says("#grid .card-count", "1")).await;
    page.until(&counts(".timeline > li", 0)).await;
    page.until(
        "!document.querySelector('.drawer .run-code').checkVisibility() && \
         document.querySelector('.latest-run > .note').checkVisibility()",
    )
    .await;
    relay.post(&json!([run("c", "s1", 3, None)])).await;
    page.until(&says(".drawer .run-code", "cell 3")).await;
    page.until(&counts(".timeline > li", 1)).await;
}

/// A page whose relay drains connects to another one at once, and shows a problem only briefly.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_followed_promptly() {
    let database = Database::migrated().await;
    let mut relay = Relay::start(&database, &[]).await;
    relay.post(&json!([run("c", "s1", 1, None)])).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.value(
        "window.states = []; const root = document.documentElement;
         new MutationObserver(() => states.push(root.dataset.connection))
           .observe(root, { attributes: true })",
    )
    .await;
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

/// Somebody sets the machine's clock, or a time server does: a hand that is up stays up, and its
/// age goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_the_clock_hides_no_hand() {
    let (_database, relay, chrome) = class_of_one("c").await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    relay.post(&json!([event("c", "s1", "help", &json!({}))])).await;
    page.until(&counts("#help .help-item", 1)).await;
    page.value("window.realNow = Date.now.bind(Date)").await;
    let age = "document.querySelector('#help .help-item .help-wait-time')?.textContent";
    for hours in [3, -3] {
        page.value(&format!("Date.now = () => realNow() + {hours} * 3_600_000")).await;
        // Ages are drawn after the statuses were looked at.
        for _ in 0..2 {
            page.value(&format!("window.age = {age}")).await;
            page.until(&format!("{age} !== window.age")).await;
        }
        let shown = page.value(age).await;
        assert!(shown.as_str().is_some_and(|age| age.starts_with("0:")), "{hours} h: {shown}");
        page.until(&counts("#help .help-item", 1)).await;
    }
    relay.post(&json!([event("c", "s2", "help", &json!({}))])).await;
    page.until(&counts("#help .help-item", 2)).await;
}

/// A relay that stops answering on an open connection: the page sends a ping and reconnects without
/// an answer.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 45 s: cargo test -- --ignored a_relay_that_hangs"]
async fn a_relay_that_hangs_is_noticed() {
    let (_database, relay, chrome) = class_of_one("c").await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    relay.signal(nix::sys::signal::Signal::SIGSTOP);
    let offline = "new Promise((done) => { const look = () => \
         document.documentElement.dataset.connection === 'offline' ? done(true) : \
         setTimeout(look, 100); look(); })";
    // Twice, because the page waits up to 30 s for an answer.
    let soon = format!("Promise.race([{offline}, new Promise((done) => setTimeout(done, 25000))])");
    let noticed = page.value(&soon).await == true || page.value(&soon).await == true;
    relay.signal(nix::sys::signal::Signal::SIGCONT);
    assert!(noticed);
    page.until("document.documentElement.dataset.connection === 'live'").await;
    relay.post(&json!([run("c", "s2", 1, None)])).await;
    page.until(&says("#grid .card-count", "2")).await;
}
