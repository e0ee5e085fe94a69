//! The subscribers that wait for events, by class.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::event::ClassId;

type Registered = HashMap<u64, Arc<Notify>>;

/// The subscribers of every class.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// The lock is held while subscribers are added, removed or woken. It is separate from the
    /// log's lock: a subscriber that is woken reads the log at once, and would have to wait for it.
    classes: Mutex<HashMap<ClassId, Registered>>,
    next: AtomicU64,
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, HashMap<ClassId, Registered>> {
        self.classes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Wakes the subscribers of these classes.
    pub(super) fn wake(&self, rung: &[ClassId]) {
        let classes = self.lock();
        for registered in rung.iter().filter_map(|class| classes.get(class)) {
            registered.values().for_each(|waiter| waiter.notify_one());
        }
    }

    /// Wakes all subscribers.
    pub(super) fn wake_all(&self) {
        for registered in self.lock().values() {
            registered.values().for_each(|waiter| waiter.notify_one());
        }
    }
}

/// A subscriber's entry among the waiters, which is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Subscription {
    waiters: Arc<Waiters>,
    classes: Box<[ClassId]>,
    key: u64,
    notify: Arc<Notify>,
}

impl Subscription {
    pub(super) fn new(waiters: Arc<Waiters>, classes: &[ClassId]) -> Self {
        let key = waiters.next.fetch_add(1, Ordering::Relaxed);
        let notify = Arc::new(Notify::new());
        {
            let mut registered = waiters.lock();
            for class in classes {
                registered.entry(class.clone()).or_default().insert(key, Arc::clone(&notify));
            }
        }
        Self { waiters, classes: classes.into(), key, notify }
    }

    /// Resolves once the subscriber has been woken since the last call. A call that comes after the
    /// wake-up resolves at once.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut registered = self.waiters.lock();
        for class in &self.classes {
            if let Some(of_class) = registered.get_mut(class) {
                of_class.remove(&self.key);
                if of_class.is_empty() {
                    registered.remove(class);
                }
            }
        }
    }
}
