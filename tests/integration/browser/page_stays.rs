//! What an instructor does not lose: the page, the focus, what was typed, the way back.

use serde_json::{Value, json};

use super::is;
use super::lesson::set;
use crate::support::browser::{Page, class_of_one, counts, event, page_of, run, says};
use crate::support::data_folder;

/// Marks what `build` of the page would make again.
const MARK_MADE: &str = "document.querySelector('main').marked = true";
const MADE_MARKED: &str = "document.querySelector('main').marked === true";

/// Whether the first element of a selector has the focus.
fn has_focus(selector: &str) -> String {
    format!("document.activeElement === document.querySelector({})", json!(selector))
}

/// Gives the focus to the first element of a selector and presses Enter there.
async fn enter(page: &Page, selector: &str) {
    page.until(&format!("document.querySelector({})?.checkVisibility()", json!(selector))).await;
    page.value(&format!("document.querySelector({}).focus()", json!(selector))).await;
    page.press("Enter").await;
}

/// Drops files onto the edge of the page, as from a file manager: beside an open dialog too.
async fn drop_files(page: &Page, paths: &[String]) {
    let data = json!({ "items": [], "files": paths, "dragOperationsMask": 1 });
    for kind in ["dragEnter", "dragOver", "drop"] {
        let event = json!({ "type": kind, "x": 20, "y": 400, "data": data });
        page.call("Input.dispatchDragEvent", event).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_within_the_page_reads_nothing_again() {
    let (_database, relay, chrome) = class_of_one("c").await;
    set(&relay, &json!({ "roster": [{ "id": "s1" }, { "id": "s2", "name": "Bea" }] })).await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.until(&says(".attendance", "1 of 2 here")).await;
    page.value(MARK_MADE).await;
    for (link, target) in [(".attendance", "#absent"), (".skip-link", "#help")] {
        enter(&page, link).await;
        page.until(&format!("location.hash === '{target}' && {}", has_focus(target))).await;
    }
    page.value("history.back()").await;
    page.until("location.hash === '#absent'").await;
    assert_eq!(page.value(MADE_MARKED).await, true);
    assert_eq!(page.value("document.documentElement.dataset.connection").await, "live");
    let asked = "performance.getEntriesByType('resource').filter((r) => \
         r.name.includes('/class/summary')).length";
    assert_eq!(page.value(asked).await, 1);
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_dropped_anywhere() {
    let (_database, relay, chrome) = class_of_one("c").await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.value(MARK_MADE).await;
    let folder = data_folder();
    let path = |name: &str| folder.join(name).display().to_string();
    std::fs::create_dir_all(folder.join("folder")).expect("a folder");
    let notebook = r#"{"nbformat":4,"nbformat_minor":5,"cells":[
        {"cell_type":"code","id":"a","source":"x = 1","metadata":{}}]}"#;
    for (name, content) in [
        ("class.csv", "id,name\ns1,Ann\ns2,Bea\n"),
        ("notes.pdf", "%PDF-1.4\n1 0 obj\n"),
        ("100% #1.ipynb", notebook),
    ] {
        std::fs::write(folder.join(name), content).expect("a file");
    }
    // The dialog opens, and takes the file as if it had been chosen there.
    drop_files(&page, &[path("class.csv")]).await;
    page.until(&counts(".roster-preview tbody tr", 2)).await;
    for (wrong, words) in [
        (vec![path("notes.pdf")], "The file is no table. Save the list as CSV."),
        (vec![path("folder")], "The file cannot be read. Is it a folder, or was it moved?"),
        (
            vec![path("class.csv"), path("notes.pdf")],
            "These are several files. A class has one roster: drop one file.",
        ),
    ] {
        drop_files(&page, &wrong).await;
        page.until(&says(".roster-errors li", words)).await;
    }
    drop_files(&page, &[path("100% #1.ipynb")]).await;
    let named = "document.querySelector('.outline-item > input')?.value";
    page.until(&format!("{named} === '100% #1.ipynb'")).await;
    // What is being written about one notebook is not lost when another one is dropped.
    page.value("document.querySelector('.outline-item > input').select()").await;
    page.write("week1/a.ipynb").await;
    drop_files(&page, &[path("100% #1.ipynb")]).await;
    page.until(&counts(".outline-item", 2)).await;
    assert_eq!(page.value(named).await, "week1/a.ipynb");
    // In another dialog there is no place for a file.
    page.press("Escape").await;
    page.until("document.querySelector('dialog[open]') === null").await;
    page.click(".open-new-lesson").await;
    drop_files(&page, &[path("class.csv")]).await;
    assert_eq!(page.value("document.querySelectorAll('dialog[open]').length").await, 1);
    assert_eq!(page.value(MADE_MARKED).await, true);
    assert_eq!(page.complaints(), [""; 0]);
}

/// Listeners, nodes and bytes of the heap.
async fn held(page: &Page) -> [f64; 3] {
    for _ in 0..3 {
        page.call("HeapProfiler.collectGarbage", json!({})).await;
    }
    let metrics = page.call("Performance.getMetrics", json!({})).await;
    let metrics = metrics["metrics"].as_array().cloned().unwrap_or_default();
    ["JSEventListeners", "Nodes", "JSHeapUsedSize"].map(|name| {
        let metric = metrics.iter().find(|metric| metric["name"] == name);
        metric.and_then(|metric| metric["value"].as_f64()).expect("a number")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_language_is_changed_a_hundred_times() {
    let (_database, relay, chrome) = class_of_one("c").await;
    relay.post(&json!([run("c", "s2", 2, Some("E"))])).await;
    let page = chrome.open(&format!("{}&student=s2", page_of(&relay, "c"))).await;
    page.call("Performance.enable", json!({})).await;
    page.until(&says("#grid .card-count", "2")).await;
    page.value(
        "{ const search = document.querySelector('.grid-search input'); search.value = 's2'; \
         search.dispatchEvent(new Event('input')); }",
    )
    .await;
    page.click(".status-tile[data-status=error]").await;
    page.until(&says("#grid .card-count", "1")).await;
    page.until("document.querySelector('.drawer[open] .timeline li') !== null").await;
    let change = |times: usize| {
        format!(
            "(async () => {{ for (let time = 0; time < {times}; time += 1) {{ \
             const code = time % 2 ? 'en' : 'ja'; \
             document.querySelector(`.language-control [lang=${{code}}]`).click(); \
             await new Promise(requestAnimationFrame); }} }})()"
        )
    };
    page.value(&change(10)).await;
    page.until("document.querySelector('.drawer[open] .timeline li') !== null").await;
    let [listeners, nodes, heap] = held(&page).await;
    page.value(&change(100)).await;
    page.until("document.querySelector('.drawer[open] .timeline li') !== null").await;
    let [more_listeners, more_nodes, more_heap] = held(&page).await;
    assert!(more_listeners <= listeners + 10.0, "{listeners} → {more_listeners} listeners");
    assert!(more_nodes <= nodes + 200.0, "{nodes} → {more_nodes} nodes");
    assert!(more_heap <= heap + 2e6, "{heap} → {more_heap} bytes");
    // What was chosen and typed is there, and the focus where the language was chosen.
    page.until(&has_focus(".language-control [lang=en]")).await;
    let found = "document.querySelector('.grid-search input').value";
    assert_eq!(page.value(found).await, "s2");
    page.until(&says("#grid .card-count", "1")).await;
    page.until("!document.querySelector('.grid-filter').hidden").await;
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_focus_goes_on_when_its_element_is_gone() {
    let (_database, relay, chrome) = class_of_one("c").await;
    let until_stop = json!({ "until": "help_stop" });
    relay.post(&json!([event("c", "s1", "help", &until_stop)])).await;
    let page = chrome.blank().await;
    let chosen = r#"localStorage.setItem("progress-relay", '{"ownName":"Ito"}')"#;
    page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": chosen })).await;
    page.go(&page_of(&relay, "c")).await;
    // Who goes has the focus on the way back; the button beside it would lower the hand.
    enter(&page, ".help-claim").await;
    page.until(&has_focus(".help-release")).await;
    page.press("Enter").await;
    page.until(&has_focus(".help-claim")).await;
    enter(&page, ".help-actions .primary-button").await;
    page.until(&format!("{} && {}", counts(".help-item", 0), has_focus("#help"))).await;
    // A dialog of the menu gives it back to the menu.
    for item in ["settings", "new-lesson", "lessons"] {
        enter(&page, ".class-menu summary").await;
        enter(&page, &format!(".open-{item}")).await;
        page.until("document.querySelector('.class-menu-control dialog[open]') !== null").await;
        page.press("Escape").await;
        page.until(&has_focus(".class-menu summary")).await;
    }
    // The table is made again while a student of it is looked at.
    enter(&page, "#grid .icon-button:last-of-type").await;
    enter(&page, ".grid-run").await;
    page.until("document.querySelector('.drawer[open]') !== null").await;
    relay.post(&json!([run("c", "s2", 1, None)])).await;
    page.until(&counts(".grid-table tbody tr", 2)).await;
    page.press("Escape").await;
    page.until(&has_focus("#grid")).await;
    // A name in one cell of all students stays while others come.
    enter(&page, ".grid-table thead button").await;
    enter(&page, ".answer-named .student-name").await;
    page.until("document.querySelector('.drawer[open]') !== null").await;
    relay.post(&json!([run("c", "s3", 1, None)])).await;
    page.until(&counts(".answer-named .student-name", 3)).await;
    page.press("Escape").await;
    page.until(&has_focus(".answer-named .student-name")).await;
    // Somebody comes who has not run the cell.
    relay.post(&json!([run("c", "s4", 2, None)])).await;
    let counted = "document.querySelector('.one-cell-counts').textContent";
    page.until(&format!("{counted}.startsWith('3 of 4 ')")).await;
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_wrong_lead_on() {
    let (_database, relay, chrome) = class_of_one("c").await;
    let url = page_of(&relay, "c");
    let page = chrome.open(&page_of(&relay, "other")).await;
    // A link to a lesson that still goes on is not a step to which the way back leads.
    let lessons = relay.connection().await.get("/api/class/lessons?class=c").await;
    let lessons: Value = serde_json::from_slice(&lessons.expect("an answer").body).expect("JSON");
    let current = lessons["lessons"][0]["id"].as_str().expect("an id").to_owned();
    page.go(&format!("{url}&lesson={current}")).await;
    page.until(&format!("location.search === '?class=c' && {}", is("live"))).await;
    page.value("history.back()").await;
    page.until(&format!("location.search === '?class=other' && {}", is("live"))).await;
    // A lesson that never was: one sentence, and the way to the current one.
    for lesson in ["999999", "abc"] {
        page.go(&format!("{url}&lesson={lesson}&student=")).await;
        page.until(&is("refused")).await;
        page.until(&says(".earlier-lesson p span", "The class has had no such lesson.")).await;
        assert_eq!(page.value("document.querySelector('.connection-banner').hidden").await, true);
        assert_eq!(page.value("document.querySelector('.drawer').open").await, false);
        page.click(".earlier-lesson button").await;
        page.until(&is("live")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_may_be_anything() {
    let (_database, relay, chrome) = class_of_one("c").await;
    let nonsense = json!({ "language": "xx; !", "theme": "purple", "activityMinutes": 1e9,
        "gridSort": "q", "answerOrder": "zz", "limits": [null, ["c", 5]], "ownName": 7 });
    let store = |text: &str| format!("localStorage.setItem('progress-relay', {})", json!(text));
    let forbidden = "const forbidden = () => { throw new DOMException('no', 'SecurityError'); }; \
         Object.defineProperty(window, 'localStorage', { get: forbidden }); \
         window.BroadcastChannel = class { constructor() { forbidden(); } };"
        .to_owned();
    for script in [store(&nonsense.to_string()), store("null"), store("{"), forbidden] {
        let page = chrome.blank().await;
        page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
        page.go(&page_of(&relay, "c")).await;
        page.until(&format!("{} && {}", is("live"), says("#grid .card-count", "1"))).await;
        page.click(".language-control [lang=ja]").await;
        page.until("document.documentElement.lang === 'ja'").await;
        page.until(&counts(".activity-chart g", 60)).await;
        assert_eq!(page.complaints(), [""; 0], "{script}");
        page.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_cell_follows_the_settings() {
    let (_database, relay, chrome) = class_of_one("c").await;
    let mut other = run("c", "s2", 1, None);
    other["cellId"] = "own".into();
    relay.post(&json!([other])).await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.click("#grid .icon-button:last-of-type").await;
    page.click(".grid-table thead button").await;
    let counted = "document.querySelector('.one-cell-counts').textContent";
    page.until(&format!("{counted}.startsWith('1 of 2 ')")).await;
    set(&relay, &json!({ "cellsBy": "position" })).await;
    page.until(&format!("{counted}.startsWith('2 of 2 ')")).await;
    // The language changes, and it stays open.
    page.click(".language-control [lang=ja]").await;
    page.until("document.querySelector('.one-cell[open] h2').textContent === 'セル2'").await;
    page.until(&counts(".answer-named .student-name", 2)).await;
    page.press("Escape").await;
    page.until("!document.querySelector('.one-cell').open").await;
    page.click(".language-control [lang=en]").await;
    page.until("document.documentElement.lang === 'en'").await;
    assert_eq!(page.value("document.querySelector('.one-cell').open").await, false);
    assert_eq!(page.complaints(), [""; 0]);
}
