//! A batch: one bad event is rejected, and the others are stored.

use serde_json::{Value, json};

use crate::support::{Database, Follower, Relay, event};

/// An event that only the database can refuse. A constraint stands here for any value that
/// PostgreSQL cannot store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisonous_event_fails_alone() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    // A value that the database cannot read: a data exception of that event.
    let sql = "ALTER TABLE progress_event ADD CHECK ((body ->> 'score')::int < 100)";
    database.client().await.batch_execute(sql).await.expect("a constraint");
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    let poison = |n| {
        let mut event = event(n);
        event["score"] = "poison".into();
        event
    };
    // In a batch, at both ends and in the middle.
    let batch: Vec<Value> =
        (0..40).map(|n| if [0, 17, 18, 39].contains(&n) { poison(n) } else { event(n) }).collect();
    let answer = relay.post(&batch.into()).await;
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&36.into(), &0.into()));
    let rejected: Vec<u64> = answer["rejected"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|rejection| {
            assert!(
                rejection["reason"].as_str().expect("a reason").contains("22P02"),
                "{rejection}"
            );
            rejection["index"].as_u64().expect("an index")
        })
        .collect();
    assert_eq!(rejected, [0, 17, 18, 39]);
    // Beside the requests of other clients, in the same statements.
    let posts = (100..160).map(|n| {
        let (relay, poison) = (&relay, &poison);
        async move {
            if n % 10 == 3 {
                let response = relay.try_post(&poison(n)).await;
                assert_eq!(response.status, 422, "{n}");
                let problem: Value = response.json().expect("a problem");
                assert_eq!(problem["rejected"][0]["index"], 0);
            } else {
                assert_eq!(relay.post(&event(n)).await["accepted"], 1, "{n}");
            }
        }
    });
    futures::future::join_all(posts).await;
    follower.take(36 + 54).await;
}

#[tokio::test]
async fn each_event_has_its_own_result() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let (good, mut bad, mut worse) = (event(0), event(1), event(2));
    bad["eventTime"] = "yesterday".into();
    worse.as_object_mut().expect("an object").remove("eventId");
    let answer = relay.post(&json!([bad, good, worse, good, 7])).await;
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&1.into(), &1.into()));
    let fields: Vec<(u64, Option<&str>)> = answer["rejected"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|rejection| {
            (rejection["index"].as_u64().expect("an index"), rejection["field"].as_str())
        })
        .collect();
    assert_eq!(fields, [(0, Some("eventTime")), (2, Some("eventId")), (4, None)]);
    let cursor = answer["cursor"].as_str().expect("a cursor").to_owned();
    let empty = relay.post(&json!([])).await;
    assert_eq!(empty, json!({"accepted": 0, "duplicates": 0, "rejected": []}));
    let response = relay.try_post(&json!([bad, worse])).await;
    assert_eq!(response.status, 422);
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    let problem: Value = response.json().expect("a problem");
    assert_eq!((&problem["accepted"], &problem["duplicates"]), (&0.into(), &0.into()));
    assert_eq!(problem["rejected"].as_array().map(Vec::len), Some(2));
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    follower.until_live().await;
    assert_eq!(follower.cursor.as_deref(), Some(&*cursor), "nothing else was stored");
}

/// A POST is answered at once if the queue is full, and after its own deadline if it is in the
/// queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_answered_at_once() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--queue-rows", "10", "--commit-timeout", "3s"]).await;
    let client = database.client().await;
    client.batch_execute("BEGIN; SELECT progress_event_lock()").await.expect("the lock");
    let begin = std::time::Instant::now();
    let events: Vec<Value> = (0..30).map(event).collect();
    let posts = events.iter().map(|event| {
        let (relay, begin) = (&relay, &begin);
        async move { (relay.try_post(event).await, begin.elapsed()) }
    });
    let answers = futures::future::join_all(posts).await;
    let (mut full, mut late) = (0, 0);
    for (response, elapsed) in answers {
        assert_eq!(response.status, 503);
        assert!(response.header("retry-after").is_some());
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        let problem: Value = response.json().expect("a problem");
        match problem["type"].as_str().expect("a type") {
            "urn:progress-relay:problem:queue-full" => {
                full += 1;
                assert!(elapsed.as_secs() < 2, "{elapsed:?}");
            }
            "urn:progress-relay:problem:not-committed-in-time" => {
                late += 1;
                assert!(elapsed.as_secs() >= 3, "{elapsed:?}");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((late, full), (10, 20));
    client.batch_execute("COMMIT").await.expect("the lock back");
    // Recovery needs no restart. An event that was answered 503 may have been stored all the same,
    // and is stored once.
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    relay.post(&event(99)).await;
    for event in &events {
        let answer = relay.post(event).await;
        let number = |name: &str| answer[name].as_u64().expect("a number");
        assert_eq!(number("accepted") + number("duplicates"), 1, "{answer}");
    }
    let sql = "SELECT count(*) FROM progress_event";
    let rows: i64 = database.client().await.query_one(sql, &[]).await.expect("a count").get(0);
    assert_eq!(rows, 31);
    relay.post(&event(100)).await;
    follower.until_mark(100).await;
}
