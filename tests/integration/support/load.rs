//! Students who post.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use progress_relay::client::BaseUrl;
use progress_relay::client::http::Connection;
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use super::{event, until};

/// The distance between the first marks of two posters.
const MARKS: usize = 100_000;

/// Students who post one event after the other and send each again until it is acknowledged, as
/// clients in the field do.
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<i64>>>,
    posters: Vec<AbortOnDropHandle<()>>,
}

impl Load {
    /// Starts this many posters, with marks from 0.
    pub fn start(url: &BaseUrl, posters: usize) -> Self {
        Self::start_at(url, posters, 0)
    }

    /// Starts this many posters, with marks that no load of another `round` has.
    pub fn start_at(url: &BaseUrl, posters: usize, round: usize) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let posters = (0..posters)
            .map(|poster| {
                let first = MARKS * (posters * round + poster);
                let posting =
                    post(url.clone(), first, Arc::clone(&stop), Arc::clone(&acknowledged));
                AbortOnDropHandle::new(tokio::spawn(posting))
            })
            .collect();
        Self { stop, acknowledged, posters }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().expect("a list").len()
    }

    /// Waits until `count` more events were acknowledged.
    pub async fn more(&self, count: usize) {
        let goal = self.count() + count;
        until("POSTs to be acknowledged", async || (self.count() >= goal).then_some(())).await;
    }

    /// Lets every poster finish its event, and returns the acknowledged marks.
    pub async fn stop(mut self) -> HashSet<i64> {
        self.stop.store(true, Ordering::Relaxed);
        for poster in self.posters.drain(..) {
            poster.await.expect("a poster");
        }
        self.marks()
    }

    /// Aborts every poster, perhaps in the middle of a POST, and returns the acknowledged marks.
    pub async fn cut(mut self) -> HashSet<i64> {
        for poster in self.posters.drain(..) {
            poster.abort();
            // An error is ignored here, because it shows when events are missing.
            let _ = poster.await;
        }
        self.marks()
    }

    fn marks(&self) -> HashSet<i64> {
        self.acknowledged.lock().expect("a list").iter().copied().collect()
    }
}

async fn post(
    url: BaseUrl,
    first: usize,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<i64>>>,
) {
    for mark in first..first + MARKS {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        post_until_acknowledged(&url, &event(mark)).await;
        acknowledged.lock().expect("a list").push(mark as i64);
    }
}

async fn post_until_acknowledged(url: &BaseUrl, event: &Value) {
    let body = event.to_string();
    until("an acknowledgement", || async {
        let mut connection = Connection::open(url).await.ok()?;
        let response = connection.post_json("/student-progress", body.clone()).await.ok()?;
        // Any other status is an error that a retry would hide.
        assert!(matches!(response.status.as_u16(), 200 | 503), "{}", response.status);
        (response.status == 200).then_some(())
    })
    .await;
}
