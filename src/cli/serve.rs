//! `progress-relay serve`: the relay. Its parts are put together here, and taken apart in the
//! opposite order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use clap::builder::BoolishValueParser;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::database::{DatabaseArgs, private_options};
use super::raise_file_limit;
use super::units::{Size, parse_duration};
use crate::backoff::Backoff;
use crate::config::{Config, Database, at_least};
use crate::embedded::PrivatePostgres;
use crate::error::{Failure, chain};
use crate::event::{Cursor, Epoch, Limits as EventLimits};
use crate::http::{
    self, AnswerBudget, BodyBudget, ConnectionLimiter, Drain, Gate, HttpMetrics, Limits,
    OriginPolicy, Relay, StartProgress,
};
use crate::listener::Listener;
use crate::log::Log;
use crate::metrics::Registry;
use crate::refusals::Refusals;
use crate::repeated::Repeated;
use crate::state::{Classes, Keeper as StateKeeper};
use crate::store::{Agreement, Connector, Pages};
use crate::tail::{self, Tail};
use crate::vital::Vital;
use crate::writer::{QueueLimits, Writer};
use crate::{migrate, prober};

/// How often it is looked whether every part works, at the start.
const START_LOOK: Duration = Duration::from_millis(20);
const START_RETRY_BASE: Duration = Duration::from_millis(100);
const START_RETRY_CAP: Duration = Duration::from_secs(2);
/// What the last commits, and then the private PostgreSQL, have beyond the drain.
const LAST_COMMITS: Duration = Duration::from_secs(5);
const LAST_READ: Duration = Duration::from_secs(1);
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// A private PostgreSQL that ended is started anew after this long, and ever more slowly.
const RESTART_BASE: Duration = Duration::from_millis(50);
const RESTART_CAP: Duration = Duration::from_secs(5);

/// Run the relay: store what students POST, push it to every dashboard.
#[derive(Debug, ClapArgs)]
// So that -1 is an error of the flag before it, not a flag of its own.
#[command(allow_negative_numbers = true)]
pub struct Args {
    /// Where to listen; port 0 takes a free one. Beyond loopback it needs --insecure
    #[arg(long, env = "RELAY_BIND", value_name = "ADDR:PORT", default_value = "127.0.0.1:8000")]
    bind: SocketAddr,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Largest body of a request
    #[arg(long, env = "RELAY_MAX_BODY", value_name = "SIZE", default_value = "8MiB")]
    max_body: Size,
    /// Most events in a request
    #[arg(long, env = "RELAY_MAX_BATCH", value_name = "N", default_value_t = 1000)]
    max_batch: usize,
    /// Longest code, errorMessage or result; what is over is cut, and named in the event's
    /// `truncated`
    #[arg(long, env = "RELAY_MAX_FIELD", value_name = "SIZE", default_value = "2MiB")]
    max_field: Size,
    /// Most events that wait to be written; beyond it a POST is answered 503 at once
    #[arg(long, env = "RELAY_QUEUE_ROWS", value_name = "N", default_value_t = 30_000)]
    queue_rows: usize,
    /// Most bytes of events that wait to be written, and as many of large bodies that are just
    /// arriving
    #[arg(long, env = "RELAY_QUEUE_BYTES", value_name = "SIZE", default_value = "128MiB")]
    queue_bytes: Size,
    /// How long a POST waits for its commit before it is answered 503
    #[arg(long, env = "RELAY_COMMIT_TIMEOUT", value_name = "TIME", default_value = "6s", value_parser = parse_duration)]
    commit_timeout: Duration,
    /// Newest events kept in memory, all classes together; subscribers further behind read the
    /// table
    #[arg(long, env = "RELAY_LOG_MEMORY", value_name = "SIZE", default_value = "64MiB")]
    log_memory: Size,
    /// Most bytes of large answers that are being sent, all together; beyond it one is answered 503
    #[arg(long, env = "RELAY_ANSWER_BYTES", value_name = "SIZE", default_value = "64MiB")]
    answer_bytes: Size,
    /// How long a request's body may take to arrive
    #[arg(long, env = "RELAY_REQUEST_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    request_timeout: Duration,
    /// Most connections at once, dashboards included
    #[arg(long, env = "RELAY_MAX_CONNECTIONS", value_name = "N", default_value_t = 20_000)]
    max_connections: usize,
    /// Most connections at once from one address [default: as --max-connections; a proxy is one
    /// address]
    #[arg(long, env = "RELAY_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N")]
    max_connections_per_address: Option<usize>,
    /// From SIGTERM to the end of accepting, while /readyz says 503: what a balancer needs to
    /// notice
    #[arg(long, env = "RELAY_DRAIN_DELAY", value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    drain_delay: Duration,
    /// After that, how long requests may take to end, and over how long dashboards are sent
    /// elsewhere
    #[arg(long, env = "RELAY_DRAIN", value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    drain: Duration,
    /// How long a database that is away at the start is waited for, meanwhile answering /healthz
    /// with 200 and everything else with 503; or `forever`
    #[arg(long, env = "RELAY_START_PATIENCE", value_name = "TIME", default_value = "30s", value_parser = parse_patience)]
    start_patience: Patience,
    /// Do not apply migrations, only check that none is missing
    #[arg(long, env = "RELAY_NO_MIGRATE", value_parser = BoolishValueParser::new())]
    no_migrate: bool,
    /// An origin whose pages may read and open WebSockets, as browsers write it: https://HOST; its
    /// host is one the relay goes by. May be given several times
    #[arg(long, env = "RELAY_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    allow_origin: Vec<String>,
    /// Listen beyond loopback although anyone who reaches the port may read and write
    #[arg(long, env = "RELAY_INSECURE", value_parser = BoolishValueParser::new())]
    insecure: bool,
}

impl Args {
    /// Validates everything, once.
    fn config(self) -> Result<Config, Failure> {
        if !self.bind.ip().is_loopback() && !self.insecure {
            return Err(Failure::usage(format!(
                "--bind {}: beyond loopback anyone who reaches the port may read and write, since \
                     there is no \
                 authentication; say --insecure if that is wanted, or put a proxy before 127.0.0.1",
                self.bind
            )));
        }
        let origins = OriginPolicy::new(self.bind, &self.allow_origin)
            .map_err(|wrong| Failure::usage(format!("--allow-origin: {wrong}")))?;
        let limits = Limits {
            max_body: at_least("--max-body", self.max_body.0, 1024)?,
            events: EventLimits {
                max_batch: at_least("--max-batch", self.max_batch, 1)?,
                max_field: at_least("--max-field", self.max_field.0, 64)?,
            },
            request_timeout: positive("--request-timeout", self.request_timeout)?,
            commit_timeout: positive("--commit-timeout", self.commit_timeout)?,
        };
        let connections = at_least("--max-connections", self.max_connections, 1)?;
        let of_one = self.max_connections_per_address.unwrap_or(connections);
        Ok(Config {
            bind: self.bind,
            connections: (connections, at_least("--max-connections-per-address", of_one, 1)?),
            database: self.database.database()?,
            migrate: !self.no_migrate,
            start_patience: self.start_patience.0,
            queue: QueueLimits {
                rows: at_least("--queue-rows", self.queue_rows, 1)?,
                bytes: at_least("--queue-bytes", self.queue_bytes.0, 1024)?,
            },
            limits,
            log_memory: self.log_memory.0,
            answer_bytes: at_least("--answer-bytes", self.answer_bytes.0, 1 << 20)?,
            origins,
            drain_delay: self.drain_delay,
            drain: self.drain,
        })
    }
}

/// A time, or for ever.
#[derive(Debug, Clone, Copy)]
struct Patience(Option<Duration>);

fn parse_patience(text: &str) -> Result<Patience, String> {
    match text.trim() {
        "forever" => Ok(Patience(None)),
        text => parse_duration(text)
            .map(|time| Patience(Some(time)))
            .map_err(|wrong| format!("{wrong}, or forever")),
    }
}

fn positive(flag: &str, value: Duration) -> Result<Duration, Failure> {
    if value.is_zero() {
        return Err(Failure::usage(format!("{flag} is 0s: it must be longer")));
    }
    Ok(value)
}

/// Serves until a signal says otherwise.
///
/// # Errors
/// If it cannot begin: the port, the database, the migrations.
pub async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config()?;
    raise_file_limit();
    let mut signals = Signals::new()?;
    // The port first: a second relay by mistake should say so before it touches a database.
    let listener = TcpListener::bind(config.bind).await.map_err(|error| {
        Failure::new(format!(
            "cannot listen on {}: {error}; is another relay running? Choose another port with \
                 --bind",
            config.bind
        ))
    })?;
    let address = listener.local_addr()?;
    // A private PostgreSQL may take long to start (a crash to recover from): a signal ends it at
    // any time.
    let assembled = tokio::select! {
        assembled = assemble(&config, address) => assembled?,
        () = signals.next() => return Ok(()),
    };
    let Assembled { relay, tasks, state, private, gate, connector, vital } = assembled;
    let served = vital.spawn("accept loop", http::serve(listener, Arc::clone(&relay)));
    let keeper = private.map(Keeper::start);
    super::print(&format!("listening on http://{address}"))?;
    // From here on /healthz says 200, and /readyz why it does not yet.
    let mut begun = AbortOnDropHandle::new(tokio::spawn(begin(
        connector,
        config.clone(),
        Arc::clone(&relay),
        gate,
    )));
    let not_begun = tokio::select! {
        begun = &mut begun => match begun? {
            Ok(()) => {
                tracing::info!(%address, release = migrate::RELEASE, "the relay serves");
                false
            }
            Err(failure) => {
                drop((relay, tasks));
                if let Some(keeper) = keeper {
                    keeper.stop().await?;
                }
                return Err(failure);
            }
        },
        () = signals.next() => true,
    };
    let Tasks { writer: writer_tasks, others } = tasks;

    let failed = !not_begun
        && tokio::select! {
            () = signals.next() => false,
            () = vital.failed() => true,
        };
    tracing::info!(delay = ?config.drain_delay, drain = ?config.drain, "draining; a second signal \
         ends at once");
    relay.drain.announce();
    let ending = async {
        tokio::time::sleep(config.drain_delay).await;
        relay.drain.close();
        let deadline = Instant::now() + config.drain;
        let ended =
            tokio::time::timeout_at(deadline, async { tokio::join!(served, relay.drain.gone()) })
                .await;
        if ended.is_err() {
            tracing::warn!("the drain's time is over: what is still open is cut off");
        }
        let deadline = deadline.max(Instant::now()) + LAST_COMMITS;
        writer_tasks.drain(deadline).await;
        let _ = tokio::time::timeout(LAST_READ, relay.refusals.write(&relay.pages)).await;
        // What was just committed belongs into the last snapshot; if it is not heard of in time,
        // the next relay adds it.
        let _ = relay.tail.position(LAST_READ).await;
        state.stop(deadline).await;
    };
    let at_once = tokio::select! {
        () = ending => false,
        () = signals.next() => true,
    };
    // Whoever reads the database lets go of it before it ends.
    drop((relay, others));
    match keeper {
        Some(keeper) if at_once => keeper.abandon().await,
        Some(keeper) => keeper.stop().await?,
        None => {}
    }
    tracing::info!(at_once, "the relay has ended");
    match (at_once, failed) {
        (true, _) => Err(Failure::new("ended at once, by a second signal")),
        (_, true) => Err(Failure::new("ended, since a vital part had failed (see the log)")),
        _ => Ok(()),
    }
}

/// The parts of a relay, put together. They connect to the database once the gate is open.
struct Assembled {
    relay: Arc<Relay>,
    tasks: Tasks,
    state: StateKeeper,
    private: Option<PrivatePostgres>,
    gate: CancellationToken,
    connector: Connector,
    vital: Vital,
}

struct Tasks {
    writer: crate::writer::WriterTasks,
    /// The tail, the prober, what keeps count of refused events, and what lets go of classes.
    others: [AbortOnDropHandle<()>; 4],
}

async fn assemble(config: &Config, address: SocketAddr) -> Result<Assembled, Failure> {
    let (connector, private) = match &config.database {
        Database::External(connector) => (Connector::clone(connector), None),
        Database::Private(folder) => {
            let owner =
                format!("progress-relay serve, pid {}, on http://{address}", std::process::id());
            let private = PrivatePostgres::start(private_options(folder.clone()), &owner).await?;
            (Connector::new(private.config()), Some(private))
        }
    };
    let vital = Vital::default();
    let gate = CancellationToken::new();
    let gated = connector.behind(gate.clone());
    let agreement = Agreement::default();
    let pages = Pages::new(&connector)?;
    let classes = Classes::new(pages.beside(&connector, "loads")?);
    let room_task = vital.spawn("memory of classes", classes.clone().keep_room());
    let nowhere = Cursor { epoch: Epoch::new("unknown"), id: 0 };
    let log = Arc::new(Log::new(nowhere, config.log_memory));
    let parts = tail::Parts {
        agreement: agreement.clone(),
        log: Arc::clone(&log),
        classes: classes.clone(),
    };
    let (tail, tail_task) = Tail::start(&gated, parts, &vital);
    let listener = Listener::start(&gated, &agreement, &tail, &vital);
    let state = StateKeeper::start(&gated, &agreement, &classes, &vital);
    let (writer, writer_tasks) =
        Writer::start(&gated, &agreement, config.queue, config.limits.commit_timeout, &vital);
    let prober_task = prober::start(&connector, &agreement, &vital);
    let drain = Drain::new(config.drain);
    let connections = ConnectionLimiter::new(config.connections.0, config.connections.1);
    let mut relay = Relay {
        gate: Gate::new(connections, config.origins.clone(), drain.clone()),
        writer,
        tail,
        log,
        classes,
        pages,
        listener,
        agreement,
        start: StartProgress::default(),
        refusals: Refusals::default(),
        bodies: BodyBudget::new(config.queue.bytes),
        answers: AnswerBudget::new(config.answer_bytes),
        limits: config.limits,
        drain,
        metrics: HttpMetrics::default(),
        registry: Registry::default(),
    };
    relay.register_metrics();
    let relay = Arc::new(relay);
    let refusals_task = relay.refusals.keep(relay.pages.clone());
    let others = [tail_task, prober_task, refusals_task, room_task];
    let tasks = Tasks { writer: writer_tasks, others };
    Ok(Assembled { relay, tasks, state, private, gate, connector, vital })
}

/// Applies or checks the migrations, opens the gate, and waits until every part has worked. A
/// database that is just starting, or starts anew meanwhile, is waited for.
async fn begin(
    connector: Connector,
    config: Config,
    relay: Arc<Relay>,
    gate: CancellationToken,
) -> Result<(), Failure> {
    let begin = Instant::now();
    let mut backoff = Backoff::new(START_RETRY_BASE, START_RETRY_CAP);
    let said = Repeated::new();
    loop {
        let attempt = async {
            if config.migrate {
                migrate::apply(&connector).await.map(drop)
            } else {
                migrate::check(&connector).await
            }
        };
        let is_patient = || config.start_patience.is_none_or(|patience| begin.elapsed() < patience);
        match attempt.await {
            Ok(()) => break,
            Err(error) if error.is_transient() && is_patient() => {
                let reason = chain(&error);
                relay.start.note(&format!("the database is not there yet: {reason}"));
                if let Some(due) = said.met(&reason) {
                    tracing::warn!("the database is not there yet, trying again{due}: {reason}");
                }
                backoff.wait().await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    relay.start.note("the connections to the database are being made");
    gate.cancel();
    while !relay.works() {
        tokio::time::sleep(START_LOOK).await;
    }
    relay.start.done();
    Ok(())
}

/// Keeps the private PostgreSQL running.
struct Keeper {
    task: tokio::task::JoinHandle<PrivatePostgres>,
    stop: tokio_util::sync::CancellationToken,
}

impl Keeper {
    fn start(private: PrivatePostgres) -> Self {
        let stop = tokio_util::sync::CancellationToken::new();
        let task = tokio::spawn(keep(private, stop.clone()));
        Self { task, stop }
    }

    async fn stop(self) -> Result<(), Failure> {
        self.stop.cancel();
        Ok(self.task.await?.stop(STOP_PATIENCE).await?)
    }

    async fn abandon(self) {
        self.stop.cancel();
        if let Ok(private) = self.task.await {
            private.abandon();
        }
    }
}

async fn keep(
    mut private: PrivatePostgres,
    stop: tokio_util::sync::CancellationToken,
) -> PrivatePostgres {
    let mut backoff = Backoff::new(RESTART_BASE, RESTART_CAP);
    loop {
        let status = tokio::select! {
            status = private.exited() => status,
            () = stop.cancelled() => return private,
        };
        tracing::error!(?status, "the private PostgreSQL has ended; starting it again");
        let since = Instant::now();
        tokio::select! {
            restarted = private.restart() => match restarted {
                Ok(()) => tracing::info!("the private PostgreSQL is back after \
                     {:.1} s", since.elapsed().as_secs_f32()),
                Err(error) => tracing::error!("the private PostgreSQL does not start: \
                     {}", chain(&error)),
            },
            () = stop.cancelled() => return private,
        }
        tokio::select! {
            () = backoff.wait() => {}
            () = stop.cancelled() => return private,
        }
        if since.elapsed() > RESTART_CAP {
            backoff.reset();
        }
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
