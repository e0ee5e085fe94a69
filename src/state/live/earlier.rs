//! Earlier lessons of a class, folded from the table when they are asked for.
//!
//! Such a lesson changes no more, so its summary is folded once and cached, and so is its state
//! once a cell's runs were asked for. One is folded at a
//! time, in turns of its own, and none for longer than a bounded time: requests for a year's
//! lessons must not take the memory, the connections or the turns that the classes in use need.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::classes::Classes;
use super::earlier_cache::Key;
use super::load_error::LoadError;
use super::rendered_rows::RenderedRows;
use super::rendered_summary::{ClassMembers, RenderedSummary, SummaryHead};
use crate::background;
use crate::database::LogRow;
use crate::event::{ClassId, Cursor, Epoch, EventId, StudentId};
use crate::state::fold::class::ClassState;
use crate::state::fold::lesson::ListedLesson;
use crate::state::fold::settings::Settings;
use crate::state::view::SummaryParts;

/// A lesson of a class, and by what its events are read and folded.
#[derive(Debug)]
pub(crate) struct FoundLesson {
    pub(crate) listed: ListedLesson,
    settings: Arc<Settings>,
    settings_event: EventId,
    epoch: Epoch,
    deletions: i64,
}

impl FoundLesson {
    pub(crate) fn has_ended(&self) -> bool {
        self.listed.ended_at.is_some()
    }

    /// The cursor of its last event.
    fn last(&self) -> Cursor {
        Cursor { epoch: self.epoch.clone(), id: self.listed.last.0 }
    }

    /// What names it among the lessons that are cached.
    fn key(&self, class: &ClassId) -> Key {
        let &Self { settings_event, deletions, .. } = self;
        let (class, first, last) = (class.clone(), self.listed.first, self.last());
        Key { class, first, last, deletions, settings_event }
    }

    /// The lesson before its first event.
    fn unfolded(&self) -> ClassState {
        let ListedLesson { first, started_at, .. } = self.listed;
        ClassState::of_lesson(first, started_at, Arc::clone(&self.settings))
    }
}

/// How a lesson comes to be folded.
enum Folded {
    /// Another request has had it folded.
    Before(Arc<RenderedSummary>),
    /// This request has folded it.
    Now,
    /// Its first events are no longer in the table.
    Pruned,
}

/// How long the folding of a lesson may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Events of one page.
const PAGE_ROWS: usize = 10_000;

impl Classes {
    /// The summary of a lesson, as it was when the lesson ended; `None` if it has not ended, or if
    /// its events were pruned.
    ///
    /// # Errors
    /// If the lesson's events cannot be read.
    pub(crate) async fn earlier_lesson(
        &self,
        class: &ClassId,
        lesson: &FoundLesson,
        parts: SummaryParts,
    ) -> Result<Option<Arc<RenderedSummary>>, LoadError> {
        let Some(ended_at) = lesson.listed.ended_at else { return Ok(None) };
        let (last, key) = (lesson.last(), (lesson.key(class), parts));
        let summaries = &self.earlier.summaries;
        if let Some(summary) = summaries.get(&key) {
            return Ok(Some(summary));
        }
        let mut state = lesson.unfolded();
        let fold = async {
            let _turn = self.earlier_turn().await?;
            // Another request may have waited for the same turn.
            if let Some(summary) = summaries.get(&key) {
                return Ok(Folded::Before(summary));
            }
            let is_whole = self.fold_lesson(&mut state, class, &last).await?;
            Ok::<_, LoadError>(if is_whole { Folded::Now } else { Folded::Pruned })
        };
        match timeout(PATIENCE, fold).await.map_err(|_| LoadError::TooLong)?? {
            Folded::Before(summary) => return Ok(Some(summary)),
            Folded::Pruned => return Ok(None),
            Folded::Now => {}
        }
        if let Some(current) = &mut state.lesson {
            current.title = lesson.listed.title.clone();
        }
        let class = class.clone();
        let rendered = background::run(move || {
            let mut rows = RenderedRows::default();
            while !rows.copy(&mut state, usize::MAX) {}
            rows.render();
            let (last_event, members) = (state.last_event(), ClassMembers::of(&state));
            let head = SummaryHead { class, cursor: last, last_event, now: ended_at, members };
            Arc::new(RenderedSummary::render(&mut rows, head, parts))
        });
        let summary = rendered.await.ok_or(LoadError::Restarted)?;
        summaries.put(key, &summary);
        Ok(Some(summary))
    }

    /// The latest run of a cell by each student, or by one, in a lesson that has ended, as events,
    /// the newest first; `None` if the lesson's events were pruned.
    ///
    /// # Errors
    /// If the lesson's events cannot be read.
    pub(crate) async fn earlier_runs(
        &self,
        class: &ClassId,
        lesson: &FoundLesson,
        (notebook, cell): (Option<&str>, &str),
        student: Option<&StudentId>,
    ) -> Result<Option<Vec<EventId>>, LoadError> {
        let (last, key) = (lesson.last(), lesson.key(class));
        let states = &self.earlier.states;
        let runs = |state: &ClassState| Some(state.latest_runs(notebook, cell, student));
        if let Some(state) = states.get(&key) {
            return Ok(runs(&state));
        }
        let fold = async {
            let _turn = self.earlier_turn().await?;
            // Another request may have waited for the same turn.
            if let Some(state) = states.get(&key) {
                return Ok(runs(&state));
            }
            let mut state = lesson.unfolded();
            if !self.fold_lesson(&mut state, class, &last).await? {
                return Ok(None);
            }
            let state = Arc::new(state);
            states.put(key.clone(), &state);
            Ok(runs(&state))
        };
        timeout(PATIENCE, fold).await.map_err(|_| LoadError::TooLong)?
    }

    /// Waits for a turn to fold an earlier lesson, and for memory for it.
    async fn earlier_turn(&self) -> Result<SemaphorePermit<'_>, LoadError> {
        let turn = self.earlier_turns.acquire().await.map_err(|_| LoadError::Restarted)?;
        self.loader.wait_for_room().await?;
        Ok(turn)
    }

    /// Folds the events of a lesson that has none yet, up to `last`. Returns whether they are all
    /// there: retention keeps the list of lessons, and deletes the oldest events first.
    async fn fold_lesson(
        &self,
        state: &mut ClassState,
        class: &ClassId,
        last: &Cursor,
    ) -> Result<bool, LoadError> {
        let classes = std::slice::from_ref(class);
        let mut from = state.last_event().0;
        let (first, mut is_whole) = (from + 1, false);
        loop {
            let mut is_same = true;
            let extent = self
                .pages
                .read(classes, from, PAGE_ROWS, |row| match row {
                    LogRow::Header(header) if header.epoch != last.epoch => {
                        is_same = false;
                        ControlFlow::Break(())
                    }
                    LogRow::Event(event) if event.id > last.id => ControlFlow::Break(()),
                    LogRow::Event(event) => {
                        is_whole |= event.id == first;
                        state.fold(event);
                        ControlFlow::Continue(())
                    }
                    LogRow::Header(_) => ControlFlow::Continue(()),
                })
                .await?;
            if !is_same {
                return Err(LoadError::Restarted);
            }
            if !is_whole || extent.events < PAGE_ROWS || extent.last >= last.id {
                return Ok(is_whole);
            }
            from = extent.last;
        }
    }

    /// The lesson of the class that begins with this event.
    ///
    /// # Errors
    /// If the class cannot be loaded.
    pub(crate) async fn lesson(
        &self,
        class: &ClassId,
        first: EventId,
    ) -> Result<Option<FoundLesson>, LoadError> {
        // Read before the class is: what is deleted later makes another lesson of it.
        let deletions = self.table.deletions();
        self.read(class, |state, cursor, _| {
            let listed = state.lessons_listed().into_iter().find(|lesson| lesson.first == first)?;
            let (settings, settings_event) = state.settings();
            let (settings, epoch) = (Arc::clone(settings), cursor.epoch.clone());
            Some(FoundLesson { listed, settings, settings_event, epoch, deletions })
        })
        .await
    }
}
