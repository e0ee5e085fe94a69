//! Parsing events: the names of students and classes.

use super::names::MAX_ID_BYTES;
use super::tests::{LIMITS, accepted, rejected, text};
use super::*;

fn student(members: &str) -> String {
    accepted(members).0.student.as_str().to_owned()
}

fn class(members: &str, url_class: Option<&str>) -> String {
    let text = text(&format!(r#""userId":"s"{members}"#));
    let batch = parse_body(text.as_bytes(), url_class, LIMITS).expect("JSON");
    batch.events.first().expect("an event").1.class.to_string()
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
        // NFC, for a Japanese and a Vietnamese name that were typed in decomposed form.
        (r#""userId":"\u304b\u3099\u3044""#, "がい"),
        (r#""userId":"e\u0302\u0323""#, "ệ"),
        // An e-mail address has no case.
        (r#""emailAddress":" Alice@Example.COM ""#, "alice@example.com"),
        (r#""userId":"ALICE@EXAMPLE.COM""#, "alice@example.com"),
        (r#""userId":"\u00c9ve@Example.com""#, "éve@example.com"),
        (r#""userId":"E\u0301ve@Example.com""#, "éve@example.com"),
        // A name that is no address keeps its case.
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

/// A name that is cut could make one student of two, so it is rejected instead.
#[test]
fn a_name_that_is_too_long_is_rejected() {
    for (name, is_long) in [
        ("x".repeat(200), false),
        ("x".repeat(201), true),
        ("あ".repeat(66), false),
        ("あ".repeat(67), true),
        ("x".repeat(1 << 20), true),
        // Counted in NFC, which may be shorter or longer than the text that was sent.
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
fn a_rejection_has_the_class_that_the_event_named() {
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
        assert_eq!(body["unconfigured"], true, "{members}");
    }
    // For every session id the name is within its bound, has no control characters, and differs
    // from the others.
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
    // No other student is marked, even if the client sends the mark.
    let (event, body) = accepted(r#""userId":"s001","unconfigured":true,"sessionId":"s-1""#);
    assert_eq!((event.student.as_str(), body.get("unconfigured")), ("s001", None));
    let (_, body) = accepted(r#""userId":"student001@example.com","unconfigured":false"#);
    assert_eq!(body["unconfigured"], true);
}

#[test]
fn a_student_whom_the_credential_names_is_configured() {
    const NAME: &str = "student001@example.com";
    for extra in ["", r#","x":{"unconfigured":true}"#, r#","result":",\"unconfigured\":true}""#] {
        for name in [NAME, "s001"] {
            let (mut event, body) = accepted(&format!(r#""userId":"{name}"{extra}"#));
            event.bind(StudentId::new("hub-7").expect("an id"));
            let mut expected = body;
            expected.as_object_mut().expect("an object").remove("unconfigured");
            let bound: serde_json::Value = serde_json::from_str(&event.body).expect("JSON");
            assert_eq!((event.student.as_str(), bound), ("hub-7", expected), "{name} {extra}");
        }
    }
}
