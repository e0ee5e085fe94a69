//! A bounded map that evicts the entry that was touched longest ago, tracks which entries have
//! changed, and counts the bytes that it takes up.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::mem::size_of;

use super::heap::Heap;
use crate::event::EventId;

/// A consumer of the changed entries. Each has a separate list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::state) enum Consumer {
    /// The class's snapshot in the database.
    Snapshot,
    /// The rendered rows, of which summaries are made.
    Rendering,
}

const CONSUMERS: usize = 2;

/// A value, and the last event that touched it.
#[derive(Debug)]
pub(in crate::state) struct Entry<K, V> {
    key: K,
    pub(in crate::state) value: V,
    pub(in crate::state) last_event: EventId,
    /// The bytes of the value as they were last counted.
    heap: usize,
    /// By consumer: the generation of the list that names this entry; 0 if none does.
    changed: [u32; CONSUMERS],
}

/// The keys of the entries that were inserted, changed or removed since a consumer last took them.
#[derive(Debug)]
struct Changed<K> {
    /// `None` while no changes are tracked.
    keys: Option<Vec<K>>,
    /// Each list has another generation, so that a new list begins without a walk through all
    /// entries.
    generation: u32,
}

impl<K> Changed<K> {
    const fn new() -> Self {
        Self { keys: None, generation: 0 }
    }

    /// Begins another list, or none. Returns the list before.
    fn begin(&mut self, keys: Option<Vec<K>>) -> Option<Vec<K>> {
        self.generation = self.generation.wrapping_add(1).max(1);
        std::mem::replace(&mut self.keys, keys)
    }
}

/// An entry that was evicted.
#[derive(Debug, PartialEq)]
pub(in crate::state) struct Evicted<K, V> {
    pub(in crate::state) key: K,
    pub(in crate::state) value: V,
}

/// At most `max` entries. When there are more, the one whose last event has the smallest id is
/// evicted. So which one is evicted depends on the events alone, never on when or where they are
/// folded, and every replica evicts the same.
#[derive(Debug)]
pub(in crate::state) struct LruMap<K, V> {
    max: usize,
    entries: HashMap<K, Entry<K, V>>,
    /// The key by the last event; an event touches one entry at most. It is made at the first
    /// eviction: most classes never come that far, and it would be a quarter of the fold's work.
    order: Option<BTreeMap<EventId, K>>,
    /// By consumer.
    changed: [Changed<K>; CONSUMERS],
    /// The bytes that the keys and the values hold on the heap.
    heap: usize,
}

impl<K: Clone + Eq + Hash + Ord + Heap, V: Heap> LruMap<K, V> {
    pub(in crate::state) fn new(max: usize) -> Self {
        Self {
            max,
            entries: HashMap::new(),
            order: None,
            changed: [const { Changed::new() }; CONSUMERS],
            heap: 0,
        }
    }

    pub(in crate::state) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes that the map takes up, all in all. The collections are counted by their capacity:
    /// a hash map leaves one bucket of eight free and has a byte beside each; the nodes of a tree
    /// that grows at its end are about half full.
    pub(in crate::state) fn bytes(&self) -> usize {
        let buckets = self.entries.capacity() * 8 / 7;
        let order =
            self.order.as_ref().map_or(0, |order| order.len() * 2 * size_of::<(EventId, K)>());
        let changed: usize =
            self.changed.iter().filter_map(|list| list.keys.as_ref()).map(Vec::capacity).sum();
        self.heap + buckets * (size_of::<(K, Entry<K, V>)>() + 1) + order + changed * size_of::<K>()
    }

    /// The bytes that the keys and the values hold on the heap.
    #[cfg(test)]
    pub(in crate::state) fn heap(&self) -> usize {
        self.heap
    }

    pub(in crate::state) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|entry| &entry.value)
    }

    pub(in crate::state) fn entry<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&Entry<K, V>>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key)
    }

    pub(in crate::state) fn entries(&self) -> impl Iterator<Item = (&K, &Entry<K, V>)> {
        self.entries.iter()
    }

    /// Changes an entry without touching it: it is evicted no later for that.
    pub(in crate::state) fn change<Q: Hash + Eq + ?Sized, R>(
        &mut self,
        key: &Q,
        with: impl FnOnce(&mut V) -> Option<R>,
    ) -> Option<R>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.get_mut(key)?;
        let answer = with(&mut entry.value)?;
        recount(&mut self.heap, entry);
        note_change(&mut self.changed, self.max, entry);
        Some(answer)
    }

    /// Changes every entry, without touching it.
    pub(in crate::state) fn change_all(&mut self, with: impl Fn(&mut V)) {
        for entry in self.entries.values_mut() {
            with(&mut entry.value);
            recount(&mut self.heap, entry);
            note_change(&mut self.changed, self.max, entry);
        }
    }

    /// Removes every entry.
    pub(in crate::state) fn clear(&mut self) {
        for (_, mut entry) in std::mem::take(&mut self.entries) {
            note_change(&mut self.changed, self.max, &mut entry);
        }
        (self.order, self.heap) = (None, 0);
    }

    /// The stored key, to be shared.
    pub(in crate::state) fn key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<K>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|entry| entry.key.clone())
    }

    /// For changes that no consumer has to know of and that take up no bytes which are counted
    /// here.
    pub(in crate::state) fn peek_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Runs `with` on the entry that `event` is about, and on whether the entry is new: then `make`
    /// makes its value. If `with` returns `None`, the event does not touch the entry, and a new
    /// entry is not inserted. Returns also the entry that was evicted for a new one.
    pub(in crate::state) fn touch<Q: Hash + Eq + ?Sized, R>(
        &mut self,
        key: &Q,
        event: EventId,
        make: impl FnOnce() -> V,
        with: impl FnOnce(&mut V, bool) -> Option<R>,
    ) -> Option<(R, Option<Evicted<K, V>>)>
    where
        K: Borrow<Q> + for<'a> From<&'a Q>,
    {
        // One look-up for an entry that is there: this is most of what a fold does.
        if let Some(entry) = self.entries.get_mut(key) {
            let answer = with(&mut entry.value, false)?;
            if let Some(order) = &mut self.order {
                order.remove(&entry.last_event);
                order.insert(event, entry.key.clone());
            }
            entry.last_event = event;
            recount(&mut self.heap, entry);
            note_change(&mut self.changed, self.max, entry);
            return Some((answer, None));
        }
        let mut value = make();
        let answer = with(&mut value, true)?;
        let evicted = if self.entries.len() >= self.max { self.remove_oldest() } else { None };
        let key = K::from(key);
        let mut entry = self.counted(key.clone(), event, value);
        note_change(&mut self.changed, self.max, &mut entry);
        if let Some(order) = &mut self.order {
            order.insert(event, key.clone());
        }
        self.entries.insert(key, entry);
        Some((answer, evicted))
    }

    /// A new entry, with its bytes counted.
    fn counted(&mut self, key: K, last_event: EventId, value: V) -> Entry<K, V> {
        let heap = value.heap();
        self.heap += key.heap() + heap;
        Entry { key, value, last_event, heap, changed: [0; CONSUMERS] }
    }

    fn remove_oldest(&mut self) -> Option<Evicted<K, V>> {
        let in_order =
            || self.entries.iter().map(|(key, entry)| (entry.last_event, key.clone())).collect();
        let order = self.order.get_or_insert_with(in_order);
        let key = order.first_key_value().map(|(_, key)| key.clone())?;
        self.remove(&key).map(|value| Evicted { key, value })
    }

    pub(in crate::state) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut entry = self.entries.remove(key)?;
        self.heap -= entry.key.heap() + entry.heap;
        if let Some(order) = &mut self.order {
            order.remove(&entry.last_event);
        }
        note_change(&mut self.changed, self.max, &mut entry);
        Some(entry.value)
    }

    /// Puts back an entry of a snapshot.
    pub(in crate::state) fn restore(&mut self, key: K, last_event: EventId, value: V) {
        let entry = self.counted(key.clone(), last_event, value);
        if let Some(before) = self.entries.insert(key, entry) {
            self.heap -= before.key.heap() + before.heap;
        }
        self.order = None;
    }

    /// From now on changes are tracked for a consumer, or not.
    pub(in crate::state) fn track_changes(&mut self, consumer: Consumer, on: bool) {
        self.changed[consumer as usize].begin(on.then(Vec::new));
    }

    /// The same for a consumer that knows no entry yet: all of them count as changed.
    pub(in crate::state) fn track_all_as_changed(&mut self, consumer: Consumer) {
        let list = &mut self.changed[consumer as usize];
        list.begin(Some(Vec::with_capacity(self.entries.len())));
        for (key, entry) in &mut self.entries {
            entry.changed[consumer as usize] = list.generation;
            if let Some(keys) = &mut list.keys {
                keys.push(key.clone());
            }
        }
    }

    /// Whether changes are tracked for a consumer. Tracking ends by itself when there are too many.
    pub(in crate::state) fn tracks_changes(&self, consumer: Consumer) -> bool {
        self.changed[consumer as usize].keys.is_some()
    }

    /// The keys of the entries that have changed since this was last called, each once.
    pub(in crate::state) fn take_changed(&mut self, consumer: Consumer) -> Vec<K> {
        let list = &mut self.changed[consumer as usize];
        let next = list.keys.is_some().then(Vec::new);
        let mut keys = list.begin(next).unwrap_or_default();
        // An entry that was removed and inserted again in between is named twice.
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Takes one of the keys of the entries that have changed. An entry that was removed and
    /// inserted again in between may be named twice.
    pub(in crate::state) fn next_changed(&mut self, consumer: Consumer) -> Option<K> {
        let key = self.changed[consumer as usize].keys.as_mut()?.pop()?;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.changed[consumer as usize] = 0;
        }
        Some(key)
    }
}

/// Counts an entry's bytes again after a change.
fn recount<K, V: Heap>(total: &mut usize, entry: &mut Entry<K, V>) {
    let heap = entry.value.heap();
    if heap != entry.heap {
        *total = *total + heap - entry.heap;
        entry.heap = heap;
    }
}

/// Notes that an entry has changed, for each consumer that does not know yet.
///
/// Summaries may not be asked for in a long time, and keys of removed entries fill the rendering's
/// list meanwhile. When it is longer than twice the entries that there can be, tracking ends, and
/// the next rendering begins with all entries. The snapshot's list is taken every few seconds.
fn note_change<K: Clone, V>(
    changed: &mut [Changed<K>; CONSUMERS],
    max: usize,
    entry: &mut Entry<K, V>,
) {
    for (consumer, list) in changed.iter_mut().enumerate() {
        let Some(keys) = list.keys.as_mut().filter(|_| entry.changed[consumer] != list.generation)
        else {
            continue;
        };
        entry.changed[consumer] = list.generation;
        keys.push(entry.key.clone());
        if consumer == Consumer::Rendering as usize && keys.len() > 2 * max {
            list.begin(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    impl Heap for i64 {
        fn heap(&self) -> usize {
            0
        }
    }

    fn touch(
        map: &mut LruMap<Arc<str>, i64>,
        name: &str,
        event: i64,
    ) -> (bool, Option<Evicted<Arc<str>, i64>>) {
        map.touch(name, EventId(event), || event, |_, is_new| Some(is_new)).expect("touched")
    }

    #[test]
    fn the_entry_touched_longest_ago_is_evicted() {
        let mut map: LruMap<Arc<str>, i64> = LruMap::new(2);
        map.track_changes(Consumer::Snapshot, true);
        for (event, name, is_new) in [(1, "a", true), (2, "b", true), (3, "a", false)] {
            assert_eq!(touch(&mut map, name, event), (is_new, None));
        }
        assert_eq!(map.touch("b", EventId(4), || 0, |_, _| None::<()>), None, "not touched");
        let evicts = |name: &str, value| (true, Some(Evicted { key: Arc::from(name), value }));
        assert_eq!(touch(&mut map, "c", 4), evicts("b", 2));
        assert_eq!(touch(&mut map, "d", 5), evicts("a", 1));
        assert_eq!(touch(&mut map, "c", 6), (false, None));
        assert_eq!(touch(&mut map, "a", 7), evicts("d", 5));
        assert_eq!(map.entry("c").map(|entry| entry.last_event), Some(EventId(6)));
        assert_eq!(map.take_changed(Consumer::Snapshot), ["a", "b", "c", "d"].map(Arc::from));
        assert!(map.take_changed(Consumer::Snapshot).is_empty());
        map.change("c", |_| Some(()));
        touch(&mut map, "a", 8);
        assert_eq!(map.take_changed(Consumer::Snapshot), ["a", "c"].map(Arc::from));
        assert_eq!(map.len(), 2);
    }

    #[test]
    fn bytes_are_those_of_the_entries() {
        let mut map: LruMap<Arc<str>, Box<[u8]>> = LruMap::new(2);
        let empty = map.bytes();
        for (event, name) in [(1, "a"), (2, "b"), (3, "c"), (4, "b")] {
            let make = || vec![0; 1_000].into_boxed_slice();
            map.touch(name, EventId(event), make, |value, _| {
                *value = vec![0; 1_000 * event as usize].into_boxed_slice();
                Some(())
            });
        }
        assert!((7_000..8_000).contains(&(map.bytes() - empty)), "{}", map.bytes() - empty);
        map.remove("b");
        map.change("c", |value| {
            *value = Box::default();
            Some(())
        });
        map.remove("c");
        assert_eq!(map.heap, 0);
    }

    impl Heap for Box<[u8]> {
        fn heap(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn tracking_for_a_rendering_ends_when_its_list_is_too_long() {
        let mut map: LruMap<Arc<str>, i64> = LruMap::new(2);
        map.track_all_as_changed(Consumer::Rendering);
        touch(&mut map, "a", 1);
        assert_eq!(map.next_changed(Consumer::Rendering).as_deref(), Some("a"));
        for event in 2..10 {
            touch(&mut map, &event.to_string(), event);
        }
        assert!(!map.tracks_changes(Consumer::Rendering));
    }
}
