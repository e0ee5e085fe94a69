//! The classes in use, kept up by the tail.
//!
//! A class comes in on first use: its snapshot and the events after it are read while the tail goes on; then, for the last
//! few, the tail puts by what comes until a read that began later has brought all before it. Whoever asks meanwhile waits.
//! It is let go when nobody has asked for long.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::class::ClassState;
use super::clock::Clock;
pub(super) use super::live::Unsaved;
use super::live::{Live, Picture};
use super::load::{self, LoadError};
use super::view::Parts;
use crate::event::{ClassId, Cursor, Epoch, Micros, StoredEvent};
use crate::store::{ClassRow, Pages};

/// A class that nobody asked for in this long is let go.
const IDLE: Duration = Duration::from_secs(600);
/// Bytes of classes in memory, as they are reckoned, beyond which the one not asked for longest is let go.
const MAX_BYTES: usize = 512 << 20;
/// Classes that come in at once; the others take turns.
const LOADS: usize = 2;
/// Bytes of events put by while a class joins the tail. A join lasts a few milliseconds; beyond this it begins again.
const MAX_PUT_BY: usize = 32 << 20;
/// Classes of which it is remembered that something came, for the list of classes.
const MAX_HEARD: usize = 50_000;

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
}

#[derive(Debug)]
struct Inner {
    /// `None` until the tail stands.
    epoch: Option<Epoch>,
    /// All classes' events up to here are folded.
    head: i64,
    classes: HashMap<ClassId, Arc<Slot>>,
    /// Whether this replica writes snapshots, and classes remember what has changed.
    remembers: bool,
    /// Something came for a class that could not be put among `heard`.
    missed: bool,
    /// The last event of each class that came since the tail stands, unless a snapshot is known to hold it.
    heard: HashMap<ClassId, i64>,
}

/// A class's place.
#[derive(Debug)]
pub(super) struct Slot {
    /// Held while an event is folded or a picture made.
    phase: Mutex<Phase>,
    /// Changes once, when the phase is no longer [`Phase::Loading`] or [`Phase::Joining`].
    ready: watch::Sender<Option<Result<(), LoadError>>>,
    used: Mutex<Instant>,
}

#[derive(Debug)]
enum Phase {
    /// Its past is being read; the tail passes it by.
    Loading,
    /// The last of its past is being read; the tail puts its events by.
    Joining(PutBy),
    Live(Box<Live>),
    /// Let go.
    Gone,
}

/// Events that came while a class joins.
#[derive(Debug, Default)]
struct PutBy {
    events: Vec<(i64, Micros, Box<str>, Box<str>)>,
    bytes: usize,
    overflowed: bool,
}

impl Slot {
    fn new() -> Self {
        Self {
            phase: Mutex::new(Phase::Loading),
            ready: watch::channel(None).0,
            used: Mutex::new(Instant::now()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `with` on the class if it lives.
    pub(super) fn live<T>(&self, with: impl FnOnce(&mut Live) -> T) -> Option<T> {
        match &mut *self.lock() {
            Phase::Live(live) => Some(with(live)),
            _ => None,
        }
    }

    fn fold(&self, event: &StoredEvent<'_>) {
        match &mut *self.lock() {
            Phase::Live(live) => live.state.fold(event),
            Phase::Joining(put_by) => put_by.add(event),
            _ => {}
        }
    }
}

impl PutBy {
    fn add(&mut self, event: &StoredEvent<'_>) {
        self.bytes += event.body.len() + event.student.len();
        if self.overflowed || self.bytes > MAX_PUT_BY {
            self.overflowed = true;
            self.events = Vec::new();
            return;
        }
        self.events.push((event.id, event.received_at, event.student.into(), event.body.into()));
    }
}

impl Classes {
    /// None in use; `pages` reads their past.
    pub fn new(pages: Pages) -> Self {
        let inner = Inner {
            epoch: None,
            head: 0,
            classes: HashMap::new(),
            remembers: false,
            missed: false,
            heard: HashMap::new(),
        };
        let shared =
            Shared { inner: Mutex::new(inner), clock: Clock::default(), pages, loads: Semaphore::new(LOADS) };
        Self { shared: Arc::new(shared) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database's clock, as far as this replica knows.
    pub fn now(&self) -> Micros {
        Micros(self.shared.clock.now())
    }

    /// The database's clock was just read.
    pub fn set_clock(&self, clock: Micros) {
        self.shared.clock.set(clock);
    }

    /// The tail stands at `at`, in an issue of ids of which nothing is known: whatever is here is of no use.
    pub fn reset(&self, at: &Cursor) {
        let mut inner = self.lock();
        let gone = std::mem::take(&mut inner.classes);
        inner.heard.clear();
        inner.missed = true;
        (inner.epoch, inner.head) = (Some(at.epoch.clone()), at.id);
        drop(inner);
        for slot in gone.values() {
            *slot.lock() = Phase::Gone;
        }
    }

    /// Begins to take what one read of the tail brings.
    pub fn begin(&self) -> Intake<'_> {
        Intake { classes: self, current: None }
    }

    /// The issue of ids, and the id up to which every event is folded.
    pub fn position(&self) -> Option<Cursor> {
        let inner = self.lock();
        inner.epoch.clone().map(|epoch| Cursor { epoch, id: inner.head })
    }

    /// A picture of the class. `enough`, if the caller knows an id up to which all must be in it, lets callers share one
    /// although the class goes on.
    ///
    /// # Errors
    /// If the class has to come in and cannot.
    pub async fn picture(
        &self,
        class: &ClassId,
        parts: Parts,
        enough: Option<i64>,
    ) -> Result<Arc<Picture>, LoadError> {
        self.with(class, |live, head, now| live.picture(parts, head, enough, now)).await
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

    /// At most `limit` classes by name, after `after`, and whether there are more: as their snapshots have it, which are a
    /// second old, but for those that something has come of since; these are brought in.
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
            stored.into_iter().map(|listed| (listed.class, listed.row)).collect();
        // Beyond the last that was read, snapshots may stand between those that were heard of.
        let end = if listed.len() > limit { listed.keys().next_back().cloned() } else { None };
        let is_in = |class: &ClassId| class.as_str() > after && end.as_ref().is_none_or(|end| class <= end);
        let heard: Vec<ClassId> = {
            let mut inner = self.lock();
            inner.heard.retain(|class, last| listed.get(class).is_none_or(|row| row.through < *last));
            inner.heard.keys().filter(|class| is_in(class)).cloned().collect()
        };
        let mut heard = heard;
        heard.sort_unstable();
        for class in heard.into_iter().take(limit + 1) {
            let row = self.read(&class, |state, _, _| state.listed()).await?;
            listed.insert(class, row);
        }
        let more = listed.len() > limit;
        Ok((listed.into_iter().take(limit).collect(), more))
    }

    async fn with<T>(
        &self,
        class: &ClassId,
        mut with: impl FnMut(&mut Live, i64, i64) -> T,
    ) -> Result<T, LoadError> {
        // It may be let go, or the epoch change, between its coming in and our looking: then once more.
        const ATTEMPTS: usize = 3;
        for _ in 0..ATTEMPTS {
            let slot = self.bring_in(class).await?;
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
                    let slot = Arc::new(Slot::new());
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
            tracing::warn!(%class, "its state could not be brought in: {error}");
            let mut inner = self.lock();
            if inner.classes.get(&class).is_some_and(|other| Arc::ptr_eq(other, &slot)) {
                inner.classes.remove(&class);
            }
        }
        slot.ready.send_replace(Some(outcome));
    }

    async fn try_load(&self, class: &ClassId, slot: &Slot) -> Result<(), LoadError> {
        let _turn = self.shared.loads.acquire().await.map_err(|_| LoadError::Restarted)?;
        let began = Instant::now();
        let epoch = self.lock().epoch.clone().ok_or(LoadError::NotStarted)?;
        let pages = &self.shared.pages;
        let mut past = load::read(pages, class, &epoch).await?;
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
                let event =
                    StoredEvent { id: *id, class: class.as_str(), student, received_at: *received_at, body };
                past.state.fold(&event);
            }
        }
        tracing::debug!(%class, events = past.state.events(), read = past.read, elapsed = ?began.elapsed(), "a class is in use");
        let mut live = Live::new(class.clone(), epoch, past.state, through, past.stored);
        // With the class's lock held: whoever changes this next waits for it.
        if !self.lock().remembers {
            live.remember(false);
        }
        *phase = Phase::Live(Box::new(live));
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

/// For whoever writes snapshots.
impl Classes {
    fn slots(&self) -> Vec<(ClassId, Arc<Slot>)> {
        self.lock().classes.iter().map(|(class, slot)| (class.clone(), Arc::clone(slot))).collect()
    }

    /// From now on this replica writes snapshots, or no longer.
    pub(super) fn remember(&self, on: bool) {
        self.lock().remembers = on;
        for (_, slot) in self.slots() {
            slot.live(|live| live.remember(on));
        }
    }

    /// Classes of which something came that no snapshot is known to hold.
    pub(super) fn heard(&self) -> Vec<ClassId> {
        self.lock().heard.keys().cloned().collect()
    }

    /// Whether something came for a class that is not among those heard of, since this was last asked.
    pub(super) fn take_missed(&self) -> bool {
        std::mem::take(&mut self.lock().missed)
    }

    /// The classes with something that their snapshot does not hold.
    pub(super) fn unsaved(&self) -> Vec<ClassId> {
        let unsaved = |slot: &Slot| slot.live(|live| live.is_unsaved()) == Some(true);
        self.slots().into_iter().filter(|(_, slot)| unsaved(slot)).map(|(class, _)| class).collect()
    }

    /// What the class's snapshot does not hold; it is taken for written.
    pub(super) fn take_unsaved(&self, class: &ClassId, epoch: &Epoch) -> Option<Unsaved> {
        let (slot, head) = {
            let inner = self.lock();
            (Arc::clone(inner.classes.get(class)?), inner.head)
        };
        slot.live(|live| live.take_unsaved(epoch, head)).flatten()
    }

    /// It is written.
    pub(super) fn saved(&self, class: &ClassId, unsaved: &Unsaved) {
        let slot = {
            let mut inner = self.lock();
            if inner.heard.get(class).is_some_and(|&last| last <= unsaved.last_event) {
                inner.heard.remove(class);
            }
            inner.classes.get(class).cloned()
        };
        if let Some(slot) = slot {
            slot.live(|live| live.saved(unsaved.last_event));
            // While this replica writes it, it is in use.
            slot.touch();
        }
    }

    /// Lets go of the classes that nobody asked for in long, and of more while they take up too much.
    pub(super) fn sweep(&self) {
        let remembers = self.lock().remembers;
        let mut kept: Vec<(Instant, usize, ClassId, Arc<Slot>)> = Vec::new();
        for (class, slot) in self.slots() {
            let look = |live: &mut Live| {
                live.forget_pictures();
                (live.state.weight(), remembers && live.is_unsaved())
            };
            // Whatever is not written yet stays.
            if let Some((weight, false)) = slot.live(look) {
                kept.push((slot.used(), weight, class, slot));
            }
        }
        kept.sort_unstable_by_key(|&(used, ..)| used);
        let mut bytes: usize = kept.iter().map(|&(_, weight, ..)| weight).sum();
        for (used, weight, class, slot) in kept {
            if used.elapsed() < IDLE && bytes <= MAX_BYTES {
                break;
            }
            bytes -= weight;
            // First out of reach: whoever asks now brings it in anew. What is folded into it meanwhile was heard of.
            self.lock().classes.retain(|other, place| *other != class || !Arc::ptr_eq(place, &slot));
            *slot.lock() = Phase::Gone;
            tracing::debug!(%class, "a class is let go");
        }
    }
}

/// Takes one read's events.
#[derive(Debug)]
pub struct Intake<'a> {
    classes: &'a Classes,
    /// The class of the event before, its place if it has one, and the event's id. Not beyond one read: a class that has
    /// come in since this read began would be missed, while what the read brings was committed before.
    current: Option<(ClassId, Option<Arc<Slot>>, i64)>,
}

impl Intake<'_> {
    /// Folds the next event of all.
    pub fn event(&mut self, event: &StoredEvent<'_>) {
        match &mut self.current {
            Some((class, _, last)) if class.as_str() == event.class => *last = event.id,
            _ => {
                self.note();
                let class = ClassId::stored(event.class);
                let slot = self.classes.lock().classes.get(&class).cloned();
                self.current = Some((class, slot, event.id));
            }
        }
        if let Some((_, Some(slot), _)) = &self.current {
            slot.fold(event);
        }
    }

    /// Everything up to `id` has been taken.
    pub fn through(&mut self, id: i64) {
        self.note();
        let mut inner = self.classes.lock();
        inner.head = inner.head.max(id);
    }

    fn note(&mut self) {
        let Some((class, _, last)) = self.current.take() else { return };
        let mut inner = self.classes.lock();
        if inner.heard.len() < MAX_HEARD || inner.heard.contains_key(&class) {
            inner.heard.insert(class, last);
        } else {
            inner.missed = true;
        }
    }
}
