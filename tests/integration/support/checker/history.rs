//! The history of a run in one order: every request, answer and frame, with its time.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::support::parts;

/// A cursor's epoch and id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub epoch: Arc<str>,
    pub id: i64,
}

impl Position {
    pub fn of(cursor: &str) -> Self {
        let (epoch, id) = parts(cursor);
        Self { epoch: epoch.into(), id }
    }

    pub fn new(epoch: &str, id: i64) -> Self {
        Self { epoch: epoch.into(), id }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.id)
    }
}

/// The one that a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Actor {
    Stage,
    Producer(usize),
    Dashboard(usize),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage => f.write_str("stage"),
            Self::Producer(number) => write!(f, "producer {number}"),
            Self::Dashboard(number) => write!(f, "dashboard {number}"),
        }
    }
}

/// An act of an actor, or a frame or answer that it received. A mark is the `n` in an event's body,
/// so it names the event in requests, in the table and in frames alike.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A step of the test, which explains the records after it.
    Note(String),
    /// The fault begins.
    CauseBegins(String),
    /// From now on the relays' URL leads to a primary that accepts writes.
    Reachable,
    /// The fault is over.
    CauseEnds,
    /// A producer sends an event, for the first time or again.
    Sent {
        mark: i64,
    },
    /// A POST was answered. A 2xx acknowledges the event; `position` is the cursor in the answer.
    Answered {
        mark: i64,
        status: u16,
        position: Option<Position>,
    },
    /// A POST got no answer.
    Unanswered {
        mark: i64,
        why: String,
    },
    /// The producer has used up its retries.
    GaveUp {
        mark: i64,
    },
    /// A dashboard has connected. `from` is the cursor that it resumes by.
    Connected {
        to: String,
        from: Option<Position>,
    },
    /// A frame with events: the id and the mark of each.
    Progress {
        position: Position,
        events: Vec<(i64, i64)>,
    },
    Live {
        position: Position,
    },
    Mark {
        position: Position,
    },
    Reset {
        reason: String,
        position: Position,
    },
    /// A dashboard's connection ended or failed.
    Lost {
        why: String,
    },
}

impl Action {
    /// Whether this record names the event with this mark.
    pub fn concerns(&self, wanted: i64) -> bool {
        match self {
            Self::Sent { mark }
            | Self::Answered { mark, .. }
            | Self::Unanswered { mark, .. }
            | Self::GaveUp { mark } => *mark == wanted,
            Self::Progress { events, .. } => events.iter().any(|(_, mark)| *mark == wanted),
            _ => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(text) => f.write_str(text),
            Self::CauseBegins(text) => write!(f, "THE CAUSE BEGINS: {text}"),
            Self::Reachable => f.write_str("a primary is reachable by the URL"),
            Self::CauseEnds => f.write_str("THE CAUSE ENDS"),
            Self::Sent { mark } => write!(f, "sends the event marked {mark}"),
            Self::Answered { mark, status, position } => {
                write!(f, "is answered {status} for the event marked {mark}")?;
                position.as_ref().map_or(Ok(()), |position| write!(f, ", cursor {position}"))
            }
            Self::Unanswered { mark, why } => {
                write!(f, "gets no answer for the event marked {mark}: {why}")
            }
            Self::GaveUp { mark } => write!(f, "gives up the event marked {mark}"),
            Self::Connected { to, from: None } => write!(f, "connects to {to} without a cursor"),
            Self::Connected { to, from: Some(position) } => {
                write!(f, "connects to {to} with cursor {position}")
            }
            Self::Progress { position, events } => {
                write!(f, "progress, cursor {position}, {} events (id:mark)", events.len())?;
                for (id, mark) in events.iter().take(12) {
                    write!(f, " {id}:{mark}")?;
                }
                if events.len() > 12 { f.write_str(" …") } else { Ok(()) }
            }
            Self::Live { position } => write!(f, "live, cursor {position}"),
            Self::Mark { position } => write!(f, "mark, cursor {position}"),
            Self::Reset { reason, position } => write!(f, "reset ({reason}), cursor {position}"),
            Self::Lost { why } => write!(f, "loses its connection: {why}"),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Record {
    /// The time since the start of the run.
    pub at: Duration,
    pub actor: Actor,
    pub action: Action,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>9.3} s  {:<13} {}",
            self.at.as_secs_f64(),
            self.actor.to_string(),
            self.action
        )
    }
}

/// Collects the records of all actors in one order.
///
/// A producer records `Sent` before it sends, and a dashboard records a frame after it has received
/// it. An event whose `Sent` is recorded after a dashboard's `Live` was therefore committed after
/// the position of that `Live`, and the dashboard must receive it.
#[derive(Debug, Clone)]
pub struct Recorder {
    since: Instant,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Recorder {
    pub fn new() -> Self {
        Self { since: Instant::now(), records: Arc::default() }
    }

    pub fn record(&self, actor: Actor, action: Action) {
        let mut records = self.lock();
        // The time is taken under the lock, so that times and records have the same order.
        records.push(Record { at: self.since.elapsed(), actor, action });
    }

    pub fn history(&self) -> Vec<Record> {
        self.lock().clone()
    }

    /// Passes the records so far to `look`, without a copy.
    pub fn look<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        look(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
