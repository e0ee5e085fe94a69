//! A subscriber that checks what it gets.

use progress_relay::http::client::BaseUrl;
use progress_relay::http::client::ws::{Frame, Subscriber};
use serde_json::Value;

use super::within;

/// Follows a class through disconnects, as a dashboard does, and holds everything it got. An event that comes out of order, or
/// twice, fails the test at once; so does a reset.
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
    /// From now on, or after `cursor`.
    pub async fn new(url: &BaseUrl, classes: &[&str], cursor: Option<&str>) -> Self {
        let mut follower = Self {
            url: url.clone(),
            classes: classes.iter().map(|&class| class.to_owned()).collect(),
            subscriber: None,
            cursor: cursor.map(str::to_owned),
            events: Vec::new(),
            live: false,
            last: 0,
        };
        follower.connect().await;
        follower
    }

    /// Goes on at another relay.
    pub async fn move_to(&mut self, url: &BaseUrl) {
        self.url = url.clone();
        self.connect().await;
    }

    async fn connect(&mut self) {
        let subscriber = Subscriber::connect(&self.url, &self.classes, self.cursor.as_deref()).await;
        self.subscriber = Some(subscriber.expect("a subscription"));
        self.live = false;
    }

    /// Takes the next frame; `false` when the connection is lost.
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
                    assert!(id > self.last, "event {id} after {}", self.last);
                    self.last = id;
                    self.events.push(event);
                }
                assert!(cursor.ends_with(&format!(".{}", self.last)), "{cursor}, not of event {}", self.last);
                self.cursor = Some(cursor);
            }
            Frame::Live { cursor } => {
                self.live = true;
                self.cursor = Some(cursor);
            }
            Frame::Mark { cursor } | Frame::Pong { cursor } => self.cursor = Some(cursor),
            Frame::Reset { reason, .. } => panic!("a reset: {reason}"),
            Frame::Unknown | Frame::Closed { .. } => {}
        }
        true
    }

    /// Takes frames until it has `count` events; comes back by its cursor when the connection is lost.
    pub async fn take(&mut self, count: usize) -> &[Value] {
        while self.events.len() < count {
            if !self.step().await {
                self.connect().await;
            }
        }
        assert_eq!(self.events.len(), count, "more than was stored");
        &self.events
    }

    /// Takes frames until `live`.
    pub async fn until_live(&mut self) {
        while !self.live {
            assert!(self.step().await, "the connection was lost");
        }
    }

    /// The marks of the events it got.
    pub fn marks(&self) -> Vec<i64> {
        self.events.iter().map(|event| event["n"].as_i64().expect("a mark")).collect()
    }

    /// The events' ids.
    pub fn ids(&self) -> Vec<i64> {
        self.events.iter().map(|event| event["id"].as_i64().expect("an id")).collect()
    }
}
