//! The task that deletes old entries of the audit, in small slices: a slice holds no lock for long,
//! and the session is never silent for long.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::task::{DEADLINE, Task, TaskError, limited};
use crate::database::{Session, prune_audit};

/// How often old entries are looked for.
const PERIOD: Duration = Duration::from_secs(60);
/// The most entries of a slice, and the most slices of a run.
const SLICE: i32 = 1_000;
const MAX_SLICES: usize = 20;

/// Deletes entries that are older than an age.
pub(super) struct AuditRetention {
    age: Duration,
}

impl AuditRetention {
    pub(super) fn new(age: Duration) -> Self {
        Self { age }
    }
}

impl Task for AuditRetention {
    fn name(&self) -> &'static str {
        "retention of the audit"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn run<'a>(&'a mut self, session: &'a mut Session) -> BoxFuture<'a, Result<(), TaskError>> {
        async move {
            for _ in 0..MAX_SLICES {
                let deleted = limited(DEADLINE, prune_audit(session, self.age, SLICE)).await?;
                if deleted < SLICE {
                    break;
                }
            }
            Ok(())
        }
        .boxed()
    }
}
