//! Connects to every host of the URL once a second, to find out which primary a new connection
//! reaches.
//!
//! A replica's connections may outlive the role of their server. After a failover the old primary
//! may live on, or the network may still lead to it, and it takes writes that are lost later. Only
//! a new connection shows where the URL leads now. The prober reports the primary that it finds to
//! the [`Agreement`]. While that is another one than the tail's, no POST is acknowledged.
//!
//! Every host is asked at its own pace: a dead host takes seconds to time out, and must not delay
//! the answers of the others.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::agreement::{Agreement, Primary};
use crate::database::{Connector, Surveyed};
use crate::event::Epoch;
use crate::repeated::Repeated;
use crate::supervisor::Supervisor;

/// How often each host is asked.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How soon a host is asked again while a primary other than the tail's is known. The tail may be
/// about to learn of it, or the nonce may just have been renewed.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// The log line about two primaries.
static RIVALS: Repeated = Repeated::new();

/// Starts the prober, which ends when the handle is dropped.
pub(crate) fn start(
    connector: &Connector,
    agreement: &Agreement,
    supervisor: &Supervisor,
) -> AbortOnDropHandle<()> {
    let known = vec![None; connector.host_count()];
    let prober = Prober {
        connector: connector.clone(),
        agreement: agreement.clone(),
        known,
        highest: None,
        suspect: None,
    };
    supervisor.spawn("prober", prober.run())
}

struct Prober {
    connector: Connector,
    agreement: Agreement,
    /// The latest answer of each host: the primary that it is, if it is one and has answered.
    known: Vec<Option<Primary>>,
    /// The highest timeline that any primary had. A primary of a lower timeline is an orphan.
    highest: Option<u32>,
    /// Another epoch of the tail's timeline, seen once. A nonce that is just being renewed does not
    /// mean another server.
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
            let rest = if self.is_disputed() { SECOND_LOOK } else { PROBE_INTERVAL };
            asking.push(ask(self.connector.clone(), self.agreement.clone(), host, rest));
        }
    }

    /// Whether a primary other than the tail's is known.
    fn is_disputed(&self) -> bool {
        let tail = self.agreement.epoch();
        tail.is_some_and(|tail| self.known.iter().flatten().any(|primary| primary.epoch != tail))
    }

    /// Compares the hosts' latest answers, and reports the primary that outranks the others.
    fn judge(&mut self) {
        let primaries = || {
            self.known.iter().enumerate().filter_map(|(host, known)| Some((host, known.as_ref()?)))
        };
        let Some((host, best)) = primaries().max_by_key(|(_, primary)| primary.epoch.timeline())
        else {
            return;
        };
        let timeline = best.epoch.timeline();
        // A server that does not tell its timeline cannot be ranked.
        if timeline.is_some() && timeline < self.highest {
            // Only an orphan answers. The primary that outranks it may come back.
            tracing::debug!(server = best.server, "only a primary of an older timeline answers");
            return;
        }
        let outranks = self.highest.is_some() && timeline > self.highest;
        let is_equal = |of: Option<u32>| of.is_none() || of == timeline;
        // There is nothing to compare with before the tail has read.
        let Some(tail) = self.agreement.epoch() else {
            self.highest = timeline;
            return;
        };
        let equals = || primaries().filter(|(_, primary)| is_equal(primary.epoch.timeline()));
        if let Some((_, rival)) = equals().find(|(_, primary)| primary.epoch != best.epoch) {
            if let Some(due) = RIVALS.met("rivals") {
                tracing::error!(
                    one = best.server,
                    other = rival.server,
                    "two servers say that they are the primary, and neither outranks the other: \
                     nothing is acknowledged until one of them is gone. Stop the one that was not \
                     to be promoted{due}"
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

/// Asks one host after a rest. A dispute ends the rest early.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A prober of two hosts, beside a tail that reads this epoch.
    fn prober(tail: &str) -> Prober {
        let agreement = Agreement::default();
        agreement.note_tail_read(&Epoch::new(tail));
        let connector = Connector::parse("host=one,two user=u").expect("a URL");
        Prober { connector, agreement, known: vec![None, None], highest: None, suspect: None }
    }

    fn sees(prober: &mut Prober, epochs: [Option<&str>; 2]) {
        let primary = |epoch| Primary { epoch: Epoch::new(epoch), server: "here".to_owned() };
        prober.known = epochs.into_iter().map(|epoch| epoch.map(primary)).collect();
        prober.judge();
    }

    /// The epoch of a primary other than the tail's, and whether the tail moves there.
    fn verdict(prober: &Prober) -> Option<(String, bool)> {
        let other = prober.agreement.other()?;
        Some((other.epoch.to_string(), prober.agreement.moves_to().is_some()))
    }

    #[test]
    fn a_primary_of_a_higher_timeline_outranks_the_others() {
        let mut prober = prober("0123456789ab1");
        sees(&mut prober, [Some("0123456789ab1"), None]);
        assert_eq!(verdict(&prober), None);
        sees(&mut prober, [Some("0123456789ab1"), Some("0123456789ab2")]);
        assert_eq!(verdict(&prober), Some(("0123456789ab2".to_owned(), true)));
    }

    #[test]
    fn primaries_without_a_timeline_are_rivals_if_their_nonces_differ() {
        let mut prober = prober("0123456789ab");
        sees(&mut prober, [Some("0123456789ab"), Some("0123456789ab")]);
        assert_eq!(verdict(&prober), None, "two names of one server");
        sees(&mut prober, [Some("0123456789ab"), Some("ba9876543210")]);
        assert_eq!(verdict(&prober), Some(("ba9876543210".to_owned(), false)));
        // The tail's is gone. A nonce that was just renewed is seen twice before the tail moves.
        sees(&mut prober, [None, Some("ba9876543210")]);
        sees(&mut prober, [None, Some("ba9876543210")]);
        assert_eq!(verdict(&prober), Some(("ba9876543210".to_owned(), true)));
    }

    #[test]
    fn a_primary_without_a_timeline_cannot_be_ranked() {
        let mut prober = prober("0123456789ab3");
        sees(&mut prober, [Some("0123456789ab3"), None]);
        sees(&mut prober, [Some("0123456789ab3"), Some("ba9876543210")]);
        assert_eq!(verdict(&prober), Some(("ba9876543210".to_owned(), false)), "a rival");
        sees(&mut prober, [None, Some("ba9876543210")]);
        assert_eq!(verdict(&prober), Some(("ba9876543210".to_owned(), true)), "the only one");
    }
}
