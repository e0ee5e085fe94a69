//! PostgreSQL itself fails: it is killed, restarted, full or read-only. Under load, with
//! dashboards, and judged by the checker.

use std::time::Duration;

use progress_relay::client::http::Connection;

use crate::support::checker::{Action, Promise};
use crate::support::stage::{
    Cluster, DATABASE, Outcome, PgBouncer, Play, Scale, mount_small, unmount, url_of,
};
use crate::support::{Relay, event, readiness, until, within};

/// The longest time from the end of a fault until POSTs are acknowledged and every dashboard has a
/// frame.
pub const RECOVERY: Duration = Duration::from_secs(5);
/// How long a fault lasts.
const FAULT: Duration = Duration::from_secs(3);
/// The most connections of one relay to the database (docs/operations.md, "Bounds"), and some that
/// are ending.
const CONNECTIONS: i64 = 14 + 4;

pub async fn killed(scale: Scale) -> Outcome {
    let mut primary = Cluster::primary("primary").await;
    let play = Play::begin("kill -9 of PostgreSQL", scale, Promise::Durable, &primary.url()).await;
    kill_and_start(play, &mut primary).await
}

async fn kill_and_start(play: Play, primary: &mut Cluster) -> Outcome {
    play.cause("kill -9");
    primary.kill();
    primary.start().await;
    play.recover(primary).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_killed() {
    killed(Scale::SMALL).await.assert_good(RECOVERY);
}

/// PostgreSQL is stopped for 5 s. HAProxy checks the readiness of the relays meanwhile.
pub async fn restarted(scale: Scale) -> Outcome {
    let mut primary = Cluster::primary("primary").await;
    let play =
        Play::begin("PostgreSQL away for 5 s", scale, Promise::Durable, &primary.url()).await;
    play.cause("a fast shutdown");
    primary.stop().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    primary.start().await;
    play.recover(&primary).await
}

/// The retries of the clients last longer than the outage: no client gives an event up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_away_for_five_seconds() {
    let outcome = restarted(Scale::SMALL).await;
    outcome.assert_good(RECOVERY);
    assert_eq!(outcome.report.given_up, 0, "events that clients gave up\n{}", outcome.log);
    // All relays share the cause, so a balancer that removes them would make the outage worse.
    assert!(outcome.unready().is_empty(), "{}", outcome.unready().join("\n"));
}

/// PostgreSQL is killed behind PgBouncer in session mode, as deploy/ configures it.
pub async fn pooled(scale: Scale) -> Outcome {
    let mut primary = Cluster::primary("primary").await;
    let pooler = PgBouncer::before(primary.address(), &[]).await;
    let name = "kill -9 behind PgBouncer";
    let play = Play::begin(name, scale, Promise::Durable, &url_of(&[pooler.address])).await;
    kill_and_start(play, &mut primary).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_killed_behind_a_pooler_in_session_mode() {
    pooled(Scale::SMALL).await.assert_good(RECOVERY);
}

/// Waits until the fault has refused a POST, and [`FAULT`] longer.
async fn last(play: &Play) {
    let begun = play.look(<[_]>::len);
    until("a POST that was not stored", async || {
        let refused = |what: &Action| match what {
            Action::Answered { status, .. } => *status >= 300,
            Action::Unanswered { .. } => true,
            _ => false,
        };
        play.look(|records| records[begun..].iter().any(|record| refused(&record.action)))
            .then_some(())
    })
    .await;
    tokio::time::sleep(FAULT).await;
}

/// The disk of the table is full; the WAL is on another disk.
pub async fn disk_full(scale: Scale) -> Option<Outcome> {
    let primary = Cluster::primary("primary").await;
    let small = primary.folder().join("small");
    std::fs::create_dir(&small).expect("a folder");
    if !mount_small(&small, 64) {
        return None;
    }
    primary.hand_over(&small);
    let admin = primary.session("postgres").await;
    admin
        .batch_execute(&format!("CREATE TABLESPACE small LOCATION '{}'", small.display()))
        .await
        .expect("SQL");
    admin
        .batch_execute(&format!("ALTER DATABASE {DATABASE} SET TABLESPACE small"))
        .await
        .expect("SQL");
    let play = Play::begin("disk full", scale, Promise::Durable, &primary.url()).await;
    play.cause("the disk is filled");
    let filler = small.join("filler");
    let zeros = std::fs::File::open("/dev/zero").expect("zeros");
    let mut file = std::fs::File::create(&filler).expect("a file");
    let full = std::io::copy(&mut std::io::Read::take(zeros, 1 << 30), &mut file);
    assert!(full.is_err(), "the disk is small");
    // An open file keeps its space.
    drop(file);
    last(&play).await;
    std::fs::remove_file(&filler).expect("room again");
    let outcome = play.recover(&primary).await;
    drop(primary);
    unmount(&small);
    Some(outcome)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_is_full() {
    if let Some(outcome) = disk_full(Scale::SMALL).await {
        outcome.assert_good(RECOVERY);
    }
}

/// A frozen server says nothing: the relay says so, and lets no request wait for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_frozen() {
    let primary = Cluster::primary("primary").await;
    let relay = Relay::serve(&["--database-url", &primary.url()]).await;
    relay.post(&event(1)).await;
    primary.freeze();
    let refused = relay.try_post(&event(2)).await;
    assert_eq!(refused.status, 503);
    let cause = "the server does not answer the writer's statement";
    assert_eq!(refused.json::<serde_json::Value>().expect("a problem")["cause"], cause);
    assert_eq!(readiness(&relay).await.1["database"], cause);
    // Classes that are not in memory take turns to be read.
    let ask = async |class: &str| {
        let target = format!("/api/class/summary?class={class}");
        relay.connection().await.get(&target).await.expect("an answer").status
    };
    let asked = ["a", "b", "c", "d", "e", "f"].map(ask);
    let answered = within("every answer", futures::future::join_all(asked)).await;
    assert!(answered.iter().all(|status| *status == 503), "{answered:?}");
    primary.thaw();
    until("a POST", async || (relay.try_post(&event(2)).await.status == 200).then_some(())).await;
    until("a class", async || (ask("a").await == 200).then_some(())).await;
    assert_eq!(readiness(&relay).await.1["database"], "ok");
}

/// A fault that one SQL statement begins and another ends. No POST succeeds meanwhile.
async fn by_sql(name: &str, scale: Scale, begin: &str, end: &str) -> Outcome {
    let primary = Cluster::primary("primary").await;
    let admin = primary.session(DATABASE).await;
    // The relays use a role that is no superuser and owns what it creates.
    admin.batch_execute("CREATE ROLE relay LOGIN").await.expect("a role");
    admin
        .batch_execute(&format!("ALTER DATABASE {DATABASE} OWNER TO relay"))
        .await
        .expect("an owner");
    let url = primary.url().replace("user=postgres", "user=relay");
    let play = Play::begin(name, scale, Promise::Durable, &url).await;
    play.cause(begin);
    admin.batch_execute(begin).await.expect("the fault");
    last(&play).await;
    admin.batch_execute(end).await.expect("the fault's end");
    play.recover(&primary).await
}

pub async fn no_insert(scale: Scale) -> Outcome {
    let begin = "REVOKE INSERT ON progress_event FROM relay";
    by_sql("INSERT revoked", scale, begin, "GRANT INSERT ON progress_event TO relay").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_is_revoked() {
    no_insert(Scale::SMALL).await.assert_good(RECOVERY);
}

/// A statement trigger raises the error of a full NOTIFY queue, or an operator's error.
pub async fn raising(scale: Scale, name: &str, state: &str) -> Outcome {
    let begin = format!(
        "CREATE FUNCTION raise_it() RETURNS trigger LANGUAGE plpgsql AS $$ \
         BEGIN RAISE EXCEPTION 'too many notifications in the NOTIFY queue' USING ERRCODE = \
         '{state}'; END $$; \
         CREATE TRIGGER raise_it AFTER INSERT ON progress_event FOR EACH STATEMENT EXECUTE \
         FUNCTION raise_it()"
    );
    by_sql(name, scale, &begin, "DROP FUNCTION raise_it CASCADE").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_notify_queue_is_full() {
    raising(Scale::SMALL, "NOTIFY queue full (54000 raised)", "54000").await.assert_good(RECOVERY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_s_trigger_raises() {
    raising(Scale::SMALL, "a trigger raises P0001", "P0001").await.assert_good(RECOVERY);
}

/// The NOTIFY queue is really full: 8 GB on PostgreSQL 15, which an idle transaction that listens
/// keeps from being removed.
pub async fn notify_full(scale: Scale) -> Outcome {
    let primary = Cluster::primary_on_disk("primary").await;
    let play =
        Play::begin("NOTIFY queue really full", scale, Promise::Durable, &primary.url()).await;
    let listener = primary.session("postgres").await;
    listener.batch_execute("LISTEN x").await.expect("LISTEN");
    listener.batch_execute("BEGIN; SELECT 1").await.expect("a transaction");
    let filler = primary.session("postgres").await;
    play.cause("an idle transaction listens, and the queue is filled");
    let many =
        "SELECT count(pg_notify('fill', n || repeat('x', 7900))) FROM generate_series(1, $1) AS n";
    // Large pieces, then small ones, up to the very end.
    for piece in [10_000_i32, 100, 1] {
        while filler.query_one(many, &[&piece]).await.is_ok() {}
    }
    play.note("the queue is full");
    last(&play).await;
    // As the relay's log tells the operator. A COMMIT would end the fault too, but later: its
    // session reads the 8 GB first.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE state = 'idle in transaction' AND query = 'BEGIN; SELECT 1'";
    filler.execute(end, &[]).await.expect("the session's end");
    play.recover(&primary).await
}

/// PostgreSQL keeps notifications that every listener has received until somebody notifies or asks
/// how full the queue is. A full queue takes no notification, so the relay has to ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_notifications_that_was_filled_is_shortened() {
    let primary = Cluster::primary("primary").await;
    let listener = primary.session("postgres").await;
    listener.batch_execute("LISTEN x").await.expect("LISTEN");
    listener.batch_execute("BEGIN; SELECT 1").await.expect("a transaction");
    let filler = primary.session("postgres").await;
    let many =
        "SELECT pg_notify('fill', n || repeat('x', 7900)) FROM generate_series(1, 4000) AS n";
    filler.batch_execute(many).await.expect("32 MB of notifications");
    // The queue's end now lies near the beginning of a page. To fill a page shortens the queue too,
    // and the relay's own notifications are too few for that.
    let one = "SELECT pg_notify('fill', repeat('x', 1000))";
    filler.batch_execute(one).await.expect("a notification");
    let segments = async || -> i64 {
        let count = "SELECT count(*) FROM pg_ls_dir('pg_notify')";
        filler.query_one(count, &[]).await.expect("a count").get(0)
    };
    assert!(segments().await > 100, "the queue is kept for the listener");
    listener.batch_execute("COMMIT").await.expect("a commit");
    assert!(segments().await > 100, "PostgreSQL does not shorten it by itself");
    let _relay = Relay::serve(&["--database-url", &primary.url()]).await;
    until("the queue to be shortened", async || (segments().await < 10).then_some(())).await;
}

/// All sessions are read-only by default: the open ones and the new ones.
pub async fn read_only(scale: Scale) -> Outcome {
    let primary = Cluster::primary("primary").await;
    let play = Play::begin("read-only database", scale, Promise::Durable, &primary.url()).await;
    play.cause("default_transaction_read_only = on, for the server and every session");
    primary.set("default_transaction_read_only", "on").await;
    tokio::time::sleep(FAULT).await;
    let admin = primary.session("postgres").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name LIKE 'progress-relay%'";
    admin.execute(end, &[]).await.expect("an answer");
    tokio::time::sleep(FAULT).await;
    admin.batch_execute("SET default_transaction_read_only = off").await.expect("a setting");
    primary.set("default_transaction_read_only", "off").await;
    play.recover(&primary).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_read_only_by_default() {
    read_only(Scale::SMALL).await.assert_good(RECOVERY);
}

/// The table is locked, and 60 readers disconnect without waiting.
pub async fn abandoned_reads(scale: Scale) -> Outcome {
    let primary = Cluster::primary("primary").await;
    let play =
        Play::begin("60 abandoned reads, table locked", scale, Promise::Durable, &primary.url())
            .await;
    let admin = primary.session(DATABASE).await;
    play.cause("the table is locked");
    admin.batch_execute("BEGIN; LOCK TABLE progress_event").await.expect("the lock");
    let reads = (0..60).map(|_| async {
        let mut connection = Connection::open(&play.relays[0].url).await.expect("a connection");
        connection.set_answer_timeout(Duration::from_millis(300));
        let _ = connection.get("/api/class/events?class=default").await;
    });
    futures::future::join_all(reads).await;
    tokio::time::sleep(FAULT).await;
    let count =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'progress-relay%'";
    let backends: i64 = admin.query_one(count, &[]).await.expect("a count").get(0);
    play.note(&format!("{backends} backends of the relays"));
    admin.batch_execute("COMMIT").await.expect("the lock back");
    play.ends();
    let relays = i64::try_from(play.relays.len()).expect("a count");
    let mut outcome = play.finish(&primary).await;
    outcome
        .must(backends <= relays * CONNECTIONS, format!("{backends} backends of {relays} relays"));
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_go_away_while_the_table_is_locked() {
    abandoned_reads(Scale::SMALL).await.assert_good(RECOVERY);
}
