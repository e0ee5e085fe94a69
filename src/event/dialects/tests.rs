//! The mappings, by the bodies of real clients and by every kind of body that their code sends.

use serde_json::{Value, json};

use crate::event::tests::LIMITS;
use crate::event::{Batch, parse_body};

const PIONEER: &str = include_str!("../../../tests/captures/jupyterlab-pioneer-1.7.3.jsonl");

fn parse(body: &Value) -> Batch {
    parse_body(body.to_string().as_bytes(), Some("of the URL"), LIMITS).expect("JSON")
}

/// The stored body of the one event that `body` becomes, with its class and its student.
fn event(body: &Value) -> Value {
    let mut batch = parse(body);
    assert_eq!((&*batch.rejected, batch.ignored), (&[][..], 0), "{body}");
    let (_, event) = batch.events.pop().expect("an event");
    let mut stored: Value = serde_json::from_str(&event.body).expect("JSON");
    stored["classId"] = event.class.as_str().into();
    stored["studentId"] = event.student.as_str().into();
    stored
}

fn pioneer(name: &str, info: &Value) -> Value {
    let time = 1_795_448_171_840_i64;
    json!({
        "data": {
            "eventDetail": {"eventName": name, "eventTime": time, "eventInfo": info},
            "notebookState": {
                "sessionID": "be577795-d803-41ce-a27c-7d64abbeed54",
                "notebookPath": "lesson1.ipynb",
                "notebookContent": null
            }
        },
        "params": {"class": "demo"},
        "env": [{"LANG": null}, {"JUPYTERHUB_USER": "s1"}]
    })
}

fn executed(cell: &Value, success: bool, error: &Value) -> Value {
    pioneer("CellExecuteEvent", &json!({"cells": [cell], "success": success, "kernelError": error}))
}

fn code_cell() -> Value {
    json!({"id": "c-7", "index": 3, "type": "code", "metadata": null})
}

#[test]
fn runs_of_a_real_pioneer_have_code_count_and_error() {
    let bodies: Vec<Value> = PIONEER
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            serde_json::from_str(line["body"].as_str().expect("a body")).expect("JSON")
        })
        .collect();
    let events: Vec<Value> = bodies.iter().map(event).collect();
    let common = json!({
        "studentId": "hubuser1", "classId": "demo", "notebookPath": "lesson1.ipynb",
        "sessionId": "be577795-d803-41ce-a27c-7d64abbeed54"
    });
    for event in &events {
        for (name, value) in common.as_object().expect("an object") {
            assert_eq!(&event[name], value);
        }
    }
    let expected = [
        json!({
            "eventType": "cell_selected", "eventTime": "2026-11-23T15:36:11.840000Z",
            "cellId": "c-ok", "cellIndex": 1, "cellType": "code"
        }),
        json!({
            "eventType": "cell_executed", "eventTime": "2026-11-23T15:36:11.958000Z",
            "cellId": "c-ok", "cellIndex": 1, "cellType": "code", "code": "x = 6*7\nx",
            "executionCount": 1, "hasError": false, "result": "42"
        }),
        json!({
            "eventType": "cell_executed", "eventTime": "2026-11-23T15:36:17.125000Z",
            "cellId": "c-err", "cellIndex": 3, "cellType": "code", "code": "1/0",
            "executionCount": 3, "hasError": true,
            "errorMessage": "ZeroDivisionError: division by zero"
        }),
    ];
    for (event, expected) in events.iter().zip(&expected) {
        for (name, value) in expected.as_object().expect("an object") {
            assert_eq!(&event[name], value, "{event}");
        }
    }
    let traceback = events[2]["result"].as_str().expect("a traceback");
    assert!(traceback.starts_with("\u{1b}[31m-----"), "{traceback}");
    // Nothing of the rest of the notebook.
    let members: Vec<&String> = events[1].as_object().expect("an object").keys().collect();
    assert!(!format!("{events:?}").contains("c-print") && members.len() == 14, "{members:?}");
}

#[test]
fn a_retry_is_the_same_event() {
    let body = executed(&code_cell(), true, &Value::Null);
    let mut later = body.clone();
    later["data"]["eventDetail"]["eventTime"] = 1_795_448_171_841_i64.into();
    assert_eq!(event(&body)["eventId"], event(&body)["eventId"]);
    assert_ne!(event(&body)["eventId"], event(&later)["eventId"]);
}

#[test]
fn a_cell_that_did_not_run_is_no_run() {
    let error = json!({"errorName": "NameError", "errorValue": "", "traceback": []});
    let markdown = json!({"id": "m", "index": 0, "type": "markdown"});
    for (cell, success, error, kind) in [
        (code_cell(), true, Value::Null, "cell_executed"),
        (code_cell(), false, error, "cell_executed"),
        // Behind a cell that failed.
        (code_cell(), false, json!({}), "cell_skipped"),
        (code_cell(), false, Value::Null, "cell_skipped"),
        (markdown, true, Value::Null, "cell_skipped"),
    ] {
        let stored = event(&executed(&cell, success, &error));
        assert_eq!(stored["eventType"], kind, "{stored}");
        if kind == "cell_executed" {
            // The count is not known, so the type is left out: without a type it is a run.
            assert_eq!((&stored["hasError"], stored.get("cellType")), (&(!success).into(), None));
            let message = if success { Value::Null } else { "NameError".into() };
            assert_eq!(stored.get("errorMessage").cloned().unwrap_or_default(), message);
        }
    }
    // With the whole notebook an empty cell is known by its missing count.
    let mut body = executed(&code_cell(), true, &Value::Null);
    let whole = json!({"id": "c-7", "cell_type": "code", "source": "", "execution_count": null});
    body["data"]["notebookState"]["notebookContent"] = json!({"cells": [whole]});
    assert_eq!(event(&body)["eventType"], "cell_skipped");
}

#[test]
fn every_event_of_pioneer_is_understood() {
    let cells = json!({"cells": [code_cell()], "selection": "secret"});
    for (name, kind, info) in [
        ("NotebookOpenEvent", "notebook_opened", json!({"environ": {"TOKEN": "secret"}})),
        ("NotebookSaveEvent", "notebook_saved", Value::Null),
        ("NotebookHiddenEvent", "notebook_hidden", Value::Null),
        ("NotebookVisibleEvent", "notebook_visible", cells.clone()),
        ("ActiveCellChangeEvent", "cell_selected", cells.clone()),
        ("CellAddEvent", "cell_added", cells.clone()),
        ("CellRemoveEvent", "cell_removed", cells.clone()),
        ("CellEditEvent", "cell_edited", json!({"index": 3, "doc": ["secret"], "type": "code"})),
        ("ClipboardCopyEvent", "clipboard_copied", cells.clone()),
        ("ClipboardCutEvent", "clipboard_cut", cells.clone()),
        ("ClipboardPasteEvent", "clipboard_pasted", cells.clone()),
        ("NotebookScrollEvent", "notebook_scrolled", cells.clone()),
        ("FutureEvent", "notebook_event", json!({"environ": {"TOKEN": "secret"}})),
    ] {
        let mut body = pioneer(name, &info);
        let batch = parse(&body);
        let is_stored =
            kind.starts_with("notebook_") && kind != "notebook_scrolled" || kind == "cell_selected";
        let is_stored = is_stored && kind != "notebook_event";
        assert_eq!((batch.events.len(), batch.ignored), if is_stored { (1, 0) } else { (0, 1) });
        body["params"]["store"] = "all".into();
        let stored = event(&body);
        assert_eq!(stored["eventType"], kind, "{stored}");
        assert!(!stored.to_string().contains("secret"), "{stored}");
        if !info["cells"].is_null() || !info["index"].is_null() {
            assert_eq!(stored["cellIndex"], 3, "{stored}");
        }
    }
}

#[test]
fn a_student_is_named_or_the_event_is_rejected() {
    for (params, env, student) in [
        (json!({"user": "p"}), json!([]), Some("p")),
        (json!({"user": "p"}), json!([{"JUPYTERHUB_USER": "h"}]), Some("h")),
        (json!({"user": "p"}), json!([{"JUPYTERHUB_USER": null}]), Some("p")),
        (json!({"emailAddress": "A@Example.com"}), Value::Null, Some("a@example.com")),
        (json!({}), json!([{"USER": "jovyan"}, {"HOME": "/home/jovyan"}]), None),
        (Value::Null, Value::Null, None),
        (json!({"user": " "}), json!([{"JUPYTERHUB_USER": ""}]), None),
    ] {
        let mut body = pioneer("NotebookOpenEvent", &json!({"environ": {"TOKEN": "secret"}}));
        (body["params"], body["env"]) = (params, env);
        let Some(student) = student else {
            let batch = parse(&body);
            assert_eq!(batch.events.len(), 0, "{body}");
            let rejection = &batch.rejected[0];
            assert_eq!(rejection.field.as_deref(), Some("studentId"));
            assert!(rejection.reason.contains("JUPYTERHUB_USER"), "{}", rejection.reason);
            assert!(!rejection.reason.contains("secret"));
            continue;
        };
        let stored = event(&body);
        assert_eq!(
            (&stored["studentId"], &stored["classId"]),
            (&student.into(), &"of the URL".into())
        );
    }
    // The class of a rejected body is counted as its own.
    let mut body = pioneer("NotebookSaveEvent", &Value::Null);
    body["env"] = Value::Null;
    assert_eq!(parse(&body).rejected[0].class.as_str(), "demo");
}

#[test]
fn times_that_are_none_reject_the_event() {
    for time in [json!(null), json!("soon"), json!(-1), json!(1e300), json!({})] {
        let mut body = pioneer("NotebookSaveEvent", &Value::Null);
        body["data"]["eventDetail"]["eventTime"] = time;
        assert_eq!(parse(&body).rejected[0].field.as_deref(), Some("eventTime"), "{body}");
    }
}

fn unianalytics(more: &Value) -> Value {
    let mut body = json!({
        "notebook_id": "nb-123", "user_id": "s1", "cell_id": "copy-1", "orig_cell_id": "c-1"
    });
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

#[test]
fn a_run_of_jupyter_analytics_has_code_result_and_error() {
    let run = json!({
        "language_mimetype": "text/x-python", "t_start": "2026-11-23T15:36:11.904937Z",
        "t_finish": "2026-11-23T15:36:13.004Z", "status": "ok", "cell_input": "print(1)\n42",
        "cell_output_model": [
            {"output_type": "stream", "name": "stdout", "text": "1\n"},
            {"output_type": "execute_result", "execution_count": 5,
             "data": {"text/plain": "42", "image/png": "AAAA"}, "metadata": {}}
        ],
        "cell_output_length": 4
    });
    let stored = event(&unianalytics(&run));
    let expected = json!({
        "eventId": stored["eventId"], "eventType": "cell_executed",
        "eventTime": "2026-11-23T15:36:13.004Z", "classId": "of the URL", "studentId": "s1",
        "notebookPath": "nb-123", "cellId": "copy-1", "originalCellId": "c-1",
        "code": "print(1)\n42", "hasError": false,
        "result": "1\n42", "executionCount": 5, "executionDurationMs": 1099
    });
    assert_eq!(stored, expected);
    let mut failed = run;
    failed["status"] = "error".into();
    failed["cell_output_model"] = json!([{"output_type": "error", "ename": "NameError",
        "evalue": "x", "traceback": ["a", "b"]}]);
    let stored = event(&unianalytics(&failed));
    assert_eq!(
        [&stored["hasError"], &stored["errorMessage"], &stored["result"]],
        [&json!(true), &json!("NameError: x"), &json!("a\nb")]
    );
    assert_eq!(stored.get("executionCount"), None);
}

#[test]
fn every_body_of_jupyter_analytics_is_understood() {
    let time = "2026-11-23T15:36:13.004Z";
    let mut ids = Vec::new();
    for (more, kind) in [
        (json!({"cell_content": "# Title"}), "cell_skipped"),
        (json!({"click_type": "ON", "click_duration": null}), "cell_selected"),
        (json!({"click_type": "OFF", "click_duration": 2.5}), "cell_left"),
        (json!({"click_type": "ON", "cell_id": null}), "notebook_opened"),
        (json!({"click_type": "OFF", "cell_id": null}), "notebook_closed"),
        (json!({"alteration_type": "ADD"}), "cell_added"),
        (json!({"alteration_type": "REMOVE"}), "cell_removed"),
    ] {
        let mut body = unianalytics(&more);
        body["time"] = time.into();
        let stored = event(&body);
        assert_eq!((&stored["eventType"], &stored["eventTime"]), (&kind.into(), &time.into()));
        assert_eq!(stored["eventId"], event(&body)["eventId"]);
        ids.push(stored["eventId"].to_string());
        body["user_id"] = Value::Null;
        let rejection = &parse(&body).rejected[0];
        assert_eq!(rejection.field.as_deref(), Some("studentId"));
        assert!(rejection.reason.contains("user_id"), "{}", rejection.reason);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7);
    assert_eq!(parse(&unianalytics(&json!({"update_id": "u", "action": "x"}))).ignored, 1);
}

/// What is of no client that is known is an event of the relay's own, with the faults that it has.
#[test]
fn other_bodies_are_not_taken_for_a_client() {
    for body in [
        json!({}),
        json!({"data": {"eventDetail": "x"}}),
        json!({"data": 7}),
        json!({"notebook_id": "n"}),
        // An event of the relay's own may have members of these names.
        json!({"eventType": "help", "data": {"eventDetail": {"eventName": "NotebookSaveEvent"}}}),
    ] {
        let batch = parse(&body);
        assert_eq!(batch.rejected[0].field.as_deref(), Some("eventId"), "{body}");
    }
    // In an array each is by itself.
    let batch = parse(&json!([
        pioneer("NotebookSaveEvent", &Value::Null),
        {"eventType": "help"},
        pioneer("NotebookScrollEvent", &Value::Null),
    ]));
    let indices: Vec<usize> = batch.events.iter().map(|(index, _)| *index).collect();
    assert_eq!((indices, batch.rejected.len(), batch.ignored), (vec![0], 1, 1));
}
