//! `progress-relay simulate`: students and dashboards that use a relay over the network. Throughput
//! is counted at the dashboards, and each dashboard checks that it has received every event once
//! and in order.
//!
//! - `args`: the flags; `own`: relays that are started for the run; `consent`: asks before the run
//!   posts to other relays
//! - `load`: the students' POSTs, at a given `pace` or as a `class` would send them; `body`: the
//!   events
//! - `dashboard`: the subscribers; `scan`: finds events in frames
//! - `run`: the clock and the ledger that students and dashboards share
//! - `usage`, `process`: CPU and memory; `summary`, `report`: the result; `progress`: messages
//!   during the run

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use crate::cli::open_files::raise_file_limit;
use crate::cli::relay_url::parse_relay_url;
use crate::client::{BaseUrl, ClientError};
use crate::error::Failure;
use crate::relay::signals::Signals;

mod args;
mod body;
mod class;
mod consent;
mod dashboard;
mod load;
mod own;
mod pace;
mod process;
mod progress;
mod report;
mod run;
mod scan;
mod summary;
mod usage;

pub(crate) use args::{Args, Behaviour};
use class::Student;
use dashboard::Dashboard;
use load::{Plan, Poster, Posts};
use own::OwnRelays;
use progress::{Progress, note};
use report::Report;
use run::Run;
use usage::{Memory, Meter};

/// The dashboards that decode events, to measure latency and to find missing events. The others
/// count events and compare sums.
const DECODING_DASHBOARDS: usize = 10;
/// The connections that are opened at a time.
const OPENING_AT_ONCE: usize = 64;
/// How long the last deliveries may take.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the run waits for events whose POST failed, since they may have been stored.
const FAILED_POST_WAIT: Duration = Duration::from_secs(2);
/// How often the run checks whether everything was delivered.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// Runs the simulation and prints its report.
///
/// # Errors
/// If the relay cannot be reached at first, or an event was lost, duplicated or out of order.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    args.check()?;
    raise_file_limit();
    let urls = args.urls.iter().map(|url| args.token.apply(parse_relay_url(url)?));
    let urls = urls.collect::<Result<Vec<_>, _>>()?;
    if let Some(pid) = args.relay_pid.iter().find(|&&pid| !process::exists(pid)) {
        return Err(Failure::usage(format!("--relay-pid: there is no process {pid}")));
    }
    if !urls.is_empty() && !args.yes {
        consent::ask(&args, &urls).await?;
    }
    let mut signals = Signals::new()?;
    let (own, urls, meter) = if urls.is_empty() {
        note("starting a relay and its PostgreSQL (--url for one that runs)");
        let own = OwnRelays::start(args.relays).await?;
        let (urls, meter) =
            (own.urls(), Meter { relays: own.pids(), postmaster: Some(own.postmaster_pid()) });
        (Some(own), urls, meter)
    } else {
        (None, urls, Meter { relays: args.relay_pid.clone(), postmaster: None })
    };
    let measured = tokio::select! {
        measured = measure(&args, urls, meter) => measured,
        () = signals.next() => Err(Failure::new("ended by a signal")),
    };
    if let Some(own) = own {
        own.stop().await?;
    }
    let report = measured?;
    let text = if args.json { serde_json::to_string(&report)? + "\n" } else { report.table() };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(format!("cannot write to stdout: {error}")))?;
    report.verdict().map_or(Ok(()), |wrong| Err(Failure::new(wrong)))
}

async fn measure(args: &Args, urls: Vec<BaseUrl>, meter: Meter) -> Result<Report, Failure> {
    let class = args.class.clone().unwrap_or_else(|| format!("simulate-{:08x}", fastrand::u32(..)));
    let run = Arc::new(Run::new(urls, class));

    let mut memory = Memory { before_dashboards: meter.memory(), ..Memory::default() };
    note(&format!("subscribing {} dashboards to {}", args.dashboards, run.class));
    let dashboards: Vec<Dashboard> = stream::iter(0..args.dashboards as usize)
        .map(|index| Dashboard::open(&run, index, index < DECODING_DASHBOARDS))
        .buffered(OPENING_AT_ONCE)
        .try_collect()
        .await
        .map_err(unopened)?;
    memory.connected = meter.memory();
    let plan = Plan { batch: args.batch as usize, students: args.students, end: 0 };
    let posters: Vec<Poster> = stream::iter(0..args.connections() as usize)
        .map(|index| Poster::open(&run, &plan, index))
        .buffered(OPENING_AT_ONCE)
        .try_collect()
        .await
        .map_err(unopened)?;

    note(&format!("posting for {:?} after a warm-up of {:?}", args.duration, args.warmup()));
    let begun = meter.read();
    let posts = load(args, &run, posters).await?;
    note("waiting for the last deliveries");
    if !posts.failures.is_empty() && !dashboards.is_empty() {
        tokio::time::sleep(FAILED_POST_WAIT).await;
    }
    settle(&run, &dashboards).await;
    let mut usage = meter.since(&begun);
    memory.loaded = meter.memory();
    if !args.idle.is_zero() {
        note(&format!("idling for {:?}", args.idle));
        tokio::time::sleep(args.idle).await;
        memory.idled = Some(meter.memory());
    }
    usage.memory = (!meter.relays.is_empty()).then(|| memory.per(dashboards.len()));
    Ok(summary::summarise(args, &run, posts, &dashboards, usage))
}

/// Runs the load to its end.
async fn load(args: &Args, run: &Arc<Run>, mut posters: Vec<Poster>) -> Result<Posts, Failure> {
    let begin = run.begin(args.warmup());
    let end = run.counted_from() + run::nanos(args.duration);
    posters.iter_mut().for_each(|poster| poster.end_at(end));
    let pace = match args.rate {
        Some(rate) => {
            let posts_per_second = rate / f64::from(args.batch);
            let burst = u64::from(args.burst);
            Some(pace::Pace::start(run, posts_per_second, begin, end, posters.len(), burst)?)
        }
        None => None,
    };
    let _progress = Progress::start(run, begin, end);
    let tasks: Vec<_> = (0..)
        .zip(posters)
        .map(|(number, poster)| match args.pace {
            Behaviour::Flat => tokio::spawn(poster.post(pace.clone())),
            Behaviour::Realistic => tokio::spawn(poster.live(Student::new(number))),
        })
        .collect();
    let mut posts = Posts::new();
    for task in tasks {
        posts.add(task.await?);
    }
    Ok(posts)
}

/// The failure of a connection at the beginning of the run.
fn unopened(error: ClientError) -> Failure {
    let hint = match &error {
        // EMFILE on Linux.
        ClientError::Connect { source, .. } if source.raw_os_error() == Some(24) => {
            "; raise the limit of open files (ulimit -Hn)"
        }
        ClientError::Connect { .. } => {
            "; start the relay (progress-relay serve), check --url, or leave it out to have one \
             started"
        }
        _ => "",
    };
    Failure::new(format!("cannot begin: {error}{hint}"))
}

/// Waits until every dashboard has received every event, but not longer than [`SETTLE_TIMEOUT`].
async fn settle(run: &Run, dashboards: &[Dashboard]) {
    let settled = async {
        loop {
            let (missing, expected) = {
                let ledger = run.ledger();
                (ledger.missing(), ledger.expected())
            };
            if missing == 0
                && dashboards.iter().all(|dashboard| dashboard.tally().count >= expected)
            {
                return;
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    };
    if !dashboards.is_empty() {
        // Events that have not been delivered by now count as lost in the report.
        let _ = tokio::time::timeout(SETTLE_TIMEOUT, settled).await;
    }
}
