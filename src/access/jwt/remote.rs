//! The JWKS of an identity provider, by URL.
//!
//! One task asks for it: every few minutes, and at once when a token names a key that the set does
//! not have, since providers change their keys. Requests with such a token wait for that one
//! attempt; then none is made for half a minute, so that wrong tokens cannot make the relay flood
//! the provider. The task does not belong to a request: a client that leaves ends no attempt.
//!
//! The last good set is kept while the provider is away. Before the first one no token can be
//! verified: the answer is 503, and never an open door.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;
use url::Url;

use super::keys::{KeySet, MAX_JWKS};
use crate::access::denial::Denial;
use crate::backoff::Backoff;
use crate::client::service::{Bounds, ServiceClient};
use crate::repeated::Repeated;

/// Bounds on the request for the keys.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(5), bytes: MAX_JWKS };
/// The time between two looks at the keys: at least this, and at most twice as much.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// The wait after a failure, and the longest such wait.
const RETRY_BASE: Duration = Duration::from_millis(200);
const RETRY_CAP: Duration = Duration::from_secs(30);
/// How often an unknown key makes the relay ask again.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(30);

/// The keys at a URL.
#[derive(Debug)]
pub(super) struct RemoteKeys {
    url: Url,
    client: ServiceClient,
    set: ArcSwapOption<Fetched>,
    attempts: watch::Sender<Attempts>,
    /// When an unknown key last made the relay ask.
    asked_at: Mutex<Option<Instant>>,
    /// Counts the changes of the keys: see `Access`.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Fetched {
    keys: Arc<KeySet>,
    text: Bytes,
}

/// The attempts to fetch the keys: those that were wanted, and those that were made.
#[derive(Debug, Default)]
struct Attempts {
    wanted: u64,
    made: u64,
    /// Why the last one failed.
    error: Option<String>,
}

impl RemoteKeys {
    /// Keys that are not fetched yet: [`RemoteKeys::refresh_forever`] does it.
    pub(super) fn new(url: Url, client: ServiceClient, changes: watch::Sender<u64>) -> Self {
        let attempts = watch::Sender::new(Attempts { wanted: 1, ..Attempts::default() });
        Self {
            url,
            client,
            set: ArcSwapOption::empty(),
            attempts,
            asked_at: Mutex::new(None),
            changes,
        }
    }

    /// The last good set.
    ///
    /// # Errors
    /// [`Denial::Unavailable`] before the first one.
    pub(super) fn current(&self) -> Result<Arc<KeySet>, Denial> {
        match &*self.set.load() {
            Some(fetched) => Ok(Arc::clone(&fetched.keys)),
            None => Err(self.unavailable("the keys have not been read yet")),
        }
    }

    /// The set after another look, for a token with a key that the set lacks.
    ///
    /// # Errors
    /// [`Denial::Unavailable`] if the provider cannot be asked: the key may be a new one.
    pub(super) async fn reread(&self) -> Result<Arc<KeySet>, Denial> {
        if self.may_ask() {
            self.want();
        }
        let mut attempts = self.attempts.subscribe();
        let wanted = attempts.borrow().wanted;
        if let Ok(attempts) = attempts.wait_for(|attempts| attempts.made >= wanted).await
            && let Some(error) = &attempts.error
        {
            return Err(self.unavailable(error));
        }
        self.current()
    }

    /// Waits until the first attempt is over.
    pub(super) async fn first_look(&self) {
        let mut attempts = self.attempts.subscribe();
        // An error means that the task has ended, and nothing more comes.
        let _ = attempts.wait_for(|attempts| attempts.made > 0).await;
    }

    /// Asks for the keys soon.
    pub(super) fn want(&self) {
        self.attempts.send_modify(|attempts| attempts.wanted += 1);
    }

    /// Whether an unknown key may make the relay ask now; from then on none may for a while.
    fn may_ask(&self) -> bool {
        let mut asked_at = self.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = asked_at.is_none_or(|at| at.elapsed() >= UNKNOWN_KEY_INTERVAL);
        if is_due {
            *asked_at = Some(Instant::now());
        }
        is_due
    }

    fn unavailable(&self, reason: &str) -> Denial {
        let reason = format!("--jwt-keys: {reason}");
        Denial::Unavailable { reason, retry_after: Duration::from_secs(5) }
    }

    /// Fetches the keys now, whenever they are wanted, and every few minutes.
    pub(super) async fn refresh_forever(self: Arc<Self>) {
        let logged = Repeated::new();
        let mut backoff = Backoff::new(RETRY_BASE, RETRY_CAP);
        let mut attempts = self.attempts.subscribe();
        loop {
            let wanted = attempts.borrow_and_update().wanted;
            let error = self.fetch().await.err();
            let wait = match &error {
                None => {
                    backoff.reset();
                    if let Some(since) = logged.over() {
                        tracing::info!("the keys of --jwt-keys can be read again, after {since:?}");
                    }
                    REFRESH + REFRESH.mul_f64(fastrand::f64())
                }
                Some(error) => {
                    if let Some(due) = logged.met(error) {
                        tracing::error!(
                            "the keys of --jwt-keys cannot be read{due}: {error}; the relay keeps \
                             those that it has, and tries again"
                        );
                    }
                    backoff.next_wait()
                }
            };
            self.attempts.send_modify(|attempts| {
                attempts.made = attempts.made.max(wanted);
                attempts.error = error;
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = attempts.wait_for(|attempts| attempts.wanted > wanted) => {}
            }
        }
    }

    async fn fetch(&self) -> Result<(), String> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(self.url.as_str())
            .header(header::ACCEPT, "application/json")
            .body(Bytes::new())
            .map_err(|error| error.to_string())?;
        let answer =
            self.client.request(request, BOUNDS).await.map_err(|error| error.to_string())?;
        match answer.status {
            StatusCode::OK => {}
            status if status.is_redirection() => {
                return Err(format!("the URL answers {status}, and no redirect is followed"));
            }
            status => return Err(format!("the URL answers {status}")),
        }
        if self.set.load().as_ref().is_some_and(|fetched| fetched.text == answer.body) {
            return Ok(());
        }
        let keys = KeySet::parse(&answer.body)?;
        keys.log_left_out();
        self.set.store(Some(Arc::new(Fetched { keys: Arc::new(keys), text: answer.body })));
        self.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }
}
