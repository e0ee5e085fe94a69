//! A browser that has signed in is made to ask by somebody else: another site's page, a name that
//! points here, a session that was planted or taken. `browser` tries the same in Chromium.

use nix::sys::signal::Signal;
use progress_relay::client::ws::{Frame, Subscriber};
use serde_json::json;

use super::{GUARDED, origin, send, sign_in};
use crate::support::{Database, Issuer, Relay, event_of, until, within};

/// Acts: what changes something by a browser's session.
const ACTS: [&str; 4] =
    ["/api/class/students/s001/help/resolve?class=a", "/sign-in", "/sign-in/link", "/sign-out"];

#[tokio::test]
async fn another_sites_page_cannot_act() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let mut help = event_of("a", 1);
    (help["eventType"], help["userId"]) = ("help".into(), "s001".into());
    issuer.post(&relay, &help).await;
    let token = issuer.token("ann", "instructor", &["a"]);
    let cookie = sign_in(&relay, &token, "").await;
    let form = format!("token={token}");
    let own = origin(&relay);
    for path in ACTS {
        for foreign in [
            vec![("origin", "https://evil.example")],
            vec![("origin", "null")],
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site")],
            vec![("sec-fetch-site", "none")],
            vec![("origin", &*own), ("sec-fetch-site", "cross-site")],
            vec![("origin", "http://localhost.evil.example")],
            vec![("referer", &*own)],
            vec![],
        ] {
            for content_type in ["application/x-www-form-urlencoded", "text/plain"] {
                let more = [("cookie", &*cookie), ("content-type", content_type)];
                let headers = [&foreign[..], &more].concat();
                let answer = send(&relay, ("POST", path), &headers, form.clone()).await;
                assert_eq!(answer.status, 403, "{path} {foreign:?}");
                assert_eq!(answer.header("set-cookie"), None, "{path} {foreign:?}");
            }
        }
    }
    // Nothing of it was done, and the page itself may.
    let headers = [("cookie", &*cookie), ("origin", &*own)];
    let answer = send(&relay, ("POST", ACTS[0]), &headers, "").await;
    let answer: serde_json::Value = answer.json().expect("JSON");
    assert_eq!(answer["resolved"], true);
    // A cookie stores no event, from any page.
    let event = event_of("a", 2).to_string();
    let headers = [("cookie", &*cookie), ("origin", &*own), ("content-type", "application/json")];
    assert_eq!(send(&relay, ("POST", "/student-progress"), &headers, event).await.status, 401);
}

#[tokio::test]
async fn a_planted_session_stays_the_planters() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let mallory = issuer.token("mallory", "instructor", &["m"]);
    let planted = sign_in(&relay, &mallory, "").await;
    let victim = sign_in(&relay, &issuer.token("ann", "instructor", &["a"]), &planted).await;
    assert_ne!(planted, victim, "each sign-in begins another session");
    let summary = async |cookie: &str, class: &str| {
        let target = format!("/api/class/summary?class={class}");
        send(&relay, ("GET", &target), &[("cookie", cookie)], "").await.status.as_u16()
    };
    assert_eq!((summary(&planted, "a").await, summary(&planted, "m").await), (403, 200));
    assert_eq!((summary(&victim, "a").await, summary(&victim, "m").await), (200, 403));
    // A session is none in the place of a token.
    let value = planted.split_once('=').expect("a pair").1;
    let bearer = format!("Bearer {value}");
    let headers = [("authorization", &*bearer)];
    let answer = send(&relay, ("GET", "/api/class/summary?class=m"), &headers, "").await;
    assert_eq!(answer.status, 401);
}

/// Whoever has taken a session loses it with the key: an operator deletes the key, and no relay has
/// to be restarted. Another replica learns of the new key by the first session that it signs.
#[tokio::test]
async fn all_sessions_end_with_their_key() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relays = [issuer.relay(&database, &[]).await, issuer.relay(&database, &[]).await];
    let token = issuer.token("ann", "instructor", &["a"]);
    let before = sign_in(&relays[0], &token, "").await;
    let status = async |relay, cookie: &str| {
        let asked = send(relay, ("GET", "/api/me"), &[("cookie", cookie)], "").await;
        asked.status.as_u16()
    };
    for relay in &relays {
        assert_eq!(status(relay, &before).await, 200);
    }
    let mut socket = subscribe(&relays[0], &before).await;
    let client = database.client().await;
    client.batch_execute("DELETE FROM sign_in_key").await.expect("deleted");
    assert_eq!(status(&relays[0], &before).await, 200, "the key is kept until the signal");
    for relay in &relays {
        relay.signal(Signal::SIGHUP);
        until("the session to end", async || (status(relay, &before).await == 401).then_some(()))
            .await;
    }
    let reason = within("the close", async {
        loop {
            if let Frame::Closed { reason, .. } = socket.next().await.expect("a frame") {
                return reason;
            }
        }
    });
    assert!(reason.await.starts_with("unauthorized"));
    let after = sign_in(&relays[0], &token, &before).await;
    for relay in &relays {
        assert_eq!(status(relay, &after).await, 200);
    }
}

async fn subscribe(relay: &Relay, cookie: &str) -> Subscriber {
    let (classes, headers) = (["a".to_owned()], [("cookie", cookie)]);
    let subscribed = Subscriber::connect_with(&relay.url, &classes, None, &headers);
    let mut socket = within("the handshake", subscribed).await.expect("a subscription");
    let first = within("a frame", socket.next()).await.expect("a frame");
    assert!(matches!(first, Frame::Live { .. }), "{first:?}");
    socket
}

/// A name of the enemy's that points to the relay (DNS rebinding): its pages are of the same origin
/// as the relay then, but they name the enemy's host.
#[tokio::test]
async fn another_name_reaches_nothing() {
    let database = Database::migrated().await;
    let issuer = Issuer::new();
    let relay = issuer.relay(&database, &[]).await;
    let cookie = sign_in(&relay, &issuer.token("root", "operator", &["*"]), "").await;
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"] {
        let page = format!("http://{host}");
        let headers = [
            ("host", host),
            ("origin", &*page),
            ("cookie", &*cookie),
            ("sec-fetch-site", "same-origin"),
        ];
        for (method, path) in GUARDED {
            let answer = send(&relay, (method, path), &headers, "").await;
            let status = answer.status.as_u16();
            let expected: &[u16] = match path {
                // Metrics are for probes, under any name; here the cookie counts.
                "/metrics" => &[200],
                // Neither reads a cookie, nor a WebSocket's headers here.
                "/student-progress" | "/api/v1/events" => &[401],
                "/ws/connect" => &[403, 426],
                _ => &[403],
            };
            assert!(expected.contains(&status), "{host} {method} {path}: {status}");
        }
    }
    assert_eq!(json!(cookie.contains("progress-relay")), true);
}
