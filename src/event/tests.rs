//! What is made of one event: each rule at its bound.

use serde_json::{Value, json};

use super::*;

const LIMITS: Limits = Limits { max_batch: 10, max_field: 100 };

/// An event's text: a good one's members, and these.
fn text(members: &str) -> String {
    format!(
        r#"{{"eventId":"9f582f0c-d406-435e-866c-7bbfe15dc8cd","eventType":"help","eventTime":"2026-11-23T15:36:03Z",{members}}}"#
    )
}

fn parse(members: &str) -> Batch {
    parse_body(text(members).as_bytes(), None, LIMITS)
        .unwrap_or_else(|error| panic!("{members}: {error}"))
}

/// The event of `members`, and its body.
fn accepted(members: &str) -> (Event, Value) {
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
fn rejected(members: &str) -> String {
    let batch = parse(members);
    assert_eq!(batch.events.len(), 0, "{members}");
    batch.rejected[0].field.clone().unwrap_or_default()
}

fn student(members: &str) -> String {
    accepted(members).0.student.as_str().to_owned()
}

fn class(members: &str, url_class: Option<&str>) -> String {
    let text = text(&format!(r#""userId":"s"{members}"#));
    let batch = parse_body(text.as_bytes(), url_class, LIMITS).expect("JSON");
    batch.events.first().expect("an event").1.class.to_string()
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
        // Beyond it, the nearest.
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
    // Joined, it is cut as any other text.
    let lines = format!("[{}]", vec!["\"あ\""; 34].join(","));
    let (_, body) = accepted(&format!(r#""userId":"s","code":{lines}"#));
    assert_eq!((&body["code"], &body["truncated"]), (&"あ".repeat(33).into(), &json!(["code"])));
}

#[test]
fn the_first_name_that_is_not_empty_is_the_students() {
    for (members, expected) in [
        (r#""studentId":" a b ","userId":"x""#, "a b"),
        (r#""studentId":"","emailAddress":" ","userId":"s001""#, "s001"),
        (r#""studentId":null,"userId":"s001""#, "s001"),
        (r#""studentId":20231234,"userId":"x""#, "20231234"),
        (r#""studentId":NaN,"userId":7.0"#, "7.0"),
        (r#""studentId":1e999,"userId":"x""#, "x"),
        // NFC, whichever way it was typed: a family name of Japanese, one of Vietnamese.
        (r#""userId":"\u304b\u3099\u3044""#, "がい"),
        (r#""userId":"e\u0302\u0323""#, "ệ"),
        // An e-mail address has no case.
        (r#""emailAddress":" Alice@Example.COM ""#, "alice@example.com"),
        (r#""userId":"ALICE@EXAMPLE.COM""#, "alice@example.com"),
        (r#""userId":"\u00c9ve@Example.com""#, "éve@example.com"),
        (r#""userId":"E\u0301ve@Example.com""#, "éve@example.com"),
        // What is none keeps it.
        (r#""userId":"Alice""#, "Alice"),
        (r#""userId":"@Alice""#, "@Alice"),
        (r#""userId":"Alice @ School""#, "Alice @ School"),
        (r#""userId":"A@B@C""#, "A@B@C"),
    ] {
        assert_eq!(student(members), expected, "{members}");
    }
    for (members, field) in [
        (r#""studentId":true,"userId":"s""#, "studentId"),
        (r#""studentId":["s"],"userId":"s""#, "studentId"),
        (r#""emailAddress":{},"userId":"s""#, "emailAddress"),
        (r#""userId":["s"]"#, "userId"),
        (r#""studentId":"s","userId":["s"]"#, "userId"),
        (r#""userId":"a\nb""#, "userId"),
        (r#""userId":NaN"#, "studentId"),
        (r#""userId":"""#, "studentId"),
    ] {
        assert_eq!(rejected(members), field, "{members}");
    }
}

#[test]
fn characters_that_are_nfc_alone_are_so_by_unicodes_tables() {
    let alone: Vec<char> =
        (0..=0x10_ffff).filter_map(char::from_u32).filter(|c| is_nfc_alone(*c)).collect();
    assert!(alone.len() > 30_000);
    for &c in &alone {
        assert_eq!(is_nfc_quick([c].into_iter()), IsNormalized::Yes, "{c:?}");
        assert_eq!(unicode_normalization::char::canonical_combining_class(c), 0, "{c:?}");
    }
    let text: String = alone.iter().collect();
    assert_eq!(text.nfc().collect::<String>(), text);
}

/// To cut a name could make one student of two.
#[test]
fn a_name_that_is_too_long_is_rejected() {
    for (name, is_long) in [
        ("x".repeat(200), false),
        ("x".repeat(201), true),
        ("あ".repeat(66), false),
        ("あ".repeat(67), true),
        ("x".repeat(1 << 20), true),
        // Counted in NFC: shorter than it came, or longer.
        ("か\u{3099}".repeat(66), false),
        ("\u{0958}".repeat(33), false),
        ("\u{0958}".repeat(34), true),
    ] {
        for field in ["userId", "classId"] {
            let members = match field {
                "userId" => format!(r#""userId":"{name}""#),
                _ => format!(r#""userId":"s","classId":"{name}""#),
            };
            if is_long {
                assert_eq!(rejected(&members), field, "{} bytes", name.len());
            } else {
                assert!(accepted(&members).0.student.as_str().len() <= MAX_ID_BYTES);
            }
        }
    }
}

#[test]
fn an_empty_class_is_absent() {
    for (members, url_class, expected) in [
        ("", None, "default"),
        ("", Some(""), "default"),
        ("", Some(" \t"), "default"),
        ("", Some(" math "), "math"),
        (r#","classId":"""#, Some("math"), "math"),
        (r#","classId":" ""#, Some("math"), "math"),
        (r#","classId":null"#, Some("math"), "math"),
        (r#","classId":NaN"#, Some("math"), "math"),
        (r#","classId":"""#, None, "default"),
        (r#","classId":" a b ""#, Some("math"), "a b"),
        (r#","classId":101"#, None, "101"),
        (r#","classId":"e\u0301""#, None, "é"),
        ("", Some("e\u{301}"), "é"),
        (r#","classId":"Math""#, None, "Math"),
    ] {
        assert_eq!(class(members, url_class), expected, "{members} {url_class:?}");
    }
    for value in ["true", "[]", "{}", "\"a\\u0000\""] {
        assert_eq!(rejected(&format!(r#""userId":"s","classId":{value}"#)), "classId", "{value}");
    }
    let batch = parse_body(text(r#""userId":"s""#).as_bytes(), Some("a\nb"), LIMITS).expect("JSON");
    assert_eq!(batch.rejected[0].field.as_deref(), Some("classId"));
}

/// A rejected event is counted for the class that it named.
#[test]
fn a_rejection_knows_its_class() {
    let class = |text: &str, url_class| {
        parse_body(text.as_bytes(), url_class, LIMITS).expect("JSON").rejected[0].class.to_string()
    };
    assert_eq!(class(r#"{"classId":" a "}"#, Some("b")), "a");
    assert_eq!(class(r#"{"classId":true}"#, Some("b")), "b");
    assert_eq!(class("{}", Some(" b")), "b");
    assert_eq!(class("{}", Some("a\nb")), "default");
    assert_eq!(class("[7]", Some("b")), "b");
}

#[test]
fn a_placeholder_is_told_apart_by_session() {
    const NAME: &str = "student001@example.com";
    for (members, expected) in [
        (r#""emailAddress":"student001@example.com","sessionId":"s-1""#, format!("{NAME}#s-1")),
        (r#""userId":" Student001@Example.com","sessionId":" s-1""#, format!("{NAME}#s-1")),
        (r#""userId":"student001@example.com","sessionId":7"#, format!("{NAME}#7")),
        (r#""userId":"student001@example.com","sessionId":"e\u0301""#, format!("{NAME}#é")),
        (r#""userId":"student001@example.com""#, NAME.to_owned()),
        (r#""userId":"student001@example.com","sessionId":" ""#, NAME.to_owned()),
    ] {
        let (event, body) = accepted(members);
        assert_eq!(event.student.as_str(), expected, "{members}");
        assert_eq!(body["placeholder"], true, "{members}");
    }
    // Whatever the session's id is: within the bound, without control characters, and each on its
    // own.
    let long = "x".repeat(2000);
    let sessions = [
        format!("{long}a"),
        format!("{long}b"),
        "a\\nb".to_owned(),
        "a\\tb".to_owned(),
        "y".repeat(178),
    ];
    let mut names: Vec<String> = sessions
        .iter()
        .map(|session| student(&format!(r#""userId":"{NAME}","sessionId":"{session}""#)))
        .collect();
    assert!(
        names.iter().all(|name| name.len() <= MAX_ID_BYTES && name.starts_with(NAME)),
        "{names:?}"
    );
    names.sort();
    names.dedup();
    assert_eq!(names.len(), sessions.len(), "{names:?}");
    assert_eq!(
        student(&format!(r#""userId":"{NAME}","sessionId":"{}""#, "y".repeat(177))).len(),
        200
    );
    // Nobody else is marked, whatever a client says.
    let (event, body) = accepted(r#""userId":"s001","placeholder":true,"sessionId":"s-1""#);
    assert_eq!((event.student.as_str(), body.get("placeholder")), ("s001", None));
    let (_, body) = accepted(r#""userId":"student001@example.com","placeholder":false"#);
    assert_eq!(body["placeholder"], true);
}

#[test]
fn a_long_text_is_cut_and_named() {
    let (kana, end) = ("あ".repeat(400), "/lesson1.ipynb");
    let members = format!(
        r#""studentId":"s","userName":"{kana}","teamName":"{kana}","cellType":"{kana}","emailAddress":"{kana}","notebookPath":"{kana}{end}","note":"{kana}""#
    );
    let (_, body) = accepted(&members);
    for field in ["userName", "teamName", "cellType", "emailAddress"] {
        assert_eq!(body[field], "あ".repeat(341), "{field}");
    }
    // A path's end is its file's name.
    assert_eq!(body["notebookPath"], format!("{}{end}", "あ".repeat(336)));
    assert_eq!(
        body["truncated"],
        json!(["userName", "teamName", "cellType", "emailAddress", "notebookPath"])
    );
    assert_eq!(body["note"], kana, "an unknown field is kept whole");
    let (_, body) = accepted(&format!(r#""userId":"s","userName":"{}""#, "x".repeat(1024)));
    assert_eq!(body.get("truncated"), None);
}

/// Cells and sessions are compared: two that differ behind the cut must not become one.
#[test]
fn what_tells_things_apart_still_does_once_it_is_cut() {
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
        // Sent again as it was stored, it stays the same.
        assert_eq!(stored(field, &json!(cut("a")).to_string()), cut("a"));
    }
}

#[test]
fn what_only_the_relay_makes_is_rejected() {
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

/// Python writes them; one must not cost the others.
#[test]
fn floats_that_json_has_no_number_for_cost_no_batch() {
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
    // A lone one is an event too.
    assert_eq!(stored("score", "NaN"), Value::Null);
}

#[test]
fn what_is_no_json_stays_so() {
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
