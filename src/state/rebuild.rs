//! Making a class's snapshot from its events again, and comparing it with the stored one.

use std::collections::BTreeMap;
use std::fmt;

use futures::TryStreamExt;
use tokio_postgres::{Error, Transaction};

use super::fold::class::ClassState;
use crate::database::{
    CellRow, Changes, ClassRow, LessonRow, MinuteRow, Session, Snapshot, SnapshotStatements,
    StoredSnapshot, StudentCellRow, StudentRow, at_one_moment, begin_version_without, class_events,
    classes_with_events, classes_with_snapshots, explain, read_in,
};
use crate::event::{ClassId, EventId};

/// Differences that are named; further ones are counted.
const NAMED: usize = 10;

/// A row that differs from the one that the events make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) table: &'static str,
    /// The row's key.
    pub(crate) key: String,
    pub(crate) kind: DifferenceKind,
}

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DifferenceKind {
    /// The events make it, and it is not stored.
    Missing,
    /// It is stored, and the events do not make it.
    Extra,
    /// Its columns are others than those that the events make.
    Other,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let difference = match self.kind {
            DifferenceKind::Missing => "is missing",
            DifferenceKind::Extra => "should not be there",
            DifferenceKind::Other => "is not as the events make it",
        };
        write!(f, "{} {} {difference}", self.table, self.key)
    }
}

/// The result for one class.
#[derive(Debug)]
pub(crate) struct Rebuilt {
    /// Events folded.
    pub(crate) events: i64,
    /// The snapshot goes up to here.
    pub(crate) through: EventId,
    /// Whether there was a snapshot to compare with. A class without a row and without events up to
    /// the id of all snapshots has nothing to compare: its events may all be later.
    pub(crate) compared: bool,
    /// How many rows differed.
    pub(crate) count: usize,
    /// The first of them.
    pub(crate) differences: Vec<Difference>,
}

/// Why a class's snapshot could not be rebuilt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RebuildError {
    /// A statement failed.
    #[error("{}", explain(.0))]
    Database(Error),
    /// `progress_log` has no row.
    #[error(
        "progress_log is empty: restore its one row, or apply the migrations to a fresh database"
    )]
    NoLog,
    /// The epoch was renewed, or events were deleted, at each attempt.
    #[error("the log was changed while the events were read, {ATTEMPTS} times: try again")]
    Changed,
}

// Without #[from], which would make it the source as well: the text has the whole chain already.
impl From<Error> for RebuildError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// How often a class is tried while the log changes.
const ATTEMPTS: usize = 5;

/// Rebuilds snapshots.
#[derive(Debug)]
pub(crate) struct Rebuilder {
    session: Session,
    statements: SnapshotStatements,
}

impl Rebuilder {
    /// Prepares `session` for it.
    ///
    /// # Errors
    /// If the connection is lost.
    pub(crate) async fn new(session: Session) -> Result<Self, Error> {
        let statements = SnapshotStatements::prepare(&session.client).await?;
        Ok(Self { session, statements })
    }

    /// Every class that has events or a snapshot.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) async fn classes(&mut self) -> Result<Vec<ClassId>, Error> {
        let client = &mut self.session.client;
        let mut classes = classes_with_events(client).await?;
        classes.extend(classes_with_snapshots(&*client).await?);
        classes.sort_unstable();
        classes.dedup();
        Ok(classes)
    }

    /// Folds a class's events up to the id that its snapshot goes to, compares, and, with `write`,
    /// writes the rows that the events make if they differ. No other task waits while the events
    /// are read, but for the last few. Replicas that run then load the class again.
    ///
    /// # Errors
    /// If a statement fails, or the log changes at each attempt.
    pub(crate) async fn rebuild(
        &mut self,
        class: &ClassId,
        write: bool,
    ) -> Result<Rebuilt, RebuildError> {
        for _ in 0..ATTEMPTS {
            if let Some(rebuilt) = self.try_rebuild(class, write).await? {
                return Ok(rebuilt);
            }
        }
        Err(RebuildError::Changed)
    }

    /// The same; `None` if the log has changed meanwhile.
    async fn try_rebuild(
        &mut self,
        class: &ClassId,
        write: bool,
    ) -> Result<Option<Rebuilt>, RebuildError> {
        let client = &mut self.session.client;
        let transaction = at_one_moment(client).await?;
        let stored = read_in(&transaction, class).await?.ok_or(RebuildError::NoLog)?;
        let StoredSnapshot { snapshot: mut stored, row_through, version } = stored;
        let compared = row_through.is_some() || stored.class.through > EventId::NONE;
        let mut state = ClassState::default();
        // If there is no snapshot, the first one is made of all events.
        let through = if write && !compared { EventId::MAX } else { stored.class.through };
        fold(&transaction, class, &mut state, through).await?;
        transaction.commit().await?;
        let through = if through == EventId::MAX { state.last_event() } else { through };
        stored.sort();
        let made = state.snapshot(through);
        let (count, differences) = if compared { compare(&stored, &made) } else { (0, Vec::new()) };
        let events = made.class.events;
        let checked = compared && (row_through.is_some() || events > 0);
        let rebuilt = Rebuilt { events, through, compared: checked, count, differences };
        if !write || compared && count == 0 || !compared && state.events() == 0 {
            return Ok(Some(rebuilt));
        }
        let transaction = self.session.client.transaction().await?;
        // From here on the leader waits.
        let Some(nonce) = begin_version_without(&transaction, &version, class).await? else {
            return Ok(None);
        };
        // The leader may have written a later snapshot meanwhile.
        let stored = read_in(&transaction, class).await?.ok_or(RebuildError::NoLog)?;
        let through = stored.snapshot.class.through.max(through);
        fold(&transaction, class, &mut state, through).await?;
        let changes = Changes { whole: true, rows: state.snapshot(through), ..Changes::default() };
        self.statements.write(&transaction, &nonce, class, &changes).await?;
        transaction.commit().await?;
        Ok(Some(rebuilt))
    }
}

async fn fold(
    transaction: &Transaction<'_>,
    class: &ClassId,
    state: &mut ClassState,
    through: EventId,
) -> Result<(), Error> {
    loop {
        let after = state.last_event();
        let mut events = std::pin::pin!(class_events(transaction, class, after, through).await?);
        while let Some(row) = events.try_next().await?
            && !state.needs_refold()
        {
            state.fold(&row.event()?);
        }
        if !state.needs_refold() {
            return Ok(());
        }
        state.begin_refold();
    }
}

/// The differences between two snapshots whose rows are sorted.
fn compare(stored: &Snapshot, made: &Snapshot) -> (usize, Vec<Difference>) {
    let mut found = Found::default();
    // Both go up to the same id: the stored row's own id is not compared.
    if (ClassRow { through: made.class.through, ..stored.class.clone() }) != made.class {
        found.add("class_state", String::new(), DifferenceKind::Other);
    }
    let key = |row: &StudentRow| format!("{:?}", row.student_id);
    found.rows("student_state", &stored.students, &made.students, key);
    let key = |row: &CellRow| format!("{:?}, {:?}", row.notebook_path, row.cell_id);
    found.rows("cell_state", &stored.cells, &made.cells, key);
    let key = |row: &StudentCellRow| {
        format!("{:?}, {:?}, {:?}", row.student_id, row.notebook_path, row.cell_id)
    };
    found.rows("student_cell_state", &stored.student_cells, &made.student_cells, key);
    let key = |row: &MinuteRow| row.start.to_rfc3339();
    found.rows("activity_state", &stored.minutes, &made.minutes, key);
    let key = |row: &LessonRow| row.first_event.0.to_string();
    found.rows("lesson_state", &stored.lessons, &made.lessons, key);
    (found.count, found.differences)
}

#[derive(Default)]
struct Found {
    count: usize,
    differences: Vec<Difference>,
}

impl Found {
    fn add(&mut self, table: &'static str, key: String, kind: DifferenceKind) {
        self.count += 1;
        if self.differences.len() < NAMED {
            self.differences.push(Difference { table, key, kind });
        }
    }

    /// Compares rows by their keys.
    fn rows<R: PartialEq>(
        &mut self,
        table: &'static str,
        stored: &[R],
        made: &[R],
        key: impl Fn(&R) -> String,
    ) {
        let stored: BTreeMap<String, &R> = stored.iter().map(|row| (key(row), row)).collect();
        let made: BTreeMap<String, &R> = made.iter().map(|row| (key(row), row)).collect();
        for (name, row) in &made {
            match stored.get(name) {
                None => self.add(table, name.clone(), DifferenceKind::Missing),
                Some(other) if other != row => self.add(table, name.clone(), DifferenceKind::Other),
                Some(_) => {}
            }
        }
        for name in stored.keys().filter(|name| !made.contains_key(*name)) {
            self.add(table, name.clone(), DifferenceKind::Extra);
        }
    }
}
