//! `make year`: a class with a year of lessons beside one with a day of them.
//!
//! A class costs what its current lesson costs: its summary, and the time until a relay that was
//! restarted answers for it.

use std::time::{Duration, Instant};

use super::quantile;
use crate::support::{Database, Relay};

/// The events of a lesson, and its students.
const EVENTS: usize = 5_000;
const STUDENTS: usize = 200;
/// The lessons of a year. `YEAR_LESSONS` takes another number.
const LESSONS: usize = 200;
/// How often each figure is measured.
const STARTS: usize = 5;
const SUMMARIES: usize = 100;
/// A year costs at most this, as a multiple of a day.
const BAR: f64 = 1.2;
/// What the machine makes of the same figure twice.
const NOISE: Duration = Duration::from_millis(20);

/// Fills a class with lessons, one a day, the last one now. The owner of the table may set when
/// events were received: the trigger that does so is off meanwhile.
async fn fill(database: &Database, lessons: usize) {
    let client = database.client().await;
    let sql = "SELECT string_agg(format('ALTER TABLE progress_event %s TRIGGER %I', verb, tgname),
                 '; ' ORDER BY tgname)
               FROM pg_trigger, (VALUES ($1)) AS verbs (verb)
               WHERE tgrelid = 'progress_event'::regclass AND NOT tgisinternal";
    let (off, on) = (switch(&client, sql, "DISABLE").await, switch(&client, sql, "ENABLE").await);
    client.batch_execute(&off).await.expect("no triggers");
    for lesson in (0..lessons).rev() {
        let insert = format!(
            "INSERT INTO progress_event
               (event_id, class_id, student_id, occurred_at, received_at, body)
             SELECT gen_random_uuid(), 'year', 's' || n % {STUDENTS}, at, at, json_build_object(
               'eventType', 'cell_executed', 'userName', 'Student ' || n % {STUDENTS},
               'sessionId', 'k', 'notebookPath', 'lesson{lesson}.ipynb', 'cellType', 'code',
               'cellId', 'c' || n / {STUDENTS} % 30, 'cellIndex', n / {STUDENTS} % 30,
               'executionCount', n, 'hasError', n % 5 = 0, 'errorMessage', 'E' || n % 30,
               'code', repeat('x = 6*7 ', 20), 'eventTime', to_json(at))
             FROM generate_series(0, {EVENTS} - 1) AS n,
               LATERAL (SELECT clock_timestamp() - interval '1 day' * {lesson}
                 - interval '1 second' * ({EVENTS} - n)) AS moment (at)"
        );
        client.batch_execute(&insert).await.expect("a lesson");
    }
    client.batch_execute(&on).await.expect("triggers");
    client.batch_execute("ANALYZE progress_event").await.expect("statistics");
}

async fn switch(client: &tokio_postgres::Client, sql: &str, verb: &str) -> String {
    client.query_one(sql, &[&verb]).await.expect("the triggers").get(0)
}

/// The medians of the time until a relay that was restarted has answered for the class, and of a
/// summary's.
async fn measure(lessons: usize) -> (Duration, Duration) {
    let database = Database::migrated().await;
    fill(&database, lessons).await;
    let relay = Relay::start(&database, &["--log", "warn"]).await;
    let client = database.client().await;
    // The snapshots hold all events: a relay that is restarted has them. This takes longer than
    // PATIENCE, because the whole table is read once.
    let began = Instant::now();
    let sql = "SELECT through_id >= (SELECT max(id) FROM progress_event) FROM state_through";
    while !client.query_one(sql, &[]).await.expect("a row").get::<_, bool>(0) {
        assert!(began.elapsed() < Duration::from_secs(600), "the snapshots do not come");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    relay.kill().await;
    let (mut starts, mut summaries) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let began = Instant::now();
        let relay = Relay::start(&database, &["--log", "warn"]).await;
        let mut connection = relay.connection().await;
        for ask in 0..=SUMMARIES {
            let asked = Instant::now();
            let target = "/api/class/summary?class=year&include=grid,activity";
            let answer = connection.get(target).await.expect("an answer");
            assert_eq!(answer.status, 200);
            match ask {
                0 => starts.push(began.elapsed()),
                _ => summaries.push(asked.elapsed()),
            }
        }
        relay.kill().await;
    }
    starts.sort_unstable();
    summaries.sort_unstable();
    let (start, summary) = (quantile(&starts, 0.5), quantile(&summaries, 0.5));
    println!("{lessons} lessons, {} events | {start:.1?} | {summary:.1?}", lessons * EVENTS);
    (start, summary)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: make year"]
async fn a_year_costs_what_a_day_costs() {
    let lessons = std::env::var("YEAR_LESSONS")
        .map_or(LESSONS, |lessons| lessons.parse().expect("YEAR_LESSONS is a number of lessons"));
    println!("history | start to first summary, p50 | summary, p50");
    let (day_start, day_summary) = measure(1).await;
    let (year_start, year_summary) = measure(lessons).await;
    assert!(year_start < day_start.mul_f64(BAR) + NOISE, "{year_start:?}, {day_start:?}");
    assert!(year_summary < day_summary.mul_f64(BAR) + NOISE / 10, "{year_summary:?}");
}
