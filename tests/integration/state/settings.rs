//! A class's settings: changed at once, under load, and of any size and form.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use progress_relay::client::http::Response;
use serde_json::{Value, json};

use super::lessons::{SUMMARY, act, ask, get, ids, run};
use super::{all_agree, check, saved};
use crate::support::{Database, Relay, until};

pub(super) const SETTINGS: &str = "/api/class/settings?class=c";

async fn put(relay: &Relay, settings: &Value, if_match: &str) -> Response {
    let headers = [("content-type", "application/json"), ("if-match", if_match)];
    let body = settings.to_string().into();
    let mut connection = relay.connection().await;
    connection.request("PUT", SETTINGS, &headers, body).await.expect("an answer")
}

fn answer(response: &Response) -> Value {
    response.json().expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_of_the_same_settings_one_is_made() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    relays[0].post(&run("a", "x", 1, false)).await;
    for round in 0..12 {
        let version = get(&relays[0], SETTINGS).await["version"].clone();
        let tag = format!("\"{}\"", version.as_str().expect("a version"));
        let [one, two, three] =
            [1, 2, 3].map(|n| json!({"stuckAfter": n + round, "idleAfter": 60}));
        let answers = join_all([
            put(&relays[0], &one, &tag),
            put(&relays[1], &two, &tag),
            put(&relays[round % 2], &three, &tag),
        ])
        .await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        let made: Vec<usize> = (0..3).filter(|&at| statuses[at] == 200).collect();
        assert!(statuses.iter().all(|status| [200, 412].contains(status)), "{statuses:?}");
        assert_eq!(made.len(), 1, "round {round}: {statuses:?}");
        let made = made[0];
        for relay in &relays {
            let stored = get(relay, SETTINGS).await;
            assert_eq!(stored["settings"], [&one, &two, &three][made].clone(), "round {round}");
            assert_eq!(stored["version"], answer(&answers[made])["version"]);
        }
    }
    all_agree(&database, &[&relays[0], &relays[1]], &["c"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_based_on_a_version() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    for (tag, status) in [
        ("\"0\"", 200),
        ("\"0\"", 412),
        ("W/\"VERSION\"", 412),
        ("VERSION", 412),
        ("\"\"", 412),
        ("\"0\", \"VERSION\"", 200),
        ("\"VERSION\" ,\"0\"", 200),
        ("\"0\",W/\"VERSION\"", 412),
        ("*", 200),
    ] {
        let version = get(&relay, SETTINGS).await["version"].clone();
        let tag = tag.replace("VERSION", version.as_str().expect("a version"));
        let answered = put(&relay, &json!({}), &tag).await;
        assert_eq!(answered.status, status, "{tag}");
        let changed = get(&relay, SETTINGS).await["version"] != version;
        assert_eq!(changed, status == 200, "{tag}");
    }
    let answered = relay.connection().await.get(SETTINGS).await.expect("an answer");
    let tag = answered.header("etag").expect("a tag").to_owned();
    let headers = [("if-none-match", &*tag)];
    let mut connection = relay.connection().await;
    let known = connection.request("GET", SETTINGS, &headers, "".into()).await.expect("an answer");
    assert_eq!((known.status.as_u16(), known.header("etag")), (304, Some(&*tag)));
    // A change is answered whatever the client has; `*` is of a class without settings.
    for (class, name, value, status) in [
        ("c", "if-none-match", "*", 412),
        ("c", "if-none-match", &*tag, 412),
        ("c", "if-none-match", "\"x\"", 200),
        ("d", "if-none-match", "*", 200),
        ("d", "if-none-match", "*", 412),
        ("e", "if-match", "*", 200),
    ] {
        let path = format!("/api/class/settings?class={class}");
        let headers = [(name, value)];
        let asked = connection.request("PUT", &path, &headers, "{}".into()).await;
        let answered = asked.expect("an answer");
        assert_eq!(answered.status, status, "{class} {name} {value}");
        if status == 200 {
            let now = connection.get(&path).await.expect("an answer");
            assert_eq!(now.header("etag"), answered.header("etag"), "the tag of what it has made");
        }
    }
    let begin = "/api/class/lessons?class=c";
    let headers = [("if-none-match", "*")];
    let begun = connection.request("POST", begin, &headers, "".into()).await.expect("an answer");
    assert_eq!(begun.status, 200);
    let tag = connection.get(SETTINGS).await.expect("an answer");
    let tag = tag.header("etag").expect("a tag").to_owned();
    assert_eq!(put(&relay, &json!({"stuckAfter": 2}), &tag).await.status, 200, "the ETag as given");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roster_names_students_as_ingest_does() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let students = ["Ann@Example.COM", "Jose\u{301}", " bob ", "__proto__"];
    for student in students {
        relay.post(&run(student, "x", 1, false)).await;
    }
    let roster = json!([
        {"id": " ann@EXAMPLE.com ", "name": "Ann"},
        {"id": "Jos\u{e9}", "name": "Jose"},
        {"id": "bob", "name": "Bob"},
        {"id": "BOB", "name": "another"},
        {"id": "bob", "name": "again"},
        {"id": "__proto__", "name": "Proto"},
        {"id": "z", "name": "", "team": null, "mail": {"more": []}},
    ]);
    act(&relay, "PUT", SETTINGS, json!({ "roster": roster })).await;
    let summary = get(&relay, SUMMARY).await;
    let names: Vec<_> = summary["students"].as_array().expect("students").iter().collect();
    let names: Vec<_> = names
        .iter()
        .map(|student| (student["userName"].as_str().expect("a name"), &student["onRoster"]))
        .collect();
    let on_roster = ["Jose", "Proto", "Ann", "Bob"].map(|name| (name, &Value::Bool(true)));
    assert_eq!(names, on_roster);
    assert_eq!(ids(&summary["absent"]), ["BOB", "z"]);
    check_after_save(&database).await;
}

async fn check_after_save(database: &Database) {
    saved(&database.client().await).await;
    check(database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_any_size_and_form_are_answered() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&run("s9999", "x", 1, false)).await;
    let roster = |count: usize| -> Value {
        (0..count).map(|n| json!({"id": format!("s{n}"), "name": format!("氏名 {n}")})).collect()
    };
    let cells = |count: usize| -> Value { (0..count).map(|n| json!({"index": n})).collect() };
    let outline = |count| json!({"outline": [{"notebook": "a.ipynb", "cells": cells(count)}]});
    let deep = format!("{{\"roster\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let headings = vec!["x".repeat(2_000); 3];
    for (settings, status, word) in [
        (json!({"roster": roster(10_001)}).to_string(), 422, "roster"),
        (outline(2_001).to_string(), 422, "outline[0].cells"),
        (outline(5_000).to_string(), 422, "outline[0].cells"),
        (
            json!({"outline": vec![json!({"notebook": "a", "cells": []}); 51]}).to_string(),
            422,
            "outline",
        ),
        (
            json!({"outline": [{"notebook": "a", "cells": [{"index": -1}]}]}).to_string(),
            422,
            "index",
        ),
        (
            json!({"outline": [{"notebook": "a", "cells": [{"id": "a", "headings": headings}]}]})
                .to_string(),
            422,
            "headings",
        ),
        (json!({"outline": {"0": 1}}).to_string(), 422, "outline"),
        (json!({"roster": [[]]}).to_string(), 422, "roster[0]"),
        (json!({"roster": [{"id": "@class"}]}).to_string(), 422, "roster[0].id"),
        (json!({"roster": [{"id": "a\u{7}"}]}).to_string(), 422, "roster[0].id"),
        (json!({"roster": [{"id": "é".repeat(101)}]}).to_string(), 422, "roster[0].id"),
        (json!({"stuckAfter": 1.5}).to_string(), 422, "stuckAfter"),
        (json!({"stuckAfter": 1e300}).to_string(), 422, "stuckAfter"),
        (json!({"__proto__": {"cellsBy": "position"}}).to_string(), 422, "__proto__"),
        ("[]".to_owned(), 422, "body"),
        ("null".to_owned(), 422, "body"),
        (deep, 400, "body"),
        ("{".to_owned(), 400, "body"),
        ("{} {}".to_owned(), 400, "body"),
        ("{\"cellsBy\":\"\\ud800\"}".to_owned(), 400, "body"),
        (String::new(), 400, "body"),
        (format!("{{\"roster\":[{}]}}", " ".repeat(2 << 20)), 413, "bytes"),
    ] {
        let headers = [("content-type", "application/json")];
        let shown: String = settings.chars().take(80).collect();
        let mut connection = relay.connection().await;
        let asked = connection.request("PUT", SETTINGS, &headers, settings.into()).await;
        let answered = asked.expect("an answer");
        let body = String::from_utf8_lossy(&answered.body).into_owned();
        assert_eq!(answered.status, status, "{shown}: {body}");
        assert!(body.contains(word), "{shown}: {body}");
    }
    assert_eq!(get(&relay, SETTINGS).await["version"], "0", "nothing was stored");
    let mut largest = outline(2_000);
    largest["roster"] = roster(10_000);
    act(&relay, "PUT", SETTINGS, largest.clone()).await;
    let summary = get(&relay, SUMMARY).await;
    assert_eq!((&summary["settings"], &summary["metrics"]["absent"]), (&largest, &9_999.into()));
    assert_eq!(summary["students"][0]["userName"], "氏名 9999");
    check_after_save(&database).await;
}

/// Lessons are folded again under load, while the database goes away and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn settings_change_under_load_while_the_database_is_away() {
    let database = Database::migrated().await;
    let client = database.admin().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    let events: Vec<Value> = (0..4_000)
        .map(|n| run(&format!("s{}", n % 50), &format!("own-{n}"), n % 20, n % 3 == 0))
        .collect();
    for events in events.chunks(500) {
        relays[0].post(&json!(events)).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let posting = super::post_on(&relays[1], "c", &stop);
    let changed = AtomicUsize::new(0);
    let changing = async {
        for round in 0.. {
            let by = ["position", "id"][round % 2];
            let settings = json!({"cellsBy": by, "stuckAfter": 1 + round % 9});
            let answered = ask(&relays[round % 2], "PUT", SETTINGS, &settings).await;
            assert!([200, 503].contains(&answered.status.as_u16()), "{}", answered.status);
            if answered.status == 200 {
                changed.fetch_add(1, Ordering::Relaxed);
            }
            let read = ask(&relays[1 - round % 2], "GET", SUMMARY, &Value::Null).await;
            assert!([200, 503].contains(&read.status.as_u16()), "{}", read.status);
            if changed.load(Ordering::Relaxed) >= 40 {
                return;
            }
        }
    };
    let cutting = async {
        until("changes", || async { (changed.load(Ordering::Relaxed) >= 10).then_some(()) }).await;
        database.allow_connections(false).await;
        database.terminate("progress-relay %").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        database.allow_connections(true).await;
    };
    tokio::join!(changing, cutting);
    stop.store(true, Ordering::Relaxed);
    posting.await.expect("posted");
    drop(client);
    all_agree(&database, &[&relays[0], &relays[1]], &["c"]).await;
}
