//! Keeps the snapshots: one replica at a time, elected by a lock that ends with its connection.
//!
//! About once a second it writes what has changed, each class's rows and the id that they hold up to in one transaction. It
//! writes on the connection that holds the lock, so nobody writes who is no longer elected. When it dies the next one is
//! elected within seconds and brings in whatever class had events after the last id that held for all.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::classes::Classes;
use super::live::Unsaved;
use crate::backoff::Reconnect;
use crate::event::{ClassId, Epoch};
use crate::store::{
    Connector, Session, SnapshotWriter, classes_after, current_epoch, explain, kept_through,
    set_kept_through, try_elect,
};
use crate::vital::Vital;

/// How often a replica that is not elected asks again.
const ELECTION_TICK: Duration = Duration::from_secs(1);
/// How often snapshots are written at most.
const WRITE_TICK: Duration = Duration::from_secs(1);
/// Under load they are written less often: for each second of writing there are so many without, a few in any case.
const REST_SHARE: u32 = 39;
const MAX_REST: Duration = Duration::from_secs(10);
/// How often classes that nobody asks for are looked for.
const SWEEP_TICK: Duration = Duration::from_secs(10);
/// Longest the database may take for anything here.
const DEADLINE: Duration = Duration::from_secs(60);
/// Classes in one transaction.
const TRANSACTION_CLASSES: usize = 50;
/// Classes brought in at once.
const BRING_IN: usize = 2;

/// The keeper's task.
#[derive(Debug)]
pub struct Keeper {
    task: AbortOnDropHandle<()>,
    stop: CancellationToken,
}

impl Keeper {
    /// Starts it; `connector` must lead to the primary directly.
    pub fn start(connector: &Connector, classes: &Classes, vital: &Vital) -> Self {
        let stop = CancellationToken::new();
        let keeping = Keeping { connector: connector.clone(), classes: classes.clone(), stop: stop.clone() };
        Self { task: vital.spawn("state", keeping.run()), stop }
    }

    /// Writes what is unwritten, if this replica is the one, and ends; at `deadline` in any case.
    pub async fn stop(self, deadline: Instant) {
        self.stop.cancel();
        let _ = tokio::time::timeout_at(deadline, self.task).await;
    }
}

struct Keeping {
    connector: Connector,
    classes: Classes,
    stop: CancellationToken,
}

impl Keeping {
    async fn run(self) {
        let mut reconnect = Reconnect::new("state");
        while !self.stop.is_cancelled() {
            let reason = match self.connector.connect("state").await {
                Ok(session) => self.keep(session, &mut reconnect).await,
                Err(error) => Some(error.to_string()),
            };
            // Whatever was not written by now is found again by whoever is elected next.
            self.classes.remember(false);
            let Some(reason) = reason else { return };
            tokio::select! {
                () = reconnect.failed(&reason) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Waits to be elected and then writes, until the connection fails; says why. `None`: it was stopped.
    async fn keep(&self, session: Session, reconnect: &mut Reconnect) -> Option<String> {
        let mut swept = Instant::now();
        loop {
            match timeout(DEADLINE, try_elect(&session)).await {
                Ok(Ok(true)) => break,
                Ok(Ok(false)) => reconnect.succeeded(),
                Ok(Err(error)) => return Some(explain(&error)),
                Err(_) => return Some(late()),
            }
            self.sweep(&mut swept);
            tokio::select! {
                () = tokio::time::sleep(ELECTION_TICK) => {}
                () = session.ended() => return Some("the connection was lost".to_owned()),
                () = self.stop.cancelled() => return None,
            }
        }
        tracing::info!("this replica keeps the snapshots of class state");
        let mut writer = match timeout(DEADLINE, SnapshotWriter::new(session)).await {
            Ok(Ok(writer)) => writer,
            Ok(Err(error)) => return Some(explain(&error)),
            Err(_) => return Some(late()),
        };
        reconnect.succeeded();
        self.classes.remember(true);
        let mut missed = true;
        loop {
            let began = Instant::now();
            let stopping = self.stop.is_cancelled();
            let mut writing = Duration::ZERO;
            match self.write(&mut writer, missed, &mut writing).await {
                Ok(()) => missed = self.classes.take_missed(),
                Err(Stale::Later) => missed = true,
                Err(Stale::Failed(reason)) => return Some(reason),
            }
            if stopping {
                return None;
            }
            self.sweep(&mut swept);
            let rest = (writing * REST_SHARE).min(MAX_REST).max(WRITE_TICK.saturating_sub(began.elapsed()));
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = writer.session.ended() => return Some("the connection was lost".to_owned()),
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Writes all that has changed up to now. `missed`: classes may have events that were not heard of.
    /// `writing` is how long it wrote.
    async fn write(
        &self,
        writer: &mut SnapshotWriter,
        missed: bool,
        writing: &mut Duration,
    ) -> Result<(), Stale> {
        let position = self.classes.position().ok_or(Stale::Later)?;
        let mut heard = self.classes.heard();
        if missed {
            let client = &mut writer.session.client;
            let scan = async { classes_after(client, kept_through(&*client).await?).await };
            let found = timeout(DEADLINE, scan).await.map_err(|_| Stale::Failed(late()))?;
            let found = found.map_err(|error| Stale::Failed(explain(&error)))?;
            if !found.is_empty() {
                tracing::info!(classes = found.len(), "classes have events that their snapshots do not hold");
            }
            heard.extend(found);
        }
        let mut complete = true;
        let mut brought = 0;
        for some in heard.chunks(BRING_IN) {
            if brought >= TRANSACTION_CLASSES || self.classes.memory().is_full() {
                // A relay that begins on a long history meets more classes than it can hold at once.
                self.write_unsaved(writer, &position.epoch, writing).await?;
                self.classes.sweep();
                brought = 0;
            }
            complete &= self.bring_in(some).await;
            brought += some.len();
        }
        let wrote = self.write_unsaved(writer, &position.epoch, writing).await?;
        if !complete {
            return Err(Stale::Later);
        }
        if wrote || missed {
            let set = timeout(DEADLINE, set_kept_through(&writer.session.client, position.id)).await;
            set.map_err(|_| Stale::Failed(late()))?.map_err(|error| Stale::Failed(explain(&error)))?;
        }
        Ok(())
    }

    /// Writes every class with something that its snapshot does not hold; whether there was any.
    async fn write_unsaved(
        &self,
        writer: &mut SnapshotWriter,
        epoch: &Epoch,
        writing: &mut Duration,
    ) -> Result<bool, Stale> {
        let began = Instant::now();
        let unsaved = self.classes.unsaved();
        for classes in unsaved.chunks(TRANSACTION_CLASSES) {
            let some = self.write_some(writer, classes, epoch);
            timeout(DEADLINE, some).await.map_err(|_| Stale::Failed(late()))??;
        }
        if !unsaved.is_empty() {
            tracing::debug!(classes = unsaved.len(), elapsed = ?began.elapsed(), "snapshots are written");
        }
        *writing += began.elapsed();
        Ok(!unsaved.is_empty())
    }

    /// Whether all of them live now.
    async fn bring_in(&self, classes: &[ClassId]) -> bool {
        let coming = classes.iter().map(|class| {
            let (classes, class) = (self.classes.clone(), class.clone());
            async move { classes.bring_in(&class).await.is_ok() }
        });
        let mut coming = futures::stream::iter(coming.collect::<Vec<_>>()).buffer_unordered(BRING_IN);
        let mut complete = true;
        while let Some(came) = coming.next().await {
            complete &= came;
        }
        complete
    }

    async fn write_some(
        &self,
        writer: &mut SnapshotWriter,
        classes: &[ClassId],
        epoch: &Epoch,
    ) -> Result<(), Stale> {
        let failed = |error: tokio_postgres::Error| Stale::Failed(explain(&error));
        let (transaction, statements) = writer.begin().await.map_err(failed)?;
        if current_epoch(&transaction).await.map_err(failed)? != *epoch {
            // The tail has not noticed yet; what is in memory may be of events that are no more.
            return Err(Stale::Later);
        }
        let mut written: Vec<(ClassId, Unsaved)> = Vec::with_capacity(classes.len());
        for class in classes {
            let Some(mut unsaved) = self.classes.take_unsaved(class, epoch) else { continue };
            // Not held until the commit: it may be all of a large class.
            let changes = std::mem::take(&mut unsaved.changes);
            statements.write(&transaction, class, &changes).await.map_err(failed)?;
            written.push((class.clone(), unsaved));
        }
        transaction.commit().await.map_err(failed)?;
        for (class, unsaved) in &written {
            self.classes.saved(class, unsaved);
        }
        Ok(())
    }

    fn sweep(&self, swept: &mut Instant) {
        if swept.elapsed() >= SWEEP_TICK {
            *swept = Instant::now();
            self.classes.sweep();
        }
    }
}

/// Why not all was written.
enum Stale {
    /// The ids were issued anew, or a class cannot be brought in now: again in a while.
    Later,
    /// The connection is of no use any more.
    Failed(String),
}

fn late() -> String {
    format!("the database took over {} s", DEADLINE.as_secs())
}
