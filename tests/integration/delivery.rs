//! Many writers, several relays, every event once and in order to everyone.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{Database, Follower, Relay, event};

const POSTERS: usize = 12;
const POSTS: usize = 25;
const SQL_WRITERS: usize = 6;
const TRANSACTIONS: usize = 20;

/// One SQL writer: single inserts, transactions of several statements, slow ones, and ones that are undone. Returns the marks
/// that were committed.
async fn write_sql(database: Arc<Database>, writer: usize) -> Vec<i64> {
    const INSERT: &str = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body) \
         SELECT gen_random_uuid(), 'default', 'sql', now(), json_build_object('n', n) FROM unnest($1::bigint[]) AS n";
    let mut client = database.client().await;
    let mut committed = Vec::new();
    for number in 0..TRANSACTIONS {
        let base = 1_000_000 * (writer as i64 + 1) + 10 * number as i64;
        let transaction = client.transaction().await.expect("BEGIN");
        transaction.execute(INSERT, &[&vec![base, base + 1]]).await.expect("INSERT");
        if number % 3 == 0 {
            // Held open, so that others pile up behind the ordering lock.
            transaction.batch_execute("SELECT pg_sleep(0.005)").await.expect("a wait");
        }
        if number % 4 == 1 {
            transaction.execute(INSERT, &[&vec![base + 2]]).await.expect("a second INSERT");
        }
        if number % 5 == 2 {
            transaction.rollback().await.expect("ROLLBACK");
            continue;
        }
        transaction.commit().await.expect("COMMIT");
        committed.extend([base, base + 1]);
        if number % 4 == 1 {
            committed.push(base + 2);
        }
    }
    committed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_committed_event_reaches_everyone_once_and_in_order() {
    let database = Arc::new(Database::new().await);
    // Both at once on an empty database.
    let (one, two) = tokio::join!(Relay::start(&database, &[]), Relay::start(&database, &[]));
    let (one, two) = (Arc::new(one), Arc::new(two));
    let mut live_one = Follower::new(&one.url, &["default"], None).await;
    let mut live_two = Follower::new(&two.url, &["default"], None).await;

    let mut writers = JoinSet::new();
    for poster in 0..POSTERS {
        let relay = Arc::clone(if poster % 2 == 0 { &one } else { &two });
        writers.spawn(async move {
            let mut marks = Vec::new();
            let mut connection = relay.connection().await;
            for post in 0..POSTS {
                let size = 1 + post % 4;
                let first = 1_000 * poster + 10 * post;
                let events: Vec<Value> = (first..first + size).map(event).collect();
                let body = serde_json::to_vec(&events).expect("JSON");
                let response = connection.post_json("/api/v1/events", body).await.expect("an answer");
                assert_eq!(response.status, 200);
                marks.extend((first..first + size).map(|n| n as i64));
            }
            marks
        });
    }
    for writer in 0..SQL_WRITERS {
        writers.spawn(write_sql(Arc::clone(&database), writer));
    }
    let mut committed: HashSet<i64> = HashSet::new();
    while let Some(marks) = writers.join_next().await {
        for mark in marks.expect("a writer") {
            assert!(committed.insert(mark), "the test marks each event once");
        }
    }

    for follower in [&mut live_one, &mut live_two] {
        follower.take(committed.len()).await;
        assert_eq!(follower.marks().into_iter().collect::<HashSet<_>>(), committed);
    }
    assert_eq!(live_one.ids(), live_two.ids());

    // Whoever resumes from the middle, at either relay, gets the rest, then is live.
    let ids = live_one.ids();
    let epoch =
        live_one.cursor.as_deref().and_then(|cursor| cursor.split_once('.')).expect("a cursor").0.to_owned();
    for (relay, middle) in [(&one, ids.len() / 2), (&two, ids.len() / 3), (&two, ids.len() - 1)] {
        let cursor = format!("{epoch}.{}", ids[middle]);
        let mut follower = Follower::new(&relay.url, &["default"], Some(&cursor)).await;
        follower.until_live().await;
        assert_eq!(follower.ids(), &ids[middle + 1..]);
    }
}

/// What is too large for a NOTIFY's payload, and just not; what is larger than a frame; and the largest that the field has shown.
#[tokio::test]
async fn large_events_are_stored_and_delivered() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    let mut sent = Vec::new();
    for (n, size) in [1_300_000, 7_999, 8_000, 300_000, 500].into_iter().enumerate() {
        let mut event = event(n);
        event["result"] = "".into();
        event["result"] = "x".repeat(size - event.to_string().len()).into();
        relay.post(&event).await;
        sent.push(event);
    }
    let got = follower.take(sent.len()).await;
    for (event, got) in sent.iter().zip(got) {
        assert!(event["result"] == got["result"], "{} bytes came differently", event.to_string().len());
    }
    let sql = "SELECT array_agg(octet_length(body::text) ORDER BY id) FROM progress_event";
    let sizes: Vec<i32> = database.client().await.query_one(sql, &[]).await.expect("sizes").get(0);
    assert_eq!(sizes, [1_300_000, 7_999, 8_000, 300_000, 500]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_one_row_whichever_relay_takes_it() {
    let database = Database::new().await;
    let (one, two) = (Relay::start(&database, &[]).await, Relay::start(&database, &[]).await);
    let mut follower = Follower::new(&two.url, &["default"], None).await;
    let events: Vec<Value> = (0..20).map(event).collect();
    for event in &events {
        let (first, second) = tokio::join!(one.post(event), two.post(event));
        let sum =
            |name: &str| first[name].as_u64().expect("a number") + second[name].as_u64().expect("a number");
        assert_eq!((sum("accepted"), sum("duplicates")), (1, 1), "{first} {second}");
        let stored = if first["accepted"] == 1 { &first } else { &second };
        let other = if first["accepted"] == 1 { &second } else { &first };
        assert!(stored["cursor"].is_string() && other.get("cursor").is_none());
    }
    let again = one.post(&Value::from(events.clone())).await;
    assert_eq!((&again["accepted"], &again["duplicates"]), (&0.into(), &20.into()));
    assert_eq!(follower.take(20).await.len(), 20);
    // The same id at another time, of another student, in another class: another event.
    let mut other = events[0].clone();
    other["eventTime"] = "2026-11-23T15:36:12Z".into();
    let mut third = events[0].clone();
    third["userId"] = "someone else".into();
    let mut fourth = events[0].clone();
    fourth["classId"] = "another".into();
    let answer = one.post(&Value::from(vec![other, third, fourth, events[0].clone()])).await;
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&3.into(), &1.into()));
}
