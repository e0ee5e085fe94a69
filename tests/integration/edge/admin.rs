//! The listener for operators, and what everyone else is told of the relay's health.

use std::net::SocketAddr;

use http::Response;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::edge::send_from;
use crate::support::stage::port;
use crate::support::{Database, Relay, https};

async fn get(address: SocketAddr, path: &str) -> Response<bytes::Bytes> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    https::send(stream, "GET", path, &[("host", "metrics.internal")], "").await
}

fn json(answer: &Response<bytes::Bytes>) -> Value {
    serde_json::from_slice(answer.body()).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_at_the_listener_for_operators_alone() {
    let database = Database::migrated().await;
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let text = address.to_string();
    let flags = ["--admin-bind", &text, "--base-path", "/relay/", "--max-connections", "1"];
    let relay = Relay::start(&database, &flags).await;
    let held = relay.connection().await;
    for path in ["/metrics", "/healthz", "/readyz/", "/relay/metrics"] {
        assert_eq!(get(address, path).await.status(), 200, "{path}");
    }
    assert!(json(&get(address, "/readyz").await)["checks"]["database"].is_string());
    for path in ["/", "/relay/", "/relay/api/classes", "/api/classes", "/nothing"] {
        assert_eq!(get(address, path).await.status(), 404, "{path}");
    }
    drop(held);
    for (path, status) in [("/metrics", 404), ("/relay/metrics", 404), ("/relay/healthz", 200)] {
        let answer = send_from(&relay, "127.0.0.1", ("GET", path), &[], "").await;
        assert_eq!(answer.status(), status, "{path}");
    }
}

/// PostgreSQL's words and the servers' names are for those who may see the relay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_says_why_to_operators_alone() {
    let database = Database::migrated().await;
    let relay = Relay::start(
        &database,
        &[
            "--trusted-proxy",
            "127.0.0.1",
            "--user-header",
            "X-User",
            "--groups-header",
            "X-Groups",
            "--operators",
            "staff",
            "--students",
            "{class}",
        ],
    )
    .await;
    let ready = async |headers: &[(&str, &str)]| {
        let answer = send_from(&relay, "127.0.0.1", ("GET", "/readyz"), headers, "").await;
        assert_eq!(answer.status(), 200);
        json(&answer)
    };
    let staff = ready(&[("x-user", "olga"), ("x-groups", "staff")]).await;
    assert!(staff["servers"].is_object() || staff["servers"].is_array(), "{staff}");
    assert_eq!(staff["checks"]["database"], "ok");
    for headers in [
        &[][..],
        &[("x-user", "sam"), ("x-groups", "algebra")],
        &[("authorization", "Bearer garbage")],
    ] {
        let told = ready(headers).await;
        assert_eq!(told, serde_json::json!({"ready": true, "draining": false}), "{headers:?}");
    }
}
