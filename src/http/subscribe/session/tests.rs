//! Sessions over a channel: no socket, no database.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::time::Instant;

use super::heartbeat::TICK;
use super::leave::Leave;
use super::outbox::Outbox;
use super::*;
use crate::access::Access;
use crate::database::Connector;
use crate::event::{Epoch, Micros, StoredEvent, StudentId};
use crate::http::gate::Admitted;
use crate::http::query::Query;
use crate::http::server::drain::Drain;
use crate::http::server::timeouts::PEER_TIMEOUT;
use crate::log::ChunkSet;

const CLASS: &str = "a";

fn at(id: i64) -> Cursor {
    Cursor { epoch: Epoch::new("e1"), id }
}

/// The peer's side, and a transport that holds as many frames as it is allowed to.
struct Peer {
    says: mpsc::Sender<Incoming>,
    taken: mpsc::Receiver<Outgoing>,
    /// Frames in the transport's hands.
    held: Arc<AtomicUsize>,
    activity: LastActivity,
}

struct Channel {
    from_peer: mpsc::Receiver<Incoming>,
    given: mpsc::Sender<Outgoing>,
    outbox: Outbox<Outgoing>,
    held: Arc<AtomicUsize>,
}

impl Channel {
    fn note_held(&self) {
        self.held.store(self.outbox.iter().count(), Ordering::Relaxed);
    }
}

impl Stream for Channel {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.from_peer.poll_next_unpin(cx)
    }
}

impl Sink<Outgoing> for Channel {
    type Error = Close;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Close>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Outgoing) -> Result<(), Close> {
        match &frame {
            Outgoing::Text { cursor, kind, .. } => {
                let (cursor, kind) = (cursor.clone(), *kind);
                self.outbox.push(frame, kind, cursor);
            }
            Outgoing::Ping => self.outbox.insert(0, frame),
        }
        self.note_held();
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Close>> {
        while !self.outbox.is_empty() {
            std::task::ready!(self.given.poll_ready(cx)).map_err(|_| Close::Gone)?;
            if let Some(frame) = self.outbox.pop_front() {
                self.given.start_send(frame).map_err(|_| Close::Gone)?;
            }
        }
        self.note_held();
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Close>> {
        Poll::Ready(Ok(()))
    }
}

impl Transport for Channel {
    fn drop_unsent(&mut self) -> Dropped {
        let dropped = self.outbox.drop_unsent();
        self.note_held();
        dropped
    }
}

struct Bench {
    log: Arc<Log>,
    drain: Drain,
}

impl Bench {
    fn new() -> Self {
        Self {
            log: Arc::new(Log::new(at(0), usize::MAX)),
            drain: Drain::new(Duration::from_secs(10)),
        }
    }

    /// Appends an event for each id, each in one chunk.
    fn append(&self, ids: std::ops::RangeInclusive<i64>) {
        self.append_of("s", ids);
    }

    /// The same, of a student.
    fn append_of(&self, student: &str, ids: std::ops::RangeInclusive<i64>) {
        for id in ids {
            let body = format!("{{\"code\":\"{}\"}}", "x".repeat(8_000));
            let mut set = ChunkSet::new(self.log.position().epoch);
            set.push(&StoredEvent {
                id,
                class: CLASS,
                student,
                received_at: Micros(0),
                body: &body,
            });
            self.log.append(set.take(), id);
        }
    }

    /// A session that starts at `cursor`, whose peer takes up to `room` frames without being asked
    /// to.
    fn subscribe(&self, cursor: i64, room: usize) -> (Peer, tokio::task::JoinHandle<Close>) {
        self.subscribe_trimmed(None, cursor, room)
    }

    /// The same, with what the URL's `query` asks for, of a student if `own` is one.
    fn subscribe_to(
        &self,
        (query, own): (&str, Option<&str>),
        cursor: i64,
        room: usize,
    ) -> (Peer, tokio::task::JoinHandle<Close>) {
        let own = own.map(|own| StudentId::of_client(own).expect("a student"));
        let trim = Trim::parse(&Query::parse(query), own).expect("valid");
        self.subscribe_trimmed(trim, cursor, room)
    }

    fn subscribe_trimmed(
        &self,
        trim: Option<Trim>,
        cursor: i64,
        room: usize,
    ) -> (Peer, tokio::task::JoinHandle<Close>) {
        let (says, from_peer) = mpsc::channel(8);
        let (given, taken) = mpsc::channel(room);
        let activity = LastActivity::new();
        let held = Arc::new(AtomicUsize::new(0));
        let transport =
            Channel { from_peer, given, outbox: Outbox::new(), held: Arc::clone(&held) };
        let connector = Connector::parse("postgres://nobody@127.0.0.1:1/none").expect("a URL");
        let pages = Pages::new(&connector).expect("a pool");
        let sources = Sources {
            log: Arc::clone(&self.log),
            pages: pages.clone(),
            tail: Tail::detached(),
            classes: Classes::new(pages),
            metrics: HttpMetrics::default(),
        };
        let start =
            Start { cursor: at(cursor), live_at: self.log.position().id, expiry: 0, reset: None };
        let classes = vec![ClassId::new(CLASS).expect("a class")];
        let admitted = Admitted { caller: None, credential: None };
        let leave = Leave::new(&self.drain, &Access::open(), admitted);
        let session = SubscriberSession::new(
            sources,
            classes,
            start,
            trim,
            transport,
            activity.clone(),
            leave,
        );
        let task = tokio::spawn(async move { session.run().await.1 });
        (Peer { says, taken, held, activity }, task)
    }
}

impl Peer {
    /// The next frame; pings are passed over.
    async fn frame(&mut self) -> Value {
        loop {
            match self.taken.next().await.expect("a session") {
                Outgoing::Text { text, .. } => return serde_json::from_slice(&text).expect("JSON"),
                Outgoing::Ping => {}
            }
        }
    }

    /// Takes frames until `last` has come; returns the ids and the types of the other frames.
    async fn follow(&mut self, last: i64) -> (Vec<i64>, VecDeque<String>) {
        let (mut ids, mut others) = (Vec::new(), VecDeque::new());
        while ids.last() != Some(&last) {
            let frame = self.frame().await;
            match frame["events"].as_array() {
                Some(events) => {
                    ids.extend(events.iter().map(|event| event["id"].as_i64().expect("an id")))
                }
                None => others.push_back(frame["type"].as_str().expect("a type").to_owned()),
            }
        }
        (ids, others)
    }
}

#[tokio::test(start_paused = true)]
async fn what_follows_the_cursor_then_live_then_what_comes() {
    let bench = Bench::new();
    bench.append(1..=5);
    let (mut peer, _task) = bench.subscribe(2, 0);
    assert_eq!(peer.follow(5).await.0, [3, 4, 5]);
    let live = peer.frame().await;
    assert_eq!((&live["type"], &live["cursor"]), (&"live".into(), &"e1.5".into()));
    bench.append(6..=6);
    assert_eq!(peer.follow(6).await, (vec![6], VecDeque::new()));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stalls_holds_little_and_then_gets_everything_once() {
    let bench = Bench::new();
    let (mut peer, _task) = bench.subscribe(0, 0);
    assert_eq!(peer.frame().await["type"], "live");
    bench.append(1..=100);
    // Time passes only when everything waits: here, the session for its peer.
    tokio::time::sleep(STALL * 2).await;
    let held = peer.held.load(Ordering::Relaxed);
    assert!(held <= 1, "{held} frames are held for a peer that takes nothing");
    bench.append(101..=150);
    assert_eq!(peer.follow(150).await.0, (1..=150).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn silence_is_marked_and_pinged_and_a_dead_peer_is_left() {
    let bench = Bench::new();
    let (mut peer, task) = bench.subscribe(0, 8);
    assert_eq!(peer.frame().await["type"], "live");
    let begin = Instant::now();
    assert_eq!(peer.frame().await["type"], "mark");
    assert!(begin.elapsed() <= Duration::from_secs(25), "{:?}", begin.elapsed());
    let mut pings = 0;
    while begin.elapsed() < Duration::from_secs(200) {
        peer.activity.note();
        pings += usize::from(matches!(peer.taken.next().await, Some(Outgoing::Ping)));
    }
    assert!((7..=8).contains(&pings), "{pings} pings in 200 s");
    peer.activity.note();
    let alive = Instant::now();
    while peer.taken.next().await.is_some() {}
    assert_eq!(task.await.expect("no panic"), Close::Silent);
    assert!(
        (PEER_TIMEOUT..PEER_TIMEOUT + TICK * 2).contains(&alive.elapsed()),
        "{:?}",
        alive.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_with_where_it_stands() {
    let bench = Bench::new();
    let (mut peer, _task) = bench.subscribe(0, 8);
    assert_eq!(peer.frame().await["type"], "live");
    bench.append(1..=1);
    assert_eq!(peer.follow(1).await.0, [1]);
    peer.says.send(Incoming::Ping).await.expect("a session");
    assert_eq!(peer.frame().await, serde_json::json!({"type": "pong", "cursor": "e1.1"}));
}

#[tokio::test(start_paused = true)]
async fn another_epoch_is_said_and_it_goes_on_from_there() {
    let bench = Bench::new();
    bench.append(1..=3);
    let (mut peer, _task) = bench.subscribe(3, 8);
    assert_eq!(peer.frame().await["type"], "live");
    bench.log.reset(Cursor { epoch: Epoch::new("e2"), id: 7 });
    let expected = serde_json::json!({"type": "reset", "reason": "epoch", "cursor": "e2.7"});
    assert_eq!(peer.frame().await, expected);
    let live = peer.frame().await;
    assert_eq!((&live["type"], &live["cursor"]), (&"live".into(), &"e2.7".into()));
    bench.append(8..=8);
    assert_eq!(peer.frame().await["cursor"], "e2.8");
}

#[tokio::test(start_paused = true)]
async fn sessions_leave_when_the_relay_drains_and_when_the_peer_does() {
    let bench = Bench::new();
    let (mut peer, task) = bench.subscribe(0, 8);
    assert_eq!(peer.frame().await["type"], "live");
    bench.drain.announce();
    bench.append(1..=1);
    assert_eq!(peer.follow(1).await.0, [1], "announced is not gone");
    bench.drain.close();
    assert_eq!(task.await.expect("no panic"), Close::GoingAway);

    let bench = Bench::new();
    let (mut peer, task) = bench.subscribe(0, 8);
    peer.says.send(Incoming::Close(Close::Binary)).await.expect("a session");
    assert_eq!(task.await.expect("no panic"), Close::Binary);
}

/// Trimmed frames are dropped and encoded again, as shared frames are dropped and read again.
#[tokio::test(start_paused = true)]
async fn a_peer_that_wants_less_stalls_and_then_gets_everything_once() {
    let bench = Bench::new();
    let (mut peer, _task) = bench.subscribe_to(("max=4096", None), 0, 0);
    assert_eq!(peer.frame().await["type"], "live");
    bench.append(1..=100);
    tokio::time::sleep(STALL * 2).await;
    let held = peer.held.load(Ordering::Relaxed);
    assert!(held <= 1, "{held} frames are held for a peer that takes nothing");
    bench.append(101..=150);
    let mut ids = Vec::new();
    while ids.last() != Some(&150) {
        let frame = peer.frame().await;
        assert!(frame.to_string().len() <= 4096);
        for event in frame["events"].as_array().expect("events") {
            assert_eq!(event["truncated"], serde_json::json!(["code"]));
            ids.push(event["id"].as_i64().expect("an id"));
        }
    }
    assert_eq!(ids, (1..=150).collect::<Vec<_>>());
}

/// A student's cursor follows the class, past what it is not sent.
#[tokio::test(start_paused = true)]
async fn a_student_is_sent_its_own_and_stands_where_the_class_stands() {
    let bench = Bench::new();
    bench.append_of("bob", 1..=3);
    let (mut peer, _task) = bench.subscribe_to(("", Some("ann")), 0, 8);
    let live = peer.frame().await;
    assert_eq!((&live["type"], &live["cursor"]), (&"live".into(), &"e1.3".into()));
    bench.append_of("ann", 4..=4);
    bench.append_of("bob", 5..=60);
    assert_eq!(peer.follow(4).await, (vec![4], VecDeque::new()));
    peer.says.send(Incoming::Ping).await.expect("a session");
    assert_eq!(peer.frame().await["cursor"], "e1.60");
    let mark = peer.frame().await;
    assert_eq!((&mark["type"], &mark["cursor"]), (&"mark".into(), &"e1.60".into()));

    // A stall sets the cursor back to where the peer stands, and nothing comes twice.
    let (mut peer, _task) = bench.subscribe_to(("", Some("ann")), 0, 0);
    for at in [61, 71, 81, 91] {
        bench.append_of("ann", at..=at);
        bench.append_of("bob", at + 1..=at + 9);
    }
    tokio::time::sleep(STALL * 2).await;
    assert!(peer.held.load(Ordering::Relaxed) <= 1);
    assert_eq!(peer.follow(91).await.0, [4, 61, 71, 81, 91]);
}
