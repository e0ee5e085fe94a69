//! On a fresh, fast-filled table that was never analysed, reads go by the right index.

use progress_relay::store::{
    LogReader, Pages, READ_SETTINGS, history_statements, scan_statement, select_statements,
};

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

#[tokio::test]
async fn history_reads_by_the_class_or_the_student() {
    let database = filled().await;
    for (name, statement) in history_statements() {
        let (arguments, index) = match name {
            "class" => ("'class 1', 50000, 100", "progress_event_class"),
            "recent" => ("'class 1', 50000, 5, 's1'", "progress_event_class"),
            "recent count" => ("'class 1', 50000, 's1'", "progress_event_class"),
            "student" => ("'class 1', 50000, 100, 's1'", "progress_event_identity"),
            _ => continue,
        };
        let plan = plan(&database, &statement, arguments).await;
        assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{name}: {plan}");
        let line = plan.lines().find(|line| line.contains("on progress_event")).expect("a scan");
        assert!(line.contains(&format!("{index} on")), "{name}: {plan}");
        assert_eq!(plan.contains("Sort"), name == "student", "{name}: {plan}");
    }
}

#[tokio::test]
async fn state_is_read_by_its_keys() {
    let database = filled().await;
    let classes = history_statements().into_iter().find(|(name, _)| *name == "classes").expect("classes").1;
    let statements = select_statements().into_iter().map(|statement| (statement, "'class 1'"));
    for (statement, arguments) in statements.chain([(classes, "'', 100")]) {
        let plan = plan(&database, &statement, arguments).await;
        for table in ["class_state", "student_state", "cell_state", "student_cell_state", "activity_state"] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{plan}");
        }
    }
}

#[tokio::test]
async fn classes_are_found_without_reading_the_table() {
    let database = filled().await;
    let plan = plan(&database, scan_statement(), "'', 99990, 1000").await;
    assert!(!plan.contains("Seq Scan on progress_event"), "{plan}");
    for line in plan.lines().filter(|line| line.contains("on progress_event")) {
        assert!(
            line.contains("progress_event_class on") || line.contains("progress_event_identity on"),
            "{plan}"
        );
        assert!(line.contains("rows=1") || line.contains("rows=0"), "{plan}");
    }
}
