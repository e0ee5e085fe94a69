//! The page folds events and summaries exactly as the relay does.

use serde_json::{Value, json};

use crate::support::browser::{Chrome, Page, classroom, page_of, says};
use crate::support::class::random_event;
use crate::support::{Database, Relay};

const VECTORS: &str = include_str!("../../vectors/state.json");

/// The fold as the page has it.
const IMPORTS: &str = "const [{ ClassState }, { renderSummary, restoreState }, { parseTime }] = \
     await Promise.all(\
    ['fold', 'summary', 'time'].map((name) => import(new URL(`assets/js/${name}.js`, \
    document.baseURI))));\
    const sorted = (value) => Array.isArray(value) ? value.map(sorted) : value === null || typeof \
    value !== 'object' ? value :\
        Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));\
    const same = (a, b) => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
    const folded = (events, state = new ClassState(), from = 0) => {
      events.forEach((event, at) => {
        if (at < from || !state.fold(event)?.refold) return;
        state.beginRefold();
        for (const again of events.slice(0, at + 1)) {
          if (again.id >= state.lesson.first) state.fold(again);
        }
      });
      return state;
    };";

async fn in_page(page: &Page, body: &str) -> Value {
    page.value(&format!("(async () => {{ {IMPORTS} {body} }})()")).await
}

/// Every shared vector, folded from the beginning and from a summary taken at any point.
#[tokio::test(flavor = "multi_thread")]
async fn vectors() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    let wrong = in_page(
        &page,
        &format!(
            "const wrong = [];
             const cases = {VECTORS};
             for (const {{ name, events, now: at, expect }} of cases) {{
               const now = parseTime(at);
               if (!same(renderSummary(folded(events), now), expect)) wrong.push(name);
               const few = [0, 7, 50, 99, events.length];
               const cuts = events.length > 100 ? few : events.map((_, cut) => cut);
               for (const cut of cuts) {{
                 const state = folded(events.slice(0, cut));
                 const settings = state.settings.written;
                 const settingsVersion = String(state.settingsEvent);
                 const summary = {{ settings, settingsVersion, ...renderSummary(state, now) }};
                 const resumed = restoreState(JSON.parse(JSON.stringify(summary)));
                 if (!same(renderSummary(folded(events, resumed, cut), now), expect)) {{
                   wrong.push(`${{name}}, resumed after ${{cut}}`);
                 }}
               }}
             }}
             return {{ cases: cases.length, wrong }};"
        ),
    )
    .await;
    assert!(wrong["cases"].as_u64() > Some(50), "{wrong}");
    assert_eq!(wrong["wrong"], json!([]));
}

/// A summary that is folded forward by the frames of the WebSocket equals the next summary.
#[tokio::test(flavor = "multi_thread")]
async fn a_summary_folded_on_is_the_next_summary() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let batch = |class: &str| json!((0..100).map(|_| random_event(class, 40)).collect::<Vec<_>>());
    for _ in 0..5 {
        relay.post(&batch("c")).await;
    }
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    in_page(
        &page,
        "const summary = () => fetch('/api/class/summary?class=c&include=grid,activity').then((r) \
             => r.json());
         const { Connection } = await import(new URL('assets/js/connection.js', document.baseURI));
         window.following = { state: null, folded: 0 };
         new Connection('c', {
           summary: (answer) => { following.state = restoreState(answer); },
           events: (events) => {
             for (const event of events) following.state.fold(event);
             following.folded += events.length;
           },
           now: () => {},
           state: ({ name }) => { following.name = name; },
         });
         window.compare = async () => {
           const { now, cursor, classId, ...members } = await summary();
           const own = renderSummary(following.state, parseTime(now));
           // A summary that was rendered a moment ago has the statuses of then.
           for (const { students } of [members, own]) {
             for (const student of students) { delete student.status; delete student.statusUntil; }
           }
           delete members.metrics; delete own.metrics;
           return Object.keys(members).filter((name) => !same(members[name], own[name]));
         };",
    )
    .await;
    page.until("following.name === 'live'").await;
    for round in 1..=10 {
        relay.post(&batch("c")).await;
        page.until(&format!("following.folded === {}", round * 100)).await;
        assert_eq!(page.value("compare()").await, json!([]), "round {round}");
    }
}

/// The page of 500 students shows what the relay's summary says while a thousand events arrive.
#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_students() {
    let database = Database::migrated().await;
    classroom::fill(&database, "big", &classroom::lesson(500, 8)).await;
    let relay = Relay::start(&database, &[]).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "big")).await;
    page.until(&says("#grid .card-count", "500")).await;
    for _ in 0..50 {
        relay.post(&json!((0..20).map(|_| random_event("big", 500)).collect::<Vec<_>>())).await;
    }
    let same = "(async () => {
        const { metrics } = await fetch('/api/class/summary?class=big').then((r) => r.json());
        const text = (selector) => document.querySelector(selector).textContent.replace(/,/g, '');
        const tile = (name) =>
            Number(text(`.status-tile[data-status=${name}] .status-tile-number`));
        const statuses = ['help', 'stuck', 'error', 'active', 'idle'];
        const { cellsExecuted, errorCount } = metrics;
        return statuses.every((name) => tile(name) === metrics[name]) &&
            text('.class-totals').includes(`${cellsExecuted} runs · ${errorCount} failures`);
    })()";
    crate::support::until("the page and the relay to agree", || async {
        (page.value(same).await == true).then_some(())
    })
    .await;
    assert_eq!(page.complaints(), [""; 0]);
}
