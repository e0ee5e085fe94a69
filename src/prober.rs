//! Connects to the database anew, once a second, as whoever comes next would: to every host of the URL.
//!
//! A replica's own connections may outlive the server's role. After a failover an old primary that
//! lives on, or a network that still leads to it, takes writes that nobody will ever see. Only a new
//! connection shows where the URL leads now. What the prober finds it tells the [`Agreement`]: while
//! that is another primary than the tail's, nothing is acknowledged.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::event::Epoch;
use crate::store::{Agreement, Connector, Primary, Surveyed};
use crate::vital::Vital;

/// How often it looks.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How soon it looks again where it found another primary: the tail may just be learning of it.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// Starts to look; ends with the handle.
pub fn start(connector: &Connector, agreement: &Agreement, vital: &Vital) -> AbortOnDropHandle<()> {
    let prober =
        Prober { connector: connector.clone(), agreement: agreement.clone(), best: None, suspect: None };
    vital.spawn("prober", prober.run())
}

struct Prober {
    connector: Connector,
    agreement: Agreement,
    /// The primary of the highest timeline that was ever found. One of a lower timeline is an orphan.
    best: Option<Primary>,
    /// An epoch of the tail's timeline that was seen once: a nonce that is just being renewed is no other
    /// server.
    suspect: Option<Epoch>,
}

impl Prober {
    async fn run(mut self) {
        let mut disputes = self.agreement.disputes();
        let mut conflict = false;
        loop {
            let found = self.look().await;
            self.tell(&found, &mut conflict);
            let odd = self
                .agreement
                .epoch()
                .is_some_and(|epoch| found.iter().any(|surveyed| surveyed.primary.epoch != epoch));
            let rest = if odd { SECOND_LOOK } else { PROBE_INTERVAL };
            disputes.mark_unchanged();
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                _ = disputes.changed() => tokio::time::sleep(SECOND_LOOK).await,
            }
        }
    }

    /// Asks every host. A primary that outranks those before it is told at once: another host that
    /// hangs must not delay that.
    async fn look(&mut self) -> Vec<Surveyed> {
        let asked = Instant::now();
        let mut found: Vec<Surveyed> = Vec::new();
        let watched = self.agreement.watched();
        let survey = self.connector.survey(&watched);
        let mut survey = std::pin::pin!(survey);
        while let Some(surveyed) = survey.next().await {
            if self.agreement.epoch().as_ref() == Some(&surveyed.primary.epoch) {
                let (epoch, backends) = (surveyed.primary.epoch.clone(), surveyed.backends.clone());
                self.agreement.saw_backends(asked, epoch, backends);
            }
            if self.outranks(&surveyed.primary) {
                self.best = Some(surveyed.primary.clone());
                self.connector.prefer(surveyed.host);
                self.agreement.found(surveyed.primary.clone());
            }
            found.push(surveyed);
        }
        found
    }

    /// Says what a whole survey comes to.
    fn tell(&mut self, found: &[Surveyed], conflict: &mut bool) {
        let Some(best) = found.iter().max_by_key(|surveyed| surveyed.primary.epoch.timeline()) else {
            return;
        };
        let rank = best.primary.epoch.timeline();
        if self.best.as_ref().is_some_and(|known| known.epoch.timeline() > rank) {
            // Only an orphan answers. The one that outranks it is away, not gone.
            tracing::debug!(place = best.primary.place, "only a primary of an older timeline answers");
            return;
        }
        let equals = found.iter().filter(|surveyed| surveyed.primary.epoch.timeline() == rank);
        let rival = equals.clone().find(|surveyed| surveyed.primary.epoch != best.primary.epoch);
        if let Some(rival) = rival {
            if !std::mem::replace(conflict, true) {
                tracing::error!(
                    one = best.primary.place,
                    other = rival.primary.place,
                    "two servers say that they are the primary, and neither outranks the other: nothing is \
                     acknowledged until one of them is gone. Stop the one that was not to be promoted"
                );
            }
            let tail = self.agreement.epoch();
            let other = equals.clone().find(|surveyed| Some(&surveyed.primary.epoch) != tail.as_ref());
            if let Some(other) = other {
                self.agreement.found_rival(other.primary.clone());
            }
            return;
        }
        *conflict = false;
        self.best = Some(best.primary.clone());
        self.connector.prefer(best.host);
        let epoch = &best.primary.epoch;
        // Before the tail has read there is nothing to compare with.
        let Some(tail) = self.agreement.epoch() else { return };
        let differs = tail != *epoch && tail.timeline() == epoch.timeline();
        let seen_once = self.suspect.replace(epoch.clone()).as_ref() != Some(epoch);
        if !(differs && seen_once) {
            self.agreement.found(best.primary.clone());
        }
    }

    /// Whether it is of a newer timeline than all before it.
    fn outranks(&self, primary: &Primary) -> bool {
        self.best.as_ref().is_some_and(|best| primary.epoch.timeline() > best.epoch.timeline())
    }
}
