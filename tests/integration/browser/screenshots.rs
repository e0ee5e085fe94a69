//! The screenshots of the documentation: `make pictures`.

use std::path::Path;

use serde_json::json;

use crate::support::browser::scenes::{self, OUTLINE};
use crate::support::browser::{Chrome, Page, classroom, page_of, says};
use crate::support::{Database, Issuer, Relay};

/// The largest file that belongs into a README.
const MOST_BYTES: usize = 100 * 1024;

async fn take(page: &Page, name: &str) {
    // Animations end meanwhile.
    page.value("new Promise((done) => setTimeout(done, 1500))").await;
    let image = page.small_screenshot().await;
    assert!(image.len() < MOST_BYTES, "{name} takes {} bytes", image.len());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name).with_extension("webp"), image).expect("a file");
}

/// Opens a class with these preferences.
async fn open(
    chrome: &Chrome,
    relay: &Relay,
    class: &str,
    size: (u32, u32, f64),
    chosen: &str,
) -> Page {
    let page = chrome.blank().await;
    page.size(size.0, size.1, size.2).await;
    page.scheme("light").await;
    let script = format!("localStorage.setItem('progress-relay', {})", json!(chosen));
    page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
    page.go(&page_of(relay, class)).await;
    page.until("document.documentElement.dataset.connection === 'live'").await;
    page
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes docs/screenshots"]
async fn screenshots() {
    const DESK: (u32, u32, f64) = (1280, 800, 1.0);
    const PHONE: (u32, u32, f64) = (390, 844, 1.5);
    let database = Database::migrated().await;
    classroom::fill(&database, "data-science-101", &classroom::lesson(500, 8)).await;
    scenes::fill(&database).await;
    let relay = Relay::start(&database, &[]).await;
    scenes::act(&relay).await;
    let chrome = Chrome::start().await;
    crate::support::until("the classes to be listed", || async {
        let listed = relay.connection().await.get("/api/classes").await.ok()?;
        String::from_utf8_lossy(&listed.body).contains("data-science-101").then_some(())
    })
    .await;

    let page = open(&chrome, &relay, "python-101", DESK, "{}").await;
    page.until(&says("#grid .card-count", "200")).await;
    page.until(
        "[...document.querySelectorAll('#stuck .error-message')]\
         .every((message) => message.textContent !== '…')",
    )
    .await;
    take(&page, "light").await;
    page.size(1280, 1050, 1.0).await;
    page.value("document.querySelector('#cells').scrollIntoView(); scrollBy(0, -60)").await;
    take(&page, "below").await;
    page.size(DESK.0, DESK.1, DESK.2).await;
    page.value("scrollTo(0, 0)").await;
    page.click("#stuck .student-name").await;
    page.until("document.querySelectorAll('.timeline li').length > 5").await;
    take(&page, "student").await;

    let page = open(&chrome, &relay, "python-101", DESK, r#"{"theme":"dark"}"#).await;
    take(&page, "dark").await;
    let page = open(&chrome, &relay, "python-101", DESK, r#"{"language":"ja"}"#).await;
    take(&page, "japanese").await;
    let page = open(
        &chrome,
        &relay,
        "python-101",
        (1920, 1080, 0.75),
        r#"{"projector":true,"theme":"dark"}"#,
    )
    .await;
    take(&page, "projector").await;
    let page = open(&chrome, &relay, "data-science-101", DESK, r#"{"gridOverview":true}"#).await;
    page.until(&says("#grid .card-count", "500")).await;
    take(&page, "everyone").await;
    let page = open(&chrome, &relay, "python-101", PHONE, "{}").await;
    take(&page, "phone").await;
    let page = open(&chrome, &relay, OUTLINE, DESK, "{}").await;
    page.until(&says("#grid .card-count", "25")).await;
    take(&page, "outline").await;
    let page = open(&chrome, &relay, "python-101", DESK, "{}").await;
    relay.kill().await;
    page.until("!document.querySelector('.connection-banner').hidden").await;
    take(&page, "offline").await;
}

/// The pages of signing in, in both languages and themes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes docs/screenshots"]
async fn sign_in_screenshots() {
    let database = Database::migrated().await;
    classroom::fill(&database, "python-101", &classroom::lesson(40, 7)).await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let chrome = Chrome::start().await;
    for (name, chosen) in
        [("sign-in", r#"{"theme":"light"}"#), ("sign-in-ja", r#"{"language":"ja","theme":"dark"}"#)]
    {
        let page = chrome.blank().await;
        page.call("Network.clearBrowserCookies", json!({})).await;
        page.size(1280, 800, 1.0).await;
        let script = format!("localStorage.setItem('progress-relay', {})", json!(chosen));
        page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
        page.go(&format!("{}/sign-in?next=/%3Fclass=python-101", relay.url)).await;
        page.until("document.querySelector('#token') !== null").await;
        page.value("document.querySelector('#token').value = 'wrong'").await;
        page.click(".sign-in button").await;
        page.until("document.querySelector('.sign-in-error') !== null").await;
        take(&page, name).await;
        // A token is good for 30 s beyond its end, since clocks differ.
        let end = std::time::SystemTime::now() - std::time::Duration::from_secs(12);
        let end = end.duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
        let token = issuer.sign(&json!({
            "sub": "ann@school.example",
            "role": "instructor",
            "classes": ["python-101"],
            "exp": end,
        }));
        page.value(&format!("document.querySelector('#token').value = {}", json!(token))).await;
        page.click(".sign-in button").await;
        page.until("document.documentElement.dataset.connection === 'live'").await;
        page.click(".account .icon-button").await;
        page.until("document.querySelector('.link-address').value.includes('#')").await;
        take(&page, &format!("{name}-link")).await;
        page.value("document.querySelector('.link-dialog').close()").await;
        page.until("document.documentElement.dataset.connection === 'signedOut'").await;
        take(&page, &format!("{name}-again")).await;
    }
}
