//! What SIGHUP reads again: revocations, the secret.

use nix::sys::signal::Signal;
use progress_relay::client::BaseUrl;
use progress_relay::client::ws::{Frame, Subscriber};
use serde_json::Value;

use crate::support::tokens::{Keys, claims, token, with};
use crate::support::{Database, Relay, event_of, until, within};

async fn start(database: &Database, keys: &Keys) -> Relay {
    let flags = keys.flags();
    Relay::start(database, &flags.iter().map(String::as_str).collect::<Vec<_>>()).await
}

fn sent(relay: &Relay, token: &str) -> BaseUrl {
    relay.url.clone().with_token(token).expect("a header")
}

async fn subscribe(relay: &Relay, token: &str) -> Subscriber {
    let classes = ["algebra".to_owned()];
    let mut socket =
        Subscriber::connect(&sent(relay, token), &classes, None).await.expect("a subscription");
    match within("live", socket.next()).await.expect("a frame") {
        Frame::Live { .. } => socket,
        other => panic!("{other:?}"),
    }
}

/// Reads until the server closes with 1008, and returns the reason.
async fn closed(socket: &mut Subscriber) -> String {
    within("the close", async {
        loop {
            if let Frame::Closed { code, reason } = socket.next().await.expect("a frame") {
                assert_eq!(code, Some(1008), "{reason}");
                return reason;
            }
        }
    })
    .await
}

async fn post(relay: &Relay, token: &str, body: &Value) -> u16 {
    let mut connection =
        progress_relay::client::http::Connection::open(&sent(relay, token)).await.expect("open");
    let answer = connection.post_json("/student-progress", body.to_string()).await;
    answer.expect("an answer").status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_ends_with_the_signal() {
    let database = Database::new().await;
    let keys = Keys::new();
    let relay = start(&database, &keys).await;
    let of = |id: &str, subject: &str| {
        token(&with(claims("instructor", subject, &["algebra"]), "jti", id))
    };
    let (lost, gone, good) = (of("lost", "i"), of("other", "gone"), of("good", "i"));
    let mut by_id = subscribe(&relay, &lost).await;
    let mut by_subject = subscribe(&relay, &gone).await;
    let mut stays = subscribe(&relay, &good).await;
    keys.write("revoked", "# a laptop\nlost\n\nsub:gone\n");
    relay.signal(Signal::SIGHUP);
    for socket in [&mut by_id, &mut by_subject] {
        assert!(closed(socket).await.starts_with("unauthorized"));
    }
    let writer = token(&claims("writer", "w", &["*"]));
    assert_eq!(post(&relay, &writer, &event_of("algebra", 1)).await, 200);
    assert!(matches!(stays.next().await, Ok(Frame::Progress { .. })));

    // A list that cannot be read takes nothing back.
    std::fs::remove_file(keys.path("revoked")).expect("a file");
    relay.signal(Signal::SIGHUP);
    until("the log", async || relay.log().contains("what was revoked stays").then_some(())).await;
    let mut again = Subscriber::connect(&sent(&relay, &lost), &[], None).await.expect("a socket");
    let reason = closed(&mut again).await;
    assert!(reason.contains("revoked"), "{reason}");

    // Another secret ends what the old one has signed; a wrong file changes nothing.
    keys.write("revoked", "");
    keys.write("secret", "too short");
    relay.signal(Signal::SIGHUP);
    until("the log", async || relay.log().contains("keeps the secret").then_some(())).await;
    assert_eq!(post(&relay, &writer, &event_of("algebra", 2)).await, 200);
    keys.write("secret", &"another secret ".repeat(4));
    relay.signal(Signal::SIGHUP);
    assert!(closed(&mut stays).await.starts_with("unauthorized"));
    assert_eq!(post(&relay, &writer, &event_of("algebra", 3)).await, 401);
}
