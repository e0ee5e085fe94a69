//! A bounded collection by name that lets go of what was touched longest ago, and remembers what has changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A value, and the event that touched it last.
#[derive(Debug)]
pub(super) struct Entry<V> {
    name: Arc<str>,
    pub(super) value: V,
    pub(super) last_event: i64,
    /// Whether it stands among the changed.
    changed: bool,
}

/// What gave way, and its name.
pub(super) type Evicted<V> = (Arc<str>, V);

/// The entry that an event is about.
#[derive(Debug)]
pub(super) struct Touched<'a, V> {
    pub(super) name: Arc<str>,
    pub(super) value: &'a mut V,
    /// Whether it was made just now.
    pub(super) is_new: bool,
    /// What had to give way for it.
    pub(super) evicted: Option<Evicted<V>>,
}

/// At most so many values. Which one gives way depends on the events alone, never on when or where they are folded: the
/// one whose last event has the smallest id.
#[derive(Debug)]
pub(super) struct Kept<V> {
    max: usize,
    entries: HashMap<Arc<str>, Entry<V>>,
    /// Last event to name: an event touches one entry at most. Made when something first has to give way: most classes
    /// never come there, and it would be a quarter of the fold's work.
    order: Option<BTreeMap<i64, Arc<str>>>,
    /// Names whose entry was made, changed or removed since they were last taken; `None` while nobody asks.
    changed: Option<Vec<Arc<str>>>,
}

impl<V> Kept<V> {
    pub(super) fn new(max: usize) -> Self {
        Self { max, entries: HashMap::new(), order: None, changed: None }
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
        self.entries.get(name).map(|entry| Arc::clone(&entry.name))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&Arc<str>, &Entry<V>)> {
        self.entries.iter()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        self.entries.iter().map(|(name, entry)| (name, &entry.value))
    }

    /// Changes an entry without its being touched: its age stays.
    pub(super) fn change(&mut self, name: &str) -> Option<&mut V> {
        let entry = self.entries.get_mut(name)?;
        note(&mut self.changed, entry);
        Some(&mut entry.value)
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
    ) -> Option<Touched<'_, V>> {
        let is_new = !self.entries.contains_key(name);
        let mut evicted = None;
        if is_new {
            if self.entries.len() >= self.max {
                evicted = self.remove_oldest();
            }
            let name: Arc<str> = Arc::from(name);
            let entry = Entry { name: Arc::clone(&name), value: make(), last_event: event, changed: false };
            self.entries.insert(name, entry);
        }
        let entry = self.entries.get_mut(name)?;
        if let Some(order) = &mut self.order {
            order.remove(&entry.last_event);
            order.insert(event, Arc::clone(&entry.name));
        }
        entry.last_event = event;
        note(&mut self.changed, entry);
        Some(Touched { name: Arc::clone(&entry.name), value: &mut entry.value, is_new, evicted })
    }

    fn remove_oldest(&mut self) -> Option<Evicted<V>> {
        let in_order =
            || self.entries.iter().map(|(name, entry)| (entry.last_event, Arc::clone(name))).collect();
        let order = self.order.get_or_insert_with(in_order);
        let name = order.first_key_value().map(|(_, name)| Arc::clone(name))?;
        self.remove(&name).map(|value| (name, value))
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<V> {
        let mut entry = self.entries.remove(name)?;
        if let Some(order) = &mut self.order {
            order.remove(&entry.last_event);
        }
        note(&mut self.changed, &mut entry);
        Some(entry.value)
    }

    /// Puts back what a snapshot holds.
    pub(super) fn restore(&mut self, name: &str, last_event: i64, value: V) {
        let name: Arc<str> = Arc::from(name);
        let entry = Entry { name: Arc::clone(&name), value, last_event, changed: false };
        self.entries.insert(name, entry);
        self.order = None;
    }

    /// From now on changes are remembered, or not.
    pub(super) fn remember(&mut self, on: bool) {
        self.changed = on.then(Vec::new);
        for entry in self.entries.values_mut() {
            entry.changed = false;
        }
    }

    /// The names that have changed since they were last taken, each once.
    pub(super) fn take_changed(&mut self) -> Vec<Arc<str>> {
        let mut names = self.changed.as_mut().map(std::mem::take).unwrap_or_default();
        for name in &names {
            if let Some(entry) = self.entries.get_mut(name) {
                entry.changed = false;
            }
        }
        // What was removed and made anew in between stands there twice.
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Puts an entry among the changed, unless it is there.
fn note<V>(changed: &mut Option<Vec<Arc<str>>>, entry: &mut Entry<V>) {
    if let Some(changed) = changed
        && !entry.changed
    {
        entry.changed = true;
        changed.push(Arc::clone(&entry.name));
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
            assert!(kept.touch(name, event, || event).expect("kept").evicted.is_none());
        }
        let evicted = kept.touch("c", 4, || 4).expect("kept").evicted;
        assert_eq!(evicted, Some((Arc::from("b"), 2)));
        assert_eq!(kept.touch("d", 5, || 5).expect("kept").evicted, Some((Arc::from("a"), 1)));
        assert_eq!(kept.touch("c", 6, || 0).map(|touched| touched.is_new), Some(false));
        assert_eq!(kept.touch("a", 7, || 7).expect("kept").evicted, Some((Arc::from("d"), 5)));
        assert_eq!(kept.entry("c").map(|entry| entry.last_event), Some(6));
        assert_eq!(kept.take_changed(), ["a", "b", "c", "d"].map(Arc::from));
        assert!(kept.take_changed().is_empty());
        kept.change("c");
        kept.touch("a", 8, || 0);
        assert_eq!(kept.take_changed(), ["a", "c"].map(Arc::from));
        assert_eq!(kept.len(), 2);
    }
}
