//! Follows the table: one read per replica per ring, "what is after my cursor", into the log.
//!
//! Rings that come during a read share the next one. A slow tick rings too, so that a lost bell delays and never loses. Whoever
//! needs to know how far the table goes *now* asks for [`Tail::position`]: it is a ring that is waited for, and many who
//! ask at once share one read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Reconnect;
use crate::event::{Cursor, Epoch};
use crate::log::{ChunkSet, Log};
use crate::state::Classes;
use crate::store::{ConnectError, Connector, Header, LogReader, explain, mend_sequence};
use crate::vital::Vital;

/// How often the table is looked at when no bell rings.
const FALLBACK_TICK: Duration = Duration::from_secs(2);
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
}

#[derive(Debug)]
struct Answered {
    /// As many of the positions asked for, or more, are answered by `position`.
    asked: u64,
    position: Position,
    connected: bool,
}

impl Tail {
    /// Connects, and makes a log of at most `log_memory` bytes that stands at the table's end; then follows it, and keeps
    /// `classes` up.
    ///
    /// # Errors
    /// If there is no connection, or the first read fails; later the tail tries again by itself.
    pub async fn start(
        connector: &Connector,
        log_memory: usize,
        classes: &Classes,
        vital: &Vital,
    ) -> Result<(Self, Arc<Log>, AbortOnDropHandle<()>), StartError> {
        let reader = connect(connector).await?;
        let header = reader.end().await.map_err(|error| StartError::Read(error.to_string()))?;
        let position = position(&header, end_of(&header));
        let log = Arc::new(Log::new(position.cursor.clone(), log_memory));
        classes.set_clock(header.clock);
        classes.reset(&position.cursor, header.deletions);
        let (answered, _) = watch::channel(Answered { asked: 0, position, connected: true });
        let shared = Arc::new(Shared { bell: Notify::new(), asked: AtomicU64::new(0), answered });
        let follower = Follower {
            connector: connector.clone(),
            log: Arc::clone(&log),
            classes: classes.clone(),
            shared: Arc::clone(&shared),
        };
        let task = vital.spawn("tail", follower.run(reader));
        Ok((Self { shared }, log, task))
    }

    /// A tail that follows nothing, for sessions without a database.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        let cursor = Cursor { epoch: Epoch::new("none"), id: 0 };
        let position = Position { cursor, sequence: 0, pruned: 0 };
        let (answered, _) = watch::channel(Answered { asked: 0, position, connected: false });
        Self { shared: Arc::new(Shared { bell: Notify::new(), asked: AtomicU64::new(0), answered }) }
    }

    /// Something may have come.
    pub fn ring(&self) {
        self.shared.bell.notify_one();
    }

    /// Whether its connection stands.
    pub fn is_connected(&self) -> bool {
        self.shared.answered.borrow().connected
    }

    /// How far the log goes, by a read that begins after this call: whatever was acknowledged before, by any replica, is
    /// within it, and is in the log.
    ///
    /// # Errors
    /// [`Unreachable`] if that takes longer than `patience`.
    pub async fn position(&self, patience: Duration) -> Result<Position, Unreachable> {
        let mut answered = self.shared.answered.subscribe();
        let ticket = self.shared.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.ring();
        let answer = timeout(patience, answered.wait_for(|answered| answered.asked >= ticket)).await;
        match answer {
            Ok(Ok(answered)) => Ok(answered.position.clone()),
            Ok(Err(_)) | Err(_) => Err(Unreachable),
        }
    }
}

/// Why the tail could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The first read failed.
    #[error("reading the log's end: {0}")]
    Read(String),
}

async fn connect(connector: &Connector) -> Result<LogReader, StartError> {
    let session = connector.connect("tail").await?;
    let prepared = timeout(READ_DEADLINE, LogReader::new(session)).await;
    match prepared {
        Ok(reader) => reader.map_err(|error| StartError::Read(explain(&error))),
        Err(_) => Err(StartError::Read(format!("no answer within {} s", READ_DEADLINE.as_secs()))),
    }
}

/// Where a log that begins now stands.
fn end_of(header: &Header) -> i64 {
    header.newest.unwrap_or(0).max(header.pruned)
}

fn position(header: &Header, id: i64) -> Position {
    Position {
        cursor: Cursor { epoch: header.epoch.clone(), id },
        sequence: header.sequence,
        pruned: header.pruned,
    }
}

struct Follower {
    connector: Connector,
    log: Arc<Log>,
    classes: Classes,
    shared: Arc<Shared>,
}

impl Follower {
    async fn run(self, reader: LogReader) {
        let mut reconnect = Reconnect::new("tail");
        let mut first = Some(reader);
        loop {
            let connected = match first.take() {
                Some(reader) => Ok(reader),
                None => connect(&self.connector).await,
            };
            let reason = match connected {
                Ok(reader) => self.follow(&reader, &mut reconnect).await,
                Err(error) => error.to_string(),
            };
            self.shared.answered.send_modify(|answered| answered.connected = false);
            reconnect.failed(&reason).await;
        }
    }

    /// Reads at once, and then at every ring, until the connection fails; says why.
    async fn follow(&self, reader: &LogReader, reconnect: &mut Reconnect) -> String {
        loop {
            // Whoever asked by now is answered by a read that begins now.
            let asked = self.shared.asked.load(Ordering::Acquire);
            match self.read(reader).await {
                Ok(position) => {
                    let connected = true;
                    self.shared.answered.send_replace(Answered { asked, position, connected });
                    reconnect.succeeded();
                }
                Err(reason) => return reason,
            }
            tokio::select! {
                () = self.shared.bell.notified() => {}
                () = tokio::time::sleep(FALLBACK_TICK) => {}
                () = reader.session.ended() => return "the connection was lost".to_owned(),
            }
        }
    }

    /// Reads what is after the log's head, to the table's end.
    async fn read(&self, reader: &LogReader) -> Result<Position, String> {
        loop {
            let from = self.log.position();
            let mut set = ChunkSet::new(from.epoch.clone());
            let mut intake = self.classes.begin();
            let reading = reader.read(from.id, READ_ROWS, |header, event| {
                if event.is_none() {
                    self.classes.set_clock(header.clock);
                }
                // Of another epoch, ids mean nothing here.
                let goes_on = header.epoch == from.epoch && header.deletions == self.classes.deletions();
                let Some(event) = event.filter(|_| goes_on) else { return };
                intake.event(event);
                set.push(event);
                if set.bytes() >= APPEND_BYTES {
                    intake.through(event.id);
                    self.log.append(set.take(), event.id);
                }
            });
            let Ok(extent) = timeout(READ_DEADLINE, reading).await else {
                reader.session.cancel().await;
                return Err(format!("a read took over {} s", READ_DEADLINE.as_secs()));
            };
            let extent = extent.map_err(|error| error.to_string())?;
            let header = extent.header;
            if header.epoch != from.epoch {
                self.renew(reader, &from.epoch).await?;
            } else if header.deletions != self.classes.deletions() {
                self.classes.forget(None, header.deletions);
            } else if header.sequence < extent.last {
                tracing::warn!(
                    sequence = header.sequence,
                    cursor = from.id,
                    last = extent.last,
                    "there are ids that the sequence has not given out, or it was set back: a restored database, perhaps. \
                     It is raised, and every cursor is void"
                );
                mend_sequence(&reader.session, &from.epoch).await.map_err(|error| explain(&error))?;
            } else {
                // State first: whoever is woken by the log finds it there.
                intake.through(extent.last);
                self.log.append(set.take(), extent.last);
                if extent.events < READ_ROWS as usize {
                    return Ok(position(&header, extent.last));
                }
            }
        }
    }

    /// Ids were issued anew: what is in memory is of no use, and every subscriber is told.
    async fn renew(&self, reader: &LogReader, before: &Epoch) -> Result<(), String> {
        let end = timeout(READ_DEADLINE, reader.end()).await;
        let header = end.map_err(|_| "reading the log's end took too long".to_owned())?;
        let header = header.map_err(|error| error.to_string())?;
        tracing::warn!(%before, now = %header.epoch, "the log's epoch has changed: every subscriber is reset");
        let end = Cursor { epoch: header.epoch.clone(), id: end_of(&header) };
        self.classes.reset(&end, header.deletions);
        self.log.reset(end);
        Ok(())
    }
}
