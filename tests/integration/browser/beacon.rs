//! Events of a client's page from another origin arrive, even when its tab is closed.

use serde_json::{Value, json};

use crate::support::browser::{Chrome, Site, counts, event, page_of, says};
use crate::support::{Database, Follower, Relay};

/// A browser sends a preflight before a JSON body. With credentials it accepts only an answer that
/// names its own origin. A beacon cannot even tell its page that it was dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_beacon_with_json_arrives() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let mut follower = Follower::new(&relay.url, &["c"], None).await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    let site = Site::start().await;
    // `localhost` is another site than `127.0.0.1`.
    page.go(&site.origin("localhost")).await;
    page.until("location.protocol === 'http:' && document.readyState === 'complete'").await;
    let url = |path: &str| format!("{}{path}", relay.url);
    let body = |n: usize| {
        json!(json!([event("c", "s1", "notebook_closed", &json!({ "n": n }))]).to_string())
    };

    let beacon = |path: &str, n: usize| {
        format!(
            "navigator.sendBeacon({}, new Blob([{}], {{ type: 'application/json' }}))",
            json!(url(path)),
            body(n)
        )
    };
    for (n, path) in [(0, "/student-progress"), (1, "/api/v1/events?class=c")] {
        assert_eq!(page.value(&beacon(path, n)).await, true);
        follower.until_mark(n.try_into().expect("small")).await;
    }

    // With credentials and keepalive, as clients send when a tab is closed. The page can read the
    // answer, and errors as well.
    let fetched = |path: &str, body: &Value| {
        format!(
            "fetch({}, {{ method: 'POST', body: {body}, credentials: 'include', keepalive: true, \
             headers: {{ 'Content-Type': 'application/json', 'X-Anything': '1' }} }}) \
             .then(async (answer) => [answer.status, await answer.text()], (error) => \
             String(error))",
            json!(url(path))
        )
    };
    for (path, body, status, contains) in [
        ("/student-progress", body(2), 200, "\"accepted\":1"),
        ("/api/v1/events", json!("{}"), 422, "eventId"),
        ("/student-progress", json!("{"), 400, "body-not-json"),
        ("/student-progress/x", json!("[]"), 404, "not-found"),
        ("/cell-monitor", json!("[]"), 204, ""),
    ] {
        let answer = page.value(&fetched(path, &body)).await;
        assert_eq!(answer[0], status, "{path}: {answer}");
        assert!(answer[1].as_str().is_some_and(|text| text.contains(contains)), "{path}: {answer}");
    }
    follower.until_mark(2).await;

    // The tab is closed in the same moment.
    let leave = format!(
        "addEventListener('pagehide', () => {}); location.href = 'about:blank'",
        beacon("/api/v1/events", 3)
    );
    page.value(&leave).await;
    follower.until_mark(3).await;
    assert_eq!(follower.marks(), [0, 1, 2, 3]);
}

/// All events of this class are rejected. The page says so in the place of the empty class, in its
/// language, and keeps saying it.
#[tokio::test(flavor = "multi_thread")]
async fn rejected_events_are_shown_on_the_page() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    let mut bad = event("c", "s1", "help", &json!({ "code": "SECRET" }));
    bad["eventTime"] = "yesterday".into();
    for _ in 0..3 {
        assert_eq!(relays[0].try_post(&json!([bad])).await.status, 422);
    }
    bad["hasError"] = "maybe".into();
    bad["eventTime"] = "2026-11-23T15:36:03".into();
    assert_eq!(relays[0].try_post(&json!([bad])).await.status, 422);
    crate::support::until("the rejections to be kept", || async {
        let answer = relays[1]
            .connection()
            .await
            .get("/api/class/refused?class=c")
            .await
            .expect("an answer");
        let answer: Value = answer.json().expect("JSON");
        (answer["refused"].as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await;
    let chrome = Chrome::start().await;
    // This page is served by another replica than the one that rejected the events.
    let page = chrome.open(&page_of(&relays[1], "c")).await;
    page.until("document.querySelector('.rejections')?.hidden === false").await;
    page.until(
        "/^4 events were not accepted since \
         [0-9:]+$/.test(document.querySelector('.rejections summary').textContent)",
    )
    .await;
    page.click(".rejections summary").await;
    page.until(&counts(".rejections li", 2)).await;
    page.until(&says(".rejections li code", "eventTime")).await;
    page.until("document.querySelector('.rejections li').textContent.endsWith(' · 3 times')").await;
    assert_eq!(page.value("document.body.textContent.includes('SECRET')").await, false);
    for width in [1440, 390] {
        page.size(width, 900, 1.0).await;
        let wide = page.value("document.documentElement.scrollWidth - window.innerWidth").await;
        assert!(wide.as_i64().expect("a number") <= 0, "{width}: {wide} too wide");
    }
    // Another class shows no rejections.
    let other = chrome.open(&page_of(&relays[1], "d")).await;
    other.until("document.documentElement.dataset.connection === 'live'").await;
    let asked = "performance.getEntriesByType('resource').some((entry) => \
        entry.name.includes('class/refused') && entry.responseEnd > 0)";
    other.until(asked).await;
    assert_eq!(other.value("document.querySelector('.rejections').hidden").await, true);
    assert_eq!(page.complaints(), [""; 0]);
    assert_eq!(other.complaints(), [""; 0]);
}
