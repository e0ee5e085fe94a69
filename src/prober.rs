//! Connects to the database anew, once a second, as whoever comes next would: to every host of the
//! URL.
//!
//! A replica's own connections may outlive the server's role. After a failover an old primary that
//! lives on, or a network that still leads to it, takes writes that nobody will ever see. Only a
//! new connection shows where the URL leads now. What the prober finds it tells the [`Agreement`]:
//! while that is another primary than the tail's, nothing is acknowledged.
//!
//! Every host is asked at its own pace: one that is dead, and takes seconds to be given up, must
//! not delay what the others say.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::event::Epoch;
use crate::repeated::Repeated;
use crate::store::{Agreement, Connector, Primary, Surveyed};
use crate::vital::Vital;

/// How often each host is asked.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How soon it is asked again where another primary than the tail's is known: the tail may just be
/// learning of it, or its nonce may just have been renewed.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// The log line about two primaries.
static RIVALS: Repeated = Repeated::new();

/// Starts to look; ends with the handle.
pub fn start(connector: &Connector, agreement: &Agreement, vital: &Vital) -> AbortOnDropHandle<()> {
    let known = vec![None; connector.host_count()];
    let prober = Prober {
        connector: connector.clone(),
        agreement: agreement.clone(),
        known,
        highest: None,
        suspect: None,
    };
    vital.spawn("prober", prober.run())
}

struct Prober {
    connector: Connector,
    agreement: Agreement,
    /// What each host said last: the primary that it is, if it is one and has answered.
    known: Vec<Option<Primary>>,
    /// The highest timeline that was ever found. A primary of a lower one is an orphan.
    highest: Option<u32>,
    /// An epoch of the tail's timeline that was seen once. A nonce that is just being renewed is no
    /// other server.
    suspect: Option<Epoch>,
}

impl Prober {
    async fn run(mut self) {
        let mut asking = FuturesUnordered::new();
        for host in 0..self.known.len() {
            asking.push(ask(self.connector.clone(), self.agreement.clone(), host, Duration::ZERO));
        }
        while let Some((host, asked, answer)) = asking.next().await {
            if let Some(surveyed) = &answer
                && self.agreement.epoch().as_ref() == Some(&surveyed.primary.epoch)
            {
                let (epoch, backends) = (surveyed.primary.epoch.clone(), surveyed.backends.clone());
                self.agreement.saw_backends(asked, epoch, backends);
            }
            self.known[host] = answer.map(|surveyed| surveyed.primary);
            self.judge();
            let rest = if self.is_odd() { SECOND_LOOK } else { PROBE_INTERVAL };
            asking.push(ask(self.connector.clone(), self.agreement.clone(), host, rest));
        }
    }

    /// Whether a primary is known that is not the tail's.
    fn is_odd(&self) -> bool {
        let tail = self.agreement.epoch();
        tail.is_some_and(|tail| self.known.iter().flatten().any(|primary| primary.epoch != tail))
    }

    /// Says what the hosts' last answers come to.
    fn judge(&mut self) {
        let primaries = || {
            self.known.iter().enumerate().filter_map(|(host, known)| Some((host, known.as_ref()?)))
        };
        let Some((host, best)) = primaries().max_by_key(|(_, primary)| primary.epoch.timeline())
        else {
            return;
        };
        let timeline = best.epoch.timeline();
        if timeline < self.highest {
            // Only an orphan answers. The primary that outranks it is away, not gone.
            tracing::debug!(place = best.place, "only a primary of an older timeline answers");
            return;
        }
        let outranks = self.highest.is_some() && timeline > self.highest;
        // Before the tail has read there is nothing to compare with.
        let Some(tail) = self.agreement.epoch() else {
            self.highest = timeline;
            return;
        };
        let equals = || primaries().filter(|(_, primary)| primary.epoch.timeline() == timeline);
        if let Some((_, rival)) = equals().find(|(_, primary)| primary.epoch != best.epoch) {
            if let Some(due) = RIVALS.met("rivals") {
                tracing::error!(
                    one = best.place,
                    other = rival.place,
                    "two servers say that they are the primary, and neither outranks the other: \
                         nothing is \
                     acknowledged until one of them is gone. Stop the one that was not to be \
                     promoted{due}"
                );
            }
            if let Some((_, other)) = equals().find(|(_, primary)| primary.epoch != tail) {
                self.agreement.found_rival(other.clone());
            }
            return;
        }
        self.connector.prefer(host);
        let best = best.clone();
        self.highest = timeline;
        let renewed = best.epoch != tail && tail.timeline() == timeline;
        let seen_before = self.suspect.replace(best.epoch.clone()).as_ref() == Some(&best.epoch);
        if outranks || !renewed || seen_before {
            self.agreement.found(best);
        }
    }
}

/// Asks one host after a rest, which a dispute ends.
async fn ask(
    connector: Connector,
    agreement: Agreement,
    host: usize,
    rest: Duration,
) -> (usize, Instant, Option<Surveyed>) {
    let mut disputes = agreement.disputes();
    tokio::select! {
        () = tokio::time::sleep(rest) => {}
        _ = disputes.changed() => tokio::time::sleep(SECOND_LOOK.min(rest)).await,
    }
    let asked = Instant::now();
    let answer = connector.survey(host, &agreement.watched()).await;
    (host, asked, answer)
}
