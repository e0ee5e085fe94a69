//! What every test needs: a database, relays, someone who posts and someone who follows.

pub mod checker;
pub mod class;
mod follower;
mod load;
mod pooler;
mod postgres;
mod proxy;
mod raw;
mod relay;
pub mod stage;
pub mod state;

use std::time::Duration;

use serde_json::{Value, json};

pub use follower::Follower;
pub use load::Load;
pub use pooler::Pooler;
pub use postgres::{Database, data_folder};
pub use proxy::Proxy;
pub use raw::{Raw, RawFrame, handshake, read_frame};
pub use relay::{Relay, Tail, run};

/// The longest anything is waited for: far beyond what it takes, so that a busy machine does not
/// fail a test.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `what`, and says what it was if it does not come.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Asks again and again until the answer is `Some`.
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

/// An event that no other is equal to, marked with `n`.
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

/// The same, of a class.
pub fn event_of(class: &str, n: usize) -> Value {
    let mut event = event(n);
    event["classId"] = class.into();
    event
}

/// The text of a JSON value that must be one.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name} in {value}"))
}

/// A cursor's epoch and id.
pub fn parts(cursor: &str) -> (&str, i64) {
    let (epoch, id) = cursor.split_once('.').expect("a cursor");
    (epoch, id.parse().expect("an id"))
}

/// The cursor before the first event of the epoch.
pub fn origin(cursor: &str) -> String {
    format!("{}.0", parts(cursor).0)
}
