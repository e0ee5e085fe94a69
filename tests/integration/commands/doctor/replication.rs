//! Replication.

use super::fixture::{assert_remark, assert_wrong, doctor, own_cluster};
use crate::support::until;

/// A standby that is configured and away, and then there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_does_not_confirm_is_wrong() {
    let primary = own_cluster("primary").await;
    let url = primary.url();
    let flags = ["--database-url", &*url];
    primary.set("synchronous_standby_names", "*").await;
    let what = assert_wrong("replication.confirmed", &[], &flags).await;
    assert!(what.contains("none confirms"), "{what}");

    let standby = primary.standby("standby").await;
    primary.has_synchronous_standbys(1).await;
    let examined = doctor(&flags).await;
    assert_eq!(examined.with("wrong"), [""; 0]);
    assert!(examined.what("replication.confirmed", "right").contains("confirmed in"));

    // A standby for which no commit waits.
    primary.set("synchronous_standby_names", "").await;
    standby.caught_up_with(&primary).await;
    let what = assert_remark("replication.confirmed", &flags).await;
    assert!(what.contains("no commit waits"), "{what}");
    let replay = standby.session("postgres").await;
    replay.batch_execute("SELECT pg_wal_replay_pause()").await.expect("a pause");
    let client = primary.session("postgres").await;
    client
        .batch_execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', 20000000))")
        .await
        .expect("WAL");
    let what = assert_remark("replication.standbys", &flags).await;
    assert!(what.contains("standby (async)"), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_nobody_reads_are_wrong() {
    let primary = own_cluster("primary").await;
    let url = primary.url();
    let flags = ["--database-url", &*url];
    let client = primary.session("postgres").await;
    client
        .batch_execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
        .await
        .expect("a slot");
    let what = assert_remark("replication.slots", &flags).await;
    assert!(what.contains("forgotten: nobody reads it"), "{what}");
    primary.set("max_wal_size", "32MB").await;
    let wal = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 25000000)) \
         FROM generate_series(1, 4)";
    client.batch_execute(wal).await.expect("WAL");
    let what = assert_wrong("replication.slots", &[], &flags).await;
    assert!(what.contains("the server's disk fills"), "{what}");

    primary.set("wal_keep_size", "0").await;
    primary.set("max_slot_wal_keep_size", "1MB").await;
    until("the WAL to be gone", async || {
        client.batch_execute("CHECKPOINT").await.expect("a checkpoint");
        let what = assert_wrong("replication.slots", &[], &flags).await;
        what.contains("its WAL is gone").then_some(())
    })
    .await;
    let examined = doctor(&flags).await;
    let to_do = examined.of("replication.slots", "wrong")[0]["to_do"].as_str().expect("SQL");
    client.batch_execute(to_do).await.expect("its command");
    assert_eq!(doctor(&flags).await.with("wrong"), [""; 0]);
}
