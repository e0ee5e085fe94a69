//! Loading a class while the tail goes on.
//!
//! A class is loaded when it is first asked for, and many requests may ask at once: the first one
//! makes a slot and starts a task, and all of them wait for that task. The task has to end with a
//! state in which every event of the class is folded once, while the tail gives events to the class
//! without waiting. It takes three phases:
//!
//! 1. *Loading.* The task reads the snapshot and the events after it. This may take seconds. The
//!    tail does nothing with the class's events: they are in the table, and will be read from
//!    there.
//! 2. *Joining.* The task sets the slot to `Joining`, under the class's lock. From now on the tail
//!    puts the class's events into the join buffer. Then the task reads the table again, from where
//!    the first read ended. This read began after the tail began to buffer. So an event that the
//!    tail had passed before was committed before, and this read sees it. Nothing is missing.
//! 3. *Live.* Under the class's lock, the task folds the buffered events that the second read did
//!    not have, and sets the slot to `Live`. From now on the tail folds.
//!
//! If the buffer overflows, or the log changes meanwhile, the task fails with `Restarted`, and
//! the requests that wait for the class try again.
//!
//! Two locks are involved: the class's (`Slot`) and the class table's. A task that holds the
//! class's lock may take the class table's, never the other way round. In the last phase the task
//! asks the class table, with the class's lock held, whether classes track their changes.
//! `ClassTable::track_changes` sets its flag first and then takes each class's lock. So it either
//! finds the class live, or has set the flag before the task asks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::class_table::ClassTable;
use super::evict;
use super::live_class::LiveClass;
use super::load_error::LoadError;
use super::past;
use super::slot::{JoinBuffer, Phase, Slot};
use crate::database::Pages;
use crate::event::{ClassId, StoredEvent};
use crate::repeated::Repeated;

/// Classes that are loaded at once; the others take turns.
const LOADS: usize = 2;
/// How long a class that is to be loaded waits for memory.
const ROOM_PATIENCE: Duration = Duration::from_secs(10);
const ROOM_TICK: Duration = Duration::from_millis(50);
/// How long a request waits for the tail when the log has changed while its class was loaded.
const RESTART_WAIT: Duration = Duration::from_secs(2);
/// How long a request waits for its class, its turn included: classes that are asked for at once
/// take turns, and a database that does not answer makes each turn long. The class is loaded all
/// the same, for the next request.
const LOAD_PATIENCE: Duration = Duration::from_secs(15);
/// How often a request tries to have its class loaded.
const ATTEMPTS: usize = 3;
/// Log lines about classes that could not be loaded: in an outage, every request for one tries
/// again.
static NOT_LOADED: Repeated = Repeated::new();

/// Loads classes into the class table. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Loader {
    table: Arc<ClassTable>,
    pages: Pages,
    turns: Arc<Semaphore>,
}

impl Loader {
    pub(super) fn new(table: Arc<ClassTable>, pages: Pages) -> Self {
        Self { table, pages, turns: Arc::new(Semaphore::new(LOADS)) }
    }

    /// The class's slot, once the class is live, within [`LOAD_PATIENCE`]. If the log has changed while the class was loaded,
    /// the tail will notice that soon: then the class is loaded again. If the class's settings have
    /// changed, it is loaded again at once.
    ///
    /// # Errors
    /// If the class cannot be loaded.
    pub(super) async fn loaded(&self, class: &ClassId) -> Result<Arc<Slot>, LoadError> {
        timeout(LOAD_PATIENCE, self.load_again(class)).await.unwrap_or(Err(LoadError::Late))
    }

    async fn load_again(&self, class: &ClassId) -> Result<Arc<Slot>, LoadError> {
        for _ in 0..ATTEMPTS {
            let mut resets = self.table.resets();
            match self.try_load(class).await {
                Err(LoadError::Restarted) => drop(timeout(RESTART_WAIT, resets.changed()).await),
                Err(LoadError::SettingsChanged) => {}
                other => return other,
            }
        }
        Err(LoadError::Restarted)
    }

    /// The same, without a second attempt.
    ///
    /// # Errors
    /// If the class cannot be loaded.
    pub(super) async fn try_load(&self, class: &ClassId) -> Result<Arc<Slot>, LoadError> {
        let (slot, is_new) = self.table.slot_or_new(class).ok_or(LoadError::NotStarted)?;
        if is_new {
            // In another task: many requests may wait for it, and the one that asked first may be
            // given up.
            tokio::spawn(self.clone().run(class.clone(), Arc::clone(&slot)));
        }
        let mut loaded = slot.loaded.subscribe();
        let outcome = match loaded.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(LoadError::Restarted)),
            Err(_) => Err(LoadError::Restarted),
        };
        outcome.map(|()| slot)
    }

    async fn run(self, class: ClassId, slot: Arc<Slot>) {
        let outcome = self.load(&class, &slot).await;
        if let Err(error) = &outcome {
            if let Some(due) = NOT_LOADED.met(&error.to_string()) {
                tracing::warn!(%class, "the class's state could not be loaded{due}: {error}");
            }
            slot.set_weight(0);
            self.table.remove(&class, &slot);
        }
        slot.loaded.send_replace(Some(outcome));
    }

    async fn load(&self, class: &ClassId, slot: &Slot) -> Result<(), LoadError> {
        let _turn = self.turn().await?;
        let began = Instant::now();
        let epoch = self.table.epoch().ok_or(LoadError::NotStarted)?;
        let mut past = past::read(&self.pages, class, &epoch).await?;
        slot.set_weight(past.state.weight());
        begin_to_join(slot)?;
        past.catch_up(&self.pages, class, &epoch, true).await?;
        let mut phase = slot.lock();
        let buffer = match std::mem::replace(&mut *phase, Phase::Gone) {
            Phase::Joining(buffer) if !buffer.overflowed => buffer,
            _ => return Err(LoadError::Restarted),
        };
        for event in &buffer.events {
            past.fold_later(&StoredEvent {
                id: event.id.0,
                class: class.as_str(),
                student: &event.student,
                received_at: event.received_at,
                body: &event.body,
            });
        }
        if past.state.needs_refold() {
            return Err(LoadError::SettingsChanged);
        }
        let (events, read, elapsed) = (past.state.events(), past.read, began.elapsed());
        tracing::debug!(%class, events, read, ?elapsed, "the class is loaded");
        let mut live = LiveClass::new(class.clone(), epoch, past.end());
        if !self.table.tracks_changes() {
            live.track_changes(false);
        }
        slot.set_weight(live.weight());
        *phase = Phase::Live(Box::new(live));
        Ok(())
    }

    /// Waits for a turn to read a class's past, and for memory for it.
    ///
    /// # Errors
    /// If there is no memory.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, LoadError> {
        let turn = self.turns.acquire().await.map_err(|_| LoadError::Restarted)?;
        self.wait_for_room().await?;
        Ok(turn)
    }

    /// Waits until there is memory for one more class. Classes that are not asked for are evicted;
    /// a class with unsaved events can be evicted once its snapshot is written.
    ///
    /// # Errors
    /// If there is none in time.
    pub(super) async fn wait_for_room(&self) -> Result<(), LoadError> {
        let deadline = Instant::now() + ROOM_PATIENCE;
        while self.table.memory().is_full() {
            evict::sweep(&self.table);
            if !self.table.memory().is_full() {
                break;
            }
            if Instant::now() >= deadline {
                return Err(LoadError::NoRoom);
            }
            tokio::time::sleep(ROOM_TICK).await;
        }
        Ok(())
    }
}

/// From now on the tail buffers the class's events, unless the class was dropped meanwhile.
fn begin_to_join(slot: &Slot) -> Result<(), LoadError> {
    let mut phase = slot.lock();
    if matches!(*phase, Phase::Gone) {
        return Err(LoadError::Restarted);
    }
    *phase = Phase::Joining(JoinBuffer::default());
    Ok(())
}
