//! A subscriber that checks its events.

use progress_relay::client::BaseUrl;
use progress_relay::client::ws::{Frame, Subscriber};
use serde_json::Value;

use super::{parts, within};

/// Follows a class through disconnects, as a dashboard does, and keeps all events. An event out of
/// order, a repeated event and a reset fail the test at once.
pub struct Follower {
    url: BaseUrl,
    classes: Vec<String>,
    subscriber: Option<Subscriber>,
    pub cursor: Option<String>,
    pub events: Vec<Value>,
    pub live: bool,
    last: i64,
}

impl Follower {
    /// Follows new events, or those after `cursor`.
    pub async fn new(url: &BaseUrl, classes: &[&str], cursor: Option<&str>) -> Self {
        let mut follower = Self {
            url: url.clone(),
            classes: classes.iter().map(|&class| class.to_owned()).collect(),
            subscriber: None,
            cursor: cursor.map(str::to_owned),
            events: Vec::new(),
            live: false,
            last: cursor.map_or(0, |cursor| parts(cursor).1),
        };
        follower.connect().await;
        if cursor.is_none() {
            // A connection that is lost before the first cursor would leave a gap.
            follower.until_live().await;
        }
        follower
    }

    /// Continues at another relay.
    pub async fn move_to(&mut self, url: &BaseUrl) {
        self.url = url.clone();
        self.connect().await;
    }

    async fn connect(&mut self) {
        let subscriber =
            Subscriber::connect(&self.url, &self.classes, self.cursor.as_deref()).await;
        self.subscriber = Some(subscriber.expect("a subscription"));
        self.live = false;
    }

    /// Reads the next frame; returns `false` if the connection is lost.
    pub async fn step(&mut self) -> bool {
        let subscriber = self.subscriber.as_mut().expect("a subscription");
        let frame = match within("a frame", subscriber.next()).await {
            Ok(Frame::Closed { .. }) | Err(_) => return false,
            Ok(frame) => frame,
        };
        match frame {
            Frame::Progress { cursor, events } => {
                for event in events {
                    let event: Value = serde_json::from_str(event.get()).expect("JSON");
                    let id = event["id"].as_i64().expect("an id");
                    let class = event["classId"].as_str().expect("a class");
                    assert!(
                        self.classes.iter().any(|wanted| wanted == class),
                        "an event of {class:?}"
                    );
                    assert!(id > self.last, "event {id} after {}", self.last);
                    self.last = id;
                    self.events.push(event);
                }
                assert!(
                    cursor.ends_with(&format!(".{}", self.last)),
                    "{cursor}, not of event {}",
                    self.last
                );
                self.cursor = Some(cursor);
            }
            Frame::Live { cursor } => {
                assert!(!self.live, "live twice on one connection");
                self.live = true;
                self.cursor = Some(cursor);
            }
            Frame::Mark { cursor } | Frame::Pong { cursor } => self.cursor = Some(cursor),
            Frame::Reset { reason, .. } => panic!("a reset: {reason}"),
            Frame::Unknown | Frame::Closed { .. } => {}
        }
        true
    }

    /// Reads frames until `enough`, and resumes by its cursor when the connection is lost. A
    /// missing event ends in a timeout.
    async fn follow(&mut self, what: &str, enough: impl Fn(&[Value]) -> bool) {
        within(what, async {
            while !enough(&self.events) {
                if !self.step().await {
                    self.connect().await;
                }
            }
        })
        .await;
    }

    /// Reads frames until it has `count` events.
    pub async fn take(&mut self, count: usize) -> &[Value] {
        self.follow(&format!("{count} events"), |events| events.len() >= count).await;
        assert_eq!(self.events.len(), count, "more than was stored");
        &self.events
    }

    /// Reads frames until the event marked `n` is the last one.
    pub async fn until_mark(&mut self, n: i64) {
        let is_it = |events: &[Value]| events.last().is_some_and(|event| event["n"] == n);
        self.follow(&format!("the event marked {n}"), is_it).await;
    }

    /// Reads frames until the event marked `n` has arrived, perhaps with others after it.
    pub async fn past_mark(&mut self, n: i64) {
        let has_it = |events: &[Value]| events.iter().rev().any(|event| event["n"] == n);
        self.follow(&format!("the event marked {n}"), has_it).await;
    }

    /// Reads frames until `live`.
    pub async fn until_live(&mut self) {
        within("live", async {
            while !self.live {
                assert!(self.step().await, "the connection was lost");
            }
        })
        .await;
    }

    /// The marks of its events.
    pub fn marks(&self) -> Vec<i64> {
        self.events.iter().map(|event| event["n"].as_i64().expect("a mark")).collect()
    }

    /// The ids of its events.
    pub fn ids(&self) -> Vec<i64> {
        self.events.iter().map(|event| event["id"].as_i64().expect("an id")).collect()
    }
}
