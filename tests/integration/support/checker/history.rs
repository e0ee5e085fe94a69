//! What happened in a run, in one order: who sent, answered, received, and when.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::support::parts;

/// A cursor, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub epoch: Arc<str>,
    pub id: i64,
}

impl Place {
    pub fn of(cursor: &str) -> Self {
        let (epoch, id) = parts(cursor);
        Self { epoch: epoch.into(), id }
    }

    pub fn new(epoch: &str, id: i64) -> Self {
        Self { epoch: epoch.into(), id }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.id)
    }
}

/// Whose record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    Stage,
    Producer(usize),
    Dashboard(usize),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage => f.write_str("stage"),
            Self::Producer(number) => write!(f, "producer {number}"),
            Self::Dashboard(number) => write!(f, "dashboard {number}"),
        }
    }
}

/// What was recorded. A mark names an event in every place: in its body, in the table, in frames.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The stage does something that explains what follows.
    Note(String),
    /// The fault begins.
    CauseBegins(String),
    /// From now on the relays' URL leads to a primary that takes writes.
    Reachable,
    /// The fault is over.
    CauseEnds,
    /// A producer sends an event, for the first time or again.
    Sent {
        mark: i64,
    },
    /// An answer came. 2xx acknowledges the event. `place` is the cursor of the answer, if it has
    /// one.
    Answered {
        mark: i64,
        status: u16,
        place: Option<Place>,
    },
    /// No answer came.
    Unanswered {
        mark: i64,
        why: String,
    },
    /// The producer has used up its retries.
    GaveUp {
        mark: i64,
    },
    /// A dashboard's connection stands. `from` is the cursor that it resumes by.
    Connected {
        to: String,
        from: Option<Place>,
    },
    /// A frame with events: id and mark of each.
    Progress {
        place: Place,
        events: Vec<(i64, i64)>,
    },
    Live {
        place: Place,
    },
    Mark {
        place: Place,
    },
    Reset {
        reason: String,
        place: Place,
    },
    /// A dashboard's connection is gone, or did not come about.
    Lost {
        why: String,
    },
}

impl What {
    /// Whether it concerns an event.
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

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(text) => f.write_str(text),
            Self::CauseBegins(text) => write!(f, "THE CAUSE BEGINS: {text}"),
            Self::Reachable => f.write_str("a primary is reachable by the URL"),
            Self::CauseEnds => f.write_str("THE CAUSE ENDS"),
            Self::Sent { mark } => write!(f, "sends the event marked {mark}"),
            Self::Answered { mark, status, place } => {
                write!(f, "is answered {status} for the event marked {mark}")?;
                place.as_ref().map_or(Ok(()), |place| write!(f, ", cursor {place}"))
            }
            Self::Unanswered { mark, why } => {
                write!(f, "gets no answer for the event marked {mark}: {why}")
            }
            Self::GaveUp { mark } => write!(f, "gives up the event marked {mark}"),
            Self::Connected { to, from: None } => write!(f, "connects to {to} without a cursor"),
            Self::Connected { to, from: Some(place) } => {
                write!(f, "connects to {to} with cursor {place}")
            }
            Self::Progress { place, events } => {
                write!(f, "progress, cursor {place}, {} events (id:mark)", events.len())?;
                for (id, mark) in events.iter().take(12) {
                    write!(f, " {id}:{mark}")?;
                }
                if events.len() > 12 { f.write_str(" …") } else { Ok(()) }
            }
            Self::Live { place } => write!(f, "live, cursor {place}"),
            Self::Mark { place } => write!(f, "mark, cursor {place}"),
            Self::Reset { reason, place } => write!(f, "reset ({reason}), cursor {place}"),
            Self::Lost { why } => write!(f, "loses its connection: {why}"),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Record {
    /// Since the run's beginning.
    pub at: Duration,
    pub who: Who,
    pub what: What,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} s  {:<13} {}", self.at.as_secs_f64(), self.who.to_string(), self.what)
    }
}

/// Takes records from everyone, in one order.
///
/// A producer records that it sends before it sends, and a dashboard records a frame after it came.
/// So an event whose `Sent` stands behind a dashboard's `Live` was committed after that position.
#[derive(Debug, Clone)]
pub struct Recorder {
    since: Instant,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Recorder {
    pub fn new() -> Self {
        Self { since: Instant::now(), records: Arc::default() }
    }

    pub fn record(&self, who: Who, what: What) {
        let mut records = self.lock();
        // Under the lock, so that times have the order of the records.
        records.push(Record { at: self.since.elapsed(), who, what });
    }

    pub fn history(&self) -> Vec<Record> {
        self.lock().clone()
    }

    /// Looks at what is there so far, without a copy.
    pub fn look<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        look(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
