//! A browser signs in and out, by a token or a one-time link.

use std::time::Duration;

use serde_json::json;

use super::{give, is};
use crate::support::browser::{Chrome, MARK, MARKED, event, page_of, run, says};
use crate::support::{Database, Issuer, Proxy, Relay};

/// The shown text of the sign-in page's error.
const ERROR: &str = "document.querySelector('.sign-in-error')?.innerText";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_dashboard_until_the_sign_out() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    issuer
        .post(&relay, &json!([run("algebra", "s1", 1, None), run("botany", "s9", 1, None)]))
        .await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    page.go(&page_of(&relay, "algebra")).await;
    page.until(&is("signedOut")).await;
    page.click(".sign-in-link").await;

    give(&page, "wrong").await;
    page.until(&format!("{ERROR}?.startsWith('This token is not')")).await;
    let expired = issuer.sign(&json!({ "sub": "i", "role": "instructor", "exp": 1_000_000_000 }));
    give(&page, &expired).await;
    page.until(&format!("{ERROR}?.startsWith('This token has expired')")).await;
    give(&page, &issuer.token("w", "writer", &["*"])).await;
    page.until(&format!("{ERROR}?.includes('not for the dashboard')")).await;
    give(&page, &issuer.token("ann", "instructor", &["algebra"])).await;
    page.until(&is("live")).await;
    page.until(&says("#grid .card-count", "1")).await;
    page.until(&says(".account-name", "ann")).await;
    assert_eq!(page.value("location.search").await, "?class=algebra");
    assert_eq!(page.value("document.cookie").await, "", "no script reads the cookie");
    let options =
        "[...document.querySelectorAll('#class-picker option')].map((o) => o.value).join()";
    assert_eq!(page.value(options).await, "algebra", "the caller's classes alone");

    // Another class.
    page.go(&page_of(&relay, "botany")).await;
    page.until(&is("forbidden")).await;
    page.until("document.querySelector('.connection-banner').innerText.includes('“botany”')").await;

    // Another tab is signed out with this one.
    let other = chrome.open(&page_of(&relay, "algebra")).await;
    page.go(&page_of(&relay, "algebra")).await;
    page.until(&is("live")).await;
    page.click(".sign-out").await;
    for page in [&page, &other] {
        page.until("location.pathname === '/sign-in'").await;
        page.go(&page_of(&relay, "algebra")).await;
        page.until(&is("signedOut")).await;
    }
}

/// The session ends in mid-lesson. The page keeps what it shows, and goes on from its cursor once
/// somebody has signed in in another tab.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_leaves_no_gap() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    issuer.post(&relay, &json!([run("c", "s1", 1, None)])).await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    page.go(&page_of(&relay, "c")).await;
    page.until(&is("signedOut")).await;
    page.click(".sign-in-link").await;
    // A token is good for 30 s beyond its end, since clocks differ.
    let end = std::time::SystemTime::now() - Duration::from_secs(15);
    let end = end.duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    let claims = json!({ "sub": "ann", "role": "instructor", "classes": ["c"], "exp": end });
    give(&page, &issuer.sign(&claims)).await;
    page.until(&is("live")).await;
    page.until(&says("#grid .card-count", "1")).await;
    page.value(MARK).await;
    page.until(&is("signedOut")).await;
    page.until("document.querySelector('.connection-banner').innerText.includes('signed out')")
        .await;
    assert_eq!(page.value(says("#grid .card-count", "1").as_str()).await, true, "the view stays");
    issuer.post(&relay, &json!([run("c", "s2", 1, None), run("c", "s3", 1, None)])).await;

    let other = chrome.blank().await;
    other.go(&format!("{}/sign-in?next=/%3Fclass=c", relay.url)).await;
    give(&other, &issuer.token("ann", "instructor", &["c"])).await;
    other.until(&is("live")).await;
    page.until(&is("live")).await;
    page.until(&says("#grid .card-count", "3")).await;
    assert_eq!(page.value(MARKED).await, true);
    let asked = "performance.getEntriesByType('resource').filter((r) => \
         r.name.includes('/class/summary')).length";
    assert_eq!(page.value(asked).await, 1, "it went on from its cursor");
}

/// A one-time link opens the dashboard in another browser, which asks first; a second use fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_signs_in_once() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let replica = issuer.relay(&database, &[]).await;
    issuer.post(&relay, &json!([run("c", "s1", 1, None)])).await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    page.go(&format!("{}/sign-in?next=/%3Fclass=c", relay.url)).await;
    give(&page, &issuer.token("ann", "instructor", &["c"])).await;
    page.until(&is("live")).await;
    page.click(".account .icon-button").await;
    page.until("document.querySelector('.link-address').value.includes('#')").await;
    let link = page.value("document.querySelector('.link-address').value").await;
    let link = link.as_str().expect("a link").to_owned();

    // The projector's browser has no cookie, and reaches another replica.
    page.call("Network.clearBrowserCookies", json!({})).await;
    let link = link.replace(&relay.url.authority(), &replica.url.authority());
    let projector = chrome.blank().await;
    projector.go(&link).await;
    projector.until("document.querySelector('.sign-in-by-link')?.hidden === false").await;
    assert_eq!(projector.value("location.hash").await, "", "the code is out of the address");
    projector.click(".sign-in button").await;
    projector.until(&is("live")).await;
    projector.until(&says(".account-name", "ann")).await;
    assert_eq!(projector.value("location.search").await, "?class=c");

    let second = chrome.blank().await;
    second.go(&link).await;
    second.click(".sign-in button").await;
    second.until(&format!("{ERROR} !== undefined")).await;
    for relay in [&relay, &replica] {
        let code = link.rsplit_once('#').expect("a code").1;
        assert!(!relay.log().contains(code), "the code is in no log");
    }
}

/// A page of another origin can neither sign a browser in nor act with its session.
#[tokio::test(flavor = "multi_thread")]
async fn another_sites_page_neither_signs_in_nor_acts() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    issuer.post(&relay, &json!([run("c", "s1", 1, None)])).await;
    issuer.post(&relay, &json!([event("c", "s1", "help", &json!({}))])).await;
    let chrome = Chrome::start().await;
    // Another port is another origin; "localhost" is another site than 127.0.0.1.
    let elsewhere = Relay::start(&database, &[]).await;
    let elsewhere = elsewhere.url.to_string().replace("127.0.0.1", "localhost");
    let evil = chrome.blank().await;
    evil.go(&format!("{elsewhere}/healthz")).await;
    let token = issuer.token("mallory", "instructor", &["c"]);
    let form = |path: &str, name: &str, value: &str| {
        let action = json!(format!("{}/{path}", relay.url));
        format!(
            "const form = document.createElement('form'); form.method = 'post'; \
             form.action = {action}; const field = document.createElement('input'); \
             field.name = {}; field.value = {}; form.append(field); \
             document.documentElement.append(form); form.submit()",
            json!(name),
            json!(value),
        )
    };
    let answer = "document.documentElement?.textContent";
    // /healthz has the policy of data, which forbids forms: the victim's browser must not be the
    // one that protects here.
    evil.call("Page.setBypassCSP", json!({ "enabled": true })).await;
    evil.go(&format!("{elsewhere}/healthz")).await;
    evil.value(&form("sign-in", "token", &token)).await;
    evil.until(&format!("{answer}.includes('not-allowed')||{answer}.includes('cross-site')")).await;
    let cookies = evil.call("Network.getCookies", json!({ "urls": [relay.url.to_string()] })).await;
    assert_eq!(cookies["cookies"], json!([]), "nobody was signed in");

    let page = chrome.blank().await;
    page.go(&format!("{}/sign-in?next=/%3Fclass=c", relay.url)).await;
    give(&page, &issuer.token("ann", "instructor", &["c"])).await;
    page.until(&is("live")).await;
    page.until("document.querySelectorAll('#help .help-item').length === 1").await;
    for path in ["api/class/students/s1/help/resolve?class=c", "sign-in/link", "sign-out"] {
        evil.go(&format!("{elsewhere}/healthz")).await;
        evil.value(&form(path, "x", "y")).await;
        let refusals = ["not-allowed", "cross-site", "unauthorized"];
        let refused = refusals.map(|name| format!("{answer}.includes('{name}')")).join("||");
        evil.until(&refused).await;
    }
    page.until("document.querySelectorAll('#help .help-item').length === 1").await;
    assert_eq!(page.value("fetch('api/me').then((me) => me.status)").await, 200);
}

/// After signing in a browser stays at the relay, whatever the link to the page says.
#[tokio::test(flavor = "multi_thread")]
async fn the_sign_in_leads_nowhere_else() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let token = issuer.token("ann", "instructor", &["c"]);
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    for next in [
        "https://evil.example/",
        "HTTPS:evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        " //evil.example",
        "/.//evil.example",
        "/%2e//evil.example",
        "/%09/evil.example",
        "/@evil.example/../..//evil.example",
        "javascript:location='https://evil.example'",
        "/\r\nLocation: https://evil.example/",
    ] {
        let mut url = url::Url::parse(&format!("{}/sign-in", relay.url)).expect("a URL");
        url.query_pairs_mut().append_pair("next", next);
        page.go(url.as_str()).await;
        give(&page, &token).await;
        page.until("location.pathname === '/' && document.querySelector('.page-header') !== null")
            .await;
        assert_eq!(page.value("location.host").await, relay.url.authority(), "{next}");
    }
}

/// Where a proxy lets no WebSocket through, the page follows the class by the event stream, and
/// says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_without_websockets_gets_the_stream() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&json!([run("c", "s1", 1, None)])).await;
    let proxy = Proxy::without_upgrades(&relay.url).await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    page.go(&format!("{}/?class=c", proxy.url())).await;
    page.until(&is("live")).await;
    let banner = "document.querySelector('.connection-banner')";
    page.until(&format!("!{banner}.hidden && {banner}.innerText.includes('event stream')")).await;
    page.value(MARK).await;
    relay.post(&json!([run("c", "s2", 1, None)])).await;
    page.until(&says("#grid .card-count", "2")).await;
    assert_eq!(page.value(MARKED).await, true);
}

/// A browser that lacks what the page needs says so in words.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_too_old_is_told_so() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    let script = json!({ "source": "delete AbortSignal.any" });
    page.call("Page.addScriptToEvaluateOnNewDocument", script).await;
    page.go(&page_of(&relay, "c")).await;
    page.until("document.body?.innerText.includes('This browser is too old')").await;
    page.until("document.body.innerText.includes('古い')").await;
    assert_eq!(page.value("document.querySelector('.page-header')").await, json!(null));
}
