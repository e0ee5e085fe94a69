//! On a fresh, fast-filled table that was never analysed, reads go by the right index.

use progress_relay::store::{LogReader, Pages, READ_SETTINGS};

use crate::support::Database;

/// The plan of a statement, as the relay's connections run it.
async fn plan(database: &Database, statement: &str, arguments: &str) -> String {
    let client = database.client().await;
    client.batch_execute(READ_SETTINGS).await.expect("settings");
    client.batch_execute(&format!("PREPARE statement AS {statement}")).await.expect("a statement");
    let explain = format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE statement({arguments})");
    let rows = client.query(&explain, &[]).await.expect("a plan");
    rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
}

async fn filled() -> Database {
    let database = Database::migrated().await;
    database
        .client()
        .await
        .batch_execute(
            "ALTER TABLE progress_event SET (autovacuum_enabled = off);
             INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body)
             SELECT gen_random_uuid(), 'class ' || n % 3, 's' || n % 200, now(), '{\"code\":\"x = 6*7\"}'
             FROM generate_series(1, 100000) AS n",
        )
        .await
        .expect("a filled table");
    database
}

/// Every scan of the table is by `index`, and no more rows are read than are asked for.
fn assert_reads_by(plan: &str, index: &str, rows: usize) {
    assert!(!plan.contains("Seq Scan on progress_event "), "{plan}");
    assert!(!plan.contains("Bitmap"), "{plan}");
    assert!(!plan.contains("Rows Removed by Filter"), "{plan}");
    let scan = format!("Index Scan using {index} on progress_event");
    let line =
        plan.lines().find(|line| line.contains(&scan)).unwrap_or_else(|| panic!("no {scan} in\n{plan}"));
    assert!(line.contains(&format!("rows={rows} ")) || line.contains(&format!("rows={rows}.00 ")), "{plan}");
}

#[tokio::test]
async fn the_tail_reads_by_the_primary_key() {
    let plan = plan(&filled().await, &LogReader::statement(), "50000, 1000").await;
    assert_reads_by(&plan, "progress_event_pkey", 1000);
    assert!(!plan.contains("Sort"), "{plan}");
}

#[tokio::test]
async fn a_page_reads_by_the_class() {
    let database = filled().await;
    let one = plan(&database, &Pages::statement(), "'{class 1}', 50000, 100").await;
    assert_reads_by(&one, "progress_event_class", 100);
    let two = plan(&database, &Pages::statement(), "'{class 1,class 2}', 50000, 100").await;
    assert_reads_by(&two, "progress_event_class", 100);
}
