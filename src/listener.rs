//! Hears the doorbell: a connection of its own that LISTENs and does nothing else, and the proof that it does hear.
//!
//! LISTEN can succeed and deliver nothing: through a pooler in transaction mode, or on a connection whose other end is gone
//! without a word. So another connection rings with a nonce, at first more than once, and then every few seconds.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Reconnect;
use crate::migrate::{self, MigrateError};
use crate::store::{self, Blocker, CHANNEL, Connector, Session};
use crate::tail::Tail;
use crate::vital::Vital;

/// How often it is proved that bells are heard.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long a bell, or any answer of the database, may take.
const CHECK_DEADLINE: Duration = Duration::from_secs(5);
/// Bells that must be heard before LISTEN is believed: a pooler may pass on the first by chance.
const PROOFS_AT_START: usize = 2;
/// What the payload of a proof begins with; any other payload is a bell.
const PROOF: &str = "proof ";

/// What the listener knows.
#[derive(Debug, Clone, Default)]
pub struct Hearing {
    /// Whether bells were heard at the last check.
    pub proven: bool,
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
    pub fn start(connector: &Connector, tail: &Tail, vital: &Vital) -> Self {
        let (tell, hearing) = watch::channel(Hearing::default());
        let ear = Ear { connector: connector.clone(), tail: tail.clone(), tell };
        Self { hearing, _task: vital.spawn("listener", ear.run()) }
    }

    /// What it knows now.
    pub fn hearing(&self) -> Hearing {
        self.hearing.borrow().clone()
    }
}

struct Ear {
    connector: Connector,
    tail: Tail,
    tell: watch::Sender<Hearing>,
}

impl Ear {
    async fn run(self) {
        let mut reconnect = Reconnect::new("listener");
        loop {
            let Err(reason) = self.listen(&mut reconnect).await;
            self.tell.send_replace(Hearing::default());
            // What was committed meanwhile must not wait for the next bell.
            self.tail.ring();
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
            None => tail.ring(),
        };
        let session = self.connector.connect_with("listener", notified).await.map_err(|e| e.to_string())?;
        let prover = self.connector.connect("prover").await.map_err(|error| error.to_string())?;
        let listen = format!("LISTEN {CHANNEL}");
        in_time("LISTEN", session.client.batch_execute(&listen)).await?;
        for _ in 0..PROOFS_AT_START {
            prove(&prover, &own, &mut proofs).await?;
        }
        reconnect.succeeded();
        // Only now: what is committed after LISTEN rings, and what was before is read.
        self.tail.ring();
        loop {
            let blocker = in_time("the look at the locks", store::blocker(&prover)).await?;
            let schema = match timeout(CHECK_DEADLINE, migrate::verify(&prover.client)).await {
                Ok(Err(MigrateError::Database(error))) => return Err(store::explain(&error)),
                Ok(verified) => verified.err().map(|error| error.to_string()),
                Err(_) => return Err("the look at the migrations was not answered in time".to_owned()),
            };
            self.tell(blocker, schema);
            tokio::select! {
                () = session.ended() => return Err("the connection was lost".to_owned()),
                () = prover.ended() => return Err("the connection that proves it was lost".to_owned()),
                () = tokio::time::sleep(CHECK_INTERVAL) => {}
            }
            prove(&prover, &own, &mut proofs).await?;
        }
    }

    fn tell(&self, blocker: Option<Blocker>, schema: Option<String>) {
        if let Some(blocker) = &blocker {
            tracing::warn!(pid = blocker.pid, application = blocker.application, "{blocker}");
        }
        if let Some(wrong) = &schema {
            tracing::error!("{wrong}");
        }
        self.tell.send_replace(Hearing { proven: true, blocker, schema });
    }
}

/// Rings from `prover` and waits until it is heard.
async fn prove(prover: &Session, own: &str, proofs: &mut watch::Receiver<String>) -> Result<(), String> {
    let nonce = format!("{own}{:016x}", fastrand::u64(..));
    in_time("the bell", store::notify(prover, &nonce)).await?;
    match timeout(CHECK_DEADLINE, proofs.wait_for(|heard| *heard == nonce)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err("the connection was lost".to_owned()),
        Err(_) => Err(format!(
            "a bell was not heard within {} s; does --listen-url (or --database-url) lead through a pooler? It must lead to \
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
