//! What keeps events from being stored: the last cause, and since when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// A cause that lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What was said last, in the database's words where it said something.
    pub cause: String,
    /// Nothing was stored since then.
    pub since: Instant,
    /// Whether a statement has failed, and not only a connection.
    pub(super) of_statement: bool,
}

/// The writers' common trouble. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Troubles {
    /// Held for a line.
    now: Arc<Mutex<Option<Trouble>>>,
}

impl Default for Troubles {
    /// Before the first success nothing can be stored.
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

    /// Nothing could be stored, for this cause; `of_statement`: since a statement failed.
    pub(super) fn note(&self, cause: &str, of_statement: bool) {
        let mut now = self.lock();
        let begun = || Trouble { cause: String::new(), since: Instant::now(), of_statement: false };
        let trouble = now.get_or_insert_with(begun);
        if trouble.cause != cause {
            cause.clone_into(&mut trouble.cause);
        }
        trouble.of_statement |= of_statement;
    }

    /// Something was stored, or could have been.
    pub(super) fn clear(&self) {
        *self.lock() = None;
    }

    pub(super) fn now(&self) -> Option<Trouble> {
        self.lock().clone()
    }
}
