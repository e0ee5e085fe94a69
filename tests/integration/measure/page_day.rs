//! `make page-day`: the heap of a page that is open all day, and of one that nobody sees. Eight
//! hours of a class's events pass in some minutes, and each is received as it passes: the views
//! show the same at the end of each hour, and what grows is a leak.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::browser::classroom::{Past, fill};
use crate::support::browser::{Chrome, Page, page_of};
use crate::support::{Database, Relay};

const HOURS: usize = 8;
/// Events per second of the day, unless the variable says otherwise.
const RATE: usize = 50;
const RATE_VARIABLE: &str = "PAGE_DAY_RATE";
const STUDENTS: usize = 200;
const CELLS: usize = 30;
/// The kinds of mistakes that students make. Each text is another one.
const MISTAKES: usize = 400;
/// Events that are stored at a time.
const STORED: usize = 2_000;
/// In this time a page has folded an hour's events.
const PATIENCE: Duration = Duration::from_secs(180);
/// The heap of the last hour is at most that of the first, and this share.
const GROWTH: f64 = 0.1;

/// What a page that nobody sees has: no frames, and timers once a second.
const HIDDEN: &str = "
    for (const [name, value] of [['hidden', true], ['visibilityState', 'hidden']]) {
      Object.defineProperty(Document.prototype, name, { get: () => value });
    }
    window.requestAnimationFrame = () => 0;";

fn event(rng: &mut fastrand::Rng, number: usize) -> Value {
    let student = rng.usize(..STUDENTS);
    let mut event = json!({
        "eventId": uuid::Uuid::from_u128(rng.u128(..)).to_string(),
        "emailAddress": format!("s{student}"),
        "userName": format!("Student {student}"),
        "teamName": format!("Team {}", student % 8),
        "notebookPath": "lesson.ipynb",
    });
    let kind = match rng.usize(..100) {
        0..2 => {
            event["message"] = format!("question {number}").into();
            "help"
        }
        2..4 => "help_stop",
        4..8 => "notebook_saved",
        _ => "cell_executed",
    };
    event["eventType"] = kind.into();
    if kind != "cell_executed" {
        return event;
    }
    let cell = rng.usize(..CELLS);
    event["cellId"] = format!("c{cell}").into();
    event["cellIndex"] = cell.into();
    event["sessionId"] = format!("k{student}-{}", number / 100_000).into();
    event["executionCount"] = number.into();
    event["code"] = format!("x = {number}\n").repeat(20).into();
    event["hasError"] = (rng.usize(..4) == 0).into();
    if event["hasError"] == true {
        let mistake = rng.usize(..MISTAKES);
        event["errorMessage"] = format!("NameError: name 'x{mistake}' is not defined").into();
    }
    event
}

/// Stores an hour of the day, whose last event raises a hand that stays up.
async fn store_hour(database: &Database, rng: &mut fastrand::Rng, hour: usize, rate: usize) {
    let events = rate * 3_600;
    let now = |event: Value| Past { before: 0.0, event };
    for first in (0..events).step_by(STORED) {
        let stored: Vec<Past> = (first..(first + STORED).min(events))
            .map(|number| now(event(rng, hour * events + number)))
            .collect();
        fill(database, "c", &stored).await;
    }
    let hand = json!({
        "eventId": uuid::Uuid::new_v4().to_string(),
        "emailAddress": format!("hand {hour}"),
        "eventType": "help",
        "until": "help_stop",
    });
    fill(database, "c", &[now(hand)]).await;
}

/// Waits until an expression holds, also on a page without frames.
async fn until(page: &Page, expression: &str) {
    let deadline = Instant::now() + PATIENCE;
    while page.value(expression).await != true {
        assert!(Instant::now() < deadline, "the page is behind after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The heap in use after everything that nobody holds was freed, in MiB.
async fn heap(page: &Page) -> f64 {
    page.call("HeapProfiler.collectGarbage", json!({})).await;
    page.call("HeapProfiler.collectGarbage", json!({})).await;
    let usage = page.call("Runtime.getHeapUsage", json!({})).await;
    usage["usedSize"].as_f64().expect("bytes") / 1_048_576.0
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: make page-day"]
async fn measures_the_heap_over_a_day() {
    let rate = std::env::var(RATE_VARIABLE).map_or(RATE, |text| text.parse().expect("a rate"));
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let chrome = Chrome::start().await;
    let seen = chrome.blank().await;
    let hidden = chrome.blank().await;
    let source = json!({ "source": HIDDEN });
    hidden.call("Page.addScriptToEvaluateOnNewDocument", source).await;
    for page in [&seen, &hidden] {
        page.call("HeapProfiler.enable", json!({})).await;
        page.go(&page_of(&relay, "c")).await;
        until(page, "document.documentElement?.dataset.connection === 'live'").await;
    }
    let mut rng = fastrand::Rng::with_seed(20_261_127);
    let mut held = Vec::new();
    for hour in 0..HOURS {
        let begun = Instant::now();
        store_hour(&database, &mut rng, hour, rate).await;
        for page in [&seen, &hidden] {
            // The hands that stay up.
            let hands = format!(
                "[...document.querySelectorAll('#help .student-name')].filter((name) =>
                   name.textContent.startsWith('hand ')).length === {}",
                hour + 1
            );
            until(page, &hands).await;
        }
        let took = begun.elapsed().as_secs_f64();
        let [seen, hidden] = [heap(&seen).await, heap(&hidden).await];
        println!(
            "hour {}: {} events in {took:.0} s; the heap of an open page {seen:.2} MiB, of a \
             hidden one {hidden:.2} MiB",
            hour + 1,
            rate * 3_600
        );
        held.push([seen, hidden]);
    }
    let (first, last) = (held[0], held[HOURS - 1]);
    for (first, last) in first.into_iter().zip(last) {
        assert!(last < first * (1.0 + GROWTH), "{first:.2} MiB, then {last:.2} MiB");
    }
    for page in [&seen, &hidden] {
        assert_eq!(page.complaints(), [""; 0]);
    }
}
