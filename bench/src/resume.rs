//! How fast a dashboard that was away receives the events that it missed.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use progress_relay::client::http::Connection;
use progress_relay::client::ws::{Frame, Subscriber};
use progress_relay::client::{BaseUrl, query};

use crate::Outcome;
use crate::stage::Server;

const BATCH: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A class with a history, and the cursor before it.
pub struct Missed {
    class: String,
    cursor: String,
    events: usize,
}

impl Missed {
    /// Stores `events` while no dashboard is connected.
    pub async fn store(relay: &Server, events: usize) -> Outcome<Self> {
        let class = format!("resume-{:08x}", fastrand::u32(..));
        let base = BaseUrl::parse(&relay.url)?;
        let mut subscriber = Subscriber::connect(&base, std::slice::from_ref(&class), None).await?;
        let Frame::Live { cursor } = subscriber.next().await? else { return Err("no live".into()) };
        subscriber.close().await;
        let mut connection = Connection::open(&base).await?;
        let path = format!("/api/v1/events?{}", query([("class", &*class)]));
        for first in (0..events).step_by(BATCH) {
            let answer =
                connection.post_json(&path, body(first, BATCH.min(events - first))).await?;
            if !answer.status.is_success() {
                return Err(format!("a POST was answered {}", answer.status).into());
            }
        }
        Ok(Self { class, cursor, events })
    }

    /// Events per second, from the connection to the `live` frame.
    pub async fn resume(&self, relay: &Server) -> Outcome<f64> {
        let base = BaseUrl::parse(&relay.url)?;
        let begin = Instant::now();
        let read = async {
            let classes = std::slice::from_ref(&self.class);
            let mut subscriber = Subscriber::connect(&base, classes, Some(&self.cursor)).await?;
            let mut events = 0;
            loop {
                let text = subscriber.next_text().await?;
                if text.starts_with(r#"{"type":"live""#) {
                    return Ok::<_, progress_relay::client::ClientError>(events);
                }
                events += text.matches("{\"id\":").count();
            }
        };
        let events = tokio::time::timeout(PATIENCE, read).await??;
        if events != self.events {
            return Err(format!("{events} of {} events arrived", self.events).into());
        }
        Ok(events as f64 / begin.elapsed().as_secs_f64())
    }
}

fn body(first: usize, count: usize) -> String {
    let mut out = String::with_capacity(count * 420);
    for index in first..first + count {
        out.push(if index == first { '[' } else { ',' });
        // Writing into a String cannot fail.
        let _ = write!(
            out,
            "{{\"eventId\":\"{}\",\"eventType\":\"cell_executed\",\
             \"eventTime\":\"2026-11-23T15:36:11.956Z\",\"emailAddress\":\"s{:04}@example.com\",\
             \"userName\":\"Student\",\"teamName\":\"Team\",\
             \"sessionId\":\"17e2b34b-0de8-4810-ac52-000000000001\",\
             \"notebookPath\":\"lesson1.ipynb\",\"cellId\":\"c-1\",\"cellIndex\":1,\
             \"cellType\":\"code\",\"code\":\"x = 6*7\\nx\",\"executionCount\":{index},\
             \"hasError\":false,\"result\":\"42\",\"executionDurationMs\":1}}",
            uuid::Builder::from_random_bytes(fastrand::u128(..).to_le_bytes()).into_uuid(),
            index % 200,
        );
    }
    out.push(']');
    out
}
