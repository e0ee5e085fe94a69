//! The ordering lock, a write, the epoch, the doorbell.

use super::fixture::{Installation, assert_remark, assert_wrong, doctor, migrate, own_cluster};
use crate::support::{Database, Pooler, until};

#[tokio::test]
async fn an_ordering_lock_that_is_held_is_wrong() {
    let installation = Installation::new().await;
    let holder = installation.client().await;
    holder.batch_execute("BEGIN; SELECT progress_event_lock()").await.expect("the lock");
    let flags = ["--database-url", &*installation.url];
    let what = assert_wrong("lock", &["transactions"], &flags).await;
    let pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);
    assert!(what.contains(&format!("pid {pid} ")) && what.contains("\"test\""), "{what}");
    let examined = doctor(&flags).await;
    let to_do = examined.of("lock", "wrong")[0]["to_do"].as_str().expect("a command");
    installation.sql(to_do).await;
    assert_eq!(doctor(&flags).await.with("wrong"), [""; 0]);
    installation.sql("DROP FUNCTION progress_event_lock()").await;
    let what = assert_wrong("lock", &[], &flags).await;
    assert!(what.contains("42883"), "{what}");
}

#[tokio::test]
async fn a_table_that_takes_no_event_is_wrong() {
    let installation = Installation::new().await;
    let flags = ["--database-url", &*installation.url];
    installation
        .sql("ALTER TABLE progress_event ADD CONSTRAINT own CHECK (student_id LIKE 's%') NOT VALID")
        .await;
    let what = assert_wrong("write", &[], &flags).await;
    assert!(what.contains("23514"), "{what}");
    installation.sql("ALTER TABLE progress_event DROP CONSTRAINT own").await;

    // Another session has locked the table.
    let holder = installation.client().await;
    holder.batch_execute("BEGIN; LOCK TABLE progress_event IN SHARE MODE").await.expect("a lock");
    let what = assert_wrong("write", &["transactions"], &flags).await;
    assert!(what.contains("holds a lock"), "{what}");
    drop(holder);

    // The order trigger is gone.
    installation.sql("DROP TRIGGER progress_event_order ON progress_event").await;
    let what = assert_wrong("write", &["triggers"], &flags).await;
    assert!(what.contains("without the ordering lock"), "{what}");

    // A role that may read and not write.
    let role = format!("reader_of_{}", installation.name);
    installation
        .sql(&format!(
            "CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; \
             GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}"
        ))
        .await;
    let url = installation.url.replace("user=postgres", &format!("user={role}"));
    let what = assert_wrong("write", &["triggers", "privileges"], &["--database-url", &url]).await;
    assert!(what.contains("42501"), "{what}");
}

#[tokio::test]
async fn a_log_without_its_row_is_wrong() {
    let installation = Installation::new().await;
    let flags = ["--database-url", &*installation.url];
    installation.sql("UPDATE progress_log SET home = 'elsewhere', home_table = 1").await;
    let what = assert_remark("epoch", &flags).await;
    assert!(what.contains("restored or copied"), "{what}");
    installation.sql("DELETE FROM progress_log").await;
    let what = assert_wrong("epoch", &[], &flags).await;
    assert!(what.contains("no row"), "{what}");
}

/// A server that does not tell the owner of the tables the timeline of its WAL.
#[tokio::test]
async fn a_server_that_refuses_wal_functions_is_a_remark() {
    let database = Installation::empty().await;
    let role = format!("owner_of_{}", database.name);
    database
        .sql(&format!(
            "CREATE ROLE {role} LOGIN; CREATE SCHEMA AUTHORIZATION {role}; REVOKE EXECUTE ON \
             FUNCTION pg_walfile_name(pg_lsn), pg_current_wal_insert_lsn() FROM PUBLIC"
        ))
        .await;
    let url = database.url.replace("user=postgres", &format!("user={role}"));
    migrate(&url).await;
    let what = assert_remark("epoch", &["--database-url", &url]).await;
    assert!(what.contains("does not tell the timeline"), "{what}");
}

/// A pooler that loses notifications, and keeps everything else.
#[tokio::test]
async fn notifications_that_are_lost_are_wrong() {
    let database = Database::migrated().await;
    let pooler = Pooler::before(&database, true);
    let flags = ["--database-url", pooler.url()];
    // The tests' common server has fsync off.
    let what = assert_wrong("listen", &["settings.durability"], &flags).await;
    assert!(what.contains("0 of 3 rings"), "{what}");
}

/// 80 MB of notifications that a session keeps back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_held_back_is_wrong() {
    let primary = own_cluster("queue").await;
    let holder = primary.session("postgres").await;
    holder.batch_execute("LISTEN other").await.expect("LISTEN");
    holder.batch_execute("BEGIN; SELECT 1").await.expect("a transaction");
    let ringer = primary.session("postgres").await;
    ringer
        .batch_execute(
            "SELECT pg_notify('other', n || repeat('x', 7900)) FROM generate_series(1, 11000) AS n",
        )
        .await
        .expect("notifications");
    let url = primary.url();
    let what = assert_wrong("listen.queue", &[], &["--database-url", &url]).await;
    assert!(what.contains("% full"), "{what}");
    drop(holder);
    until("the session to end", async || {
        let examined = doctor(&["--database-url", &url]).await;
        examined.with("wrong").is_empty().then_some(())
    })
    .await;
}
