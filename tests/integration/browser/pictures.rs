//! Pictures of classes as they are met in a school, in every look of the page: `make pictures`
//! writes them into target/pictures, to be looked at by whoever changes the page.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::browser::scenes::{
    self, ASSISTED, BY_POSITION, LARGE, MORNING, OUTLINE, OWN_IDS, RECORDED, UNCONFIGURED,
};
use crate::support::browser::{Chrome, Page, page_of};
use crate::support::{Database, Relay};

/// A look of the page: its name, width, height, and what was chosen.
type Look = (&'static str, u32, u32, &'static str);

const LOOKS: &[Look] = &[
    ("light", 1280, 800, "{}"),
    ("dark", 1280, 800, r#"{"theme":"dark"}"#),
    ("projector", 1280, 720, r#"{"projector":true}"#),
    ("phone", 390, 844, "{}"),
    ("japanese", 1280, 800, r#"{"language":"ja"}"#),
];

/// Pictures of a class: their name, the class, and what is done before each further part is taken.
type Scene = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const GRID: &str = "document.querySelector('#grid').scrollIntoView(); scrollBy(0, -60)";
const TABLE: &str = "document.querySelectorAll('#grid .card-controls .icon-button')[1].click()";
const EVERYONE: &str = "document.querySelectorAll('#grid .card-controls .icon-button')[0].click()";
const SETTINGS: &str = "document.querySelector('.open-settings').click()";
const PLACE: &str = "document.querySelector('#cells').scrollIntoView(); scrollBy(0, -60)";
const ONE_CELL: &str = "document.querySelector('#cells tbody button').click()";
/// A projector begins without names, the other looks with them.
const NAMES_TICKED: &str = "document.querySelector('.one-cell .checkbox input').click()";
const DRAWER: &str = "document.querySelector('.one-cell').close(); \
     document.querySelector('#stuck .student-name, #help .student-name').click()";
const LESSONS: &str = "document.querySelector('.open-lessons').click()";
const DOWNLOADS: &str = "document.querySelector('.downloads').open = true";
/// A roster with two lines that are wrong, which somebody saves all the same.
const ROSTER_ERRORS: &str = "{ const input = document.querySelector('.roster-drop input'); \
     const files = new DataTransfer(); \
     files.items.add(new File(['id,name\\ns1,Ann\\ns1,Bob\\n,Cara\\n'], 'class.csv')); \
     input.files = files.files; input.dispatchEvent(new Event('change')); \
     setTimeout(() => document.querySelector('.settings-dialog form').requestSubmit(), 300); }";

/// Two other instructors look at the class, and one of them at a student.
const VIEWERS: &str = "Promise.all([['Ito'], ['Sato', 's004@example.com']].map(([by, student]) => \
     fetch('api/class/viewing?class=assisted', { method: 'POST', \
       headers: { 'content-type': 'application/json' }, \
       body: JSON.stringify({ by, student }) })))";

const SCENES: &[Scene] = &[
    ("nobody", "nobody", &[]),
    ("morning", MORNING, &[("absent", PLACE), ("lessons", LESSONS)]),
    ("own-ids", OWN_IDS, &[("grid", GRID), ("place", PLACE)]),
    ("by-position", BY_POSITION, &[("grid", GRID), ("place", PLACE)]),
    ("unconfigured", UNCONFIGURED, &[("grid", GRID)]),
    (
        "outline",
        OUTLINE,
        &[
            ("grid", GRID),
            ("everyone", EVERYONE),
            ("table", TABLE),
            ("settings", SETTINGS),
            ("roster-errors", ROSTER_ERRORS),
        ],
    ),
    (
        "one-cell",
        LARGE,
        &[("as-opened", ONE_CELL), ("other-way", NAMES_TICKED), ("drawer", DRAWER)],
    ),
    ("assisted", ASSISTED, &[("others", VIEWERS), ("downloads", DOWNLOADS)]),
    ("recorded", RECORDED, &[("grid", GRID)]),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures")
}

async fn take(page: &Page, name: &str) {
    // Animations end meanwhile.
    page.value("new Promise((done) => setTimeout(done, 1000))").await;
    std::fs::write(folder().join(name).with_extension("png"), page.screenshot().await)
        .expect("a file");
}

async fn open(chrome: &Chrome, url: &str, (_, width, height, chosen): Look) -> Page {
    let page = chrome.blank().await;
    page.size(width, height, 1.0).await;
    page.scheme("light").await;
    let script = format!("localStorage.setItem('progress-relay', {})", json!(chosen));
    page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
    page.go(url).await;
    page.until("['live', 'earlier'].includes(document.documentElement.dataset.connection)").await;
    page
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes target/pictures"]
async fn pictures() {
    std::fs::create_dir_all(folder()).expect("a folder");
    let database = Database::migrated().await;
    scenes::fill(&database).await;
    let relay = Relay::start(&database, &[]).await;
    scenes::act(&relay).await;
    let chrome = Chrome::start().await;
    for look in LOOKS {
        for (scene, class, parts) in SCENES {
            let page = open(&chrome, &page_of(&relay, class), *look).await;
            take(&page, &format!("{scene}-{}", look.0)).await;
            for (part, script) in *parts {
                page.value(script).await;
                take(&page, &format!("{scene}-{part}-{}", look.0)).await;
            }
            assert_eq!(page.complaints(), [""; 0], "{scene}");
            page.close().await;
        }
        let lessons = format!("fetch('api/class/lessons?class={MORNING}').then((a) => a.json())");
        let page = open(&chrome, &page_of(&relay, MORNING), *look).await;
        let listed = page.value(&lessons).await;
        let earlier = listed["lessons"][1]["id"].as_str().expect("a lesson of yesterday");
        page.close().await;
        let earlier = format!("{}&lesson={earlier}", page_of(&relay, MORNING));
        let page = open(&chrome, &earlier, *look).await;
        take(&page, &format!("earlier-{}", look.0)).await;
        page.close().await;
    }
}

/// Serves the same classes until it is stopped, for work on the page: `cargo test --test
/// integration -- --ignored --nocapture classes_to_look_at`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs until it is ended"]
async fn classes_to_look_at() {
    let database = Database::migrated().await;
    scenes::fill(&database).await;
    let relay = Relay::start(&database, &[]).await;
    scenes::act(&relay).await;
    println!("{}", page_of(&relay, LARGE));
    std::future::pending::<()>().await;
}
