//! A class in memory: its state, its unsaved changes, and the summaries that were rendered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::rendered_rows::RenderedRows;
use super::rendered_summary::{ClassMembers, RenderedSummary, SummaryHead};
use crate::database::Changes;
use crate::event::{ClassId, Cursor, Epoch, EventId, Micros, StoredEvent};
use crate::state::fold::class::ClassState;
use crate::state::fold::lru_map::Consumer;
use crate::state::view::SummaryParts;

/// A summary this old is rendered again even if no event was folded: the events after a quiet
/// class's cursor must not be pruned before a client resumes from it.
const MAX_SUMMARY_AGE: Duration = Duration::from_secs(60);
/// A class of which no summary was rendered for this long drops its rendered rows.
const RENDERED_ROWS_IDLE: Duration = Duration::from_secs(60);

/// The unsaved changes of a class, if there are any.
#[derive(Debug)]
pub(crate) enum TakenChanges {
    /// The snapshot holds every event already.
    Nothing,
    /// These changes were taken. Until [`LiveClass::saved`] is called, they may or may not be in
    /// the snapshot.
    Changes(Box<UnsavedChanges>),
    /// The snapshot goes further than the class in memory: the leader before had read more events.
    SnapshotIsAhead,
    /// The class is no longer in memory, or of another version of the log.
    NotInMemory,
}

/// The changes that a class's snapshot does not hold.
#[derive(Debug)]
pub(crate) struct UnsavedChanges {
    pub(crate) changes: Changes,
    /// The last event in them.
    last_event: EventId,
    /// With them, the snapshot holds every event of the class up to here.
    pub(super) through: EventId,
}

/// A class in memory.
#[derive(Debug)]
pub(super) struct LiveClass {
    class: ClassId,
    epoch: Epoch,
    pub(super) state: ClassState,
    /// Every event of the class up to here was folded when the class joined the tail.
    joined: EventId,
    /// The rows as they were last copied. A task that renders a summary holds this lock, and takes
    /// the class's lock with it held; so it must not be waited for with the class's lock held.
    pub(super) rows: Arc<Mutex<RenderedRows>>,
    rows_used: Instant,
    rows_weight: usize,
    summaries: HashMap<SummaryParts, Arc<RenderedSummary>>,
    /// Events folded since the class was last weighed.
    folded: u32,
    /// The last event that is in the snapshot, as far as this replica knows.
    saved: EventId,
    /// The id up to which the snapshot goes that the tracked changes are based on, if there is one.
    base: Option<EventId>,
    /// Whether the tracked changes are not enough, so that the whole class has to be written.
    whole: bool,
}

/// The past with which a class begins.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) state: ClassState,
    /// Every event up to here is in `state`.
    pub(super) through: EventId,
    /// The last event that the snapshot holds.
    pub(super) saved: EventId,
    /// Up to where the snapshot goes, if there is one.
    pub(super) base: Option<EventId>,
}

impl LiveClass {
    pub(super) fn new(class: ClassId, epoch: Epoch, past: Beginning) -> Self {
        Self {
            class,
            epoch,
            state: past.state,
            joined: past.through,
            rows: Arc::default(),
            rows_used: Instant::now(),
            rows_weight: 0,
            summaries: HashMap::new(),
            folded: 0,
            saved: past.saved,
            base: past.base,
            whole: false,
        }
    }

    /// Folds an event. Returns the class's weight if it was weighed, which it is now and then.
    pub(super) fn fold(&mut self, event: &StoredEvent<'_>) -> Option<usize> {
        const EVENTS: u32 = 64;
        self.state.fold(event);
        self.folded = self.folded.wrapping_add(1);
        self.folded.is_multiple_of(EVENTS).then(|| self.weight())
    }

    /// The bytes that the class takes up in memory.
    pub(super) fn weight(&self) -> usize {
        let summaries: usize = self.summaries.values().map(|summary| summary.weight()).sum();
        self.state.weight() + self.rows_weight + summaries
    }

    /// Whether there are events that the snapshot does not hold.
    pub(super) fn is_unsaved(&self) -> bool {
        self.state.last_event() > self.saved
    }

    /// From now on the class tracks its changes, or no longer. In between, another replica may have
    /// written the snapshot.
    pub(super) fn track_changes(&mut self, on: bool) {
        self.state.track_changes(on);
        self.whole = true;
    }

    /// Takes the changes that the snapshot does not hold, which goes up to `snapshot_through` now.
    /// The tracked changes are enough only if they are changes of that very snapshot. If they are
    /// not, the whole class is taken, to be written in place of the snapshot.
    pub(super) fn take_changes(
        &mut self,
        snapshot_through: Option<EventId>,
        position: EventId,
    ) -> TakenChanges {
        if !self.is_unsaved() {
            return TakenChanges::Nothing;
        }
        let through = self.through(position);
        if snapshot_through > Some(through) {
            return TakenChanges::SnapshotIsAhead;
        }
        let mut changes = self.state.take_changes(through);
        if self.whole || snapshot_through.is_none() || snapshot_through != self.base {
            changes =
                Changes { whole: true, rows: self.state.snapshot(through), ..Changes::default() };
        }
        // Until these are known to be written, the snapshot is not known.
        self.whole = true;
        let last_event = self.state.last_event();
        TakenChanges::Changes(Box::new(UnsavedChanges { changes, last_event, through }))
    }

    /// The snapshot does not hold all events, although this replica may have written them: the
    /// whole class has to be written.
    pub(super) fn mark_unsaved(&mut self) {
        (self.saved, self.whole) = (EventId::NONE, true);
    }

    /// The changes are in the snapshot.
    pub(super) fn saved(&mut self, unsaved: &UnsavedChanges) {
        self.saved = self.saved.max(unsaved.last_event);
        self.base = Some(unsaved.through);
        self.whole = false;
    }

    /// A summary that was rendered before and is still right at `now`: no event was folded since,
    /// or it holds every event up to `min_cursor`, which is all that is asked for.
    pub(super) fn summary(
        &self,
        parts: SummaryParts,
        min_cursor: Option<EventId>,
        now: Micros,
    ) -> Option<Arc<RenderedSummary>> {
        let summary = self.summaries.get(&parts)?;
        let is_unchanged = summary.last_event == self.state.last_event();
        let is_new_enough = min_cursor.is_some_and(|least| summary.cursor.id >= least.0);
        let age = summary.rendered_at..summary.rendered_at + MAX_SUMMARY_AGE;
        let is_valid = now < summary.valid_until && age.contains(&now);
        ((is_unchanged || is_new_enough) && is_valid).then(|| Arc::clone(summary))
    }

    /// Copies at most about `count` of the rows that have changed. If these were the last, `rows`
    /// is of one moment, and the rest of a summary of that moment is returned.
    pub(super) fn copy(
        &mut self,
        rows: &mut RenderedRows,
        count: usize,
        position: EventId,
        now: Micros,
    ) -> Option<SummaryHead> {
        self.rows_used = Instant::now();
        rows.copy(&mut self.state, count).then(|| SummaryHead {
            class: self.class.clone(),
            cursor: self.cursor(position),
            last_event: self.state.last_event(),
            now,
            members: ClassMembers::of(&self.state),
        })
    }

    /// Stores a summary for the next request.
    pub(super) fn store_summary(
        &mut self,
        parts: SummaryParts,
        summary: &Arc<RenderedSummary>,
        rows_weight: usize,
    ) {
        self.rows_weight = rows_weight;
        self.summaries.insert(parts, Arc::clone(summary));
    }

    /// Every event of the class up to here is folded, when those up to `position` were given to
    /// their classes.
    pub(super) fn through(&self, position: EventId) -> EventId {
        position.max(self.state.last_event()).max(self.joined)
    }

    /// The same as a cursor.
    pub(super) fn cursor(&self, position: EventId) -> Cursor {
        Cursor { epoch: self.epoch.clone(), id: self.through(position).0 }
    }

    /// Removes the rendered summaries, and the rendered rows if they were not used for long. They
    /// are returned, to be dropped without the class's lock.
    pub(super) fn take_rendered(&mut self) -> impl Sized + use<> {
        let mut rows = None;
        if self.rows_weight > 0 && self.rows_used.elapsed() >= RENDERED_ROWS_IDLE {
            rows = Some(std::mem::take(&mut self.rows));
            self.rows_weight = 0;
            self.state.students.track_changes(Consumer::Rendering, false);
            self.state.cells.track_changes(Consumer::Rendering, false);
            self.state.pairs.track_changes(Consumer::Rendering, false);
        }
        (std::mem::take(&mut self.summaries), rows)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn live() -> LiveClass {
        let mut state = ClassState::default();
        for id in 1..=300 {
            let student = format!("s{id}");
            let body = r#"{"eventType":"cell_executed","notebookPath":"a.ipynb","cellId":"c"}"#;
            state.fold(&StoredEvent {
                id,
                class: "é",
                student: &student,
                received_at: Micros(id),
                body,
            });
        }
        let (through, saved) = (EventId::NONE, EventId::NONE);
        let past = Beginning { state, through, saved, base: None };
        LiveClass::new(ClassId::new("é").expect("a class"), Epoch::new("e1"), past)
    }

    /// A summary that was stored, or a new one.
    fn summary(
        live: &mut LiveClass,
        parts: SummaryParts,
        position: i64,
        min_cursor: Option<i64>,
        now: Micros,
    ) -> Arc<RenderedSummary> {
        if let Some(summary) = live.summary(parts, min_cursor.map(EventId), now) {
            return summary;
        }
        let rows = Arc::clone(&live.rows);
        let mut rows = rows.try_lock().expect("no other task");
        let head = loop {
            let head = live.copy(&mut rows, 7, EventId(position), now);
            rows.render();
            if let Some(head) = head {
                break head;
            }
        };
        let summary = Arc::new(RenderedSummary::render(&mut rows, head, parts));
        live.store_summary(parts, &summary, rows.weight());
        summary
    }

    #[tokio::test]
    async fn gzip_is_the_same_bytes() {
        let mut live = live();
        let summary = summary(&mut live, SummaryParts::default(), 0, None, Micros(1_000));
        for now in [Micros(1_000), Micros(2_000)] {
            let mut inflated = Vec::new();
            let gzip = summary.gzip(now).await.expect("a thread").concat();
            flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut inflated).expect("gzip");
            assert_eq!(inflated, summary.json(now).concat());
            assert!(gzip.len() < inflated.len() / 5);
        }
    }

    #[test]
    fn a_summary_is_rendered_once_while_it_is_valid() {
        let mut live = live();
        let first = summary(&mut live, SummaryParts::default(), 400, None, Micros(1_000));
        assert_eq!(first.cursor.id, 400);
        let again = summary(&mut live, SummaryParts::default(), 500, None, Micros(2_000));
        assert!(Arc::ptr_eq(&first, &again), "no event of this class");
        let received_at = Micros(3);
        live.state.fold(&StoredEvent {
            id: 501,
            class: "é",
            student: "t",
            received_at,
            body: "{}",
        });
        assert!(
            Arc::ptr_eq(
                &first,
                &summary(&mut live, SummaryParts::default(), 500, Some(400), Micros(2_000))
            ),
            "it holds all that is asked for"
        );
        let next = summary(&mut live, SummaryParts::default(), 500, Some(401), Micros(2_000));
        assert_eq!(next.cursor.id, 501);
        assert_ne!(next.etag, first.etag);
        let older = summary(
            &mut live,
            SummaryParts::default(),
            501,
            Some(1),
            Micros(2_000) + MAX_SUMMARY_AGE,
        );
        assert!(!Arc::ptr_eq(&next, &older));
        let cells = summary(
            &mut live,
            SummaryParts { cells: true, ..SummaryParts::default() },
            501,
            None,
            Micros(2_000),
        );
        assert_ne!(cells.etag, next.etag);
    }

    #[test]
    fn the_same_state_has_the_same_tag_at_another_time() {
        let mut live = live();
        let first = summary(&mut live, SummaryParts::default(), 400, None, Micros(1_000));
        drop(live.take_rendered());
        assert_eq!(
            first.etag,
            summary(&mut live, SummaryParts::default(), 400, None, Micros(2_000)).etag
        );
    }
}
