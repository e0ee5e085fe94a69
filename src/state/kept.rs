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

    /// Runs `with` on the entry that `event` is about, made if it is not there, and on whether it was made. Where `with`
    /// gives `None` the event is none of the entry's after all. Returns also what had to give way for a new one.
    pub(super) fn touch<R>(
        &mut self,
        name: &str,
        event: i64,
        make: impl FnOnce() -> V,
        with: impl FnOnce(&mut V, bool) -> Option<R>,
    ) -> Option<(R, Option<Evicted<V>>)> {
        // One look-up for an entry that is there: this is most of what a fold does.
        if let Some(entry) = self.entries.get_mut(name) {
            let answer = with(&mut entry.value, false)?;
            if let Some(order) = &mut self.order {
                order.remove(&entry.last_event);
                order.insert(event, Arc::clone(&entry.name));
            }
            entry.last_event = event;
            note(&mut self.changed, entry);
            return Some((answer, None));
        }
        let mut value = make();
        let answer = with(&mut value, true)?;
        let evicted = if self.entries.len() >= self.max { self.remove_oldest() } else { None };
        let name: Arc<str> = Arc::from(name);
        let mut entry = Entry { name: Arc::clone(&name), value, last_event: event, changed: false };
        note(&mut self.changed, &mut entry);
        if let Some(order) = &mut self.order {
            order.insert(event, Arc::clone(&name));
        }
        self.entries.insert(name, entry);
        Some((answer, evicted))
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

    fn touch(kept: &mut Kept<i64>, name: &str, event: i64) -> (bool, Option<Evicted<i64>>) {
        kept.touch(name, event, || event, |_, is_new| Some(is_new)).expect("touched")
    }

    #[test]
    fn the_longest_untouched_gives_way() {
        let mut kept: Kept<i64> = Kept::new(2);
        kept.remember(true);
        for (event, name, is_new) in [(1, "a", true), (2, "b", true), (3, "a", false)] {
            assert_eq!(touch(&mut kept, name, event), (is_new, None));
        }
        assert_eq!(kept.touch("b", 4, || 0, |_, _| None::<()>), None, "that was none of its");
        let gives_way = |name: &str, value| (true, Some((Arc::from(name), value)));
        assert_eq!(touch(&mut kept, "c", 4), gives_way("b", 2));
        assert_eq!(touch(&mut kept, "d", 5), gives_way("a", 1));
        assert_eq!(touch(&mut kept, "c", 6), (false, None));
        assert_eq!(touch(&mut kept, "a", 7), gives_way("d", 5));
        assert_eq!(kept.entry("c").map(|entry| entry.last_event), Some(6));
        assert_eq!(kept.take_changed(), ["a", "b", "c", "d"].map(Arc::from));
        assert!(kept.take_changed().is_empty());
        kept.change("c");
        touch(&mut kept, "a", 8);
        assert_eq!(kept.take_changed(), ["a", "c"].map(Arc::from));
        assert_eq!(kept.len(), 2);
    }
}
