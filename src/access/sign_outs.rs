//! The sessions that were signed out before their end.
//!
//! A session is a text that its browser keeps, and no relay. A sign-out removes the cookie, but a
//! copy of the session would be good until its end. So the database has the hash of each session
//! that was signed out. A relay reads them all when a session is used, at most once in [`PACE`]:
//! they are few, and a read for each request would be far dearer. On the replica that signed it
//! out, a session ends at once, and on the others within that time.
//!
//! While the database is away, the list that was read last counts.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::denial::Denial;
use crate::cryptography::{Digest, sha256};
use crate::database::Pages;
use crate::repeated::Repeated;

/// The least time between two reads of the list, and how often a live connection looks whether its
/// session was signed out.
pub(super) const PACE: Duration = Duration::from_secs(5);
/// How long a read of the list may take before the list that was read last counts.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most sign-outs that are remembered, at 80 bytes each. Beyond them, the sessions that would
/// end first are forgotten.
const MAX_SIGN_OUTS: usize = 20_000;
/// How long a client is told to wait when the database is away.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// One log line a cause.
static UNREAD: Repeated = Repeated::new();

/// Knows the sessions that were signed out.
pub(super) struct SignOuts {
    pages: Pages,
    list: RwLock<Option<List>>,
    /// Held while the list is being read or added to, so that one read serves everyone.
    reading: Mutex<()>,
}

#[derive(Clone)]
struct List {
    hashes: Arc<HashSet<Digest>>,
    read_at: Instant,
}

impl SignOuts {
    /// Sign-outs that are in the database behind `pages`.
    pub(super) fn new(pages: Pages) -> Self {
        Self { pages, list: RwLock::default(), reading: Mutex::default() }
    }

    /// Whether this session was signed out.
    ///
    /// # Errors
    /// [`Denial::Unavailable`] if the list was never read.
    pub(super) async fn has(&self, session: &str) -> Result<bool, Denial> {
        let hash = hash(session)?;
        Ok(self.newest().await?.contains(&hash))
    }

    /// Remembers that this session was signed out, which would have ended at `expires_at`.
    ///
    /// # Errors
    /// [`Denial::Unavailable`] if the database is away: the session is good until its end.
    pub(super) async fn add(&self, session: &str, expires_at: SystemTime) -> Result<(), Denial> {
        let hash = hash(session)?;
        let left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        // A read that began before the row was committed must not replace the list afterwards.
        let _reading = self.reading.lock().await;
        let added = self.pages.add_sign_out(&hash, left, MAX_SIGN_OUTS).await;
        added.map_err(|error| unavailable(error.to_string()))?;
        if let Some(list) = &mut *self.list.write().unwrap_or_else(PoisonError::into_inner) {
            Arc::make_mut(&mut list.hashes).insert(hash);
        }
        Ok(())
    }

    fn known(&self) -> Option<List> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The list, no older than [`PACE`] if the database can be read.
    async fn newest(&self) -> Result<Arc<HashSet<Digest>>, Denial> {
        let fresh = || self.known().filter(|list| list.read_at.elapsed() < PACE);
        if let Some(list) = fresh() {
            return Ok(list.hashes);
        }
        let _reading = self.reading.lock().await;
        if let Some(list) = fresh() {
            return Ok(list.hashes);
        }
        let hashes = match timeout(PATIENCE, self.pages.sign_outs()).await {
            Ok(Ok(hashes)) => Arc::new(hashes.into_iter().collect()),
            late_or_failed => {
                let reason = match late_or_failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => format!("the database has not answered within {PATIENCE:?}"),
                };
                let Some(before) = self.known() else { return Err(unavailable(reason)) };
                if let Some(due) = UNREAD.met("sign-outs") {
                    tracing::warn!("sign-outs at other replicas are not known: {reason}{due}");
                }
                before.hashes
            }
        };
        let list = List { hashes: Arc::clone(&hashes), read_at: Instant::now() };
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = Some(list);
        Ok(hashes)
    }
}

fn hash(session: &str) -> Result<Digest, Denial> {
    sha256(session.as_bytes()).ok_or_else(|| unavailable("no SHA-256 can be made".to_owned()))
}

fn unavailable(reason: String) -> Denial {
    Denial::Unavailable { reason, retry_after: RETRY_AFTER }
}
