//! Events that are rejected, each alone and each between two good ones, which are stored.

use serde_json::Value;

use super::{event_with, problem_type, quoted};
use crate::support::{Database, Relay};

/// The text of an event, and the field that its rejection names.
type Case = (String, Option<&'static str>);

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut bad = |field: &'static str, values: &[&str]| {
        cases.extend(values.iter().map(|value| (event_with(&[(field, value)]), Some(field))));
    };
    bad(
        "eventId",
        &[
            "",
            "null",
            "7",
            "true",
            "{}",
            "[]",
            "\"\"",
            "\"x\"",
            "\"9f582f0c-d406-435e-866c-7bbfe15dc8c\"",
            "\"9f582f0c-d406-435e-866c-7bbfe15dc8cdd\"",
            "\"9f582f0c-d406-435e-866c-7bbfe15dc8cg\"",
            "\"9f582f0c-d406-435e-866c-7bbfe15dc8c\\u0000\"",
            "\" 9f582f0c-d406-435e-866c-7bbfe15dc8cd\"",
            "\"\\ud8009f582f0c\"",
        ],
    );
    bad(
        "eventType",
        &[
            "",
            "null",
            "3",
            "false",
            "{}",
            "[\"help\"]",
            "\"\"",
            &quoted(&"x".repeat(65)),
            "\"help_resolved\"",
            "\"help_claimed\"",
            "\"lesson_started\"",
            "\"settings_changed\"",
            "\"student_erased\"",
            "\"class_deleted\"",
            "\"help\\u005fresolved\"",
        ],
    );
    bad(
        "eventTime",
        &[
            "",
            "null",
            "1764000000",
            "{}",
            "[]",
            "\"\"",
            "\"now\"",
            "\"1764000000\"",
            "\"2026-11-23\"",
            "\"2026-13-01T00:00:00Z\"",
            "\"2026-11-32T00:00:00Z\"",
            "\"2026-02-29T00:00:00Z\"",
            "\"2026-11-23T24:00:00Z\"",
            "\"2026-11-23T15:60:00Z\"",
            "\"2026-11-23T15:36:61Z\"",
            "\"2026-11-23T15:36:03+25:00\"",
            "NaN",
            "\"-2026-01-01T00:00:00Z\"",
            "\"12026-01-01T00:00:00Z\"",
            "\"2026-11-23T15:36:03.Z\"",
            "\"2026-11-23T15:36:03Z \"",
        ],
    );
    let long_id = quoted(&"x".repeat(201));
    let long_kana = quoted(&"あ".repeat(67));
    let bad_ids = [
        "true",
        "{}",
        "[]",
        &long_id,
        &long_kana,
        "\"a\\nb\"",
        "\"a\\u0000\"",
        "\"\\u007fa\"",
        "\"a\\u0085b\"",
        "\"\\u001b[31mx\"",
    ];
    bad("studentId", &bad_ids);
    bad("emailAddress", &bad_ids[..5]);
    bad("classId", &bad_ids);
    for field in ["userName", "teamName", "sessionId", "notebookPath", "cellId", "cellType"] {
        bad(field, &["true", "{}", "[1]", "[[]]", "[\"a\",true]"]);
    }
    for field in ["code", "errorMessage", "result"] {
        bad(field, &["false", "{}", "[\"x\",7]", "[{}]"]);
    }
    for field in ["cellIndex", "executionCount", "executionDurationMs"] {
        bad(field, &["\"1\"", "\"\"", "true", "{}", "[]", "[1]"]);
    }
    bad("hasError", &["\"true\"", "2", "-1", "0.5", "{}", "[]", "\"\""]);
    bad(
        "deep",
        &[
            &format!("{}1{}", "[".repeat(65), "]".repeat(65)),
            &format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65)),
        ],
    );
    // Without any student, the rejection names the first field that could have held one.
    for value in ["", "null", "\"\"", "\"  \\t\""] {
        cases.push((
            event_with(&[("userId", value), ("studentId", value), ("emailAddress", value)]),
            Some("studentId"),
        ));
    }
    cases.push((event_with(&[("userId", "[7]")]), Some("userId")));
    cases.push((event_with(&[("userId", "\"a\\u0001\"")]), Some("userId")));
    // The last value of a repeated key counts.
    cases.push((
        event_with(&[]).replacen('{', "{\"hasError\":true,\"hasError\":2,", 1),
        Some("hasError"),
    ));
    for value in ["null", "true", "7", "\"x\"", "[]", "[{}]", "1e999", "NaN"] {
        cases.push((value.to_owned(), None));
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_event_is_rejected_by_its_field_and_harms_no_neighbour() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut connection = relay.connection().await;
    let cases = cases();
    assert!(cases.len() >= 150, "{} cases", cases.len());
    let mut stored: i64 = 0;
    for (text, field) in &cases {
        let shown: String = text.chars().take(300).collect();
        // An array is sent alone, because its elements would be events; any other value is sent in
        // a batch as well.
        let alone = if text.starts_with('{') { text.clone() } else { format!("[{text}]") };
        let response = connection.post_json("/student-progress", alone).await.expect("an answer");
        assert_eq!(response.status, 422, "{shown}: {}", String::from_utf8_lossy(&response.body));
        let problem: Value = response.json().expect("a problem");
        assert_eq!(problem_type(&problem), "events-rejected", "{shown}");
        assert_eq!(problem["rejected"][0]["field"].as_str(), *field, "{shown}: {problem}");
        assert!(
            problem["rejected"][0]["reason"].as_str().is_some_and(|reason| !reason.is_empty()),
            "{shown}"
        );

        let between = format!("[{},{text},{}]", event_with(&[]), event_with(&[]));
        let response = connection.post_json("/student-progress", between).await.expect("an answer");
        assert_eq!(response.status, 200, "{shown}");
        let answer: Value = response.json().expect("an answer");
        assert_eq!(answer["accepted"], 2, "{shown}: {answer}");
        assert_eq!(answer["rejected"][0]["index"], 1, "{shown}: {answer}");
        assert_eq!(answer["rejected"][0]["field"].as_str(), *field, "{shown}: {answer}");
        stored += 2;
    }
    let sql = "SELECT count(*) FROM progress_event";
    let count: i64 = database.client().await.query_one(sql, &[]).await.expect("a count").get(0);
    assert_eq!(count, stored);
}
