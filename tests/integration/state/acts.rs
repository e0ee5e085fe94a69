//! What instructors ask for at once, on any replica, and what no page asks for.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::lessons::{SUMMARY, act, ask, get, ids, run};
use super::settings::SETTINGS;
use super::{all_agree, saved};
use crate::support::{Database, Relay, event_of, until};

const LESSONS: &str = "/api/class/lessons?class=c";

/// Stores an event with SQL, received so many seconds ago.
async fn insert(client: &Client, student: &str, age: f64, body: &str) {
    let sql = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, \
         received_at, body) VALUES (gen_random_uuid(), 'c', $1, now(), \
         clock_timestamp() - $2 * interval '1 second', $3::text::json)";
    client.execute(sql, &[&student, &age, &body]).await.expect("an insert");
}

#[tokio::test(flavor = "multi_thread")]
async fn lessons_begun_at_once_are_the_same_everywhere() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    relays[0].post(&run("a", "x", 1, false)).await;
    relays[1].post(&event_of("other", 1)).await;
    let title = json!({"title": "Two", "by": "Ito"});
    let begun = join_all((0..8).map(|n| act(&relays[n % 2], "POST", LESSONS, title.clone()))).await;
    relays[0].post(&run("b", "x", 1, false)).await;
    let lists = [get(&relays[0], LESSONS).await, get(&relays[1], LESSONS).await];
    assert_eq!(lists[0]["lessons"], lists[1]["lessons"]);
    let lessons = lists[0]["lessons"].as_array().expect("lessons");
    assert_eq!(lessons.len(), 9);
    let mut cursors: Vec<i64> = begun
        .iter()
        .map(|begun| crate::support::parts(begun["cursor"].as_str().expect("a cursor")).1)
        .collect();
    cursors.sort_unstable();
    assert_eq!(lessons[0]["id"], cursors[7].to_string(), "the last one is the current one");
    let other = get(&relays[0], "/api/class/lessons?class=other").await;
    let other = other["lessons"][0]["id"].as_str().expect("an id").to_owned();
    for (lesson, status) in [
        (other.as_str(), 404),
        ("999999", 404),
        ("9223372036854775807", 404),
        ("9223372036854775808", 400),
        ("0", 400),
        ("-1", 400),
        ("%2B1", 400),
        ("1.0", 400),
        ("", 400),
        ("1&lesson=1", 400),
        (lessons[0]["id"].as_str().expect("an id"), 200),
        (lessons[4]["id"].as_str().expect("an id"), 200),
    ] {
        for path in [
            "/api/class/summary?class=c",
            "/api/class/events?class=c",
            "/api/class/events?class=c&cell=x",
            "/api/class/export?class=c&format=ndjson",
            "/api/class/export?class=c&format=csv&rows=students",
        ] {
            let path = format!("{path}&lesson={lesson}");
            let answered = ask(&relays[1], "GET", &path, &Value::Null).await;
            assert_eq!(answered.status, status, "{path}");
        }
    }
    all_agree(&database, &[&relays[0], &relays[1]], &["c", "other"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_hand_that_is_up_is_claimed() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    let help = |until: &str| json!({"eventType": "help", "until": until}).to_string();
    insert(&client, "gone", 7.0 * 3_600.0, &help("help_stop")).await;
    insert(&client, "lapsed", 80.0, &help("")).await;
    insert(&client, "up", 10.0, &help("")).await;
    insert(&client, "down", 10.0, &help("")).await;
    insert(&client, "down", 5.0, r#"{"eventType":"help_stop"}"#).await;
    let claim = |student: &str| format!("/api/class/students/{student}/help/claim?class=c");
    for (student, claimed) in [("gone", false), ("lapsed", false), ("down", false), ("up", true)] {
        for method in ["POST", "DELETE", "POST"] {
            let answered = act(&relays[0], method, &claim(student), json!({"by": "Ito"})).await;
            assert_eq!(answered["claimed"], claimed && method == "POST", "{student} {method}");
            assert_eq!(answered.get("eventId").is_some(), claimed, "{student} {method}");
        }
    }
    let nobody = ask(&relays[1], "POST", &claim("nobody"), &Value::Null).await;
    assert_eq!(nobody.status, 404);
    for body in [json!({"by": 7}), json!({"by": "x".repeat(201)}), json!({"by": "a\nb"}), json!(7)]
    {
        assert_eq!(ask(&relays[1], "POST", &claim("up"), &body).await.status, 400, "{body}");
    }
    // Of assistants who claim a hand at once, all pages name the same one.
    let names = ["Abe", "Ito", "Sato", "Ueda"];
    let claims = names.iter().enumerate().map(|(at, by)| {
        let (relay, path) = (&relays[at % 2], claim("up"));
        async move { act(relay, "POST", &path, json!({ "by": by })).await }
    });
    join_all(claims).await;
    let named = async |relay: &Relay| {
        let students = get(relay, SUMMARY).await["students"].clone();
        let up = students.as_array().expect("students").iter().find(|s| s["studentId"] == "up");
        up.expect("a student")["helpClaimedBy"].clone()
    };
    let (one, two) = (named(&relays[0]).await, named(&relays[1]).await);
    assert_eq!(one, two);
    assert!(names.iter().any(|name| one == *name), "{one}");
    all_agree(&database, &[&relays[0], &relays[1]], &["c"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_at_the_page_prolongs_no_lesson() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let relay = Relay::start(&database, &[]).await;
    insert(&client, "a", 8.0 * 3_600.0, r#"{"eventType":"cell_executed","cellId":"x"}"#).await;
    insert(&client, "@class", 4.0 * 3_600.0, r#"{"eventType":"instructor_viewing"}"#).await;
    let viewing = "/api/class/viewing?class=c";
    let looks = (0..100).map(|n| act(&relay, "POST", viewing, json!({"student": format!("s{n}")})));
    join_all(looks).await;
    let before = get(&relay, SUMMARY).await;
    assert_eq!(
        (ids(&before["students"]), before["metrics"]["absent"].as_i64()),
        (vec!["a"], Some(0))
    );
    relay.post(&run("b", "x", 1, false)).await;
    let after = get(&relay, SUMMARY).await;
    assert_eq!((ids(&after["students"]), ids(&after["absent"])), (vec!["b"], vec!["a"]));
    for body in [json!({"student": "x".repeat(201)}), json!({"student": 7}), json!({"by": "\u{7}"})]
    {
        assert_eq!(ask(&relay, "POST", viewing, &body).await.status, 400, "{body}");
    }
    let large = json!({"student": "s", "more": "x".repeat(5_000)});
    assert_eq!(ask(&relay, "POST", viewing, &large).await.status, 413);
    all_agree(&database, &[&relay], &["c"]).await;
}

/// A writer of SQL may store anything under the names of the relay's own events.
#[tokio::test(flavor = "multi_thread")]
async fn acts_that_sql_wrote_are_folded_as_far_as_they_are_usable() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    for student in ["a", "b", "e\u{301}"] {
        relays[0].post(&run(student, &format!("own {student}"), 3, student == "a")).await;
    }
    for body in [
        r#"{"eventType":"settings_changed","settings":7}"#,
        r#"{"eventType":"settings_changed"}"#,
        r#"{"eventType":"settings_changed","settings":
            {"cellsBy":["position"],"roster":{"id":"a"}}}"#,
        "{\"eventType\":\"settings_changed\",\n\"settings\":{ \"x\" : \
             \"\\ud800\\u0000\",\r\n\"n\":1e999,
            \"cellsBy\":\"id\", \"cellsBy\" : \"position\",\t\"stuckAfter\":1.0,
            \"roster\":[7,{\"id\":\"e\u{301}\",\"name\":\"NFD\"},
            {\"id\":\"a\",\"name\":\"\\udc00\"}]}}",
        r#"{"eventType":"lesson_started","title":{"a":1},"actor":[]}"#,
        r#"{"eventType":"lesson_started","title":"\u0000\ud83d"}"#,
        r#"{"eventType":"help","until":"help_stop"}"#,
        r#"{"eventType":"help_claimed","by":7,"actor":"\ud800"}"#,
        r#"{"eventType":"help_claimed","released":"true"}"#,
        r#"{"eventType":"help_resolved","hasError":true}"#,
        r#"{"eventType":"student_erased","student":"a"}"#,
        r#"{"eventType":"class_deleted"}"#,
        r#"{"eventType":"instructor_viewing","actor":{}}"#,
        "{ }",
    ] {
        for student in ["@class", "a"] {
            insert(&client, student, 0.0, body).await;
        }
        for relay in &relays {
            let summary = get(relay, SUMMARY).await;
            assert!(summary["settings"].is_object(), "{body}");
            get(relay, SETTINGS).await;
            get(relay, LESSONS).await;
        }
    }
    relays[1].post(&run("e\u{301}", "own", 3, true)).await;
    let summary = get(&relays[0], SUMMARY).await;
    assert_eq!(summary["settings"]["cellsBy"], "position");
    assert_eq!(summary["lesson"]["title"], "\u{fffd}\u{fffd}");
    all_agree(&database, &[&relays[0], &relays[1]], &["c"]).await;
}

/// Events of several lessons, in one statement, are folded as if they had come one by one.
#[tokio::test(flavor = "multi_thread")]
async fn a_lesson_begins_within_a_batch() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let relay = Relay::start(&database, &[]).await;
    get(&relay, SUMMARY).await;
    // A microsecond before six hours, and six hours; likewise of seven days, with events between.
    let sql = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, \
         received_at, body) SELECT gen_random_uuid(), 'c', 's' || n, now(), \
         timestamptz '2026-04-01T09:00:00Z' + at, \
         '{\"eventType\":\"help\",\"until\":\"help_stop\"}' \
         FROM unnest($1::text[]::interval[]) WITH ORDINALITY AS e(at, n) ORDER BY n";
    let six = ["0", "5:59:59.999999", "11:59:59.999999"].map(str::to_owned);
    let hours = (1..=33).map(|n| format!("{} hours", 12 + 5 * n));
    let seven = ["179:59:59.999998", "179:59:59.999999", "180:00:00"].map(str::to_owned);
    let times: Vec<String> = six.into_iter().chain(hours).chain(seven).collect();
    client.execute(sql, &[&times]).await.expect("an insert");
    let lessons = get(&relay, LESSONS).await;
    let starts: Vec<_> = lessons["lessons"]
        .as_array()
        .expect("lessons")
        .iter()
        .map(|lesson| (lesson["startedAt"].as_str().expect("a time"), lesson["students"].as_i64()))
        .collect();
    assert_eq!(
        starts,
        [
            ("2026-04-08T20:59:59.999999Z", Some(2)),
            ("2026-04-01T20:59:59.999999Z", Some(35)),
            ("2026-04-01T09:00:00.000000Z", Some(2)),
        ]
    );
    all_agree(&database, &[&relay], &["c"]).await;
}

/// A hundred earlier lessons are folded one after the other; another class does not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn earlier_lessons_delay_no_other_class() {
    const LESSONS: usize = 100;
    let database = Database::migrated().await;
    let client = database.client().await;
    let sql = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, \
         received_at, body) SELECT gen_random_uuid(), class, 's' || n % 100, now(), \
         timestamptz '2026-01-01T09:00:00Z' + lesson * interval '1 day' + n * interval '1 second', \
         json_build_object('eventType', 'cell_executed', 'executionCount', n, 'cellId', n % 30) \
         FROM generate_series(0, 100) AS lesson, generate_series(1, 1000) AS n, \
              (VALUES ('c'), ('other')) AS classes(class) \
         WHERE class = 'c' OR lesson = 0 ORDER BY lesson, n";
    client.batch_execute(sql).await.expect("lessons");
    saved_by_a_relay(&database).await;
    let relay = Relay::start(&database, &[]).await;
    let lessons = get(&relay, self::LESSONS).await;
    let lessons = lessons["lessons"].as_array().expect("lessons");
    assert_eq!(lessons.len(), LESSONS + 1);
    let before = relay.resident();
    let folded = AtomicUsize::new(0);
    let earlier = join_all(lessons[1..].iter().map(|lesson| {
        let path = format!("{SUMMARY}&lesson={}", lesson["id"].as_str().expect("an id"));
        let (relay, folded) = (&relay, &folded);
        async move {
            let summary = get(relay, &path).await;
            assert_eq!(summary["metrics"]["cellsExecuted"], 1_000);
            folded.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let other = async {
        until("the first lesson", || async { (folded.load(Ordering::Relaxed) > 0).then_some(()) })
            .await;
        let summary = get(&relay, "/api/class/summary?class=other").await;
        assert_eq!(summary["metrics"]["cellsExecuted"], 1_000);
        let folded = folded.load(Ordering::Relaxed);
        assert!(folded < LESSONS / 2, "{folded} lessons were folded first");
    };
    tokio::join!(earlier, other);
    let grown = relay.resident().saturating_sub(before);
    assert!(grown < 128 << 20, "{grown} bytes for {LESSONS} lessons");
}

/// Has a relay write the snapshots.
async fn saved_by_a_relay(database: &Database) {
    let relay = Relay::start(database, &[]).await;
    saved(&database.client().await).await;
    drop(relay);
}
