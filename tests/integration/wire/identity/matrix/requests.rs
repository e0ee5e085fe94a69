//! Requests and their answers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use progress_relay::client::http::{Connection, Response};
use serde_json::{Value, json};

use super::callers::{Caller, Standing};
use super::routes::{Kind, ROUTES, Route};
use super::{OF_ALGEBRA, OF_PHYSICS, Scene, Way};
use crate::support::Relay;

const WAYS: [Way; 4] = [Way::Bearer, Way::TokenScheme, Way::Query, Way::Cookie];

/// The members of a problem's body.
const MEMBERS: [&str; 5] = ["type", "title", "status", "detail", "field"];

/// What must come of a request.
#[derive(Debug)]
enum Expected {
    /// The same status as without a credential.
    AsAnyone,
    Passes,
    /// The status and the end of the problem's type.
    Refused(u16, &'static str),
}

fn expected(route: &Route, caller: &Caller, way: Way) -> Expected {
    match (route.kind, caller.standing) {
        (Kind::Open, _) => Expected::AsAnyone,
        (Kind::Ingest, _) if way == Way::Cookie => Expected::Refused(401, "unauthorized"),
        (_, Standing::Nobody(word)) => Expected::Refused(401, word),
        _ if !caller.has(route.roles, &[]) => Expected::Refused(403, "forbidden"),
        (Kind::OfNoClass, _) => Expected::Passes,
        _ if !caller.has(route.roles, &["algebra"]) => Expected::Refused(403, "class-not-allowed"),
        _ => Expected::Passes,
    }
}

/// A client with one connection.
struct Client<'a> {
    origin: String,
    connection: Connection,
    relay: &'a Relay,
}

impl<'a> Client<'a> {
    async fn new(relay: &'a Relay) -> Self {
        let origin = format!("http://{}", relay.url.authority());
        Self { origin, connection: relay.connection().await, relay }
    }

    async fn ask(&mut self, method: &str, route: &Route, caller: &Caller, way: Way) -> Response {
        let target = way.target(route.asked, caller);
        let credential = way.header(caller);
        let mut headers = vec![("content-type", "application/json"), ("origin", &*self.origin)];
        headers.extend(credential.as_ref().map(|(name, value)| (*name, value.as_str())));
        let body = match (method, route.kind) {
            ("POST", Kind::Ingest) => event(caller, way).to_string().into(),
            ("PUT", _) => Bytes::from_static(b"{}"),
            _ => Bytes::new(),
        };
        let answer = self.connection.request(method, &target, &headers, body.clone()).await;
        if let Ok(answer) = answer {
            return answer;
        }
        // An answer may end the connection.
        self.connection = self.relay.connection().await;
        let answer = self.connection.request(method, &target, &headers, body).await;
        answer.expect("an answer")
    }
}

/// An event that tells who posted it, and how.
fn event(caller: &Caller, way: Way) -> Value {
    json!({
        "eventId": uuid::Uuid::new_v4().to_string(),
        "eventType": "cell_executed",
        "eventTime": "2026-11-23T15:36:11Z",
        "classId": "algebra",
        "studentId": "victim",
        "postedBy": format!("{}, {way:?}", caller.name),
    })
}

/// A refusal tells what its problem is, and nothing of the relay's data.
fn assert_tells_nothing(what: &str, answer: &Response, caller: &Caller) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    let problem: BTreeMap<String, Value> = answer.json().expect("a problem");
    for name in problem.keys() {
        assert!(MEMBERS.contains(&name.as_str()), "{what} has {name}");
    }
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge.is_some(), answer.status == 401, "{what}");
    if answer.status == 401 {
        // Who is not known is not even told whom or what it has missed.
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(!detail.contains("algebra") && !detail.contains("\"o\""), "{what}: {detail}");
    }
    assert!(answer.header("set-cookie").is_none(), "{what}");
    assert_has_no_secret(what, answer, caller);
}

fn assert_has_no_secret(what: &str, answer: &Response, caller: &Caller) {
    let body = String::from_utf8_lossy(&answer.body);
    let headers = format!("{:?}", answer.headers);
    for secret in [&caller.token, &caller.session].into_iter().flatten() {
        // `x.y.z` and the like are in many a text.
        if secret.len() > 10 {
            assert!(!body.contains(secret) && !headers.contains(secret), "{what}: {body}");
        }
    }
    for (class, mark) in [("algebra", OF_ALGEBRA), ("physics", OF_PHYSICS)] {
        // A student of the class may read there, but nothing of this other student.
        if !caller.has("io", &[class]) {
            assert!(!body.contains(mark), "{what} tells of {class}: {body}");
        }
    }
}

async fn all_routes(scene: &Scene, anyone: &[u16], caller: &Caller, way: Way) -> usize {
    let mut client = Client::new(&scene.relay).await;
    let mut passed = 0;
    for (route, anyone) in ROUTES.iter().zip(anyone) {
        if route.kind == Kind::Subscription {
            continue;
        }
        let methods: &[&str] =
            if route.method == "GET" { &["GET", "HEAD"] } else { &[route.method] };
        for method in methods {
            let what = format!("{method} {} as {} by {way:?}", route.path, caller.name);
            let answer = client.ask(method, route, caller, way).await;
            let (status, is_head) = (answer.status.as_u16(), *method == "HEAD");
            match expected(route, caller, way) {
                Expected::AsAnyone => {
                    assert_eq!(status, *anyone, "{what}");
                    assert_has_no_secret(&what, &answer, caller);
                }
                Expected::Passes => {
                    assert_eq!(status, 200, "{what}: {:?}", answer.body);
                    assert_has_no_secret(&what, &answer, caller);
                    passed += 1;
                }
                Expected::Refused(code, _) if is_head => {
                    assert_eq!((status, answer.body.len()), (code, 0), "{what}");
                }
                Expected::Refused(code, word) => {
                    let problem: Value = answer.json().unwrap_or_default();
                    let name = problem["type"].as_str().unwrap_or_default();
                    let name = name.rsplit(':').next().unwrap_or_default();
                    assert_eq!((status, name), (code, word), "{what}: {problem}");
                    assert_tells_nothing(&what, &answer, caller);
                }
            }
        }
    }
    passed
}

/// The statuses of all routes without a credential.
async fn without_a_credential(scene: &Scene) -> Vec<u16> {
    let none = scene.caller("none");
    let mut client = Client::new(&scene.relay).await;
    let mut statuses = Vec::new();
    for route in &ROUTES {
        statuses.push(match route.kind {
            Kind::Subscription => 0,
            _ => client.ask(route.method, route, none, Way::Bearer).await.status.as_u16(),
        });
    }
    statuses
}

/// Who has posted.
async fn stored(scene: &Scene) -> BTreeSet<String> {
    let sql = "SELECT DISTINCT body->>'postedBy', student_id, class_id FROM progress_event \
               WHERE body::jsonb ? 'postedBy'";
    let rows = scene.database.client().await.query(sql, &[]).await.expect("rows");
    let posted_by = |row: tokio_postgres::Row| {
        let [by, student, class] = [0, 1, 2].map(|column| row.get::<_, String>(column));
        assert_eq!(class, "algebra", "{by}");
        let own = if by.starts_with("student") { "ann" } else { "victim" };
        assert_eq!(student, own, "{by}");
        by
    };
    rows.into_iter().map(posted_by).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_intended_requests_pass() {
    let scene = Scene::new().await;
    let anyone = without_a_credential(&scene).await;
    let mut posts = BTreeSet::new();
    for caller in &scene.callers {
        for way in WAYS {
            let passed = all_routes(&scene, &anyone, caller, way).await;
            let is_known = matches!(caller.standing, Standing::Known { .. });
            assert_eq!(passed > 0, is_known, "{} by {way:?}", caller.name);
            if way == Way::Cookie {
                // The last of the routes was the sign-out.
                let me = ROUTES.iter().find(|route| route.path == "/api/me").expect("a route");
                let mut client = Client::new(&scene.relay).await;
                let answer = client.ask("GET", me, caller, way).await;
                assert_eq!(answer.status, 401, "{} has signed out", caller.name);
            }
            if way != Way::Cookie && caller.has("wso", &["algebra"]) {
                posts.insert(format!("{}, {way:?}", caller.name));
            }
        }
    }
    assert_eq!(stored(&scene).await, posts, "nothing else is stored");
    // So that the marks are worth looking for.
    let mut client = Client::new(&scene.relay).await;
    let summary = ROUTES.iter().find(|route| route.path == "/api/class/summary").expect("one");
    let answer = client.ask("GET", summary, scene.caller("operator"), Way::Bearer).await;
    assert!(String::from_utf8_lossy(&answer.body).contains(OF_ALGEBRA));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_classes_is_the_callers_own() {
    let scene = Scene::new().await;
    let mut client = Client::new(&scene.relay).await;
    let route = ROUTES.iter().find(|route| route.path == "/api/classes").expect("a route");
    for (name, expected) in [
        ("instructor", &["algebra"] as &[&str]),
        ("instructor of another class", &["physics"]),
        ("instructor of both", &["algebra", "physics"]),
        ("instructor of none", &[]),
        ("operator", &["algebra", "physics"]),
    ] {
        for way in WAYS {
            let answer = client.ask("GET", route, scene.caller(name), way).await;
            let answer: Value = answer.json().expect("JSON");
            let listed = answer["classes"].as_array().expect("classes");
            let listed: Vec<_> = listed.iter().map(|class| class["classId"].clone()).collect();
            assert_eq!(listed, expected, "{name} by {way:?}");
        }
    }
}

/// A class that is there is refused as one that is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_does_not_tell_whether_a_class_exists() {
    let scene = Scene::new().await;
    let mut connection = scene.relay.connection().await;
    for name in ["student", "instructor"] {
        let mut refusals = Vec::new();
        for class in ["physics", "physicx"] {
            let path = format!("/api/class/summary?class={class}");
            let target = Way::Query.target(&path, scene.caller(name));
            let answer = connection.get(&target).await.expect("an answer");
            assert_eq!(answer.status, 403);
            let body = String::from_utf8_lossy(&answer.body).replace(class, "CLASS");
            refusals.push(body);
        }
        assert_eq!(refusals[0], refusals[1]);
    }
}
