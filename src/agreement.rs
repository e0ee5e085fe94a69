//! The agreement of a replica's parts on one server.
//!
//! A replica has several connections, made at different times. A host name, an address or a
//! balancer may lead each of them to another server. After a failover, for instance, the old
//! primary may live on; it takes writes as before, and they are lost later. So every part compares
//! the epoch of its server with the tail's, since the tail decides what dashboards see. While they
//! differ no POST is acknowledged, and the connection that differs ends. The prober makes a new
//! connection to every host once a second. When it finds another primary, no POST is acknowledged,
//! and the tail moves there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::event::Epoch;
use crate::metrics::Registry;

/// How long a part may disagree with the tail before its connection ends.
pub(crate) const DISPUTE_PATIENCE: Duration = Duration::from_millis(1_500);

/// How long one read of the tail confirms its server. A tail that reads nothing may be moving to
/// another server, so events that are written meanwhile are not acknowledged before it reads again.
/// It reads at least once a second.
const TAIL_CONFIRMS: Duration = Duration::from_millis(1_800);

/// The server that the parts of a replica agree on. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Agreement {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tail_state: watch::Sender<TailState>,
    /// Counts disputes: a part has seen another epoch than the tail's.
    disputes: watch::Sender<u64>,
    /// The server that each part's connection leads to. The lock is held for a line.
    servers: Mutex<BTreeMap<&'static str, String>>,
    /// The state of the writers' backends when the prober last looked. The lock is held for a line.
    backends: Mutex<Backends>,
}

#[derive(Debug, Clone, Default)]
struct TailState {
    /// The tail's epoch; `None` until its first read.
    epoch: Option<Epoch>,
    /// The moment of the tail's latest read.
    read_at: Option<Instant>,
    /// A primary other than the tail's, to which a new connection led.
    other: Option<Primary>,
    /// Whether that primary is a rival: neither it nor the tail's outranks the other.
    rival: bool,
}

/// A primary that the tail reads from, or to which a new connection led.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Primary {
    /// The epoch by which parts compare their servers.
    pub epoch: Epoch,
    /// Its host and port.
    pub server: String,
}

/// The state of a server process that serves this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backend {
    /// `active`, `idle` …
    pub state: String,
    /// The event that it waits for, as `pg_stat_activity` has it: `SyncRep`, `advisory` …; empty if
    /// it does not wait.
    pub wait: String,
    /// How long it has been in this state.
    pub in_state: Duration,
}

#[derive(Debug, Default)]
struct Backends {
    watched: HashMap<i32, Option<Backend>>,
    /// When the prober asked, and the epoch of the server that it asked.
    seen: Option<(Instant, Epoch)>,
}

impl Default for Agreement {
    fn default() -> Self {
        let (tail_state, _) = watch::channel(TailState::default());
        let (disputes, _) = watch::channel(0);
        let shared =
            Shared { tail_state, disputes, servers: Mutex::default(), backends: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }
}

impl Agreement {
    /// Notes that the tail has just read the log of this epoch.
    pub(crate) fn note_tail_read(&self, epoch: &Epoch) {
        self.shared.tail_state.send_if_modified(|tail_state| {
            let settled = tail_state.other.as_ref().is_some_and(|other| other.epoch == *epoch);
            if settled {
                (tail_state.other, tail_state.rival) = (None, false);
            }
            let moved = tail_state.epoch.as_ref() != Some(epoch);
            if moved {
                tail_state.epoch = Some(epoch.clone());
            }
            // A read that changes nothing wakes only those who wait for the tail to read again.
            let was_silent = tail_state
                .read_at
                .replace(Instant::now())
                .is_none_or(|at| at.elapsed() >= TAIL_CONFIRMS);
            settled || moved || was_silent
        });
    }

    /// The tail's epoch, once it has read.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.shared.tail_state.borrow().epoch.clone()
    }

    /// Notes the primary that new connections lead to. If it is not the tail's, the tail moves
    /// there.
    pub(crate) fn found(&self, primary: Primary) {
        self.note_primary(primary, false);
    }

    /// Notes a primary that is not the tail's, while neither outranks the other. No POST is
    /// acknowledged, and no connection moves.
    pub(crate) fn found_rival(&self, primary: Primary) {
        self.note_primary(primary, true);
    }

    fn note_primary(&self, primary: Primary, rival: bool) {
        self.shared.tail_state.send_if_modified(|tail_state| {
            let other = (tail_state.epoch.as_ref() != Some(&primary.epoch)).then_some(primary);
            let rival = rival && other.is_some();
            let changed = tail_state.other != other || tail_state.rival != rival;
            (tail_state.other, tail_state.rival) = (other, rival);
            changed
        });
        if self.other().is_some() {
            self.dispute();
        }
    }

    /// The primary that the tail has to move to.
    pub(crate) fn moves_to(&self) -> Option<Primary> {
        let tail_state = self.shared.tail_state.borrow();
        tail_state
            .other
            .clone()
            .filter(|other| !tail_state.rival && tail_state.epoch.as_ref() != Some(&other.epoch))
    }

    /// Whether `epoch` is of an older timeline than a primary that was seen: then its server is an
    /// orphan. An epoch without a timeline has no age.
    pub(crate) fn is_outdated(&self, epoch: &Epoch) -> bool {
        let tail_state = self.shared.tail_state.borrow();
        let known =
            tail_state.epoch.iter().chain(tail_state.other.iter().map(|other| &other.epoch));
        epoch.timeline().is_some_and(|of| known.filter_map(Epoch::timeline).any(|seen| seen > of))
    }

    /// The primary that is not the tail's, if one was found.
    pub(crate) fn other(&self) -> Option<Primary> {
        self.shared.tail_state.borrow().other.clone()
    }

    /// Notes that a part has seen another epoch than the tail's: the tail and the prober look at
    /// once.
    pub(crate) fn dispute(&self) {
        self.shared.disputes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Receives a change at every dispute.
    pub(crate) fn disputes(&self) -> watch::Receiver<u64> {
        self.shared.disputes.subscribe()
    }

    /// Whether the tail confirms `epoch` and no other primary is known. Waits up to `patience` for
    /// that, since the tail may be about to learn of a new epoch. If that is not `epoch`, the wait
    /// ends at once: a promotion changes the epoch twice, by its timeline and then by the nonce
    /// that the first tail renews, and a part that connected in between has to read it again.
    pub(crate) async fn settles_on(&self, epoch: &Epoch, patience: Duration) -> bool {
        let settled = |tail_state: &TailState| {
            tail_state.epoch.as_ref() == Some(epoch)
                && tail_state.other.is_none()
                && tail_state.read_at.is_some_and(|at| at.elapsed() < TAIL_CONFIRMS)
        };
        if settled(&self.shared.tail_state.borrow()) {
            return true;
        }
        self.dispute();
        let before = self.epoch();
        let decided = |tail_state: &TailState| {
            let moved = tail_state.epoch != before && tail_state.epoch.as_ref() != Some(epoch);
            moved || settled(tail_state)
        };
        let mut tail_state = self.shared.tail_state.subscribe();
        let decided = timeout(patience, tail_state.wait_for(decided)).await;
        decided.is_ok_and(|tail_state| tail_state.is_ok_and(|tail_state| settled(&tail_state)))
    }

    /// Resolves when the tail has read in another epoch than this one.
    pub(crate) async fn departs_from(&self, epoch: &Epoch) {
        let mut tail_state = self.shared.tail_state.subscribe();
        let departed =
            |tail_state: &TailState| tail_state.epoch.as_ref().is_some_and(|now| now != epoch);
        if tail_state.wait_for(departed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Notes the server that a part's connection leads to; `None` when it has no connection.
    pub(crate) fn note_server(&self, part: &'static str, server: Option<String>) {
        let mut servers = self.shared.servers.lock().unwrap_or_else(PoisonError::into_inner);
        match server {
            Some(server) => servers.insert(part, server),
            None => servers.remove(part),
        };
    }

    /// Registers the agreement's metrics.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let agreement = self.clone();
        registry.info(
            "relay_server_info",
            "The host and port of a part's connection; always 1.",
            ["part", "server"],
            move || {
                let servers = agreement.servers().into_iter();
                servers.map(|(part, server)| [part.to_owned(), server]).collect()
            },
        );
    }

    /// The server that each part's connection leads to.
    pub(crate) fn servers(&self) -> BTreeMap<&'static str, String> {
        self.shared.servers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn backends(&self) -> MutexGuard<'_, Backends> {
        self.shared.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the prober read this backend's state at every look, or no longer.
    pub(crate) fn watch_backend(&self, pid: i32, on: bool) {
        let mut backends = self.backends();
        if on {
            backends.watched.entry(pid).or_insert(None);
        } else {
            backends.watched.remove(&pid);
        }
    }

    /// The backends that the prober watches.
    pub(crate) fn watched(&self) -> Vec<i32> {
        self.backends().watched.keys().copied().collect()
    }

    /// Notes the states of the watched backends, as the server of `epoch` gave them when it was
    /// asked at `at`.
    pub(crate) fn saw_backends(&self, at: Instant, epoch: Epoch, mut found: HashMap<i32, Backend>) {
        let mut backends = self.backends();
        for (pid, seen) in &mut backends.watched {
            *seen = found.remove(pid);
        }
        backends.seen = Some((at, epoch));
    }

    /// The backend's state at the latest look, if that was at the server of `epoch` and later than
    /// `since`. `Some(None)` if that server has no such backend.
    pub(crate) fn backend(
        &self,
        pid: i32,
        epoch: &Epoch,
        since: Instant,
    ) -> Option<Option<Backend>> {
        let backends = self.backends();
        let (at, of) = backends.seen.as_ref()?;
        if *at < since || of != epoch {
            return None;
        }
        backends.watched.get(&pid).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(epoch: &str) -> Primary {
        Primary { epoch: Epoch::new(epoch), server: "here".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_settled_while_another_primary_is_known() {
        let agreement = Agreement::default();
        let (one, two) = (Epoch::new("a1"), Epoch::new("b2"));
        assert!(!agreement.settles_on(&one, DISPUTE_PATIENCE).await, "the tail has not read");
        agreement.note_tail_read(&one);
        assert!(agreement.settles_on(&one, DISPUTE_PATIENCE).await);
        assert!(!agreement.settles_on(&two, DISPUTE_PATIENCE).await);
        agreement.found(primary("a1"));
        assert!(agreement.settles_on(&one, DISPUTE_PATIENCE).await, "it is the same");
        agreement.found(primary("b2"));
        assert!(!agreement.settles_on(&one, DISPUTE_PATIENCE).await);
        agreement.note_tail_read(&two);
        assert!(agreement.settles_on(&two, DISPUTE_PATIENCE).await, "the tail has moved there");
        agreement.departs_from(&one).await;
        assert!(futures::poll!(Box::pin(agreement.departs_from(&two))).is_pending());
    }

    #[test]
    fn an_epoch_without_a_timeline_is_never_outdated() {
        let agreement = Agreement::default();
        agreement.note_tail_read(&Epoch::new("0123456789ab2"));
        assert!(agreement.is_outdated(&Epoch::new("0123456789ab1")));
        assert!(!agreement.is_outdated(&Epoch::new("0123456789ab2")));
        assert!(!agreement.is_outdated(&Epoch::new("0123456789ab")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tail_that_moves_elsewhere_is_not_waited_for() {
        let agreement = Agreement::default();
        agreement.note_tail_read(&Epoch::new("a1"));
        let begin = Instant::now();
        let between = Epoch::new("a2");
        let (settles, ()) = tokio::join!(agreement.settles_on(&between, DISPUTE_PATIENCE), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            agreement.note_tail_read(&Epoch::new("b2"));
        });
        assert!(!settles);
        assert_eq!(begin.elapsed(), Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_is_known_as_of_a_moment_and_a_server() {
        let agreement = Agreement::default();
        let (epoch, before) = (Epoch::new("a1"), Instant::now());
        agreement.watch_backend(7, true);
        assert_eq!(agreement.backend(7, &epoch, before), None, "there was no look yet");
        tokio::time::advance(Duration::from_secs(1)).await;
        let waiting = Backend {
            state: "active".to_owned(),
            wait: "SyncRep".to_owned(),
            in_state: Duration::ZERO,
        };
        agreement.saw_backends(
            Instant::now(),
            epoch.clone(),
            HashMap::from([(7, waiting.clone())]),
        );
        assert_eq!(agreement.backend(7, &epoch, before), Some(Some(waiting)));
        assert_eq!(agreement.backend(7, &Epoch::new("b2"), before), None, "another server's");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(agreement.backend(7, &epoch, Instant::now()), None, "too old");
        agreement.saw_backends(Instant::now(), epoch.clone(), HashMap::new());
        assert_eq!(agreement.backend(7, &epoch, before), Some(None), "the server has none");
        agreement.watch_backend(7, false);
        assert!(agreement.watched().is_empty());
    }
}
