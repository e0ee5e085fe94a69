//! Hears the doorbell: a connection of its own that LISTENs and does nothing else, and the proof
//! that it does hear.
//!
//! LISTEN can succeed and deliver nothing: through a pooler in transaction mode, or on a connection
//! whose other end is gone without a word. So another connection rings with a nonce, at first more
//! than once, and then every few seconds. While it is not known that bells are heard the tail looks
//! for itself, several times a second: events come a little later, and come.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Reconnect;
use crate::metrics::Registry;
use crate::migrate::{self, MigrateError};
use crate::repeated::Repeated;
use crate::store::{self, Agreement, Blocker, CHANNEL, Connector, DISPUTE_PATIENCE, Session};
use crate::tail::Tail;
use crate::vital::Vital;

/// How often it is looked whether the connections still lead to the server that the tail reads.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Of how many looks one is a proof that bells are heard.
const LOOKS_A_PROOF: u32 = 5;
/// How long a bell, or any answer of the database but to LISTEN, may take.
const CHECK_DEADLINE: Duration = Duration::from_secs(5);
/// Bells that must be heard before LISTEN is believed: a pooler may pass on the first by chance.
const PROOFS_AT_START: usize = 2;
/// What the payload of a proof begins with; any other payload is a bell.
const PROOF: &str = "proof ";

/// Log lines about who holds the lock, and about the migrations.
static BLOCKED: Repeated = Repeated::new();
static SCHEMA: Repeated = Repeated::new();

/// What the listener knows.
#[derive(Debug, Clone)]
pub struct Hearing {
    /// Why it is not known that bells are heard, and since when; `None` while they are.
    pub deaf: Option<(String, Instant)>,
    /// Who keeps writers waiting.
    pub blocker: Option<Blocker>,
    /// What is wrong with the database's migrations: a newer release may have been here since.
    pub schema: Option<String>,
}

/// The listener.
#[derive(Debug)]
pub struct Listener {
    hearing: watch::Receiver<Hearing>,
    _task: AbortOnDropHandle<()>,
}

impl Listener {
    /// Starts to listen on `connector`, which must lead to the primary directly, and rings `tail`.
    pub fn start(connector: &Connector, agreement: &Agreement, tail: &Tail, vital: &Vital) -> Self {
        let deaf = Some(("notifications are not heard yet".to_owned(), Instant::now()));
        let (tell, hearing) = watch::channel(Hearing { deaf, blocker: None, schema: None });
        let ear = Ear {
            connector: connector.clone(),
            agreement: agreement.clone(),
            tail: tail.clone(),
            tell,
        };
        Self { hearing, _task: vital.spawn("listener", ear.run()) }
    }

    /// Registers the listener's metrics.
    pub fn register(&self, registry: &mut Registry) {
        let hearing = self.hearing.clone();
        registry.gauge(
            "relay_listener_proven",
            "Whether it is proven that notifications arrive.",
            move || i64::from(hearing.borrow().deaf.is_none()),
        );
    }

    /// What it knows now.
    pub fn hearing(&self) -> Hearing {
        self.hearing.borrow().clone()
    }
}

struct Ear {
    connector: Connector,
    agreement: Agreement,
    tail: Tail,
    tell: watch::Sender<Hearing>,
}

impl Ear {
    async fn run(self) {
        let mut reconnect = Reconnect::new("listener");
        loop {
            let Err(reason) = self.listen(&mut reconnect).await;
            self.agreement.note_server("listener", None);
            self.tell.send_modify(|hearing| {
                let since = hearing.deaf.take().map_or_else(Instant::now, |(_, since)| since);
                *hearing =
                    Hearing { deaf: Some((reason.clone(), since)), blocker: None, schema: None };
            });
            // Until bells are heard again the tail looks more often.
            self.tail.set_deaf(true);
            reconnect.failed(&reason).await;
        }
    }

    /// Listens until it cannot; says why.
    async fn listen(&self, reconnect: &mut Reconnect) -> Result<Infallible, String> {
        let (heard, mut proofs) = watch::channel(String::new());
        let tail = self.tail.clone();
        // Every replica proves on the same channel: only this one's own are its proofs.
        let own = format!("{PROOF}{:016x} ", fastrand::u64(..));
        let mark = own.clone();
        let notified = move |payload: &str| match payload.strip_prefix(PROOF) {
            Some(_) if payload.starts_with(&mark) => drop(heard.send_replace(payload.to_owned())),
            Some(_) => {}
            None => tail.doorbell(),
        };
        let session =
            self.connector.connect_with("listener", notified).await.map_err(|e| e.to_string())?;
        let prover = self.connector.connect("prover").await.map_err(|error| error.to_string())?;
        let outcome = self.listen_on(&session, &prover, &own, &mut proofs, reconnect).await;
        // A LISTEN that is given up, or a look, must not go on in the server beside the next.
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
    ) -> Result<Infallible, String> {
        self.look(session, prover).await?;
        self.hear(session, prover).await?;
        for _ in 0..PROOFS_AT_START {
            prove(prover, own, proofs).await?;
        }
        reconnect.succeeded();
        self.agreement.note_server("listener", Some(session.place.clone()));
        // Only now: what is committed after LISTEN rings, and what was before is read.
        self.tail.set_deaf(false);
        for look in 1_u32.. {
            let blocker = in_time("the look at the locks", store::blocker(prover)).await?;
            if let Some(blocker) = blocker.as_ref().filter(|blocker| blocker.is_frozen_relay()) {
                tracing::warn!(
                    pid = blocker.pid,
                    "{blocker}; it is a relay that takes no answer: its session is ended"
                );
                in_time("ending a frozen relay's session", store::terminate(prover, blocker.pid))
                    .await?;
            }
            let schema = match timeout(CHECK_DEADLINE, migrate::verify(&prover.client)).await {
                Ok(Err(MigrateError::Database(error))) => return Err(store::explain(&error)),
                Ok(verified) => verified.err().map(|error| error.to_string()),
                Err(_) => {
                    return Err("the look at the migrations was not answered in time".to_owned());
                }
            };
            self.tell(blocker, schema);
            tokio::select! {
                () = session.ended() => return Err("the connection was lost".to_owned()),
                () = prover.ended() => return Err("the connection that proves it was \
                     lost".to_owned()),
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            self.look(session, prover).await?;
            if look.is_multiple_of(LOOKS_A_PROOF) {
                prove(prover, own, proofs).await?;
            }
        }
        Err("it has looked for longer than anything lives".to_owned())
    }

    /// Whether both connections lead to the server that the tail reads.
    async fn look(&self, session: &Session, prover: &Session) -> Result<(), String> {
        for (session, what) in
            [(session, "the listening connection"), (prover, "the connection that proves it")]
        {
            let epoch =
                in_time("the look at the epoch", store::current_epoch(&session.client)).await?;
            if !self.agreement.settles_on(&epoch, DISPUTE_PATIENCE).await {
                return Err(format!(
                    "{what} leads to {}, and events are read from another server, or not at all",
                    session.place
                ));
            }
        }
        Ok(())
    }

    /// Sends LISTEN, and waits for it as long as the server works on it: where the queue of
    /// notifications is long it may take many seconds, and to begin again would take as long.
    async fn hear(&self, session: &Session, prover: &Session) -> Result<(), String> {
        let listen = format!("LISTEN {CHANNEL}");
        let mut listening = std::pin::pin!(session.client.batch_execute(&listen));
        loop {
            tokio::select! {
                heard = &mut listening => {
                    return heard.map_err(|error| format!("LISTEN: {}", store::explain(&error)));
                }
                () = session.ended() => return Err("the connection was lost at LISTEN".to_owned()),
                () = tokio::time::sleep(CHECK_DEADLINE) => {}
            }
            let works =
                in_time("the look at LISTEN", store::is_active(prover, session.backend_pid))
                    .await?;
            if !works {
                return Err(
                    "LISTEN was not answered, and the server does not work on it".to_owned()
                );
            }
        }
    }

    fn tell(&self, blocker: Option<Blocker>, schema: Option<String>) {
        if let Some(blocker) = &blocker
            && let Some(due) = BLOCKED.met(&blocker.cause())
        {
            tracing::warn!(pid = blocker.pid, application = blocker.application, "{blocker}{due}");
        }
        if let Some(wrong) = &schema
            && let Some(due) = SCHEMA.met(wrong)
        {
            tracing::error!("{wrong}{due}");
        }
        self.tell.send_replace(Hearing { deaf: None, blocker, schema });
    }
}
/// Rings from `prover` and waits until it is heard.
async fn prove(
    prover: &Session,
    own: &str,
    proofs: &mut watch::Receiver<String>,
) -> Result<(), String> {
    let nonce = format!("{own}{:016x}", fastrand::u64(..));
    in_time("the bell", store::notify(prover, &nonce)).await?;
    match timeout(CHECK_DEADLINE, proofs.wait_for(|heard| *heard == nonce)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err("the connection was lost".to_owned()),
        Err(_) => Err(format!(
            "a bell was not heard within {} s; does --listen-url (or --database-url) lead through \
                 a pooler? It must lead to \
             the database directly",
            CHECK_DEADLINE.as_secs()
        )),
    }
}

async fn in_time<T>(
    what: &str,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, String> {
    match timeout(CHECK_DEADLINE, answer).await {
        Ok(answer) => answer.map_err(|error| format!("{what}: {}", store::explain(&error))),
        Err(_) => Err(format!("{what} was not answered within {} s", CHECK_DEADLINE.as_secs())),
    }
}
