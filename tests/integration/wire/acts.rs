//! The routes by which an instructor acts, as programs and pages of other origins use them. Every
//! answer is compared with its description.

use bytes::Bytes;
use progress_relay::client::http::Response;
use serde_json::{Value, json};

use crate::support::described::assert_described;
use crate::support::{Database, Issuer, Relay, event_of, text};

const LESSONS: (&str, &str) = ("POST", "/api/class/lessons?class=a");
const SETTINGS: (&str, &str) = ("PUT", "/api/class/settings?class=a");
const ACTS: [(&str, &str); 6] = [
    LESSONS,
    SETTINGS,
    ("POST", "/api/class/viewing?class=a"),
    ("POST", "/api/class/students/s/help/resolve?class=a"),
    ("POST", "/api/class/students/s/help/claim?class=a"),
    ("DELETE", "/api/class/students/s/help/claim?class=a"),
];
const JSON: (&str, &str) = ("content-type", "application/json");

/// A relay that knows its callers, and a class whose student `s` has a hand up.
struct Class {
    relay: Relay,
    issuer: Issuer,
    _database: Database,
}

impl Class {
    async fn new(flags: &[&str]) -> Self {
        let (database, issuer) = (Database::migrated().await, Issuer::new());
        let relay = issuer.relay(&database, flags).await;
        let class = Self { relay, issuer, _database: database };
        class.help("s").await;
        class
    }

    /// A hand goes up.
    async fn help(&self, student: &str) {
        let mut help = event_of("a", 1);
        (help["eventType"], help["userId"]) = ("help".into(), student.into());
        help["until"] = "help_stop".into();
        self.issuer.post(&self.relay, &help).await;
    }

    async fn ask(
        &self,
        (method, target): (&str, &str),
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        let mut connection = self.relay.connection().await;
        let answer = connection.request(method, target, headers, body.into()).await;
        let answer = answer.expect("an answer");
        assert_described(&self.relay, (method, target), &answer).await;
        answer
    }

    async fn ask_as(
        &self,
        (role, subject): (&str, &str),
        asked: (&str, &str),
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        let bearer = format!("Bearer {}", self.issuer.token(subject, role, &["a"]));
        self.ask(asked, &[&[("authorization", &*bearer)], headers].concat(), body).await
    }

    /// Asks as an instructor of the class.
    async fn act(
        &self,
        asked: (&str, &str),
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        self.ask_as(("instructor", "Ito"), asked, headers, body).await
    }
}

fn problem(answer: &Response) -> (u16, String) {
    let body: Value = answer.json().expect("a problem");
    let name = text(&body, "type").rsplit(':').next().unwrap_or_default().to_owned();
    (answer.status.as_u16(), name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_is_refused_by_the_rules_of_every_route() {
    let class = Class::new(&[]).await;
    for asked in ACTS {
        assert_eq!(problem(&class.ask(asked, &[JSON], "{}").await).0, 401, "{asked:?}");
        for caller in [("student", "s"), ("writer", "w")] {
            let answer = class.ask_as(caller, asked, &[JSON], "{}").await;
            assert_eq!(problem(&answer), (403, "forbidden".to_owned()), "{asked:?}");
        }
        let elsewhere = asked.1.replace("class=a", "class=b");
        let answer = class.act((asked.0, &elsewhere), &[JSON], "{}").await;
        assert_eq!(problem(&answer), (403, "class-not-allowed".to_owned()), "{asked:?}");
        let twice = asked.1.replace("class=a", "class=a&class=a");
        let answer = class.act((asked.0, &twice), &[JSON], "{}").await;
        assert_eq!(problem(&answer), (400, "bad-parameter".to_owned()), "{asked:?}");

        let gzip = ("content-encoding", "gzip");
        for (headers, body) in [
            (&[JSON, gzip][..], &b"\x1f\x8b\x08\0"[..]),
            (&[("content-type", "application/x-www-form-urlencoded")], b"title=x"),
            (&[("content-type", "multipart/form-data; boundary=x")], b"--x--"),
        ] {
            let answer = class.act(asked, headers, body).await;
            assert_eq!(problem(&answer).0, 415, "{asked:?} {headers:?}");
        }
        let most = if asked == SETTINGS { 2 << 20 } else { 4 << 10 };
        let answer = class.act(asked, &[JSON], format!("{{{}}}", " ".repeat(most))).await;
        assert_eq!(problem(&answer), (413, "body-too-large".to_owned()), "{asked:?}");
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(told.contains(&most.to_string()) && !told.contains("--max-body"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_of_an_act_is_an_object_or_absent() {
    let class = Class::new(&[]).await;
    let with_body = ACTS.into_iter().filter(|(_, target)| !target.contains("resolve"));
    for asked in with_body {
        for body in
            ["[]", "[\"Ito\",\"title\"]", "null", "\"x\"", "7", "{", "{}{}", "\u{feff}x", "\0"]
        {
            let answer = class.act(asked, &[JSON], body.to_owned()).await;
            let (status, name) = problem(&answer);
            let is_told = (status, &*name) == (400, "bad-body") || status == 422;
            assert!(is_told, "{asked:?} {body}: {status} {name}");
        }
    }
    for title in ["x".repeat(201), "a\u{7}b".to_owned()] {
        let body = json!({ "title": title }).to_string();
        let answer = class.act(LESSONS, &[JSON], body).await;
        assert_eq!(problem(&answer), (400, "bad-body".to_owned()));
        assert_eq!(answer.json::<Value>().expect("a problem")["field"], "title");
    }
    // Nothing was stored by all of these.
    let lessons = class.act(("GET", "/api/class/lessons?class=a"), &[], "").await;
    let lessons: Value = lessons.json().expect("lessons");
    assert_eq!(lessons["lessons"].as_array().map(Vec::len), Some(1));
    // Without a body, and without a type.
    for body in ["", " \r\n", "{}", " {\"title\": null, \"more\": [1]}"] {
        assert_eq!(class.act(LESSONS, &[], body).await.status, 200, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_read_again_only_if_they_were_changed() {
    let class = Class::new(&[]).await;
    let read = async |headers: &[(&str, &str)]| {
        class.act(("GET", "/api/class/settings?class=a"), headers, "").await
    };
    let change = async |tag: &str| {
        class.act(SETTINGS, &[JSON, ("if-match", tag)], "{\"stuckAfter\":5}").await.status.as_u16()
    };
    for _ in 0..2 {
        let whole = read(&[]).await;
        let tag = whole.header("etag").expect("a tag").to_owned();
        let body: Value = whole.json().expect("settings");
        assert_eq!(tag, format!("\"{}\"", text(&body, "version")));
        for asked in [&*tag, "*", &format!("\"x\", W/{tag}")] {
            let same = read(&[("if-none-match", asked)]).await;
            assert_eq!(same.status, 304, "{asked}");
            assert_eq!(same.header("etag"), Some(&*tag));
        }
        assert_eq!(read(&[("if-none-match", "\"x\"")]).await.status, 200);
        assert_eq!(change("\"x\"").await, 412);
        assert_eq!(change(&tag).await, 200);
        assert_eq!(read(&[("if-none-match", &tag)]).await.status, 200);
        assert_eq!(change(&tag).await, 412);
    }
}

/// Browsers send no credential with a preflight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_needs_no_credential() {
    const PAGE: &str = "https://school.example";
    let class = Class::new(&["--allow-origin", PAGE]).await;
    let reads = [("GET", "/api/class/summary?class=a"), ("GET", "/api/class/stream?class=a")];
    let ingest = [("POST", "/student-progress"), ("POST", "/api/v1/events?class=a")];
    for (method, target) in ACTS.into_iter().chain(reads).chain(ingest) {
        let preflight = async |origin: &str| {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", method),
                ("access-control-request-headers", "authorization,content-type"),
            ];
            let mut connection = class.relay.connection().await;
            let answer = connection.request("OPTIONS", target, &headers, Bytes::new()).await;
            answer.expect("an answer")
        };
        let answer = preflight(PAGE).await;
        assert_eq!(answer.status, 204, "{target}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "{target}");
        let methods = answer.header("access-control-allow-methods").expect("methods");
        assert!(methods.contains(method), "{target}: {methods}");
        let headers = answer.header("access-control-allow-headers");
        assert_eq!(headers, Some("authorization,content-type"), "{target}");
        let foreign = preflight("https://evil.example").await.status;
        let expected = if ingest.contains(&(method, target)) { 204 } else { 403 };
        assert_eq!(foreign, expected, "{target}");
    }
    // The request itself needs one all the same.
    let mut connection = class.relay.connection().await;
    let answer = connection.post_json("/student-progress", event_of("a", 2).to_string()).await;
    assert_eq!(answer.expect("an answer").status, 401);
}

/// A client names a student as it posts the name, and the relay finds the one that it stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_student_is_found_by_every_spelling_of_its_name() {
    let class = Class::new(&[]).await;
    // The second is "é" in two code points.
    for (posted, stored) in [("Ann@School.Example", "ann@school.example"), ("Re%CC%81", "Ré")] {
        let name = percent_encoding::percent_decode_str(posted).decode_utf8().expect("UTF-8");
        class.help(&name).await;
        let events = format!("/api/class/events?class=a&student={posted}");
        for caller in [("instructor", "Ito"), ("student", &*name)] {
            let answer = class.ask_as(caller, ("GET", &events), &[], "").await;
            assert_eq!(answer.status, 200, "{caller:?} {posted}");
            let answer: Value = answer.json().expect("events");
            assert_eq!(answer["events"][0]["studentId"], stored, "{caller:?}");
        }
        let other = ("student", "bob");
        assert_eq!(class.ask_as(other, ("GET", &events), &[], "").await.status, 403);
        for (method, act, member) in [("POST", "claim", "claimed"), ("POST", "resolve", "resolved")]
        {
            let target = format!("/api/class/students/{posted}/help/{act}?class=a");
            let answer = class.act((method, &target), &[], "").await;
            assert_eq!(answer.status, 200, "{target}");
            assert_eq!(answer.json::<Value>().expect("an answer")[member], true, "{target}");
        }
    }
}
