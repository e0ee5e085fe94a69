//! The page under an instructor's hands: views, drawer, grid, languages.

use std::io::Read as _;

use bytes::Bytes;
use serde_json::json;

use crate::support::browser::{
    Chrome, MARK, MARKED, class_of_one, classroom, counts, event, page_of, run, says,
};
use crate::support::{Database, Relay};

#[tokio::test(flavor = "multi_thread")]
async fn a_class_is_shown_and_followed() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&json!([run("c", "s1", 1, None), run("c", "s2", 1, Some("NameError: x"))])).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.until(&says(".status-tile[data-status=active] .status-tile-number", "1")).await;
    page.until(&says(".status-tile[data-status=error] .status-tile-number", "1")).await;
    page.until(&says("#grid .card-count", "2")).await;
    page.until(&says("#cells .error-message", "NameError: x")).await;
    page.value(MARK).await;

    // After two more failures the student is stuck: the page shows the cell, the message and the
    // count.
    relay.post(&json!([run("c", "s2", 1, Some("NameError: x"))])).await;
    relay.post(&json!([run("c", "s2", 1, Some("\u{1b}[31mValueError\u{1b}[0m: y\nmore"))])).await;
    page.until(&says("#stuck .student-name", "Name of s2")).await;
    page.until(&says("#stuck .failure-count", "3")).await;
    page.until(&says("#stuck .error-message", "ValueError: y")).await;
    // Someone new.
    relay.post(&json!([run("c", "s3", 2, None)])).await;
    page.until(&says("#grid .card-count", "3")).await;
    page.until(&counts("#place .place-item", 2)).await;
    assert_eq!(page.value(MARKED).await, true);
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_download_of_the_menu_is_there() {
    let (_database, relay, chrome) = class_of_one("c ü").await;
    let page = chrome.open(&page_of(&relay, "c ü")).await;
    page.until(&says("#grid .card-count", "1")).await;
    page.click(".downloads > summary").await;
    page.until("document.querySelector('.downloads-list a').checkVisibility()").await;
    let links = "[...document.querySelectorAll('.downloads-list a')]";
    let links = page.value(&format!("{links}.map((a) => a.getAttribute('href'))")).await;
    let links = links.as_array().expect("links").clone();
    assert_eq!(links.len(), 4);
    for link in links {
        let target = format!("/{}", link.as_str().expect("a link"));
        // What is downloaded is what is shown.
        assert!(target.contains("lesson="), "{target}");
        let answer = relay.connection().await.get(&target).await.expect("an answer");
        assert_eq!(answer.status, 200, "{target}");
        let text = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
        assert!(text.contains("s1"), "{target}: {text}");
    }
    page.value("document.querySelector('.downloads-list a').focus()").await;
    page.press("Escape").await;
    page.until("!document.querySelector('.downloads').open").await;
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_goes_up_and_down_on_every_page() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    relays[0].post(&json!([run("c", "a/b ü", 1, None), run("c", "s2", 1, None)])).await;
    let chrome = Chrome::start().await;
    let here = chrome.open(&page_of(&relays[0], "c")).await;
    // Through another replica.
    let there = chrome.open(&page_of(&relays[1], "c")).await;
    for page in [&here, &there] {
        page.until("!document.querySelector('#help .empty-state').hidden").await;
    }
    relays[0].post(&json!([event("c", "s2", "help", &json!({}))])).await;
    relays[1].post(&json!([event("c", "a/b ü", "help", &json!({}))])).await;
    for page in [&here, &there] {
        page.until(&counts("#help .help-item", 2)).await;
        page.until(&says("#help .student-name", "Name of s2")).await;
        page.until("document.title.startsWith('(2) ')").await;
    }
    here.value("document.querySelectorAll('#help .primary-button')[1].focus()").await;
    here.value("document.activeElement.click()").await;
    for page in [&here, &there] {
        page.until(&counts("#help .help-item", 1)).await;
        page.until(&says("#help .student-name", "Name of s2")).await;
    }
    there.click("#help .primary-button").await;
    for page in [&here, &there] {
        page.until("!document.querySelector('#help .empty-state').hidden").await;
        assert_eq!(page.complaints(), [""; 0]);
    }
    // The client repeats its request for help until the student lowers the hand. A repeat does not
    // raise the hand again.
    relays[0].post(&json!([event("c", "s2", "help", &json!({})), run("c", "s2", 2, None)])).await;
    here.until(
        "document.querySelector('#overview-heading').parentElement.textContent.includes('3 runs')",
    )
    .await;
    assert_eq!(here.value("document.querySelectorAll('#help .help-item').length").await, 0);
}

/// The page shows everything that a student writes as text.
#[tokio::test(flavor = "multi_thread")]
async fn markup_is_text() {
    const MARKUP: &str =
        "<img src=x onerror=\"window.hacked = true\"><script>window.hacked = true</script>";
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let long = "ながい名前".repeat(60);
    let unbroken = "x".repeat(1000);
    let refused = event("c", &"n".repeat(10_000), "help", &json!({}));
    assert_eq!(relay.try_post(&json!([refused])).await.status, 422);
    let hostile = [
        json!({ "userName": MARKUP, "teamName": MARKUP, "notebookPath": MARKUP }),
        json!({ "userName": format!("\u{202e}{long}"), "teamName": unbroken }),
        json!({ "userName": unbroken, "teamName": "\u{202e}\u{2066}عربي" }),
    ];
    let mut events = Vec::new();
    for (number, names) in hostile.iter().enumerate() {
        // Resolving puts the student's name into a path.
        let student = ["<b>0</b>", "..", "%2e/../?#&"][number];
        for cell in [1, 1, 1] {
            let mut run = run("c", student, cell, Some(&format!("\u{1b}[31m{MARKUP}\u{1b}[0m")));
            run["code"] = format!("</pre>{MARKUP}\u{1b}]0;title\u{7}\u{202e}{unbroken}").into();
            run["result"] = format!("\u{1b}[1;38;5;9m{MARKUP}").into();
            run["cellId"] = format!("{MARKUP}{number}").into();
            for (key, value) in names.as_object().expect("an object") {
                run[key] = value.clone();
            }
            events.push(run);
        }
        let mut help = event("c", student, "help", &json!({}));
        for (key, value) in names.as_object().expect("an object") {
            help[key] = value.clone();
        }
        events.push(help);
    }
    relay.post(&json!(events)).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.until(&counts("#help .help-item", 3)).await;
    page.until(&says("#help .student-name", MARKUP)).await;
    for student in 0..3 {
        page.value(&format!("document.querySelectorAll('#help .student-name')[{student}].click()"))
            .await;
        page.until("document.querySelector('.drawer .timeline li') !== null").await;
        page.until(
            "document.querySelector('.drawer .run-code').textContent.startsWith('</pre><img')",
        )
        .await;
    }
    page.value("document.querySelectorAll('#grid .card-controls .icon-button')[1].click()").await;
    page.until(&counts(".grid-table tbody tr", 3)).await;
    assert_eq!(page.value("document.querySelectorAll('img, body script, b').length").await, 0);
    assert_eq!(page.value("window.hacked === undefined").await, true);
    for width in [1440, 390] {
        page.size(width, 900, 1.0).await;
        let wide = page.value("document.documentElement.scrollWidth - window.innerWidth").await;
        assert!(wide.as_i64().expect("a number") <= 0, "{width}: {wide} too wide");
    }
    page.value(
        "document.querySelectorAll('#help .primary-button').forEach((button) => button.click())",
    )
    .await;
    page.until(&counts("#help .help-item", 0)).await;
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keyboard_language_and_address() {
    let database = Database::migrated().await;
    classroom::fill(&database, "c", &classroom::lesson(30, 1)).await;
    let relay = Relay::start(&database, &[]).await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "c")).await;
    page.until(&says("#grid .card-count", "30")).await;
    // Through the grid by arrow keys; what it says is read out.
    page.value("document.querySelector('.grid-scroll').focus()").await;
    for key in ["ArrowDown", "ArrowDown", "ArrowRight"] {
        page.press(key).await;
    }
    page.until("/, Cell 3: /.test(document.querySelector('.grid-scroll [aria-live]').textContent)")
        .await;
    page.press("Enter").await;
    page.until("document.activeElement.id === 'drawer-name'").await;
    page.until("new URLSearchParams(location.search).get('student')?.endsWith('@example.com')")
        .await;
    page.press("Escape").await;
    page.until("document.activeElement.className.includes('grid-scroll')").await;
    // Every text of one language exists in the other.
    let strange = page
        .value(
            "(async () => {
               const load = (name) =>
                 import(new URL(`assets/js/strings/${name}.js`, document.baseURI));
               const [{ en }, { ja }] = await Promise.all([load('en'), load('ja')]);
               const names = (object, path = '') =>
                 Object.entries(object).flatMap(([name, value]) => typeof value === 'object'
                   ? names(value, `${path}${name}.`) : [`${path}${name}: ${typeof value}`]);
               return [names(en), names(ja)].flatMap((one, at, both) =>
                 one.filter((name) => !both[1 - at].includes(name)));
             })()",
        )
        .await;
    assert_eq!(strange, json!([]));
    // An address with a student opens that student, and the language stays.
    page.click("[lang=ja]").await;
    page.until(&says("#help-heading", "ヘルプ待ち")).await;
    assert_eq!(page.value("document.documentElement.lang").await, "ja");
    page.go(&format!("{}&student=s003%40example.com", page_of(&relay, "c"))).await;
    page.until(&says(".drawer .student-facts dt", "ID")).await;
    page.until("document.querySelector('.drawer').open").await;
    assert_eq!(page.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_class_is_chosen_without_a_reload() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay
        .post(&json!([run("a", "s1", 1, None), run("b", "s1", 1, None), run("b", "s2", 1, None)]))
        .await;
    let chrome = Chrome::start().await;
    let page = chrome.open(&page_of(&relay, "nobody")).await;
    page.until("!document.querySelector('.empty-class').hidden").await;
    page.value(MARK).await;
    page.until("document.querySelectorAll('.other-classes .chip').length === 2").await;
    page.click(".other-classes .chip").await;
    page.until(&says("#grid .card-count", "1")).await;
    page.until("document.title.includes('a · ')").await;
    page.until("[...document.querySelector('#class-picker').options].some((o) => o.value === 'b')")
        .await;
    page.value(
        "{ const p = document.querySelector('#class-picker'); p.value = 'b'; p.dispatchEvent(new \
             Event('change')); }",
    )
    .await;
    page.until(&says("#grid .card-count", "2")).await;
    page.value("history.back()").await;
    page.until(&says("#grid .card-count", "1")).await;
    // The first event of an empty class fills it.
    page.value("history.back()").await;
    page.until("!document.querySelector('.empty-class').hidden").await;
    page.until("document.documentElement.dataset.connection === 'live'").await;
    relay.post(&json!([run("nobody", "s1", 1, None)])).await;
    page.until(&says("#grid .card-count", "1")).await;
    assert_eq!(page.value(MARKED).await, true);
    assert_eq!(page.complaints(), [""; 0]);
}

/// The page asks for seven things until it shows the class, and for each of them once.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_few_requests() {
    let (_database, relay, chrome) = class_of_one("c ü").await;
    let page = chrome.open(&page_of(&relay, "c ü")).await;
    page.until(&says("#grid .card-count", "1")).await;
    let asked = "performance.getEntriesByType('resource')
      .map(({ name }) => new URL(name).pathname)
      .filter((path) => /assets|summary/.test(path) && !path.endsWith('.svg')).sort()";
    assert_eq!(
        page.value(asked).await,
        json!([
            "/api/class/summary",
            "/assets/boot.js",
            "/assets/early.js",
            "/assets/page.css",
            "/assets/page.js",
            "/assets/too-old.js"
        ])
    );
    assert_eq!(page.complaints(), [""; 0]);
}

/// Which origins may load the files of the page, and what the page may load.
#[tokio::test(flavor = "multi_thread")]
async fn files() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let mut connection = relay.connection().await;
    let index = connection.get("/").await.expect("an answer");
    assert_eq!(index.status, 200);
    assert_eq!(index.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = index.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"
    ));
    assert_eq!(index.header("x-content-type-options"), Some("nosniff"));
    let tag = index.header("etag").expect("a tag");
    let headers = [("if-none-match", tag), ("accept-encoding", "gzip")];
    let again = connection.request("GET", "/", &headers, Bytes::new()).await.expect("an answer");
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    let gzip =
        connection.request("GET", "/", &headers[1..], Bytes::new()).await.expect("an answer");
    let mut inflated = Vec::new();
    flate2::read::GzDecoder::new(&gzip.body[..]).read_to_end(&mut inflated).expect("gzip");
    assert_eq!((gzip.header("content-encoding"), &inflated[..]), (Some("gzip"), &index.body[..]));
    let script = connection.get("/assets/js/main.js?x=1").await.expect("an answer");
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(connection.get("/assets/js/none.js").await.expect("an answer").status, 404);
    assert_eq!(connection.get("/assets/../Cargo.toml").await.expect("an answer").status, 404);
}
