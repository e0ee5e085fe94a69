//! Writes the snapshots: one replica at a time, elected by a lock that ends with its connection.
//!
//! # The rule
//!
//! A snapshot says: "every event of this class up to this id is in these rows". `state_through`
//! says: "that holds for every class, up to this id". Both count only under the nonce that they are
//! stamped with. Whoever loads a class believes them. So they must never say too much, in whatever
//! order the nonce is renewed, events are deleted, leaders change, processes die, and more classes
//! are heard of than can be remembered. What they say too little costs a scan, or a page of events.
//!
//! 1. *A round begins at one moment.* The position of the tail, the classes that are dirty, and the
//!    flag that there are more of them are taken together. Every event up to the position is then
//!    in a dirty class, or covered by the flag, or in a snapshot. The flag is a debt: a scan of the
//!    table is owed until a round with a scan has been written completely.
//! 2. *The log's version is the epoch and the number of deletions.* Every transaction that writes
//!    first locks `progress_log` and compares the version with the round's. Nobody can renew the
//!    nonce or delete events until it commits. Rows are stamped with the nonce that was compared.
//!    With another version nothing is written, and the round counts for nothing.
//! 3. *`state_through` moves only from where it was read.* The round reads it, and a scan finds the
//!    classes with events after it. Where it is of another nonce, the round scans from 0. At the
//!    end it is written only if it still stands there.
//! 4. *Changes are written only onto the snapshot that they are changes of.* The transaction reads
//!    how far the class's row goes. If that is not where this replica's changes begin (another
//!    leader wrote, the row is void, nobody knows whether the last write was committed), all rows
//!    of the class are deleted and written.
//! 5. *A snapshot never goes back.* Where the row goes further than what is in memory (this
//!    replica's tail lags behind the leader's before it), the class waits. Otherwise
//!    `state_through` could lie beyond a row that lacks events.
//! 6. *What is dropped from memory ends the round.* The tail drops classes when the epoch changes
//!    and when events are deleted. A round that is under way may no longer claim to have written
//!    them.
//!
//! 7. *What a scan finds is written*, whatever this replica believes to have written. Snapshots do
//!    not wait for the disk, so a crash of the server can undo the newest of them.
//!
//! `tests/model` checks this rule in every state that it can come to, for small numbers.
//!
//! # The leader
//!
//! The lock is the session's, and the leader writes on that session alone: what it sends after the
//! session has ended is written by nobody. The session ends within 15 s of the leader's last word
//! (see `store::prepare_leader`): the leader says something every few seconds while it rests or
//! loads classes. The server's own limits do not see a leader that froze in the middle of a
//! message; whoever waits to be elected does, and ends that session.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::classes::Classes;
use super::live::{Taken, Unsaved};
use super::unsaved::Round;
use crate::backoff::Reconnect;
use crate::event::ClassId;
use crate::repeated::Repeated;
use crate::store::{
    Agreement, Connector, DISPUTE_PATIENCE, LEADER_SILENCE, Session, SilentLeader, SnapshotWriter,
    classes_behind, current_epoch, end_silent_leader, explain, hold_log, is_lock_timeout,
    kept_through, prepare_leader, remove_void, say_something, set_kept_through, silent_leader,
    standing_snapshots, try_elect,
};
use crate::supervisor::Supervisor;

/// Log lines of rounds that begin again and again.
static BEHIND: Repeated = Repeated::new();

/// How often a replica that is not elected asks again.
const ELECTION_TICK: Duration = Duration::from_secs(1);
/// How often snapshots are written at most.
const WRITE_TICK: Duration = Duration::from_secs(1);
/// Under load they are written less often: for each second of writing there are so many without, a
/// few in any case.
const REST_SHARE: u32 = 39;
const MAX_REST: Duration = Duration::from_secs(10);
/// How often classes that nobody asks for are looked for.
const SWEEP_TICK: Duration = Duration::from_secs(10);
/// Longest the database may take for a scan, or for the snapshots of one transaction.
const DEADLINE: Duration = Duration::from_secs(60);
/// Longest it may take for anything else: beyond this the session is given up.
const SHORT_DEADLINE: Duration = Duration::from_secs(11);
/// How often the leader says something while it has nothing to write.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// Classes in one transaction.
const TRANSACTION_CLASSES: usize = 50;
/// Rows after which a transaction takes no further class.
const TRANSACTION_ROWS: usize = 20_000;
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
    pub(crate) fn start(
        connector: &Connector,
        agreement: &Agreement,
        classes: &Classes,
        supervisor: &Supervisor,
    ) -> Self {
        let stop = CancellationToken::new();
        let keeping = Keeping {
            connector: connector.clone(),
            agreement: agreement.clone(),
            classes: classes.clone(),
            stop: stop.clone(),
        };
        Self { task: supervisor.spawn("state", keeping.run()), stop }
    }

    /// Writes what is unwritten, if this replica is the one, and ends; at `deadline` in any case.
    pub async fn stop(self, deadline: Instant) {
        self.stop.cancel();
        let _ = tokio::time::timeout_at(deadline, self.task).await;
    }
}

struct Keeping {
    connector: Connector,
    agreement: Agreement,
    classes: Classes,
    stop: CancellationToken,
}

impl Keeping {
    async fn run(self) {
        let mut reconnect = Reconnect::new("state");
        while !self.stop.is_cancelled() {
            let reason = match self.connector.connect("state").await {
                Ok(session) => self.keep_while_agreed(session, &mut reconnect).await,
                Err(error) => Some(error.to_string()),
            };
            self.agreement.note_server("state", None);
            // Whatever was not written by now is found again by whoever is elected next.
            self.classes.remember(false);
            let Some(reason) = reason else { return };
            tokio::select! {
                () = reconnect.failed(&reason) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Keeps as long as the connection leads to the server that the tail reads.
    async fn keep_while_agreed(
        &self,
        session: Session,
        reconnect: &mut Reconnect,
    ) -> Option<String> {
        let place = session.place.clone();
        let epoch = match within(SHORT_DEADLINE, current_epoch(&session.client)).await {
            Ok(epoch) => epoch,
            Err(reason) => return Some(reason),
        };
        if !self.agreement.settles_on(&epoch, DISPUTE_PATIENCE).await {
            return Some(format!(
                "the connection leads to {place}, and events are read from another server"
            ));
        }
        self.agreement.note_server("state", Some(place));
        tokio::select! {
            ended = self.keep(session, reconnect) => ended,
            () = self.agreement.departs_from(&epoch) => Some("the log goes on in another \
                 epoch".to_owned()),
        }
    }

    /// Waits to be elected and then writes, until the connection fails; says why. `None`: it was
    /// stopped.
    async fn keep(&self, session: Session, reconnect: &mut Reconnect) -> Option<String> {
        let mut swept = Instant::now();
        if let Err(reason) = within(SHORT_DEADLINE, prepare_leader(&session)).await {
            return Some(reason);
        }
        let mut silent = Silent::default();
        loop {
            match within(SHORT_DEADLINE, try_elect(&session)).await {
                Ok(true) => break,
                Ok(false) => reconnect.succeeded(),
                Err(reason) => return Some(reason),
            }
            if let Err(reason) = within(SHORT_DEADLINE, silent.look(&session)).await {
                return Some(reason);
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
            Err(_) => return Some(late(DEADLINE)),
        };
        self.classes.remember(true);
        let mut scan_owed = true;
        loop {
            let began = Instant::now();
            let stopping = self.stop.is_cancelled();
            let mut writing = Duration::ZERO;
            match self.write(&mut writer, &mut scan_owed, &mut writing).await {
                // Not at the election: a leader that can write nothing must not be elected again at
                // once.
                Ok(()) => reconnect.succeeded(),
                Err(Stale::Later) => {}
                Err(Stale::Failed(reason)) => return Some(reason),
            }
            if stopping {
                return None;
            }
            self.sweep(&mut swept);
            let rest = (writing * REST_SHARE)
                .min(MAX_REST)
                .max(WRITE_TICK.saturating_sub(began.elapsed()));
            let resting = async {
                tokio::select! {
                    () = tokio::time::sleep(rest) => {}
                    () = self.stop.cancelled() => {}
                }
            };
            if let Err(Stale::Failed(reason)) = beating(&writer.session, resting).await {
                return Some(reason);
            }
        }
    }

    /// One round: writes all that has changed up to now. `scan_owed`: the table has to be looked
    /// through for classes that were not heard of. `writing` is how long it wrote.
    async fn write(
        &self,
        writer: &mut SnapshotWriter,
        scan_owed: &mut bool,
        writing: &mut Duration,
    ) -> Result<(), Stale> {
        let round = self.classes.begin_round().ok_or(Stale::Later)?;
        *scan_owed |= round.missed;
        let mut dirty = round.dirty.clone();
        let mut behind = HashSet::new();
        if dirty.is_empty() && !*scan_owed && self.classes.unsaved().is_empty() {
            return Ok(());
        }
        let standing = self.standing(writer, &round).await?;
        let scan = *scan_owed || standing.is_none();
        if scan {
            let client = &mut writer.session.client;
            let found = limited(DEADLINE, classes_behind(client, standing.unwrap_or(0))).await?;
            if !found.is_empty()
                && let Some(due) = BEHIND.met("behind")
            {
                tracing::info!(
                    classes = found.len(),
                    "classes have events that their snapshots do not hold{due}"
                );
            }
            dirty.extend(found.iter().cloned());
            dirty.sort_unstable();
            dirty.dedup();
            behind.extend(found);
        }
        let mut complete = true;
        let (mut wrote, mut loaded) = (false, 0);
        for some in dirty.chunks(BRING_IN) {
            if loaded >= TRANSACTION_CLASSES || self.classes.memory().is_full() {
                // A relay that begins on a long history meets more classes than it can hold at
                // once.
                let written = self.write_unsaved(writer, &round, &mut behind, writing).await?;
                (wrote, complete) = (wrote | written.any, complete & written.all);
                self.classes.sweep();
                loaded = 0;
            }
            complete &= beating(&writer.session, self.bring_in(some)).await?;
            self.classes.doubt(some.iter().filter(|&class| behind.contains(class)));
            loaded += some.len();
        }
        let written = self.write_unsaved(writer, &round, &mut behind, writing).await?;
        (wrote, complete) = (wrote | written.any, complete & written.all);
        // What was dropped from memory meanwhile may not be among the unsaved any more.
        complete &= behind.is_empty();
        if !complete || !self.classes.is_undisturbed(&round) {
            return Err(Stale::Later);
        }
        // The leader before may have been further than this replica's tail: then its word stands.
        if (wrote || scan) && standing.is_none_or(|standing| standing < round.id) {
            self.advance(writer, &round, standing).await?;
        }
        if scan {
            *scan_owed = false;
            self.remove_void(writer, &round).await?;
        }
        self.classes.end_round(&round);
        Ok(())
    }

    /// Up to where every snapshot is complete, if that is known under the round's nonce.
    async fn standing(
        &self,
        writer: &mut SnapshotWriter,
        round: &Round,
    ) -> Result<Option<i64>, Stale> {
        let (transaction, _) = limited(SHORT_DEADLINE, writer.begin()).await?;
        let nonce = held(&transaction, round).await?;
        let standing = limited(SHORT_DEADLINE, kept_through(&transaction, &nonce)).await?;
        limited(SHORT_DEADLINE, transaction.commit()).await?;
        Ok(standing)
    }

    /// Every snapshot is complete up to the round's position now.
    async fn advance(
        &self,
        writer: &mut SnapshotWriter,
        round: &Round,
        standing: Option<i64>,
    ) -> Result<(), Stale> {
        let (transaction, _) = limited(SHORT_DEADLINE, writer.begin()).await?;
        let nonce = held(&transaction, round).await?;
        let set = set_kept_through(&transaction, &nonce, standing, round.id);
        if !limited(SHORT_DEADLINE, set).await? {
            return Err(Stale::Later);
        }
        limited(SHORT_DEADLINE, transaction.commit()).await
    }

    /// Rows of snapshots that count for nothing go: every class that has events has another by now.
    async fn remove_void(&self, writer: &mut SnapshotWriter, round: &Round) -> Result<(), Stale> {
        loop {
            let (transaction, _) = limited(SHORT_DEADLINE, writer.begin()).await?;
            let nonce = held(&transaction, round).await?;
            let removed = limited(DEADLINE, remove_void(&transaction, &nonce)).await?;
            limited(SHORT_DEADLINE, transaction.commit()).await?;
            if removed == 0 {
                return Ok(());
            }
            tracing::debug!(rows = removed, "rows of void snapshots are removed");
        }
    }

    /// Writes every class with something that its snapshot does not hold; of those that the scan
    /// found, `behind` keeps the ones that are still to be written.
    async fn write_unsaved(
        &self,
        writer: &mut SnapshotWriter,
        round: &Round,
        behind: &mut HashSet<ClassId>,
        writing: &mut Duration,
    ) -> Result<Written, Stale> {
        let began = Instant::now();
        let unsaved = self.classes.unsaved();
        let mut all = true;
        let mut rest = &unsaved[..];
        while !rest.is_empty() {
            let some = self.write_some(writer, &mut rest, round, behind);
            all &= timeout(DEADLINE, some).await.map_err(|_| Stale::Failed(late(DEADLINE)))??;
        }
        if !unsaved.is_empty() {
            tracing::debug!(classes = unsaved.len(), elapsed = ?began.elapsed(), "snapshots are \
                 written");
        }
        *writing += began.elapsed();
        Ok(Written { any: !unsaved.is_empty(), all })
    }

    /// Whether all of them live now.
    async fn bring_in(&self, classes: &[ClassId]) -> bool {
        let coming = classes.iter().map(|class| {
            let (classes, class) = (self.classes.clone(), class.clone());
            async move { classes.bring_in(&class).await.is_ok() }
        });
        let mut coming =
            futures::stream::iter(coming.collect::<Vec<_>>()).buffer_unordered(BRING_IN);
        let mut complete = true;
        while let Some(came) = coming.next().await {
            complete &= came;
        }
        complete
    }

    /// Writes the first of these in one transaction, which leaves `rest`; whether there was nothing
    /// in the way of any.
    async fn write_some(
        &self,
        writer: &mut SnapshotWriter,
        rest: &mut &[ClassId],
        round: &Round,
        behind: &mut HashSet<ClassId>,
    ) -> Result<bool, Stale> {
        let classes = &rest[..rest.len().min(TRANSACTION_CLASSES)];
        let (transaction, statements) = limited(SHORT_DEADLINE, writer.begin()).await?;
        let nonce = held(&transaction, round).await?;
        let standing =
            limited(SHORT_DEADLINE, standing_snapshots(&transaction, classes, &nonce)).await?;
        let mut written: Vec<(ClassId, Box<Unsaved>)> = Vec::with_capacity(classes.len());
        let mut all = true;
        let (mut taken, mut rows) = (0, 0);
        for class in classes {
            // One large class may take most of the deadline by itself.
            if rows >= TRANSACTION_ROWS {
                break;
            }
            taken += 1;
            let through =
                standing.iter().find(|(other, _)| other == class).map(|&(_, through)| through);
            match self.classes.take_unsaved(class, round, through) {
                Taken::Nothing => {}
                Taken::Unsaved(mut unsaved) => {
                    // Not held until the commit: it may be all of a large class.
                    let changes = std::mem::take(&mut unsaved.changes);
                    rows += changes.rows.students.len()
                        + changes.rows.cells.len()
                        + changes.rows.runs.len();
                    let write = statements.write(&transaction, &nonce, class, &changes);
                    write.await.map_err(|error| Stale::of(&error))?;
                    written.push((class.clone(), unsaved));
                }
                Taken::Behind | Taken::Gone => all = false,
            }
        }
        transaction.commit().await.map_err(|error| Stale::of(&error))?;
        for (class, unsaved) in &written {
            self.classes.saved(class, round, unsaved);
            behind.remove(class);
        }
        *rest = &rest[taken..];
        Ok(all)
    }

    fn sweep(&self, swept: &mut Instant) {
        if swept.elapsed() >= SWEEP_TICK {
            *swept = Instant::now();
            self.classes.sweep();
        }
    }
}

/// What came of the classes that were to be written.
struct Written {
    /// Whether there were any.
    any: bool,
    /// Whether nothing was in the way of any.
    all: bool,
}

/// Why not all was written.
#[derive(Debug)]
enum Stale {
    /// The log is of another version, a class cannot be brought in now, or a lock was in the way:
    /// again in a while.
    Later,
    /// The connection is of no use any more.
    Failed(String),
}

impl Stale {
    fn of(error: &tokio_postgres::Error) -> Self {
        // Somebody deletes events, or renews the nonce, and takes long over it.
        if is_lock_timeout(error) { Self::Later } else { Self::Failed(explain(error)) }
    }
}

/// Holds the log at the round's version; the nonce.
async fn held(
    transaction: &tokio_postgres::Transaction<'_>,
    round: &Round,
) -> Result<String, Stale> {
    limited(SHORT_DEADLINE, hold_log(transaction, &round.version)).await?.ok_or(Stale::Later)
}

/// What the database answers, if it does so in time.
async fn limited<T>(
    deadline: Duration,
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Stale> {
    let answer = timeout(deadline, asked).await.map_err(|_| Stale::Failed(late(deadline)))?;
    answer.map_err(|error| Stale::of(&error))
}

/// The same, where any failure is the connection's end.
async fn within<T>(
    deadline: Duration,
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, String> {
    let answer = timeout(deadline, asked).await.map_err(|_| late(deadline))?;
    answer.map_err(|error| explain(&error))
}

/// Waits for `work`, which is not done on this session, and lets the server know meanwhile that the
/// leader lives.
async fn beating<T>(session: &Session, work: impl Future<Output = T>) -> Result<T, Stale> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            () = tokio::time::sleep(HEARTBEAT) => {}
            () = session.ended() => return Err(Stale::Failed("the connection was lost".to_owned())),
        }
        limited(SHORT_DEADLINE, say_something(session)).await?;
    }
}

/// Looks at a leader that says nothing.
#[derive(Default)]
struct Silent {
    leader: Option<(SilentLeader, Instant)>,
}

impl Silent {
    /// Ends the leader's session if the server has waited for it, in the same state, for
    /// [`LEADER_SILENCE`].
    async fn look(&mut self, session: &Session) -> Result<(), tokio_postgres::Error> {
        let found = silent_leader(session).await?;
        self.leader = match (found, self.leader.take()) {
            (Some(found), Some((before, since))) if found == before => Some((before, since)),
            (Some(found), _) => Some((found, Instant::now())),
            (None, _) => None,
        };
        if let Some((leader, since)) = &self.leader
            && since.elapsed() >= LEADER_SILENCE
        {
            if end_silent_leader(session, leader).await? {
                let silence = since.elapsed();
                tracing::warn!(
                    pid = leader.pid,
                    ?silence,
                    "the replica that keeps the snapshots says nothing: its session is ended, for \
                         another to keep them"
                );
            }
            self.leader = None;
        }
        Ok(())
    }
}

fn late(deadline: Duration) -> String {
    format!("the database took over {} s", deadline.as_secs())
}
