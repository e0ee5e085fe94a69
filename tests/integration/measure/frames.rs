//! `make frames`: how soon the page shows a large class and a raised hand, and how long its frames
//! take.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::browser::{Chrome, event, page_of, run};
use crate::support::{Database, Relay, run as run_program};

/// How many hands are raised, one after the other.
const HANDS: usize = 30;
/// The class whose first picture is measured, and how often.
const STUDENTS: usize = 200;
const CELLS: usize = 30;
const PICTURES: usize = 9;
/// The first picture is there within this time, in milliseconds.
const PICTURE_BAR: f64 = 300.0;
/// How long a browser rests before the page is opened: what it does to make a window, and to close
/// the one before, is not the page's.
const REST: Duration = Duration::from_millis(500);
/// The load beside it, in events a second: that of some two hundred students.
const BESIDE: &str = "50";

fn share(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// Sends so many events a second of so many students of the class `load`.
async fn load(url: String, students: &str, rate: &str, duration: &str) {
    let arguments = [
        ["--url", &url],
        ["--class", "load"],
        ["--students", students],
        ["--rate", rate],
        ["--dashboards", "1"],
        ["--connections", "8"],
        ["--warmup", "0s"],
        ["--duration", duration],
    ];
    let done = run_program(&[&["simulate", "--yes"], arguments.as_flattened()].concat(), &[]).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64() * 1000.0
}

/// From the first byte of the POST until the queue on the page shows the student.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: make frames"]
async fn measures_a_hand() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&json!([run("c", "s0", 1, None)])).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    let mut took = Vec::new();
    for hand in 1..=HANDS {
        page.value(&format!(
            "window.seen = null; (() => {{
               const isThere = () =>
                 document.querySelectorAll('#help .help-item').length === {hand};
               const painted = () => {{
                 window.seen = performance.timeOrigin + performance.now();
               }};
               const look = () => requestAnimationFrame(isThere() ? painted : look);
               look();
             }})()"
        ))
        .await;
        let begun = now();
        relay.post(&json!([event("c", &format!("s{hand}"), "help", &json!({}))])).await;
        page.until("window.seen !== null").await;
        took.push(page.value("window.seen").await.as_f64().expect("a time") - begun);
    }
    took.sort_by(f64::total_cmp);
    println!(
        "a hand, POST to painted: p50 {:.0} ms, max {:.0} ms",
        share(&took, 0.5),
        share(&took, 1.0)
    );
    assert!(share(&took, 1.0) < 200.0, "{took:?}");
}

/// From the beginning of the navigation until a frame with the whole class was painted, while the
/// relay is sent another class's events. Every page is opened in a new tab, without a cache.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: make frames"]
async fn measures_the_first_picture() {
    let database = Database::migrated().await;
    let insert = format!(
        "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body)
         SELECT gen_random_uuid(), 'c', 's' || n % {STUDENTS}, now(), json_build_object(
           'eventType', 'cell_executed', 'userName', 'Student ' || n % {STUDENTS},
           'sessionId', 'k' || n % {STUDENTS}, 'notebookPath', 'lesson.ipynb',
           'cellId', 'c' || n / {STUDENTS}, 'cellIndex', n / {STUDENTS}, 'cellType', 'code',
           'executionCount', n / {STUDENTS}, 'hasError', n % 5 = 0, 'errorMessage', 'E' || n % 30)
         FROM generate_series(0, {STUDENTS} * {CELLS} - 1) AS n"
    );
    database.client().await.batch_execute(&insert).await.expect("a class");
    let relay = Relay::start(&database, &[]).await;
    let loading = tokio::spawn(load(relay.url.to_string(), "200", BESIDE, "20s"));
    let chrome = Chrome::start().await;
    let look = format!(
        "(() => {{ window.seen = null;
           const isThere = () => document.querySelector('#grid .card-count')?.textContent ===
             '{STUDENTS}';
           const painted = () => {{ window.seen = performance.now(); }};
           const look = () => requestAnimationFrame(isThere() ? painted : look);
           look(); }})()"
    );
    let (mut took, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..PICTURES {
        let page = chrome.blank().await;
        page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": look })).await;
        tokio::time::sleep(REST).await;
        page.go(&page_of(&relay, "c")).await;
        page.until("window.seen > 0").await;
        took.push(page.value("window.seen").await.as_f64().expect("a time"));
        let summary = "performance.getEntriesByType('resource')
          .find(({ name }) => name.includes('/class/summary')).responseEnd";
        answered.push(page.value(summary).await.as_f64().expect("a time"));
        page.close().await;
    }
    assert!(!loading.is_finished(), "the load beside it ended before the last page was opened");
    loading.await.expect("the load");
    took.sort_by(f64::total_cmp);
    answered.sort_by(f64::total_cmp);
    println!(
        "the first picture of {STUDENTS} students × {CELLS} cells, {BESIDE} events/s beside it:"
    );
    println!("  painted: p50 {:.0} ms, max {:.0} ms", share(&took, 0.5), share(&took, 1.0));
    println!("  summary there: p50 {:.0} ms", share(&answered, 0.5));
    // The bar is that of a release build.
    if cfg!(debug_assertions) {
        return;
    }
    assert!(share(&took, 0.5) < PICTURE_BAR, "{took:?}");
}

/// The time that a frame takes of the main thread with 500 students and 200 events per second, from
/// the browser's trace.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: make frames"]
async fn measures_frames() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let load = |seconds| load(relay.url.to_string(), "500", "200", seconds);
    load("20s").await;
    let chrome = Chrome::start().await;
    for overview in [false, true] {
        let page = chrome.open(&page_of(&relay, "load")).await;
        page.until("Number(document.querySelector('#grid .card-count').textContent) > 490").await;
        if overview {
            page.click("#grid .card-controls .icon-button").await;
        }
        page.value(
            "window.frames = []; (() => { let last = performance.now();
               const next = (at) => {
                 frames.push(at - last); last = at; requestAnimationFrame(next);
               };
               requestAnimationFrame(next); })()",
        )
        .await;
        let loading = tokio::spawn(load("14s"));
        tokio::time::sleep(Duration::from_secs(2)).await;
        page.value("window.frames.length = 0").await;
        let categories = "devtools.timeline,toplevel";
        page.call(
            "Tracing.start",
            json!({ "categories": categories, "transferMode": "ReportEvents" }),
        )
        .await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let frames = page.value("frames").await;
        let trace = page.trace().await;
        loading.await.expect("load");
        report(overview, &frames, &trace);
        page.close().await;
    }
}

fn report(overview: bool, frames: &Value, trace: &[Value]) {
    let mut gaps: Vec<f64> =
        frames.as_array().expect("frames").iter().filter_map(Value::as_f64).collect();
    gaps.sort_by(f64::total_cmp);
    let main = |event: &&Value| event["ph"] == "X";
    // The CPU time of the thread, which other programs on the machine do not change.
    let durations = |name: &str| -> Vec<f64> {
        let mut found: Vec<f64> = trace
            .iter()
            .filter(main)
            .filter(|event| event["name"] == name)
            .filter_map(|event| event["tdur"].as_f64())
            .map(|micros| micros / 1000.0)
            .collect();
        found.sort_by(f64::total_cmp);
        found
    };
    println!("grid {}:", if overview { "with everyone at once" } else { "with names" });
    let line = |name: &str, values: &[f64]| {
        if !values.is_empty() {
            println!(
                "  {name:<28} n {:>5}  p50 {:>6.2}  p99 {:>6.2}  max {:>6.2} ms",
                values.len(),
                share(values, 0.5),
                share(values, 0.99),
                share(values, 1.0)
            );
        }
    };
    line("between frames", &gaps);
    line("animation frame (script)", &durations("FireAnimationFrame"));
    line("style", &durations("UpdateLayoutTree"));
    line("layout", &durations("Layout"));
    line("message (parse and fold)", &durations("WebSocketReceive"));
    line("any task of the renderer", &durations("ThreadControllerImpl::RunTask"));
}
