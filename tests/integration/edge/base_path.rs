//! The routes below a base path: of a client, and of the page in a browser.

use progress_relay::client::BaseUrl;
use progress_relay::client::ws::{Frame, Subscriber};
use serde_json::json;

use crate::edge::{problem, send_from};
use crate::support::browser::{Chrome, run, says};
use crate::support::{Database, Relay, event, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_lies_below_it() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &["--base-path", "/services/relay"]).await;
    let get = async |path: &str| send_from(&relay, "127.0.0.1", ("GET", path), &[], "").await;
    for path in ["/services/relay/", "/services/relay/api/classes", "/services/relay/metrics"] {
        assert_eq!(get(path).await.status(), 200, "{path}");
    }
    // Probes are told the root by habit.
    for path in ["/healthz", "/readyz", "/services/relay/healthz", "/services/relay/readyz"] {
        assert_eq!(get(path).await.status(), 200, "{path}");
    }
    for path in ["/", "/api/classes", "/metrics", "/assets/js/main.js", "/services/relay2/"] {
        assert_eq!(get(path).await.status(), 404, "{path}");
    }
    let redirect = get("/services/relay?class=a%20b").await;
    assert_eq!(redirect.status(), 308);
    assert_eq!(redirect.headers()["location"], "/services/relay/?class=a%20b");
    // A client whose URL lacks the path is told so, and its page may read it.
    let body = event(1).to_string();
    let lost = send_from(&relay, "127.0.0.1", ("POST", "/student-progress"), &[], &body).await;
    assert_eq!((lost.status().as_u16(), problem(&lost).as_str()), (404, "not-found"));
    assert_eq!(lost.headers()["access-control-allow-origin"], "*");
    let preflight = ("OPTIONS", "/student-progress");
    assert_eq!(send_from(&relay, "127.0.0.1", preflight, &[], "").await.status(), 204);
    let path = ("POST", "/services/relay/student-progress");
    assert_eq!(send_from(&relay, "127.0.0.1", path, &[], &body).await.status(), 200);

    let base = format!("{}/services/relay", relay.url);
    let base = BaseUrl::parse(&base).expect("a URL");
    let mut subscriber = Subscriber::connect(&base, &[], None).await.expect("a subscription");
    let frame = within("a frame", subscriber.next()).await.expect("a frame");
    assert!(matches!(frame, Frame::Live { .. }), "{frame:?}");
}

/// Every link and request of the page is below the base path, without and with the slash.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_below_it() {
    let database = Database::migrated().await;
    let relay =
        Relay::begin(&["--database-url", &database.url(), "--base-path", "/services/relay/"]).await;
    relay.ready().await;
    let post = async |body: serde_json::Value| {
        let path = ("POST", "/services/relay/student-progress");
        let answer = send_from(&relay, "127.0.0.1", path, &[], &body.to_string()).await;
        assert_eq!(answer.status(), 200);
    };
    post(json!([run("c", "s1", 1, None)])).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&format!("{}/services/relay?class=c", relay.url)).await;
    page.until("document.documentElement.dataset.connection === 'live'").await;
    page.until(&says("#grid .card-count", "1")).await;
    assert_eq!(page.value("location.pathname").await, "/services/relay/");
    post(json!([run("c", "s2", 1, None)])).await;
    page.until(&says("#grid .card-count", "2")).await;
    assert_eq!(page.complaints(), [""; 0]);
}
