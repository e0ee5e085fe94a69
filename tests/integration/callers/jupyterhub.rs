//! A class behind JupyterHub, with a real hub, its proxy and real servers of students: all by
//! deploy/jupyterhub/jupyterhub_config.py.

use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::signal::Signal;
use progress_relay::client::BaseUrl;
use progress_relay::client::http::{Connection, Response};
use progress_relay::client::ws::{Frame, Subscriber};
use serde_json::{Value, json};

use crate::support::browser::{Chrome, MARK, MARKED, says};
use crate::support::hub::{Hub, RELAY_TOKEN};
use crate::support::{Database, Relay, event, text, until, within};

/// POSTs an event with a token.
async fn post(url: &BaseUrl, token: &str, event: &Value) -> Response {
    let authorization = format!("token {token}");
    let headers = [("authorization", &*authorization), ("content-type", "application/json")];
    request(url, "POST", "/student-progress", &headers, event.to_string().into()).await
}

async fn request(
    url: &BaseUrl,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Response {
    let mut connection = Connection::open(url).await.expect("a connection");
    within(path, connection.request(method, path, headers, body)).await.expect("an answer")
}

async fn summary(url: &BaseUrl, cookies: &str) -> Response {
    request(url, "GET", "/api/class/summary?class=algebra", &[("cookie", cookies)], Bytes::new())
        .await
}

/// Subscribes through the hub's proxy with a browser's cookies.
async fn subscribe(hub: &Hub, class: &str, cookies: &str) -> Subscriber {
    let (relay, classes, headers) = (hub.relay(), [class.to_owned()], [("cookie", cookies)]);
    let subscribed = Subscriber::connect_with(&relay, &classes, None, &headers);
    within("the handshake", subscribed).await.expect("a subscription")
}

/// The next event of a subscription.
async fn next_event(subscriber: &mut Subscriber) -> Value {
    loop {
        match within("a frame", subscriber.next()).await.expect("a frame") {
            Frame::Progress { events, .. } => {
                return serde_json::from_str(events[0].get()).expect("an event");
            }
            Frame::Closed { code, reason } => panic!("closed: {code:?} {reason}"),
            _ => {}
        }
    }
}

/// The code and the reason of the close frame with which a subscription ends.
async fn closed(mut subscriber: Subscriber) -> (Option<u16>, String) {
    loop {
        if let Frame::Closed { code, reason } =
            within("a frame", subscriber.next()).await.expect("a frame")
        {
            return (code, reason);
        }
    }
}

#[tokio::test]
async fn a_class_behind_jupyterhub_6() {
    a_class_behind_jupyterhub("6.1").await;
}

#[tokio::test]
async fn a_class_behind_jupyterhub_5() {
    a_class_behind_jupyterhub("5.4").await;
}

async fn a_class_behind_jupyterhub(release: &str) {
    let database = Database::new().await;
    let hub = Hub::start(release, &database).await;

    // An instructor opens the dashboard, signs in at the hub, and follows the class live. A
    // student's server starts meanwhile.
    let (emmy, ada) = tokio::join!(
        hub.visit("emmy", "/services/relay/sign-in/hub?next=/services/relay/"),
        hub.server_of("ada")
    );
    assert_eq!(emmy.status, 200, "{}", emmy.body);
    assert_eq!(emmy.url, hub.relay().to_string() + "/", "the dashboard");
    assert!(
        emmy.hops[0].1.contains("; Path=/services/relay/; Max-Age=600; HttpOnly; SameSite=Lax")
    );
    let mut live = subscribe(&hub, "algebra", &emmy.cookies).await;

    // A student's server posts with the token that it has, directly and through the hub's proxy.
    let (token, to) = (ada("JUPYTERHUB_API_TOKEN"), ada("PROGRESS_RELAY_URL"));
    let direct = BaseUrl::parse(to.trim_end_matches("/student-progress")).expect("a URL");
    for (n, url) in [&direct, &hub.relay()].into_iter().enumerate() {
        let mut posed = event(n);
        posed["userId"] = "isaac".into();
        posed["classId"] = "physics".into();
        let answer = post(url, &token, &posed).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let stored = next_event(&mut live).await;
        assert_eq!((text(&stored, "studentId"), text(&stored, "classId")), ("ada", "algebra"));
        assert_eq!(stored["n"], n);
    }

    // The instructor of another class sees nothing of it, and a student no dashboard at all.
    let lise = hub.visit("lise", "/services/relay/sign-in/hub").await;
    assert_eq!(lise.status, 200, "{}", lise.body);
    let (code, reason) = closed(subscribe(&hub, "algebra", &lise.cookies).await).await;
    assert_eq!(code, Some(1008));
    assert!(reason.starts_with("class"), "{reason}");
    assert_eq!(summary(&hub.relay(), &lise.cookies).await.status, 403);
    let (relay, path) = (hub.relay(), "/sign-in?next=/services/relay/?class=a");
    let page = request(&relay, "GET", path, &[], Bytes::new());
    let page = String::from_utf8_lossy(&page.await.body).into_owned();
    let link = "href=\"sign-in/hub?next=%2Fservices%2Frelay%2F%3Fclass%3Da\"";
    assert!(page.contains(link), "{page}");
    let student = hub.visit("blaise", "/services/relay/sign-in/hub").await;
    assert_eq!((student.status, &*student.cookies), (403, ""), "{}", student.body);

    // What is no credential, or no longer: nothing is stored.
    let isaac = hub.token_of("isaac").await;
    assert_eq!(post(&direct, &isaac, &event(7)).await.status, 200, "in physics");
    for (token, status) in [("wrong", 401), (RELAY_TOKEN, 401), ("", 401)] {
        assert_eq!(post(&direct, token, &event(8)).await.status, status, "{token}");
    }
    let nobody = hub.token_of("nobody").await;
    assert_eq!(post(&direct, &nobody, &event(9)).await.status, 403, "no group");
    assert_eq!(summary(&direct, "").await.status, 401);
    let with_cookie = [("cookie", &*emmy.cookies), ("content-type", "application/json")];
    let body = Bytes::from(event(10).to_string());
    let by_cookie = request(&direct, "POST", "/student-progress", &with_cookie, body).await;
    assert_eq!(by_cookie.status, 401, "a cookie posts nothing");
    let known: Value = summary(&direct, &emmy.cookies).await.json().expect("JSON");
    assert_eq!(known["students"].as_array().map(Vec::len), Some(1), "{known}");

    only_the_browser_that_began_ends_a_sign_in(&hub, &emmy.hops).await;
    the_button_of_the_sign_in_page(&hub, &direct, &token).await;
    let log = hub.log();
    for secret in [&token, &isaac, emmy.cookies.split_once('=').expect("a cookie").1] {
        let relays: Vec<_> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(relays.is_empty(), "{relays:?}");
    }
}

/// In a browser: an instructor opens the class, signs in at the hub by the button, and sees an
/// event of a student's server live. Links that lead elsewhere after signing in lead to the
/// dashboard. The instructor of another class is told so.
async fn the_button_of_the_sign_in_page(hub: &Hub, direct: &BaseUrl, student: &str) {
    let chrome = Chrome::start().await;
    let page = chrome.blank().await;
    let relay = hub.relay().to_string();
    let connection = "document.documentElement.dataset.connection";
    let banner = "document.querySelector('.connection-banner').innerText";
    page.go(&format!("{relay}/?class=algebra")).await;
    page.until(&format!("{connection} === 'signedOut'")).await;
    page.click(".sign-in-link").await;
    page.click(".sign-in-hub").await;
    hub.log_in(&page, "emmy").await;
    page.until(&format!("{connection} === 'live'")).await;
    let own = json!(format!("{relay}/?class=algebra"));
    assert_eq!(page.value("location.href").await, own, "the class that was opened");
    page.until(&says(".account-name", "emmy")).await;
    page.value(MARK).await;
    let mut help = event(20);
    help["eventType"] = "help".into();
    assert_eq!(post(direct, student, &help).await.status, 200);
    page.until("document.querySelector('#help .help-item')?.innerText.includes('ada')").await;
    assert_eq!(page.value(MARKED).await, true);

    for next in ["https://evil.test/", "//evil.test/", "/\\evil.test", "/hub/home", "/user/ada/"] {
        let mut url = url::Url::parse(&format!("{relay}/sign-in/hub")).expect("a URL");
        url.query_pairs_mut().append_pair("next", next);
        page.go("about:blank").await;
        page.go(url.as_str()).await;
        page.until(&format!("{connection} === 'live'")).await;
        let landed = page.value("location.origin + location.pathname").await;
        assert_eq!(landed, format!("{relay}/"), "{next}");
    }

    // The instructor of another class, by the same link.
    page.call("Network.clearBrowserCookies", json!({})).await;
    page.go("about:blank").await;
    page.go(&format!("{relay}/?class=algebra")).await;
    page.until(&format!("{connection} === 'signedOut'")).await;
    page.click(".sign-in-link").await;
    page.click(".sign-in-hub").await;
    hub.log_in(&page, "lise").await;
    page.until(&format!("{connection} === 'forbidden'")).await;
    page.until(&format!("{banner}.includes('“algebra”. Choose one of your classes')")).await;
}

/// The address by which a browser came back from the hub is of no use to another browser, nor a
/// second time.
async fn only_the_browser_that_began_ends_a_sign_in(hub: &Hub, hops: &[(String, String)]) {
    let begun = hops[0].1.split(';').next().expect("a cookie");
    let back = hops.iter().find(|(url, _)| url.contains("/oauth_callback?")).expect("a way back");
    let path = back.0.strip_prefix(&hub.relay().to_string()).expect("the relay's");
    for cookie in ["", "progress-relay-hub-sign-in=x", begun] {
        let answer = request(&hub.relay(), "GET", path, &[("cookie", cookie)], Bytes::new()).await;
        assert_eq!(answer.status, 400, "{cookie}");
        let page = String::from_utf8_lossy(&answer.body);
        assert!(page.contains("has not worked") && page.contains("sign-in/hub?next="), "{page}");
    }
}

/// A relay that the hub does not start, and a hub that is slow, away, and back with other secrets.
#[tokio::test]
async fn a_hub_that_is_away_lets_nobody_new_in_and_nobody_out() {
    let database = Database::new().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let bind = port.local_addr().expect("an address");
    drop(port);
    let mut hub = Hub::start_beside("6.1", bind.port());
    let token_file = hub.file("relay-token", &format!("{RELAY_TOKEN}\n"));
    let (bind, api, public) = (bind.to_string(), hub.api_url(), hub.url("").to_string());
    let relay = Relay::start(
        &database,
        &[
            "--bind",
            &bind,
            "--base-path",
            "/services/relay/",
            "--hub-api-url",
            &api,
            "--hub-token-file",
            &token_file,
            "--hub-service-name",
            "relay",
            "--hub-callback-url",
            "/services/relay/oauth_callback",
            "--hub-public-url",
            &public,
            "--instructors",
            "instructors-{class}",
            "--students",
            "{class}",
        ],
    )
    .await;
    hub.ready().await;
    let direct = BaseUrl::parse(&format!("http://{bind}/services/relay")).expect("a URL");
    let emmy = hub.visit("emmy", "/services/relay/sign-in/hub").await;
    assert_eq!(emmy.status, 200, "{}", emmy.body);
    let (known, new) = (hub.token_of("ada").await, hub.token_of("blaise").await);
    assert_eq!(post(&direct, &known, &event(0)).await.status, 200);

    // Slow: the relay gives up after 5 s, and answers those whom it knows meanwhile.
    hub.signal(Signal::SIGSTOP);
    let began = Instant::now();
    let (one, two) = (event(1), event(2));
    let unknown = post(&direct, &new, &one);
    let (unknown, known_too) = tokio::join!(unknown, post(&direct, &known, &two));
    assert_eq!((unknown.status.as_u16(), known_too.status.as_u16()), (503, 200));
    assert!(unknown.header("retry-after").is_some());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());

    // Away.
    hub.kill();
    let answer = post(&direct, &new, &event(3)).await;
    assert_eq!(answer.status, 503);
    let problem: Value = answer.json().expect("JSON");
    assert_eq!(problem["type"], "urn:progress-relay:problem:sign-in-unavailable");
    assert_eq!(post(&direct, "wrong", &event(3)).await.status, 503, "nobody knows that it is");
    assert_eq!(post(&direct, &known, &event(4)).await.status, 200);
    assert_eq!(summary(&direct, &emmy.cookies).await.status, 200);
    let log = relay.log();
    assert!(log.contains("the hub is away"), "{log}");
    assert!(![&known, &new, RELAY_TOKEN].iter().any(|token| log.contains(*token)));

    // Back.
    hub.restart().await;
    until("the new token to be known", || async {
        (post(&direct, &new, &event(5)).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(post(&direct, "wrong", &event(6)).await.status, 401);
    assert_eq!(summary(&direct, &emmy.cookies).await.status, 200);
    let known: Value = summary(&direct, &emmy.cookies).await.json().expect("JSON");
    let students: Vec<_> =
        known["students"].as_array().expect("students").iter().map(|s| &s["studentId"]).collect();
    assert_eq!(json!(students).as_array().map(Vec::len), Some(2), "{known}");
}
