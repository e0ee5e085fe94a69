//! Follows the table: one read per replica per ring, "what is after my cursor", into the log.
//!
//! Rings that come during a read share the next one. A slow tick rings too, so that a lost bell
//! delays and never loses. Whoever needs to know how far the table goes *now* asks for
//! [`Tail::position`]: it is a ring that is waited for, and many who ask at once share one read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Reconnect;
use crate::event::{Cursor, Epoch};
use crate::log::{ChunkSet, Log};
use crate::metrics::{Histogram, Registry};
use crate::state::Classes;
use crate::store::{
    Agreement, Connector, Header, Homecoming, LogReader, deleted_classes, explain, mend_sequence,
    settle_home,
};
use crate::vital::Vital;

/// How often the table is looked at when no bell rings. It is the tail's probe of its connection,
/// too.
const FALLBACK_TICK: Duration = Duration::from_secs(1);
/// The same while it is not proven that bells are heard.
const DEAF_TICK: Duration = Duration::from_millis(200);
/// A read that brings nothing for this long is tried on another connection: this one may lead
/// nowhere any more. It doubles with every try, up to [`READ_DEADLINE`], so that a server that is
/// just slow is not asked again and again.
const READ_STALL: Duration = Duration::from_secs(2);
/// A sequence that has to be mended again within this long is not mended: something sets it back.
const MEND_INTERVAL: Duration = Duration::from_secs(60);
/// Most events of one read: what is further behind comes with the next.
const READ_ROWS: i64 = 10_000;
/// Longest a read may take.
const READ_DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of events after which subscribers get what has been read so far.
const APPEND_BYTES: usize = 256 * 1024;

/// How far the log went at some moment.
#[derive(Debug, Clone)]
pub struct Position {
    /// Everything up to here was committed, and is in the log or the table.
    pub cursor: Cursor,
    /// The last id that the database had allocated.
    pub sequence: i64,
    /// Ids up to here may have been pruned.
    pub pruned: i64,
    /// The log's expiry when it was read: see [`Log::expiry`].
    pub expiry: u64,
}

/// The database did not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database did not say in time how far the log goes")]
pub struct Unreachable;

/// Rings the tail. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tail {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bell: Notify,
    /// Positions asked for so far.
    asked: AtomicU64,
    answered: watch::Sender<Answered>,
    /// Whether bells may not be heard.
    deaf: AtomicBool,
    /// Since when the doorbell's ring is not answered by a read, in nanoseconds after `origin`; 0
    /// without one.
    rung: AtomicU64,
    origin: Instant,
    doorbell_to_read: Histogram,
}

impl Shared {
    /// A read has ended that began after the doorbell's ring at `rung`, if it rang.
    fn note_answered(&self, rung: u64) {
        if rung > 0 {
            let rung = Duration::from_nanos(rung);
            self.doorbell_to_read.observe(self.origin.elapsed().saturating_sub(rung));
        }
    }
}

#[derive(Debug)]
struct Answered {
    /// As many of the positions asked for, or more, are answered by `position`.
    asked: u64,
    position: Position,
    /// Since when there is no connection; `None` while there is one.
    away_since: Option<Instant>,
}

/// What a tail feeds, and whom it asks.
#[derive(Debug)]
pub struct Parts {
    /// Which server this replica stands on: the tail decides it.
    pub agreement: Agreement,
    /// The log in memory.
    pub log: Arc<Log>,
    /// The classes in use.
    pub classes: Classes,
}

impl Tail {
    /// Follows the table, from its end when it is first reached, and keeps the log and the classes
    /// up. Until then nobody knows where the log ends.
    pub fn start(
        connector: &Connector,
        parts: Parts,
        vital: &Vital,
    ) -> (Self, AbortOnDropHandle<()>) {
        let unknown = Position { cursor: parts.log.position(), sequence: 0, pruned: 0, expiry: 0 };
        let tail = Self::at(unknown);
        let follower = Follower {
            connector: connector.clone(),
            parts,
            shared: Arc::clone(&tail.shared),
            deletions: None,
            mended: None,
        };
        let task = vital.spawn("tail", follower.run());
        (tail, task)
    }

    fn at(position: Position) -> Self {
        let (answered, _) =
            watch::channel(Answered { asked: 0, position, away_since: Some(Instant::now()) });
        Self {
            shared: Arc::new(Shared {
                bell: Notify::new(),
                asked: AtomicU64::new(0),
                answered,
                deaf: AtomicBool::new(true),
                rung: AtomicU64::new(0),
                origin: Instant::now(),
                doorbell_to_read: Histogram::of_durations(),
            }),
        }
    }

    /// A tail that follows nothing, for sessions without a database.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        let cursor = Cursor { epoch: Epoch::new("none"), id: 0 };
        Self::at(Position { cursor, sequence: 0, pruned: 0, expiry: 0 })
    }

    /// Whether bells may not be heard: then the table is looked at more often.
    pub fn set_deaf(&self, deaf: bool) {
        self.shared.deaf.store(deaf, Ordering::Relaxed);
        self.ring();
    }

    /// Something may have come.
    pub fn ring(&self) {
        self.shared.bell.notify_one();
    }

    /// The doorbell has rung: new events were committed.
    pub fn doorbell(&self) {
        let now = u64::try_from(self.shared.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Of several rings the first counts: its event has waited longest.
        let (unset, relaxed) = (0, Ordering::Relaxed);
        let _ = self.shared.rung.compare_exchange(unset, now.max(1), relaxed, relaxed);
        self.ring();
    }

    /// Registers the tail's metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.histogram(
            "relay_doorbell_to_read_seconds",
            "Time from the doorbell to the end of the read that answers it.",
            &self.shared.doorbell_to_read,
        );
    }

    /// Since when it has no connection; `None` while it has one.
    pub fn away_since(&self) -> Option<Instant> {
        self.shared.answered.borrow().away_since
    }

    /// How far the log goes, by a read that begins after this call: whatever was acknowledged
    /// before, by any replica, is within it, and is in the log.
    ///
    /// # Errors
    /// [`Unreachable`] if that takes longer than `patience`.
    pub async fn position(&self, patience: Duration) -> Result<Position, Unreachable> {
        let mut answered = self.shared.answered.subscribe();
        let ticket = self.shared.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.ring();
        let answer =
            timeout(patience, answered.wait_for(|answered| answered.asked >= ticket)).await;
        match answer {
            Ok(Ok(answered)) => Ok(answered.position.clone()),
            Ok(Err(_)) | Err(_) => Err(Unreachable),
        }
    }
}

/// Where a log that begins now stands.
fn end_of(header: &Header) -> i64 {
    header.newest.unwrap_or(0).max(header.pruned)
}

/// Why the tail's connection is given up.
enum Lost {
    /// It brought nothing for too long: the server may still work for nobody.
    Stalled(String),
    /// It failed, or leads to the wrong server.
    Failed(String),
}

impl From<String> for Lost {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

struct Follower {
    connector: Connector,
    parts: Parts,
    shared: Arc<Shared>,
    /// How many statements had deleted events when the log was last looked at; `None` before that.
    deletions: Option<i64>,
    /// When the sequence was mended last.
    mended: Option<Instant>,
}

impl Follower {
    async fn run(mut self) {
        let mut reconnect = Reconnect::new("tail");
        let mut patience = READ_STALL;
        loop {
            let reason = match self.connect().await {
                Ok(reader) => {
                    self.parts.agreement.note_server("tail", Some(reader.session.place.clone()));
                    match self.follow(&reader, patience, &mut reconnect).await {
                        (_, Lost::Failed(reason)) => {
                            patience = READ_STALL;
                            reason
                        }
                        (has_read, Lost::Stalled(reason)) => {
                            // On another connection at once; this one is not waited for.
                            patience = if has_read {
                                READ_STALL
                            } else {
                                (2 * patience).min(READ_DEADLINE)
                            };
                            reader.session.abandon();
                            reason
                        }
                    }
                }
                Err(reason) => reason,
            };
            self.parts.agreement.note_server("tail", None);
            self.shared.answered.send_modify(|answered| {
                answered.away_since.get_or_insert_with(Instant::now);
            });
            reconnect.failed(&reason).await;
        }
    }

    async fn connect(&self) -> Result<LogReader, String> {
        let session = self.connector.connect("tail").await.map_err(|error| error.to_string())?;
        let prepare = async {
            let homecoming = settle_home(&session).await.map_err(|error| explain(&error))?;
            match homecoming {
                Homecoming::AtHome => {}
                Homecoming::Promoted => tracing::warn!(
                    server = session.place,
                    "the server writes another timeline: a standby was promoted. Every cursor is \
                         void; snapshots stay"
                ),
                Homecoming::Moved => tracing::warn!(
                    server = session.place,
                    "the log was made in another cluster, database or table: a dump was restored. \
                         Every cursor is void"
                ),
            }
            let reader = LogReader::new(session).await.map_err(|error| explain(&error))?;
            let header = reader.end().await.map_err(|error| error.to_string())?;
            Ok::<_, String>((reader, header))
        };
        let (reader, header) = match timeout(READ_DEADLINE, prepare).await {
            Ok(prepared) => {
                prepared.map_err(|reason| format!("reading the log's end: {reason}"))?
            }
            Err(_) => {
                return Err(format!(
                    "the log's end was not read within {} s",
                    READ_DEADLINE.as_secs()
                ));
            }
        };
        if self.parts.agreement.is_outdated(&header.epoch) {
            return Err(format!(
                "{} is a primary of an older timeline than this relay has seen: an old primary \
                     that goes on after a \
                 failover; stop it (if it was restored on purpose, restart the relay)",
                reader.session.place
            ));
        }
        Ok(reader)
    }

    /// Reads at once, and then at every ring, until the connection is of no use; says whether it
    /// has read at all, and why it ended.
    async fn follow(
        &mut self,
        reader: &LogReader,
        patience: Duration,
        reconnect: &mut Reconnect,
    ) -> (bool, Lost) {
        let mut disputes = self.parts.agreement.disputes();
        let mut has_read = false;
        loop {
            // Whoever asked by now is answered by a read that begins now.
            let asked = self.shared.asked.load(Ordering::Acquire);
            let rung = self.shared.rung.swap(0, Ordering::Relaxed);
            match self.read(reader, if has_read { READ_STALL } else { patience }).await {
                Ok(position) => {
                    has_read = true;
                    self.shared.note_answered(rung);
                    self.shared.answered.send_replace(Answered {
                        asked,
                        position,
                        away_since: None,
                    });
                    reconnect.succeeded();
                }
                Err(lost) => return (has_read, lost),
            }
            if let Some(other) = self.parts.agreement.moves_to() {
                return (
                    has_read,
                    Lost::Failed(format!(
                        "this connection leads to {}, and a new one to another primary at {}: \
                             going there",
                        reader.session.place, other.place
                    )),
                );
            }
            let deaf = self.shared.deaf.load(Ordering::Relaxed);
            let tick = if deaf { DEAF_TICK } else { FALLBACK_TICK };
            tokio::select! {
                () = self.shared.bell.notified() => {}
                () = tokio::time::sleep(tick) => {}
                _ = disputes.changed() => {}
                () = reader.session.ended() => return (has_read, "the connection was \
                     lost".to_owned().into()),
            }
        }
    }

    /// Reads what is after the log's head, to the table's end.
    async fn read(&mut self, reader: &LogReader, stall: Duration) -> Result<Position, Lost> {
        let (log, classes) = (Arc::clone(&self.parts.log), self.parts.classes.clone());
        loop {
            let from = log.position();
            let known = self.deletions;
            let mut set = ChunkSet::new(from.epoch.clone());
            let mut intake = classes.begin();
            let progress = AtomicU64::new(0);
            let reading = reader.read(from.id, READ_ROWS, |header, event| {
                progress.fetch_add(1, Ordering::Relaxed);
                if event.is_none() {
                    classes.set_clock(header.clock);
                }
                // Of another epoch, ids mean nothing here; after a deletion, something may be
                // missing.
                let goes_on = header.epoch == from.epoch
                    && header.at_home
                    && header.pruned <= from.id
                    && Some(header.deletions) == known;
                let Some(event) = event.filter(|_| goes_on) else { return };
                intake.event(event);
                set.push(event);
                if set.bytes() >= APPEND_BYTES {
                    intake.through(event.id);
                    log.append(set.take(), event.id);
                }
            });
            let extent = match watch(reading, &progress, stall).await {
                Some(extent) => extent.map_err(|error| Lost::Failed(error.to_string()))?,
                None => {
                    return Err(Lost::Stalled(format!(
                        "a read brought nothing for {} s",
                        stall.as_secs()
                    )));
                }
            };
            let header = extent.header;
            if !header.at_home {
                // The next connection renews the nonce.
                return Err(Lost::Failed(
                    "the table is another than the log was begun in".to_owned(),
                ));
            }
            if header.epoch != from.epoch {
                self.renew(reader, &from.epoch).await?;
                continue;
            }
            // Said at each read, not only at the table's end: a long way there is no silence.
            self.parts.agreement.stand(&header.epoch);
            if header.sequence < extent.last {
                self.mend(reader, &header, &from, extent.last).await?;
            } else if header.pruned > from.id {
                self.expire_all(reader, &header, &from).await?;
            } else if Some(header.deletions) != known {
                self.follow_deletions(reader, &header, known).await?;
            } else {
                // State first: whoever is woken by the log finds it there.
                intake.through(extent.last);
                log.append(set.take(), extent.last);
                if extent.events < READ_ROWS as usize {
                    return Ok(self.position(&header, extent.last));
                }
            }
        }
    }

    fn position(&self, header: &Header, id: i64) -> Position {
        Position {
            cursor: Cursor { epoch: header.epoch.clone(), id },
            sequence: header.sequence,
            pruned: header.pruned,
            expiry: self.parts.log.expiry(),
        }
    }

    async fn end(&self, reader: &LogReader) -> Result<(Header, Cursor), Lost> {
        let end = timeout(READ_STALL, reader.end()).await;
        let header =
            end.map_err(|_| Lost::Stalled("reading the log's end took too long".to_owned()))?;
        let header = header.map_err(|error| Lost::Failed(error.to_string()))?;
        let cursor = Cursor { epoch: header.epoch.clone(), id: end_of(&header) };
        Ok((header, cursor))
    }

    /// Ids were reassigned, or this is the first read: what is in memory is of no use, and every
    /// subscriber is told.
    async fn renew(&mut self, reader: &LogReader, before: &Epoch) -> Result<(), Lost> {
        let (header, end) = self.end(reader).await?;
        if self.parts.agreement.epoch().is_some() {
            tracing::warn!(%before, now = %header.epoch, "the log's epoch has changed: every \
                 subscriber is reset");
        }
        self.deletions = Some(header.deletions);
        self.parts.classes.reset(&end, header.deletions);
        self.parts.log.reset(end);
        Ok(())
    }

    /// There are ids that the sequence has not given out, or it was set back.
    async fn mend(
        &mut self,
        reader: &LogReader,
        header: &Header,
        from: &Cursor,
        last: i64,
    ) -> Result<(), Lost> {
        let sequence = header.sequence;
        if self.mended.is_some_and(|mended| mended.elapsed() < MEND_INTERVAL) {
            return Err(Lost::Failed(format!(
                "the sequence of ids stands at {sequence}, behind the log's end at {last}, \
                     although it was raised less than \
                 {} s ago: something sets it back. Find out what, and raise it by setval",
                MEND_INTERVAL.as_secs()
            )));
        }
        tracing::warn!(
            sequence,
            cursor = from.id,
            last,
            "there are ids that the sequence has not given out, or it was set back: a restored \
                 database, perhaps. \
             It is raised, and every cursor is void"
        );
        self.mended = Some(Instant::now());
        let mending = timeout(READ_DEADLINE, mend_sequence(&reader.session, &from.epoch)).await;
        let mended =
            mending.map_err(|_| Lost::Stalled("raising the sequence took too long".to_owned()))?;
        mended.map_err(|error| Lost::Failed(explain(&error)))
    }

    /// Events after the log's head were pruned before they were read: the gap is announced to
    /// everybody.
    async fn expire_all(
        &mut self,
        reader: &LogReader,
        header: &Header,
        from: &Cursor,
    ) -> Result<(), Lost> {
        let (now, end) = self.end(reader).await?;
        if now.epoch != from.epoch {
            return Ok(());
        }
        tracing::warn!(
            head = from.id,
            pruned = header.pruned,
            "events were deleted before they were read: every subscriber is reset"
        );
        self.deletions = Some(now.deletions);
        self.parts.classes.reset(&end, now.deletions);
        self.parts.log.expire_all(end);
        Ok(())
    }

    /// Events were deleted by SQL: their classes are read anew, and their subscribers reset.
    async fn follow_deletions(
        &mut self,
        reader: &LogReader,
        header: &Header,
        known: Option<i64>,
    ) -> Result<(), Lost> {
        let now = header.deletions;
        let looking =
            timeout(READ_DEADLINE, deleted_classes(&reader.session, known.unwrap_or(0), now)).await;
        let classes =
            looking.map_err(|_| Lost::Stalled("reading the deletions took too long".to_owned()))?;
        let classes = classes.map_err(|error| Lost::Failed(explain(&error)))?;
        match &classes {
            Some(classes) => {
                tracing::warn!(?classes, "events were deleted by SQL: these classes are read anew")
            }
            None => tracing::warn!("events were deleted by SQL: all classes are read anew"),
        }
        self.deletions = Some(now);
        self.parts.classes.forget(classes.as_deref(), now);
        self.parts.log.expire(classes.as_deref());
        Ok(())
    }
}

/// Waits for a read as long as it makes progress; `None` once it has made none for `stall` or a
/// little more.
async fn watch<T>(
    reading: impl Future<Output = T>,
    progress: &AtomicU64,
    stall: Duration,
) -> Option<T> {
    const LOOKS: u32 = 4;
    let mut reading = std::pin::pin!(reading);
    let (mut seen, mut looks) = (0, 0);
    loop {
        tokio::select! {
            done = &mut reading => return Some(done),
            () = tokio::time::sleep(stall / LOOKS) => {}
        }
        let now = progress.load(Ordering::Relaxed);
        looks = if now == seen { looks + 1 } else { 0 };
        seen = now;
        if looks >= LOOKS {
            return None;
        }
    }
}
