//! Servers that do not tell the timeline of their WAL: the epoch is the nonce alone. And servers
//! whose timelines have the same number by chance.

use progress_relay::client::ws::Frame;
use tokio_postgres::Client;

use crate::support::stage::{Cluster, DATABASE};
use crate::support::{
    Database, Relay, event, installation, login, parts, readiness, role, run, until, within,
};

/// The bytes of an epoch without a timeline.
const NONCE: usize = 12;

/// The functions that managed servers refuse.
const FUNCTIONS: &str = "pg_walfile_name(pg_lsn), pg_current_wal_insert_lsn(), pg_control_system()";

/// The relay's position.
async fn cursor(relay: &Relay) -> String {
    let mut subscriber = relay.subscribe(&["default"], None).await;
    loop {
        if let Frame::Live { cursor } = within("live", subscriber.next()).await.expect("a frame") {
            break cursor;
        }
    }
}

/// The reason for which a relay does not resume at a cursor; `None` if it does.
async fn refusal(relay: &Relay, cursor: &str) -> Option<String> {
    let mut subscriber = relay.subscribe(&["default"], Some(cursor)).await;
    loop {
        match within("an answer", subscriber.next()).await.expect("a frame") {
            Frame::Reset { reason, .. } => break Some(reason),
            Frame::Live { .. } => break None,
            _ => {}
        }
    }
}

async fn epoch(client: &Client, schema: &str) -> Result<String, tokio_postgres::Error> {
    let row = client.query_one(&format!("SELECT {schema}.progress_epoch()"), &[]).await?;
    Ok(row.get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_the_wal_functions() {
    let database = Database::new().await;
    let client = database.client().await;
    let (owner, other) = (role("owner"), role("other"));
    let url = installation(&database, &owner, "app", "app").await;
    // The other role may call the functions, and the owner of the tables may not.
    client
        .batch_execute(&format!(
            "REVOKE EXECUTE ON FUNCTION {FUNCTIONS} FROM PUBLIC; \
             CREATE ROLE {other} LOGIN IN ROLE {owner}; ALTER ROLE {other} SET search_path = app; \
             GRANT EXECUTE ON FUNCTION {FUNCTIONS} TO {other}"
        ))
        .await
        .expect("fewer rights");
    let relay = Relay::serve(&["--database-url", &url]).await;
    let first = cursor(&relay).await;
    assert_eq!(parts(&first).0.len(), NONCE, "{first}");
    relay.post(&event(1)).await;
    let second = Relay::serve(&["--database-url", &login(&database, &other)]).await;
    assert_eq!(parts(&cursor(&second).await).0, parts(&first).0);
    second.post(&event(2)).await;
    assert_eq!(refusal(&second, &first).await, None);
    until("a leader", || async {
        (relay.terms_as_leader() + second.terms_as_leader() > 0).then_some(())
    })
    .await;

    // It is said once, also when the tail connects again.
    let said = |relay: &Relay| relay.log().matches("does not tell the timeline").count();
    assert_eq!((said(&relay), said(&second)), (1, 1));
    assert!(!database.terminate("progress-relay tail").await.is_empty());
    until("the tail's new connection", || async {
        let log = relay.log();
        log.contains("the tail's connection works again").then_some(())
    })
    .await;
    assert_eq!(said(&relay), 1);
    assert_eq!(refusal(&relay, &first).await, None, "the epoch is the same");

    // A new nonce is a new epoch.
    client.batch_execute("TRUNCATE app.progress_event RESTART IDENTITY").await.expect("emptied");
    until("another epoch", || async {
        (parts(&cursor(&relay).await).0 != parts(&first).0).then_some(())
    })
    .await;
    assert_eq!(refusal(&relay, &first).await.as_deref(), Some("epoch"));

    // The server begins to tell its timeline, and ceases to. Each is another epoch, and no event is
    // refused for it.
    let grant = format!("GRANT EXECUTE ON FUNCTION {FUNCTIONS} TO {owner}");
    client.batch_execute(&grant).await.expect("a right");
    until("a timeline", || async { (parts(&cursor(&relay).await).0.len() > NONCE).then_some(()) })
        .await;
    relay.post(&event(3)).await;
    let revoke = format!("REVOKE EXECUTE ON FUNCTION {FUNCTIONS} FROM {owner}");
    client.batch_execute(&revoke).await.expect("no right");
    until("no timeline", || async {
        (parts(&cursor(&relay).await).0.len() == NONCE).then_some(())
    })
    .await;
    relay.post(&event(4)).await;
    assert!(!database.terminate("progress-relay %").await.is_empty());
    relay.ready().await;
    relay.post(&event(5)).await;
}

/// Some servers have the functions, and they fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_wal_functions_fail() {
    let database = Database::new().await;
    let client = database.client().await;
    let rename = "SET allow_system_table_mods = on; \
         ALTER FUNCTION pg_catalog.pg_walfile_name(pg_lsn) RENAME TO pg_walfile_name_as_it_was";
    client.batch_execute(rename).await.expect("another name");
    let fail_by = async |code: &str| {
        let sql = format!(
            "CREATE OR REPLACE FUNCTION pg_catalog.pg_walfile_name(pg_lsn) RETURNS text \
                 LANGUAGE plpgsql AS $$ BEGIN RAISE 'it is not supported here' \
                 USING ERRCODE = '{code}'; END $$"
        );
        client.batch_execute(&sql).await
    };
    fail_by("0A000").await.expect("a function that fails");
    let relay = Relay::start(&database, &[]).await;
    let before = cursor(&relay).await;
    assert_eq!(parts(&before).0.len(), NONCE);
    relay.post(&event(1)).await;
    for code in ["XX000", "55000", "42501", "P0001"] {
        fail_by(code).await.expect("a function that fails");
        assert_eq!(epoch(&client, "public").await.expect("an epoch"), parts(&before).0, "{code}");
    }
    // These are no refusals: the epoch must not change for a moment.
    for code in ["53200", "54001", "57P01", "58030"] {
        fail_by(code).await.expect("a function that fails");
        let error = epoch(&client, "public").await.expect_err("no epoch");
        assert_eq!(error.code().expect("a code").code(), code);
    }
}

/// Two standbys are promoted apart, so both write timeline 2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_primaries_with_the_same_timeline_have_different_epochs() {
    let mut primary = Cluster::primary("primary").await;
    let relay = Relay::serve(&["--database-url", &primary.url()]).await;
    relay.post(&event(1)).await;
    let (one, two) = (primary.standby("one").await, primary.standby("two").await);
    let client = primary.session(DATABASE).await;
    let error = epoch(&one.session(DATABASE).await, "public").await.expect_err("no epoch");
    assert_eq!(error.code().expect("a code").code(), "55000", "a standby has none");
    // A log whose timeline nobody has noted is treated like one of another timeline.
    client.batch_execute("UPDATE progress_log SET timeline = NULL").await.expect("forgotten");
    for standby in [&one, &two] {
        standby.caught_up_with(&primary).await;
    }
    let before = cursor(&relay).await;
    relay.kill().await;
    primary.stop().await;
    one.promote().await;
    two.promote().await;
    let on_one = Relay::serve(&["--database-url", &one.url()]).await;
    let on_two = Relay::serve(&["--database-url", &two.url()]).await;
    on_one.post(&event(2)).await;
    on_two.post(&event(3)).await;
    let cursors = (cursor(&on_one).await, cursor(&on_two).await);
    let epochs = (parts(&cursors.0).0, parts(&cursors.1).0);
    assert_eq!((&epochs.0[NONCE..], &epochs.1[NONCE..]), ("2", "2"), "the same timeline");
    assert_ne!(epochs.0, epochs.1);
    assert_eq!(refusal(&on_two, &cursors.0).await.as_deref(), Some("epoch"));
    assert_eq!(refusal(&on_one, &cursors.1).await.as_deref(), Some("epoch"));
    assert_eq!(refusal(&on_one, &before).await.as_deref(), Some("epoch"));
    assert_eq!(refusal(&on_one, &cursors.0).await, None);
}

/// The timeline that is noted is the server's by chance: the log was moved to another cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_another_cluster_with_the_same_timeline_gets_another_epoch() {
    let database = Database::migrated().await;
    let client = database.client().await;
    let relay = Relay::start(&database, &[]).await;
    relay.post(&event(1)).await;
    let before = cursor(&relay).await;
    relay.kill().await;
    let moved = "UPDATE progress_log SET home = '1/' || split_part(home, '/', 2)";
    client.batch_execute(moved).await.expect("another cluster");
    let relay = Relay::start(&database, &[]).await;
    assert_eq!(refusal(&relay, &before).await.as_deref(), Some("epoch"));
    assert_eq!(parts(&cursor(&relay).await).0[NONCE..], parts(&before).0[NONCE..]);
}

/// Some servers hide the views of sessions and locks from roles that are not their operators'. The
/// relay works, and names who keeps events waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hides_its_sessions_and_locks() {
    let database = Database::new().await;
    let client = database.client().await;
    let owner = role("owner");
    let url = installation(&database, &owner, "app", "app").await;
    let hide = "REVOKE SELECT ON pg_stat_activity, pg_locks, pg_settings, pg_stat_ssl FROM PUBLIC";
    client.batch_execute(hide).await.expect("hidden views");
    let relay = Relay::serve(&["--database-url", &url]).await;
    relay.post(&event(1)).await;
    until("a leader", || async { (relay.terms_as_leader() > 0).then_some(()) }).await;
    let holder = database.client().await;
    let lock = "BEGIN; SELECT app.progress_event_lock()";
    holder.batch_execute(lock).await.expect("the ordering lock");
    let pid: i32 =
        holder.query_one("SELECT pg_backend_pid()", &[]).await.expect("a process").get(0);
    assert_eq!(relay.try_post(&event(2)).await.status, 503);
    until("the holder's name", || async {
        let (_, checks) = readiness(&relay).await;
        checks["lock"].as_str()?.contains(&format!("pid {pid}")).then_some(())
    })
    .await;
    holder.batch_execute("COMMIT").await.expect("the lock back");
    relay.ready().await;
    let doctor = run(&["doctor", "--json", "--database-url", &url], &[]).await;
    let report: serde_json::Value = serde_json::from_str(&doctor.stdout).expect("JSON");
    let reached = report["findings"].as_array().expect("findings").iter();
    let mut reached = reached.filter(|finding| finding["check"] == "host.reached");
    assert!(reached.all(|finding| finding["verdict"] == "right"), "{}", doctor.stdout);
}
