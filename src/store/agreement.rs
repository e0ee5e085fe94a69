//! Whether all connections of this replica lead to one server.
//!
//! A replica has several connections, made at different times, and a name, an address or a balancer
//! may lead each of them to another server: an old primary that lives on after a failover takes
//! writes as if nothing had happened, and what it takes is lost. So every part compares the epoch
//! of the server that it talks to with the tail's: the tail decides what dashboards see. Nothing is
//! acknowledged while they differ, and the connection that differs ends. The prober connects anew
//! once a second, to every host: where it finds another primary, nothing is acknowledged any more,
//! and the tail moves there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::event::Epoch;
use crate::metrics::Registry;

/// How long two parts may disagree before the odd connection ends.
pub const DISPUTE_PATIENCE: Duration = Duration::from_millis(1_500);

/// How long the tail's word counts. A tail that is away may be on its way to another server: what
/// is written meanwhile is not acknowledged before it has come back. It reads once a second at
/// least.
const TAIL_WORD: Duration = Duration::from_millis(1_800);

/// What the parts of a replica agree on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Agreement {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    standing: watch::Sender<Standing>,
    /// Counts disputes: a part has seen another epoch than the tail's.
    disputes: watch::Sender<u64>,
    /// Which server each part's connection leads to. Held for a line.
    servers: Mutex<BTreeMap<&'static str, String>>,
    /// What the writers' backends were doing when the prober last looked. Held for a line.
    backends: Mutex<Backends>,
}

#[derive(Debug, Clone, Default)]
struct Standing {
    /// The tail's; `None` until it has read for the first time.
    epoch: Option<Epoch>,
    /// When the tail has last read there.
    read_at: Option<Instant>,
    /// Another primary that a connection made just now led to.
    other: Option<Primary>,
    /// Whether it is a rival: neither outranks the other.
    rival: bool,
}

/// A primary that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its host and port.
    pub place: String,
}

/// What the server says of a process that serves this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// `active`, `idle` …
    pub state: String,
    /// What it waits for, as `pg_stat_activity` has it: `SyncRep`, `advisory` …; empty for nothing.
    pub wait: String,
    /// How long its state has been what it is.
    pub in_state: Duration,
}

#[derive(Debug, Default)]
struct Backends {
    watched: HashMap<i32, Option<Backend>>,
    /// When the prober asked, and of which server.
    seen: Option<(Instant, Epoch)>,
}

impl Default for Agreement {
    fn default() -> Self {
        let (standing, _) = watch::channel(Standing::default());
        let (disputes, _) = watch::channel(0);
        let shared =
            Shared { standing, disputes, servers: Mutex::default(), backends: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }
}

impl Agreement {
    /// The tail follows the log of this epoch.
    pub fn stand(&self, epoch: &Epoch) {
        self.shared.standing.send_if_modified(|standing| {
            let settled = standing.other.as_ref().is_some_and(|other| other.epoch == *epoch);
            if settled {
                (standing.other, standing.rival) = (None, false);
            }
            let moved = standing.epoch.as_ref() != Some(epoch);
            if moved {
                standing.epoch = Some(epoch.clone());
            }
            // Only who waits for the tail's word has to be woken for it.
            let was_silent =
                standing.read_at.replace(Instant::now()).is_none_or(|at| at.elapsed() >= TAIL_WORD);
            settled || moved || was_silent
        });
    }

    /// The tail's epoch, once it has read.
    pub fn epoch(&self) -> Option<Epoch> {
        self.shared.standing.borrow().epoch.clone()
    }

    /// Connections made just now lead to this primary: where it is not the tail's, the tail moves
    /// there.
    pub fn found(&self, primary: Primary) {
        self.note_primary(primary, false);
    }

    /// There are two primaries, of which neither outranks the other. This is the one that is not
    /// the tail's. Nothing is acknowledged, and nobody moves.
    pub fn found_rival(&self, primary: Primary) {
        self.note_primary(primary, true);
    }

    fn note_primary(&self, primary: Primary, rival: bool) {
        self.shared.standing.send_if_modified(|standing| {
            let other = (standing.epoch.as_ref() != Some(&primary.epoch)).then_some(primary);
            let rival = rival && other.is_some();
            let changed = standing.other != other || standing.rival != rival;
            (standing.other, standing.rival) = (other, rival);
            changed
        });
        if self.other().is_some() {
            self.dispute();
        }
    }

    /// The primary that the tail has to move to.
    pub fn moves_to(&self) -> Option<Primary> {
        let standing = self.shared.standing.borrow();
        standing
            .other
            .clone()
            .filter(|other| !standing.rival && standing.epoch.as_ref() != Some(&other.epoch))
    }

    /// Whether `epoch` is of an older timeline than one that was seen before: that of an orphan.
    pub fn is_outdated(&self, epoch: &Epoch) -> bool {
        let standing = self.shared.standing.borrow();
        let known = standing.epoch.iter().chain(standing.other.iter().map(|other| &other.epoch));
        known.filter_map(Epoch::timeline).max() > epoch.timeline()
    }

    /// The primary that is not the tail's, if one was found.
    pub fn other(&self) -> Option<Primary> {
        self.shared.standing.borrow().other.clone()
    }

    /// A part has seen another epoch than the tail's: the tail looks, and so does the prober.
    pub fn dispute(&self) {
        self.shared.disputes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes with every dispute.
    pub fn disputes(&self) -> watch::Receiver<u64> {
        self.shared.disputes.subscribe()
    }

    /// Whether everybody stands on `epoch`, within a patience: the tail may be about to learn of
    /// it.
    pub async fn settles_on(&self, epoch: &Epoch, patience: Duration) -> bool {
        let settled = |standing: &Standing| {
            standing.epoch.as_ref() == Some(epoch)
                && standing.other.is_none()
                && standing.read_at.is_some_and(|at| at.elapsed() < TAIL_WORD)
        };
        if settled(&self.shared.standing.borrow()) {
            return true;
        }
        self.dispute();
        let mut standing = self.shared.standing.subscribe();
        timeout(patience, standing.wait_for(settled)).await.is_ok_and(|settled| settled.is_ok())
    }

    /// Resolves when the replica stands on another epoch than this one.
    pub async fn departs_from(&self, epoch: &Epoch) {
        let mut standing = self.shared.standing.subscribe();
        let departed =
            |standing: &Standing| standing.epoch.as_ref().is_some_and(|now| now != epoch);
        if standing.wait_for(departed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// A part's connection leads to this server; `None` when it has none.
    pub fn note_server(&self, part: &'static str, server: Option<String>) {
        let mut servers = self.shared.servers.lock().unwrap_or_else(PoisonError::into_inner);
        match server {
            Some(server) => servers.insert(part, server),
            None => servers.remove(part),
        };
    }

    /// Registers the agreement's metrics.
    pub fn register(&self, registry: &mut Registry) {
        let agreement = self.clone();
        registry.info(
            "relay_server_info",
            "The host and port that a part's connection leads to; always 1.",
            ["part", "server"],
            move || {
                let servers = agreement.servers().into_iter();
                servers.map(|(part, server)| [part.to_string(), server.to_string()]).collect()
            },
        );
    }

    /// Which server each part's connection leads to.
    pub fn servers(&self) -> BTreeMap<&'static str, String> {
        self.shared.servers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn backends(&self) -> MutexGuard<'_, Backends> {
        self.shared.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the prober looks what this backend does, until it is told otherwise.
    pub fn watch_backend(&self, pid: i32, on: bool) {
        let mut backends = self.backends();
        if on {
            backends.watched.entry(pid).or_insert(None);
        } else {
            backends.watched.remove(&pid);
        }
    }

    /// The backends that are looked at.
    pub fn watched(&self) -> Vec<i32> {
        self.backends().watched.keys().copied().collect()
    }

    /// What the server of `epoch` said of the watched backends, when it was asked at `at`.
    pub fn saw_backends(&self, at: Instant, epoch: Epoch, mut found: HashMap<i32, Backend>) {
        let mut backends = self.backends();
        for (pid, seen) in &mut backends.watched {
            *seen = found.remove(pid);
        }
        backends.seen = Some((at, epoch));
    }

    /// What the backend did when it was last looked at, if that was asked after `since` of the
    /// server of `epoch`. `Some(None)`: that server has no such backend.
    pub fn backend(&self, pid: i32, epoch: &Epoch, since: Instant) -> Option<Option<Backend>> {
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
        Primary { epoch: Epoch::new(epoch), place: "here".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_settled_while_another_primary_is_known() {
        let agreement = Agreement::default();
        let (one, two) = (Epoch::new("a1"), Epoch::new("b2"));
        assert!(!agreement.settles_on(&one, DISPUTE_PATIENCE).await, "the tail has not read");
        agreement.stand(&one);
        assert!(agreement.settles_on(&one, DISPUTE_PATIENCE).await);
        assert!(!agreement.settles_on(&two, DISPUTE_PATIENCE).await);
        agreement.found(primary("a1"));
        assert!(agreement.settles_on(&one, DISPUTE_PATIENCE).await, "it is the same");
        agreement.found(primary("b2"));
        assert!(!agreement.settles_on(&one, DISPUTE_PATIENCE).await);
        agreement.stand(&two);
        assert!(agreement.settles_on(&two, DISPUTE_PATIENCE).await, "the tail has moved there");
        agreement.departs_from(&one).await;
        assert!(futures::poll!(Box::pin(agreement.departs_from(&two))).is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_is_known_as_of_a_moment_and_a_server() {
        let agreement = Agreement::default();
        let (epoch, before) = (Epoch::new("a1"), Instant::now());
        agreement.watch_backend(7, true);
        assert_eq!(agreement.backend(7, &epoch, before), None, "nobody has looked");
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
