//! The classes in use, kept up by the tail.
//!
//! A class comes in on first use: its snapshot and the events after it are read while the tail goes
//! on; then, for the last few, the tail puts by what comes until a read that began later has
//! brought all before it. Whoever asks meanwhile waits. It is let go when nobody has asked for
//! long.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::class::ClassState;
use super::clock::Clock;
use super::intake::{Intake, MAX_HEARD};
use super::live::Live;
use super::load::{self, LoadError};
use super::slot::{Memory, Phase, PutBy, Slot};
use super::unsaved::drop_elsewhere;
use crate::event::{ClassId, Cursor, Epoch, Micros, StoredEvent};
use crate::metrics::Registry;
use crate::repeated::Repeated;
use crate::store::{ClassRow, LogVersion, Pages};

/// Classes that come in at once; the others take turns.
const LOADS: usize = 2;
/// How long a class that is to come in waits for memory.
const ROOM_PATIENCE: Duration = Duration::from_secs(10);
const ROOM_TICK: Duration = Duration::from_millis(50);
/// How long whoever asks for a class waits for the tail, when the log has changed while the class
/// was loaded.
const RESTART_WAIT: Duration = Duration::from_secs(2);
/// Classes that could not be loaded; in an outage every request for one tries again.
static NOT_LOADED: Repeated = Repeated::new();

/// The classes in use. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Classes {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    /// Held for a few lines; never while a class's own lock is waited for.
    inner: Mutex<Inner>,
    clock: Clock,
    pages: Pages,
    loads: Semaphore,
    memory: Arc<Memory>,
    /// As [`Inner::resets`].
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
pub(super) struct Inner {
    /// `None` until the tail stands.
    pub(super) epoch: Option<Epoch>,
    /// How many statements have deleted events, as far as the tail knows.
    pub(super) deletions: i64,
    /// How often classes were dropped from memory since they were of no use any more.
    pub(super) resets: u64,
    /// All classes' events up to here are folded.
    pub(super) head: i64,
    pub(super) classes: HashMap<ClassId, Arc<Slot>>,
    /// Whether this replica writes snapshots, and classes remember what has changed.
    pub(super) remembers: bool,
    /// Something came for a class that could not be put among `heard`.
    pub(super) missed: bool,
    /// The last event of each class that came since the tail stands, unless a snapshot is known to
    /// hold it.
    pub(super) heard: BTreeMap<ClassId, i64>,
}

impl Inner {
    /// Notes the last event of a class, which no snapshot is known to hold.
    pub(super) fn hear(&mut self, class: ClassId, last: i64) {
        if self.heard.len() < MAX_HEARD || self.heard.contains_key(&class) {
            self.heard.insert(class, last);
        } else {
            self.missed = true;
        }
    }

    /// The log that what is in memory belongs to; `None` until the tail stands.
    pub(super) fn version(&self) -> Option<LogVersion> {
        let epoch = self.epoch.clone()?;
        Some(LogVersion { epoch, deletions: self.deletions })
    }
}

impl Classes {
    /// None in use; `pages` reads their past.
    pub fn new(pages: Pages) -> Self {
        let inner = Inner {
            epoch: None,
            deletions: 0,
            resets: 0,
            head: 0,
            classes: HashMap::new(),
            remembers: false,
            missed: false,
            heard: BTreeMap::new(),
        };
        let shared = Shared {
            inner: Mutex::new(inner),
            clock: Clock::default(),
            pages,
            loads: Semaphore::new(LOADS),
            memory: Arc::default(),
            changed: watch::channel(0).0,
        };
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are, and whether this replica keeps the snapshots.
    pub fn in_use(&self) -> (usize, bool) {
        let inner = self.lock();
        (inner.classes.len(), inner.remembers)
    }

    /// Registers the state's metrics.
    pub fn register(&self, registry: &mut Registry) {
        let classes = self.clone();
        registry.gauge("relay_classes", "Classes whose state is in memory.", move || {
            classes.in_use().0 as i64
        });
        let classes = self.clone();
        registry.gauge(
            "relay_state_keeper",
            "Whether this replica writes the snapshots of class state.",
            move || i64::from(classes.in_use().1),
        );
    }

    /// The database's clock, as far as this replica knows.
    pub fn now(&self) -> Micros {
        Micros(self.shared.clock.now())
    }

    /// The database's clock was just read.
    pub fn set_clock(&self, clock: Micros) {
        self.shared.clock.set(clock);
    }

    /// The tail stands at `at`, where nothing is known of what was before: whatever is here is of
    /// no use. `deletions` is how many statements have deleted events by then.
    pub fn reset(&self, at: &Cursor, deletions: i64) {
        self.shared.pages.expect(&at.epoch);
        let mut inner = self.lock();
        let gone = std::mem::take(&mut inner.classes);
        inner.heard.clear();
        (inner.epoch, inner.head) = (Some(at.epoch.clone()), at.id);
        self.drop_classes(inner, gone.into_values(), deletions);
    }

    /// Events of these classes, `None` for any, were deleted by SQL: what is in memory of them is
    /// of no use, and whoever asks waits until they are loaded anew. Their snapshots are void too.
    pub fn forget(&self, classes: Option<&[ClassId]>, deletions: i64) {
        let mut inner = self.lock();
        let gone: Vec<Arc<Slot>> = match classes {
            None => std::mem::take(&mut inner.classes).into_values().collect(),
            Some(classes) => {
                let head = inner.head;
                for class in classes {
                    inner.hear(class.clone(), head);
                }
                classes.iter().filter_map(|class| inner.classes.remove(class)).collect()
            }
        };
        self.drop_classes(inner, gone, deletions);
    }

    fn drop_classes(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        gone: impl IntoIterator<Item = Arc<Slot>>,
        deletions: i64,
    ) {
        inner.deletions = deletions;
        inner.missed = true;
        inner.resets += 1;
        let resets = inner.resets;
        // The lock is not held while a class's own is waited for.
        drop(inner);
        drop_elsewhere(gone.into_iter().map(|slot| slot.close()).collect());
        self.shared.changed.send_replace(resets);
    }

    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.shared.memory
    }

    pub(super) fn clock(&self) -> i64 {
        self.shared.clock.now()
    }

    /// Begins to take what one read of the tail brings.
    pub fn begin(&self) -> Intake<'_> {
        Intake::new(self)
    }

    /// Runs `with` on a class's state, as it is at the cursor.
    ///
    /// # Errors
    /// If the class has to come in and cannot.
    pub async fn read<T>(
        &self,
        class: &ClassId,
        mut with: impl FnMut(&ClassState, &Cursor, Micros) -> T,
    ) -> Result<T, LoadError> {
        self.with(class, |live, head, now| {
            let cursor = live.cursor(head);
            with(&live.state, &cursor, Micros(now))
        })
        .await
    }

    /// At most `limit` classes by name, after `after`, and whether there are more: as their
    /// snapshots have it, which are a second old, but for those that something has come of since;
    /// these are brought in.
    ///
    /// # Errors
    /// If the snapshots cannot be read.
    pub async fn list(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<(ClassId, ClassRow)>, bool), LoadError> {
        let stored = self.shared.pages.classes(after, limit + 1).await?;
        let mut listed: BTreeMap<ClassId, ClassRow> =
            stored.classes.into_iter().map(|listed| (listed.class, listed.row)).collect();
        // Beyond the last that was read, snapshots may stand between those that were heard of.
        let end = if listed.len() > limit { listed.keys().next_back().cloned() } else { None };
        let heard: Vec<ClassId> = {
            let mut inner = self.lock();
            // Ids of another version say nothing of what was heard in this one.
            if stored.version.is_some() && stored.version == inner.version() {
                for (class, row) in &listed {
                    if inner.heard.get(class).is_some_and(|&last| last <= row.through) {
                        inner.heard.remove(class);
                    }
                }
            }
            let from = Bound::Excluded(ClassId::stored(after));
            let until = end.map_or(Bound::Unbounded, Bound::Included);
            inner
                .heard
                .range((from, until))
                .take(limit + 1)
                .map(|(class, _)| class.clone())
                .collect()
        };
        for class in heard {
            let row = self.read(&class, |state, _, _| state.listed()).await?;
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

    async fn with<T>(
        &self,
        class: &ClassId,
        mut with: impl FnMut(&mut Live, i64, i64) -> T,
    ) -> Result<T, LoadError> {
        // It may be let go, or the epoch change, between its coming in and our looking: then once
        // more.
        const ATTEMPTS: usize = 3;
        for _ in 0..ATTEMPTS {
            let slot = self.ready(class).await?;
            // Before the class's own lock: whatever is at or below it is folded there by then.
            let head = self.lock().head;
            let now = self.shared.clock.now();
            if let Some(answer) = slot.live(|live| with(live, head, now)) {
                slot.touch();
                return Ok(answer);
            }
        }
        Err(LoadError::Restarted)
    }

    /// The class's place, once it lives. If the log changes while it is loaded, the tail notices
    /// that too, soon; what is loaded after that is right.
    pub(super) async fn ready(&self, class: &ClassId) -> Result<Arc<Slot>, LoadError> {
        const ATTEMPTS: usize = 3;
        for _ in 0..ATTEMPTS {
            let mut changed = self.shared.changed.subscribe();
            match self.bring_in(class).await {
                Err(LoadError::Restarted) => drop(timeout(RESTART_WAIT, changed.changed()).await),
                other => return other,
            }
        }
        Err(LoadError::Restarted)
    }

    /// The class's place, once it lives or as it could not.
    pub(super) async fn bring_in(&self, class: &ClassId) -> Result<Arc<Slot>, LoadError> {
        let slot = {
            let mut inner = self.lock();
            if inner.epoch.is_none() {
                return Err(LoadError::NotStarted);
            }
            match inner.classes.get(class) {
                Some(slot) => Arc::clone(slot),
                None => {
                    let slot = Arc::new(Slot::new(&self.shared.memory));
                    inner.classes.insert(class.clone(), Arc::clone(&slot));
                    // In a task of its own: many may wait for it, and whoever asked first may go.
                    tokio::spawn(self.clone().load(class.clone(), Arc::clone(&slot)));
                    slot
                }
            }
        };
        let mut ready = slot.ready.subscribe();
        let outcome = match ready.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(LoadError::Restarted)),
            Err(_) => Err(LoadError::Restarted),
        };
        outcome.map(|()| slot)
    }

    async fn load(self, class: ClassId, slot: Arc<Slot>) {
        let outcome = self.try_load(&class, &slot).await;
        if let Err(error) = &outcome {
            if let Some(due) = NOT_LOADED.met(&error.to_string()) {
                tracing::warn!(%class, "its state could not be brought in{due}: {error}");
            }
            slot.weigh(0);
            let mut inner = self.lock();
            if inner.classes.get(&class).is_some_and(|other| Arc::ptr_eq(other, &slot)) {
                inner.classes.remove(&class);
            }
        }
        slot.ready.send_replace(Some(outcome));
    }

    async fn try_load(&self, class: &ClassId, slot: &Slot) -> Result<(), LoadError> {
        let _turn = self.shared.loads.acquire().await.map_err(|_| LoadError::Restarted)?;
        self.room().await?;
        let began = Instant::now();
        let epoch = self.lock().epoch.clone().ok_or(LoadError::NotStarted)?;
        let pages = &self.shared.pages;
        let mut past = load::read(pages, class, &epoch).await?;
        slot.weigh(past.state.weight());
        // From here on the tail puts by. A read that begins now brings what it had passed before.
        self.enter(slot, Phase::Joining(PutBy::default()))?;
        past.catch_up(pages, class, &epoch, true).await?;
        let mut phase = slot.lock();
        let put_by = match std::mem::replace(&mut *phase, Phase::Gone) {
            Phase::Joining(put_by) if !put_by.overflowed => put_by,
            _ => return Err(LoadError::Restarted),
        };
        let through = past.through;
        for (id, received_at, student, body) in &put_by.events {
            if *id > through {
                let event = StoredEvent {
                    id: *id,
                    class: class.as_str(),
                    student,
                    received_at: *received_at,
                    body,
                };
                past.state.fold(&event);
            }
        }
        tracing::debug!(%class, events = past.state.events(), read = past.read, elapsed = ?began.elapsed(), "a class is in use");
        let mut live =
            Live::new(class.clone(), epoch, past.state, through, past.stored, past.standing);
        // With the class's lock held: whoever changes this next waits for it.
        if !self.lock().remembers {
            live.remember(false);
        }
        slot.weigh(live.weight());
        *phase = Phase::Live(Box::new(live));
        Ok(())
    }

    /// Waits until there is memory for one more class: what nobody asked for longest goes, and what
    /// is not written yet can go once it is.
    async fn room(&self) -> Result<(), LoadError> {
        let deadline = Instant::now() + ROOM_PATIENCE;
        while self.shared.memory.is_full() {
            self.sweep();
            if !self.shared.memory.is_full() {
                break;
            }
            if Instant::now() >= deadline {
                return Err(LoadError::NoRoom);
            }
            tokio::time::sleep(ROOM_TICK).await;
        }
        Ok(())
    }

    /// Goes on to the next phase, unless the class was let go meanwhile.
    fn enter(&self, slot: &Slot, next: Phase) -> Result<(), LoadError> {
        let mut phase = slot.lock();
        if matches!(*phase, Phase::Gone) {
            return Err(LoadError::Restarted);
        }
        *phase = next;
        Ok(())
    }
}
