//! Receives the doorbell's notifications on a connection that does nothing but LISTEN, and proves
//! that they arrive.
//!
//! LISTEN can succeed and deliver nothing: through a pooler in transaction mode, or on a connection
//! whose other end has vanished. So a second connection, the prover, rings with a nonce: at first
//! more than once, then every few seconds. While it is not proven that notifications arrive,
//! the tail reads several times a second without a ring. Events then come a little later, and none
//! is lost.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::agreement::{Agreement, DISPUTE_PATIENCE};
use crate::backoff::Reconnect;
use crate::database::{self, Blocker, BlockerWatch, ConnectError, Connector, Session};
use crate::metrics::Registry;
use crate::migrate::{self, MigrateError};
use crate::repeated::Repeated;
use crate::supervisor::Supervisor;
use crate::tail::Tail;

/// How often the listener looks whether its connections lead to the server that the tail reads.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// One look in this many also proves that notifications arrive.
const LOOKS_A_PROOF: u32 = 5;
/// How long a ring may take to arrive, and any answer of the database but the one to LISTEN.
const CHECK_DEADLINE: Duration = Duration::from_secs(5);
/// How long the look at the queue of notifications may take. PostgreSQL removes the received ones
/// meanwhile: 8 GB in some 5 s on a quick disk.
const QUEUE_DEADLINE: Duration = Duration::from_secs(60);
/// Rings that must arrive before LISTEN counts: a pooler may deliver the first one by chance.
const PROOFS_AT_START: usize = 2;
/// The beginning of a proof's payload. Any other payload is a ring.
const PROOF: &str = "proof ";

/// The reason before the first proof.
const NOT_YET_PROVEN: &str = "it is not proven yet that notifications arrive";

/// A queue that is half full (4 GB): some session does not receive its notifications.
const QUEUE_IS_LONG: f64 = 0.5;

/// Log lines about the holder of the lock, the queue of notifications, the migrations, and the
/// privileges.
static BLOCKED: Repeated = Repeated::new();
static QUEUE: Repeated = Repeated::new();
static SCHEMA: Repeated = Repeated::new();
static PRIVILEGES: Repeated = Repeated::new();

/// The listener's view of the database, renewed once a second.
#[derive(Debug, Clone)]
pub(crate) struct ListenerStatus {
    /// Why it is not proven that notifications arrive, and since when; `None` while it is proven.
    pub unproven: Option<(String, Instant)>,
    /// What the latest look has found.
    pub obstacles: Obstacles,
}

/// Obstacles to storing and delivering events that a look at the database finds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Obstacles {
    /// The session that keeps writers waiting, if there is one.
    pub blocker: Option<Blocker>,
    /// The fault of the database's migrations, if there is one: a newer release may have added
    /// some.
    pub schema: Option<String>,
    /// The privileges that the relay's role lacks, if it lacks any.
    pub privileges: Option<String>,
}

/// The handle of the task that listens. The task ends when the handle is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    status: watch::Receiver<ListenerStatus>,
    _task: AbortOnDropHandle<()>,
}

impl Listener {
    /// Starts to listen on `connector`, which must lead to the primary directly, and rings `tail`.
    pub(crate) fn start(
        connector: &Connector,
        agreement: &Agreement,
        tail: &Tail,
        supervisor: &Supervisor,
    ) -> Self {
        let unproven = Some((NOT_YET_PROVEN.to_owned(), Instant::now()));
        let (report, status) =
            watch::channel(ListenerStatus { unproven, obstacles: Obstacles::default() });
        let task = ListenLoop {
            connector: connector.clone(),
            agreement: agreement.clone(),
            tail: tail.clone(),
            report,
        };
        Self { status, _task: supervisor.spawn("listener", task.run()) }
    }

    /// Registers the listener's metrics.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let status = self.status.clone();
        registry.gauge(
            "relay_listener_proven",
            "Whether it is proven that notifications arrive.",
            move || i64::from(status.borrow().unproven.is_none()),
        );
    }

    /// The latest status.
    pub(crate) fn status(&self) -> ListenerStatus {
        self.status.borrow().clone()
    }
}

/// The task: listens, looks, reports.
struct ListenLoop {
    connector: Connector,
    agreement: Agreement,
    tail: Tail,
    report: watch::Sender<ListenerStatus>,
}

impl ListenLoop {
    async fn run(self) {
        let mut reconnect = Reconnect::new("listener");
        let mut blockers = BlockerWatch::default();
        loop {
            let Err(reason) = self.listen(&mut reconnect, &mut blockers).await;
            self.agreement.note_server("listener", None);
            self.note_unproven(Some(reason.clone()));
            // The tail reads more often until it is proven again that notifications arrive.
            self.tail.set_unproven(true);
            reconnect.failed(&reason).await;
        }
    }

    /// Listens until it cannot, and returns why.
    async fn listen(
        &self,
        reconnect: &mut Reconnect,
        blockers: &mut BlockerWatch,
    ) -> Result<Infallible, String> {
        let (proved, mut proofs) = watch::channel(String::new());
        let tail = self.tail.clone();
        // Every replica proves on the same channel; the mark tells this replica's proofs from the
        // others'.
        let own = format!("{PROOF}{:016x} ", fastrand::u64(..));
        let mark = own.clone();
        let notified = move |payload: &str| match payload.strip_prefix(PROOF) {
            Some(_) if payload.starts_with(&mark) => drop(proved.send_replace(payload.to_owned())),
            Some(_) => {}
            None => tail.doorbell(),
        };
        let open = async {
            let session = self.connector.connect_with("listener", notified).await?;
            Ok::<_, ConnectError>((session, self.connector.connect("prover").await?))
        };
        let (session, prover) = open.await.map_err(|error| {
            self.note_obstacles(Obstacles::default());
            error.to_string()
        })?;
        let outcome =
            self.listen_on(&session, &prover, &own, &mut proofs, reconnect, blockers).await;
        // A LISTEN or a look that is given up must not go on in the server beside the next one.
        session.abandon();
        prover.abandon();
        outcome
    }

    async fn listen_on(
        &self,
        session: &Session,
        prover: &Session,
        own: &str,
        proofs: &mut watch::Receiver<String>,
        reconnect: &mut Reconnect,
        blockers: &mut BlockerWatch,
    ) -> Result<Infallible, String> {
        // The obstacles come first: a lock on the table that stops the tail as well leaves nothing
        // to agree with.
        self.look_for_obstacles(prover, blockers).await?;
        self.look(session, prover).await?;
        self.send_listen(session, prover).await?;
        self.agreement.note_server("listener", Some(session.server.clone()));
        let mut arrived = 0;
        let mut unproven = Some(NOT_YET_PROVEN.to_owned());
        for look in 0_u32.. {
            if unproven.is_some() || look.is_multiple_of(LOOKS_A_PROOF) {
                match prove(prover, own, proofs).await? {
                    Proof::Arrived => {
                        arrived += 1;
                        if arrived < PROOFS_AT_START {
                            continue;
                        }
                        reconnect.succeeded();
                        if unproven.take().is_some() {
                            // Events that were committed since LISTEN have rung. The tail is rung
                            // here, and reads the earlier ones.
                            self.tail.set_unproven(false);
                        }
                    }
                    // The listener's connection may be in order, so it is kept. Another LISTEN
                    // would begin at the start of the queue of notifications: where the queue is
                    // full, the sessions that read it would keep it full.
                    Proof::Refused(reason) => {
                        arrived = 0;
                        self.tail.set_unproven(true);
                        reconnect.statement_failed(&reason);
                        unproven = Some(reason);
                    }
                }
            }
            self.note_unproven(unproven.clone());
            tokio::select! {
                () = session.ended() => return Err("the connection was lost".to_owned()),
                () = prover.ended() => return Err("the prover's connection was lost".to_owned()),
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            self.look_for_obstacles(prover, blockers).await?;
            self.look(session, prover).await?;
        }
        Err("the listener has counted all its looks".to_owned())
    }

    /// Looks for obstacles, and notes those that it finds; none if the look itself fails.
    async fn look_for_obstacles(
        &self,
        prover: &Session,
        blockers: &mut BlockerWatch,
    ) -> Result<(), String> {
        let found = self.find_obstacles(prover, blockers).await;
        let (obstacles, outcome) = match found {
            Ok(obstacles) => (obstacles, Ok(())),
            Err(reason) => (Obstacles::default(), Err(reason)),
        };
        self.note_obstacles(obstacles);
        outcome
    }

    /// Looks for a session that keeps writers waiting, at the role's privileges, and at the
    /// migrations. Ends the session of a relay that is frozen.
    async fn find_obstacles(
        &self,
        prover: &Session,
        blockers: &mut BlockerWatch,
    ) -> Result<Obstacles, String> {
        let blocker = in_time("the look at the locks", blockers.look(prover)).await?;
        if let Some(blocker) = blocker.as_ref().filter(|blocker| blocker.is_frozen_relay()) {
            tracing::warn!(
                pid = blocker.pid,
                "{blocker}; it is a relay that takes no answer: the listener ends its session"
            );
            in_time("ending a frozen relay's session", database::terminate(prover, blocker.pid))
                .await?;
        }
        let lacking = database::lacking_privileges(&prover.client);
        let lacking = in_time("the look at the privileges", lacking).await?;
        let privileges = lacking.map(|lacking| lacking.to_string());
        let schema = match timeout(CHECK_DEADLINE, migrate::verify(&prover.client)).await {
            // Without a privilege they may be hidden.
            Ok(Err(MigrateError::Missing(_))) if privileges.is_some() => None,
            Ok(Err(MigrateError::Database(error))) => return Err(database::explain(&error)),
            Ok(verified) => verified.err().map(|error| error.to_string()),
            Err(_) => return Err("the look at the migrations was not answered in time".to_owned()),
        };
        Ok(Obstacles { blocker, schema, privileges })
    }

    /// Looks whether both connections lead to the server that the tail reads, and shortens the
    /// queue of notifications.
    async fn look(&self, session: &Session, prover: &Session) -> Result<(), String> {
        let look = "the look at the queue of notifications";
        let usage = database::notification_queue_usage(prover);
        let usage = in_time_of(QUEUE_DEADLINE, look, usage).await?;
        if usage >= QUEUE_IS_LONG
            && let Some(due) = QUEUE.met("long")
        {
            tracing::warn!(
                usage,
                "the server's queue of notifications is filling, and at 1 it refuses every event: \
                 a session listens inside an open transaction. PostgreSQL's log names its \
                 process; end that session{due}"
            );
        }
        for (session, what) in
            [(session, "the listener's connection"), (prover, "the prover's connection")]
        {
            let epoch =
                in_time("the look at the epoch", database::current_epoch(&session.client)).await?;
            if !self.agreement.settles_on(&epoch, DISPUTE_PATIENCE).await {
                return Err(format!(
                    "{what} leads to {}, and the tail reads from another server, or not at all",
                    session.server
                ));
            }
        }
        Ok(())
    }

    /// Sends LISTEN, and waits for it as long as the server works on it. Where the queue of
    /// notifications is long, that may take many seconds, and a second try would take as long.
    async fn send_listen(&self, session: &Session, prover: &Session) -> Result<(), String> {
        let listen =
            in_time("the look at the channel", database::listen_statement(session)).await?;
        let mut listening = std::pin::pin!(session.client.batch_execute(&listen));
        loop {
            tokio::select! {
                answer = &mut listening => {
                    return answer.map_err(|error| format!("LISTEN: {}", database::explain(&error)));
                }
                () = session.ended() => return Err("the connection was lost at LISTEN".to_owned()),
                () = tokio::time::sleep(CHECK_DEADLINE) => {}
            }
            let works =
                in_time("the look at LISTEN", database::is_active(prover, session.backend_pid))
                    .await?;
            if !works {
                return Err(
                    "LISTEN was not answered, and the server does not work on it".to_owned()
                );
            }
        }
    }

    fn note_obstacles(&self, obstacles: Obstacles) {
        if let Some(blocker) = &obstacles.blocker
            && let Some(due) = BLOCKED.met(&blocker.cause())
        {
            tracing::warn!(pid = blocker.pid, application = blocker.application, "{blocker}{due}");
        }
        for (logged, wrong) in [(&SCHEMA, &obstacles.schema), (&PRIVILEGES, &obstacles.privileges)]
        {
            if let Some(wrong) = wrong
                && let Some(due) = logged.met(wrong)
            {
                tracing::error!("{wrong}{due}");
            }
        }
        self.report.send_modify(|status| status.obstacles = obstacles);
    }

    fn note_unproven(&self, unproven: Option<String>) {
        self.report.send_modify(|status| {
            let since = status.unproven.take().map_or_else(Instant::now, |(_, since)| since);
            status.unproven = unproven.map(|reason| (reason, since));
        });
    }
}

/// The result of a ring that reached the server.
enum Proof {
    /// The ring arrived at the listener.
    Arrived,
    /// The server takes no notification now, for this reason.
    Refused(String),
}

/// Rings from `prover`, and waits until the ring has arrived at the listener.
async fn prove(
    prover: &Session,
    own: &str,
    proofs: &mut watch::Receiver<String>,
) -> Result<Proof, String> {
    let nonce = format!("{own}{:016x}", fastrand::u64(..));
    match timeout(CHECK_DEADLINE, database::notify(prover, &nonce)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if !database::is_connection_lost(&error) => {
            return Ok(Proof::Refused(format!("the ring: {}", database::explain(&error))));
        }
        Ok(Err(error)) => return Err(format!("the ring: {}", database::explain(&error))),
        Err(_) => return Err("the ring was not answered in time".to_owned()),
    }
    match timeout(CHECK_DEADLINE, proofs.wait_for(|proof| *proof == nonce)).await {
        Ok(Ok(_)) => Ok(Proof::Arrived),
        Ok(Err(_)) => Err("the connection was lost".to_owned()),
        Err(_) => Err(format!(
            "a ring did not arrive within {} s; does --listen-url (or --database-url) lead through \
             a pooler? It must lead to the database directly",
            CHECK_DEADLINE.as_secs()
        )),
    }
}

async fn in_time<T>(
    what: &str,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, String> {
    in_time_of(CHECK_DEADLINE, what, answer).await
}

async fn in_time_of<T>(
    deadline: Duration,
    what: &str,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, String> {
    match timeout(deadline, answer).await {
        Ok(answer) => answer.map_err(|error| format!("{what}: {}", database::explain(&error))),
        Err(_) => Err(format!("{what} was not answered within {} s", deadline.as_secs())),
    }
}
