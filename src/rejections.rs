//! Events that ingest rejects: counted, logged, and shown to instructors.
//!
//! A client in the field takes every answer under 500 for success. So a client whose events are all
//! rejected looks, to its students, like one that works, and on the dashboard like a class in which
//! nobody does anything. So metrics, the log and the page tell
//! instead.
//!
//! Counts for the page go through a table, so that every replica tells of what any of them
//! rejected. It is written every few seconds, never by a request. Everything is bounded by causes
//! (class, field, reason) rather than by events.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::database::{Pages, RejectedCount};
use crate::event::{COUNTED_FIELDS, ClassId, Rejection};
use crate::metrics::{CounterBy, Registry};
use crate::repeated::Repeated;

/// How often the counts are written to the table.
const WRITE_TICK: Duration = Duration::from_secs(2);
/// Longest that may take: the table is of less use than the connection that it waits on.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);
/// How often old rows are removed, at most.
const PRUNE_TICK: Duration = Duration::from_secs(60);
/// Causes that wait to be written, of all classes and of one. Beyond them only metrics and the log
/// tell.
const MAX_CAUSES: usize = 1_000;
const MAX_CAUSES_OF_CLASS: usize = 50;

/// The label of a request that is refused as a whole.
const BODY: &str = "body";
/// The label of any field without a rule.
const OTHER: &str = "other";
/// The reason that is stored where the database's message could repeat an event's content.
const UNSTORABLE: &str = "the database does not take it";

/// One log line a cause.
static REJECTED: Repeated = Repeated::new();
static UNWRITTEN: Repeated = Repeated::new();

/// Counts rejected events. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Rejections {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// By field, since the start.
    counts: CounterBy,
    /// Counts that are not in the table yet. Held for a few lines.
    unwritten: Mutex<Unwritten>,
    /// One writes at a time.
    writing: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Unwritten {
    classes: HashMap<ClassId, BTreeMap<(&'static str, String), u64>>,
    causes: usize,
}

impl Unwritten {
    fn add(&mut self, class: &ClassId, field: &'static str, reason: &str, count: u64) {
        let is_full = self.causes >= MAX_CAUSES;
        let causes = match self.classes.get_mut(class) {
            Some(causes) => causes,
            None if is_full => return,
            None => self.classes.entry(class.clone()).or_default(),
        };
        let cause = (field, reason.to_owned());
        if let Some(known) = causes.get_mut(&cause) {
            *known += count;
        } else if !is_full && causes.len() < MAX_CAUSES_OF_CLASS {
            causes.insert(cause, count);
            self.causes += 1;
        }
    }
}

impl Default for Rejections {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                counts: CounterBy::new("field", COUNTED_FIELDS),
                unwritten: Mutex::default(),
                writing: tokio::sync::Mutex::default(),
            }),
        }
    }
}

impl Rejections {
    /// Writes to the table from time to time, until the handle is dropped.
    pub(crate) fn start(&self, pages: Pages) -> AbortOnDropHandle<()> {
        let rejections = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                sleep(WRITE_TICK).await;
                rejections.write(&pages).await;
            }
        }))
    }

    /// Events of a request, each with its field.
    pub(crate) fn note_events(&self, rejected: &[Rejection]) {
        for rejection in rejected {
            // Without a field it was no event at all.
            let field = rejection.field.as_deref().unwrap_or(BODY);
            self.note(&rejection.class, label(field), &rejection.reason);
        }
    }

    /// An event that the database does not take.
    pub(crate) fn note_unstorable(&self, class: &ClassId) {
        self.note(class, OTHER, UNSTORABLE);
    }

    /// A request that was refused as a whole, and why.
    pub(crate) fn note_request(&self, class: &ClassId, reason: &'static str) {
        self.note(class, BODY, reason);
    }

    fn note(&self, class: &ClassId, field: &'static str, reason: &str) {
        self.shared.counts.inc(field);
        self.lock().add(class, field, reason, 1);
        if let Some(due) = REJECTED.met(&format!("{field} {reason} {class}")) {
            tracing::warn!(%class, field, reason, "events are rejected{due}");
        }
    }

    /// Registers the count by field.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.counter_by(
            "relay_rejected_events_total",
            "Events that were rejected, by the field at fault.",
            &self.shared.counts,
        );
    }

    /// Writes what waits, if the database takes it. If it does not, the next time will do.
    pub(crate) async fn write(&self, pages: &Pages) {
        let mut pruned = self.shared.writing.lock().await;
        let counts = self.take();
        if counts.is_empty() {
            return;
        }
        let is_due = pruned.is_none_or(|pruned| pruned.elapsed() >= PRUNE_TICK);
        let cause = match timeout(WRITE_DEADLINE, pages.add_rejected(&counts, is_due)).await {
            Ok(Ok(())) => {
                UNWRITTEN.over();
                if is_due {
                    *pruned = Some(Instant::now());
                }
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it took over {} s", WRITE_DEADLINE.as_secs()),
        };
        // If the connection was lost at the commit they are there already, and are counted twice.
        // Too many is better than none.
        let mut unwritten = self.lock();
        for count in &counts {
            unwritten.add(&count.class, count.field, &count.reason, count.count);
        }
        drop(unwritten);
        if let Some(due) = UNWRITTEN.met(&cause) {
            tracing::warn!("what was rejected cannot be written for the dashboard{due}: {cause}");
        }
    }

    /// In the order of the table's key: two replicas that write the same rows never wait for each
    /// other in a circle.
    fn take(&self) -> Vec<RejectedCount> {
        let unwritten = std::mem::take(&mut *self.lock());
        let classes: BTreeMap<_, _> = unwritten.classes.into_iter().collect();
        let counts = classes.into_iter().flat_map(|(class, causes)| {
            causes.into_iter().map(move |((field, reason), count)| RejectedCount {
                class: class.clone(),
                field,
                reason,
                count,
            })
        });
        counts.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Unwritten> {
        // Nothing under the lock leaves it half changed.
        self.shared.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name under which a field is counted: a client may invent as many as it likes.
fn label(field: &str) -> &'static str {
    COUNTED_FIELDS.iter().find(|counted| **counted == field).copied().unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(class: &str, field: Option<&str>, reason: &str) -> Rejection {
        Rejection {
            index: 0,
            field: field.map(str::to_owned),
            reason: reason.to_owned(),
            class: ClassId::new(class).expect("a class"),
        }
    }

    fn count(rejections: &Rejections, field: &str) -> u64 {
        rejections.shared.counts.counts().find(|(counted, _)| *counted == field).expect("a label").1
    }

    #[test]
    fn fields_are_counted_under_a_bounded_number_of_labels() {
        let rejections = Rejections::default();
        rejections.note_events(&[
            rejection("a", Some("eventTime"), "is required"),
            rejection("a", Some("made-up"), "is nested too deep"),
            rejection("a", None, "an event must be a JSON object"),
        ]);
        rejections.note_request(&ClassId::default(), "the body is not JSON");
        rejections.note_unstorable(&ClassId::default());
        assert_eq!(count(&rejections, "eventTime"), 1);
        assert_eq!(count(&rejections, OTHER), 2);
        assert_eq!(count(&rejections, BODY), 2);
        assert_eq!(rejections.shared.counts.counts().map(|(_, count)| count).sum::<u64>(), 5);
        assert_eq!(rejections.shared.counts.counts().count(), COUNTED_FIELDS.len());
    }

    #[test]
    fn what_waits_is_bounded_and_in_the_tables_order() {
        let rejections = Rejections::default();
        for class in 0..2 * MAX_CAUSES {
            for field in ["userId", "eventTime", "userId"] {
                rejections.note_events(&[rejection(
                    &format!("c{class}"),
                    Some(field),
                    "is required",
                )]);
            }
        }
        let waiting = rejections.take();
        assert_eq!(waiting.len(), MAX_CAUSES);
        assert!(waiting.iter().all(|cause| cause.count == 1 + u64::from(cause.field == "userId")));
        assert!(waiting.is_sorted_by_key(|cause| (
            cause.class.clone(),
            cause.field,
            cause.reason.clone()
        )));
        assert_eq!(rejections.take().len(), 0);
        for reason in 0..2 * MAX_CAUSES_OF_CLASS {
            rejections.note_events(&[rejection("c", Some("userId"), &reason.to_string())]);
        }
        assert_eq!(rejections.take().len(), MAX_CAUSES_OF_CLASS);
    }
}
