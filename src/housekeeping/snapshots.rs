//! Writes the snapshots of class state.
//!
//! # The rule
//!
//! A snapshot states: "every event of this class up to this id is in these rows". `state_through`
//! states: "that is true of every class, up to this id". Both count only under the nonce that they
//! are stamped with. A replica that loads a class believes them. So neither may ever state too
//! much, in whatever order the nonce is renewed, events are deleted, leaders change, processes die,
//! and more classes get events than the dirty set can hold. If they state too little, it costs a
//! scan of the table, or a page of events.
//!
//! 1. *A round begins at one moment.* The tail's position, the dirty classes, and the flag that
//!    there are more of them are taken together. Then every event up to the position is in a dirty
//!    class, or covered by the flag, or in a snapshot. The flag is a debt: a scan of the table is
//!    owed until a round with a scan has been written completely.
//! 2. *The log's version is the epoch and the number of deletions.* Every transaction that writes
//!    first locks `progress_log` and compares the version with the round's. Until it commits, the
//!    nonce cannot be renewed and events cannot be deleted. Rows are stamped with the nonce that
//!    was compared. Under another version nothing is written, and the round counts for nothing.
//! 3. *`state_through` moves only from where it was read.* The round reads it, and a scan finds the
//!    classes with events after it. If it is of another nonce, the round scans from 0. At the end
//!    of the round it is written only if it has not changed since.
//! 4. *Changes are written only onto the snapshot that they are changes of.* The transaction reads
//!    up to where the class's row goes. If that is not where this replica's changes begin (another
//!    leader wrote, the row is void, or it is not known whether the last write was committed), all
//!    rows of the class are deleted, and the whole class is written.
//! 5. *A snapshot never goes back.* If the row goes further than the class in memory (this
//!    replica's tail is behind that of the leader before), the class waits. Otherwise
//!    `state_through` could be greater than the id of a row that lacks events.
//! 6. *Classes dropped from memory end the round.* The tail drops classes when the epoch changes
//!    and when events are deleted. A round that has begun may then no longer state that they are
//!    written.
//! 7. *A class that a scan finds is written*, even if this replica believes that it has written it.
//!    Snapshots do not wait for the disk, so a crash of the server can undo the newest of them.
//!
//! `tests/model` checks this rule in every state that can be reached, for small numbers.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout};
use tokio_postgres::{Error, Transaction};

use super::task::{
    DEADLINE, Disconnected, SHORT_DEADLINE, Task, TaskError, keep_alive_during, limited,
};
use crate::database::{
    Session, SnapshotStatements, classes_behind, complete_through, delete_void_rows, hold_log,
    lock_class_rows, set_complete_through,
};
use crate::event::{ClassId, EventId};
use crate::repeated::Repeated;
use crate::state::{Classes, Round, TakenChanges, UnsavedChanges};

/// Log lines about rounds that find classes behind, again and again.
static BEHIND: Repeated = Repeated::new();

/// How often snapshots are written at most.
const PERIOD: Duration = Duration::from_secs(1);
/// For each second of writing there are so many seconds of rest, up to [`MAX_REST`].
const REST_SHARE: u32 = 39;
const MAX_REST: Duration = Duration::from_secs(10);
/// Classes in one transaction.
const TRANSACTION_CLASSES: usize = 50;
/// Rows after which a transaction takes no further class.
const TRANSACTION_ROWS: usize = 20_000;
/// Classes that are loaded at once.
const LOADS: usize = 2;

/// The task of the leader's that writes the snapshots.
pub(super) struct SnapshotWriter {
    classes: Classes,
    statements: SnapshotStatements,
    /// Whether the table has to be scanned for classes that are not known to be dirty.
    scan_owed: bool,
    /// The position of the last round that was complete.
    completed: Option<EventId>,
    /// How long the last run wrote.
    writing: Duration,
}

/// However the term ends: changes that are not written by now are found by the next leader's scan.
impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        self.classes.track_changes(false);
    }
}

impl Task for SnapshotWriter {
    fn name(&self) -> &'static str {
        "snapshots"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn rest(&self) -> Duration {
        (self.writing * REST_SHARE).min(MAX_REST)
    }

    fn runs_at_stop(&self) -> bool {
        true
    }

    fn run<'a>(&'a mut self, session: &'a mut Session) -> BoxFuture<'a, Result<(), TaskError>> {
        self.write_round(session).boxed()
    }
}

/// A round that has begun to write.
struct RoundInProgress<'a> {
    session: &'a mut Session,
    round: &'a Round,
    /// The classes that the scan found and that are not written yet.
    behind: HashSet<ClassId>,
    /// Whether nothing kept any class from being written.
    is_complete: bool,
}

impl SnapshotWriter {
    /// Begins with a scan: which classes the leader before has written is not known.
    ///
    /// # Errors
    /// If the statements cannot be prepared.
    pub(super) async fn begin(session: &Session, classes: Classes) -> Result<Self, Error> {
        let statements = SnapshotStatements::prepare(&session.client).await?;
        classes.track_changes(true);
        Ok(Self { classes, statements, scan_owed: true, completed: None, writing: Duration::ZERO })
    }

    /// One round: writes all changes up to the round's position.
    async fn write_round(&mut self, session: &mut Session) -> Result<(), TaskError> {
        self.writing = Duration::ZERO;
        let round = self.classes.begin_round().ok_or(TaskError::TryLater)?;
        self.scan_owed |= round.dirty_overflowed;
        // Without dirty classes too, a round moves `state_through` if the position has moved: a
        // class may have been written further than to the position of the round before.
        let is_behind = self.completed < Some(round.position);
        let is_clean = round.dirty.is_empty() && self.classes.unsaved().is_empty();
        if is_clean && !self.scan_owed && !is_behind {
            return Ok(());
        }
        let before = read_complete_through(session, &round).await?;
        let scan = self.scan_owed || before.is_none();
        let mut dirty = round.dirty.clone();
        let mut behind = HashSet::new();
        if scan {
            let found = scan_for_classes(session, before).await?;
            dirty.extend(found.iter().cloned());
            dirty.sort_unstable();
            dirty.dedup();
            behind.extend(found);
        }
        let mut progress = RoundInProgress { session, round: &round, behind, is_complete: true };
        self.write_classes(&mut progress, &dirty).await?;
        let RoundInProgress { session, behind, is_complete, .. } = progress;
        // A class that was dropped from memory meanwhile may not be among the unsaved ones any
        // more.
        if !is_complete || !behind.is_empty() || !self.classes.is_undisturbed(&round) {
            return Err(TaskError::TryLater);
        }
        // If the leader before was further than this replica's tail, its statement remains.
        let is_ahead = before.is_some_and(|before| before >= round.position);
        if !is_ahead {
            advance_complete_through(session, &round, before).await?;
        }
        if scan {
            self.scan_owed = false;
            delete_all_void_rows(session, &round).await?;
        }
        self.classes.end_round(&round);
        self.completed = Some(round.position);
        Ok(())
    }

    /// Loads the dirty classes and writes all unsaved ones. A relay that begins on a long history
    /// has more classes to write than fit into memory, so it writes in between.
    async fn write_classes(
        &mut self,
        progress: &mut RoundInProgress<'_>,
        dirty: &[ClassId],
    ) -> Result<(), TaskError> {
        let mut loaded = 0;
        for some in dirty.chunks(LOADS) {
            if loaded >= TRANSACTION_CLASSES || self.classes.is_memory_full() {
                self.write_unsaved(progress).await?;
                self.classes.sweep();
                loaded = 0;
            }
            progress.is_complete &= keep_alive_during(progress.session, self.load(some)).await?;
            self.classes.mark_unsaved(some.iter().filter(|&class| progress.behind.contains(class)));
            loaded += some.len();
        }
        self.write_unsaved(progress).await
    }

    /// Loads these classes. Returns whether all of them are live now.
    async fn load(&self, classes: &[ClassId]) -> bool {
        let loads = classes.iter().map(|class| {
            let (classes, class) = (self.classes.clone(), class.clone());
            async move { classes.load(&class).await.is_ok() }
        });
        let mut loads = futures::stream::iter(loads.collect::<Vec<_>>()).buffer_unordered(LOADS);
        let mut all = true;
        while let Some(is_live) = loads.next().await {
            all &= is_live;
        }
        all
    }

    /// Writes every class in memory with events that its snapshot does not hold.
    async fn write_unsaved(&mut self, progress: &mut RoundInProgress<'_>) -> Result<(), TaskError> {
        let began = Instant::now();
        let unsaved = self.classes.unsaved();
        let mut rest = &unsaved[..];
        while !rest.is_empty() {
            let write = self.write_transaction(progress, rest);
            let written = timeout(DEADLINE, write).await;
            rest = &rest[written.map_err(|_| Disconnected::late(DEADLINE))??..];
        }
        if !unsaved.is_empty() {
            let (classes, elapsed) = (unsaved.len(), began.elapsed());
            tracing::debug!(classes, ?elapsed, "snapshots are written");
        }
        self.writing += began.elapsed();
        Ok(())
    }

    /// Writes the first of these classes in one transaction. Returns how many it has dealt with.
    async fn write_transaction(
        &self,
        progress: &mut RoundInProgress<'_>,
        classes: &[ClassId],
    ) -> Result<usize, TaskError> {
        let classes = &classes[..classes.len().min(TRANSACTION_CLASSES)];
        let round = progress.round;
        let transaction = begin(progress.session).await?;
        let nonce = hold_version(&transaction, round).await?;
        let locking = lock_class_rows(&transaction, classes, &nonce);
        let snapshots = limited(SHORT_DEADLINE, locking).await?;
        let mut written: Vec<(&ClassId, Box<UnsavedChanges>)> = Vec::with_capacity(classes.len());
        let (mut taken, mut rows) = (0, 0);
        for class in classes {
            // One large class may take most of the deadline by itself.
            if rows >= TRANSACTION_ROWS {
                break;
            }
            taken += 1;
            let snapshot_through = snapshots.get(class).copied();
            match self.classes.take_changes(class, round, snapshot_through) {
                TakenChanges::Nothing => {}
                TakenChanges::Changes(mut unsaved) => {
                    // The rows are dropped before the commit: they may be those of a large class.
                    let changes = std::mem::take(&mut unsaved.changes);
                    rows += changes.rows.students.len()
                        + changes.rows.cells.len()
                        + changes.rows.student_cells.len();
                    let write = self.statements.write(&transaction, &nonce, class, &changes);
                    write.await.map_err(|error| TaskError::of(&error))?;
                    written.push((class, unsaved));
                }
                TakenChanges::SnapshotIsAhead | TakenChanges::NotInMemory => {
                    progress.is_complete = false;
                }
            }
        }
        transaction.commit().await.map_err(|error| TaskError::of(&error))?;
        for (class, unsaved) in &written {
            self.classes.saved(class, round, unsaved);
            progress.behind.remove(*class);
        }
        Ok(taken)
    }
}

async fn begin(session: &mut Session) -> Result<Transaction<'_>, TaskError> {
    limited(SHORT_DEADLINE, session.client.transaction()).await
}

async fn commit(transaction: Transaction<'_>) -> Result<(), TaskError> {
    limited(SHORT_DEADLINE, transaction.commit()).await
}

/// Holds the log at the round's version until the transaction ends. Returns the nonce.
async fn hold_version(transaction: &Transaction<'_>, round: &Round) -> Result<String, TaskError> {
    let nonce = limited(SHORT_DEADLINE, hold_log(transaction, &round.version)).await?;
    nonce.ok_or(TaskError::TryLater)
}

/// Up to where every snapshot is complete, if that is known under the round's nonce.
async fn read_complete_through(
    session: &mut Session,
    round: &Round,
) -> Result<Option<EventId>, TaskError> {
    let transaction = begin(session).await?;
    let nonce = hold_version(&transaction, round).await?;
    let through = limited(SHORT_DEADLINE, complete_through(&transaction, &nonce)).await?;
    commit(transaction).await?;
    Ok(through)
}

/// The classes with events that their snapshots do not hold, when every snapshot is complete up to
/// `through`.
async fn scan_for_classes(
    session: &mut Session,
    through: Option<EventId>,
) -> Result<Vec<ClassId>, TaskError> {
    let scan = classes_behind(&mut session.client, through.unwrap_or(EventId::NONE));
    let found = limited(DEADLINE, scan).await?;
    if !found.is_empty()
        && let Some(due) = BEHIND.met("behind")
    {
        let classes = found.len();
        tracing::info!(classes, "classes have events that their snapshots do not hold{due}");
    }
    Ok(found)
}

/// Writes that every snapshot is complete up to the round's position.
async fn advance_complete_through(
    session: &mut Session,
    round: &Round,
    before: Option<EventId>,
) -> Result<(), TaskError> {
    let transaction = begin(session).await?;
    let nonce = hold_version(&transaction, round).await?;
    let set = set_complete_through(&transaction, &nonce, before, round.position);
    if !limited(SHORT_DEADLINE, set).await? {
        return Err(TaskError::TryLater);
    }
    commit(transaction).await
}

/// Deletes the rows of snapshots that count for nothing: by now, every class that has events has
/// another.
async fn delete_all_void_rows(session: &mut Session, round: &Round) -> Result<(), TaskError> {
    loop {
        let transaction = begin(session).await?;
        let nonce = hold_version(&transaction, round).await?;
        let rows = limited(DEADLINE, delete_void_rows(&transaction, &nonce)).await?;
        commit(transaction).await?;
        if rows == 0 {
            return Ok(());
        }
        tracing::debug!(rows, "rows of void snapshots are deleted");
    }
}
