//! A class that is kept up by the tail, and the pictures of it that were asked for last.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, OnceCell, OwnedSemaphorePermit};
use tokio::time::Instant;

use super::activity::Minute;
use super::class::ClassState;
use super::drawing::Drawing;
use super::kept::Asker;
use super::view::{self, Parts};
use crate::encoding::{self, Deflated};
use crate::event::{ClassId, Cursor, Epoch, Micros, StoredEvent, json};
use crate::store::Changes;

/// After this long a picture is made anew although nothing came, in microseconds: a quiet class's
/// cursor must not grow so old that the events after it are pruned.
const PICTURE_SPAN: i64 = 60_000_000;
/// A class of which no picture was made for this long is no longer copied.
const DRAWING_IDLE: Duration = Duration::from_secs(60);

/// A class at one instant, ready to be sent.
#[derive(Debug)]
pub struct Picture {
    /// Up to where it holds.
    pub cursor: Cursor,
    /// `{"classId":…,"cursor":…`, to be followed by `,"now":…,` and the members.
    head: String,
    /// All that follows `now`, with the closing brace.
    members: Bytes,
    /// Over both, without `now`.
    pub etag: String,
    /// The class's last event when it was made.
    last_event: i64,
    made: i64,
    /// From then on time alone has changed it.
    holds: i64,
    /// The members once more, compressed when that was first asked for.
    deflated: OnceCell<Deflated>,
    /// What those who are sending the members, or the compressed ones, have reserved for them.
    pub sending_json: Sending,
    /// As `sending_json`.
    pub sending_gzip: Sending,
}

/// A reservation that all who send the same bytes share.
pub type Sending = std::sync::Mutex<Weak<OwnedSemaphorePermit>>;

impl Picture {
    /// Of a class that is copied as it was at `moment`.
    pub(super) fn make(drawing: &mut Drawing, moment: Moment, parts: Parts) -> Self {
        let Moment { class, cursor, last_event, now, minutes } = moment;
        let mut head = String::from("{\"classId\":");
        json::write_string(class.as_str(), &mut head);
        head.push_str(&format!(",\"cursor\":\"{cursor}\""));
        let mut members = String::new();
        let holds = view::drawn_summary(drawing, &minutes, now, parts, &mut members);
        members.push('}');
        let etag = encoding::etag((&head, &members));
        members.shrink_to_fit();
        let members = Bytes::from(members);
        Self {
            cursor,
            head,
            members,
            etag,
            last_event,
            made: now,
            holds,
            deflated: OnceCell::new(),
            sending_json: Sending::default(),
            sending_gzip: Sending::default(),
        }
    }

    fn head_at(&self, now: Micros) -> String {
        format!("{},\"now\":\"{}\",", self.head, now.to_rfc3339())
    }

    /// The whole, as JSON, at `now` by the database's clock: a part of its own, and one that all
    /// answers share.
    pub fn json(&self, now: Micros) -> [Bytes; 2] {
        [self.head_at(now).into(), self.members.clone()]
    }

    /// The same as gzip, in three parts; the middle one is the part that all answers share. The
    /// first request compresses the members, and later ones put `now` before them. `None` if there
    /// is no thread to compress them on.
    pub async fn gzip(&self, now: Micros) -> Option<[Bytes; 3]> {
        let deflate = async || Deflated::new(self.members.clone()).await.ok_or(());
        let deflated = self.deflated.get_or_try_init(deflate).await.ok()?;
        Some(deflated.gzip_after(&self.head_at(now)))
    }

    /// Bytes that it takes up.
    fn weight(&self) -> usize {
        // Compressed it has about an eighth.
        self.members.len() + self.members.len() / 8
    }
}

/// A class's state at one instant, beside its rows: read with the lock held that the last of them
/// were copied under.
#[derive(Debug)]
pub(super) struct Moment {
    class: ClassId,
    cursor: Cursor,
    last_event: i64,
    now: i64,
    minutes: Vec<(i64, Minute)>,
}

/// What a class's snapshot does not hold.
#[derive(Debug)]
pub(super) struct Unsaved {
    pub(super) changes: Changes,
    /// The last event in it.
    pub(super) last_event: i64,
    /// Every event of the class up to this id is in it.
    pub(super) through: i64,
}

/// What a class has for its snapshot.
#[derive(Debug)]
pub(super) enum Taken {
    /// Its snapshot holds everything.
    Nothing,
    /// This is taken for written.
    Unsaved(Box<Unsaved>),
    /// Its snapshot goes further than what is here: the leader before had read more.
    Behind,
    /// The class is not here any more, or of another version of the log.
    Gone,
}

/// A class that is kept up.
#[derive(Debug)]
pub(super) struct Live {
    class: ClassId,
    epoch: Epoch,
    pub(super) state: ClassState,
    /// All of its events up to here were folded when it came to live.
    pub(super) joined: i64,
    /// Its rows as they were copied last. Whoever makes a picture holds this; it is never waited
    /// for with the class's lock held.
    pub(super) drawing: Arc<Mutex<Drawing>>,
    drawn: Instant,
    pictures: HashMap<Parts, Arc<Picture>>,
    /// Bytes of the rows that were copied.
    drawing_weight: usize,
    /// Events folded since the class was last weighed.
    folded: u32,
    /// The last event that a snapshot of this replica's, or the one that it began with, holds.
    stored: i64,
    /// How far the snapshot goes since which `state` remembers what has changed, if there is one.
    standing: Option<i64>,
    /// Whether it is not known what has changed since that snapshot, so that all has to be written.
    whole: bool,
}

impl Live {
    /// A class of which all events up to `joined` are in `state`, and all up to `stored` in its
    /// snapshot, whose row goes as far as `standing`.
    pub(super) fn new(
        class: ClassId,
        epoch: Epoch,
        state: ClassState,
        joined: i64,
        stored: i64,
        standing: Option<i64>,
    ) -> Self {
        Self {
            class,
            epoch,
            state,
            joined,
            drawing: Arc::default(),
            drawn: Instant::now(),
            pictures: HashMap::new(),
            drawing_weight: 0,
            folded: 0,
            stored,
            standing,
            whole: false,
        }
    }

    /// Folds an event. Now and then the class is weighed.
    pub(super) fn fold(&mut self, event: &StoredEvent<'_>) -> Option<usize> {
        const EVENTS: u32 = 64;
        self.state.fold(event);
        self.folded = self.folded.wrapping_add(1);
        self.folded.is_multiple_of(EVENTS).then(|| self.weight())
    }

    /// What it takes up in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        let pictures: usize = self.pictures.values().map(|picture| picture.weight()).sum();
        self.state.weight() + self.drawing_weight + pictures
    }

    /// Whether there is something that its snapshot does not hold.
    pub(super) fn is_unsaved(&self) -> bool {
        self.state.last_event() > self.stored
    }

    /// From now on this replica writes snapshots, or no longer. Another may have written in
    /// between.
    pub(super) fn remember(&mut self, on: bool) {
        self.state.remember(on);
        self.whole = true;
    }

    /// What its snapshot does not hold, which goes as far as `standing` now, if there is one. Only
    /// if that is the snapshot since which the changes are known are these enough; otherwise all of
    /// it is written in place of whatever is there.
    pub(super) fn take_unsaved(&mut self, standing: Option<i64>, head: i64) -> Taken {
        if !self.is_unsaved() {
            return Taken::Nothing;
        }
        let through = self.cursor(head).id;
        if standing > Some(through) {
            return Taken::Behind;
        }
        let mut changes = self.state.take_changes(through);
        if self.whole || standing.is_none() || standing != self.standing {
            changes =
                Changes { whole: true, rows: self.state.snapshot(through), ..Changes::default() };
        }
        // Until it is known to be written, what has changed is not.
        self.whole = true;
        Taken::Unsaved(Box::new(Unsaved { changes, last_event: self.state.last_event(), through }))
    }

    /// Its snapshot does not hold all of its events, whatever was written before.
    pub(super) fn doubt(&mut self) {
        (self.stored, self.whole) = (0, true);
    }

    /// It is written.
    pub(super) fn saved(&mut self, unsaved: &Unsaved) {
        self.stored = self.stored.max(unsaved.last_event);
        self.standing = Some(unsaved.through);
        self.whole = false;
    }

    /// A picture that was made before and will do at `now`, when all classes' events up to `head`
    /// are folded: if nothing has come since, or if it holds all up to `enough`.
    pub(super) fn picture(
        &self,
        parts: Parts,
        enough: Option<i64>,
        now: i64,
    ) -> Option<Arc<Picture>> {
        let picture = self.pictures.get(&parts)?;
        let unchanged = picture.last_event == self.state.last_event();
        let will_do = unchanged || enough.is_some_and(|enough| picture.cursor.id >= enough);
        let is_young =
            now < picture.holds && (picture.made..picture.made + PICTURE_SPAN).contains(&now);
        (will_do && is_young).then(|| Arc::clone(picture))
    }

    /// Copies at most about `rows` of the rows that have changed. If these were the last: of which
    /// moment `drawing` is now.
    pub(super) fn copy(
        &mut self,
        drawing: &mut Drawing,
        rows: usize,
        head: i64,
        now: i64,
    ) -> Option<Moment> {
        self.drawn = Instant::now();
        drawing.copy(&mut self.state, rows).then(|| Moment {
            class: self.class.clone(),
            cursor: self.cursor(head),
            last_event: self.state.last_event(),
            now,
            minutes: self.state.activity.since(i64::MIN).collect(),
        })
    }

    /// Keeps a picture for the next who asks.
    pub(super) fn keep(&mut self, parts: Parts, picture: &Arc<Picture>, drawing_weight: usize) {
        self.drawing_weight = drawing_weight;
        self.pictures.insert(parts, Arc::clone(picture));
    }

    /// Up to where the class is folded, when all are up to `head`.
    pub(super) fn cursor(&self, head: i64) -> Cursor {
        Cursor { epoch: self.epoch.clone(), id: head.max(self.state.last_event()).max(self.joined) }
    }

    /// Lets go of what was only made to be sent. What is returned is to be dropped without the
    /// class's lock.
    pub(super) fn forget_pictures(&mut self) -> impl Sized + use<> {
        let mut drawing = None;
        if self.drawing_weight > 0 && self.drawn.elapsed() >= DRAWING_IDLE {
            drawing = Some(std::mem::take(&mut self.drawing));
            self.drawing_weight = 0;
            self.state.students.remember(Asker::Drawing, false);
            self.state.cells.remember(Asker::Drawing, false);
            self.state.runs.remember(Asker::Drawing, false);
        }
        (std::mem::take(&mut self.pictures), drawing)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::event::StoredEvent;

    fn live() -> Live {
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
        Live::new(ClassId::new("é").expect("a class"), Epoch::new("e1"), state, 0, 0, None)
    }

    /// A picture that was kept, or a new one.
    fn picture(
        live: &mut Live,
        parts: Parts,
        head: i64,
        enough: Option<i64>,
        now: i64,
    ) -> Arc<Picture> {
        if let Some(picture) = live.picture(parts, enough, now) {
            return picture;
        }
        let drawing = Arc::clone(&live.drawing);
        let mut drawing = drawing.try_lock().expect("nobody else");
        let moment = loop {
            let moment = live.copy(&mut drawing, 7, head, now);
            drawing.render();
            if let Some(moment) = moment {
                break moment;
            }
        };
        let picture = Arc::new(Picture::make(&mut drawing, moment, parts));
        live.keep(parts, &picture, drawing.weight());
        picture
    }

    #[tokio::test]
    async fn gzip_is_the_same_bytes() {
        let mut live = live();
        let picture = picture(&mut live, Parts::default(), 0, None, 1_000);
        for now in [Micros(1_000), Micros(2_000)] {
            let mut inflated = Vec::new();
            let gzip = picture.gzip(now).await.expect("a thread").concat();
            flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut inflated).expect("gzip");
            assert_eq!(inflated, picture.json(now).concat());
            assert!(gzip.len() < inflated.len() / 5);
        }
    }

    #[test]
    fn a_picture_is_made_once_while_it_holds() {
        let mut live = live();
        let first = picture(&mut live, Parts::default(), 400, None, 1_000);
        assert_eq!(first.cursor.id, 400);
        let again = picture(&mut live, Parts::default(), 500, None, 2_000);
        assert!(Arc::ptr_eq(&first, &again), "nothing came for this class");
        let event =
            StoredEvent { id: 501, class: "é", student: "t", received_at: Micros(3), body: "{}" };
        live.state.fold(&event);
        assert!(
            Arc::ptr_eq(&first, &picture(&mut live, Parts::default(), 500, Some(400), 2_000)),
            "enough"
        );
        let next = picture(&mut live, Parts::default(), 500, Some(401), 2_000);
        assert_eq!(next.cursor.id, 501);
        assert_ne!(next.etag, first.etag);
        let older = picture(&mut live, Parts::default(), 501, Some(1), 2_000 + PICTURE_SPAN);
        assert!(!Arc::ptr_eq(&next, &older));
        let cells = picture(&mut live, Parts { cells: true, ..Parts::default() }, 501, None, 2_000);
        assert_ne!(cells.etag, next.etag);
    }

    #[test]
    fn the_same_state_has_the_same_tag_at_another_time() {
        let mut live = live();
        let first = picture(&mut live, Parts::default(), 400, None, 1_000);
        drop(live.forget_pictures());
        assert_eq!(first.etag, picture(&mut live, Parts::default(), 400, None, 2_000).etag);
    }
}
