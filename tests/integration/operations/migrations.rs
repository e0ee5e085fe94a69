//! The migrations: who waits for their lock says so, a role that need not migrate needs no right
//! to, and a server that is read-only for now is waited for.

use crate::support::{Database, Relay, event, installation, role, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_waits_for_the_lock_names_the_holder() {
    let database = Database::new().await;
    let role = role("app");
    let url = installation(&database, &role, "app", "app").await;
    // The holder's role is another one, and the relay's has no right to read its statistics.
    let holder = database.client().await;
    let lock = "SET application_name = 'progress-relay migrate since noon'; \
         SELECT pg_advisory_lock(x'70726d67'::int, \
         ('app'::regnamespace::oid::bigint - 2147483648)::int)";
    holder.batch_execute(lock).await.expect("the lock");
    let pid: i32 =
        holder.query_one("SELECT pg_backend_pid()", &[]).await.expect("a process").get(0);
    let relay = Relay::begin(&["--database-url", &url]).await;
    until("a word about the holder", || async {
        let log = relay.log();
        (log.contains(&format!("pid {pid} (\"progress-relay migrate since noon\")"))).then_some(())
    })
    .await;
    assert_eq!(relay.log().matches("the migrations wait for their lock").count(), 1);
    holder.batch_execute("SELECT pg_advisory_unlock_all()").await.expect("the lock back");
    relay.ready().await;
    relay.post(&event(1)).await;
}

/// A migration, and a start, behind a transaction that somebody has left open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_lock_of_a_table_names_the_holder() {
    let database = Database::migrated().await;
    let admin = database.client().await;
    let last = "DELETE FROM relay_migration WHERE version = 11; \
         ALTER TABLE student_state DROP COLUMN help_message";
    admin.batch_execute(last).await.expect("a migration is missing");
    let holder = database.client().await;
    let open = "SET application_name = 'forgotten'; BEGIN; SELECT count(*) FROM student_state";
    holder.batch_execute(open).await.expect("an open transaction");
    let pid: i32 =
        holder.query_one("SELECT pg_backend_pid()", &[]).await.expect("a process").get(0);
    let relay = Relay::begin(&["--database-url", &database.url()]).await;
    until("a word about the holder", || async {
        let log = relay.log();
        let names = log.contains("waiting for a lock of the database")
            && log.contains(&format!("pid {pid} (role \"postgres\", application \"forgotten\")"));
        names.then_some(())
    })
    .await;
    holder.batch_execute("COMMIT").await.expect("the end of it");
    relay.ready().await;
    relay.post(&event(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_create_starts_on_a_migrated_database() {
    let database = Database::new().await;
    let (owner, user) = (role("owner"), role("user"));
    let owning = installation(&database, &owner, "app", "app").await;
    let using = installation(&database, &user, "unused", "app").await;
    let refused = crate::support::run(&["migrate", "--database-url", &using], &[]).await;
    assert_ne!(refused.code, Some(0), "nothing is migrated yet");
    let migrated = crate::support::run(&["migrate", "--database-url", &owning], &[]).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let grants = format!(
        "GRANT USAGE ON SCHEMA app TO {user}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA app TO {user}; \
         GRANT SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA app TO {user}"
    );
    database.client().await.batch_execute(&grants).await.expect("rights");
    // Nothing is locked either: another relay may be migrating to a later release.
    let relay = Relay::serve(&["--database-url", &using]).await;
    relay.post(&event(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_read_only_for_now_is_waited_for() {
    let database = Database::new().await;
    let client = database.client().await;
    client
        .batch_execute(
            "CREATE SCHEMA operator; CREATE FUNCTION operator.refuse() RETURNS event_trigger \
             LANGUAGE plpgsql AS $$ BEGIN RAISE 'cannot execute it in a read-only transaction' \
             USING ERRCODE = 'read_only_sql_transaction'; END $$; \
             CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION operator.refuse()",
        )
        .await
        .expect("an event trigger");
    let relay = Relay::begin(&["--database-url", &database.url()]).await;
    until("the relay to wait", || async {
        relay.log().contains("the database is not reached yet").then_some(())
    })
    .await;
    client.batch_execute("DROP EVENT TRIGGER refuse").await.expect("dropped");
    relay.ready().await;
    relay.post(&event(1)).await;
}
