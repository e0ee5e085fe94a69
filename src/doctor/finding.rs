//! What a check has found.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::checks::{CHECKS, Check, Scope};
use crate::database::doctor::Trouble;

/// The beginning of the finding of a check that was not tried.
pub(super) const UNTRIED: &str = "not tried: ";

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It is as it must be.
    Right,
    /// It works, and the operator should know.
    Remark,
    /// It does not work, or loses events, or will.
    Wrong,
    /// It could not be tried.
    Unknown,
}

/// A finding of a check.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// The check.
    pub(crate) check: Check,
    /// The flag or the relay that it is about.
    pub(crate) about: String,
    /// The result.
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) what: String,
    /// What to do: commands or a sentence; `None` if there is nothing to do.
    pub(crate) to_do: Option<String>,
}

/// Collects the findings about one URL. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Notes {
    about: String,
    /// The lock is held for a line.
    found: Arc<Mutex<Vec<Finding>>>,
}

impl Notes {
    /// The notes about this flag or relay.
    pub(super) fn about(about: String) -> Self {
        Self { about, found: Arc::default() }
    }

    /// It is as it must be.
    pub(super) fn right(&self, check: Check, what: impl Into<String>) {
        self.note(check, Verdict::Right, what.into(), None);
    }

    /// It works, and the operator should know.
    pub(super) fn remark(&self, check: Check, what: impl Into<String>, to_do: impl Into<String>) {
        self.note(check, Verdict::Remark, what.into(), Some(to_do.into()));
    }

    /// It does not work.
    pub(super) fn wrong(&self, check: Check, what: impl Into<String>, to_do: impl Into<String>) {
        self.note(check, Verdict::Wrong, what.into(), Some(to_do.into()));
    }

    /// It could not be tried.
    pub(super) fn unknown(&self, check: Check, what: impl Into<String>) {
        self.note(check, Verdict::Unknown, what.into(), None);
    }

    /// It could not be tried, since a question had no answer.
    pub(super) fn trouble(&self, check: Check, trouble: &Trouble) {
        self.unknown(check, trouble.to_string());
    }

    /// Every check of this scope that has found nothing was not tried, for this reason.
    pub(super) fn untried(&self, scope: Scope, reason: &str) {
        for row in CHECKS.iter().filter(|row| row.scope == scope) {
            let is_noted = self.lock().iter().any(|finding| finding.check == row.check);
            if !is_noted {
                self.unknown(row.check, format!("{UNTRIED}{reason}"));
            }
        }
    }

    /// The findings so far.
    pub(super) fn findings(&self) -> Vec<Finding> {
        self.lock().clone()
    }

    fn note(&self, check: Check, verdict: Verdict, what: String, to_do: Option<String>) {
        let to_do = to_do.filter(|text| !text.is_empty());
        self.lock().push(Finding { check, about: self.about.clone(), verdict, what, to_do });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Finding>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
