//! A student follows its own events as they come, and nothing of others, by a WebSocket and by a
//! stream.

use bytes::Bytes;
use progress_relay::client::query;
use progress_relay::client::ws::{Frame, Subscriber};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;

use crate::support::tokens::{Keys, token_of};
use crate::support::{Database, Relay, parts, text, within};

const CLASS: &str = "algebra";

/// A relay, and what everybody does there.
struct Class {
    relay: Relay,
    _database: Database,
    _keys: Keys,
}

impl Class {
    async fn new() -> Self {
        let (database, keys) = (Database::new().await, Keys::new());
        let flags = keys.flags();
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let relay = Relay::start(&database, &flags).await;
        Self { relay, _database: database, _keys: keys }
    }

    async fn ask(&self, method: &str, path: &str, role: &str, body: Value) -> Value {
        let subject = if role == "instructor" { "Ito" } else { "w" };
        let authorization = format!("Bearer {}", token_of(role, subject, &[CLASS]));
        let headers = [("authorization", &*authorization), ("content-type", "application/json")];
        let mut connection = self.relay.connection().await;
        let body = Bytes::from(body.to_string());
        let answer = connection.request(method, path, &headers, body).await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json().expect("JSON")
    }

    /// Posts events of these kinds and students in one batch; returns the last one's cursor.
    async fn post(&self, events: &[(&str, &str)]) -> String {
        let events = events.iter().map(|(student, kind)| {
            json!({
                "eventId": uuid::Uuid::new_v4().to_string(),
                "eventType": kind,
                "eventTime": "2026-11-23T15:36:11Z",
                "studentId": student,
                "code": format!("code of {student}"),
            })
        });
        let path = format!("/student-progress?class={CLASS}");
        let answer = self.ask("POST", &path, "writer", events.collect()).await;
        text(&answer, "cursor").to_owned()
    }

    /// An instructor acts.
    async fn act(&self, method: &str, what: &str, body: Value) -> Value {
        let path = format!("/api/class/{what}?class={CLASS}");
        self.ask(method, &path, "instructor", body).await
    }

    async fn follow(&self, role: &str, subject: &str, cursor: Option<&str>) -> Follower {
        let token = token_of(role, subject, &[CLASS]);
        let sent = self.relay.url.clone().with_token(&token).expect("a header");
        let classes = [CLASS.to_owned()];
        let socket = Subscriber::connect(&sent, &classes, cursor).await.expect("a socket");
        let mut stream = TcpStream::connect(self.relay.url.authority()).await.expect("connected");
        let cursor = cursor.map(|cursor| ("cursor", cursor));
        let query = query([("class", CLASS)].into_iter().chain(cursor));
        let request = format!(
            "GET /api/class/stream?{query} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer \
             {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        Follower { socket, stream: BufReader::new(stream).lines() }
    }
}

/// A socket and a stream of one caller.
struct Follower {
    socket: Subscriber,
    stream: Lines<BufReader<TcpStream>>,
}

fn events(frame: &Value) -> &[Value] {
    frame["events"].as_array().map_or(&[], Vec::as_slice)
}

/// An event in short: its student, its kind, who did it.
fn line(event: &Value) -> String {
    let actor = event["actor"].as_str().unwrap_or("-");
    format!("{} {} {actor}", text(event, "studentId"), text(event, "eventType"))
}

impl Follower {
    /// The frames of the socket up to one that is the last; the stream has sent the same events.
    async fn frames(&mut self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let (mut by_socket, mut by_stream): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
        while !by_socket.last().is_some_and(&is_last) {
            let frame = within("a frame", self.socket.next_text()).await.expect("a frame");
            by_socket.push(serde_json::from_str(&frame).expect("JSON"));
        }
        while !by_stream.last().is_some_and(&is_last) {
            let line = within("a line", self.stream.next_line()).await.expect("a line");
            if let Some(data) = line.expect("a stream").strip_prefix("data: ") {
                by_stream.push(serde_json::from_str(data).expect("JSON"));
            }
        }
        let all = |frames: &[Value]| frames.iter().flat_map(events).cloned().collect::<Vec<_>>();
        assert_eq!(all(&by_socket), all(&by_stream), "both ways");
        by_socket
    }

    /// The frames until `live`.
    async fn until_live(&mut self) -> Vec<Value> {
        self.frames(|frame| frame["type"] == "live").await
    }

    /// The next events, in short, until one that is this; and the cursor there.
    async fn until(&mut self, last: &str) -> (Vec<String>, String) {
        let is_last = |frame: &Value| events(frame).iter().any(|event| line(event) == last);
        let frames = self.frames(is_last).await;
        let cursor = text(frames.last().expect("a frame"), "cursor").to_owned();
        (frames.iter().flat_map(events).map(line).collect(), cursor)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_student_follows_its_own_events() {
    let class = Class::new().await;
    let begin = class.post(&[("ann", "notebook_opened"), ("bob", "notebook_opened")]).await;
    let mut ann = class.follow("student", "ann", None).await;
    let mut bob = class.follow("student", " Bob ", None).await;
    let mut upper = class.follow("student", "bob", None).await;
    let mut staff = class.follow("instructor", "Ito", None).await;
    for follower in [&mut ann, &mut bob, &mut upper, &mut staff] {
        let live = follower.until_live().await.pop().expect("live");
        assert_eq!(live["cursor"], begin, "of the class, not of the student");
    }

    // One batch is one frame for the instructor.
    class.post(&[("ann", "help"), ("bob", "help"), ("ann", "cell_executed")]).await;
    class.act("POST", "students/ann/help/claim", json!({})).await;
    class.act("POST", "viewing", json!({"student": "bob"})).await;
    let roster = json!({"roster": [{"id": "bob", "name": "Bob B"}]});
    class.act("PUT", "settings", roster).await;
    class.act("POST", "students/bob/help/resolve", json!({})).await;
    class.act("POST", "lessons", json!({"title": "Loops"})).await;
    class.post(&[("bob", "help_stop"), ("ann", "help_stop")]).await;
    let all = staff.until("ann help_stop -").await.0;
    assert_eq!(
        all,
        [
            "ann help -",
            "bob help -",
            "ann cell_executed -",
            "ann help_claimed Ito",
            "@class instructor_viewing Ito",
            "@class settings_changed Ito",
            "bob help_resolved Ito",
            "@class lesson_started Ito",
            "bob help_stop -",
            "ann help_stop -",
        ]
    );
    let (of_ann, end) = ann.until("ann help_stop -").await;
    let expected = [
        "ann help -",
        "ann cell_executed -",
        "ann help_claimed Ito",
        "@class lesson_started -",
        "ann help_stop -",
    ];
    assert_eq!(of_ann, expected);
    let expected_of_bob =
        ["bob help -", "bob help_resolved Ito", "@class lesson_started -", "bob help_stop -"];
    assert_eq!(upper.until("bob help_stop -").await.0, expected_of_bob);
    // This one is `Bob`, who is somebody else.
    class.post(&[("Bob", "help")]).await;
    assert_eq!(bob.until("Bob help -").await.0, ["@class lesson_started -", "Bob help -"]);

    // From each cursor on: those of its events, and those of others' events between them.
    let (epoch, first) = parts(&begin);
    let last = parts(&end).1;
    for id in first..=last {
        let mut again = class.follow("student", "ann", Some(&format!("{epoch}.{id}"))).await;
        let frames = again.until_live().await;
        let sent: Vec<_> = frames.iter().flat_map(events).collect();
        let lines: Vec<_> = sent.iter().map(|event| line(event)).collect();
        assert!(sent.iter().all(|event| event["id"].as_i64() > Some(id)), "after {id}");
        assert_eq!(lines, expected[expected.len() - lines.len()..], "after {id}");
        let cursor = text(frames.last().expect("live"), "cursor");
        assert!(parts(cursor).1 > last, "beyond what was left out: {cursor}");
    }
    let mut again = class.follow("student", "ann", Some(&begin)).await;
    assert_eq!(again.until("ann help_stop -").await.0, expected, "all of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_students_subscription_is_bound_to_its_classes_and_its_name() {
    let class = Class::new().await;
    class.post(&[("ann", "help")]).await;
    for (subject, query, word, status) in [
        ("ann", "class=physics", "class", 403),
        ("ann", "class=algebra&class=physics", "class", 403),
        ("ann", "", "class", 403),
        // The relay's name for the class: its events have the roster.
        ("@class", "class=algebra&cursor=x.0", "unauthorized", 401),
    ] {
        let token = token_of("student", subject, &[CLASS]);
        let sent = class.relay.url.clone().with_token(&token).expect("a header");
        let mut socket = Subscriber::connect_to(&sent, query, &[]).await.expect("a socket");
        match within("the close", socket.next()).await.expect("a frame") {
            Frame::Closed { code: Some(1008), reason } => {
                assert!(reason.starts_with(word), "{subject} {query}: {reason}");
            }
            other => panic!("{subject} {query}: {other:?}"),
        }
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", &*authorization)];
        let path = format!("/api/class/stream?{query}");
        let mut connection = class.relay.connection().await;
        let answer = connection.request("GET", &path, &headers, Bytes::new()).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, status, "{subject} {query}");
    }
    // An event cannot be of that name either.
    let event = json!({
        "eventId": uuid::Uuid::new_v4().to_string(), "eventType": "help",
        "eventTime": "2026-11-23T15:36:11Z", "studentId": "@class",
    });
    let writer = token_of("writer", "w", &[CLASS]);
    let target = format!("/student-progress?{}", query([("token", &*writer)]));
    let mut connection = class.relay.connection().await;
    let answer = connection.post_json(&target, event.to_string()).await.expect("an answer");
    let problem: Value = answer.json().expect("a problem");
    assert_eq!(answer.status, 422);
    assert_eq!(problem["rejected"][0]["field"], "studentId");
}
