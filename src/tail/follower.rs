//! The task behind the tail: connects, reads after each ring, and hands the events to the state and
//! to the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::handle::{Answered, Position, Shared, Tail};
use crate::agreement::Agreement;
use crate::backoff::Reconnect;
use crate::database::{Connector, Header, HomeCheck, LogReader, LogRow, check_home, explain};
use crate::event::{Cursor, EventId};
use crate::log::{ChunkSet, Log};
use crate::state::Classes;

/// The tail reads this often when no ring comes. The read also proves its connection.
const FALLBACK_TICK: Duration = Duration::from_secs(1);
/// The same while it is not proven that notifications arrive.
const UNPROVEN_TICK: Duration = Duration::from_millis(200);
/// A read that brings no row for this long is tried on another connection, since this one may be
/// half open. The time doubles with every try, up to [`READ_DEADLINE`], so that a server that is
/// only slow does not get one read after the other.
pub(super) const READ_STALL: Duration = Duration::from_secs(2);
/// Most events of one read. The next read brings the events behind them.
const READ_ROWS: i64 = 10_000;
/// The longest that a read may take.
pub(super) const READ_DEADLINE: Duration = Duration::from_secs(30);
/// A read hands its events to subscribers whenever it has this many bytes of them.
const APPEND_BYTES: usize = 256 * 1024;

/// The log line about a server that does not tell its timeline, which is written once.
static TIMELINE_REFUSED: Once = Once::new();

/// The parts that the tail feeds, and the one that it informs.
#[derive(Debug)]
pub(crate) struct TailParts {
    /// The server that this replica stands on: the tail decides it.
    pub agreement: Agreement,
    /// The newest events in memory.
    pub log: Arc<Log>,
    /// The classes in use.
    pub classes: Classes,
}

/// Why the tail gives up a connection.
pub(super) enum Lost {
    /// A read brought nothing for too long. The server may still be working on it.
    Stalled(String),
    /// The connection failed, or leads to the wrong server.
    Failed(String),
}

impl From<String> for Lost {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

pub(super) struct Follower {
    connector: Connector,
    pub(super) parts: TailParts,
    shared: Arc<Shared>,
    /// The number of statements that had deleted events when the tail last read the log's header;
    /// `None` before the first read.
    pub(super) deletions: Option<i64>,
    /// The moment at which the sequence was last raised.
    pub(super) mended: Option<Instant>,
}

impl Follower {
    pub(super) fn new(connector: Connector, parts: TailParts, tail: &Tail) -> Self {
        let shared = Arc::clone(&tail.shared);
        Self { connector, parts, shared, deletions: None, mended: None }
    }

    pub(super) async fn run(mut self) {
        let mut reconnect = Reconnect::new("tail");
        let mut patience = READ_STALL;
        loop {
            let reason = match self.connect().await {
                Ok(reader) => {
                    self.parts.agreement.note_server("tail", Some(reader.session.server.clone()));
                    match self.follow(&reader, patience, &mut reconnect).await {
                        (_, Lost::Failed(reason)) => {
                            patience = READ_STALL;
                            reason
                        }
                        (has_read, Lost::Stalled(reason)) => {
                            patience = if has_read {
                                READ_STALL
                            } else {
                                (2 * patience).min(READ_DEADLINE)
                            };
                            // The next connection must not wait for the end of this one.
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
            match check_home(&session).await.map_err(|error| explain(&error))? {
                HomeCheck::AtHome => {}
                HomeCheck::Promoted => tracing::warn!(
                    server = session.server,
                    "the tail's server writes another timeline than before (a standby was \
                     promoted), or tells it for the first time or no longer. Every cursor is \
                     void; snapshots stay"
                ),
                HomeCheck::Moved => tracing::warn!(
                    server = session.server,
                    "the tail found a log that was made in another cluster, database or table: a \
                     dump was restored. Every cursor is void"
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
        if header.epoch.timeline().is_none() {
            TIMELINE_REFUSED.call_once(|| {
                tracing::warn!(
                    server = reader.session.server,
                    "the server does not tell the timeline of its WAL, so a failover is not \
                     noticed by itself: after one that may have lost events, run `progress-relay \
                     migrate --new-epoch`. If the server lets you: GRANT EXECUTE ON FUNCTION \
                     pg_walfile_name(pg_lsn), pg_current_wal_insert_lsn() to the owner of the \
                     relay's tables"
                );
            });
        }
        if self.parts.agreement.is_outdated(&header.epoch) {
            return Err(format!(
                "{} is a primary of an older timeline than this relay has seen: an old primary \
                 that goes on after a failover; stop it (if it was restored on purpose, restart \
                 the relay)",
                reader.session.server
            ));
        }
        Ok(reader)
    }

    /// Reads at once, and then at every ring, until the connection is of no use. Returns whether a
    /// read succeeded, and why the connection is given up.
    async fn follow(
        &mut self,
        reader: &LogReader,
        patience: Duration,
        reconnect: &mut Reconnect,
    ) -> (bool, Lost) {
        let mut disputes = self.parts.agreement.disputes();
        let mut has_read = false;
        loop {
            // The read below begins after this load, so it answers every question up to here.
            let asked = self.shared.asked.load(Ordering::Acquire);
            let ring = self.shared.take_ring();
            match self.read(reader, if has_read { READ_STALL } else { patience }).await {
                Ok(position) => {
                    has_read = true;
                    let answer = Answered { asked, position, away_since: None };
                    self.shared.answered.send_replace(answer);
                    self.shared.note_answered(ring);
                    reconnect.succeeded();
                }
                Err(lost) => return (has_read, lost),
            }
            if let Some(other) = self.parts.agreement.moves_to() {
                let reason = format!(
                    "this connection leads to {}, and a new one to another primary at {}: the \
                     tail goes there",
                    reader.session.server, other.server
                );
                return (has_read, Lost::Failed(reason));
            }
            let unproven = self.shared.unproven.load(Ordering::Relaxed);
            let tick = if unproven { UNPROVEN_TICK } else { FALLBACK_TICK };
            tokio::select! {
                () = self.shared.bell.notified() => {}
                () = tokio::time::sleep(tick) => {}
                _ = disputes.changed() => {}
                () = reader.session.ended() => {
                    return (has_read, Lost::Failed("the connection was lost".to_owned()));
                }
            }
        }
    }

    /// Reads the events behind the log's head, to the end of the table.
    async fn read(&mut self, reader: &LogReader, stall: Duration) -> Result<Position, Lost> {
        let (log, classes) = (Arc::clone(&self.parts.log), self.parts.classes.clone());
        loop {
            let from = log.position();
            let known = self.deletions;
            let mut set = ChunkSet::new(from.epoch.clone());
            let mut intake = classes.intake();
            let progress = AtomicU64::new(0);
            let mut goes_on = false;
            let reading = reader.read(from.id, READ_ROWS, |row| {
                progress.fetch_add(1, Ordering::Relaxed);
                match row {
                    LogRow::Header(header) => {
                        classes.set_clock(header.clock);
                        // In another epoch the ids that follow mean other events; after a deletion
                        // events may be missing between the log's head and them.
                        goes_on = header.epoch == from.epoch
                            && header.at_home
                            && header.pruned <= from.id
                            && Some(header.deletions) == known;
                    }
                    LogRow::Event(event) if goes_on => {
                        intake.event(event);
                        set.push(event);
                        if set.bytes() >= APPEND_BYTES {
                            intake.through(EventId(event.id));
                            log.append(set.take(), event.id);
                        }
                    }
                    LogRow::Event(_) => {}
                }
            });
            let extent = match while_it_progresses(reading, &progress, stall).await {
                Some(extent) => extent.map_err(|error| Lost::Failed(error.to_string()))?,
                None => {
                    let seconds = stall.as_secs();
                    return Err(Lost::Stalled(format!("a read brought nothing for {seconds} s")));
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
            // Every read confirms the server, not only the last one: to catch up over a long way
            // takes many reads, and the writer must not fall silent meanwhile.
            self.parts.agreement.note_tail_read(&header.epoch);
            if header.sequence < extent.last {
                self.mend(reader, &header, &from, extent.last).await?;
            } else if header.pruned > from.id {
                self.expire_all(reader, &header, &from).await?;
            } else if Some(header.deletions) != known {
                self.follow_deletions(reader, &header, known).await?;
            } else {
                // The state comes first: a subscriber that the log wakes finds it there.
                intake.through(EventId(extent.last));
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
}

/// Waits for a read as long as it makes progress; `None` once it has made none for `stall`, or for
/// up to a quarter more.
async fn while_it_progresses<T>(
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
