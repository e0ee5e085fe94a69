//! Parsing events: the rule of each field, at its bound.

use serde_json::{Value, json};

use super::*;

pub(super) const LIMITS: Limits = Limits { max_batch: 10, max_field: 100 };

/// The text of an event: the members that every event needs, and `members`.
pub(super) fn text(members: &str) -> String {
    let id = "9f582f0c-d406-435e-866c-7bbfe15dc8cd";
    let time = "2026-11-23T15:36:03Z";
    format!(r#"{{"eventId":"{id}","eventType":"help","eventTime":"{time}",{members}}}"#)
}

fn parse(members: &str) -> Batch {
    parse_body(text(members).as_bytes(), None, LIMITS)
        .unwrap_or_else(|error| panic!("{members}: {error}"))
}

/// The event of `members`, and its body.
pub(super) fn accepted(members: &str) -> (Event, Value) {
    let mut batch = parse(members);
    assert_eq!(batch.rejected, [], "{members}");
    let (_, event) = batch.events.pop().expect("an event");
    let body =
        serde_json::from_str(&event.body).unwrap_or_else(|error| panic!("{}: {error}", event.body));
    (event, body)
}

/// A member of the stored body, for an event that has `member` with this value, and a student.
fn stored(member: &str, value: &str) -> Value {
    let (_, body) = accepted(&format!(r#""userId":"s","{member}":{value}"#));
    body.get(member).cloned().unwrap_or(Value::Null)
}

/// The field that an event with these members is rejected for.
pub(super) fn rejected(members: &str) -> String {
    let batch = parse(members);
    assert_eq!(batch.events.len(), 0, "{members}");
    batch.rejected[0].field.clone().unwrap_or_default()
}

#[test]
fn a_number_is_rounded_to_an_integer_of_64_bits() {
    for (value, expected) in [
        ("150.0", 150),
        ("3.0", 3),
        ("1.5e2", 150),
        ("1E3", 1000),
        ("0.4", 0),
        ("0.5", 1),
        ("-0.5", -1),
        ("-0", 0),
        ("-0.0", 0),
        ("2.5", 3),
        ("1e-400", 0),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
        // Beyond the range, the nearest integer.
        ("9223372036854775808", i64::MAX),
        ("-9223372036854775809", i64::MIN),
        ("1e300", i64::MAX),
        ("-1e300", i64::MIN),
    ] {
        for field in ["cellIndex", "executionCount", "executionDurationMs"] {
            assert_eq!(stored(field, value), expected, "{value}");
        }
    }
    for value in ["1e999", "NaN", "-Infinity", "null"] {
        assert_eq!(stored("cellIndex", value), Value::Null, "{value}");
    }
    for value in ["\"1\"", "\"\"", "true", "[]", "[1]", "{}"] {
        assert_eq!(
            rejected(&format!(r#""userId":"s","cellIndex":{value}"#)),
            "cellIndex",
            "{value}"
        );
    }
}

#[test]
fn one_and_zero_are_true_and_false() {
    for (value, expected) in [
        ("true", true),
        ("false", false),
        ("1", true),
        ("0", false),
        ("1.0", true),
        ("-0.0", false),
        ("1e0", true),
    ] {
        assert_eq!(stored("hasError", value), expected, "{value}");
    }
    assert_eq!(stored("hasError", "NaN"), Value::Null);
    for value in ["2", "-1", "0.5", "\"true\"", "\"\"", "[]", "{}"] {
        assert_eq!(rejected(&format!(r#""userId":"s","hasError":{value}"#)), "hasError", "{value}");
    }
}

#[test]
fn texts_of_a_notebooks_file_are_joined() {
    for (value, expected) in [
        (r#"["import math\n", "math.pi"]"#, "import math\nmath.pi"),
        (r#"[ "a" ,"\ud83d", "\ude00",null]"#, "a\u{fffd}\u{fffd}"),
        ("[]", ""),
        ("7", "7"),
        ("-1.50", "-1.50"),
        (r#""x""#, "x"),
    ] {
        for field in
            ["code", "errorMessage", "result", "userName", "notebookPath", "cellId", "sessionId"]
        {
            assert_eq!(stored(field, value), expected, "{value}");
        }
    }
    for value in ["true", "{}", "[1]", "[[\"a\"]]", "[true]", "[{}]"] {
        for field in ["code", "userName", "cellType"] {
            assert_eq!(rejected(&format!(r#""userId":"s","{field}":{value}"#)), field, "{value}");
        }
    }
    // The joined text is cut as any other text.
    let lines = format!("[{}]", vec!["\"あ\""; 34].join(","));
    let (_, body) = accepted(&format!(r#""userId":"s","code":{lines}"#));
    assert_eq!((&body["code"], &body["truncated"]), (&"あ".repeat(33).into(), &json!(["code"])));
}

#[test]
fn a_long_text_is_cut_and_named() {
    let (kana, end) = ("あ".repeat(400), "/lesson1.ipynb");
    let mut members = r#""studentId":"s""#.to_owned();
    for field in ["userName", "teamName", "cellType", "emailAddress"] {
        members.push_str(&format!(r#","{field}":"{kana}""#));
    }
    members.push_str(&format!(r#","notebookPath":"{kana}{end}","note":"{kana}""#));
    let (_, body) = accepted(&members);
    for field in ["userName", "teamName", "cellType", "emailAddress"] {
        assert_eq!(body[field], "あ".repeat(341), "{field}");
    }
    // A path's end is the file's name.
    assert_eq!(body["notebookPath"], format!("{}{end}", "あ".repeat(336)));
    assert_eq!(
        body["truncated"],
        json!(["userName", "teamName", "cellType", "emailAddress", "notebookPath"])
    );
    assert_eq!(body["note"], kana, "an unknown field is kept whole");
    let (_, body) = accepted(&format!(r#""userId":"s","userName":"{}""#, "x".repeat(1024)));
    assert_eq!(body.get("truncated"), None);
}

/// Cells and sessions are compared: two that differ beyond the cut must not become one.
#[test]
fn a_key_that_is_cut_still_tells_things_apart() {
    let begin = "x".repeat(1100);
    for field in ["cellId", "sessionId"] {
        let cut = |end: &str| {
            let (_, body) = accepted(&format!(r#""userId":"s","{field}":"{begin}{end}""#));
            assert_eq!(body["truncated"], json!([field]));
            body[field].as_str().expect("text").to_owned()
        };
        assert_eq!(cut("a"), cut("a"));
        assert_ne!(cut("a"), cut("b"));
        assert!(cut("a").len() <= 1024 && cut("a").starts_with(&begin[..1000]));
        // A client may send a text again as it was stored.
        assert_eq!(stored(field, &json!(cut("a")).to_string()), cut("a"));
    }
}

#[test]
fn event_types_of_the_relay_itself_are_rejected() {
    for name in [
        "help_resolved",
        "help_claimed",
        "lesson_started",
        "settings_changed",
        "student_erased",
        "class_deleted",
    ] {
        let text = text(r#""userId":"s""#).replace("\"help\"", &format!("\"{name}\""));
        let batch = parse_body(text.as_bytes(), None, LIMITS).expect("JSON");
        assert_eq!(batch.rejected[0].field.as_deref(), Some("eventType"), "{name}");
    }
}

/// Python writes `NaN`, which must not void the whole batch.
#[test]
fn floats_without_a_json_number_become_null() {
    let events: Vec<String> = ["1", "NaN", "-Infinity", "[Infinity,{\"a\":NaN}]", "1e999"]
        .iter()
        .map(|value| {
            text(&format!(
                r#""userId":"s","score":{value},"cellIndex":NaN,"code":"NaN \"Infinity""#
            ))
        })
        .chain([r#"{"userId":"s","eventId":NaN}"#.to_owned(), "NaN".to_owned()])
        .collect();
    let batch =
        parse_body(format!("[{}]", events.join(",")).as_bytes(), None, LIMITS).expect("JSON");
    let scores: Vec<Value> = batch
        .events
        .iter()
        .map(|(_, event)| {
            let body: Value = serde_json::from_str(&event.body).expect("JSON");
            assert_eq!((&body["code"], body.get("cellIndex")), (&"NaN \"Infinity".into(), None));
            body["score"].clone()
        })
        .collect();
    assert_eq!(
        scores,
        [json!(1), Value::Null, Value::Null, json!([null, {"a": null}]), Value::Null]
    );
    let fields: Vec<_> = batch
        .rejected
        .iter()
        .map(|rejection| (rejection.index, rejection.field.as_deref()))
        .collect();
    assert_eq!(fields, [(5, Some("eventId")), (6, None)]);
    // The same in a request of one event.
    assert_eq!(stored("score", "NaN"), Value::Null);
}

#[test]
fn replacing_nan_makes_no_other_fault_valid() {
    for text in [
        "NaN",
        "Infinity",
        "[NaN",
        "[nan]",
        "[NaN1]",
        "[-NaN]",
        "{NaN:1}",
        "[1NaN]",
        "[NaN NaN]",
        "[\"NaN]",
    ] {
        let parsed = parse_body(text.as_bytes(), None, LIMITS);
        assert!(matches!(parsed, Err(BodyError::NotJson(_))), "{text}: {parsed:?}");
    }
    assert!(parse_body(b"[NaN]", None, LIMITS).is_ok());
    let many = format!("[{}]", ["NaN"; 11].join(","));
    assert_eq!(parse_body(many.as_bytes(), None, LIMITS).err(), Some(BodyError::TooMany(10)));
}
