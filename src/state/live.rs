//! A class that is kept up by the tail, and the pictures of it that were asked for last.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::{Compression, Crc};

use super::class::ClassState;
use super::view::{self, Parts};
use crate::event::{ClassId, Cursor, Epoch, Micros, json};
use crate::store::Changes;

/// After this long a picture is made anew although nothing came, in microseconds: a quiet class's cursor must not grow so
/// old that the events after it are pruned.
const PICTURE_SPAN: i64 = 60_000_000;

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
    deflated: OnceLock<(Bytes, Crc)>,
}

impl Picture {
    fn make(class: &ClassId, state: &mut ClassState, cursor: Cursor, now: i64, parts: Parts) -> Self {
        let mut head = String::from("{\"classId\":");
        json::write_string(class.as_str(), &mut head);
        head.push_str(&format!(",\"cursor\":\"{cursor}\""));
        let mut members = String::new();
        let holds = view::summary(state, now, parts, &mut members);
        members.push('}');
        let mut hasher = DefaultHasher::new();
        (&head, &members).hash(&mut hasher);
        let etag = format!("W/\"{:016x}\"", hasher.finish());
        let (members, last_event) = (Bytes::from(members), state.last_event());
        Self { cursor, head, members, etag, last_event, made: now, holds, deflated: OnceLock::new() }
    }

    fn head_at(&self, now: Micros) -> String {
        format!("{},\"now\":\"{}\",", self.head, now.to_rfc3339())
    }

    /// The whole, as JSON, at `now` by the database's clock.
    pub fn json(&self, now: Micros) -> Vec<u8> {
        let mut out = self.head_at(now).into_bytes();
        out.extend_from_slice(&self.members);
        out
    }

    /// The same as gzip. Whoever asks first compresses; for the others there is only `now` to be put before it, in a
    /// block of its own that is not compressed.
    pub fn gzip(&self, now: Micros) -> Vec<u8> {
        const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];
        let head = self.head_at(now);
        let (deflated, checksum) = self.deflated.get_or_init(|| deflate(&self.members));
        let mut out = Vec::with_capacity(HEADER.len() + head.len() + deflated.len() + 16);
        out.extend_from_slice(&HEADER);
        // A stored block: its length, and that once more inverted. A class's name and a cursor are far below 64 KiB.
        let len = u16::try_from(head.len()).unwrap_or(u16::MAX);
        out.push(0);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(&head.as_bytes()[..usize::from(len)]);
        out.extend_from_slice(deflated);
        let mut crc = Crc::new();
        crc.update(&head.as_bytes()[..usize::from(len)]);
        crc.combine(checksum);
        let total = head.len() + self.members.len();
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&(total as u32).to_le_bytes());
        out
    }
}

/// Level 1: a quarter of the time of the default for a tenth more bytes.
fn deflate(bytes: &[u8]) -> (Bytes, Crc) {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
    let mut crc = Crc::new();
    crc.update(bytes);
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    (encoder.finish().unwrap_or_default().into(), crc)
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
    pictures: HashMap<Parts, Arc<Picture>>,
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
        Self { class, epoch, state, joined, pictures: HashMap::new(), stored, standing, whole: false }
    }

    /// Whether there is something that its snapshot does not hold.
    pub(super) fn is_unsaved(&self) -> bool {
        self.state.last_event() > self.stored
    }

    /// From now on this replica writes snapshots, or no longer. Another may have written in between.
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
            changes = Changes { whole: true, rows: self.state.snapshot(through), ..Changes::default() };
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

    /// A picture at `now` of the class, in which all classes' events up to `head` are folded. One that was made before
    /// will do if nothing has come since, or if it holds all up to `enough`.
    pub(super) fn picture(&mut self, parts: Parts, head: i64, enough: Option<i64>, now: i64) -> Arc<Picture> {
        let cursor = self.cursor(head);
        if let Some(picture) = self.pictures.get(&parts) {
            let unchanged = picture.last_event == self.state.last_event();
            let will_do = unchanged || enough.is_some_and(|enough| picture.cursor.id >= enough);
            if will_do && now < picture.holds && (picture.made..picture.made + PICTURE_SPAN).contains(&now) {
                return Arc::clone(picture);
            }
        }
        let picture = Arc::new(Picture::make(&self.class, &mut self.state, cursor, now, parts));
        self.pictures.insert(parts, Arc::clone(&picture));
        picture
    }

    /// Up to where the class is folded, when all are up to `head`.
    pub(super) fn cursor(&self, head: i64) -> Cursor {
        Cursor { epoch: self.epoch.clone(), id: head.max(self.state.last_event()).max(self.joined) }
    }

    /// Lets go of what was only made to be sent.
    pub(super) fn forget_pictures(&mut self) {
        self.pictures.clear();
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
            state.fold(&StoredEvent { id, class: "é", student: &student, received_at: Micros(id), body });
        }
        Live::new(ClassId::new("é").expect("a class"), Epoch::new("e1"), state, 0, 0, None)
    }

    #[test]
    fn gzip_is_the_same_bytes() {
        let mut live = live();
        let picture = live.picture(Parts::default(), 0, None, 1_000);
        for now in [Micros(1_000), Micros(2_000)] {
            let mut inflated = Vec::new();
            let gzip = picture.gzip(now);
            flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut inflated).expect("gzip");
            assert_eq!(inflated, picture.json(now));
            assert!(gzip.len() < inflated.len() / 5);
        }
    }

    #[test]
    fn a_picture_is_made_once_while_it_holds() {
        let mut live = live();
        let first = live.picture(Parts::default(), 400, None, 1_000);
        assert_eq!(first.cursor.id, 400);
        let again = live.picture(Parts::default(), 500, None, 2_000);
        assert!(Arc::ptr_eq(&first, &again), "nothing came for this class");
        let event = StoredEvent { id: 501, class: "é", student: "t", received_at: Micros(3), body: "{}" };
        live.state.fold(&event);
        assert!(Arc::ptr_eq(&first, &live.picture(Parts::default(), 500, Some(400), 2_000)), "enough");
        let next = live.picture(Parts::default(), 500, Some(401), 2_000);
        assert_eq!(next.cursor.id, 501);
        assert_ne!(next.etag, first.etag);
        let older = live.picture(Parts::default(), 501, Some(1), 2_000 + PICTURE_SPAN);
        assert!(!Arc::ptr_eq(&next, &older));
        let cells = live.picture(Parts { cells: true, ..Parts::default() }, 501, None, 2_000);
        assert_ne!(cells.etag, next.etag);
    }

    #[test]
    fn the_same_state_has_the_same_tag_at_another_time() {
        let mut live = live();
        let first = live.picture(Parts::default(), 400, None, 1_000);
        live.forget_pictures();
        assert_eq!(first.etag, live.picture(Parts::default(), 400, None, 2_000).etag);
    }
}
