//! The cause that keeps events from being stored, and since when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// A cause that lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The latest cause, in the database's words where it gave any.
    pub cause: String,
    /// The moment since which nothing was stored.
    pub since: Instant,
    /// Whether a statement has failed, and not only a connection.
    pub(super) of_statement: bool,
}

/// The trouble that all workers share. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Troubles {
    /// The lock is held for a line.
    now: Arc<Mutex<Option<Trouble>>>,
}

impl Default for Troubles {
    /// Until the first success there is trouble: nothing can be stored yet.
    fn default() -> Self {
        let cause = "no connection to write on yet".to_owned();
        let trouble = Trouble { cause, since: Instant::now(), of_statement: false };
        Self { now: Arc::new(Mutex::new(Some(trouble))) }
    }
}

impl Troubles {
    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that nothing could be stored, for this cause. `of_statement` says that a statement
    /// failed, and not only a connection.
    pub(super) fn note(&self, cause: &str, of_statement: bool) {
        let mut now = self.lock();
        let begun = || Trouble { cause: String::new(), since: Instant::now(), of_statement: false };
        let trouble = now.get_or_insert_with(begun);
        if trouble.cause != cause {
            cause.clone_into(&mut trouble.cause);
        }
        trouble.of_statement |= of_statement;
    }

    /// Notes that an event was stored, or could have been.
    pub(super) fn clear(&self) {
        *self.lock() = None;
    }

    pub(super) fn now(&self) -> Option<Trouble> {
        self.lock().clone()
    }
}
