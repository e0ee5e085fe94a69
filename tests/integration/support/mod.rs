//! Shared parts of the tests: databases, relays, clients that post and clients that follow.

pub mod authority;
pub mod browser;
pub mod captures;
pub mod checker;
pub mod class;
pub mod described;
mod follower;
pub mod https;
pub mod hub;
mod issuer;
pub mod kernel;
pub mod lab;
mod load;
pub mod page_fold;
mod pooler;
mod postgres;
mod privileges;
mod proxy;
mod raw;
mod relay;
pub mod reverse_proxy;
mod rewriter;
mod roles;
pub mod secrecy;
pub mod stage;
pub mod tls;
pub mod tokens;

use std::time::Duration;

use serde_json::{Value, json};

pub use follower::Follower;
pub use issuer::Issuer;
pub use load::Load;
pub use pooler::Pooler;
pub use postgres::{Database, data_folder};
pub use privileges::Roles;
pub use proxy::Proxy;
pub use raw::{Raw, RawFrame, handshake, handshake_at, handshake_with, masked, read_frame};
pub use relay::{Finished, Relay, Tail, run};
pub use rewriter::Rewriter;
pub use roles::{installation, login, quoted, role};

/// The longest wait of a test. It is far longer than anything takes, so that a busy machine does
/// not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a future, and fails the test with the name `what` after [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Calls `ask` every few milliseconds until it returns `Some`.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    within(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// An event with a new id, marked with `n`.
pub fn event(n: usize) -> Value {
    json!({
        "eventId": uuid::Uuid::new_v4().to_string(),
        "eventType": "cell_executed",
        "eventTime": "2026-11-23T15:36:11.956Z",
        "userId": format!("s{:03}", n % 200),
        "n": n,
        "code": "x = 6*7\nx",
    })
}

/// An event of this class with a new id, marked with `n`.
pub fn event_of(class: &str, n: usize) -> Value {
    let mut event = event(n);
    event["classId"] = class.into();
    event
}

/// The status of a relay's `/readyz` and its checks.
pub async fn readiness(relay: &Relay) -> (u16, Value) {
    let response = relay.connection().await.get("/readyz").await.expect("an answer");
    let body: Value = response.json().expect("JSON");
    (response.status.as_u16(), body["checks"].clone())
}

/// The text of a JSON value that must be one.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name} in {value}"))
}

/// The epoch and the id of a cursor.
pub fn parts(cursor: &str) -> (&str, i64) {
    let (epoch, id) = cursor.split_once('.').expect("a cursor");
    (epoch, id.parse().expect("an id"))
}

/// The cursor before the first event of the epoch.
pub fn origin(cursor: &str) -> String {
    format!("{}.0", parts(cursor).0)
}
