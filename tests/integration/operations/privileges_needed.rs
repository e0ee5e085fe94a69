//! The list of grants, compared with the statements of a relay at work.
//!
//! A relay whose role has the grants of the list and no others does everything that a relay does.
//! PostgreSQL logs its statements. Then each privilege of the list is taken away in turn, and at
//! least one of these statements must fail: the list has nothing that a relay does not need.

use std::collections::BTreeSet;

use bytes::Bytes;
use progress_relay::database::Object;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::privileges::{every_privilege, revoke};
use crate::support::{Follower, Issuer, Relay, Roles, event_of, text, until, within};

/// Texts that the statements of the work must contain, so that it is known to have been done.
const WORK: &[&str] = &[
    "INSERT INTO progress_event",
    "JOIN progress_event AS event USING",
    "SELECT setval('progress_event_id_seq'",
    "SET home = progress_home()",
    "nonce = left(replace(gen_random_uuid()",
    "FROM old RETURNING progress_log.nonce",
    "UPDATE progress_log SET deletions = deletions + 1",
    "INSERT INTO progress_deletion",
    "DELETE FROM progress_deletion",
    "count(DISTINCT deletion)",
    "INSERT INTO class_state",
    "DELETE FROM class_state",
    "UPDATE state_through",
    "INSERT INTO student_state",
    "INSERT INTO cell_state",
    "INSERT INTO student_cell_state",
    "INSERT INTO activity_state",
    "INSERT INTO refused_event",
    "DELETE FROM refused_event",
    "INSERT INTO sign_in_link",
    "INSERT INTO sign_out",
    "SELECT session_hash FROM sign_out",
    "INSERT INTO audit_entry",
    "FROM audit_entry",
    "SELECT progress_audit_prune",
    "SELECT version, name, oldest_release FROM relay_migration",
];

async fn ok(relay: &Relay, path: &str) -> String {
    until(path, async || {
        let response = relay.connection().await.get(path).await.ok()?;
        (response.status == 200).then(|| String::from_utf8_lossy(&response.body).into_owned())
    })
    .await
}

/// Reads the first frame of a stream.
async fn stream(relay: &Relay, class: &str) {
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    let request =
        format!("GET /api/class/stream?class={class} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("data: ") {
        assert!(within("the stream", stream.read_buf(&mut answer)).await.expect("bytes") > 0);
    }
}

/// Waits until the snapshots hold every event of the current epoch.
async fn saved(admin: &Client) {
    until("the snapshots", async || {
        let sql = "SELECT through_id >= (SELECT max(id) FROM progress_event) \
             FROM state_through JOIN progress_log USING (nonce)";
        let row = admin.query_opt(sql, &[]).await.expect("an answer")?;
        row.get::<_, Option<bool>>(0)?.then_some(())
    })
    .await;
}

/// Changes the log as the superuser, and waits until the relay has renewed the nonce.
async fn renewed_after(roles: &Roles, admin: &Client, change: &str) {
    const NONCE: &str = "SELECT nonce FROM progress_log";
    let nonce = async || admin.query_one(NONCE, &[]).await.expect("a row").get::<_, String>(0);
    let before = nonce().await;
    admin.batch_execute(change).await.expect("changed");
    // The place of the log is looked at when the tail connects.
    roles.database.terminate("progress-relay tail").await;
    until(change, async || (nonce().await != before).then_some(())).await;
}

/// Events are stored, rejected, followed and read; hands are lowered; two replicas elect a leader,
/// which writes snapshots.
async fn serve_a_class(roles: &Roles, admin: &Client) -> [Relay; 3] {
    let relay = roles.serve(&[]).await;
    let mut follower = Follower::new(&relay.url, &["A"], None).await;
    let mut events: Vec<Value> = (0..8).map(|n| event_of("A", n)).collect();
    for event in &mut events {
        event["notebookPath"] = "lesson.ipynb".into();
        event["cellId"] = "c1".into();
    }
    events[0]["eventType"] = "help".into();
    relay.post(&json!([events[0], events[1]])).await;
    // Some are there already, so the ids of the others are looked up.
    assert_eq!(relay.post(&json!(events)).await["duplicates"], 2);
    follower.take(8).await;
    relay.post(&event_of("B", 1)).await;
    stream(&relay, "A").await;
    assert_eq!(relay.try_post(&json!({"classId": "A"})).await.status, 422);
    let resolve = "/api/class/students/s000/help/resolve?class=A";
    let answer = relay.connection().await.post_json(resolve, String::new()).await;
    assert_eq!(answer.expect("an answer").status, 200);
    saved(admin).await;
    let second = roles.serve(&[]).await;
    Follower::new(&second.url, &["A"], None).await;
    for path in [
        "/api/class/summary?class=A&include=cells,grid,activity",
        "/api/classes",
        "/api/class/events?class=A",
        "/api/class/events?class=A&student=s001",
        "/api/class/cells?class=A",
        "/api/class/activity?class=A",
        "/api/class/export?class=A&format=csv",
        "/api/class/export?class=A&format=ndjson",
    ] {
        ok(&second, path).await;
    }
    until("the rejected event", async || {
        ok(&second, "/api/class/refused?class=A").await.contains("eventId").then_some(())
    })
    .await;
    let audited = audited(roles).await;
    [relay, second, audited]
}

/// A relay that knows its callers: a browser signs in, by a token and by a one-time link, and the
/// audit tells.
async fn audited(roles: &Roles) -> Relay {
    let issuer = Issuer::new();
    let relay = roles.serve(&issuer.flags()).await;
    let origin = format!("http://{}", relay.url.authority());
    let ask = async |method: &str, path: &str, cookie: &str, body: Value| {
        let headers =
            [("origin", &*origin), ("cookie", cookie), ("content-type", "application/json")];
        let body = Bytes::from(body.to_string());
        let answer = relay.connection().await.request(method, path, &headers, body).await;
        answer.expect("an answer")
    };
    let token = issuer.token("root", "operator", &[]);
    let answer = ask("POST", "/sign-in", "", json!({"token": token})).await;
    let cookie = answer.header("set-cookie").expect("a cookie").split(';').next();
    let cookie = cookie.expect("a pair");
    let link: Value = ask("POST", "/sign-in/link", cookie, json!({})).await.json().expect("a link");
    let code = text(&link, "path").split_once('#').expect("a code").1;
    assert_eq!(ask("POST", "/sign-in", "", json!({"code": code})).await.status, 303);
    until("the audit", async || {
        let answer = ask("GET", "/api/audit?action=link-used", cookie, json!({})).await;
        let page: Value = answer.json().ok()?;
        (!page["entries"].as_array()?.is_empty()).then_some(())
    })
    .await;
    assert_eq!(ask("POST", "/sign-out", cookie, json!({})).await.status, 303);
    relay
}

/// The log is changed by others: events are deleted, ids are given by hand, the log is moved to
/// another place, a standby is promoted. Snapshots are found wrong, and are rebuilt.
async fn disturb(roles: &Roles, admin: &Client, relay: &Relay) {
    let delete = "DELETE FROM progress_event WHERE class_id = 'B'";
    admin.batch_execute(delete).await.expect("deleted");
    relay.post(&event_of("B", 2)).await;
    saved(admin).await;
    admin.batch_execute("UPDATE class_state SET events = 99").await.expect("a wrong snapshot");
    let checked = roles.run(&["rebuild-state", "--check"]).await;
    assert_eq!(checked.code, Some(1), "{}", checked.stderr);
    let rebuilt = roles.run(&["rebuild-state"]).await;
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.stderr);
    assert!(rebuilt.stdout.contains("were rebuilt"), "{}", rebuilt.stdout);
    renewed_after(roles, admin, "UPDATE progress_log SET timeline = 'FF'").await;
    renewed_after(roles, admin, "UPDATE progress_log SET home = 'elsewhere'").await;
    let ids = "INSERT INTO progress_event (id, event_id, class_id, student_id, occurred_at, body) \
         OVERRIDING SYSTEM VALUE \
         SELECT 900 + n, gen_random_uuid(), 'A', 's', now(), '{}' FROM generate_series(1, 3) AS n";
    renewed_after(roles, admin, ids).await;
    relay.post(&event_of("A", 9)).await;
    saved(admin).await;
    // A single event that the database refuses: the control row tells whose fault that is.
    let rule = "ALTER TABLE progress_event ADD CONSTRAINT rule CHECK (class_id <> 'C') NOT VALID";
    admin.batch_execute(rule).await.expect("a rule");
    assert_eq!(relay.try_post(&event_of("C", 1)).await.status, 503);
    let rule = "ALTER TABLE progress_event DROP CONSTRAINT rule";
    admin.batch_execute(rule).await.expect("no rule");
}

/// The statements in the server's log. Only the sessions of one role are logged.
async fn logged(admin: &Client) -> (String, BTreeSet<String>) {
    let sql = "SELECT string_agg(pg_read_file('log/' || name), '') FROM pg_ls_logdir()";
    let log: String = admin.query_one(sql, &[]).await.expect("the log").get(0);
    let mut statements = BTreeSet::new();
    let lines = log.replace("\n\t", " ");
    for line in lines.lines() {
        let Some((_, text)) = line.split_once("LOG:  ") else { continue };
        let text = match text.strip_prefix("execute ") {
            Some(text) => text.split_once(": ").map(|(_, text)| text),
            None => text.strip_prefix("statement: "),
        };
        let parts = text.unwrap_or_default().split(';').map(str::trim);
        let is_query = |part: &&str| {
            ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"]
                .iter()
                .any(|verb| part.starts_with(verb))
        };
        statements.extend(parts.filter(is_query).map(str::to_owned));
    }
    (log, statements)
}

/// The number of a statement's parameters.
fn parameters(statement: &str) -> usize {
    let numbers = statement.split('$').skip(1).filter_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    numbers.max().unwrap_or(0)
}

/// Tries a statement within a transaction, and returns its error. PostgreSQL looks at privileges
/// when a statement begins, so EXPLAIN is enough but for `setval`, which looks when it is called.
async fn attempt(client: &Client, statement: &str) -> Option<SqlState> {
    let count = parameters(statement);
    let arguments = match count {
        0 => String::new(),
        count => format!("({})", vec!["NULL"; count].join(", ")),
    };
    let explain = if statement.contains("setval") { "" } else { "EXPLAIN " };
    client.batch_execute("SAVEPOINT attempt").await.expect("a savepoint");
    let tried = format!("PREPARE attempt AS {statement}; {explain}EXECUTE attempt {arguments}");
    let outcome = client.batch_execute(&tried).await;
    let undo = "ROLLBACK TO attempt; DEALLOCATE ALL";
    client.batch_execute(undo).await.expect("the end of an attempt");
    outcome.err().and_then(|error| error.code().cloned())
}

/// Those of the statements that fail for want of a privilege, after `change`, as the relay's role.
async fn failing<'a>(
    roles: &Roles,
    admin: &Client,
    change: &str,
    statements: impl Iterator<Item = &'a String>,
) -> Vec<&'a str> {
    let begin = format!(
        "BEGIN; {change}; SELECT setval('progress_event_id_seq', 1); \
         SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL ROLE \"{}\"",
        roles.relay
    );
    admin.batch_execute(&begin).await.expect("a transaction");
    let mut failing = Vec::new();
    for statement in statements {
        let state = attempt(admin, statement).await;
        // Without USAGE on its schema a name is unknown.
        let unknown = state == Some(SqlState::UNDEFINED_TABLE);
        if state == Some(SqlState::INSUFFICIENT_PRIVILEGE) || unknown {
            failing.push(&**statement);
        }
    }
    admin.batch_execute("ROLLBACK").await.expect("nothing is kept");
    failing
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_needs_every_grant_and_no_other() {
    let roles = Roles::granted().await;
    let admin = roles.admin().await;
    let log = format!(
        "ALTER ROLE \"{0}\" SET log_statement = 'all'; ALTER ROLE \"{0}\" SET log_min_messages = \
             log",
        roles.relay
    );
    admin.batch_execute(&log).await.expect("a log");
    let relays = serve_a_class(&roles, &admin).await;
    disturb(&roles, &admin, &relays[0]).await;
    let logs = relays.each_ref().map(Relay::log).concat();
    drop(relays);
    let (log, statements) = logged(&admin).await;
    for log in [&logs, &log] {
        let refused = log.lines().filter(|line| line.contains("permission denied"));
        assert_eq!(refused.collect::<Vec<_>>(), [""; 0], "no statement is refused");
    }
    for work in WORK {
        let done = statements.iter().any(|statement| statement.contains(work));
        assert!(done, "{work} was not done: {statements:#?}");
    }
    let refused = failing(&roles, &admin, "SELECT 1", statements.iter()).await;
    assert_eq!(refused, [""; 0], "with all grants");
    let mut superfluous = Vec::new();
    for (object, privilege, name) in every_privilege() {
        if object == Object::Database {
            continue;
        }
        let word = object.name().split('(').next().unwrap_or_default();
        // A function may be called by another one.
        let is_function = matches!(object, Object::Function(_));
        let concerned = statements.iter().filter(|text| is_function || text.contains(word));
        let revoke = revoke(&roles, object, &privilege);
        if failing(&roles, &admin, &revoke, concerned).await.is_empty() {
            superfluous.push(format!("{privilege} on {name}"));
        }
    }
    assert_eq!(superfluous, [""; 0], "nothing that the relay did needs these");
}
