//! The reading API, as programs and pages use it. Every answer is compared with its description.

use std::io::Read;

use bytes::Bytes;
use progress_relay::client::http::Response;
use serde_json::{Value, json};

use crate::support::class::{cursor_id, random_event};
use crate::support::described::assert_described;
use crate::support::{Database, Follower, Issuer, Relay, event_of, until};

/// Sends a request and compares the answer with `/openapi.json`.
async fn ask(relay: &Relay, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
    let mut connection = relay.connection().await;
    let response =
        connection.request(method, target, headers, Bytes::new()).await.expect("an answer");
    assert_described(relay, (method, target), &response).await;
    response
}

async fn get(relay: &Relay, target: &str) -> Value {
    let response = ask(relay, "GET", target, &[]).await;
    assert_eq!(response.status, 200, "{target}: {}", String::from_utf8_lossy(&response.body));
    response.json().expect("JSON")
}

/// A relay whose class has `count` random events.
async fn filled(count: usize) -> (Database, Relay) {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let events: Vec<Value> = (0..count).map(|_| random_event("a", 20)).collect();
    relay.post(&events.into()).await;
    (database, relay)
}

#[tokio::test]
async fn every_answer_is_as_described() {
    let (_database, relay) = filled(300).await;
    for target in [
        "/api/class/summary?class=a",
        "/api/class/summary?class=a&include=cells,grid,activity",
        "/api/class/summary?class=nobody",
        "/api/class/summary",
        "/api/classes",
        "/api/classes?limit=1",
        "/api/class/events?class=a&limit=7",
        "/api/class/cells?class=a",
        "/api/class/cells?class=a&notebook=lesson1.ipynb",
        "/api/class/activity?class=a",
        "/api/class/activity?class=a&minutes=1440",
        "/api/class/export?class=a&format=ndjson",
        "/api/class/export?class=a",
        "/api/class/export?class=a&rows=students&utcOffset=%2B09:00",
        "/api/class/export?class=a&format=xapi",
        "/api/class/export?class=a&format=xapi-ndjson&from=2026-01-01T00:00:00Z",
        "/api/class/refused?class=a",
        "/api/class/refused",
        "/openapi.json",
    ] {
        get_ok(&relay, target).await;
    }
    for (target, field) in [
        ("/api/class/summary?class=", "class"),
        ("/api/class/summary?class=a&class=b", "class"),
        ("/api/class/summary?include=everything", "include"),
        ("/api/class/events?limit=0", "limit"),
        ("/api/class/events?limit=1001", "limit"),
        ("/api/class/events?before=-1", "before"),
        ("/api/class/events?before=99999999999999999999", "before"),
        ("/api/class/events?student=%00", "student"),
        ("/api/class/activity?minutes=x", "minutes"),
        ("/api/class/activity?minutes=", "minutes"),
        ("/api/class/export?format=xlsx", "format"),
        ("/api/class/export?rows=classes", "rows"),
        ("/api/class/export?rows=students&format=ndjson", "rows"),
        ("/api/class/export?from=yesterday", "from"),
        ("/api/class/export?to=2026-11-23T09:00:00", "to"),
        ("/api/class/export?utcOffset=JST", "utcOffset"),
        ("/api/class/export?format=xapi&homePage=hub", "homePage"),
        ("/api/classes?limit=1e3", "limit"),
        ("/api/classes?after=%00", "after"),
    ] {
        let response = ask(&relay, "GET", target, &[]).await;
        assert_eq!(response.status, 400, "{target}");
        assert_eq!(response.json::<Value>().expect("a problem")["field"], field, "{target}");
    }
    for target in
        ["/api/class/students/nobody/help/resolve?class=a", "/api/class/students/%ff/help/resolve"]
    {
        let status = ask(&relay, "POST", target, &[]).await.status;
        assert!(status == 404 || status == 400, "{target}: {status}");
    }
    let response =
        relay.connection().await.post_json("/api/class/summary", "{}").await.expect("an answer");
    assert_eq!(
        (response.status.as_u16(), response.header("allow")),
        (405, Some("GET, HEAD, OPTIONS"))
    );
}

async fn get_ok(relay: &Relay, target: &str) {
    assert_eq!(ask(relay, "GET", target, &[]).await.status, 200, "{target}");
}

#[tokio::test]
async fn an_unchanged_answer_is_not_sent_again_and_gzip_is_the_same() {
    let (_database, relay) = filled(500).await;
    for target in [
        "/api/class/summary?class=a&include=grid",
        "/api/class/cells?class=a",
        "/api/class/events?class=a",
    ] {
        let plain = ask(&relay, "GET", target, &[]).await;
        let tag = plain.header("etag").expect("a tag").to_owned();
        let again = ask(&relay, "GET", target, &[("if-none-match", &tag)]).await;
        assert_eq!(again.status, 304, "{target}: though `now` has gone on");
        assert!(again.body.is_empty());
        let gzip = ask(&relay, "GET", target, &[("accept-encoding", "gzip")]).await;
        assert_eq!(gzip.header("content-encoding"), Some("gzip"), "{target}");
        assert!(gzip.body.len() * 2 < plain.body.len(), "{target}");
        let mut inflated = String::new();
        flate2::read::GzDecoder::new(&gzip.body[..]).read_to_string(&mut inflated).expect("gzip");
        let without_now = |text: &str| {
            let mut value: Value = serde_json::from_str(text).expect("JSON");
            value.as_object_mut().expect("an object").remove("now");
            value
        };
        let plain = String::from_utf8_lossy(&plain.body);
        assert_eq!(without_now(&inflated), without_now(&plain), "{target}");
        relay.post(&event_of("a", 1)).await;
        if !target.contains("cells") {
            let changed = ask(&relay, "GET", target, &[("if-none-match", &tag)]).await;
            assert_eq!(changed.status, 200, "{target}");
        }
    }
}

#[tokio::test]
async fn only_own_and_allowed_pages_read_and_act() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &["--allow-origin", "https://school.example"]).await;
    let own = format!("http://{}", relay.url.authority());
    relay
        .post(&json!({
            "eventId": "9f582f0c-d406-435e-866c-7bbfe15dc8cd",
            "eventType": "help",
            "eventTime": "2026-11-23T15:36:03Z",
            "userId": "s",
        }))
        .await;
    for target in ["/api/class/summary", "/api/classes", "/api/class/export", "/openapi.json"] {
        for (headers, status) in [
            (&[("origin", "http://evil.example")][..], 403),
            (&[("origin", "null")], 403),
            (&[("origin", &*own)], 200),
            (&[("origin", "https://school.example")], 200),
            (&[], 200),
        ] {
            let response = ask(&relay, "GET", target, headers).await;
            assert_eq!(response.status, status, "{target} {headers:?}");
            let allowed = response.header("access-control-allow-origin");
            let foreign = headers.iter().any(|(_, value)| value.starts_with("https"));
            assert_eq!(
                allowed,
                foreign.then_some("https://school.example"),
                "{target} {headers:?}"
            );
        }
    }
    let resolve = "/api/class/students/s/help/resolve";
    for origin in ["http://evil.example", "null"] {
        let response =
            ask(&relay, "POST", resolve, &[("origin", origin), ("content-type", "text/plain")])
                .await;
        assert_eq!(response.status, 403, "{origin}");
        let mut preflight = relay.connection().await;
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let response =
            preflight.request("OPTIONS", resolve, &headers, Bytes::new()).await.expect("an answer");
        assert_eq!(response.header("access-control-allow-origin"), None, "{origin}");
    }
    assert_eq!(
        get(&relay, "/api/class/summary").await["metrics"]["help"],
        1,
        "no request resolved it"
    );
    let response = ask(&relay, "POST", resolve, &[("origin", &own)]).await;
    assert_eq!(response.json::<Value>().expect("an answer")["resolved"], true);
}

#[tokio::test]
async fn a_resolved_hand_goes_down_on_every_replica() {
    let database = Database::migrated().await;
    let (one, other) = (Relay::start(&database, &[]).await, Relay::start(&database, &[]).await);
    let mut event = random_event("h", 1);
    event["eventType"] = "help".into();
    event["eventTime"] = "2026-11-23T15:36:03Z".into();
    event["userId"] = "a/b é".into();
    let mut follower = Follower::new(&other.url, &["h"], None).await;
    one.post(&event).await;
    let up = get(&one, "/api/class/summary?class=h").await;
    assert_eq!((&up["metrics"]["help"], &up["students"][0]["status"]), (&1.into(), &"help".into()));
    let target = "/api/class/students/a%2Fb%20%C3%A9/help/resolve?class=h";
    let resolved: Value = ask(&one, "POST", target, &[]).await.json().expect("an answer");
    assert_eq!(resolved["resolved"], true);
    let events = follower.take(2).await;
    assert_eq!(events[1]["eventType"], "help_resolved");
    assert_eq!(events[1]["eventId"], resolved["eventId"]);
    assert_eq!(events[1]["studentId"], "a/b é");
    assert_eq!(follower.cursor.as_deref(), resolved["cursor"].as_str());
    for relay in [&one, &other] {
        let down = get(relay, "/api/class/summary?class=h").await;
        assert_eq!(down["metrics"]["help"], 0);
        assert_eq!(down["students"][0]["handClosed"], true);
        assert_eq!(down["students"][0]["lastEventType"], "help", "it is no event of the student's");
    }
    let again: Value = ask(&other, "POST", target, &[]).await.json().expect("an answer");
    assert_eq!(again, json!({"resolved": false}));
}

/// Whether the event is of the notebook, by whichever of its paths.
fn is_of_lesson1(event: &Value) -> bool {
    let path = event["notebookPath"].as_str().unwrap_or_default();
    path.trim_start_matches("RTC:").trim_start_matches("./") == "lesson1.ipynb"
}

#[tokio::test]
async fn events_are_paged_newest_first() {
    let (_database, relay) = filled(400).await;
    let mut events: Vec<Value> = Vec::new();
    let mut before = String::new();
    loop {
        let page = get(&relay, &format!("/api/class/events?class=a&limit=37{before}")).await;
        events.extend(page["events"].as_array().expect("events").iter().cloned());
        match page["next"].as_i64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    let ids: Vec<i64> = events.iter().map(|event| event["id"].as_i64().expect("an id")).collect();
    assert_eq!(ids, (1..=400).rev().collect::<Vec<_>>());
    for (filter, is_of) in [
        (
            "student=s003",
            Box::new(|event: &Value| event["studentId"] == "s003") as Box<dyn Fn(&Value) -> bool>,
        ),
        ("notebook=lesson1.ipynb", Box::new(is_of_lesson1)),
        (
            "student=s003&notebook=lesson1.ipynb",
            Box::new(|event| event["studentId"] == "s003" && is_of_lesson1(event)),
        ),
    ] {
        let page = get(&relay, &format!("/api/class/events?class=a&limit=1000&{filter}")).await;
        let expected: Vec<&Value> = events.iter().filter(|event| is_of(event)).collect();
        assert_eq!(
            page["events"].as_array().expect("events").iter().collect::<Vec<_>>(),
            expected,
            "{filter}"
        );
        assert_eq!(page["next"], Value::Null, "{filter}");
        let first = get(&relay, &format!("/api/class/events?class=a&limit=2&{filter}")).await;
        assert_eq!(first["events"], json!(expected[..2]), "{filter}");
        assert_eq!(first["next"], expected[1]["id"], "{filter}");
    }
}

#[tokio::test]
async fn classes_are_listed_with_their_newest_events() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    for round in 1..=3 {
        for class in ["b", "a", "c é"] {
            relays[0].post(&random_event(class, 1)).await;
            for relay in &relays {
                let listed = get(relay, "/api/classes").await;
                let found = listed["classes"]
                    .as_array()
                    .expect("classes")
                    .iter()
                    .find(|c| c["classId"] == class);
                let found = found.unwrap_or_else(|| panic!("no {class}: {listed}"));
                assert_eq!(
                    (&found["events"], &found["students"]),
                    (&round.into(), &1.into()),
                    "{class}"
                );
            }
        }
    }
    let first = get(&relays[1], "/api/classes?limit=2").await;
    let names: Vec<&Value> =
        first["classes"].as_array().expect("classes").iter().map(|c| &c["classId"]).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(first["next"], "b");
    let second = get(&relays[1], "/api/classes?limit=2&after=b").await;
    assert_eq!(second["classes"][0]["classId"], "c é");
    assert_eq!(second["next"], Value::Null);
}

/// A caller of a few among many classes gets those alone, by pages that follow each other, whatever
/// lies between them.
#[tokio::test]
async fn a_callers_own_classes_are_listed_by_pages() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let all: Vec<Value> = (0..90).map(|n| event_of(&format!("c{n:02}"), n)).collect();
    issuer.post(&relay, &all.into()).await;
    let bearer = format!("Bearer {}", issuer.token("ann", "instructor", &["c0*", "c4*", "c88"]));
    let mine = |name: &&str| ["c0", "c4", "c88"].iter().any(|own| name.starts_with(own));
    for limit in [1, 2, 3, 7, 21, 90] {
        let (mut listed, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let target = format!("/api/classes?limit={limit}{after}");
            let page = ask(&relay, "GET", &target, &[("authorization", &*bearer)]).await;
            let page: Value = page.json().expect("JSON");
            let names = page["classes"].as_array().expect("classes").iter();
            let names: Vec<_> = names.filter_map(|c| c["classId"].as_str()).collect();
            assert!(names.len() <= limit && names.iter().all(mine), "{limit}: {names:?}");
            listed.extend(names.into_iter().map(str::to_owned));
            pages += 1;
            let Some(next) = page["next"].as_str() else { break };
            assert_eq!(Some(next), listed.last().map(String::as_str), "no other class is named");
            after = format!("&after={next}");
        }
        let expected: Vec<_> =
            (0..90).map(|n| format!("c{n:02}")).filter(|n| mine(&&**n)).collect();
        assert_eq!(listed, expected, "{limit}");
        assert!(pages <= expected.len() / limit + 1, "{pages} pages of {limit}");
    }
}

#[tokio::test]
async fn the_known_state_is_shown_while_the_database_is_away() {
    let (database, relay) = filled(100).await;
    let before = get(&relay, "/api/class/summary?class=a").await;
    let client = database.client().await;
    client
        .batch_execute("LOCK TABLE progress_log IN ACCESS EXCLUSIVE MODE")
        .await
        .expect_err("no transaction");
    client
        .batch_execute("BEGIN; LOCK TABLE progress_log IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("a lock");
    let during = get(&relay, "/api/class/summary?class=a").await;
    assert_eq!(
        during["students"].as_array().map(Vec::len),
        before["students"].as_array().map(Vec::len)
    );
    client.batch_execute("ROLLBACK").await.expect("an end");
    relay.post(&random_event("a", 1)).await;
    until("the summary to go on", || async {
        let after = get(&relay, "/api/class/summary?class=a").await;
        let id = |summary: &Value| cursor_id(summary["cursor"].as_str().unwrap_or_default());
        (id(&after) > id(&before)).then_some(())
    })
    .await;
}
