//! How pictures of a class are made: by one at a time, outside of the lock that the tail waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::classes::Classes;
use super::drawing::Drawing;
use super::live::{Live, Moment, Picture};
use super::load::LoadError;
use super::slot::Slot;
use super::view::{self, Parts};
use crate::background;
use crate::event::ClassId;

/// Rows that are copied at a time, with the class's lock held: a fraction of a millisecond.
const PORTION: usize = 256;
/// After so many portions the rest is copied at once: more changes than can be copied in between.
const MAX_PORTIONS: usize = 10_000;
/// Classes with more rows are drawn on a thread for what takes long.
const LARGE: usize = 10_000;
/// Between two drawings of a large class there is as long a rest as the last one took, but no
/// longer than this: whoever asks without end takes half of one processor.
const MAX_REST: Duration = Duration::from_secs(1);
/// A class may be let go, or the epoch change, between its coming in and our looking: then once
/// more.
const ATTEMPTS: usize = 3;

impl Classes {
    /// A picture of the class. `enough`, if the caller knows an id up to which all must be in it,
    /// lets callers share one although the class goes on.
    ///
    /// # Errors
    /// If the class has to come in and cannot.
    pub async fn picture(
        &self,
        class: &ClassId,
        parts: Parts,
        enough: Option<i64>,
    ) -> Result<Arc<Picture>, LoadError> {
        let kept = move |live: &Live, now: i64| live.picture(parts, enough, now);
        self.draw(class, kept, move |draw, moment| {
            let picture = Arc::new(Picture::make(&mut draw.drawing, moment, parts));
            let weight = draw.drawing.weight();
            draw.slot.live(|live| {
                live.keep(parts, &picture, weight);
                draw.slot.weigh(live.weight());
            });
            picture
        })
        .await
    }

    /// `"cells":[…]` of a class, of one notebook or all.
    ///
    /// # Errors
    /// If the class has to come in and cannot.
    pub async fn cells(
        &self,
        class: &ClassId,
        notebook: Option<&str>,
    ) -> Result<String, LoadError> {
        let notebook = notebook.map(str::to_owned);
        let kept = |_: &Live, _: i64| None;
        self.draw(class, kept, move |draw, _| {
            let mut out = String::new();
            view::cells(&mut draw.drawing, notebook.as_deref(), &mut out);
            out
        })
        .await
    }

    /// What `kept` finds, or else what `make` makes of a class's rows as they are at a moment.
    async fn draw<T: Send + 'static>(
        &self,
        class: &ClassId,
        kept: impl Fn(&Live, i64) -> Option<T>,
        make: impl Fn(&mut Draw, Moment) -> T + Clone + Send + 'static,
    ) -> Result<T, LoadError> {
        for _ in 0..ATTEMPTS {
            let slot = self.ready(class).await?;
            let look = |live: &mut Live| {
                let found = kept(live, self.clock());
                (found, Arc::clone(&live.drawing), live.state.rows() > LARGE)
            };
            let Some((found, drawing, is_large)) = slot.live(look) else { continue };
            slot.touch();
            if let Some(found) = found {
                return Ok(found);
            }
            let drawing = drawing.lock_owned().await;
            // Another may just have made what will do.
            if let Some(found) = slot.live(|live| kept(live, self.clock())).flatten() {
                return Ok(found);
            }
            let mut draw = Draw { classes: self.clone(), slot, drawing };
            if is_large {
                tokio::time::sleep_until(draw.drawing.rest_until()).await;
            }
            let Some(moment) = draw.copy().await else { continue };
            if !is_large {
                return Ok(draw.finish(moment, &make));
            }
            let make = make.clone();
            // It goes on though whoever asked may go: the next one has it then.
            let made = background::run(move || draw.finish(moment, &make)).await;
            return made.ok_or(LoadError::Restarted);
        }
        Err(LoadError::Restarted)
    }
}

/// A class that is being drawn.
struct Draw {
    classes: Classes,
    slot: Arc<Slot>,
    drawing: OwnedMutexGuard<Drawing>,
}

impl Draw {
    /// Brings the rows up to date, a portion at a time; of which moment they are then. `None` if
    /// the class was let go.
    async fn copy(&mut self) -> Option<Moment> {
        for portion in 0.. {
            let rows = if portion < MAX_PORTIONS { PORTION } else { usize::MAX };
            // Before the class's own lock: whatever is at or below it is folded there by then.
            let head = self.classes.lock().head;
            let now = self.classes.clock();
            let drawing = &mut self.drawing;
            let moment = self.slot.live(|live| {
                let is_current = Arc::ptr_eq(&live.drawing, OwnedMutexGuard::mutex(drawing));
                is_current.then(|| live.copy(drawing, rows, head, now))
            });
            let moment = moment.flatten()?;
            if moment.is_some() {
                return moment;
            }
            tokio::task::yield_now().await;
        }
        None
    }

    /// Renders what was copied, and makes of it what is asked for.
    fn finish<T>(mut self, moment: Moment, make: impl Fn(&mut Self, Moment) -> T) -> T {
        let began = Instant::now();
        self.drawing.render();
        let made = make(&mut self, moment);
        self.drawing.rest(began.elapsed().min(MAX_REST));
        made
    }
}
