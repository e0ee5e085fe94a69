//! Sockets and streams end with their credential, whichever way it came.

use futures::future::join_all;
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::callers::Caller;
use super::subscriptions::{begin_socket, begin_stream, until_live, until_live_of_stream};
use super::{Scene, Way};
use crate::support::{Relay, event_of, read_frame, within};

const WAYS: [Way; 5] = [Way::Bearer, Way::TokenScheme, Way::Query, Way::Cookie, Way::FirstMessage];
const QUERY: &str = "?class=algebra";

/// The sockets and the streams of a caller, one for each way.
struct Live {
    sockets: Vec<(Way, TcpStream)>,
    streams: Vec<(Way, TcpStream)>,
}

impl Live {
    /// All at once: some callers have a few seconds left.
    async fn begin(relay: &Relay, caller: &Caller) -> Self {
        let sockets = WAYS.map(async |way| {
            let mut socket = begin_socket(relay, way, caller, QUERY).await;
            until_live(&mut socket).await.unwrap_or_else(|reason| panic!("{way:?}: {reason}"));
            (way, socket)
        });
        let streams = WAYS.into_iter().filter(|way| *way != Way::FirstMessage);
        let streams = streams.map(async |way| {
            let mut stream = begin_stream(relay, way, caller, (QUERY, "")).await;
            until_live_of_stream(&mut stream).await.expect("live");
            (way, stream)
        });
        let (sockets, streams) = tokio::join!(join_all(sockets), join_all(streams));
        Self { sockets, streams }
    }

    /// Waits until all have ended; a socket says why by a reason that begins with `word`.
    async fn ended(self, word: &str) {
        for (way, mut socket) in self.sockets {
            let reason = loop {
                match within("the close", read_frame(&mut socket)).await.expect("a close frame") {
                    (0x88, payload) => {
                        assert_eq!(u16::from_be_bytes([payload[0], payload[1]]), 1008, "{way:?}");
                        break String::from_utf8_lossy(&payload[2..]).into_owned();
                    }
                    (0x81, text) => {
                        assert!(!text.starts_with(br#"{"type":"progress""#), "{way:?}");
                    }
                    _ => {}
                }
            };
            assert!(reason.starts_with(word), "{way:?}: {reason}");
        }
        for (way, mut stream) in self.streams {
            let mut rest = Vec::new();
            within(&format!("the stream's end by {way:?}"), stream.read_to_end(&mut rest))
                .await
                .expect("bytes");
        }
    }

    /// Waits until all were sent an event that has `mark`.
    async fn see(&mut self, mark: &str) {
        for (way, socket) in &mut self.sockets {
            loop {
                let what = format!("the event by {way:?}");
                let (first, frame) = within(&what, read_frame(socket)).await.expect("a frame");
                assert_ne!(first, 0x88, "{way:?}");
                if String::from_utf8_lossy(&frame).contains(mark) {
                    break;
                }
            }
        }
        for (way, stream) in &mut self.streams {
            let mut read = Vec::new();
            while !String::from_utf8_lossy(&read).contains(mark) {
                let what = format!("the event by {way:?}");
                let count = within(&what, stream.read_buf(&mut read)).await.expect("bytes");
                assert!(count > 0, "{way:?}: the stream has ended");
            }
        }
    }
}

async fn post(scene: &Scene, mark: usize) {
    let target = Way::Query.target("/student-progress", scene.caller("writer"));
    let mut connection = scene.relay.connection().await;
    let posted = connection.post_json(&target, event_of("algebra", mark).to_string()).await;
    assert_eq!(posted.expect("an answer").status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_live_ends_when_its_credential_expires() {
    let scene = Scene::new().await;
    let mut stays = Live::begin(&scene.relay, scene.caller("instructor")).await;
    let short = scene.issuing.instructor("i", "short", 4);
    Live::begin(&scene.relay, &short).await.ended("expired").await;
    post(&scene, 4242).await;
    stays.see("4242").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_live_ends_when_its_credential_is_revoked() {
    let scene = Scene::new().await;
    let mut stays = Live::begin(&scene.relay, scene.caller("instructor")).await;
    let by_id = scene.issuing.instructor("i", "taken-back", 600);
    let by_id = Live::begin(&scene.relay, &by_id).await;
    let by_subject = scene.issuing.instructor("left", "good", 600);
    let by_subject = Live::begin(&scene.relay, &by_subject).await;
    scene.keys.write("revoked", "taken-back\nsub:left\n");
    scene.relay.signal(Signal::SIGHUP);
    by_id.ended("unauthorized").await;
    by_subject.ended("unauthorized").await;
    post(&scene, 4343).await;
    stays.see("4343").await;
}
