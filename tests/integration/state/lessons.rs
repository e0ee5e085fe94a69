//! Lessons, settings and the acts of instructors, on every replica and after a restart.

use progress_relay::client::http::Response;
use serde_json::{Value, json};

use super::{check, saved};
use crate::support::{Database, Follower, Relay, event_of, until};

/// A student's run of a cell.
pub(super) fn run(student: &str, cell: &str, index: i64, failed: bool) -> Value {
    let mut event = event_of("c", fastrand::usize(1..1_000_000));
    event["userId"] = student.into();
    event["eventType"] = "cell_executed".into();
    event["notebookPath"] = "RTC:lesson1.ipynb".into();
    event["cellId"] = cell.into();
    event["cellIndex"] = index.into();
    event["executionCount"] = fastrand::i64(1..1_000_000).into();
    event["code"] = format!("{student} in {cell}").into();
    if failed {
        event["hasError"] = true.into();
        event["errorMessage"] = "NameError: name 'x' is not defined".into();
    }
    event
}

pub(super) async fn ask(relay: &Relay, method: &str, path: &str, body: &Value) -> Response {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("content-type", "application/json")];
    let mut connection = relay.connection().await;
    connection.request(method, path, &headers, body.into()).await.expect("an answer")
}

/// The JSON of an answer, which must be 200.
pub(super) async fn get(relay: &Relay, path: &str) -> Value {
    let answer = ask(relay, "GET", path, &Value::Null).await;
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    answer.json().expect("JSON")
}

pub(super) async fn act(relay: &Relay, method: &str, path: &str, body: Value) -> Value {
    let answer = ask(relay, method, path, &body).await;
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    answer.json().expect("JSON")
}

pub(super) fn ids(students: &Value) -> Vec<&str> {
    let students = students.as_array().expect("students").iter();
    students.map(|student| student["studentId"].as_str().expect("an id")).collect()
}

pub(super) const SUMMARY: &str = "/api/class/summary?class=c&include=cells,grid,settings";

#[tokio::test(flavor = "multi_thread")]
async fn a_lesson_begins_and_the_earlier_one_can_be_read() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    for event in [run("a", "x", 1, true), run("b", "x", 1, false)] {
        relays[0].post(&event).await;
    }
    let mut follower = Follower::new(&relays[1].url, &["c"], None).await;
    let begun = act(&relays[0], "POST", "/api/class/lessons?class=c", json!({"title": "Two"}));
    assert!(begun.await["cursor"].is_string());
    relays[1].post(&run("b", "y", 2, false)).await;
    while follower.events.len() < 2 {
        assert!(follower.step().await, "the connection was lost");
    }
    assert_eq!(follower.events[0]["eventType"], "lesson_started");
    assert_eq!(follower.events[0]["actor"], "anyone");

    for relay in &relays {
        let now = get(relay, SUMMARY).await;
        assert_eq!((ids(&now["students"]), ids(&now["absent"])), (vec!["b"], vec!["a"]));
        assert_eq!(now["lesson"]["title"], "Two");
        assert_eq!(now["cells"].as_array().map(Vec::len), Some(1));
        assert_eq!(
            (&now["metrics"]["absent"], &now["metrics"]["cellsExecuted"]),
            (&1.into(), &1.into())
        );
        let lessons = get(relay, "/api/class/lessons?class=c").await;
        let lessons = lessons["lessons"].as_array().expect("lessons");
        let seen: Vec<_> = lessons
            .iter()
            .map(|lesson| {
                (lesson["students"].clone(), lesson["runs"].clone(), lesson["current"] == true)
            })
            .collect();
        assert_eq!(seen, [(1.into(), 1.into(), true), (2.into(), 2.into(), false)]);
        let first = lessons[1]["id"].as_str().expect("an id");
        let earlier = get(relay, &format!("{SUMMARY}&lesson={first}")).await;
        assert_eq!(ids(&earlier["students"]), ["a", "b"]);
        assert_eq!(earlier["now"], lessons[1]["endedAt"]);
        assert_eq!(earlier["cells"][0]["failedRuns"], 1);
        let latest =
            format!("/api/class/events?class=c&cell=x&notebook=lesson1.ipynb&lesson={first}");
        assert_eq!(ids(&get(relay, &latest).await["events"]), ["b", "a"]);
        // The second time it comes from the cache.
        assert_eq!(get(relay, &format!("{SUMMARY}&lesson={first}")).await, earlier);
        let events = get(relay, &format!("/api/class/events?class=c&lesson={first}")).await;
        assert_eq!(ids(&events["events"]), ["b", "a"]);
        let export = format!("/api/class/export?class=c&format=ndjson&lesson={first}");
        let export = ask(relay, "GET", &export, &Value::Null).await;
        assert_eq!(String::from_utf8_lossy(&export.body).lines().count(), 2);
        let none = ask(relay, "GET", &format!("{SUMMARY}&lesson=999999"), &Value::Null).await;
        assert_eq!(none.status, 404);
    }
    saved(&database.client().await).await;
    check(&database).await;
    drop(relays);
    let relay = Relay::start(&database, &[]).await;
    let again = get(&relay, SUMMARY).await;
    assert_eq!((ids(&again["students"]), ids(&again["absent"])), (vec!["b"], vec!["a"]));
    let lessons = get(&relay, "/api/class/lessons?class=c").await;
    assert_eq!(lessons["lessons"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_fold_the_lesson_again_on_every_replica() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    // Each student's copy of the notebook has other ids.
    for student in ["a", "b", "c"] {
        relays[0].post(&run(student, &format!("id of {student}"), 3, student == "a")).await;
    }
    for relay in &relays {
        let before = get(relay, SUMMARY).await;
        assert_eq!(before["cells"].as_array().map(Vec::len), Some(3));
        assert_eq!(before["settings"], json!({}));
    }
    let path = "/api/class/settings?class=c";
    let roster = json!([{"id": "a", "name": "Ann"}, {"id": "z", "name": "Zoe", "team": "red"}]);
    let settings = json!({"cellsBy": "position", "roster": roster});
    let changed = act(&relays[0], "PUT", path, settings.clone()).await;
    for relay in &relays {
        let after = get(relay, SUMMARY).await;
        let cells = after["cells"].as_array().expect("cells");
        assert_eq!(cells.len(), 1);
        assert_eq!((&cells[0]["cellId"], &cells[0]["students"]), (&"#3".into(), &3.into()));
        assert_eq!(cells[0]["notebookPath"], "lesson1.ipynb");
        assert_eq!(after["students"][0]["userName"], "Ann");
        assert_eq!(after["students"][0]["onRoster"], true);
        assert_eq!(
            after["absent"],
            json!([{"studentId": "z", "userName": "Zoe", "teamName": "red"}])
        );
        assert_eq!(after["settings"], settings);
        let read = get(relay, path).await;
        assert_eq!((&read["settings"], &read["version"]), (&settings, &changed["version"]));
    }
    // What was based on other settings is refused.
    let headers = [("if-match", "\"0\""), ("content-type", "application/json")];
    let stale = relays[1].connection().await.request("PUT", path, &headers, "{}".into()).await;
    assert_eq!(stale.expect("an answer").status, 412);
    let wrong = ask(&relays[1], "PUT", path, &json!({"roster": [{"id": ""}]})).await;
    assert_eq!(wrong.status, 422);
    assert!(String::from_utf8_lossy(&wrong.body).contains("roster[0].id"));
    relays[1].post(&run("d", "id of d", 3, true)).await;
    let one = get(&relays[0], SUMMARY).await;
    assert_eq!(
        (&one["cells"][0]["students"], &one["cells"][0]["failingStudents"]),
        (&4.into(), &2.into())
    );
    saved(&database.client().await).await;
    check(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instructor_is_on_the_way() {
    let database = Database::migrated().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    let mut help = event_of("c", 1);
    (help["userId"], help["eventType"]) = ("a".into(), "help".into());
    help["until"] = "help_stop".into();
    relays[0].post(&help).await;
    let path = "/api/class/students/a/help/claim?class=c";
    let claimed = act(&relays[0], "POST", path, json!({"by": "Ito"})).await;
    assert_eq!(claimed["claimed"], true);
    let student = get(&relays[1], SUMMARY).await["students"][0].clone();
    assert_eq!((&student["helpClaimedBy"], &student["status"]), (&"Ito".into(), &"help".into()));
    assert_eq!(student["statusUntil"], Value::Null, "it stays up");
    let released = act(&relays[1], "DELETE", path, Value::Null).await;
    assert_eq!(released["claimed"], false);
    assert_eq!(get(&relays[0], SUMMARY).await["students"][0]["helpClaimedBy"], Value::Null);
    act(&relays[1], "POST", path, json!({"by": "Sato"})).await;
    act(&relays[0], "POST", "/api/class/students/a/help/resolve?class=c", Value::Null).await;
    let student = get(&relays[1], SUMMARY).await["students"][0].clone();
    assert_eq!((&student["helpClaimedBy"], &student["status"]), (&Value::Null, &"active".into()));
    let late = act(&relays[0], "POST", path, json!({"by": "Ito"})).await;
    assert_eq!(late, json!({"claimed": false}), "the hand is down");
    let viewing = "/api/class/viewing?class=c";
    act(&relays[0], "POST", viewing, json!({"by": "Ito", "student": "a"})).await;
    let events = get(&relays[1], "/api/class/events?class=c&limit=1").await;
    assert_eq!(events["events"][0]["eventType"], "instructor_viewing");
    assert_eq!(get(&relays[1], SUMMARY).await["metrics"]["students"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_students_latest_run_of_a_cell() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    for (student, cell) in [("a", "x"), ("b", "x"), ("a", "y"), ("a", "x"), ("c", "y")] {
        relay.post(&run(student, cell, 1, false)).await;
    }
    let path = "/api/class/events?class=c&cell=x&notebook=lesson1.ipynb";
    let latest = get(&relay, path).await;
    assert_eq!(ids(&latest["events"]), ["a", "b"]);
    let ran: Vec<i64> = latest["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| event["id"].as_i64().expect("an id"))
        .collect();
    assert_eq!(latest["events"][0]["code"], "a in x");
    assert_eq!((ran[0] - ran[1], &latest["next"]), (2, &Value::Null));
    let page = get(&relay, &format!("{path}&limit=1")).await;
    assert_eq!(ids(&page["events"]), ["a"]);
    let rest = get(&relay, &format!("{path}&limit=1&before={}", page["next"])).await;
    assert_eq!((ids(&rest["events"]), &rest["next"]), (vec!["b"], &Value::Null));
    assert_eq!(get(&relay, "/api/class/events?class=c&cell=none").await["events"], json!([]));
    // In any notebook, in one, in none, and of one student.
    let (mut elsewhere, mut nowhere) = (run("a", "x", 1, true), run("d", "x", 1, true));
    elsewhere["notebookPath"] = "lesson2.ipynb".into();
    nowhere.as_object_mut().expect("an event").remove("notebookPath");
    relay.post(&json!([elsewhere, nowhere])).await;
    for (place, students) in [
        ("cell=x", vec!["d", "a", "b"]),
        ("cell=x&notebook=./lesson2.ipynb", vec!["a"]),
        ("cell=x&notebook=", vec!["d"]),
        ("cell=x&student=a", vec!["a"]),
        ("cell=x&student=c", vec![]),
        ("cell=", vec![]),
    ] {
        let found = get(&relay, &format!("/api/class/events?class=c&{place}")).await;
        assert_eq!(ids(&found["events"]), students, "{place}");
    }
    for (notebook, events, cells) in [
        ("./lesson1.ipynb", vec!["c", "a", "a", "b", "a"], vec!["x", "y"]),
        ("RTC:lesson2.ipynb", vec!["a"], vec!["x"]),
        ("", vec!["d"], vec!["x"]),
        ("lesson3.ipynb", vec![], vec![]),
    ] {
        let found = get(&relay, &format!("/api/class/events?class=c&notebook={notebook}")).await;
        assert_eq!(ids(&found["events"]), events, "{notebook}");
        let found = get(&relay, &format!("/api/class/cells?class=c&notebook={notebook}")).await;
        let found = found["cells"].as_array().expect("cells").iter();
        assert_eq!(found.map(|cell| cell["cellId"].clone()).collect::<Vec<_>>(), cells);
    }
    let own = get(&relay, "/api/class/events?class=c&cell=x&student=a").await;
    assert_eq!(own["events"][0]["notebookPath"], "lesson2.ipynb");
}

/// The ids of the lessons, newest first.
async fn lessons(relay: &Relay) -> Vec<String> {
    let listed = get(relay, "/api/class/lessons?class=c").await;
    let listed = listed["lessons"].as_array().expect("lessons").iter();
    listed.map(|lesson| lesson["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_in_no_earlier_lesson() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    for lesson in 0..3 {
        for student in ["a", "b", "c"] {
            relays[0].post(&run(student, "x", 1, false)).await;
        }
        if lesson < 2 {
            act(&relays[0], "POST", "/api/class/lessons?class=c", json!({})).await;
        }
    }
    let earlier = |id: &str| format!("{SUMMARY}&lesson={id}");
    let runs = |id: &str| format!("/api/class/events?class=c&cell=x&lesson={id}");
    let found = lessons(&relays[0]).await;
    for relay in &relays {
        for id in &found {
            assert_eq!(ids(&get(relay, &earlier(id)).await["students"]), ["a", "b", "c"]);
            // The second time it comes from the cache.
            for _ in 0..2 {
                assert_eq!(ids(&get(relay, &runs(id)).await["events"]), ["c", "b", "a"]);
            }
        }
    }
    let delete = "DELETE FROM progress_event WHERE student_id = 'b'";
    client.batch_execute(delete).await.expect("a deletion");
    for relay in &relays {
        for id in &found {
            until("the deletion", || async {
                let summary = get(relay, &earlier(id)).await;
                (ids(&summary["students"]) == ["a", "c"]).then_some(())
            })
            .await;
            assert_eq!(ids(&get(relay, &runs(id)).await["events"]), ["c", "a"]);
        }
    }
    // Retention keeps the list of lessons. One whose first events are gone is not shown as if the
    // others were all.
    saved(&client).await;
    let first: i64 = found[2].parse().expect("an id");
    let prune = format!(
        "SET progress_relay.pruning = on; DELETE FROM progress_event WHERE id <= {first}; RESET \
         progress_relay.pruning"
    );
    client.batch_execute(&prune).await.expect("pruned events");
    let relay = Relay::start(&database, &[]).await;
    assert_eq!(lessons(&relay).await, found);
    for (path, status) in [
        (earlier(&found[2]), 404),
        (runs(&found[2]), 404),
        (format!("/api/class/events?class=c&lesson={}", found[2]), 200),
        (earlier(&found[1]), 200),
        (earlier(&found[0]), 200),
    ] {
        assert_eq!(ask(&relay, "GET", &path, &Value::Null).await.status, status, "{path}");
    }
}

/// The newest events of all classes are deleted: their class, and one that is new, can be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_class_can_be_read_after_the_newest_events_were_deleted() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let relays = [Relay::start(&database, &[]).await, Relay::start(&database, &[]).await];
    relays[0].post(&event_of("other", 1)).await;
    relays[0].post(&json!([run("a", "x", 1, false), run("b", "x", 1, false)])).await;
    assert_eq!(ids(&get(&relays[0], SUMMARY).await["students"]), ["a", "b"]);
    let delete = "DELETE FROM progress_event WHERE class_id = 'c'";
    client.batch_execute(delete).await.expect("a deletion");
    let fresh = Relay::start(&database, &[]).await;
    for relay in relays.iter().chain([&fresh]) {
        for path in [SUMMARY, "/api/class/summary?class=new", "/api/class/summary?class=other"] {
            until("a summary", || async {
                let answer = ask(relay, "GET", path, &Value::Null).await;
                let summary: Value = answer.json().ok()?;
                let students = summary["students"].as_array()?.len();
                (students == usize::from(path.ends_with("other"))).then_some(())
            })
            .await;
        }
        assert_eq!(lessons(relay).await, [] as [String; 0]);
        assert_eq!(get(relay, "/api/class/lessons?class=new").await["lessons"], json!([]));
    }
    relays[1].post(&run("d", "x", 1, false)).await;
    assert_eq!(ids(&get(&relays[0], SUMMARY).await["students"]), ["d"]);
    saved(&client).await;
    check(&database).await;
}

/// A person may write an address otherwise than ingest stores it.
#[tokio::test(flavor = "multi_thread")]
async fn a_student_is_found_by_any_spelling_of_the_address() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    let mut help = event_of("c", 1);
    (help["userId"], help["eventType"]) = ("Ann@Example.com".into(), "help".into());
    relay.post(&help).await;
    let hand =
        |student: &str, act: &str| format!("/api/class/students/{student}/help/{act}?class=c");
    let claimed = act(&relay, "POST", &hand("ANN%40example.COM", "claim"), json!({})).await;
    assert_eq!(claimed["claimed"], true);
    let events = get(&relay, "/api/class/events?class=c&student=ANN@Example.com").await;
    assert_eq!(ids(&events["events"]), ["ann@example.com"; 2]);
    let resolved = act(&relay, "POST", &hand("%20ann@EXAMPLE.com", "resolve"), json!({})).await;
    assert_eq!(resolved["resolved"], true);
    let nobody = ask(&relay, "POST", &hand("BOB@example.com", "resolve"), &Value::Null).await;
    assert_eq!(nobody.status, 404);
    // An id that SQL has written otherwise counts as it stands.
    let sql = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body) \
               SELECT gen_random_uuid(), 'c', 'Zoe@Example.com', now(), \
               '{\"eventType\":\"help\"}'";
    database.client().await.batch_execute(sql).await.expect("an insert");
    let resolved = act(&relay, "POST", &hand("Zoe@Example.com", "resolve"), json!({})).await;
    assert_eq!(resolved["resolved"], true);
}

/// Nobody begins a lesson with a body that says nothing of one.
#[tokio::test(flavor = "multi_thread")]
async fn an_act_takes_an_object_alone() {
    let database = Database::migrated().await;
    let relay = Relay::start(&database, &[]).await;
    for body in [json!([]), json!(["Ito", "Two"]), json!("Two"), json!(7), json!({"title": 7})] {
        let answer = ask(&relay, "POST", "/api/class/lessons?class=c", &body).await;
        assert_eq!(answer.status, 400, "{body}");
    }
    assert_eq!(lessons(&relay).await, [] as [String; 0]);
}
