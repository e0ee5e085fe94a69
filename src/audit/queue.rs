//! The entries that wait to be written, within bounds, and the task that writes them.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::action::{OPENED_AGAIN, REFUSED_AGAIN};
use super::entry::Entry;
use crate::database::Pages;
use crate::metrics::{CounterBy, Registry};
use crate::repeated::Repeated;

/// How often entries are written to the table.
const WRITE_TICK: Duration = Duration::from_millis(500);
/// The longest that a statement may take: the connection is one of those that read history.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);
/// The most entries of one statement.
const MAX_WRITTEN: usize = 500;
/// The most entries that wait to be written.
const MAX_WAITING: usize = 4_000;
/// The most refusals that are recorded in [`REFUSED_AGAIN`]: addresses are cheap.
const MAX_REFUSALS: u32 = 100;
/// The most entries that are known as recorded. Beyond them all are forgotten, and recorded again.
const MAX_RECENT: usize = 20_000;

/// The causes for which an entry is not recorded.
const QUEUE_FULL: &str = "queue-full";
const REFUSALS: &str = "refusals";

/// One log line a cause.
static DROPPED: Repeated = Repeated::new();
static UNWRITTEN: Repeated = Repeated::new();

/// Records entries. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    /// `None` where nothing is recorded.
    shared: Option<Arc<Shared>>,
    /// Entries that were not recorded, by cause.
    unrecorded: CounterBy,
}

#[derive(Debug)]
struct Shared {
    /// Held for a few lines.
    state: Mutex<State>,
    /// One writes at a time.
    writing: tokio::sync::Mutex<()>,
    hasher: RandomState,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<(Instant, Entry)>,
    /// When entries were recorded that must not come again soon, by their hash.
    recent: HashMap<u64, Instant>,
    /// The refusals since this moment.
    refusals: (Instant, u32),
}

impl Audit {
    /// An audit that records, or one that does not.
    pub(crate) fn new(records: bool) -> Self {
        let shared = records.then(|| {
            let state = State {
                waiting: VecDeque::new(),
                recent: HashMap::new(),
                refusals: (Instant::now(), 0),
            };
            let (writing, hasher) = (tokio::sync::Mutex::default(), RandomState::new());
            Arc::new(Shared { state: Mutex::new(state), writing, hasher })
        });
        Self { shared, unrecorded: CounterBy::new("cause", &[QUEUE_FULL, REFUSALS]) }
    }

    /// Whether it records.
    pub(crate) fn records(&self) -> bool {
        self.shared.is_some()
    }

    /// Registers the count of entries that were not recorded.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.counter_by(
            "relay_audit_unrecorded_total",
            "Entries that the audit did not record, by cause.",
            &self.unrecorded,
        );
    }

    /// Records an entry, unless the same one was recorded a moment ago.
    pub(crate) fn note(&self, entry: Entry) {
        let Some(shared) = &self.shared else { return };
        let now = Instant::now();
        let hash = shared.hasher.hash_one(&entry);
        let mut state = shared.lock();
        let unrecorded = state.add(entry, hash, now);
        drop(state);
        let Err(cause) = unrecorded else { return };
        self.unrecorded.inc(cause);
        if cause == QUEUE_FULL
            && let Some(due) = DROPPED.met(cause)
        {
            tracing::error!(
                "entries of the audit are dropped{due}: {MAX_WAITING} wait already, since the \
                 database does not take them"
            );
        }
    }

    /// Writes to the table from time to time, until the handle is dropped.
    pub(crate) fn start(&self, pages: Pages) -> AbortOnDropHandle<()> {
        let audit = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                sleep(WRITE_TICK).await;
                audit.write(&pages).await;
            }
        }))
    }

    /// Writes what waits, if the database takes it. If it does not, the next time will do.
    pub(crate) async fn write(&self, pages: &Pages) {
        let Some(shared) = &self.shared else { return };
        let _writing = shared.writing.lock().await;
        loop {
            let entries = shared.take();
            if entries.is_empty() {
                return;
            }
            let now = Instant::now();
            let rows: Vec<_> =
                entries.iter().map(|(noted, entry)| entry.row(now - *noted)).collect();
            let cause = match timeout(WRITE_DEADLINE, pages.add_audit(&rows)).await {
                Ok(Ok(())) => {
                    UNWRITTEN.over();
                    DROPPED.over();
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it took over {} s", WRITE_DEADLINE.as_secs()),
            };
            // If the connection was lost at the commit they are there already, and come twice. Too
            // many is better than none.
            shared.put_back(entries);
            if let Some(due) = UNWRITTEN.met(&cause) {
                tracing::warn!("the audit cannot be written{due}: {cause}");
            }
            return;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<(Instant, Entry)> {
        let mut state = self.lock();
        let count = state.waiting.len().min(MAX_WRITTEN);
        state.waiting.drain(..count).collect()
    }

    fn put_back(&self, entries: Vec<(Instant, Entry)>) {
        let mut state = self.lock();
        for entry in entries.into_iter().rev() {
            state.waiting.push_front(entry);
        }
    }
}

impl State {
    /// Adds an entry, or says why it is not recorded.
    fn add(&mut self, entry: Entry, hash: u64, now: Instant) -> Result<(), &'static str> {
        let is_refusal = entry.action.is_refusal();
        let pause = entry.action.pause();
        if let Some(pause) = pause
            && self.recent.get(&hash).is_some_and(|at| now - *at < pause)
        {
            return if is_refusal { Err(REFUSALS) } else { Ok(()) };
        }
        if is_refusal {
            if now - self.refusals.0 >= REFUSED_AGAIN {
                self.refusals = (now, 0);
            }
            if self.refusals.1 >= MAX_REFUSALS {
                return Err(REFUSALS);
            }
            self.refusals.1 += 1;
        }
        if self.waiting.len() >= MAX_WAITING {
            return Err(QUEUE_FULL);
        }
        if pause.is_some() {
            if self.recent.len() >= MAX_RECENT {
                self.recent.retain(|_, at| now - *at < OPENED_AGAIN);
            }
            if self.recent.len() >= MAX_RECENT {
                self.recent.clear();
            }
            self.recent.insert(hash, now);
        }
        self.waiting.push_back((now, entry));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::action::Action;
    use super::*;
    use crate::access::Caller;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn waiting(audit: &Audit) -> usize {
        audit.shared.as_ref().map_or(0, |shared| shared.lock().waiting.len())
    }

    fn unrecorded(audit: &Audit, cause: &str) -> u64 {
        audit.unrecorded.counts().find(|(counted, _)| *counted == cause).expect("a label").1
    }

    fn opened(class: &str) -> Entry {
        Entry::new(Action::ClassOpened, HERE).by(&Caller::anyone(), "token").class(class)
    }

    #[tokio::test(start_paused = true)]
    async fn a_class_is_recorded_once_in_ten_minutes_and_an_export_each_time() {
        let audit = Audit::new(true);
        for _ in 0..3 {
            audit.note(opened("a"));
            audit.note(opened("b"));
            audit.note(Entry::new(Action::Exported, HERE).class("a"));
        }
        assert_eq!(waiting(&audit), 2 + 3);
        tokio::time::advance(OPENED_AGAIN).await;
        audit.note(opened("a"));
        assert_eq!(waiting(&audit), 6);
        assert_eq!(unrecorded(&audit, REFUSALS) + unrecorded(&audit, QUEUE_FULL), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_bounded_by_address_and_in_all() {
        let audit = Audit::new(true);
        let refused = |host: u32| {
            Entry::new(Action::CredentialRefused, IpAddr::V4(host.into())).detail("invalid")
        };
        for _ in 0..1_000 {
            audit.note(refused(1));
        }
        assert_eq!((waiting(&audit), unrecorded(&audit, REFUSALS)), (1, 999));
        for host in 0..1_000 {
            audit.note(refused(host));
        }
        assert_eq!(waiting(&audit), MAX_REFUSALS as usize);
        // Refusals do not keep out what was allowed.
        audit.note(opened("a"));
        assert_eq!(waiting(&audit), MAX_REFUSALS as usize + 1);
        tokio::time::advance(REFUSED_AGAIN).await;
        audit.note(refused(1));
        assert_eq!(waiting(&audit), MAX_REFUSALS as usize + 2);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let audit = Audit::new(true);
        for class in 0..MAX_WAITING + 10 {
            audit.note(opened(&class.to_string()));
        }
        assert_eq!((waiting(&audit), unrecorded(&audit, QUEUE_FULL)), (MAX_WAITING, 10));
        let shared = audit.shared.as_ref().expect("it records");
        for class in 0..3 * MAX_RECENT {
            shared.take();
            audit.note(opened(&format!("c{class}")));
        }
        assert!(shared.lock().recent.len() <= MAX_RECENT);
    }

    #[test]
    fn an_open_relay_records_nothing() {
        let audit = Audit::new(false);
        audit.note(opened("a"));
        assert!(!audit.records() && waiting(&audit) == 0);
    }
}
