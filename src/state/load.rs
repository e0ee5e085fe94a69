//! A class's past: its snapshot and the events after it.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::class::ClassState;
use crate::event::{ClassId, Epoch};
use crate::repeated::Repeated;
use crate::store::{LogRow, PageError, Pages};

/// Events of one page of the past.
const PAGE_ROWS: usize = 10_000;
/// Classes whose past has a gap; one that is not in use for a while is loaded, and found so, again
/// and again.
static PRUNED: Repeated = Repeated::new();

/// Why a class's state cannot be had now; trying again may help.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// Before the tail's first read.
    #[error("the relay is starting")]
    NotStarted,
    /// The database.
    #[error("{0}")]
    Read(Arc<PageError>),
    /// Events that it takes are no more.
    #[error("what follows its snapshot was pruned")]
    Pruned,
    /// Classes in use take up all the memory that they may.
    #[error("the classes in use take up all the memory that they may have")]
    NoRoom,
    /// The ids were issued anew, or what was read gave way to something else, meanwhile.
    #[error("it changed while it was read")]
    Restarted,
}

impl From<PageError> for LoadError {
    fn from(error: PageError) -> Self {
        Self::Read(Arc::new(error))
    }
}

/// A class as far as it has been read.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) state: ClassState,
    /// All of its events up to here are in it.
    pub(super) through: i64,
    /// The last event that its snapshot holds.
    pub(super) stored: i64,
    /// How far its snapshot goes, if there was one.
    pub(super) standing: Option<i64>,
    /// Events read, beside the snapshot.
    pub(super) read: usize,
}

/// Reads the snapshot and what follows it, to the end of what is committed by now.
pub(super) async fn read(pages: &Pages, class: &ClassId, epoch: &Epoch) -> Result<Past, LoadError> {
    // The snapshot may have gone on, and what followed it been pruned, between the two reads: that
    // is no gap the second time.
    for _ in 0..2 {
        let mut past = begin(pages, class, epoch).await?;
        match past.catch_up(pages, class, epoch, true).await {
            Err(LoadError::Pruned) => {}
            other => return other.map(|()| past),
        }
    }
    let mut past = begin(pages, class, epoch).await?;
    if let Some(due) = PRUNED.met("pruned") {
        tracing::warn!(%class, through = past.through, "events after its snapshot may have been \
             deleted{due}: those will not be counted");
    }
    past.catch_up(pages, class, epoch, false).await?;
    Ok(past)
}

async fn begin(pages: &Pages, class: &ClassId, epoch: &Epoch) -> Result<Past, LoadError> {
    let stored = pages.snapshot(class).await?.ok_or(LoadError::Restarted)?;
    // The pages that follow are compared too: snapshot and pages are of one server, and of one
    // generation of ids.
    if stored.version.epoch != *epoch {
        return Err(LoadError::Restarted);
    }
    let (snapshot, standing) = (stored.snapshot, stored.standing);
    let (through, stored) = (snapshot.class.through, snapshot.class.last_event);
    let mut state = ClassState::restore(snapshot);
    // What is folded from here on is not in the snapshot.
    state.remember(true);
    Ok(Past { state, through, stored, standing, read: 0 })
}

impl Past {
    /// Reads and folds what follows, to the end of what is committed by now. `strict`: not if
    /// something of it was pruned.
    pub(super) async fn catch_up(
        &mut self,
        pages: &Pages,
        class: &ClassId,
        epoch: &Epoch,
        strict: bool,
    ) -> Result<(), LoadError> {
        let classes = std::slice::from_ref(class);
        loop {
            let (state, from) = (&mut self.state, self.through);
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
                    if wrong.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .await?;
            if let Some(wrong) = wrong {
                return Err(wrong);
            }
            self.read += extent.events;
            if extent.events < PAGE_ROWS {
                // No event of the class lies between its last and the newest of all that this read
                // saw.
                self.through = extent.last.max(extent.header.newest.unwrap_or(0));
                return Ok(());
            }
            self.through = extent.last;
        }
    }
}
