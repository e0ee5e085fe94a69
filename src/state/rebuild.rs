//! A class's snapshot made anew from its events, and compared with the one that is kept.

use std::fmt;

use futures::TryStreamExt;
use tokio_postgres::{Error, Transaction};

use super::class::ClassState;
use crate::event::ClassId;
use crate::store::{
    Changes, RunsRow, Session, Snapshot, SnapshotWriter, StoredSnapshot, at_one_moment,
    class_events, classes_kept, classes_with_events, explain, read_in, replace_class,
};

/// Differences that are named; the rest is counted.
const NAMED: usize = 10;

/// A row that is not as the events have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// The row's key.
    pub key: String,
    /// What is wrong with it.
    pub kind: Kind,
}

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The events make it, and it is not kept.
    Missing,
    /// It is kept, and the events do not make it.
    Extra,
    /// Its columns are not those that the events make.
    Other,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Missing => "is missing",
            Kind::Extra => "should not be there",
            Kind::Other => "is not as the events make it",
        };
        write!(f, "{} {} {what}", self.table, self.key)
    }
}

/// What came of a class.
#[derive(Debug)]
pub struct Outcome {
    /// Events folded.
    pub events: i64,
    /// Up to this id.
    pub through: i64,
    /// Whether there was a snapshot to compare with, if only one that says that the class has no
    /// events.
    pub compared: bool,
    /// How many rows differed.
    pub count: usize,
    /// The first of them.
    pub differences: Vec<Difference>,
}

/// Why a class's snapshot could not be made anew.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The database's word.
    #[error("{}", explain(.0))]
    Database(Error),
    /// `progress_log` has lost its row.
    #[error(
        "progress_log is empty: restore its one row, or apply the migrations to a fresh database"
    )]
    NoLog,
    /// The epoch was renewed, or events were deleted, each time that it was tried.
    #[error("the log was changed while the events were read, {ATTEMPTS} times: try again")]
    Changed,
}

// Not by #[from], which would make it the source as well: it is said already.
impl From<Error> for RebuildError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// How often a class is tried whose log changes meanwhile.
const ATTEMPTS: usize = 5;

/// Makes snapshots anew.
#[derive(Debug)]
pub struct Rebuilder {
    writer: SnapshotWriter,
}

impl Rebuilder {
    /// On a connection of its own.
    ///
    /// # Errors
    /// The database's.
    pub async fn new(session: Session) -> Result<Self, Error> {
        Ok(Self { writer: SnapshotWriter::new(session).await? })
    }

    /// Every class that has events or a snapshot.
    ///
    /// # Errors
    /// The database's.
    pub async fn classes(&mut self) -> Result<Vec<ClassId>, Error> {
        let client = &mut self.writer.session.client;
        let mut classes = classes_with_events(client).await?;
        classes.extend(classes_kept(&*client).await?);
        classes.sort_unstable();
        classes.dedup();
        Ok(classes)
    }

    /// Folds a class's events up to the id that its snapshot is of, compares, and, if asked to,
    /// writes what the events make. Nobody is kept waiting while the events are read, but for the
    /// last few. Replicas that run read the class anew then.
    ///
    /// # Errors
    /// The database's, or if the log changes too often.
    pub async fn rebuild(&mut self, class: &ClassId, write: bool) -> Result<Outcome, RebuildError> {
        for _ in 0..ATTEMPTS {
            if let Some(outcome) = self.try_rebuild(class, write).await? {
                return Ok(outcome);
            }
        }
        Err(RebuildError::Changed)
    }

    /// `None` if the log has changed meanwhile.
    async fn try_rebuild(
        &mut self,
        class: &ClassId,
        write: bool,
    ) -> Result<Option<Outcome>, RebuildError> {
        let client = &mut self.writer.session.client;
        let transaction = at_one_moment(client).await?;
        let stored = read_in(&transaction, class).await?.ok_or(RebuildError::NoLog)?;
        let StoredSnapshot { snapshot: mut kept, standing, version } = stored;
        let compared = standing.is_some() || kept.class.through > 0;
        let mut state = ClassState::default();
        // Where there is no snapshot the first one is made of all there is.
        let through = if write && !compared { i64::MAX } else { kept.class.through };
        fold(&transaction, class, &mut state, through).await?;
        transaction.commit().await?;
        let through = if through == i64::MAX { state.last_event() } else { through };
        kept.sort();
        let made = state.snapshot(through);
        let (count, differences) = if compared { compare(&kept, &made) } else { (0, Vec::new()) };
        let outcome = Outcome { events: made.class.events, through, compared, count, differences };
        if !write || compared && count == 0 || !compared && state.events() == 0 {
            return Ok(Some(outcome));
        }
        let (transaction, statements) = self.writer.begin().await?;
        // From here on the relay's leader waits.
        let Some(nonce) = replace_class(&transaction, &version, class).await? else {
            return Ok(None);
        };
        // What it has written meanwhile is of a later id.
        let standing = read_in(&transaction, class).await?.ok_or(RebuildError::NoLog)?;
        let through = standing.snapshot.class.through.max(through);
        fold(&transaction, class, &mut state, through).await?;
        let changes = Changes { whole: true, rows: state.snapshot(through), ..Changes::default() };
        statements.write(&transaction, &nonce, class, &changes).await?;
        transaction.commit().await?;
        Ok(Some(outcome))
    }
}

async fn fold(
    transaction: &Transaction<'_>,
    class: &ClassId,
    state: &mut ClassState,
    through: i64,
) -> Result<(), Error> {
    let after = state.last_event();
    let mut events = std::pin::pin!(class_events(transaction, class, after, through).await?);
    while let Some(row) = events.try_next().await? {
        state.fold(&row.event()?);
    }
    Ok(())
}

/// Both are sorted.
fn compare(kept: &Snapshot, made: &Snapshot) -> (usize, Vec<Difference>) {
    let mut found = Found::default();
    if (kept.class.events, kept.class.students, kept.class.last_received_at, kept.class.last_event)
        != (
            made.class.events,
            made.class.students,
            made.class.last_received_at,
            made.class.last_event,
        )
    {
        found.add("class_state", String::new(), Kind::Other);
    }
    found.rows("student_state", &kept.students, &made.students, |row| format!("{:?}", row.0));
    found.rows("cell_state", &kept.cells, &made.cells, |row| format!("{:?}, {:?}", row.0, row.1));
    let name = |row: &RunsRow| format!("{:?}, {:?}, {:?}", row.0, row.1, row.2);
    found.rows("student_cell_state", &kept.runs, &made.runs, name);
    found.rows("activity_state", &kept.minutes, &made.minutes, |row| {
        super::observed::rfc3339(row.0)
    });
    (found.count, found.differences)
}

#[derive(Default)]
struct Found {
    count: usize,
    differences: Vec<Difference>,
}

impl Found {
    fn add(&mut self, table: &'static str, key: String, kind: Kind) {
        self.count += 1;
        if self.differences.len() < NAMED {
            self.differences.push(Difference { table, key, kind });
        }
    }

    /// Compares rows by their keys.
    fn rows<R: PartialEq>(
        &mut self,
        table: &'static str,
        kept: &[R],
        made: &[R],
        key: impl Fn(&R) -> String,
    ) {
        let kept: std::collections::BTreeMap<String, &R> =
            kept.iter().map(|row| (key(row), row)).collect();
        let made: std::collections::BTreeMap<String, &R> =
            made.iter().map(|row| (key(row), row)).collect();
        for (name, row) in &made {
            match kept.get(name) {
                None => self.add(table, name.clone(), Kind::Missing),
                Some(other) if other != row => self.add(table, name.clone(), Kind::Other),
                Some(_) => {}
            }
        }
        for name in kept.keys().filter(|name| !made.contains_key(*name)) {
            self.add(table, name.clone(), Kind::Extra);
        }
    }
}
