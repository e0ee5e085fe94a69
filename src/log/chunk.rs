//! Chunks: runs of events as one ready frame, made once and shared by every subscriber.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::event::{ClassId, Cursor, Epoch, Micros, StoredEvent, json};

/// Largest frame in bytes, unless one event alone is larger.
pub const MAX_FRAME_BYTES: usize = 256 * 1024;

/// Room for what stands around a frame's events: type, cursor, brackets.
pub const ENVELOPE_BYTES: usize = 160;
const EVENTS: &str = ",\"events\":";
const TAIL: &[u8] = b"]}";

/// A `progress` frame, ready to be sent.
#[derive(Debug, Clone)]
pub struct Frame {
    /// `{"type":"progress","cursor":"…","events":[…]}`, in UTF-8; counted by reference.
    pub text: Bytes,
    /// The id of its last event.
    pub last: i64,
    /// When the first of its events was stored, by the database's clock; of a frame that was copied
    /// from others, the earliest of theirs.
    pub received_at: Micros,
}

impl Frame {
    /// Its events in order, each with its id and as it is sent.
    pub fn events(&self) -> impl Iterator<Item = (i64, &str)> {
        // Made by `seal`, of events that begin with their ids.
        let text = std::str::from_utf8(&self.text).unwrap_or_default();
        let events = text.split_once(EVENTS).map_or("", |(_, events)| events);
        json::elements(events).filter_map(|event| {
            let id = event.strip_prefix("{\"id\":")?.split([',', '}']).next()?.parse().ok()?;
            Some((id, event))
        })
    }
}

/// Events of one class, one after the other, as a ready frame.
#[derive(Debug)]
pub struct Chunk {
    text: Bytes,
    /// Each event's id, and where its text begins.
    starts: Box<[(i64, u32)]>,
    /// See [`Frame::received_at`].
    received_at: Micros,
}

impl Chunk {
    /// The id of the last event.
    pub fn last(&self) -> i64 {
        // A chunk is made of one event at least.
        self.starts.last().map_or(0, |&(id, _)| id)
    }

    /// Bytes of memory it holds.
    pub fn weight(&self) -> usize {
        self.text.len() + std::mem::size_of_val(&*self.starts) + std::mem::size_of::<Self>()
    }

    /// The length of its frame in bytes.
    pub fn text_len(&self) -> usize {
        self.text.len()
    }

    /// Its frame.
    pub fn frame(&self) -> Frame {
        Frame { text: self.text.clone(), last: self.last(), received_at: self.received_at }
    }

    /// The index of the first event after `id`.
    fn after(&self, id: i64) -> usize {
        self.starts.partition_point(|&(other, _)| other <= id)
    }

    /// The text of some of its events, with the commas between them.
    fn events(&self, range: Range<usize>) -> &[u8] {
        let offset = |index: usize| self.starts.get(index).map(|&(_, at)| at as usize);
        let from = offset(range.start).unwrap_or(self.text.len());
        let to = offset(range.end).map_or(self.text.len() - TAIL.len(), |next| next - 1);
        &self.text[from..to]
    }
}

/// Makes frames out of events that come in id order.
#[derive(Debug)]
pub struct ChunkBuilder {
    epoch: Epoch,
    max_frame: usize,
    events: Vec<u8>,
    starts: Vec<(i64, u32)>,
    received_at: Option<Micros>,
    sealed: Vec<Chunk>,
    sealed_bytes: usize,
    scratch: String,
}

impl ChunkBuilder {
    /// A builder of frames whose cursors are of `epoch`.
    pub fn new(epoch: Epoch) -> Self {
        Self::with_max_frame(epoch, MAX_FRAME_BYTES)
    }

    /// The same, of frames of at most `max_frame` bytes, unless one event alone is larger.
    pub fn with_max_frame(epoch: Epoch, max_frame: usize) -> Self {
        Self {
            epoch,
            max_frame,
            events: Vec::new(),
            starts: Vec::new(),
            received_at: None,
            sealed: Vec::new(),
            sealed_bytes: 0,
            scratch: String::new(),
        }
    }

    /// Appends an event of the table.
    pub fn push(&mut self, event: &StoredEvent<'_>) {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        event.write(&mut text);
        self.append(text.as_bytes(), std::iter::once((event.id, 0)), event.received_at);
        // One large event must not keep its size for the rest of a long catch-up.
        text.shrink_to(MAX_FRAME_BYTES);
        self.scratch = text;
    }

    /// Appends an event as subscribers get it.
    pub fn push_written(&mut self, id: i64, text: &str, received_at: Micros) {
        self.append(text.as_bytes(), std::iter::once((id, 0)), received_at);
    }

    /// Bytes of the frames so far.
    pub fn bytes(&self) -> usize {
        self.sealed_bytes + self.events.len()
    }

    /// Appends events that stand in another chunk.
    fn copy(&mut self, chunk: &Chunk, range: Range<usize>) {
        let text = chunk.events(range.clone());
        let base = chunk.starts[range.start].1;
        let starts = chunk.starts[range].iter().map(|&(id, at)| (id, at - base));
        self.append(text, starts, chunk.received_at);
    }

    fn append(
        &mut self,
        text: &[u8],
        starts: impl Iterator<Item = (i64, u32)>,
        received_at: Micros,
    ) {
        if self.events.len() + text.len() + ENVELOPE_BYTES > self.max_frame {
            self.seal();
        }
        let earliest = self.received_at.map_or(received_at, |earliest| earliest.min(received_at));
        self.received_at = Some(earliest);
        if !self.starts.is_empty() {
            self.events.push(b',');
        }
        // A frame is one event of at most --max-body and some, or MAX_FRAME_BYTES: far below 4 GiB.
        let base = self.events.len() as u32;
        self.starts.extend(starts.map(|(id, at)| (id, at + base)));
        self.events.extend_from_slice(text);
    }

    fn seal(&mut self) {
        let Some(&(last, _)) = self.starts.last() else { return };
        let cursor = Cursor { epoch: self.epoch.clone(), id: last };
        let head = format!("{{\"type\":\"progress\",\"cursor\":\"{cursor}\"{EVENTS}[");
        let mut text = Vec::with_capacity(head.len() + self.events.len() + TAIL.len());
        text.extend_from_slice(head.as_bytes());
        text.extend_from_slice(&self.events);
        text.extend_from_slice(TAIL);
        self.events.clear();
        let starts = self.starts.drain(..).map(|(id, at)| (id, at + head.len() as u32)).collect();
        self.sealed_bytes += text.len();
        let received_at = self.received_at.take().unwrap_or(Micros(0));
        self.sealed.push(Chunk { text: text.into(), starts, received_at });
    }

    /// The chunks, in order.
    pub fn finish(mut self) -> Vec<Chunk> {
        self.seal();
        self.sealed
    }
}

/// Events of all classes, in id order, into each class's chunks.
#[derive(Debug)]
pub struct ChunkSet {
    epoch: Epoch,
    classes: HashMap<ClassId, ChunkBuilder>,
    bytes: usize,
}

impl ChunkSet {
    /// An empty set whose cursors are of `epoch`.
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, classes: HashMap::new(), bytes: 0 }
    }

    /// Adds the next event.
    pub fn push(&mut self, event: &StoredEvent<'_>) {
        self.bytes += event.body.len();
        if let Some(builder) = self.classes.get_mut(event.class) {
            return builder.push(event);
        }
        let mut builder = ChunkBuilder::new(self.epoch.clone());
        builder.push(event);
        self.classes.insert(ClassId::stored(event.class), builder);
    }

    /// Bytes of bodies since the last [`ChunkSet::take`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes what was added so far, each class's chunks in order.
    pub fn take(&mut self) -> Vec<(ClassId, Chunk)> {
        self.bytes = 0;
        let mut chunks = Vec::with_capacity(self.classes.len());
        for (class, builder) in self.classes.drain() {
            chunks.extend(builder.finish().into_iter().map(|chunk| (class.clone(), chunk)));
        }
        // Oldest first, as the log lets go of them.
        chunks.sort_by_key(|(_, chunk)| chunk.last());
        chunks
    }
}

/// Joins the chunks of several classes into frames in id order. Where a whole chunk fits, its frame
/// is shared; where classes interleave, or a cursor lies inside a chunk, its events are copied into
/// a frame of the subscriber's own.
pub(super) struct FrameJoiner {
    epoch: Epoch,
    max_bytes: usize,
    frames: Vec<Frame>,
    bytes: usize,
    own: Option<ChunkBuilder>,
}

impl FrameJoiner {
    pub(super) fn new(epoch: Epoch, max_bytes: usize) -> Self {
        Self { epoch, max_bytes, frames: Vec::new(), bytes: 0, own: None }
    }

    /// Takes events after `after` from `sources` (each a class's chunks in order, each with
    /// something to give) until one of them is used up or enough was taken. Returns the id up to
    /// which all of them have been given.
    pub(super) fn merge(&mut self, sources: Vec<Vec<Arc<Chunk>>>, after: i64) -> i64 {
        let mut sources: Vec<Source> =
            sources.into_iter().map(|chunks| Source::new(chunks, after)).collect();
        let mut through = after;
        loop {
            // The class whose event comes next, and the id at which another class's does.
            let mut next: Option<(usize, i64)> = None;
            let mut bound = i64::MAX;
            for (index, source) in sources.iter().enumerate() {
                // A class that is used up here may go on in the log: nothing is known beyond.
                let Some(id) = source.next_id() else { return through };
                match next {
                    Some((_, smallest)) if id > smallest => bound = bound.min(id),
                    _ => {
                        bound = next.map_or(bound, |(_, smallest)| smallest);
                        next = Some((index, id));
                    }
                }
            }
            let Some((index, _)) = next else { return through };
            if self.bytes >= self.max_bytes {
                return through;
            }
            through = self.take_run(&mut sources[index], bound);
        }
    }

    /// Takes one chunk's events below `bound`; returns the last one's id.
    fn take_run(&mut self, source: &mut Source, bound: i64) -> i64 {
        let chunk = Arc::clone(&source.chunks[source.chunk]);
        let range = source.event..chunk.after(bound.saturating_sub(1));
        let last = chunk.starts[range.end - 1].0;
        if range == (0..chunk.starts.len()) {
            self.flush();
            self.frames.push(chunk.frame());
            self.bytes += chunk.text_len();
        } else {
            self.bytes += chunk.events(range.clone()).len();
            self.own
                .get_or_insert_with(|| ChunkBuilder::new(self.epoch.clone()))
                .copy(&chunk, range.clone());
        }
        source.advance(range.end);
        last
    }

    fn flush(&mut self) {
        if let Some(own) = self.own.take() {
            self.frames.extend(own.finish().iter().map(Chunk::frame));
        }
    }

    pub(super) fn finish(mut self) -> Vec<Frame> {
        self.flush();
        self.frames
    }
}

/// A class's chunks, and how far they were taken.
struct Source {
    chunks: Vec<Arc<Chunk>>,
    chunk: usize,
    event: usize,
}

impl Source {
    fn new(chunks: Vec<Arc<Chunk>>, after: i64) -> Self {
        let event = chunks.first().map_or(0, |chunk| chunk.after(after));
        Self { chunks, chunk: 0, event }
    }

    fn next_id(&self) -> Option<i64> {
        self.chunks.get(self.chunk).map(|chunk| chunk.starts[self.event].0)
    }

    fn advance(&mut self, event: usize) {
        if event < self.chunks[self.chunk].starts.len() {
            self.event = event;
        } else {
            self.chunk += 1;
            self.event = 0;
        }
    }
}
