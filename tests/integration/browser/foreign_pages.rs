//! Pages of other sites, in the browser of somebody who has signed in: they show the relay in a
//! frame, plant a cookie, open a WebSocket, point a name of theirs at the relay, or wait for a
//! token in `Referer`. Each test also sees the browser do for the relay's own page, or for an
//! allowed one, what it refuses to the others.

use serde_json::{Value, json};

use super::{give, is};
use crate::support::browser::{Chrome, Page, Site, page_of, run, says};
use crate::support::{Database, Issuer, Proxy, Relay};

/// A page that shows these addresses in frames.
fn frames(addresses: &[&str]) -> String {
    addresses.iter().map(|address| format!("<iframe src=\"{address}\"></iframe>")).collect()
}

/// Opens a page of a site and waits until it is there.
async fn visit(page: &Page, url: &str) {
    page.go(url).await;
    page.until("document.title === 'site' && document.readyState === 'complete'").await;
}

/// Signs a browser in at this address of the relay.
async fn sign_in(page: &Page, relay: &str, token: &str) {
    page.go(&format!("{relay}/sign-in?next=/%3Fclass=c")).await;
    give(page, token).await;
    page.until(&is("live")).await;
}

/// How many frames the browser has refused to show, in its own words.
fn refused_frames(page: &Page) -> usize {
    page.complaints().iter().filter(|complaint| complaint.contains("frame-ancestors")).count()
}

/// No page of another origin shows the dashboard or the sign-in page, not even one of the same
/// site.
#[tokio::test(flavor = "multi_thread")]
async fn no_other_page_frames_the_relay() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let site = Site::start().await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    sign_in(&page, &relay.url.to_string(), &issuer.token("ann", "instructor", &["c"])).await;
    let (dashboard, form) = (page_of(&relay, "c"), format!("{}/sign-in", relay.url));
    site.show(&frames(&[&dashboard, &form]));
    for name in ["localhost", "127.0.0.1"] {
        let page = chrome.blank().await;
        visit(&page, &site.origin(name)).await;
        crate::support::until("the browser to refuse both", async || {
            (refused_frames(&page) == 2).then_some(())
        })
        .await;
        assert!(page.find_frame(&relay.url.to_string()).await.is_none(), "{name}");
    }
}

/// `--frame-ancestors` admits the pages that it names, and no other. Within the same site the frame
/// is signed in as the browser is. On another site's page the browser keeps the cookie back, and
/// the frame is signed out. No frame shows the sign-in page.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_is_for_those_that_are_named() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let site = Site::start().await;
    let [school, elsewhere] = ["lab.school.test", "lab.elsewhere.test"].map(|n| site.origin(n));
    let flags = ["--frame-ancestors", &school, "--frame-ancestors", &elsewhere];
    let own = ["--allow-origin", "http://relay.school.test"];
    let relay = issuer.relay(&database, &[&flags[..], &own].concat()).await;
    issuer.post(&relay, &json!([run("c", "s1", 1, None)])).await;
    let address = relay.url.to_string().replace("127.0.0.1", "relay.school.test");
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    sign_in(&page, &address, &issuer.token("ann", "instructor", &["c"])).await;
    let dashboard = format!("{address}/?class=c");
    site.show(&frames(&[&dashboard, &format!("{address}/sign-in")]));

    for (origin, admitted) in
        [(&*school, true), (&*elsewhere, true), (&*site.origin("lab.evil.test"), false)]
    {
        let page = chrome.blank().await;
        visit(&page, origin).await;
        crate::support::until("the browser to refuse what it must", async || {
            (refused_frames(&page) == if admitted { 1 } else { 2 }).then_some(())
        })
        .await;
        assert!(page.find_frame(&format!("{address}/sign-in")).await.is_none(), "{origin}");
        if !admitted {
            assert!(page.find_frame(&address).await.is_none(), "{origin}");
            continue;
        }
        let frame = page.frame(&dashboard).await;
        if origin == school {
            frame.until(&is("live")).await;
            frame.until(&says("#grid .card-count", "1")).await;
        } else {
            frame.until(&is("signedOut")).await;
            // In the frame itself the sign-in page would be refused.
            frame.until("document.querySelector('.sign-in-link').target === '_blank'").await;
        }
    }
}

/// A token in a page's address goes nowhere else: not by `Referer`, whatever the page leads to, and
/// not into the browser's history.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_address_stays_there() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let site = Site::start().await;
    let target = site.origin("localhost");
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    let token = issuer.token("ann", "instructor", &["c"]);
    // What a browser does without the relay's headers: the site itself sees where one comes from.
    visit(&page, &format!("{target}/from?token=seen")).await;
    lead(&page, &format!("{target}/control")).await;
    assert!(site.requests("/control")[0].contains("token=seen"));

    let paths = ["/?class=c", "/sign-in?next=/", "/healthz?x", "/api/class/events?class=c", "/no?"];
    for (n, path) in paths.iter().enumerate() {
        page.go(&format!("{}{path}&token={token}", relay.url)).await;
        page.until("document.readyState === 'complete' && document.body !== null").await;
        if n < 2 {
            page.until("!location.href.includes('token')").await;
            let kept = page.value("location.pathname + location.search").await;
            assert_eq!(kept.as_str(), Some(path.replace("=/", "=%2F").as_str()));
        }
        lead(&page, &format!("{target}/to-{n}")).await;
        let seen = site.requests(&format!("/to-{n}"));
        let referer = seen[0].lines().find(|line| line.starts_with("referer:"));
        assert_eq!(referer, None, "from {path}");
    }
    let history = page.call("Page.getNavigationHistory", json!({})).await;
    let entries = history["entries"].as_array().expect("entries").iter();
    let pages: Vec<_> = entries.filter_map(|entry| entry["url"].as_str()).collect();
    for path in ["/?class=c", "/sign-in?next=%2F"] {
        assert!(pages.contains(&&*format!("{}{path}", relay.url)), "{pages:?}");
    }
    // A token in the address signs nobody in: the link may be somebody else's.
    page.go(&format!("{}&token={token}", page_of(&relay, "c"))).await;
    page.until(&is("signedOut")).await;
    page.click(".sign-in-link").await;
    page.until("location.pathname === '/sign-in'").await;
    assert_eq!(page.value("location.href.includes('token')").await, false);
}

/// Follows a link to `url`, as a click of a person does.
async fn lead(page: &Page, url: &str) {
    let link = format!(
        "const link = document.createElement('a'); link.href = {}; document.body.append(link); \
         setTimeout(() => link.click())",
        json!(url)
    );
    page.value(&format!("(() => {{ {link} }})()")).await;
    page.until(&format!("location.href === {} && document.title === 'site'", json!(url))).await;
}

/// What a page gets when it asks the relay with the browser's cookies: of each way what came of it.
async fn ask(page: &Page, relay: &str) -> Value {
    let script = "(async (relay) => {
        const got = async (path, options) => {
            try {
                const answer = await fetch(relay + path, { credentials: 'include', ...options });
                return `${answer.type} ${answer.status}`;
            } catch { return 'failed'; }
        };
        const socket = new Promise((done) => {
            const socket = new WebSocket(relay.replace('http', 'ws') + '/ws/connect?class=c');
            socket.onmessage = ({ data }) => done(data);
            socket.onclose = ({ code, reason }) => done(`${code} ${reason.split(':')[0]}`);
        });
        const stream = new Promise((done) => {
            const url = relay + '/api/class/stream?class=c';
            const stream = new EventSource(url, { withCredentials: true });
            const finish = (word) => { stream.close(); done(word); };
            for (const name of ['message', 'progress', 'live', 'mark']) {
                stream.addEventListener(name, () => finish('message'));
            }
            stream.onerror = () => finish('failed');
        });
        return {
            summary: await got('/api/class/summary?class=c'),
            opaque: await got('/api/class/summary?class=c', { mode: 'no-cors' }),
            socket: await socket,
            stream: await stream,
            act: await got('/api/class/students/s1/help/resolve?class=c', { method: 'POST' }),
        };
    })";
    page.value(&format!("{script}({})", json!(relay))).await
}

/// Another page opens the WebSocket with the victim's cookie. On another site the browser keeps the
/// cookie back; on the same site, which another port is, it sends it.
#[tokio::test(flavor = "multi_thread")]
async fn no_other_page_follows_or_reads_a_class() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    issuer.post(&relay, &json!([run("c", "s1", 1, None)])).await;
    let site = Site::start().await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    let address = relay.url.to_string();
    sign_in(&page, &address, &issuer.token("ann", "instructor", &["c"])).await;
    let own = ask(&page, &address).await;
    assert_eq!(own["summary"], "basic 200", "{own}");
    assert!(own["socket"].as_str().is_some_and(|frame| frame.contains("\"type\":")), "{own}");
    assert_eq!((&own["stream"], &own["act"]), (&json!("message"), &json!("basic 200")), "{own}");
    for name in ["127.0.0.1", "localhost"] {
        let evil = chrome.blank().await;
        visit(&evil, &site.origin(name)).await;
        let got = ask(&evil, &address).await;
        let expected = json!({
            "summary": "failed",
            // The answer may not even be embedded: Cross-Origin-Resource-Policy.
            "opaque": "failed",
            "socket": "1008 origin",
            "stream": "failed",
            "act": "failed",
        });
        assert_eq!(got, expected, "{name}");
    }
}

/// A name of somebody else's leads to his site first, and to the relay a moment later (DNS
/// rebinding): then his page is of the relay's origin. The relay goes by its own names alone, also
/// where nobody has to sign in.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_rebound_reaches_nothing() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&json!([run("c", "s1", 1, None)])).await;
    let site = Site::start().await;
    let name = Proxy::to(&site.address()).await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    // By one of the relay's own names the page that stays open would reach it.
    for (host, reached) in [("rebound.test", false), ("localhost", true)] {
        name.lead_to(&site.address());
        let origin = name.url().replace("127.0.0.1", host);
        visit(&page, &origin).await;
        name.lead_to(&relay.url);
        let got = ask(&page, &origin).await;
        let expected = match reached {
            false => json!(["basic 403", "basic 403", "1008 origin", "failed", "basic 403"]),
            true => json!(["basic 200", "basic 200", &got["socket"], "message", "basic 200"]),
        };
        let ways = ["summary", "opaque", "socket", "stream", "act"].map(|way| &got[way]);
        assert_eq!(json!(ways), expected, "{host}");
    }
}

/// A cookie that was there before the sign-in is replaced by it. One that another host of the
/// domain has planted cannot be replaced: then nobody is signed in, and the page says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_cookie_signs_nobody_in() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &["--allow-origin", "http://relay.school.test"]).await;
    issuer.post(&relay, &json!([run("c", "s1", 1, None)])).await;
    let address = relay.url.to_string().replace("127.0.0.1", "relay.school.test");
    let (ann, mallory) = (
        issuer.token("ann", "instructor", &["c"]),
        issuer.token("mallory", "instructor", &["c", "m"]),
    );
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    let me = "fetch('api/me').then((me) => me.json()).then((me) => me.subject ?? me.status)";
    sign_in(&page, &address, &mallory).await;
    assert_eq!(page.value(me).await, "mallory");
    let cookies = page.call("Network.getCookies", json!({ "urls": [address] })).await;
    let planted = cookies["cookies"][0]["value"].as_str().expect("a cookie").to_owned();

    // The relay's own cookie, with the value of mallory's session.
    sign_in(&page, &address, &ann).await;
    assert_eq!(page.value(me).await, "ann");
    let cookies = page.call("Network.getCookies", json!({ "urls": [address] })).await;
    assert_eq!(cookies["cookies"].as_array().map(Vec::len), Some(1), "{cookies}");
    assert_ne!(cookies["cookies"][0]["value"], *planted);

    // Another host of the domain sets it for the whole domain, from its own page.
    let site = Site::start().await;
    let evil = chrome.blank().await;
    visit(&evil, &site.origin("evil.school.test")).await;
    for path in ["/", "/api"] {
        let cookie = format!("progress-relay={planted}; Domain=school.test; Path={path}");
        evil.value(&format!("document.cookie = {}", json!(cookie))).await;
    }
    page.go(&format!("{address}/?class=c")).await;
    page.until(&is("signedOut")).await;
    assert_eq!(page.value(me).await, 401);
    page.click(".sign-in-link").await;
    page.until("document.querySelector('.sign-in-error')?.innerText.includes('Another site')")
        .await;
    give(&page, &ann).await;
    page.until(&is("signedOut")).await;
    // Without the planted cookies the browser is ann's again.
    for path in ["/", "/api"] {
        let gone = format!("progress-relay=; Domain=school.test; Path={path}; Max-Age=0");
        evil.value(&format!("document.cookie = {}", json!(gone))).await;
    }
    page.go(&format!("{address}/?class=c")).await;
    page.until(&is("live")).await;
    assert_eq!(page.value(me).await, "ann");
}

/// A page of another site has a browser sign in as its owner, by every kind of form that a page can
/// send without a word of the visitor's: none works.
#[tokio::test(flavor = "multi_thread")]
async fn no_other_page_signs_a_browser_in() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let site = Site::start().await;
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    let token = issuer.token("mallory", "instructor", &["c"]);
    let action = format!("{}/sign-in", relay.url);
    let json_in_text = "{\"token\":\"TOKEN\",\"x\":\"".replace("TOKEN", &token);
    let field = format!("<input name=token value='{token}'>");
    let text = format!("<input name='{json_in_text}' value='\"}}'>");
    let sandboxed = |form: &str| {
        format!(
            "<iframe sandbox='allow-scripts allow-forms allow-top-navigation' srcdoc=\"{}\">\
             </iframe>",
            form.replace('"', "&quot;")
        )
    };
    let form = |more: &str, fields: &str| {
        format!(
            "<form method=post action='{action}' {more}>{fields}</form>\
             <script>document.forms[0].submit()</script>"
        )
    };
    for body in [
        form("", &field),
        form("enctype=text/plain", &text),
        form("enctype=multipart/form-data", &field),
        form("target=_top rel=noreferrer", &field),
        sandboxed(&form("target=_top", &field)),
    ] {
        for name in ["localhost", "127.0.0.1"] {
            site.show(&body);
            page.go(&site.origin(name)).await;
            let answer = "document.documentElement?.textContent";
            page.until(&format!(
                "{answer}.includes('not-allowed')||{answer}.includes('cross-site')"
            ))
            .await;
            let urls = json!({ "urls": [relay.url.to_string()] });
            let cookies = page.call("Network.getCookies", urls).await;
            let names: Vec<_> = cookies["cookies"]
                .as_array()
                .expect("cookies")
                .iter()
                .map(|c| &c["name"])
                .collect();
            assert!(!names.contains(&&json!("progress-relay")), "{name} {body}");
        }
    }
}
