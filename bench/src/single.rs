//! The measurements that take long and run once or a few times: memory, ten thousand dashboards,
//! resuming, the summary, overload.

use std::time::Instant;

use progress_relay::client::http::Connection;
use progress_relay::client::{BaseUrl, query};

use crate::Outcome;
use crate::resume::Missed;
use crate::stage::{Server, Stage, figure};
use crate::stats::{median, number};

/// One measurement of the report.
pub struct Line {
    pub title: String,
    pub bar: &'static str,
    pub measured: String,
    /// Whether the bar is met; `None` if this build cannot be measured.
    pub met: Option<bool>,
    pub command: String,
}

const MEMORY_DASHBOARDS: u32 = 4000;
const MISSED: usize = 100_000;
/// The events of the short and of the long history.
const HISTORY: [u32; 2] = [1000, 1_000_000];
const SUMMARIES: usize = 200;

/// Twice as many as fill the relay's queue (30,000 events) with POSTs of 50 events.
const OVERLOAD_CONNECTIONS: u32 = 1200;

pub async fn measure(stage: &Stage, runs: usize) -> Outcome<Vec<Line>> {
    let mut lines = vec![memory(stage).await?, ten_thousand(stage).await?];
    lines.extend(resume(stage, runs).await?);
    lines.extend(overload(stage, runs).await?);
    // The last one, because PostgreSQL is busy for a while with the events that it appends.
    lines.push(summary(stage).await?);
    Ok(lines)
}

/// The memory of a dashboard that received over 1 MiB in bursts and then idled.
async fn memory(stage: &Stage) -> Outcome<Line> {
    eprintln!("a dashboard's memory");
    let relay = stage.relays(1).await?;
    // The memory that the relay itself needs under load is allocated by this run.
    stage.simulate(&relay, "--connections 32 --duration 2s").await?;
    let flags = format!(
        "--dashboards {MEMORY_DASHBOARDS} --rate 250 --burst 50 --duration 9s --warmup 0s --idle \
             30s"
    );
    let report = stage.simulate(&relay, &flags).await?;
    let each = figure(&report, "/memory/perDashboard");
    Ok(Line {
        title: "a dashboard's memory, after 1 MiB in bursts and 30 s idle".into(),
        bar: "≤ 8 KB",
        measured: format!("{} KB", number(each / 1000.0)),
        met: Some(each <= 8000.0),
        command: format!("simulate {flags}"),
    })
}

async fn ten_thousand(stage: &Stage) -> Outcome<Line> {
    eprintln!("10,000 dashboards");
    let relay = stage.relays(1).await?;
    let flags = "--dashboards 10000 --rate 50 --duration 10s".to_owned();
    let report = stage.simulate(&relay, &flags).await?;
    let (lost, reconnects) = (figure(&report, "/lost"), figure(&report, "/reconnects"));
    let p99 = figure(&report, "/postToFrameLatency/p99");
    Ok(Line {
        title: "10,000 dashboards on one replica, 50 events/s".into(),
        bar: "all get every event",
        measured: format!(
            "{lost} lost, {reconnects} reconnected; {} deliveries/s, p99 {} ms",
            number(figure(&report, "/deliveriesPerSecond")),
            number(p99)
        ),
        met: Some(lost == 0.0 && reconnects == 0.0),
        command: format!("simulate {flags}"),
    })
}

/// Resumes from the log in memory, and from the table at a relay that started afterwards.
async fn resume(stage: &Stage, runs: usize) -> Outcome<Vec<Line>> {
    eprintln!("resuming");
    let first = stage.relay().await?;
    let missed = Missed::store(&first, MISSED).await?;
    let mut lines = Vec::new();
    let second = stage.relay().await?;
    for (title, relay) in [("from the log in memory", &first), ("from the table", &second)] {
        let mut rates = Vec::new();
        for _ in 0..runs {
            rates.push(missed.resume(relay).await?);
        }
        let rate = median(&rates);
        lines.push(Line {
            title: format!("resuming over 100,000 missed events, {title}"),
            bar: "≥ 100,000 events/s",
            measured: format!("{} events/s", number(rate)),
            met: Some(rate >= 100_000.0),
            command: String::new(),
        });
    }
    Ok(lines)
}

/// How long the summary takes with a short history and with a long one.
async fn summary(stage: &Stage) -> Outcome<Line> {
    eprintln!("the summary");
    let database = stage.database().await?;
    let classes = ["history-short", "history-long"];
    for (class, events) in classes.into_iter().zip(HISTORY) {
        grow(&database, class, events).await?;
    }
    let relay = stage.relay().await?;
    let (measured, met) = match summary_times(&relay, classes).await? {
        Some([short, long]) => {
            let ratio = long / short;
            let (short, long) = (number(short * 1e3), number(long * 1e3));
            (format!("{ratio:.2}× ({short} ms, then {long} ms)"), Some(ratio <= 1.2))
        }
        None => ("not served by this build".into(), None),
    };
    Ok(Line {
        title: "summary, history grown 1,000-fold to a million events".into(),
        bar: "≤ 1.2×",
        measured,
        met,
        command: "GET /api/class/summary".into(),
    })
}

/// Appends `events` to a class, by SQL, in statements that hold the ordering lock for a moment
/// only.
pub async fn grow(database: &tokio_postgres::Client, class: &str, events: u32) -> Outcome<()> {
    const STATEMENT: &str = "INSERT INTO progress_event (event_id, class_id, student_id, \
         occurred_at, body) \
         SELECT id, $1, student, at, json_build_object('eventId', id, 'eventType', \
         'cell_executed', \
             'eventTime', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), \
             'userName', 'Student', 'sessionId', 'a', 'notebookPath', 'lesson1.ipynb', 'cellId', \
             'c-1', \
             'cellIndex', 1, 'code', repeat('x = 6*7 ', 25), 'executionCount', number, \
             'hasError', false, 'result', '42') \
         FROM (SELECT number, gen_random_uuid() AS id, 's' || number % 200 || '@example.com' AS \
         student, \
               clock_timestamp() AS at FROM generate_series(1, $2::int) AS number) AS made";
    let statement = database.prepare(STATEMENT).await?;
    let mut left = events;
    while left > 0 {
        let some = i32::try_from(left.min(5000))?;
        left -= left.min(5000);
        database.execute(&statement, &[&class, &some]).await?;
    }
    Ok(())
}

/// The median time of a summary of each class in seconds; `None` if the relay does not serve it.
/// The classes take turns: what else the machine does meanwhile slows both, and the ratio stays.
async fn summary_times(relay: &Server, classes: [&str; 2]) -> Outcome<Option<[f64; 2]>> {
    let mut connection = Connection::open(&BaseUrl::parse(&relay.url)?).await?;
    let paths = classes.map(|class| format!("/api/class/summary?{}", query([("class", class)])));
    let mut times = [const { Vec::new() }; 2];
    for turn in 0..=SUMMARIES {
        for (path, times) in paths.iter().zip(&mut times) {
            let begin = Instant::now();
            if !connection.get(path).await?.status.is_success() {
                return Ok(None);
            }
            // The first request loads the class.
            if turn > 0 {
                times.push(begin.elapsed().as_secs_f64());
            }
        }
    }
    Ok(Some(times.map(|times| median(&times))))
}

/// Measures the capacity, then offers twice that, then at once a steady load.
///
/// The three take turns `runs` times: a machine that becomes slower meanwhile slows all of them,
/// and the ratios stay.
async fn overload(stage: &Stage, runs: usize) -> Outcome<Vec<Line>> {
    let relay = stage.relays(1).await?;
    let (mut shares, mut accepted, mut late, mut refused, mut calm) =
        (vec![], vec![], vec![], vec![], vec![]);
    let (mut flags, after) = (String::new(), "--rate 1000 --duration 3s --warmup 0s");
    for run in 1..=runs {
        eprintln!("overload {run}/{runs}");
        let capacity = stage.simulate(&relay, "--batch 50 --connections 32 --duration 4s").await?;
        let capacity = figure(&capacity, "/acknowledgedPerSecond");
        let offered = (capacity * 2.0 / 1000.0).round() * 1000.0;
        flags = format!(
            "--batch 50 --connections {OVERLOAD_CONNECTIONS} --rate {offered} --duration 5s"
        );
        let report = stage.simulate(&relay, &flags).await?;
        let taken = figure(&report, "/acknowledgedPerSecond");
        accepted.push(taken);
        shares.push(taken / capacity);
        late.push(figure(&report, "/postLatency/p99"));
        // The report has no such field if no POST was refused.
        refused.push(figure(&report, "/failures/503").max(0.0));
        calm.push(figure(&stage.simulate(&relay, after).await?, "/postToFrameLatency/p99"));
    }
    let (share, calm) = (median(&shares), median(&calm));
    Ok(vec![
        Line {
            title: "twice the capacity offered, in POSTs of 50".into(),
            bar: "≥ 90% of capacity accepted, the rest 503",
            measured: format!(
                "{:.0}% ({}) of the capacity measured just before: {} events/s; p99 {} ms; \
                 {:.0} POSTs answered 503",
                share * 100.0,
                range(&shares),
                number(median(&accepted)),
                number(median(&late)),
                median(&refused)
            ),
            met: Some(share >= 0.9),
            command: format!("simulate {flags}"),
        },
        Line {
            title: "1,000 events/s, at once after that".into(),
            bar: "p99 ≤ 5 ms again",
            measured: format!("p99 {} ms", number(calm)),
            met: Some(calm <= 5.0),
            command: format!("simulate {after}"),
        },
    ])
}

/// The smallest and the largest share, in percent.
fn range(shares: &[f64]) -> String {
    let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
    let most = shares.iter().copied().fold(0.0, f64::max);
    format!("{:.0} to {:.0}%", least * 100.0, most * 100.0)
}
