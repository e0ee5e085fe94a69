//! WebSockets and streams: one class and several, new events and old ones.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::callers::{Caller, Standing};
use super::{Scene, Way};
use crate::support::{Relay, handshake_with, masked, origin, read_frame, text, within};

/// Subscriptions that are open at once.
const AT_ONCE: usize = 16;

/// What a caller asks for: the classes, in the order of the URL, and whether from the first event
/// on.
#[derive(Debug, Clone, Copy)]
struct Asked {
    classes: &'static [&'static str],
    replays: bool,
}

const ASKED: [Asked; 5] = [
    Asked { classes: &["algebra"], replays: false },
    Asked { classes: &["algebra"], replays: true },
    // One class that the caller may see, and one that it may not, in both orders.
    Asked { classes: &["algebra", "physics"], replays: false },
    Asked { classes: &["physics", "algebra"], replays: true },
    Asked { classes: &["algebra", "algebra", "none-such"], replays: true },
];

impl Asked {
    fn query(self, origin: &str) -> String {
        let classes: Vec<_> = self.classes.iter().map(|class| format!("class={class}")).collect();
        let cursor = if self.replays { format!("&cursor={origin}") } else { String::new() };
        format!("?{}{cursor}", classes.join("&"))
    }

    /// The classes of which events must come, or the word of the refusal.
    fn expected(self, caller: &Caller) -> Result<BTreeSet<String>, &'static str> {
        match caller.standing {
            Standing::Nobody(word) => Err(word),
            Standing::Known { .. } if !caller.has("sio", &[]) => Err("unauthorized"),
            Standing::Known { .. } if !caller.has("sio", self.classes) => Err("class"),
            // The events there are another student's.
            Standing::Known { role: 's', .. } => Ok(BTreeSet::new()),
            Standing::Known { .. } if !self.replays => Ok(BTreeSet::new()),
            Standing::Known { .. } => {
                let has_events = |class: &&&str| **class != "none-such";
                Ok(self.classes.iter().filter(has_events).map(|&class| class.to_owned()).collect())
            }
        }
    }
}

/// A credential as a line of a request's head.
fn head_line(way: Way, caller: &Caller) -> String {
    let header = way.header(caller);
    header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default()
}

/// Adds the classes of a frame's events; whether the frame is `live`.
fn take(frame: &[u8], classes: &mut BTreeSet<String>) -> bool {
    let frame: Value = serde_json::from_slice(frame).expect("a frame's JSON");
    for event in frame["events"].as_array().into_iter().flatten() {
        classes.insert(text(event, "classId").to_owned());
    }
    text(&frame, "type") == "live"
}

/// Asks for a socket, and tells who asks.
pub async fn begin_socket(relay: &Relay, way: Way, caller: &Caller, query: &str) -> TcpStream {
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let query = way.target(query, caller);
    handshake_with(&mut stream, relay, &query, &head_line(way, caller)).await;
    if let (Way::FirstMessage, Some(token)) = (way, &caller.token) {
        let message = json!({"type": "auth", "token": token}).to_string();
        stream.write_all(&masked(message.as_bytes())).await.expect("sent");
    }
    stream
}

/// The classes whose events a socket was sent before `live`, or the reason of its close.
pub async fn until_live(stream: &mut TcpStream) -> Result<BTreeSet<String>, String> {
    let mut classes = BTreeSet::new();
    loop {
        match within("a frame", read_frame(stream)).await.expect("a frame") {
            (0x81, frame) if take(&frame, &mut classes) => return Ok(classes),
            (0x88, payload) => {
                assert_eq!(u16::from_be_bytes([payload[0], payload[1]]), 1008);
                assert_eq!(classes, BTreeSet::new(), "events, and then a refusal");
                return Err(String::from_utf8_lossy(&payload[2..]).into_owned());
            }
            _ => {}
        }
    }
}

/// Asks for a stream.
pub async fn begin_stream(
    relay: &Relay,
    way: Way,
    caller: &Caller,
    (query, header): (&str, &str),
) -> TcpStream {
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let target = way.target(&format!("/api/class/stream{query}"), caller);
    let line = head_line(way, caller);
    let request = format!("GET {target} HTTP/1.0\r\nHost: localhost\r\n{header}{line}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// The same of a stream; a refusal is its problem's type.
pub async fn until_live_of_stream(stream: &mut TcpStream) -> Result<BTreeSet<String>, String> {
    let (mut read, mut classes, mut taken) = (Vec::new(), BTreeSet::new(), 0);
    loop {
        let count = within("the stream", stream.read_buf(&mut read)).await.expect("bytes");
        if !read.starts_with(b"HTTP/1.0 200") && !read.starts_with(b"HTTP/1.1 200") {
            if count > 0 {
                continue;
            }
            let answer = String::from_utf8_lossy(&read).into_owned();
            let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
            let problem: Value = serde_json::from_str(body).expect("a problem");
            return Err(text(&problem, "type").rsplit(':').next().unwrap_or_default().to_owned());
        }
        assert!(count > 0, "the stream has ended: {}", String::from_utf8_lossy(&read));
        while let Some(end) = read[taken..].iter().position(|&byte| byte == b'\n') {
            let line = &read[taken..taken + end];
            taken += end + 1;
            if line.strip_prefix(b"data: ").is_some_and(|frame| take(frame, &mut classes)) {
                return Ok(classes);
            }
        }
    }
}

async fn check_socket(scene: &Scene, way: Way, caller: &Caller, asked: Asked, first: &str) {
    let what = format!("{asked:?} as {} by {way:?}", caller.name);
    let mut socket = begin_socket(&scene.relay, way, caller, &asked.query(first)).await;
    let came = until_live(&mut socket).await;
    match (came, asked.expected(caller)) {
        (Ok(came), Ok(expected)) => assert_eq!(came, expected, "{what}"),
        (Err(reason), Err(word)) => {
            assert!(reason.starts_with(word), "{what}: {reason}");
            // Of several classes the first that is not the caller's is named; never what is there.
            assert!(!reason.contains("may-see-this"), "{what}: {reason}");
        }
        (came, expected) => panic!("{what}: {came:?}, and not {expected:?}"),
    }
}

async fn check_stream(scene: &Scene, way: Way, caller: &Caller, asked: Asked, first: &str) {
    let resumed = format!("Last-Event-ID: {first}\r\n");
    let by_query = asked.query(first);
    let by_header = Asked { replays: false, ..asked }.query(first);
    let mut requests = vec![(by_query.as_str(), "")];
    if asked.replays {
        requests.push((by_header.as_str(), resumed.as_str()));
    }
    for request in requests {
        let what = format!("a stream of {request:?} as {} by {way:?}", caller.name);
        let mut stream = begin_stream(&scene.relay, way, caller, request).await;
        let came = until_live_of_stream(&mut stream).await;
        let expected = asked.expected(caller).map_err(|word| match (word, caller.standing) {
            ("class", _) => "class-not-allowed",
            ("unauthorized", Standing::Known { .. }) => "forbidden",
            _ => word,
        });
        assert_eq!(came, expected.map_err(str::to_owned), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_intended_subscriptions_begin() {
    let scene = Scene::new().await;
    let first = {
        let mut connection = scene.relay.connection().await;
        let operator = scene.caller("operator");
        let target = Way::Query.target("/api/class/summary?class=algebra", operator);
        let summary: Value =
            connection.get(&target).await.expect("an answer").json().expect("JSON");
        origin(text(&summary, "cursor"))
    };
    let cases = scene.callers.iter().flat_map(|caller| {
        // Without a credential there is no first message: the socket ends after 5 s.
        let ways = [Way::Bearer, Way::TokenScheme, Way::Query, Way::Cookie, Way::FirstMessage];
        let ways = ways.into_iter().filter(|_| caller.token.is_some());
        ways.flat_map(move |way| ASKED.map(|asked| (caller, way, asked)))
    });
    let checks = cases.map(async |(caller, way, asked)| {
        check_socket(&scene, way, caller, asked, &first).await;
        if way != Way::FirstMessage {
            check_stream(&scene, way, caller, asked, &first).await;
        }
    });
    let silent = async {
        let none = scene.caller("none");
        check_socket(&scene, Way::FirstMessage, none, ASKED[3], &first).await;
        check_stream(&scene, Way::Bearer, none, ASKED[3], &first).await;
    };
    tokio::join!(stream::iter(checks).buffer_unordered(AT_ONCE).count(), silent);
}
