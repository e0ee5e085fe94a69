//! What a role has set for other applications changes nothing for a relay.

use std::time::Duration;

use progress_relay::client::ws::Frame;
use serde_json::Value;

use crate::support::{
    Database, Relay, event, event_of, installation, login, readiness, role, run, until, within,
};

/// The settings of the roles, in which other applications might need them.
const SETTINGS: &[(&str, &str)] = &[
    ("statement_timeout", "'300ms'"),
    ("lock_timeout", "'50ms'"),
    ("idle_session_timeout", "'5s'"),
    ("idle_in_transaction_session_timeout", "'100ms'"),
    ("default_transaction_isolation", "'serializable'"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_deferrable", "on"),
    ("synchronous_commit", "off"),
    ("DateStyle", "'SQL, DMY'"),
    ("IntervalStyle", "'iso_8601'"),
    ("extra_float_digits", "-15"),
    ("bytea_output", "'escape'"),
    ("standard_conforming_strings", "off"),
    ("escape_string_warning", "on"),
    ("client_min_messages", "error"),
    ("row_security", "off"),
    ("search_path", "elsewhere, app"),
    ("log_statement", "'all'"),
    ("log_min_duration_statement", "0"),
    ("log_parameter_max_length_on_error", "-1"),
    ("exit_on_error", "on"),
    ("enable_indexscan", "off"),
    ("enable_indexonlyscan", "off"),
    ("enable_nestloop", "off"),
    ("plan_cache_mode", "force_custom_plan"),
    ("work_mem", "'64kB'"),
    ("jit", "on"),
    ("jit_above_cost", "0"),
    ("quote_all_identifiers", "on"),
    ("array_nulls", "off"),
    ("default_statistics_target", "1"),
    ("max_parallel_workers_per_gather", "4"),
    ("tcp_keepalives_idle", "7200"),
    ("plpgsql.extra_errors", "'all'"),
    ("plpgsql.variable_conflict", "'use_column'"),
    ("session_replication_role", "'replica'"),
    ("transform_null_equals", "on"),
    ("check_function_bodies", "off"),
    ("backslash_quote", "off"),
    ("client_encoding", "'LATIN1'"),
    ("join_collapse_limit", "1"),
    ("from_collapse_limit", "1"),
    ("enable_hashjoin", "off"),
    ("enable_sort", "off"),
    ("enable_seqscan", "off"),
    ("cursor_tuple_fraction", "0"),
    ("temp_buffers", "'800kB'"),
    ("xmlbinary", "'hex'"),
    ("application_name", "'another application'"),
];

/// The longest of the timeouts above, and some time for it to be noticed.
const LONGER_THAN_ANY_TIMEOUT: Duration = Duration::from_millis(6_500);

/// A relay whose role has the settings.
async fn tuned(database: &Database, role: &str, zone: &str) {
    let client = database.client().await;
    let mut sql = format!("ALTER ROLE {role} SET TimeZone = '{zone}';");
    for (name, value) in SETTINGS {
        sql.push_str(&format!("ALTER ROLE {role} SET {name} = {value};"));
    }
    let row = client.query_one("SHOW server_version_num", &[]).await.expect("a release");
    let release: u32 = row.get::<_, &str>(0).parse().expect("a number");
    if release >= 170_000 {
        sql.push_str(&format!("ALTER ROLE {role} SET transaction_timeout = '400ms';"));
    }
    let parallel = if release >= 160_000 { "debug_parallel_query" } else { "force_parallel_mode" };
    sql.push_str(&format!("ALTER ROLE {role} SET {parallel} = on;"));
    client.batch_execute(&sql).await.expect("settings");
}

async fn get(relay: &Relay, target: &str) -> Vec<u8> {
    until("an answer", || async {
        let answer = relay.connection().await.get(target).await.ok()?;
        (answer.status == 200).then(|| answer.body.to_vec())
    })
    .await
}

/// The answers without the time at which they were made.
async fn answers(relay: &Relay) -> Vec<(&'static str, String)> {
    let mut answers = Vec::new();
    for target in [
        "/api/class/events?limit=100",
        "/api/class/events?class=other",
        "/api/class/cells",
        "/api/class/activity",
        "/api/class/export",
        "/api/class/export?format=ndjson",
        "/api/class/refused",
    ] {
        let text = String::from_utf8(get(relay, target).await).expect("text");
        // `{"now":"2026-11-26T20:21:48.418358Z",…`
        let text = text.strip_prefix("{\"now\":").map_or(&*text, |rest| &rest[29..]);
        answers.push((target, text.to_owned()));
    }
    answers
}

/// The summary without the times that depend on its making.
async fn summary(relay: &Relay) -> Value {
    let target = "/api/class/summary?include=cells,grid,activity";
    let mut summary: Value = serde_json::from_slice(&get(relay, target).await).expect("JSON");
    let members = summary.as_object_mut().expect("an object");
    members.retain(|name, _| !matches!(&**name, "now" | "generatedAt" | "cursor" | "validUntil"));
    summary
}

async fn reconnects(relay: &Relay) -> f64 {
    let metrics = get(relay, "/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let lines = metrics.lines().filter(|line| line.starts_with("relay_reconnects_total{"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_for_other_applications_change_nothing() {
    let database = Database::new().await;
    let client = database.client().await;
    let (tokyo, newfoundland, plain) = (role("tokyo"), role("newfoundland"), role("plain"));
    let url = installation(&database, &tokyo, "app", "app").await;
    client
        .batch_execute(&format!(
            "CREATE SCHEMA elsewhere; GRANT USAGE ON SCHEMA elsewhere TO PUBLIC; \
             CREATE ROLE {newfoundland} LOGIN IN ROLE {tokyo}; \
             CREATE ROLE {plain} LOGIN IN ROLE {tokyo}; ALTER ROLE {plain} SET search_path = app"
        ))
        .await
        .expect("roles");
    tuned(&database, &tokyo, "Asia/Tokyo").await;
    tuned(&database, &newfoundland, "America/St_Johns").await;

    // The first of them applies the migrations.
    let one = Relay::serve(&["--database-url", &url]).await;
    let two = Relay::serve(&["--database-url", &login(&database, &newfoundland)]).await;
    let other = Relay::serve(&["--database-url", &login(&database, &plain)]).await;
    let relays = [&one, &two, &other];
    let mut subscriber = two.subscribe(&["default"], None).await;
    let live = within("live", subscriber.next()).await.expect("a frame");
    assert!(matches!(live, Frame::Live { .. }), "{live:?}");
    for n in 0..30 {
        let mut sent = event(n);
        sent["code"] = r#"print('a\n', "b") -- \x00"#.into();
        relays[n % 3].post(&sent).await;
    }
    relays[0].post(&event_of("other", 1)).await;
    // A retry is a duplicate, whichever relay it reaches.
    let retried = event(77);
    for relay in relays {
        relay.post(&retried).await;
    }
    let rejected = serde_json::json!({ "eventId": "no id", "eventType": "help" });
    assert_eq!(one.try_post(&rejected).await.status, 422);
    let resolved = one
        .connection()
        .await
        .post_json("/api/class/students/s001/help/resolve", "{}".to_owned())
        .await
        .expect("an answer");
    assert!(resolved.status.is_success(), "{}", String::from_utf8_lossy(&resolved.body));
    tokio::time::sleep(LONGER_THAN_ANY_TIMEOUT).await;

    for relay in relays {
        assert_eq!(readiness(relay).await.0, 200);
        relay.post(&event(100)).await;
    }
    // The tails of all relays have the newest events.
    let newest: i64 = client
        .query_one("SELECT max(id) FROM app.progress_event", &[])
        .await
        .expect("an id")
        .get(0);
    for relay in relays {
        let head = format!("relay_log_head {newest}");
        until("the newest event", || async {
            let metrics = get(relay, "/metrics").await;
            String::from_utf8_lossy(&metrics).lines().any(|line| line == head).then_some(())
        })
        .await;
        assert_eq!(reconnects(relay).await, 0.0, "{}", relay.log());
    }
    let expected = answers(&other).await;
    assert!(expected.iter().any(|(_, text)| text.contains("2026-11-23T15:36:11.956Z")));
    assert_eq!(answers(&one).await, expected);
    assert_eq!(answers(&two).await, expected);
    let expected = summary(&other).await;
    assert_eq!(summary(&one).await, expected);
    assert_eq!(summary(&two).await, expected);

    let saved = "SELECT FROM app.state_through WHERE through_id >= $1";
    until("snapshots", || async { client.query_opt(saved, &[&newest]).await.expect("an answer") })
        .await;
    for arguments in [&["rebuild-state", "--check"][..], &["rebuild-state"], &["migrate"]] {
        let run = run(&[arguments, &["--database-url", &url]].concat(), &[]).await;
        assert_eq!(run.code, Some(0), "{arguments:?}: {}{}", run.stdout, run.stderr);
        assert!(!run.stdout.contains("differ from"), "{}", run.stdout);
    }
}

/// The role's transactions wait until no other serializable transaction writes, and its statements
/// may take 300 ms. Another application has such a transaction open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_of_another_application_are_not_waited_for() {
    let database = Database::new().await;
    let client = database.client().await;
    let waiting = role("waiting");
    let url = installation(&database, &waiting, "app", "app").await;
    for setting in [
        "default_transaction_isolation = serializable",
        "default_transaction_read_only = on",
        "default_transaction_deferrable = on",
        "statement_timeout = '300ms'",
    ] {
        let sql = format!("ALTER ROLE {waiting} SET {setting}");
        client.batch_execute(&sql).await.expect("a setting");
    }
    let open = "BEGIN ISOLATION LEVEL SERIALIZABLE; CREATE TABLE theirs (); SELECT FROM theirs";
    client.batch_execute(open).await.expect("their transaction");
    let migrated = run(&["migrate", "--database-url", &url], &[]).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let relay = Relay::serve(&["--database-url", &url]).await;
    relay.post(&event(1)).await;
    client.batch_execute("ROLLBACK").await.expect("its end");
}
