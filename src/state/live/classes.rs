//! The classes in memory, for those who read them and for the tail.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::class_table::ClassTable;
use super::clock::Clock;
use super::earlier_cache::EarlierLessons;
use super::evict;
use super::intake::Intake;
use super::live_class::LiveClass;
use super::load::Loader;
use super::load_error::LoadError;
use crate::database::{ClassRow, Pages};
use crate::event::{ClassId, Cursor, Micros};
use crate::metrics;
use crate::state::fold::class::ClassState;

/// A class may be evicted, or the log change, between its loading and its reading: then it is
/// loaded again.
pub(super) const ATTEMPTS: usize = 3;
/// Earlier lessons that are folded at once; the others take turns.
const EARLIER_TURNS: usize = 1;

/// The classes in memory. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Classes {
    pub(super) table: Arc<ClassTable>,
    pub(super) loader: Loader,
    clock: Arc<Clock>,
    pub(super) pages: Pages,
    pub(super) earlier: Arc<EarlierLessons>,
    /// To fold an earlier lesson.
    pub(super) earlier_turns: Arc<Semaphore>,
}

impl Classes {
    /// Without any class in memory. Classes are loaded from `pages`.
    pub(crate) fn new(pages: Pages) -> Self {
        let table = Arc::new(ClassTable::new());
        let loader = Loader::new(Arc::clone(&table), pages.clone());
        let earlier_turns = Arc::new(Semaphore::new(EARLIER_TURNS));
        let (clock, earlier) = (Arc::default(), Arc::default());
        Self { table, loader, clock, pages, earlier, earlier_turns }
    }

    /// How many classes there are, and whether this replica writes the snapshots.
    pub(crate) fn in_use(&self) -> (usize, bool) {
        (self.table.len(), self.table.tracks_changes())
    }

    /// Registers the state's metrics.
    pub(crate) fn register(&self, metrics: &mut metrics::Registry) {
        let classes = self.clone();
        metrics.gauge("relay_classes", "Classes whose state is in memory.", move || {
            i64::try_from(classes.in_use().0).unwrap_or(i64::MAX)
        });
        let classes = self.clone();
        metrics.gauge(
            "relay_state_keeper",
            "Whether this replica writes the snapshots of class state.",
            move || i64::from(classes.in_use().1),
        );
    }

    /// The database's clock, as far as this replica knows.
    pub(crate) fn now(&self) -> Micros {
        self.clock.now()
    }

    /// The database's clock was just read.
    pub(crate) fn set_clock(&self, clock: Micros) {
        self.clock.set(clock);
    }

    /// The tail begins again at `at`, without knowing the events before: all classes are dropped.
    /// `deletions` is how many statements have deleted events by then.
    pub(crate) fn reset(&self, at: &Cursor, deletions: i64) {
        self.pages.expect(&at.epoch);
        self.table.reset(at, deletions);
    }

    /// Events of these classes (`None`: of any) were deleted by SQL: the classes are dropped from
    /// memory, and loaded again when they are asked for.
    pub(crate) fn drop_classes(&self, classes: Option<&[ClassId]>, deletions: i64) {
        self.table.drop_classes(classes, deletions);
    }

    /// Begins to take the events of one read of the tail's.
    pub(crate) fn intake(&self) -> Intake<'_> {
        Intake::new(&self.table)
    }

    /// Evicts classes that are not asked for. Never ends.
    pub(crate) async fn evict_forever(self) {
        evict::evict_forever(&self.table).await;
    }

    /// Runs `with` on a class's state, as it is at the cursor.
    ///
    /// # Errors
    /// If the class cannot be loaded.
    pub(crate) async fn read<T>(
        &self,
        class: &ClassId,
        mut with: impl FnMut(&ClassState, &Cursor, Micros) -> T,
    ) -> Result<T, LoadError> {
        for _ in 0..ATTEMPTS {
            let slot = self.loader.loaded(class).await?;
            let position = self.table.position();
            let now = self.now();
            let read = |live: &mut LiveClass| with(&live.state, &live.cursor(position), now);
            if let Some(answer) = slot.live(read) {
                slot.touch();
                return Ok(answer);
            }
        }
        Err(LoadError::Restarted)
    }

    /// At most `limit` classes by name, after `after`, and whether there are more. Each is as its
    /// snapshot has it, which is about a second old; a class that is dirty is loaded, and read.
    ///
    /// # Errors
    /// If the snapshots cannot be read, or a dirty class cannot be loaded.
    pub(crate) async fn list(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<(ClassId, ClassRow)>, bool), LoadError> {
        let stored = self.pages.classes(after, limit + 1).await?;
        let mut listed: BTreeMap<ClassId, ClassRow> =
            stored.classes.into_iter().map(|listed| (listed.class, listed.row)).collect();
        if let Some(version) = &stored.version {
            let rows = listed.iter().map(|(class, row)| (class, row.through));
            self.table.mark_clean(version, rows);
        }
        // After the last snapshot that was read there may be others: dirty classes beyond it are
        // not the next ones by name.
        let last = if listed.len() > limit { listed.keys().next_back().cloned() } else { None };
        let dirty = self.table.dirty(&ClassId::stored(after), last.as_ref(), limit + 1);
        for class in dirty {
            let row = self.read(&class, |state, _, _| state.class_row(state.last_event())).await?;
            // All of its events may have been deleted.
            if row.events > 0 {
                listed.insert(class, row);
            } else {
                listed.remove(&class);
            }
        }
        let more = listed.len() > limit;
        Ok((listed.into_iter().take(limit).collect(), more))
    }
}
