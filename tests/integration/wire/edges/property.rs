//! Arbitrary JSON and arbitrary bytes always get a clear answer, and accepted events are delivered
//! as valid JSON.

use progress_relay::event::{Limits, parse_body};
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use serde_json::value::RawValue;

use super::event_with;
use crate::support::{Database, Follower, Relay};

const LIMITS: Limits = Limits { max_batch: 50, max_field: 40 };

/// JSON text, also of values that serde_json cannot hold: lone surrogates and repeated keys.
fn json_text() -> impl Strategy<Value = String> {
    let string = prop_oneof![
        any::<String>().prop_map(|text| Value::from(text).to_string()),
        Just("\"\\ud800\"".to_owned()),
        Just("\"\\udfff\\u0000x\"".to_owned()),
        Just("\"\\ud83d\\ude00\"".to_owned()),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>()
            .prop_filter("JSON has no infinity", |value| value.is_finite())
            .prop_map(|value| format!("{value:e}")),
        // Numbers that Python writes and that no double holds.
        proptest::sample::select(
            &["NaN", "Infinity", "-Infinity", "1e999", "-1.8e308", "150.0", "1", "0"][..]
        )
        .prop_map(str::to_owned),
        // Numbers close to the largest double, where parsers differ.
        (1_797_693_134_862_315_u64..1_797_693_134_862_318, 0..10_000_u32)
            .prop_map(|(digits, more)| format!("{digits}{more}e{}", 293 - more.to_string().len())),
        string.clone(),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(|values| format!("[ {} ]", values.join(" , "))),
            vec((string.clone(), inner), 0..6).prop_map(|members| {
                let members: Vec<String> =
                    members.iter().map(|(key, value)| format!("{key} : {value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// A time as clients may write it, valid or not, in any year.
fn time_text() -> impl Strategy<Value = String> {
    let date =
        (0..10_000_u32, 0..14_u32, 0..33_u32).prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}"));
    let wide = (0..1_000_000_u32).prop_map(|year| format!("-{year:06}-12-31"));
    let offset = proptest::sample::select(
        &["", "Z", "z", "+09:00", "-23:59", "+2359", "-00", " UTC", "+1"][..],
    );
    let time = (
        prop_oneof![4 => date, 1 => wide],
        "[T ]",
        0..25_u32,
        0..61_u32,
        "(:[0-6][0-9]([.,][0-9]{1,9})?)?",
        offset,
    );
    time.prop_map(|(date, t, h, m, s, offset)| {
        Value::from(format!("{date}{t}{h:02}:{m:02}{s}{offset}")).to_string()
    })
}

/// An event with some members replaced and some unknown ones.
fn event_text() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 22] = [
        "eventId",
        "eventType",
        "eventTime",
        "studentId",
        "userId",
        "classId",
        "emailAddress",
        "userName",
        "notebookPath",
        "sessionId",
        "cellId",
        "unconfigured",
        "code",
        "result",
        "errorMessage",
        "cellIndex",
        "executionCount",
        "executionDurationMs",
        "hasError",
        "id",
        "truncated",
        "receivedAt",
    ];
    let key =
        prop_oneof![proptest::sample::select(&KNOWN[..]).prop_map(str::to_owned), "[a-z]{0,6}",];
    (btree_map(key, json_text(), 0..4), proptest::option::of(time_text())).prop_map(
        |(changes, time)| {
            let changes = changes.iter().map(|(key, value)| (&**key, &**value));
            let changes: Vec<(&str, &str)> =
                changes.chain(time.iter().map(|time| ("eventTime", &**time))).collect();
            event_with(&changes)
        },
    )
}

/// A body of another client, with a few of its values replaced.
fn foreign_text() -> impl Strategy<Value = String> {
    const BODIES: [&str; 3] = [
        r#"{"data":{"eventDetail":{"eventName":"CellExecuteEvent","eventTime":1795448171840,
            "eventInfo":{"cells":[{"id":"c","index":1,"type":"code"}],"success":false,
            "kernelError":{"errorName":"E","errorValue":"v","traceback":["a"]}}},
            "notebookState":{"sessionID":"s","notebookPath":"n.ipynb","notebookContent":{"cells":
            [{"id":"c","source":["x"],"outputs":[{"output_type":"stream","text":"t"}],
            "execution_count":3}]}}},"params":{"class":"c","userName":"u"},
            "env":[{"JUPYTERHUB_USER":"h"}]}"#,
        r#"{"notebook_id":"n","cell_id":"c","orig_cell_id":"o","t_start":"2026-11-23T15:36:11.9Z",
            "t_finish":"2026-11-23T15:36:12.9Z","status":"error","cell_input":"x",
            "cell_output_model":[{"output_type":"error","ename":"E","evalue":"v",
            "traceback":["a"]}],"user_id":"s"}"#,
        r#"{"notebook_id":"n","cell_id":"c","orig_cell_id":"o","click_type":"ON",
            "time":"2026-11-23T15:36:11.9Z","click_duration":null,"user_id":"s"}"#,
    ];
    let changes = vec((any::<Index>(), json_text()), 0..3);
    (proptest::sample::select(&BODIES[..]), changes).prop_map(|(body, changes)| {
        let mut text = body.to_owned();
        for (at, value) in changes {
            // The value behind one of the colons, if it is a plain one.
            let colons: Vec<usize> = text.match_indices("\":").map(|(at, _)| at + 2).collect();
            let begin = colons[at.index(colons.len())];
            let end = text[begin..].find([',', '}', ']']).map_or(text.len(), |end| begin + end);
            let mut changed = text.clone();
            changed.replace_range(begin..end, &value);
            if serde_json::from_str::<&RawValue>(&changed).is_ok() {
                text = changed;
            }
        }
        text
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => event_text().prop_map(String::into_bytes),
        1 => foreign_text().prop_map(String::into_bytes),
        4 => vec(prop_oneof![3 => event_text(), 1 => foreign_text(), 1 => json_text()], 0..8)
            .prop_map(|events| format!("[{}]", events.join(",")).into_bytes()),
        2 => json_text().prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..200),
        1 => (event_text(), any::<Index>(), any::<u8>()).prop_map(with_one_byte_changed),
    ]
}

/// Valid JSON with one byte replaced.
fn with_one_byte_changed((text, at, byte): (String, Index, u8)) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    let at = at.index(bytes.len());
    bytes[at] = byte;
    bytes
}

#[test]
fn parsed_events_are_within_their_bounds() {
    let config = Config { cases: 3_000, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&body(), |body| {
        let Ok(batch) = parse_body(&body, Some("a class"), LIMITS) else { return Ok(()) };
        for (_, event) in batch.events {
            let stored: Value = serde_json::from_str(&event.body).expect("the stored body is JSON");
            let stored = stored.as_object().expect("an object");
            assert!(
                (1..=200).contains(&event.student.as_str().len())
                    && (1..=200).contains(&event.class.as_str().len())
            );
            assert!(
                !event.body.contains('\0')
                    && !event.body.contains("\\u0000")
                    && !event.body.contains("\\ud")
            );
            assert!(
                ["id", "classId", "studentId", "receivedAt"]
                    .iter()
                    .all(|own| !stored.contains_key(*own))
            );
            for long in ["code", "result"] {
                assert!(
                    stored
                        .get(long)
                        .is_none_or(|text| text.as_str().expect("text").len() <= LIMITS.max_field)
                );
            }
            for name in ["userName", "notebookPath", "sessionId", "cellId"] {
                assert!(
                    stored.get(name).is_none_or(|text| text.as_str().expect("text").len() <= 1024)
                );
            }
            for number in ["cellIndex", "executionCount", "executionDurationMs"] {
                assert!(stored.get(number).is_none_or(Value::is_i64), "{}", event.body);
            }
            assert!(stored.get("hasError").is_none_or(Value::is_boolean), "{}", event.body);
            let time = stored["eventTime"].as_str().expect("text");
            let time =
                time::OffsetDateTime::parse(time, &time::format_description::well_known::Rfc3339);
            let nanos = time.expect("RFC 3339").unix_timestamp_nanos();
            assert_eq!(
                nanos,
                i128::from(event.occurred_at.0) * 1_000,
                "the body and the column agree"
            );
            // The same event, sent again, is a duplicate.
            let again = event.body.replacen(
                '{',
                &format!("{{\"studentId\":{},", Value::from(event.student.as_str())),
                1,
            );
            let again =
                parse_body(again.as_bytes(), Some(event.class.as_str()), LIMITS).expect("JSON");
            let again = &again.events.first().expect("the same event").1;
            assert_eq!((again.event_id, again.occurred_at), (event.event_id, event.occurred_at));
        }
        assert!(batch.rejected.iter().all(|rejection| !rejection.reason.is_empty()));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_posted_has_a_clear_answer() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut connection = relay.connection().await;
    let cursor =
        relay.post(&serde_json::from_str(&event_with(&[])).expect("JSON")).await["cursor"].clone();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    for _ in 0..400 {
        let body = body().new_tree(&mut runner).expect("a body").current();
        let shown = String::from_utf8_lossy(&body).into_owned();
        let response = connection.post_json("/student-progress", body).await.expect("an answer");
        let answer: Value = response.json().unwrap_or_else(|error| panic!("{shown}: {error}"));
        match response.status.as_u16() {
            200 => assert!(
                answer["accepted"].is_u64() && answer["rejected"].is_array(),
                "{shown}: {answer}"
            ),
            422 => {
                assert!(
                    answer["rejected"].as_array().is_some_and(|all| !all.is_empty()),
                    "{shown}: {answer}"
                )
            }
            400 => {
                assert!(
                    answer["detail"].as_str().is_some_and(|text| !text.is_empty()),
                    "{shown}: {answer}"
                )
            }
            other => panic!("{other} to {shown}: {answer}"),
        }
        let good =
            connection.post_json("/student-progress", event_with(&[])).await.expect("an answer");
        assert_eq!(good.status, 200, "after {shown}");
    }
    // Every event of every class that was created is delivered, and is JSON.
    let rows = database
        .client()
        .await
        .query("SELECT class_id, count(*) FROM progress_event GROUP BY class_id", &[])
        .await
        .expect("counts");
    for row in rows {
        let (class, count): (String, i64) = (row.get(0), row.get(1));
        let before =
            format!("{}.0", cursor.as_str().and_then(|c| c.split_once('.')).expect("a cursor").0);
        let mut follower = Follower::new(&relay.url, &[&class], Some(&before)).await;
        follower.until_live().await;
        assert_eq!(i64::try_from(follower.events.len()), Ok(count), "{class:?}");
    }
}
