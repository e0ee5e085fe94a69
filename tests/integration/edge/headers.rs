//! The headers by which a browser protects the page and its data stand on every answer.

use crate::edge::send_from;
use crate::support::{Database, Relay, event};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_them() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &["--frame-ancestors", "https://lab.example"]).await;
    for (method, path, status) in [
        ("GET", "/", 200),
        ("GET", "/assets/js/main.js", 200),
        ("GET", "/api/class/summary?class=c", 200),
        ("GET", "/api/class/events", 200),
        ("GET", "/api/class/export", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/metrics", 200),
        ("GET", "/healthz", 200),
        ("GET", "/nothing", 404),
        ("DELETE", "/api/classes", 405),
        ("OPTIONS", "/api/classes", 204),
        ("GET", "/ws/connect", 426),
    ] {
        let answer = send_from(&relay, "127.0.0.1", (method, path), &[], "").await;
        assert_eq!(answer.status(), status, "{method} {path}");
        let header =
            |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text"));
        let policy = header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(policy.ends_with("frame-ancestors https://lab.example"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
        assert!(header("cache-control").is_some(), "{path}");
        assert_eq!(header("strict-transport-security"), None, "there is no TLS");
        assert_eq!(answer.headers().get_all("content-security-policy").iter().count(), 1);
    }
    let page = send_from(&relay, "127.0.0.1", ("GET", "/"), &[], "").await;
    assert_eq!(page.headers()["cross-origin-opener-policy"], "same-origin");
    assert!(page.headers().contains_key("permissions-policy"));
    let stored = event(1).to_string();
    let stored = send_from(&relay, "127.0.0.1", ("POST", "/student-progress"), &[], &stored).await;
    assert_eq!(stored.headers()["cross-origin-resource-policy"], "cross-origin");
    assert_eq!(stored.headers()["cache-control"], "no-store");
}
