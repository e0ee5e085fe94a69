//! A student reads its own events and state, and nothing of others, whatever it asks for.

use std::collections::BTreeSet;

use bytes::Bytes;
use progress_relay::client::query;
use serde_json::{Value, json};

use crate::support::tokens::{Keys, token_of};
use crate::support::{Database, Relay};

/// What only the others sent: their names, ids, cells, notebooks, errors and code.
const OF_OTHERS: &str = "SECRET";

/// Events of two students; the other one's texts all have [`OF_OTHERS`].
fn events(class: &str) -> Value {
    let mut events = Vec::new();
    for count in 1..=6 {
        let is_own = count % 2 == 0;
        let of = |text: &str| if is_own { text.to_owned() } else { format!("{text} {OF_OTHERS}") };
        events.push(json!({
            "eventId": uuid::Uuid::new_v4().to_string(),
            "eventType": "cell_executed",
            "eventTime": format!("2026-11-23T15:36:{count:02}Z"),
            "classId": class,
            "studentId": of("ann@example.com"),
            "userName": of("Ann"),
            "teamName": of("team"),
            "notebookPath": if count < 5 { "shared.ipynb".to_owned() } else { of("n.ipynb") },
            "cellId": if count < 3 { "shared".to_owned() } else { of("c") },
            "cellIndex": count,
            "executionCount": count,
            "hasError": true,
            "errorMessage": of("NameError"),
            "code": of("print()"),
        }));
    }
    Value::Array(events)
}

struct Reader<'a> {
    relay: &'a Relay,
    token: String,
}

impl Reader<'_> {
    async fn get(&self, path: &str) -> (u16, String) {
        let authorization = format!("Bearer {}", self.token);
        let headers = [("authorization", authorization.as_str())];
        let mut connection = self.relay.connection().await;
        let answer = connection.request("GET", path, &headers, Bytes::new()).await;
        let answer = answer.expect("an answer");
        (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
    }

    async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }
}

async fn start(database: &Database, keys: &Keys) -> Relay {
    let flags = keys.flags();
    let off = ["--rate-limit-caller", "off"];
    let flags: Vec<_> = flags.iter().map(String::as_str).chain(off).collect();
    let relay = Relay::start(database, &flags).await;
    let target =
        format!("/student-progress?{}", query([("token", &*token_of("writer", "w", &["*"]))]));
    for class in ["algebra", "physics"] {
        let mut connection = relay.connection().await;
        let posted = connection.post_json(&target, events(class).to_string()).await;
        assert_eq!(posted.expect("an answer").status, 200);
    }
    relay
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_students_summary_is_the_class_as_if_it_were_alone() {
    let database = Database::new().await;
    let keys = Keys::new();
    let relay = start(&database, &keys).await;
    // The subject is normalised as a student's id in an event is.
    let token = token_of("student", " Ann@Example.com ", &["algebra"]);
    let ann = Reader { relay: &relay, token };
    let staff = Reader { relay: &relay, token: token_of("instructor", "i", &["algebra"]) };
    let path = "/api/class/summary?class=algebra&include=cells,grid";
    let (own, all) = (ann.json(path).await, staff.json(path).await);
    let (text, all_text) = (own.to_string(), all.to_string());
    assert!(all_text.contains(OF_OTHERS) && !text.contains(OF_OTHERS), "{text}");
    let ids = |summary: &Value, part: &str| -> Vec<Value> {
        summary[part]
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| row["studentId"].clone())
            .collect()
    };
    assert_eq!(ids(&own, "students"), ["ann@example.com"]);
    assert_eq!(ids(&own, "grid"), ["ann@example.com"]);
    assert_eq!(own["cursor"], all["cursor"]);
    let entry = |summary: &Value| {
        let students = summary["students"].as_array().expect("students");
        students.iter().find(|one| one["studentId"] == "ann@example.com").cloned()
    };
    assert_eq!(entry(&own), entry(&all), "one student, told to both alike");
    let metrics = &own["metrics"];
    assert_eq!((&metrics["students"], &metrics["cellsExecuted"]), (&json!(1), &json!(3)));
    let cells: Vec<_> = own["cells"].as_array().expect("cells").iter().collect();
    let counts: BTreeSet<_> = cells
        .iter()
        .map(|cell| {
            assert_eq!(cell["topErrors"], json!([]), "messages are counted over all students");
            (
                cell["cellId"].as_str().expect("an id"),
                cell["runs"].as_i64(),
                cell["students"].as_i64(),
            )
        })
        .collect();
    let one = |id| (id, Some(1), Some(1));
    // `c` is in two notebooks.
    assert_eq!((cells.len(), counts), (3, BTreeSet::from([one("c"), one("shared")])));

    let (status, refused) = ann.get("/api/class/summary?class=algebra&include=activity").await;
    assert_eq!(status, 403, "{refused}");
    let (status, _) = ann.get("/api/class/summary?class=physics").await;
    assert_eq!(status, 403, "another class");
    let late = Reader { relay: &relay, token: token_of("student", "nobody", &["algebra"]) };
    let empty = late.json(path).await;
    assert_eq!((&empty["students"], &empty["metrics"]["students"]), (&json!([]), &json!(0)));
}

/// Each answer to a student is a refusal, or of its own rows alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_parameter_shows_a_student_another_one() {
    let database = Database::new().await;
    let keys = Keys::new();
    let relay = start(&database, &keys).await;
    let token = token_of("student", "ann@example.com", &["algebra", "physics"]);
    let ann = Reader { relay: &relay, token };
    let other = query([("student", &*format!("ann@example.com {}", OF_OTHERS.to_lowercase()))]);
    let other_as_stored = query([("student", &*format!("ann@example.com {OF_OTHERS}"))]);
    let mut own_rows = 0;
    for path in ["/api/class/events", "/api/class/summary"] {
        for class in
            ["class=algebra", "class=algebra&class=physics", "class=physics&class=", "class=*"]
        {
            for more in [
                "",
                "student=",
                "student=*",
                "student=ann@example.com",
                "student=ANN@example.com",
                &other,
                &other_as_stored,
                &format!("student=ann@example.com&{other_as_stored}"),
                &format!("{other_as_stored}&student=ann@example.com"),
                "notebook=shared.ipynb",
                "cell=shared&notebook=shared.ipynb",
                "cell=shared",
                "before=9223372036854775807&limit=1000",
                "before=0",
                "limit=1000&include=cells,grid",
                "include=activity",
                "role=operator",
                "sub=i&classes=*",
                "lesson=1",
            ] {
                let path = format!("{path}?{class}&{more}");
                let (status, body) = ann.get(&path).await;
                assert!([200, 400, 403].contains(&status), "{path}: {status} {body}");
                if status == 200 {
                    assert!(!body.contains(OF_OTHERS), "{path}: {body}");
                    own_rows += body.matches("\"studentId\":\"ann@example.com\"").count();
                } else {
                    assert!(
                        !body.contains("NameError") && !body.contains("print()"),
                        "{path}: {body}"
                    );
                }
            }
        }
    }
    assert!(own_rows > 10, "it reads its own: {own_rows}");
    for path in ["cells", "activity", "export", "refused", "settings", "lessons"] {
        let (status, body) = ann.get(&format!("/api/class/{path}?class=algebra&student=ann")).await;
        assert!(status == 403 && !body.contains(OF_OTHERS), "{path}: {status} {body}");
    }
}
