//! Reading a class's past: its snapshot and the events after it.

use std::ops::ControlFlow;

use super::live_class::Beginning;
use super::load_error::LoadError;
use crate::database::{LogRow, Pages};
use crate::event::{ClassId, Epoch, EventId, StoredEvent};
use crate::repeated::Repeated;
use crate::state::fold::class::ClassState;

/// Events of one page of the past.
const PAGE_ROWS: usize = 10_000;
/// Log lines about classes whose past has a gap. Such a class is found again each time it is
/// loaded.
static PRUNED: Repeated = Repeated::new();

/// A class as far as it has been read.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) state: ClassState,
    /// Every event of the class up to here is in `state`.
    through: EventId,
    /// The last event that the snapshot holds.
    saved: EventId,
    /// Up to where the snapshot goes, if there is one.
    base: Option<EventId>,
    /// Events read, beside the snapshot.
    pub(super) read: usize,
}

/// Reads the snapshot and the events after it, up to the last event that is committed by now.
pub(super) async fn read(pages: &Pages, class: &ClassId, epoch: &Epoch) -> Result<Past, LoadError> {
    // Between the two reads, the snapshot may have been written again, and the events in it pruned:
    // then there is no gap the second time.
    for _ in 0..2 {
        let mut past = begin(pages, class, epoch).await?;
        match past.catch_up(pages, class, epoch, true).await {
            Err(LoadError::Pruned) => {}
            other => return other.map(|()| past),
        }
    }
    let mut past = begin(pages, class, epoch).await?;
    if let Some(due) = PRUNED.met("pruned") {
        tracing::warn!(%class, through = past.through.0, "events after the class's snapshot may \
             have been deleted{due}: those are not counted");
    }
    past.catch_up(pages, class, epoch, false).await?;
    Ok(past)
}

async fn begin(pages: &Pages, class: &ClassId, epoch: &Epoch) -> Result<Past, LoadError> {
    let stored = pages.snapshot(class).await?.ok_or(LoadError::Restarted)?;
    // The pages are compared in the same way, so that snapshot and pages are of one server, and of
    // one generation of ids.
    if stored.version.epoch != *epoch {
        return Err(LoadError::Restarted);
    }
    let (snapshot, base) = (stored.snapshot, stored.row_through);
    let (through, saved) = (snapshot.class.through, snapshot.class.last_event);
    let mut state = ClassState::restore(snapshot);
    // The events that are folded from here on are not in the snapshot.
    state.track_changes(true);
    Ok(Past { state, through, saved, base, read: 0 })
}

impl Past {
    /// Reads and folds the events after those that were read, up to the last event that is
    /// committed by now. An event that changes the settings sends it back to the lesson's first
    /// event. With `strict`, it fails if some of them may have been pruned.
    pub(super) async fn catch_up(
        &mut self,
        pages: &Pages,
        class: &ClassId,
        epoch: &Epoch,
        strict: bool,
    ) -> Result<(), LoadError> {
        let classes = std::slice::from_ref(class);
        loop {
            let (state, from) = (&mut self.state, self.through.0);
            let mut wrong = None;
            let extent = pages
                .read(classes, from, PAGE_ROWS, |row| {
                    match row {
                        LogRow::Header(header) if header.epoch != *epoch => {
                            wrong = Some(LoadError::Restarted);
                        }
                        LogRow::Header(header) if strict && from > 0 && header.pruned > from => {
                            wrong = Some(LoadError::Pruned);
                        }
                        LogRow::Header(_) => {}
                        LogRow::Event(event) => state.fold(event),
                    }
                    if wrong.is_some() || state.needs_refold() {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })
                .await?;
            if let Some(wrong) = wrong {
                return Err(wrong);
            }
            self.read += extent.events;
            if self.state.needs_refold() {
                self.through = self.state.begin_refold();
                continue;
            }
            if extent.events < PAGE_ROWS {
                // The class has no event between its last one and the newest of all classes. That
                // one may have been deleted: to go up to the one before would look as if events
                // had been pruned unread.
                let newest = extent.header.newest.unwrap_or(0).max(extent.header.pruned);
                self.through = EventId(extent.last.max(newest));
                return Ok(());
            }
            self.through = EventId(extent.last);
        }
    }

    /// Folds an event of the tail's, unless it was read already.
    pub(super) fn fold_later(&mut self, event: &StoredEvent<'_>) {
        if EventId(event.id) > self.through {
            self.state.fold(event);
        }
    }

    /// The class is read as far as it can be.
    pub(super) fn end(self) -> Beginning {
        let Self { state, through, saved, base, .. } = self;
        Beginning { state, through, saved, base }
    }
}
