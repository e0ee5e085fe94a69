//! `make names`: classes whose names are as long as the limits allow stay within the memory that
//! docs/operations.md states.

use std::time::{Duration, Instant};

use super::mib;
use crate::support::{Database, Relay};

const CLASSES: usize = 7;
/// The students of each class, and as many cells as a class keeps.
const STUDENTS: usize = 20;
const CELLS: usize = 5_000;
/// The bound of docs/operations.md for class state, and an allowance for the log, answers and the
/// rest of a relay.
const BOUND: usize = (512 + 256) << 20;

/// 100,000 runs in each class, of cells and students with names of 1 KiB.
async fn fill(database: &Database) {
    let client = database.client().await;
    for class in 0..CLASSES {
        let insert = format!(
            "INSERT INTO progress_event (event_id, class_id, student_id, occurred_at, body)
             SELECT gen_random_uuid(), 'names-{class}', 's' || n % {STUDENTS}, now(),
               json_build_object(
                 'eventType', 'cell_executed',
                 'userName', rpad('Student ' || n % {STUDENTS}, 1024, 'x'),
                 'notebookPath', rpad('lesson', 1024, 'y'),
                 'cellId', rpad('c' || n / {STUDENTS}, 1024, 'z'), 'cellIndex', n / {STUDENTS},
                 'executionCount', n, 'hasError', n % 5 = 0,
                 'errorMessage', rpad('E' || n % 97, 200, 'e'))
             FROM generate_series(0, {STUDENTS} * {CELLS} - 1) AS n"
        );
        client.batch_execute(&insert).await.expect("a filled table");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: make names"]
async fn long_names_stay_within_the_bound() {
    let began = Instant::now();
    let database = Database::migrated().await;
    fill(&database).await;
    println!("filled after {:.1?}", began.elapsed());
    let began = Instant::now();
    let relay = Relay::start(&database, &["--log", "warn"]).await;
    let client = database.client().await;
    let last: i64 =
        client.query_one("SELECT max(id) FROM progress_event", &[]).await.expect("a row").get(0);
    loop {
        let row =
            client.query_one("SELECT through_id FROM state_through", &[]).await.expect("a row");
        if row.get::<_, i64>(0) >= last {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(900), "the snapshots do not come");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("snapshots after {:.1?}; {:.1} MiB at most", began.elapsed(), mib(relay.peak()));
    for class in 0..CLASSES {
        let mut connection = relay.connection().await;
        connection.set_answer_timeout(Duration::from_secs(120));
        let path = format!("/api/class/summary?class=names-{class}&include=cells,grid,activity");
        let response = connection.get(&path).await.expect("an answer");
        assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
        println!(
            "summary {class}: {:>6.1} MiB; {:>7.1} MiB resident, {:>7.1} MiB at most",
            mib(response.body.len()),
            mib(relay.resident()),
            mib(relay.peak())
        );
    }
    assert!(relay.peak() < BOUND, "{:.1} MiB", mib(relay.peak()));
}
