//! A bounded collection by name that lets go of what was touched longest ago, and remembers what has changed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// A value, and the event that touched it last.
#[derive(Debug)]
pub(super) struct Entry<V> {
    pub(super) value: V,
    pub(super) last_event: i64,
}

/// What gave way, and its name.
pub(super) type Evicted<V> = (Arc<str>, V);

/// At most so many values. Which one gives way depends on the events alone, never on when or where they are folded: the
/// one whose last event has the smallest id.
#[derive(Debug)]
pub(super) struct Kept<V> {
    max: usize,
    entries: HashMap<Arc<str>, Entry<V>>,
    /// Last event to name: an event touches one entry at most.
    order: BTreeMap<i64, Arc<str>>,
    /// Names whose entry was made, changed or removed since they were last taken; `None` while nobody asks.
    changed: Option<HashSet<Arc<str>>>,
}

impl<V> Kept<V> {
    pub(super) fn new(max: usize) -> Self {
        Self { max, entries: HashMap::new(), order: BTreeMap::new(), changed: None }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, name: &str) -> Option<&V> {
        self.entries.get(name).map(|entry| &entry.value)
    }

    pub(super) fn entry(&self, name: &str) -> Option<&Entry<V>> {
        self.entries.get(name)
    }

    /// The name as it is kept, to be shared.
    pub(super) fn name(&self, name: &str) -> Option<Arc<str>> {
        self.entries.get_key_value(name).map(|(name, _)| Arc::clone(name))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&Arc<str>, &Entry<V>)> {
        self.entries.iter()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        self.entries.iter().map(|(name, entry)| (name, &entry.value))
    }

    /// Changes an entry without its being touched: its age stays.
    pub(super) fn change(&mut self, name: &str) -> Option<&mut V> {
        if let Some(changed) = &mut self.changed {
            let (name, _) = self.entries.get_key_value(name)?;
            changed.insert(Arc::clone(name));
        }
        self.entries.get_mut(name).map(|entry| &mut entry.value)
    }

    /// A change that a snapshot does not hold.
    pub(super) fn peek_mut(&mut self, name: &str) -> Option<&mut V> {
        self.entries.get_mut(name).map(|entry| &mut entry.value)
    }

    /// The entry that `event` is about, made if it is not there, and what had to give way for it.
    pub(super) fn touch(
        &mut self,
        name: &str,
        event: i64,
        make: impl FnOnce() -> V,
    ) -> (Arc<str>, &mut V, Option<Evicted<V>>) {
        let known =
            self.entries.get_key_value(name).map(|(name, entry)| (Arc::clone(name), entry.last_event));
        let (name, evicted) = match known {
            Some((name, last)) => {
                self.order.remove(&last);
                (name, None)
            }
            None if self.entries.len() >= self.max => (Arc::from(name), self.remove_oldest()),
            None => (Arc::from(name), None),
        };
        self.order.insert(event, Arc::clone(&name));
        if let Some(changed) = &mut self.changed {
            changed.insert(Arc::clone(&name));
        }
        let entry = self
            .entries
            .entry(Arc::clone(&name))
            .or_insert_with(|| Entry { value: make(), last_event: event });
        entry.last_event = event;
        (name, &mut entry.value, evicted)
    }

    fn remove_oldest(&mut self) -> Option<Evicted<V>> {
        let name = self.order.first_key_value().map(|(_, name)| Arc::clone(name))?;
        self.remove(&name).map(|value| (name, value))
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<V> {
        let (name, entry) = self.entries.remove_entry(name)?;
        self.order.remove(&entry.last_event);
        if let Some(changed) = &mut self.changed {
            changed.insert(name);
        }
        Some(entry.value)
    }

    /// Puts back what a snapshot holds.
    pub(super) fn restore(&mut self, name: &str, last_event: i64, value: V) {
        let name: Arc<str> = Arc::from(name);
        self.order.insert(last_event, Arc::clone(&name));
        self.entries.insert(name, Entry { value, last_event });
    }

    /// From now on changes are remembered, or not.
    pub(super) fn remember(&mut self, on: bool) {
        self.changed = on.then(HashSet::new);
    }

    /// The names that have changed since they were last taken.
    pub(super) fn take_changed(&mut self) -> HashSet<Arc<str>> {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_untouched_gives_way() {
        let mut kept: Kept<i64> = Kept::new(2);
        kept.remember(true);
        for (event, name) in [(1, "a"), (2, "b"), (3, "a")] {
            assert!(kept.touch(name, event, || event).2.is_none());
        }
        let (_, _, evicted) = kept.touch("c", 4, || 4);
        assert_eq!(evicted, Some((Arc::from("b"), 2)));
        assert_eq!(kept.get("a"), Some(&1));
        assert_eq!(kept.entry("a").map(|entry| entry.last_event), Some(3));
        let mut changed: Vec<_> = kept.take_changed().into_iter().collect();
        changed.sort();
        assert_eq!(changed, [Arc::from("a"), Arc::from("b"), Arc::from("c")]);
        assert!(kept.take_changed().is_empty());
        assert_eq!(kept.len(), 2);
    }
}
