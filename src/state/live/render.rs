//! Rendering summaries, by one task at a time for each class, without the class's lock.
//!
//! A summary is made in three steps. (1) The rows that have changed are copied, in portions, each
//! with the class's lock held for a fraction of a millisecond; between two portions the tail folds.
//! (2) The copied rows are rendered without the class's lock. (3) The summary is put together and
//! stored, and everyone who asked meanwhile shares it. The task holds the lock of the class's
//! rendered rows from the first step to the last. That lock is taken before the class's: a task
//! that holds the class's lock must not wait for it.
//!
//! A large class is rendered on a low-priority thread, with a rest between two renderings.
//! Otherwise clients that ask without a pause would take a processor from the requests of all other
//! classes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::classes::{ATTEMPTS, Classes};
use super::live_class::LiveClass;
use super::load_error::LoadError;
use super::rendered_rows::RenderedRows;
use super::rendered_summary::{RenderedSummary, SummaryHead, write_cells};
use super::slot::Slot;
use crate::background;
use crate::event::{ClassId, EventId, Micros};
use crate::state::view::SummaryParts;

/// Rows that are copied at a time, with the class's lock held: a fraction of a millisecond.
const PORTION: usize = 256;
/// After so many portions the rest is copied at once: rows change faster than they are copied.
const MAX_PORTIONS: usize = 10_000;
/// A class with more rows is large: it is rendered on a low-priority thread.
const LARGE: usize = 10_000;
/// Between two renderings of a large class there is a rest as long as the last one took, but no
/// longer than this: clients that ask without a pause take half of one processor.
const MAX_REST: Duration = Duration::from_secs(1);

impl Classes {
    /// A summary of the class. With `min_cursor`, a summary that holds every event up to there will
    /// do, so that requests share one although further events are folded.
    ///
    /// # Errors
    /// If the class cannot be loaded.
    pub(crate) async fn summary(
        &self,
        class: &ClassId,
        parts: SummaryParts,
        min_cursor: Option<EventId>,
    ) -> Result<Arc<RenderedSummary>, LoadError> {
        let stored = move |live: &LiveClass, now: Micros| live.summary(parts, min_cursor, now);
        self.render(class, stored, move |rendering, head| {
            let summary = Arc::new(RenderedSummary::render(&mut rendering.rows, head, parts));
            let rows_weight = rendering.rows.weight();
            rendering.slot.live(|live| {
                live.store_summary(parts, &summary, rows_weight);
                rendering.slot.set_weight(live.weight());
            });
            summary
        })
        .await
    }

    /// `"cells":[…]` of the class, of one notebook or of all.
    ///
    /// # Errors
    /// If the class cannot be loaded.
    pub(crate) async fn cells(
        &self,
        class: &ClassId,
        notebook: Option<&str>,
    ) -> Result<String, LoadError> {
        let notebook = notebook.map(str::to_owned);
        let stored = |_: &LiveClass, _: Micros| None;
        self.render(class, stored, move |rendering, _| {
            let mut out = String::new();
            write_cells(&mut rendering.rows, notebook.as_deref(), &mut out);
            out
        })
        .await
    }

    /// Returns what `stored` finds, or else the result of `make` on the class's rendered rows.
    async fn render<T: Send + 'static>(
        &self,
        class: &ClassId,
        stored: impl Fn(&LiveClass, Micros) -> Option<T>,
        make: impl Fn(&mut Rendering, SummaryHead) -> T + Clone + Send + 'static,
    ) -> Result<T, LoadError> {
        for _ in 0..ATTEMPTS {
            let slot = self.loader.loaded(class).await?;
            let look = |live: &mut LiveClass| {
                let found = stored(live, self.now());
                (found, Arc::clone(&live.rows), live.state.rows() > LARGE)
            };
            let Some((found, rows, is_large)) = slot.live(look) else { continue };
            slot.touch();
            if let Some(found) = found {
                return Ok(found);
            }
            let rows = rows.lock_owned().await;
            // The task that held the lock before may have stored one that will do.
            if let Some(found) = slot.live(|live| stored(live, self.now())).flatten() {
                return Ok(found);
            }
            let mut rendering = Rendering { classes: self.clone(), slot, rows };
            if is_large {
                tokio::time::sleep_until(rendering.rows.rest_until()).await;
            }
            let Some(head) = rendering.copy().await else { continue };
            if !is_large {
                return Ok(rendering.finish(head, &make));
            }
            let make = make.clone();
            // The work goes on if this request is given up: the next one finds the summary then.
            let made = background::run(move || rendering.finish(head, &make)).await;
            return made.ok_or(LoadError::Restarted);
        }
        Err(LoadError::Restarted)
    }
}

/// A class that is being rendered.
struct Rendering {
    classes: Classes,
    slot: Arc<Slot>,
    rows: OwnedMutexGuard<RenderedRows>,
}

impl Rendering {
    /// Copies the rows that have changed, a portion at a time, until all of them are of one moment.
    /// `None` if the class was dropped meanwhile.
    async fn copy(&mut self) -> Option<SummaryHead> {
        for portion in 0.. {
            let count = if portion < MAX_PORTIONS { PORTION } else { usize::MAX };
            let position = self.classes.table.position();
            let now = self.classes.now();
            let rows = &mut self.rows;
            let head = self.slot.live(|live| {
                let is_current = Arc::ptr_eq(&live.rows, OwnedMutexGuard::mutex(rows));
                is_current.then(|| live.copy(rows, count, position, now))
            });
            let head = head.flatten()?;
            if head.is_some() {
                return head;
            }
            tokio::task::yield_now().await;
        }
        None
    }

    /// Renders the rows that were copied, and builds the requested result.
    fn finish<T>(mut self, head: SummaryHead, make: impl Fn(&mut Self, SummaryHead) -> T) -> T {
        let began = Instant::now();
        self.rows.render();
        let made = make(&mut self, head);
        self.rows.rest(began.elapsed().min(MAX_REST));
        made
    }
}
