//! Chunks: each is a run of a class's events as one ready frame, which is serialised once and
//! shared by all subscribers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::event::{ClassId, Cursor, Epoch, Micros, StoredEvent};

/// The largest frame in bytes, unless a single event is larger.
pub(crate) const MAX_FRAME_BYTES: usize = 256 * 1024;

/// The bytes around a frame's events (type, cursor, brackets) are fewer than this.
pub(crate) const ENVELOPE_BYTES: usize = 160;
const EVENTS: &str = ",\"events\":";
const TAIL: &[u8] = b"]}";

/// A `progress` frame, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct EncodedFrame {
    /// `{"type":"progress","cursor":"…","events":[…]}`, in UTF-8. A clone shares the bytes.
    pub text: Bytes,
    /// The id of the last event.
    pub last: i64,
    /// See [`Chunk::starts`].
    starts: Arc<[(i64, u32)]>,
    /// When the first of its events was stored, by the database's clock; of a frame that was copied
    /// from others, the earliest of theirs.
    pub received_at: Micros,
}

impl EncodedFrame {
    /// The events in order, each with its id and its text.
    pub(crate) fn events(&self) -> impl Iterator<Item = (i64, &str)> {
        // `seal` has made the text.
        let text = std::str::from_utf8(&self.text).unwrap_or_default();
        let event = move |index| text.get(extent(&self.starts, index..index + 1, self.text.len()));
        let ids = self.starts.iter().map(|&(id, _)| id).enumerate();
        ids.filter_map(move |(index, id)| Some((id, event(index)?)))
    }
}

/// Consecutive events of one class as a ready frame.
#[derive(Debug)]
pub(crate) struct Chunk {
    text: Bytes,
    /// Each event's id, and the offset of its text.
    starts: Arc<[(i64, u32)]>,
    /// See [`EncodedFrame::received_at`].
    received_at: Micros,
}

impl Chunk {
    /// The id of the last event.
    pub(crate) fn last(&self) -> i64 {
        // A chunk has at least one event.
        self.starts.last().map_or(0, |&(id, _)| id)
    }

    /// The bytes of memory that the chunk takes.
    pub(crate) fn weight(&self) -> usize {
        self.text.len() + std::mem::size_of_val(&*self.starts) + std::mem::size_of::<Self>()
    }

    /// The length of the frame in bytes.
    pub(crate) fn text_len(&self) -> usize {
        self.text.len()
    }

    /// A frame that shares the entry's text.
    pub(crate) fn frame(&self) -> EncodedFrame {
        let (text, starts) = (self.text.clone(), Arc::clone(&self.starts));
        EncodedFrame { text, last: self.last(), starts, received_at: self.received_at }
    }

    /// The index of the first event after `id`.
    fn after(&self, id: i64) -> usize {
        self.starts.partition_point(|&(other, _)| other <= id)
    }

    /// The text of a range of events, with the commas between them.
    fn events(&self, range: Range<usize>) -> &[u8] {
        &self.text[extent(&self.starts, range, self.text.len())]
    }
}

/// Where a range of events stands in a frame of `length` bytes, with the commas between them.
fn extent(starts: &[(i64, u32)], range: Range<usize>, length: usize) -> Range<usize> {
    let offset = |index: usize| starts.get(index).map(|&(_, at)| at as usize);
    let from = offset(range.start).unwrap_or(length);
    let to = offset(range.end).map_or(length - TAIL.len(), |next| next - 1);
    from..to
}

/// Makes chunks of events that are added in the order of their ids.
#[derive(Debug)]
pub(crate) struct ChunkBuilder {
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
    /// A builder of frames whose cursors have this epoch.
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self::with_max_frame(epoch, MAX_FRAME_BYTES)
    }

    /// The same, for frames of at most `max_frame` bytes, unless a single event is larger.
    pub(crate) fn with_max_frame(epoch: Epoch, max_frame: usize) -> Self {
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

    /// Adds an event of the table.
    pub(crate) fn push(&mut self, event: &StoredEvent<'_>) {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        event.write(&mut text);
        self.append(text.as_bytes(), std::iter::once((event.id, 0)), event.received_at);
        // One large event must not keep its memory for the rest of a long catch-up.
        text.shrink_to(MAX_FRAME_BYTES);
        self.scratch = text;
    }

    /// Adds an event that is already in the form in which it is delivered.
    pub(crate) fn push_written(&mut self, id: i64, text: &str, received_at: Micros) {
        self.append(text.as_bytes(), std::iter::once((id, 0)), received_at);
    }

    /// The bytes of the frames so far.
    pub(crate) fn bytes(&self) -> usize {
        self.sealed_bytes + self.events.len()
    }

    /// Adds a range of another chunk's events.
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
        // The offset fits: a frame has at most MAX_FRAME_BYTES, or one event of about --max-body,
        // which is far below 4 GiB.
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

    /// Returns the chunks, in order.
    pub(crate) fn finish(mut self) -> Vec<Chunk> {
        self.seal();
        self.sealed
    }
}

/// Distributes the events of all classes, which are added in the order of their ids, to the chunks
/// of each class.
#[derive(Debug)]
pub(crate) struct ChunkSet {
    epoch: Epoch,
    classes: HashMap<ClassId, ChunkBuilder>,
    bytes: usize,
}

impl ChunkSet {
    /// An empty set of chunks whose cursors have this epoch.
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { epoch, classes: HashMap::new(), bytes: 0 }
    }

    /// Adds the next event.
    pub(crate) fn push(&mut self, event: &StoredEvent<'_>) {
        self.bytes += event.body.len();
        if let Some(builder) = self.classes.get_mut(event.class) {
            return builder.push(event);
        }
        let mut builder = ChunkBuilder::new(self.epoch.clone());
        builder.push(event);
        self.classes.insert(ClassId::stored(event.class), builder);
    }

    /// The bytes of the bodies since the last [`ChunkSet::take`].
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the chunks of the events so far, oldest first.
    pub(crate) fn take(&mut self) -> Vec<(ClassId, Chunk)> {
        self.bytes = 0;
        let mut chunks = Vec::with_capacity(self.classes.len());
        for (class, builder) in self.classes.drain() {
            chunks.extend(builder.finish().into_iter().map(|chunk| (class.clone(), chunk)));
        }
        // The log evicts them in this order.
        chunks.sort_by_key(|(_, chunk)| chunk.last());
        chunks
    }
}

/// Joins the chunks of several classes into frames in the order of ids. A whole chunk between other
/// classes' events is delivered as its shared frame. Where classes interleave, or a cursor lies
/// inside a chunk, events are copied into a frame for this subscriber alone.
pub(super) struct FrameJoiner {
    epoch: Epoch,
    max_bytes: usize,
    frames: Vec<EncodedFrame>,
    bytes: usize,
    /// The frame for this subscriber alone that is being built.
    own: Option<ChunkBuilder>,
}

impl FrameJoiner {
    pub(super) fn new(epoch: Epoch, max_bytes: usize) -> Self {
        Self { epoch, max_bytes, frames: Vec::new(), bytes: 0, own: None }
    }

    /// Takes the events after `after` from `sources` until one source is used up or the frames have
    /// `max_bytes`. Each source is a class's chunks in order, with at least one event after
    /// `after`. Returns the id up to which the frames are complete for all classes.
    pub(super) fn merge(&mut self, sources: Vec<Vec<Arc<Chunk>>>, after: i64) -> i64 {
        let mut sources: Vec<Source> =
            sources.into_iter().map(|chunks| Source::new(chunks, after)).collect();
        let mut through = after;
        loop {
            // The source whose event comes next, and the id of the first event of any other source.
            let mut next: Option<(usize, i64)> = None;
            let mut bound = i64::MAX;
            for (index, source) in sources.iter().enumerate() {
                // The class may have further events in the log, so the frames are complete only up
                // to here.
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

    /// Takes the events below `bound` from the source's current chunk. Returns the id of the last.
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

    pub(super) fn finish(mut self) -> Vec<EncodedFrame> {
        self.flush();
        self.frames
    }
}

/// The chunks of a class, and the position of the next event.
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
