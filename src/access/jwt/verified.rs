//! The callers of tokens that were verified lately.
//!
//! A client sends its token with every request. To verify a signature of an identity provider costs
//! tens of microseconds, as much as all else about a POST; a look here costs one. Only good tokens
//! are kept, by their digest, so a flood of wrong ones takes no place of theirs. A change of the
//! keys empties the memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::access::caller::Caller;
use crate::cryptography::{Digest, sha256};

/// The callers of each half. When the younger half is full it becomes the older one, whose callers
/// are dropped, except those that were asked for meanwhile.
const HALF: usize = 2_048;
/// A caller with more classes than this takes too much memory, and is not kept.
const MAX_CLASSES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Verified {
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    /// The number of changes of the keys that these callers were verified after.
    changes: u64,
    young: HashMap<Digest, Caller>,
    old: HashMap<Digest, Caller>,
}

impl Verified {
    /// The digest of a token, under which its caller is kept.
    pub(super) fn digest(token: &str) -> Option<Digest> {
        sha256(token.as_bytes())
    }

    /// The caller of a token that was verified after this many changes of the keys, unless it has
    /// ended.
    pub(super) fn get(&self, digest: &Digest, changes: u64, now: SystemTime) -> Option<Caller> {
        let mut halves = self.lock();
        halves.update(changes);
        let caller = match halves.young.get(digest) {
            Some(caller) => caller.clone(),
            None => {
                let caller = halves.old.remove(digest)?;
                halves.put(*digest, caller.clone());
                caller
            }
        };
        caller.expires_at.is_some_and(|end| end > now).then_some(caller)
    }

    /// Keeps the caller of a token whose verification began after this many changes of the keys.
    pub(super) fn put(&self, digest: Digest, changes: u64, caller: Caller) {
        if caller.scope.count() > MAX_CLASSES {
            return;
        }
        let mut halves = self.lock();
        halves.update(changes);
        if halves.changes == changes {
            halves.put(digest, caller);
        }
    }

    /// Forgets every caller.
    pub(super) fn clear(&self) {
        let mut halves = self.lock();
        *halves = Halves { changes: halves.changes, ..Halves::default() };
    }

    fn lock(&self) -> MutexGuard<'_, Halves> {
        // No code under the lock can panic between two changes.
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn update(&mut self, changes: u64) {
        if changes > self.changes {
            *self = Self { changes, ..Self::default() };
        }
    }

    fn put(&mut self, digest: Digest, caller: Caller) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(end: SystemTime) -> Caller {
        Caller { expires_at: Some(end), ..Caller::anyone() }
    }

    #[test]
    fn callers_are_kept_until_they_end_or_the_keys_change() {
        let now = SystemTime::now();
        let later = now + std::time::Duration::from_secs(60);
        let verified = Verified::default();
        let digest = |n: usize| Verified::digest(&n.to_string()).expect("a digest");
        verified.put(digest(0), 1, caller(later));
        assert!(verified.get(&digest(0), 1, now).is_some());
        assert!(verified.get(&digest(0), 1, later).is_none(), "it has ended");
        verified.put(digest(1), 0, caller(later));
        assert!(verified.get(&digest(1), 1, now).is_none(), "it began before the change");
        for n in 2..3 * HALF {
            verified.put(digest(n), 1, caller(later));
            assert!(verified.get(&digest(0), 1, now).is_some(), "it is in use");
        }
        let halves = verified.lock();
        assert!(halves.young.len() + halves.old.len() <= 2 * HALF);
        assert!(!halves.young.contains_key(&digest(2)) && !halves.old.contains_key(&digest(2)));
        drop(halves);
        assert!(verified.get(&digest(0), 2, now).is_none(), "the keys have changed");
    }
}
