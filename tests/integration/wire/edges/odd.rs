//! Events that are unusual and valid: what is stored of them.

use serde_json::{Value, json};

use super::{event_with, quoted};
use crate::support::{Database, Follower, Relay};

/// The text of an event, a member, and the value that is delivered for it; null if the member must
/// be missing.
fn cases() -> Vec<(String, &'static str, Value)> {
    let long = "x".repeat(200);
    let kana = "あ".repeat(66);
    let mut cases = vec![
        (event_with(&[]), "studentId", "s001".into()),
        (event_with(&[]), "classId", "default".into()),
        (event_with(&[("studentId", "\" a b \"")]), "studentId", "a b".into()),
        (event_with(&[("studentId", "\"A\""), ("emailAddress", "\"B\"")]), "studentId", "A".into()),
        (event_with(&[("studentId", "\"\""), ("emailAddress", "\"B\"")]), "studentId", "B".into()),
        (
            event_with(&[("studentId", "null"), ("emailAddress", "\" \"")]),
            "studentId",
            "s001".into(),
        ),
        (event_with(&[("userId", &quoted(&long))]), "studentId", long.clone().into()),
        (event_with(&[("userId", &quoted(&kana))]), "studentId", kana.into()),
        (event_with(&[("userId", "\"\\ud83d\\ude00\"")]), "studentId", "😀".into()),
        (event_with(&[("userId", "\"\\ud83d\"")]), "studentId", "\u{fffd}".into()),
        (event_with(&[("classId", "\" x \"")]), "classId", "x".into()),
        (event_with(&[("classId", "\"\"")]), "classId", "default".into()),
        (event_with(&[("classId", "null")]), "classId", "default".into()),
        (event_with(&[("eventType", "\"something_new\"")]), "eventType", "something_new".into()),
        (
            event_with(&[("eventType", &quoted(&"😀".repeat(64)))]),
            "eventType",
            "😀".repeat(64).into(),
        ),
        (
            event_with(&[("eventTime", "\"2000-01-01T00:00:00Z\"")]),
            "eventTime",
            "2000-01-01T00:00:00Z".into(),
        ),
        (
            event_with(&[("eventTime", "\"2100-12-31T23:59:59.999999Z\"")]),
            "eventTime",
            "2100-12-31T23:59:59.999999Z".into(),
        ),
        (
            event_with(&[("eventTime", "\"2026-11-23T15:36:03.123456789+09:00\"")]),
            "eventTime",
            "2026-11-23T06:36:03.123456Z".into(),
        ),
        (
            event_with(&[("eventTime", "\"2026-11-23T15:36:03.9999999Z\"")]),
            "eventTime",
            "2026-11-23T15:36:03.999999Z".into(),
        ),
        (
            event_with(&[("eventTime", "\"2026-11-23T00:30:00-00:30\"")]),
            "eventTime",
            "2026-11-23T01:00:00.000000Z".into(),
        ),
        (event_with(&[("userName", "null")]), "userName", Value::Null),
        (event_with(&[("userName", "\"\"")]), "userName", "".into()),
        (
            event_with(&[("userName", &quoted(&"x".repeat(1024)))]),
            "userName",
            "x".repeat(1024).into(),
        ),
        (event_with(&[("userName", "\"a\\u0000b\"")]), "userName", "a\u{fffd}b".into()),
        (
            event_with(&[("userName", "\"<img src=x onerror=alert(1)>\"")]),
            "userName",
            "<img src=x onerror=alert(1)>".into(),
        ),
        (event_with(&[("userName", "\"\\u202egnp.exe\"")]), "userName", "\u{202e}gnp.exe".into()),
        (
            event_with(&[("code", "\"\\ud800 \\udc00\\ud800\"")]),
            "code",
            "\u{fffd} \u{fffd}\u{fffd}".into(),
        ),
        (
            event_with(&[("code", "\"\\u001b[0;31m\\u0007\\b\\f\\/\"")]),
            "code",
            "\u{1b}[0;31m\u{7}\u{8}\u{c}/".into(),
        ),
        (event_with(&[("cellIndex", "-9223372036854775808")]), "cellIndex", i64::MIN.into()),
        (
            event_with(&[("executionCount", "9223372036854775807")]),
            "executionCount",
            i64::MAX.into(),
        ),
        (event_with(&[("executionDurationMs", "-0")]), "executionDurationMs", 0.into()),
        (event_with(&[("hasError", "null")]), "hasError", Value::Null),
        (event_with(&[("id", "7"), ("other", "1")]), "other", 1.into()),
        (
            event_with(&[("receivedAt", "\"1970-01-01T00:00:00Z\""), ("other", "2")]),
            "other",
            2.into(),
        ),
        (event_with(&[("truncated", "[\"code\"]")]), "truncated", Value::Null),
        (event_with(&[("other", "null")]), "other", Value::Null),
        (
            event_with(&[("other", "{\"a\":1,\"a\":{\"b\":2,\"b\":3}}")]),
            "other",
            json!({"a": {"b": 3}}),
        ),
        (
            event_with(&[("other", "{\"a\\u0000\":[\"\\u0000\",{\"\\ud800\":\"\\udfff\"}]}")]),
            "other",
            json!({"a\u{fffd}": ["\u{fffd}", {"\u{fffd}": "\u{fffd}"}]}),
        ),
        (event_with(&[("", "1")]), "", 1.into()),
        (event_with(&[("other", "123456789012345")]), "other", 123_456_789_012_345_u64.into()),
        (event_with(&[("other", "[ 1 , 2 ]")]), "other", json!([1, 2])),
    ];
    let nested = format!("{}{}", "[".repeat(64), "]".repeat(64));
    let value = serde_json::from_str(&nested).expect("JSON");
    cases.push((event_with(&[("deep", &nested)]), "deep", value));
    for form in [
        "9F582F0CD406435E866C7BBFE15DC8CE",
        "urn:uuid:9f582f0c-d406-435e-866c-7bbfe15dc8cf",
        "{9f582f0c-d406-435e-866c-7bbfe15dc8c0}",
    ] {
        cases.push((event_with(&[("eventId", &quoted(form))]), "eventId", form.into()));
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_event_is_stored_as_the_contract_says() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut follower = Follower::new(&relay.url, &["default", "x"], None).await;
    let mut connection = relay.connection().await;
    for (count, (text, member, expected)) in cases().into_iter().enumerate() {
        let response =
            connection.post_json("/student-progress", text.clone()).await.expect("an answer");
        assert_eq!(response.status, 200, "{text}: {}", String::from_utf8_lossy(&response.body));
        let event = follower.take(count + 1).await.last().expect("an event");
        assert_eq!(event.get(member).unwrap_or(&Value::Null), &expected, "{text}: {event}");
        assert!(event["receivedAt"].as_str().is_some_and(|at| at.starts_with("20")), "{event}");
    }
}

/// Numbers keep their text, however long. A number that no double can hold becomes null, because a
/// page could not read it.
#[tokio::test]
async fn numbers_keep_their_text() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut subscriber = relay.subscribe(&["default"], None).await;
    let text = event_with(&[
        ("big", "1e300"),
        ("beyond", "1e999"),
        ("long", "123456789012345678901234567890.10"),
        ("zero", "-0.0"),
    ]);
    let mut connection = relay.connection().await;
    let response = connection.post_json("/student-progress", text).await.expect("an answer");
    assert_eq!(response.status, 200);
    loop {
        let frame =
            crate::support::within("a frame", subscriber.next_text()).await.expect("a frame");
        if frame.contains("progress") {
            break assert!(
                frame.contains(
                    "\"big\":1e300,\"beyond\":null,\
                     \"long\":123456789012345678901234567890.10,\"zero\":-0.0"
                ),
                "{frame}"
            );
        }
    }
}

/// A text longer than `--max-field` is cut between two characters, and its member is named.
#[tokio::test]
async fn long_text_is_cut_and_named() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &["--max-field", "100"]).await;
    let mut follower = Follower::new(&relay.url, &["default"], None).await;
    let (exact, over) = (quoted(&"x".repeat(100)), quoted(&"あ".repeat(34)));
    let text = event_with(&[
        ("code", &over),
        ("result", &exact),
        ("errorMessage", &over),
        ("note", &over),
    ]);
    let mut connection = relay.connection().await;
    let response = connection.post_json("/student-progress", text).await.expect("an answer");
    assert_eq!(response.status, 200);
    let event = &follower.take(1).await[0];
    assert_eq!(event["code"], "あ".repeat(33));
    assert_eq!(event["result"], "x".repeat(100));
    assert_eq!(event["note"], "あ".repeat(34), "an unknown field is kept whole");
    assert_eq!(event["truncated"], json!(["code", "errorMessage"]));
}
