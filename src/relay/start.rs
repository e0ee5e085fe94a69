//! The start of a replica: the parts are constructed in the order in which they need each other;
//! then the database is migrated; then every part connects.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::config::{Config, StartConfig};
use crate::access::{Access, Sessions};
use crate::agreement::Agreement;
use crate::audit::Audit;
use crate::backoff::Backoff;
use crate::database::{
    Connector, Pages, Session, check_allowance, check_privileges, naming_blockers,
};
use crate::embedded::PrivatePostgres;
use crate::error::{Failure, chain};
use crate::event::{Cursor, Epoch};
use crate::housekeeping::Housekeeping;
use crate::http::{
    AnswerBudget, BodyBudget, ConnectionLimiter, Drain, Gate, HttpMetrics, Rates, Relay,
    StartProgress,
};
use crate::listener::Listener;
use crate::log::Log;
use crate::metrics::Registry;
use crate::migrate::MigrateError;
use crate::rejections::Rejections;
use crate::repeated::Repeated;
use crate::state::Classes;
use crate::supervisor::Supervisor;
use crate::tail::{self, Tail};
use crate::writer::{Writer, WriterTasks};
use crate::{migrate, prober};

/// How often the start looks whether every part has worked.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The wait before a database that is away is tried again, and the longest such wait.
const RETRY_BASE: Duration = Duration::from_millis(100);
const RETRY_CAP: Duration = Duration::from_secs(2);

/// A replica's parts. They connect to the database once the migrations are applied.
pub(super) struct Parts {
    pub(super) relay: Arc<Relay>,
    pub(super) tasks: Tasks,
    pub(super) private: Option<PrivatePostgres>,
    pub(super) migrated: CancellationToken,
    pub(super) connector: Connector,
    pub(super) supervisor: Supervisor,
    pub(super) access: Access,
}

/// The tasks, which must stop in a fixed order.
pub(super) struct Tasks {
    pub(super) writer: WriterTasks,
    pub(super) housekeeping: Housekeeping,
    /// The tail, the prober, the counts of rejected events, the audit, the eviction of classes, the
    /// memory of rates.
    pub(super) others: [AbortOnDropHandle<()>; 6],
}

/// The sources of callers. Must be called within the runtime.
fn access(config: &Config) -> Result<Access, Failure> {
    match config.access.has_source() {
        true => Access::with(&config.access).map_err(Failure::usage),
        false => Ok(Access::open()),
    }
}

fn gate(
    config: &Config,
    access: &Access,
    rates: &Arc<Rates>,
    audit: &Audit,
    drain: &Drain,
) -> Gate {
    Gate::new(
        ConnectionLimiter::new(config.http.connections, config.http.connections_per_address),
        config.http.origins.clone(),
        config.http.edge.proxies.clone(),
        access.clone(),
        Arc::clone(rates),
        audit.clone(),
        drain.clone(),
    )
}

pub(super) async fn construct(config: &Config, url: &str) -> Result<Parts, Failure> {
    let owner = format!("progress-relay serve, pid {}, on {url}", std::process::id());
    // Before the database: a file that is wrong ends the start at once.
    let access = access(config)?;
    let (connector, private) = config.database.open(&owner).await?;
    let supervisor = Supervisor::default();
    let migrated = CancellationToken::new();
    let after_migrations = connector.after(migrated.clone());
    let agreement = Agreement::default();
    let pages = Pages::new(&connector)?;
    let classes = Classes::new(pages.beside(&connector, "loads")?);
    let eviction = supervisor.spawn("memory of classes", classes.clone().evict_forever());
    let nowhere = Cursor { epoch: Epoch::new("unknown"), id: 0 };
    let log = Arc::new(Log::new(nowhere, config.log_memory));
    let tail_parts = tail::TailParts {
        agreement: agreement.clone(),
        log: Arc::clone(&log),
        classes: classes.clone(),
    };
    let (tail, tail_task) = Tail::start(&after_migrations, tail_parts, &supervisor);
    let listener = Listener::start(&after_migrations, &agreement, &tail, &supervisor);
    let (kept, after) = (config.housekeeping, &after_migrations);
    let housekeeping = Housekeeping::start(after, &agreement, &classes, kept, &supervisor);
    let (writer, writer_tasks) =
        Writer::start(&after_migrations, &agreement, config.writer, &supervisor);
    let prober = prober::start(&connector, &agreement, &supervisor);
    let drain = Drain::new(config.stop.drain);
    let rates = Rates::new(&config.http.edge.rates);
    access.keep(Sessions::new(pages.clone()));
    let audit = Audit::new(!access.is_open());
    let gate = gate(config, &access, &rates, &audit, &drain);
    let mut relay = Relay {
        gate,
        base_path: config.http.edge.base_path.clone(),
        has_admin_door: config.admin_bind.is_some(),
        security: config.http.edge.security.clone(),
        writer,
        tail,
        log,
        classes,
        pages,
        listener,
        agreement,
        start: StartProgress::default(),
        rejections: Rejections::default(),
        audit,
        bodies: BodyBudget::new(config.writer.queue.bytes),
        answers: AnswerBudget::new(config.http.answer_bytes),
        limits: config.http.limits,
        drain,
        metrics: HttpMetrics::default(),
        registry: Registry::default(),
    };
    relay.register_metrics();
    let relay = Arc::new(relay);
    let rejections = relay.rejections.start(relay.pages.clone());
    let audit = relay.audit.start(relay.pages.clone());
    let forgetting = supervisor.spawn("memory of rates", rates.forget_forever());
    let others = [tail_task, prober, rejections, audit, eviction, forgetting];
    let tasks = Tasks { writer: writer_tasks, housekeeping, others };
    Ok(Parts { relay, tasks, private, migrated, connector, supervisor, access })
}

/// Checks the role's privileges, and applies or checks the migrations.
async fn prepare(session: &Session, migrates: bool) -> Result<(), MigrateError> {
    check_privileges(session).await?;
    check_allowance(session).await?;
    if !migrates {
        return migrate::verify(&session.client).await;
    }
    migrate::apply_by(&session.client).await?;
    // Another role may have applied a migration meanwhile.
    Ok(check_privileges(session).await?)
}

/// Applies or checks the migrations, lets the parts connect, and waits until every part has worked.
/// If the database is away (starting, or restarting meanwhile), it waits and tries again.
pub(super) async fn connect(
    connector: Connector,
    config: StartConfig,
    relay: Arc<Relay>,
    migrated: CancellationToken,
) -> Result<(), Failure> {
    let began = Instant::now();
    let mut backoff = Backoff::new(RETRY_BASE, RETRY_CAP);
    let logged = Repeated::new();
    loop {
        let attempt = async {
            // The privileges come first: without USAGE on the schema, the migrations would seem to
            // be missing.
            let session = connector.connect("start").await?;
            let prepare = prepare(&session, config.migrate);
            naming_blockers(&connector, session.backend_pid, prepare).await
        };
        let is_patient = || config.patience.is_none_or(|patience| began.elapsed() < patience);
        match attempt.await {
            Ok(()) => break,
            Err(error) if error.is_transient() && is_patient() => {
                let reason = chain(&error);
                relay.start.note(&format!("the database is not reached yet: {reason}"));
                if let Some(due) = logged.met(&reason) {
                    tracing::warn!("the database is not reached yet, trying again{due}: {reason}");
                }
                backoff.wait().await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    relay.start.note("the connections to the database are being made");
    migrated.cancel();
    while !relay.works() {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    relay.start.done();
    Ok(())
}
