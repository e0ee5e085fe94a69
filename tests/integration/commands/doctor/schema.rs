//! Migrations, triggers, indexes, the sequence.

use super::fixture::{Installation, assert_remark, assert_wrong, doctor};
use crate::support::Roles;

const EVENT: &str = "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, \
     body) \
     SELECT gen_random_uuid(), 'c', 's', now(), '{}'";

#[tokio::test]
async fn missing_and_newer_migrations_are_wrong() {
    let empty = Installation::empty().await;
    let what = assert_wrong("migrations", &[], &["--database-url", &empty.url]).await;
    assert!(what.contains("0001_progress_event"), "{what}");
    let examined = doctor(&["--database-url", &empty.url]).await;
    assert!(examined.what("write", "unknown").contains("tables"), "it says why it did not try");

    let installation = Installation::new().await;
    let flags = ["--database-url", &*installation.url];
    installation.sql("DELETE FROM relay_migration WHERE version = 5").await;
    let what = assert_wrong("migrations", &[], &flags).await;
    assert!(what.contains("0005_refused"), "{what}");
    installation
        .sql(
            "INSERT INTO relay_migration (version, name, oldest_release) \
             VALUES (5, '0005_refused', '0.1.0'), (9999, '9999_future', '99.0.0')",
        )
        .await;
    let what = assert_wrong("migrations", &[], &flags).await;
    assert!(what.contains("9999_future"), "{what}");
}

/// A role with exactly the grants of `migrate --grant`, and then with one less.
#[tokio::test]
async fn rights_that_are_missing_are_wrong() {
    let roles = Roles::granted().await;
    let url = roles.database.url_as(&roles.relay);
    let flags = ["--database-url", &*url];
    // The tests' common server has fsync off.
    assert_eq!(doctor(&flags).await.with("wrong"), ["settings.durability"]);
    let sql = format!(r#"REVOKE DELETE ON "The app".cell_state FROM "{}""#, roles.relay);
    roles.database.client().await.batch_execute(&sql).await.expect("a revocation");
    let what = assert_wrong("privileges", &["settings.durability"], &flags).await;
    assert!(what.contains("DELETE on cell_state"), "{what}");
    // Where the migrations cannot be read, the right that is missing is named all the same.
    let sql = format!(r#"REVOKE SELECT ON "The app".relay_migration FROM "{}""#, roles.relay);
    roles.database.client().await.batch_execute(&sql).await.expect("a revocation");
    let also = ["settings.durability", "privileges"];
    let what = assert_wrong("migrations", &also, &flags).await;
    assert!(what.contains("42501"), "{what}");
    let what = assert_wrong("privileges", &["settings.durability", "migrations"], &flags).await;
    assert!(what.contains("SELECT on relay_migration"), "{what}");
}

#[tokio::test]
async fn triggers_that_do_not_fire_are_wrong() {
    let installation = Installation::new().await;
    let flags = ["--database-url", &*installation.url];
    installation.sql("ALTER TABLE progress_event ENABLE TRIGGER progress_event_ring").await;
    let what = assert_wrong("triggers", &[], &flags).await;
    assert!(what.contains("progress_event_ring is not ENABLE ALWAYS"), "{what}");
    // Its commands are ready to paste.
    let examined = doctor(&flags).await;
    let to_do = examined.of("triggers", "wrong")[0]["to_do"].as_str().expect("commands");
    installation.sql(to_do).await;
    installation.sql("DROP TRIGGER progress_event_deleted ON progress_event").await;
    let what = assert_wrong("triggers", &[], &flags).await;
    assert!(what.contains("progress_event_deleted is missing"), "{what}");

    let installation = Installation::new().await;
    installation
        .sql(
            "CREATE TRIGGER copied AFTER INSERT ON progress_event FOR EACH STATEMENT \
             EXECUTE FUNCTION progress_event_truncated()",
        )
        .await;
    let what = assert_remark("triggers", &["--database-url", &installation.url]).await;
    assert!(what.contains("copied"), "{what}");
}

#[tokio::test]
async fn indexes_that_are_missing_or_not_valid_are_wrong() {
    let installation = Installation::new().await;
    let flags = ["--database-url", &*installation.url];
    installation
        .sql(
            "UPDATE pg_index SET indisvalid = false \
             WHERE indexrelid = 'progress_event_identity'::regclass",
        )
        .await;
    let what = assert_wrong("indexes", &[], &flags).await;
    assert!(what.contains("progress_event_identity is not valid"), "{what}");
    let examined = doctor(&flags).await;
    let to_do = examined.of("indexes", "wrong")[0]["to_do"].as_str().expect("commands");
    installation.sql(to_do).await;
    installation.sql("DROP INDEX progress_event_class").await;
    let what = assert_wrong("indexes", &[], &flags).await;
    assert!(what.contains("progress_event_class is missing") && !what.contains("not valid"));

    // It knows every index that the migrations make.
    let made = "SELECT relname::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid \
         WHERE relnamespace = 'public'::regnamespace AND NOT indisprimary";
    let made = installation.client().await.query(made, &[]).await.expect("the indexes");
    let made: Vec<String> = made.iter().map(|row| row.get(0)).collect();
    assert!(made.len() >= 6, "{made:?}");
    installation.sql(&format!("DROP INDEX {}", made.join(", "))).await;
    let what = assert_wrong("indexes", &[], &flags).await;
    for index in made {
        assert!(what.contains(&format!("{index} is missing")), "{what}");
    }
}

#[tokio::test]
async fn a_sequence_that_breaks_the_order_is_wrong() {
    let installation = Installation::new().await;
    let flags = ["--database-url", &*installation.url];
    installation.sql(&format!("{EVENT} FROM generate_series(1, 10)")).await;
    for (damage, text) in [
        ("ALTER SEQUENCE progress_event_id_seq CACHE 20", "CACHE 20"),
        ("ALTER SEQUENCE progress_event_id_seq INCREMENT BY 2", "by one"),
        ("ALTER SEQUENCE progress_event_id_seq MAXVALUE 1000", "ends at 1000"),
        ("ALTER TABLE progress_event ALTER COLUMN id SET GENERATED BY DEFAULT", "by hand"),
        ("SELECT setval('progress_event_id_seq', 5)", "twice"),
    ] {
        installation.sql(damage).await;
        // Where an id is allocated twice, the trial's event is refused as well.
        let what = assert_wrong("sequence", &["write"], &flags).await;
        assert!(what.contains(text), "{damage}: {what}");
        let examined = doctor(&flags).await;
        let to_do = examined.of("sequence", "wrong")[0]["to_do"].as_str().expect("commands");
        let sql = to_do.split("--").next().expect("SQL");
        installation.sql(sql).await;
        assert_eq!(doctor(&flags).await.with("wrong"), [""; 0], "after {to_do}");
    }
    installation.sql("ALTER TABLE progress_event ALTER COLUMN id DROP IDENTITY").await;
    let what = assert_wrong("sequence", &["write", "epoch"], &flags).await;
    assert!(what.contains("42P01"), "{what}");
}
