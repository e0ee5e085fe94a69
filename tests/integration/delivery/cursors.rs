//! Where a subscription starts, where it resumes, and when it is reset.

use progress_relay::client::ws::{Frame, Subscriber};
use serde_json::Value;

use crate::support::{
    Database, Follower, Raw, RawFrame, Relay, event, event_of, parts, run, text, within,
};

async fn frame(subscriber: &mut Subscriber) -> Frame {
    within("a frame", subscriber.next()).await.expect("a frame")
}

/// Expects a reset with this reason, then live, then the next event.
async fn assert_reset(relay: &Relay, cursor: &str, expected: &str) {
    let mut subscriber = relay.subscribe(&["default"], Some(cursor)).await;
    let Frame::Reset { reason, cursor: from } = frame(&mut subscriber).await else {
        panic!("no reset of {cursor}")
    };
    assert_eq!(reason, expected, "{cursor}");
    let Frame::Live { cursor: live } = frame(&mut subscriber).await else { panic!("no live") };
    assert_eq!(from, live);
    let answer = relay.post(&event(1)).await;
    let Frame::Progress { cursor: next, .. } = frame(&mut subscriber).await else {
        panic!("no event")
    };
    assert_eq!(answer["cursor"], next.as_str());
}

#[tokio::test]
async fn without_a_cursor_it_starts_after_the_handshake() {
    let database = Database::new().await;
    let (one, two) = (Relay::start(&database, &[]).await, Relay::start(&database, &[]).await);
    for n in 0..50_usize {
        // The other relay has acknowledged this event a moment before.
        one.post(&event(2 * n)).await;
        let mut subscriber = two.subscribe(&["default"], None).await;
        one.post(&event(2 * n + 1)).await;
        let mut seen = Vec::new();
        while seen.is_empty() {
            if let Frame::Progress { events, .. } = frame(&mut subscriber).await {
                seen.extend(events.iter().map(|event| {
                    serde_json::from_str::<Value>(event.get()).expect("JSON")["n"]
                        .as_u64()
                        .expect("a mark")
                }));
            }
        }
        assert_eq!(seen, [2 * n as u64 + 1]);
    }
}

#[tokio::test]
async fn with_a_cursor_it_goes_on_at_any_relay() {
    let database = Database::new().await;
    let (one, two) = (Relay::start(&database, &[]).await, Relay::start(&database, &[]).await);
    let mut follower = Follower::new(&one.url, &["default"], None).await;
    follower.until_live().await;
    let cursor = follower.cursor.clone().expect("a cursor");
    for n in 0..30 {
        one.post(&event(n)).await;
        if n % 10 == 9 {
            follower.take(n + 1).await;
            follower.move_to(if n % 20 == 9 { &two.url } else { &one.url }).await;
        }
    }
    assert_eq!(follower.marks(), (0..30).collect::<Vec<_>>());
    // From the beginning, at a relay that has no event in memory.
    let three = Relay::start(&database, &[]).await;
    let mut again = Follower::new(&three.url, &["default"], Some(&cursor)).await;
    again.until_live().await;
    assert_eq!(again.marks(), (0..30).collect::<Vec<_>>());
}

/// A cursor of one relay is sent to another that may not have read so far. The other one waits,
/// also where ids are missing.
#[tokio::test]
async fn a_cursor_ahead_of_a_relay_waits() {
    let database = Database::new().await;
    let (one, two) = (Relay::start(&database, &[]).await, Relay::start(&database, &[]).await);
    let client = database.client().await;
    for n in 0..30_usize {
        if n % 3 == 0 {
            // Ids that no row will have: of a rolled-back transaction and of a duplicate.
            client
                .batch_execute(
                    "BEGIN; INSERT INTO progress_event (event_id, class_id, student_id, \
                         occurred_at, body) \
                     SELECT gen_random_uuid(), 'default', 's', now(), '{}' FROM \
                     generate_series(1, 5); ROLLBACK",
                )
                .await
                .expect("undone");
        }
        let posted = event(2 * n);
        let answer = one.post(&posted).await;
        one.post(&posted).await;
        let mut subscriber = two.subscribe(&["default"], Some(text(&answer, "cursor"))).await;
        let Frame::Live { cursor } = frame(&mut subscriber).await else { panic!("not live") };
        assert!(parts(&cursor).1 >= parts(text(&answer, "cursor")).1, "{cursor} after {answer}");
        one.post(&event(2 * n + 1)).await;
        let Frame::Progress { events, .. } = frame(&mut subscriber).await else {
            panic!("no event")
        };
        let event: Value = serde_json::from_str(events[0].get()).expect("JSON");
        assert_eq!((events.len(), event["n"].as_u64()), (1, Some(2 * n as u64 + 1)));
    }
    // The newest id that the sequence has returned is a valid cursor, and the next one is not.
    let sql = "SELECT last_value FROM progress_event_id_seq";
    let last: i64 = client.query_one(sql, &[]).await.expect("an id").get(0);
    let follower = Follower::new(&two.url, &["default"], None).await;
    let epoch = parts(follower.cursor.as_deref().expect("a cursor")).0.to_owned();
    let mut subscriber = two.subscribe(&["default"], Some(&format!("{epoch}.{last}"))).await;
    assert!(matches!(frame(&mut subscriber).await, Frame::Live { .. }));
    assert_reset(&two, &format!("{epoch}.{}", last + 1), "ahead").await;
}

/// A class without events, beside one with events.
#[tokio::test]
async fn a_quiet_class_is_told_how_far_it_is_and_asked_whether_it_lives() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut quiet = Raw::connect(&relay).await;
    let mut follower =
        Subscriber::connect(&relay.url, &["quiet".to_owned()], None).await.expect("a subscription");
    assert!(matches!(frame(&mut follower).await, Frame::Live { .. }));
    let answer = relay.post(&event_of("busy", 1)).await;
    let marked = async {
        loop {
            if let Frame::Mark { cursor } = frame(&mut follower).await {
                return cursor;
            }
        }
    };
    let asked = async { while !matches!(quiet.frame().await, RawFrame::Ping) {} };
    let begin = std::time::Instant::now();
    let (cursor, ()) = tokio::join!(marked, asked);
    assert_eq!(cursor, text(&answer, "cursor"));
    // The deadline of `frame` is longer than the promised time.
    assert!(begin.elapsed().as_secs_f32() < 26.0, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn one_cursor_serves_several_classes() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut all = Follower::new(&relay.url, &["a", "b", "a"], None).await;
    let mut only = Follower::new(&relay.url, &["b"], None).await;
    all.until_live().await;
    let cursor = all.cursor.clone().expect("a cursor");
    for n in 0..30 {
        relay.post(&event_of(["a", "b", "c"][n % 3], n)).await;
    }
    let of = |classes: &[usize]| {
        (0..30).filter(|n| classes.contains(&(n % 3))).map(|n| n as i64).collect::<Vec<_>>()
    };
    all.take(20).await;
    assert_eq!(all.marks(), of(&[0, 1]));
    only.take(10).await;
    assert_eq!(only.marks(), of(&[1]));
    // The same from the table.
    let fresh = Relay::start(&database, &[]).await;
    let mut again = Follower::new(&fresh.url, &["b", "a"], Some(&cursor)).await;
    again.until_live().await;
    assert_eq!(again.marks(), of(&[0, 1]));
}

#[tokio::test]
async fn a_cursor_that_cannot_be_resumed_gets_a_reset() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let answer = relay.post(&event(0)).await;
    let cursor = answer["cursor"].as_str().expect("a cursor").to_owned();
    let (epoch, _) = cursor.split_once('.').expect("a cursor");
    for malformed in
        ["nonsense", "", "a.b.c", ".1", "1.-1", "é.1", &format!("{epoch}.9223372036854775808")]
    {
        assert_reset(&relay, malformed, "malformed").await;
    }
    assert_reset(&relay, "0123456789ab1.1", "epoch").await;
    assert_reset(&relay, &format!("{epoch}.999999"), "ahead").await;
    let client = database.client().await;
    client.execute("DELETE FROM progress_event WHERE id <= 3", &[]).await.expect("pruned");
    client.execute("UPDATE progress_log SET pruned_id = 3", &[]).await.expect("pruned");
    assert_reset(&relay, &format!("{epoch}.2"), "expired").await;
    let mut follower = Follower::new(&relay.url, &["default"], Some(&format!("{epoch}.3"))).await;
    follower.until_live().await;
}

/// Open connections are reset when the epoch is renewed, by the command and because ids were set
/// back.
#[tokio::test]
async fn a_new_epoch_resets_open_connections() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    for n in 0..5 {
        relay.post(&event(n)).await;
    }
    let mut subscriber = relay.subscribe(&["default"], None).await;
    let Frame::Live { cursor: before } = frame(&mut subscriber).await else { panic!("no live") };
    let migrated = run(&["migrate", "--new-epoch", "--database-url", &database.url()], &[]).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let Frame::Reset { reason, cursor } = frame(&mut subscriber).await else { panic!("no reset") };
    assert_eq!(reason, "epoch");
    assert_ne!(
        cursor.split_once('.').expect("a cursor").0,
        before.split_once('.').expect("a cursor").0
    );
    assert!(matches!(frame(&mut subscriber).await, Frame::Live { .. }));
    assert_reset(&relay, &before, "epoch").await;
    assert!(matches!(frame(&mut subscriber).await, Frame::Progress { .. }));

    // A restore of an older backup sets the ids back under a running relay.
    let client = database.client().await;
    client.batch_execute("TRUNCATE progress_event RESTART IDENTITY").await.expect("set back");
    let Frame::Reset { reason, cursor } = frame(&mut subscriber).await else { panic!("no reset") };
    assert_eq!(reason, "epoch");
    assert!(cursor.ends_with(".0"), "{cursor}");
    assert!(matches!(frame(&mut subscriber).await, Frame::Live { .. }));
    relay.post(&event(9)).await;
    assert!(matches!(frame(&mut subscriber).await, Frame::Progress { .. }));
}

/// Rows have ids that the sequence has not returned, as after a switch to a logical replica or a
/// restore of data alone. The sequence is raised, so that no event is refused because its id
/// exists.
#[tokio::test]
async fn ids_beyond_the_sequence_are_mended() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut subscriber = relay.subscribe(&["default"], None).await;
    assert!(matches!(frame(&mut subscriber).await, Frame::Live { .. }));
    let sql = "INSERT INTO progress_event (id, event_id, class_id, student_id, occurred_at, body) \
         OVERRIDING SYSTEM VALUE \
         SELECT n, gen_random_uuid(), 'default', 's', now(), '{}' FROM generate_series(5, 9) AS n";
    database.client().await.batch_execute(sql).await.expect("ids by hand");
    let Frame::Reset { reason, cursor } = frame(&mut subscriber).await else { panic!("no reset") };
    assert_eq!(reason, "epoch");
    assert!(cursor.ends_with(".9"), "{cursor}");
    assert!(matches!(frame(&mut subscriber).await, Frame::Live { .. }));
    for n in 0..3 {
        let answer = relay.post(&event(n)).await;
        assert!(
            answer["cursor"]
                .as_str()
                .is_some_and(|cursor| cursor.ends_with(&format!(".{}", 10 + n))),
            "{answer}"
        );
        assert!(matches!(frame(&mut subscriber).await, Frame::Progress { .. }));
    }
}

#[tokio::test]
async fn a_ping_is_answered_and_other_text_is_ignored() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut subscriber = relay.subscribe(&["default"], None).await;
    let Frame::Live { cursor } = frame(&mut subscriber).await else { panic!("no live") };
    for text in ["", "hello", "{\"type\":\"dance\"}", "[]", "{\"type\":7}"] {
        subscriber.send(text.into()).await.expect("sent");
    }
    subscriber.ping().await.expect("sent");
    let Frame::Pong { cursor: pong } = frame(&mut subscriber).await else { panic!("no pong") };
    assert_eq!(cursor, pong);
}

#[tokio::test]
async fn a_plain_get_is_told_to_upgrade() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let response = relay.connection().await.get("/ws/connect").await.expect("an answer");
    assert_eq!(response.status, 426);
    assert_eq!(response.header("upgrade"), Some("websocket"));
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
}

/// The same session as Server-Sent Events.
#[tokio::test]
async fn events_are_streamed_and_resumed_by_their_id() {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let first = relay.post(&event(0)).await["cursor"].as_str().expect("a cursor").to_owned();
    relay.post(&event(1)).await;
    let mut stream =
        tokio::net::TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let request = format!(
        "GET /api/class/stream HTTP/1.1\r\nHost: {}\r\nLast-Event-ID: {first}\r\n\r\n",
        relay.url.authority()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut lines = BufReader::new(stream).lines();
    let mut next = async |prefix: &str| loop {
        let line = within(prefix, lines.next_line()).await.expect("a line").expect("a line");
        if let Some(rest) = line.strip_prefix(prefix) {
            return rest.to_owned();
        }
    };
    assert_eq!(next("HTTP/1.1 ").await, "200 OK");
    assert_eq!(next("content-type: ").await, "text/event-stream");
    assert_eq!(next("retry: ").await, "1000");
    let id = next("id: ").await;
    let data: Value = serde_json::from_str(&next("data: ").await).expect("JSON");
    assert_eq!(data["events"][0]["n"], 1);
    assert_eq!(data["cursor"], id.as_str());
    let live: Value = serde_json::from_str(&next("data: ").await).expect("JSON");
    assert_eq!(live["type"], "live");
    relay.post(&event(2)).await;
    let data: Value = serde_json::from_str(&next("data: ").await).expect("JSON");
    assert_eq!(data["events"][0]["n"], 2);
}
