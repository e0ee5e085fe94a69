//! Reads use the intended index, even on a large table that was never analysed.

use progress_relay::database::{
    LogReader, Pages, READ_SETTINGS, history_statements, scan_statement, select_statements,
};

use progress_relay::writer::which_statement;

use crate::support::Database;

/// The plan of a statement on the relay's connections that read.
async fn plan(database: &Database, statement: &str, arguments: &str) -> String {
    plan_with(database, READ_SETTINGS, statement, arguments).await
}

/// The plan of a statement with other settings.
async fn plan_with(
    database: &Database,
    settings: &str,
    statement: &str,
    arguments: &str,
) -> String {
    let client = database.client().await;
    client.batch_execute(settings).await.expect("settings");
    client.batch_execute(&format!("PREPARE statement AS {statement}")).await.expect("a statement");
    let explain =
        format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE statement({arguments})");
    let rows = client.query(&explain, &[]).await.expect("a plan");
    rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
}

/// A table that is analysed and holds whole classes one after the other, as lessons do.
async fn analysed() -> Database {
    let database = Database::migrated().await;
    let client = database.client().await;
    for class in 1..=5 {
        let fill = format!(
            "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body)
             SELECT gen_random_uuid(), 'class {class}', 's' || n % 200, now(), '{{\"code\":\"x = \
                  6*7\"}}'
             FROM generate_series(1, 20000) AS n"
        );
        client.batch_execute(&fill).await.expect("a filled table");
    }
    client.batch_execute("VACUUM ANALYZE progress_event").await.expect("statistics");
    database
}

/// A table that was never analysed.
async fn filled() -> Database {
    let database = Database::migrated().await;
    database
        .client()
        .await
        .batch_execute(
            "ALTER TABLE progress_event SET (autovacuum_enabled = off);
             INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body)
             SELECT gen_random_uuid(), 'class ' || n % 3, 's' || n % 200, now(), '{\"code\":\"x = \
                  6*7\"}'
             FROM generate_series(1, 100000) AS n",
        )
        .await
        .expect("a filled table");
    database
}

/// Asserts that every scan of the table uses `index` and reads no more rows than requested.
fn assert_reads_by(plan: &str, index: &str, rows: usize) {
    assert!(!plan.contains("Seq Scan on progress_event "), "{plan}");
    assert!(!plan.contains("Bitmap"), "{plan}");
    assert!(!plan.contains("Rows Removed by Filter"), "{plan}");
    let scan = format!("Index Scan using {index} on progress_event");
    let line = plan
        .lines()
        .find(|line| line.contains(&scan))
        .unwrap_or_else(|| panic!("no {scan} in\n{plan}"));
    assert!(
        line.contains(&format!("rows={rows} ")) || line.contains(&format!("rows={rows}.00 ")),
        "{plan}"
    );
}

#[tokio::test]
async fn the_tail_reads_by_the_primary_key() {
    for database in [filled().await, analysed().await] {
        let plan = plan(&database, &LogReader::statement(), "50000, 1000").await;
        assert_reads_by(&plan, "progress_event_pkey", 1000);
        assert!(!plan.contains("Sort"), "{plan}");
    }
}

#[tokio::test]
async fn a_page_reads_by_the_class() {
    for database in [filled().await, analysed().await] {
        let one = plan(&database, &Pages::statement(), "'{class 1}', 10000, 100").await;
        assert_reads_by(&one, "progress_event_class", 100);
        let two = plan(&database, &Pages::statement(), "'{class 1,class 2}', 10000, 100").await;
        assert_reads_by(&two, "progress_event_class", 100);
    }
}

#[tokio::test]
async fn history_reads_by_the_class_or_the_student() {
    for database in [filled().await, analysed().await] {
        history_goes_by_its_indexes(&database).await;
    }
}

async fn history_goes_by_its_indexes(database: &Database) {
    for (name, statement) in history_statements() {
        let (arguments, index) = match name {
            "class" => ("'class 1', 50000, 100", "progress_event_class"),
            "recent" => ("'class 1', 50000, 5, 's1'", "progress_event_class"),
            "recent count" => ("'class 1', 50000, 's1'", "progress_event_class"),
            "student" => ("'class 1', 50000, 100, 's1'", "progress_event_identity"),
            "ids" => ("'class 1', '{100,7,5}'", "progress_event_pkey"),
            "first from" => ("'class 1', 50000", "progress_event_class"),
            "newest" => ("'class 1'", "progress_event_class"),
            // `state_is_read_by_its_keys` has its plan.
            "classes" => continue,
            name => panic!("{name}: a statement without a test of its plan"),
        };
        let plan = plan(database, &statement, arguments).await;
        assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{name}: {plan}");
        let line = plan.lines().find(|line| line.contains("on progress_event")).expect("a scan");
        assert!(line.contains(&format!("{index} on")), "{name}: {plan}");
        assert_eq!(plan.contains("Sort"), name == "student", "{name}: {plan}");
    }
}

#[tokio::test]
async fn state_is_read_by_its_keys() {
    let database = filled().await;
    let classes =
        history_statements().into_iter().find(|(name, _)| *name == "classes").expect("classes").1;
    let statements = select_statements().into_iter().map(|statement| (statement, "'class 1'"));
    for (statement, arguments) in statements.chain([(classes, "'', 100")]) {
        let plan = plan(&database, &statement, arguments).await;
        for table in [
            "class_state",
            "student_state",
            "cell_state",
            "student_cell_state",
            "activity_state",
            "lesson_state",
        ] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{plan}");
        }
    }
}

#[tokio::test]
async fn classes_are_found_without_reading_the_table() {
    for database in [filled().await, analysed().await] {
        for after in [0, 50_000, 99_990] {
            let plan = plan(&database, scan_statement(), &format!("'', {after}, 1000")).await;
            assert!(!plan.contains("Seq Scan on progress_event"), "{plan}");
            for line in plan.lines().filter(|line| line.contains("on progress_event")) {
                assert!(line.contains("progress_event_class on"), "{plan}");
                assert!(line.contains("rows=1") || line.contains("rows=0"), "{plan}");
            }
            // Except for the end of the list of classes.
            let removed =
                plan.lines().filter_map(|line| line.split_once("Rows Removed by Filter: "));
            assert!(
                removed
                    .map(|(_, rows)| rows.parse())
                    .all(|rows| rows.is_ok_and(|rows: u64| rows <= 1)),
                "{plan}"
            );
        }
    }
}

/// The duplicates of a statement are looked up event by event.
#[tokio::test]
async fn duplicates_are_found_by_their_identity() {
    for database in [filled().await, analysed().await] {
        let (settings, statement) = which_statement();
        let arguments = "array_fill('9f582f0c-d406-435e-866c-7bbfe15dc8cd'::uuid, '{50}'), \
             array_fill('class 1'::text, '{50}'), array_fill('s1'::text, '{50}'), \
             array_fill(now(), '{50}'), 1, 100000";
        let plan = plan_with(&database, settings, statement, arguments).await;
        assert!(
            plan.contains("Index Scan using progress_event_identity on progress_event"),
            "{plan}"
        );
        assert!(!plan.contains("Seq Scan on progress_event "), "{plan}");
    }
}
