//! Many writers and several relays: every subscriber gets every event once and in order.

use std::collections::HashSet;
use std::sync::Arc;

use progress_relay::client::BaseUrl;
use progress_relay::client::http::Connection;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{Database, Follower, Relay, event, parts, within};

const POSTERS: usize = 12;
const POSTS: usize = 25;
const SQL_WRITERS: usize = 6;
const TRANSACTIONS: usize = 20;
/// The mark of the event that is stored last: a follower that has it has every event.
const LAST: i64 = -1;

/// A SQL writer: single inserts, transactions of several statements, slow ones, and ones that are
/// rolled back. Returns the committed marks.
async fn write_sql(database: Arc<Database>, writer: usize) -> Vec<i64> {
    const INSERT: &str = "INSERT INTO progress_event (event_id, class_id, student_id, \
         occurred_at, body) \
         SELECT gen_random_uuid(), 'default', 'sql', now(), json_build_object('n', n) FROM \
         unnest($1::bigint[]) AS n";
    let mut client = database.client().await;
    let mut committed = Vec::new();
    for number in 0..TRANSACTIONS {
        let base = 1_000_000 * (writer as i64 + 1) + 10 * number as i64;
        let transaction = client.transaction().await.expect("BEGIN");
        transaction.execute(INSERT, &[&vec![base, base + 1]]).await.expect("INSERT");
        if number % 3 == 0 {
            // The transaction stays open for a moment, so that others wait for the ordering lock.
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

/// An HTTP writer that sends requests of one to four events. Returns the marks.
async fn write_http(url: BaseUrl, poster: usize) -> Vec<i64> {
    let mut marks = Vec::new();
    let mut connection = Connection::open(&url).await.expect("a connection");
    for post in 0..POSTS {
        let size = 1 + post % 4;
        let first = 1_000 * poster + 10 * post;
        let events: Vec<Value> = (first..first + size).map(event).collect();
        let body = serde_json::to_vec(&events).expect("JSON");
        let response = connection.post_json("/api/v1/events", body).await.expect("an answer");
        assert_eq!(response.status, 200);
        let answer: Value = response.json().expect("an answer");
        assert_eq!(answer["accepted"], size);
        marks.extend((first..first + size).map(|n| n as i64));
    }
    marks
}

/// Follows until the last event while others write, and changes the relay now and then.
async fn follow(mut follower: Follower, relays: Vec<BaseUrl>) -> Follower {
    const STAY: usize = 40;
    let has_last =
        |follower: &Follower| follower.events.last().is_some_and(|event| event["n"] == LAST);
    for url in relays.iter().cycle() {
        if relays.len() > 1 {
            follower.move_to(url).await;
        }
        let leave = follower.events.len() + STAY;
        while follower.events.len() < leave && !has_last(&follower) {
            assert!(follower.step().await, "the connection was lost");
        }
        if has_last(&follower) {
            break;
        }
    }
    follower
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_committed_event_reaches_everyone_once_and_in_order() {
    let database = Arc::new(Database::new().await);
    // Both relays start at once on an empty database.
    let (one, two) = tokio::join!(Relay::start(&database, &[]), Relay::start(&database, &[]));
    let mut followers = Vec::new();
    for relays in [vec![&one], vec![&two], vec![&two, &one], vec![&one, &two]] {
        let follower = Follower::new(&relays[0].url, &["default"], None).await;
        let urls = relays.iter().map(|relay| relay.url.clone()).collect();
        followers.push(tokio::spawn(follow(follower, urls)));
    }

    let mut writers = JoinSet::new();
    for poster in 0..POSTERS {
        writers.spawn(write_http(if poster % 2 == 0 { &one } else { &two }.url.clone(), poster));
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
    let mut last = event(0);
    last["n"] = LAST.into();
    one.post(&last).await;
    committed.insert(LAST);

    let sql = "SELECT id FROM progress_event ORDER BY id";
    let rows = database.client().await.query(sql, &[]).await.expect("ids");
    let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let mut cursor = String::new();
    for follower in followers {
        let follower = within("the last event", follower).await.expect("a follower");
        assert_eq!(follower.ids(), ids);
        assert_eq!(follower.marks().into_iter().collect::<HashSet<_>>(), committed);
        cursor = follower.cursor.expect("a cursor");
    }

    // A follower that resumes from the middle, at either relay, gets the rest and is then live.
    for (relay, middle) in [(&one, ids.len() / 2), (&two, ids.len() / 3), (&two, ids.len() - 1)] {
        let cursor = format!("{}.{}", parts(&cursor).0, ids[middle]);
        let mut follower = Follower::new(&relay.url, &["default"], Some(&cursor)).await;
        follower.until_live().await;
        assert_eq!(follower.ids(), &ids[middle + 1..]);
    }
}
/// Events just below and above the size of a NOTIFY's payload, larger than a frame, and as large as
/// the largest in the field.
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
        for (name, value) in event.as_object().expect("an object") {
            assert!(
                value == &got[name],
                "{name} of {} bytes came differently",
                event.to_string().len()
            );
        }
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
        let sum = |name: &str| {
            first[name].as_u64().expect("a number") + second[name].as_u64().expect("a number")
        };
        assert_eq!((sum("accepted"), sum("duplicates")), (1, 1), "{first} {second}");
        let stored = if first["accepted"] == 1 { &first } else { &second };
        let other = if first["accepted"] == 1 { &second } else { &first };
        assert!(stored["cursor"].is_string() && other.get("cursor").is_none());
    }
    let again = one.post(&Value::from(events.clone())).await;
    assert_eq!((&again["accepted"], &again["duplicates"]), (&0.into(), &20.into()));
    assert_eq!(follower.take(20).await.len(), 20);
    // The same event id at another time, of another student or in another class is another event.
    let mut other = events[0].clone();
    other["eventTime"] = "2026-11-23T15:36:12Z".into();
    let mut third = events[0].clone();
    third["userId"] = "someone else".into();
    let mut fourth = events[0].clone();
    fourth["classId"] = "another".into();
    let answer = one.post(&Value::from(vec![other, third, fourth, events[0].clone()])).await;
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&3.into(), &1.into()));
}
