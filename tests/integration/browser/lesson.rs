//! A lesson as an instructor reads it: one cell of all students, any run's code, an outline's
//! columns and progress, one team alone.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::browser::{Chrome, counts, page_of, run, says};
use crate::support::{Database, Relay};

/// A run with this code, in a team.
fn answer(student: &str, cell: u32, code: &str, error: Option<&str>) -> Value {
    let mut run = run("c", student, cell, error);
    run["code"] = code.into();
    let team = if student.ends_with(['0', '2', '4', '6', '8']) { "even" } else { "odd" };
    run["teamName"] = team.into();
    run
}

/// Stores the settings of the class.
pub(super) async fn set(relay: &Relay, settings: &Value) {
    let headers = [("content-type", "application/json")];
    let body = Bytes::from(settings.to_string());
    let mut connection = relay.connection().await;
    let path = "/api/class/settings?class=c";
    let changed = connection.request("PUT", path, &headers, body).await.expect("an answer");
    assert_eq!(changed.status, 200, "{}", String::from_utf8_lossy(&changed.body));
}

/// Clicks on a point of the grid: a column counted from 0, and how far below its top.
fn click_grid(column: u32, below: &str) -> String {
    format!(
        "(() => {{
           const grid = document.querySelector('.grid-scroll');
           const {{ left, top, width }} = grid.getBoundingClientRect();
           const rem = 16, columns = 2, gutter = 12 * rem;
           const step = Math.min(3.5 * rem, (width - gutter - 8) / columns);
           grid.dispatchEvent(new MouseEvent('click', {{ bubbles: true,
             clientX: left + gutter + ({column} + 0.5) * step, clientY: top + ({below}) }}));
         }})()"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cell_of_sixty_students_is_grouped() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let students: Vec<String> = (0..60).map(|number| format!("s{number:02}")).collect();
    let answers = students.iter().enumerate().map(|(at, student)| match at {
        0..30 => answer(student, 1, "x = 1", None),
        30..40 => answer(student, 1, "x = 1  \n\n", None),
        40..45 => answer(student, 1, "<b>x</b>", None),
        _ => answer(student, 1, &format!("y{}", at % 2), Some("NameError: y is not defined")),
    });
    let others = students.iter().map(|student| answer(student, 2, "other", None));
    relay.post(&json!(answers.chain(others).collect::<Vec<_>>())).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.until(&says("#grid .card-count", "60")).await;
    // From the cells that fail.
    page.click("#cells .cell-open").await;
    page.until(&counts(".one-cell .answer-group", 3)).await;
    let failed = "60 of 60 students here ran it. Their latest runs: 15 failed, 45 succeeded";
    page.until(&says(".one-cell .one-cell-counts", failed)).await;
    let sizes =
        "[...document.querySelectorAll('.one-cell .answer-count')].map((e) => e.textContent)";
    assert_eq!(page.value(sizes).await, json!(["15 students", "40 students", "5 students"]));
    page.until(&says(".one-cell .answer-what", "NameError: y is not defined")).await;
    page.until(&says(".one-cell .answer-group:nth-child(3) .run-code", "<b>x</b>")).await;
    page.until(&counts(".one-cell .answer-group:first-child .student-name", 15)).await;
    // Without names, as for a projector.
    page.click(".one-cell .checkbox input").await;
    page.until(&counts(".one-cell .student-name", 0)).await;
    let names = "document.querySelector('.one-cell').textContent.includes('Name of')";
    assert_eq!(page.value(names).await, false);
    // A run that arrives is taken in.
    relay.post(&json!([answer("s59", 1, "x = 1", None)])).await;
    page.until(&says(".one-cell .answer-count", "14 students")).await;
    page.click(".one-cell .checkbox input").await;
    // A name opens that student's run of this cell, and not the latest of another one.
    page.click(".one-cell .answer-group:nth-child(3) .student-name").await;
    page.until(&says(".drawer .run-code", "<b>x</b>")).await;
    page.press("Escape").await;
    page.until("!document.querySelector('.drawer').open").await;
    assert_eq!(page.value("document.querySelector('.one-cell').open").await, true);
    page.press("Escape").await;
    page.until("!document.querySelector('.one-cell').open").await;
    // From the head of a column, and by the keyboard.
    page.value(&click_grid(1, "14")).await;
    page.until(&says(".one-cell h2", "Cell 3")).await;
    page.until(&says(".one-cell .run-code", "other")).await;
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_run_is_opened() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay
        .post(&json!([
            answer("s1", 1, "first", Some("E: first")),
            answer("s1", 1, "second", None),
            answer("s1", 2, "third", None)
        ]))
        .await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.until(&says("#grid .card-count", "1")).await;
    // A cell of the grid.
    page.value(&click_grid(0, "2.4 * rem")).await;
    page.until(&says(".drawer .run-code", "second")).await;
    page.until(&counts(".drawer .timeline button.event-kind", 3)).await;
    // An entry of the timeline.
    page.value("document.querySelectorAll('.timeline button.event-kind')[2].click()").await;
    page.until(&says(".drawer .run-code", "first")).await;
    page.until(&says(".drawer .run-error", "E: first")).await;
    // What arrives meanwhile does not replace it.
    relay.post(&json!([answer("s1", 2, "fourth", None)])).await;
    page.until(&counts(".drawer .timeline button.event-kind", 4)).await;
    assert_eq!(page.value("document.querySelector('.run-code').textContent").await, "first");
    page.click(".drawer .show-latest").await;
    page.until(&says(".drawer .run-code", "fourth")).await;
    // A square of the strip.
    page.click(".drawer .cell-square").await;
    page.until(&says(".drawer .run-code", "second")).await;
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outline_orders_the_grid_and_counts_progress() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let mut events = Vec::new();
    for student in 0..4 {
        let student = format!("s{student}");
        events.push(answer(&student, 9, "one", None));
        events.push(answer(&student, 7, "own", None));
    }
    events.push(answer("s0", 2, "two", None));
    events.push(answer("s1", 2, "two", Some("E: two")));
    relay.post(&json!(events)).await;
    // The notebook has another order than the ids say, and a cell that nobody has run.
    let cells = json!([
        {"id": "cell-9", "index": 1, "headings": ["Part 1"], "exercise": true, "title": "one"},
        {"id": "cell-2", "index": 3, "headings": ["Part 2"], "exercise": true, "title": "two"},
        {"id": "cell-5", "index": 4, "headings": ["Part 2"], "title": "three"},
    ]);
    set(&relay, &json!({"outline": [{"notebook": "lesson1.ipynb", "cells": cells}]})).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.until(&says("#grid .card-count", "4")).await;
    page.until(&says("#grid .grid-folded", "+ 1 added cell")).await;
    page.value("document.querySelectorAll('#grid .card-controls .icon-button')[1].click()").await;
    let heads = "[...document.querySelectorAll('.grid-table thead button')].map((e) => e.title)";
    page.until(&counts(".grid-table thead button", 3)).await;
    let shown = page.value(heads).await;
    assert!(shown[0].as_str().expect("a title").contains("100% (4/4)"), "{shown}");
    assert!(shown[1].as_str().expect("a title").contains("25% (1/4)"), "{shown}");
    assert!(shown[2].as_str().expect("a title").contains("0% (0/4)"), "{shown}");
    let done =
        "[...document.querySelectorAll('.grid-table .student-done')].map((e) => e.textContent)";
    let done = page.value(done).await;
    let mut done: Vec<&str> =
        done.as_array().expect("texts").iter().filter_map(Value::as_str).collect();
    done.sort_unstable();
    assert_eq!(done, ["1/2", "1/2", "1/2", "2/2"]);
    // Cells that students added.
    page.click("#grid .grid-folded").await;
    page.until(&counts(".grid-table thead button", 4)).await;
    // Progress is counted as it comes.
    relay.post(&json!([answer("s1", 2, "two", None)])).await;
    page.until(&format!("({heads})[1].includes('50% (2/4)')")).await;
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_alone_is_shown() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let mut events = Vec::new();
    for student in 0..10 {
        let student = format!("s{student}");
        events.push(answer(&student, 1, "x", Some("E: x")));
    }
    for student in ["s1", "s2"] {
        let mut hand = answer(student, 1, "", None);
        hand["eventType"] = "help".into();
        events.push(hand);
    }
    relay.post(&json!(events)).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.until(&says("#grid .card-count", "10")).await;
    page.until(&counts("#help .help-item", 2)).await;
    page.until("document.title.startsWith('(2) ')").await;
    page.click("#teams .team-choose").await;
    page.until(&says("#grid .card-count", "5")).await;
    page.until(&counts("#help .help-item", 1)).await;
    page.until(&says("#help .student-name", "Name of s2")).await;
    page.until("document.title.startsWith('(1) ')").await;
    page.until(&says(".status-tile[data-status=help] .status-tile-number", "1")).await;
    page.until(&says("#cells .meter-text", "5 of 5")).await;
    page.until("location.search.includes('team=even')").await;
    // The address alone brings it back; so does the browser, for the class.
    let address = page.value("location.href").await;
    page.go(address.as_str().expect("an address")).await;
    page.until(&says("#grid .card-count", "5")).await;
    page.go(&page_of(&relay, "c")).await;
    page.until(&says("#grid .card-count", "5")).await;
    page.value(
        "{ const s = document.querySelector('.limits select'); s.value = 'null';
           s.dispatchEvent(new Event('change')); }",
    )
    .await;
    page.until(&says("#grid .card-count", "10")).await;
    // All ran a cell in the last minutes.
    page.value("document.querySelectorAll('.limits .segment-button')[3].click()").await;
    page.until("location.search.includes('minutes=5')").await;
    page.until(&says("#grid .card-count", "10")).await;
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_that_few_have_run_are_counted_and_can_be_shown() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let common = (0..41).map(|student| run("c", &format!("s{student}"), 1, None));
    let events: Vec<Value> = common.chain([run("c", "s1", 2, None)]).collect();
    relay.post(&json!(events)).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.until(&says("#grid .grid-folded", "+ 1 cell that few have run")).await;
    page.click("#grid .card-controls .icon-button:last-child").await;
    page.until(&counts(".grid-table thead button", 1)).await;
    page.click("#grid .grid-folded").await;
    page.until(&counts(".grid-table thead button", 2)).await;
    page.until(&says("#grid .grid-folded", "hide cells that few have run")).await;
    assert_eq!(page.complaints(), [""; 0]);
}
