//! Clock, disk, connections, vacuum, the other sessions.

use std::time::SystemTime;

use super::fixture::{
    Installation, assert_remark, assert_wrong, cluster, doctor, migrate, own_cluster,
};
use crate::support::stage::{Cluster, DATABASE, mount_small, unmount};
use crate::support::{Relay, Rewriter, run, until};

/// The server's clock, ten thousand seconds ahead.
#[tokio::test]
async fn a_clock_that_is_off_is_wrong() {
    let installation = Installation::new().await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_secs();
    let (now, later) = (now / 10_000, now / 10_000 + 1);
    let (now, later) = (format!("\"now\":{now}"), format!("\"now\":{later}"));
    let ahead = Rewriter::before(cluster().await.address(), &now, &later).await;
    let flags = ["--database-url", &installation.url_by(ahead.address)];
    let what = assert_wrong("clock", &[], &flags).await;
    assert!(what.contains("ahead of this machine's"), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_nearly_full_is_wrong() {
    let shared = cluster().await;
    let small = shared.folder().join("small");
    std::fs::create_dir(&small).expect("a folder");
    if !mount_small(&small, 200) {
        return;
    }
    shared.hand_over(&small);
    let primary = Cluster::primary_below("small", &small).await;
    primary.set("fsync", "on").await;
    migrate(&primary.url()).await;
    let what = assert_wrong("disk", &[], &["--database-url", &primary.url()]).await;
    assert!(what.contains("MB are free"), "{what}");
    drop(primary);
    unmount(&small);
}

/// A role that may have five connections. It is no superuser, and the rest is right all the same.
#[tokio::test]
async fn few_connections_are_wrong() {
    let installation = Installation::new().await;
    let role = format!("few_of_{}", installation.name);
    installation.sql(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 5")).await;
    let grant = ["migrate", "--database-url", &*installation.url, "--grant", &*role];
    assert_eq!(run(&grant, &[]).await.code, Some(0));
    let url = installation.url.replace("user=postgres", &format!("user={role}"));
    let flags = ["--database-url", &*url];
    let what = assert_wrong("connections", &[], &flags).await;
    assert!(what.contains("5 connections are left"), "{what}");
    // With two, there is none to listen on; with one, nothing can be tried.
    installation.sql(&format!("ALTER ROLE {role} CONNECTION LIMIT 2")).await;
    let what = assert_wrong("listen", &["connections"], &flags).await;
    assert!(what.contains("53300"), "{what}");
    installation.sql(&format!("ALTER ROLE {role} CONNECTION LIMIT 1")).await;
    let what = assert_wrong("connections", &[], &flags).await;
    assert!(what.contains("no second session"), "{what}");
    installation.sql(&format!("ALTER ROLE {role} CONNECTION LIMIT -1")).await;
    let examined = doctor(&flags).await;
    assert_eq!(examined.with("wrong"), [""; 0], "no more rights than these are needed");
    assert!(examined.what("disk", "unknown").contains("not visible"));
}

#[tokio::test]
async fn tables_without_autovacuum_are_wrong() {
    let installation = Installation::new().await;
    let flags = ["--database-url", &*installation.url];
    installation.sql("ALTER TABLE student_state SET (autovacuum_enabled = false)").await;
    let what = assert_wrong("vacuum", &[], &flags).await;
    assert!(what.contains("public.student_state"), "{what}");
    let examined = doctor(&flags).await;
    let to_do = examined.of("vacuum", "wrong")[0]["to_do"].as_str().expect("a command");
    installation.sql(to_do).await;
    assert_eq!(doctor(&flags).await.with("wrong"), [""; 0]);
}

/// On its own server: without autovacuum, and with a database that was never frozen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_vacuum_is_wrong() {
    let primary = own_cluster("vacuum").await;
    let url = primary.url();
    let flags = ["--database-url", &*url];
    primary.set("autovacuum", "off").await;
    let what = assert_wrong("vacuum", &[], &flags).await;
    assert!(what.contains("autovacuum is off"), "{what}");
    // The launcher would vacuum the database at once.
    primary.set("autovacuum_naptime", "1d").await;
    primary.set("autovacuum", "on").await;
    let client = primary.session(DATABASE).await;
    let old = "UPDATE pg_database SET datfrozenxid = \
         (mod(txid_current() - 1900000000 + 4294967296, 4294967296))::text::xid \
         WHERE datname = current_database()";
    client.batch_execute(old).await.expect("an old database");
    let what = assert_wrong("vacuum", &[], &flags).await;
    assert!(what.contains("are not frozen"), "{what}");
}

#[tokio::test]
async fn a_transaction_that_blocks_events_is_wrong() {
    let installation = Installation::new().await;
    let flags = ["--database-url", &*installation.url];
    let holder = installation.client().await;
    holder.batch_execute("BEGIN; LOCK TABLE progress_event IN SHARE MODE").await.expect("a lock");
    // A transaction that is open for less than five seconds is not looked at.
    until("the transaction to be old", async || {
        let examined = doctor(&flags).await;
        (!examined.of("transactions", "wrong").is_empty()).then_some(())
    })
    .await;
    let what = assert_wrong("transactions", &["write"], &flags).await;
    assert!(what.contains("idle in transaction") && what.contains("\"test\""), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_without_a_leader_are_wrong() {
    let installation = Installation::new().await;
    let flags = ["--database-url", &*installation.url];
    assert_remark("replicas", &flags).await;
    let client = installation.client().await;
    let relay = Relay::serve(&["--database-url", &installation.url]).await;
    let held = "SELECT format('%s, %s', classid, (objid::bigint << 32 >> 32)::int) FROM pg_locks \
         JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND objsubid = 2 AND \
         classid <> 1886545776 \
         AND datname = current_database() AND application_name LIKE 'progress-relay %'";
    let row = until("a leader", async || client.query_opt(held, &[]).await.expect("an answer"));
    let row = row.await;
    let key: String = row.get(0);
    assert!(doctor(&flags).await.what("replicas", "right").contains(" leads"));
    drop(relay);
    // Another application takes the lock.
    let take = format!("SELECT pg_advisory_lock({key})");
    client.batch_execute(&take).await.expect("the lock");
    let what = assert_wrong("replicas", &[], &flags).await;
    assert!(what.contains("is no relay"), "{what}");
    client.batch_execute("SELECT pg_advisory_unlock_all()").await.expect("unlocked");
    // Another installation's relay leads that one alone.
    installation.sql("CREATE SCHEMA other").await;
    let other = format!("{} schema=other", installation.url);
    let relay = Relay::serve(&["--database-url", &other]).await;
    until("the other installation's leader", async || {
        let examined = doctor(&["--database-url", &other]).await;
        assert_eq!(examined.with("wrong"), [""; 0]);
        (!examined.of("replicas", "right").is_empty()).then_some(())
    })
    .await;
    let what = assert_remark("replicas", &flags).await;
    assert!(what.contains("no relay leads this schema"), "{what}");
    drop(relay);
    installation.sql("DROP SCHEMA other CASCADE").await;
    // A session with a relay's name, which leads nothing.
    client.batch_execute("SET application_name = 'progress-relay listener'").await.expect("a name");
    let what = assert_wrong("replicas", &[], &flags).await;
    assert!(what.contains("none of them leads"), "{what}");
}
